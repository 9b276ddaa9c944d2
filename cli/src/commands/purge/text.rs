//! What `purge` prints.

use std::fmt::Write as _;

use dvb_engine::{ExecuteSummary, PurgeStatus, PurgedAt, PurgedDestination, RequestSummary};
use dvb_ledger::{Hold, Purge, PurgeState, PurgeTarget, Signed, TargetState};
use serde_json::{Value, json};

use crate::output::plain;
use crate::report::{bytes, data_files};

/// The summary of a request, with each thing's state in two plain fields.
pub(super) fn request_object(summary: &RequestSummary) -> Value {
    json!({
        "command": summary.command,
        "run_id": summary.run_id,
        "purge": summary.purge,
        "list": summary.list.iter().map(target_object).collect::<Vec<_>>(),
        "notes": summary.notes,
        "aborted": summary.aborted,
        "exit_code": summary.exit_code,
    })
}

fn target_object(it: &PurgeTarget) -> Value {
    let locked_until = match &it.state {
        TargetState::Locked(until) => until.clone(),
        TargetState::Pending | TargetState::Gone(_) => None,
    };
    json!({
        "number": it.number,
        "destination": it.destination,
        "data_file_id": it.id,
        "object": it.role,
        "key": it.key,
        "name": it.name,
        "version": it.version,
        "kind": it.kind,
        "size": it.size,
        "sha256": it.sha256,
        "listed": it.listed,
        "state": it.state.name(),
        "locked_until": locked_until,
    })
}

pub(super) fn hold_object(it: &Hold) -> Value {
    json!({
        "number": it.number,
        "scope": it.scope,
        "files": it.files,
        "datasets": it.datasets,
        "reference": it.reference,
        "placed": it.placed,
        "released": it.released.as_ref().map(|(by, _)| by),
        "released_reference": it.released.as_ref().map(|(_, reference)| reference),
    })
}

pub(super) fn request(summary: &RequestSummary) -> String {
    let Purge { number, digest, files, basis, reference, not_before, .. } = &summary.purge;
    let total: u64 = summary.list.iter().map(|it| it.size).sum();
    let mut text = format!(
        "purge {number}: {} ({}), {} things, {}; {}, {}\n",
        data_files(files.len() as u64),
        files.iter().map(|it| it.id.to_string()).collect::<Vec<_>>().join(", "),
        summary.list.len(),
        bytes(total),
        plain(basis),
        plain(reference)
    );
    for it in &summary.list {
        let version = it.version.as_ref().map(|it| format!(", version {it}")).unwrap_or_default();
        let state = match &it.state {
            TargetState::Locked(Some(until)) => format!(", LOCKED until {until}"),
            TargetState::Locked(None) => ", under a LEGAL HOLD at the destination".to_owned(),
            TargetState::Pending | TargetState::Gone(_) => String::new(),
        };
        let id = it.id.map(|id| format!("file {id} ")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}: {id}{} {} ({}, {} bytes{}{state})",
            it.destination,
            it.role,
            plain(&it.name),
            it.kind,
            it.size,
            plain(&version)
        );
    }
    let _ = write!(
        text,
        "digest {digest}\nNothing is deleted yet. Snapshots that name them are written again without them. To be approved by \
         another person from {not_before}:\n  dataverse-backup purge approve {number} {digest}"
    );
    text
}

fn signed(what: &str, by: Option<&Signed>) -> String {
    by.map(|it| format!("\n  {what} by {} (uid {}) on {}, {}", plain(&it.user), it.uid, plain(&it.host), it.at))
        .unwrap_or_default()
}

fn people(purge: &Purge) -> String {
    signed("requested", Some(&purge.requested))
        + &signed("approved ", purge.approved.as_ref())
        + &signed("executed ", purge.executed.as_ref())
}

pub(super) fn executed(summary: &ExecuteSummary) -> String {
    if summary.purges.is_empty() {
        return "no purge is approved and waits to be executed".to_owned();
    }
    let mut text = String::new();
    for done in &summary.purges {
        let _ =
            writeln!(text, "purge {} ({}): {}", done.purge.number, plain(&done.purge.reference), state(&done.purge));
        if let Some(why) = &done.refused {
            let _ = writeln!(text, "  refused: {}", plain(why));
        }
        done.at.iter().for_each(|it| at(&mut text, it));
        for note in &done.notes {
            let _ = writeln!(text, "  {}", plain(note));
        }
    }
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "stopped early: {}", plain(why));
    }
    text.trim_end().to_owned()
}

fn at(text: &mut String, it: &PurgedDestination) {
    let state = match it.state {
        PurgedAt::Done => "nothing is left",
        PurgedAt::Waiting => "waiting",
    };
    let rewritten = match it.snapshots_rewritten {
        0 => String::new(),
        1 => ", 1 snapshot written again".to_owned(),
        n => format!(", {n} snapshots written again"),
    };
    let _ = writeln!(
        text,
        "  {}: {state}; {} things deleted ({}), {} left{rewritten}",
        it.destination,
        it.deleted,
        bytes(it.bytes),
        it.left
    );
    for why in it.reason.iter().chain(&it.notes).chain(&it.aborted) {
        let _ = writeln!(text, "    {}", plain(why));
    }
}

fn state(purge: &Purge) -> String {
    match purge.state {
        PurgeState::Requested => format!("requested, to be approved from {}", purge.not_before),
        PurgeState::Approved => "approved, to be executed".to_owned(),
        PurgeState::Executing => "executing, not done yet".to_owned(),
        PurgeState::Done => format!("done {}", purge.ended_at.as_deref().unwrap_or_default()),
        PurgeState::Withdrawn => format!("withdrawn {}", purge.ended_at.as_deref().unwrap_or_default()),
    }
}

pub(super) fn listed(purges: &[PurgeStatus], holds: &[Hold]) -> String {
    let mut text = String::new();
    for it in purges {
        let purge = &it.purge;
        let _ = writeln!(
            text,
            "purge {}: {}, {}: {}, {}{}",
            purge.number,
            plain(&purge.basis),
            plain(&purge.reference),
            data_files(purge.files.len() as u64),
            state(purge),
            people(purge)
        );
        let lock = match (&it.locked_until, it.locked) {
            (_, 0) => String::new(),
            (Some(until), locked) => format!(", {locked} of them locked, the first until {until}"),
            (None, locked) => format!(", {locked} of them locked"),
        };
        let _ = writeln!(text, "  digest {}\n  {} things gone, {} left{lock}", purge.digest, it.gone, it.left);
    }
    for it in holds {
        let released = match &it.released {
            Some((by, why)) => format!(", released by {} {} ({})", plain(&by.user), by.at, plain(why)),
            None => String::new(),
        };
        let Signed { user, at, .. } = &it.placed;
        let _ = writeln!(
            text,
            "hold {}: {} ({}), placed by {} {at}{released}",
            it.number,
            plain(&it.scope),
            plain(&it.reference),
            plain(user)
        );
    }
    if text.is_empty() {
        return "no purge and no hold".to_owned();
    }
    text.trim_end().to_owned()
}
