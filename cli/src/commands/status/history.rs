//! The history of one data file, in words.

use std::fmt::Write as _;

use dvb_engine::{CopyCustody, FileCustody, FileStatus, IncidentStatus};
use dvb_ledger::CopyState;

use crate::output::plain;

/// Its copies at one destination, each in lines of their own.
pub(super) fn text(file: &FileStatus, custody: &FileCustody) -> String {
    let mut text = String::new();
    if let (Some(first_seen), Some(run)) = (&custody.first_seen, &custody.run) {
        let _ = write!(text, "\n    first seen {first_seen}; this verdict {}, run {run}", file.recorded_at);
    }
    custody.copies.iter().for_each(|copy| copy_text(&mut text, copy));
    text
}

fn copy_text(text: &mut String, copy: &CopyCustody) {
    let CopyCustody { object, version, first_seen, .. } = copy;
    let _ = write!(text, "\n    {object} (version {version}): {}", plain(copy.key.as_str()));
    if copy.state == CopyState::Reserved {
        let _ = write!(text, "\n      nothing is proved to be there; first seen {first_seen}");
        return;
    }
    let (size, sha256) = (copy.size.unwrap_or(0), copy.sha256.as_deref().unwrap_or_default());
    let adopted = if copy.adopted { ", found there" } else { "" };
    let _ = write!(text, "\n      {size} bytes, SHA-256 {sha256}; first seen {first_seen}{adopted}");
    let evidence = copy.evidence.map(|evidence| evidence.to_string()).unwrap_or_default();
    let at = copy.last_proved.as_deref().unwrap_or("never");
    let bad = if copy.state == CopyState::Damaged { "; FOUND TO BE BAD since" } else { "" };
    let _ = write!(text, "\n      last proved {at} by {evidence}{bad}");
}

/// What was found bad, and whether it is mended.
pub(in crate::commands) fn incident_text(incident: &IncidentStatus) -> String {
    let IncidentStatus { number, object, side, place, found, found_by, found_at, .. } = incident;
    let open = if incident.open { "OPEN incident" } else { "incident" };
    let mut text = format!("  {open} {number}: {object} was {found} in {side} {place}\n");
    let _ = writeln!(text, "    {}", plain(&incident.detail));
    let command = incident.command.as_deref().map(|command| format!(" of {command}")).unwrap_or_default();
    let _ = writeln!(text, "    found {found_at} by run {found_by}{command}");
    for (what, bytes) in [("on record", &incident.expected), ("found", &incident.actual)] {
        let size = bytes.size.map(|size| format!("{size} bytes"));
        let digest = bytes.algorithm.as_ref().zip(bytes.digest.as_ref());
        let digest = digest.map(|(algorithm, digest)| format!("{algorithm} {digest}"));
        let known: Vec<String> = size.into_iter().chain(digest).collect();
        if !known.is_empty() {
            let _ = writeln!(text, "    {what}: {}", known.join(", "));
        }
    }
    if let Some(note) = &incident.note {
        let _ = writeln!(text, "    note of {} ({}): {}", plain(&note.by), note.at, plain(&note.text));
    }
    let (Some(at), Some(by), Some(from)) = (&incident.mended_at, &incident.run_id, &incident.mended_from) else {
        return text + "    not repaired yet\n";
    };
    let evidence = incident.evidence.map(|evidence| format!(", proved by {evidence}")).unwrap_or_default();
    let _ = writeln!(text, "    repaired {at} by run {by} from {}{evidence}", plain(from));
    if let Some(kept) = &incident.kept {
        let _ = writeln!(text, "    what was bad is kept as {}", plain(kept));
    }
    text
}
