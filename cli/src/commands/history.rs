//! Everything that is known of one data file: its copies with their history, and its incidents.

use std::fmt::Write as _;

use dvb_fixity::Digest;
use dvb_ledger::{Bytes, CopyInCustody, CopyState, Custody, Incident, Ledger, LedgerError, Mended};
use dvb_model::{DestinationName, DvObjectId};
use serde_json::{Value, json};

use crate::output::plain;

/// Of one data file, everywhere.
pub(crate) struct History {
    history: Vec<Custody>,
    incidents: Vec<Incident>,
}

impl History {
    pub(crate) fn of(ledger: &dyn Ledger, id: DvObjectId) -> Result<Self, LedgerError> {
        Ok(Self { history: ledger.history(id)?, incidents: ledger.incidents(id)? })
    }

    /// Its copies at one destination, for people.
    pub(crate) fn text(&self, destination: &DestinationName) -> String {
        let mut text = String::new();
        for it in self.history.iter().filter(|it| it.destination == *destination) {
            let run = &it.run;
            let _ =
                writeln!(text, "    first seen {}; this verdict {}, run {run}", it.first_seen, it.detail.recorded_at);
            it.copies.iter().for_each(|it| copy_text(&mut text, it));
        }
        text.trim_end().to_owned()
    }

    /// What was found bad of it anywhere, and whether it is mended, for people.
    pub(crate) fn incidents_text(&self) -> String {
        let mut text = String::new();
        self.incidents.iter().for_each(|it| incident_text(&mut text, it));
        text.trim_end().to_owned()
    }

    /// Its copies at one destination, for programs.
    pub(crate) fn objects(&self, destination: &DestinationName) -> Value {
        let mine = self.history.iter().filter(|it| it.destination == *destination);
        mine.flat_map(|it| &it.copies).map(copy_object).collect::<Vec<_>>().into()
    }

    pub(crate) fn first_seen(&self, destination: &DestinationName) -> Option<&str> {
        self.history.iter().find(|it| it.destination == *destination).map(|it| it.first_seen.as_str())
    }

    pub(crate) fn incidents(&self) -> Value {
        self.incidents.iter().map(incident_object).collect::<Vec<_>>().into()
    }
}

fn copy_text(text: &mut String, it: &CopyInCustody) {
    let copy = &it.copy;
    let _ = writeln!(text, "    {} (version {}): {}", copy.role, copy.version, plain(copy.key.as_str()));
    if copy.state == CopyState::Reserved {
        let _ = writeln!(text, "      nothing is proved to be there; first seen {}", it.first_seen);
        return;
    }
    let (size, sha256) = (copy.size.unwrap_or(0), copy.sha256.as_ref().map(ToString::to_string).unwrap_or_default());
    let adopted = if it.adopted { ", found there" } else { "" };
    let _ = writeln!(text, "      {size} bytes, SHA-256 {sha256}; first seen {}{adopted}", it.first_seen);
    let evidence = copy.evidence.map(|it| it.to_string()).unwrap_or_default();
    let at = copy.proved_at.as_deref().unwrap_or("never");
    let bad = if copy.state == CopyState::Damaged { "; FOUND TO BE BAD since" } else { "" };
    let _ = writeln!(text, "      last proved {at} by {evidence}{bad}");
}

pub(super) fn incident_text(text: &mut String, it: &Incident) {
    let Incident { number, role, side, place, found, detail, found_by, found_at, .. } = it;
    let open = if it.mended.is_none() { "OPEN incident" } else { "incident" };
    let _ = writeln!(text, "  {open} {number}: {role} was {found} in {side} {place}");
    let _ = writeln!(text, "    {}", plain(detail));
    let command = it.command.as_deref().map(|it| format!(" of {it}")).unwrap_or_default();
    let _ = writeln!(text, "    found {found_at} by run {found_by}{command}");
    for (what, bytes) in [("on record", &it.expected), ("found", &it.actual)] {
        let size = bytes.size.map(|it| format!("{it} bytes"));
        let digest = bytes.digest.as_ref().map(|it| format!("{} {it}", it.algorithm()));
        let known: Vec<String> = size.into_iter().chain(digest).collect();
        if !known.is_empty() {
            let _ = writeln!(text, "    {what}: {}", known.join(", "));
        }
    }
    if let Some(note) = &it.note {
        let _ = writeln!(text, "    note of {} ({}): {}", plain(&note.by), note.at, plain(&note.text));
    }
    let Some(Mended { at, by, from, evidence, kept, .. }) = &it.mended else {
        let _ = writeln!(text, "    not repaired yet");
        return;
    };
    let evidence = evidence.map(|it| format!(", proved by {it}")).unwrap_or_default();
    let _ = writeln!(text, "    repaired {at} by run {by} from {}{evidence}", plain(from));
    if let Some(kept) = kept {
        let _ = writeln!(text, "    what was bad is kept as {}", plain(kept));
    }
}

fn copy_object(it: &CopyInCustody) -> Value {
    let copy = &it.copy;
    json!({
        "object": copy.role.to_string(),
        "version": copy.version,
        "key": copy.key,
        "state": copy.state.name(),
        "size": copy.size,
        "sha256": copy.sha256.as_ref().map(dvb_fixity::Digest::hex),
        "first_seen": it.first_seen,
        "last_proved": copy.proved_at,
        "evidence": copy.evidence.map(dvb_fixity::Evidence::name),
        "adopted": it.adopted,
    })
}

pub(super) fn incident_object(incident: &Incident) -> Value {
    let bytes = |bytes: &Bytes| {
        let digest = bytes.digest.as_ref();
        json!({ "size": bytes.size, "algorithm": digest.map(|it| it.algorithm().to_string()), "digest": digest.map(Digest::hex) })
    };
    let mended = incident.mended.as_ref();
    json!({
        "number": incident.number,
        "open": mended.is_none(),
        "object": incident.role.to_string(),
        "version": incident.version,
        "side": incident.side.name(),
        "place": incident.place,
        "key": incident.key,
        "found": incident.found,
        "detail": incident.detail,
        "command": incident.command,
        "found_by": incident.found_by,
        "found_at": incident.found_at,
        "note": incident.note,
        "expected": bytes(&incident.expected),
        "actual": bytes(&incident.actual),
        "mended_at": mended.map(|it| it.at.as_str()),
        "run_id": mended.map(|it| &it.by),
        "mended_from": mended.map(|it| it.from.as_str()),
        "evidence": mended.and_then(|it| it.evidence).map(dvb_fixity::Evidence::name),
        "size": mended.and_then(|it| it.size),
        "sha256": mended.and_then(|it| it.sha256.as_ref()).map(Digest::hex),
        "kept": mended.and_then(|it| it.kept.as_deref()),
    })
}
