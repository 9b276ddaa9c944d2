//! Everything that is known of one data file: its copies with their history, and what was mended.

use std::fmt::Write as _;

use dvb_ledger::{CopyInCustody, CopyState, Custody, Incident, Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId};
use serde_json::{Value, json};

use crate::output::plain;

/// Of one data file, everywhere.
pub(crate) struct History {
    custody: Vec<Custody>,
    incidents: Vec<Incident>,
}

impl History {
    pub(crate) fn of(ledger: &dyn Ledger, id: DvObjectId) -> Result<Self, LedgerError> {
        Ok(Self { custody: ledger.custody(id)?, incidents: ledger.incidents(id)? })
    }

    /// Its copies at one destination, for people.
    pub(crate) fn text(&self, destination: &DestinationName) -> String {
        let mut text = String::new();
        for it in self.custody.iter().filter(|it| it.destination == *destination) {
            let run = &it.run;
            let _ =
                writeln!(text, "    first seen {}; this verdict {}, run {run}", it.first_seen, it.detail.recorded_at);
            it.copies.iter().for_each(|it| copy_text(&mut text, it));
        }
        text.trim_end().to_owned()
    }

    /// What was mended of it anywhere, for people.
    pub(crate) fn incidents_text(&self) -> String {
        let mut text = String::new();
        for it in &self.incidents {
            let Incident { mended_at, role, side, place, found, detail, found_by, found_at, mended_from, .. } = it;
            let _ = writeln!(text, "  incident: {mended_at}: {role} was {found} in {side} {place}");
            let _ = writeln!(text, "    {}", plain(detail));
            let _ = writeln!(text, "    found {found_at} by {found_by}; mended from {mended_from} by {}", it.run);
            let _ = writeln!(text, "    proved by {}: {} bytes, {}", it.evidence, it.size, it.sha256);
            if let Some(kept) = &it.kept {
                let _ = writeln!(text, "    what was bad is kept as {}", plain(kept));
            }
        }
        text.trim_end().to_owned()
    }

    /// Its copies at one destination, for programs.
    pub(crate) fn objects(&self, destination: &DestinationName) -> Value {
        let mine = self.custody.iter().filter(|it| it.destination == *destination);
        mine.flat_map(|it| &it.copies).map(copy_object).collect::<Vec<_>>().into()
    }

    pub(crate) fn first_seen(&self, destination: &DestinationName) -> Option<&str> {
        self.custody.iter().find(|it| it.destination == *destination).map(|it| it.first_seen.as_str())
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

fn incident_object(it: &Incident) -> Value {
    json!({
        "mended_at": it.mended_at,
        "run_id": it.run,
        "object": it.role.to_string(),
        "version": it.version,
        "side": it.side.name(),
        "place": it.place,
        "key": it.key,
        "found": it.found,
        "detail": it.detail,
        "found_by": it.found_by,
        "found_at": it.found_at,
        "mended_from": it.mended_from,
        "evidence": it.evidence.name(),
        "size": it.size,
        "sha256": it.sha256.hex(),
        "kept": it.kept,
    })
}
