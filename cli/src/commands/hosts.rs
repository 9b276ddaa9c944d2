//! Who works on what, where several hosts share a run: for `status`.

use std::fmt::Write as _;
use std::time::Duration;

use dvb_ledger::{Ledger, LedgerError, Phase, SharedStatus, Worker};
use dvb_model::DestinationName;
use serde_json::{Value, json};

use crate::output::plain;
use crate::report;

/// The run that hosts share at a destination now, if there is one.
pub(super) fn at(ledger: &dyn Ledger, destination: &DestinationName) -> Result<Option<SharedStatus>, LedgerError> {
    ledger.shared_runs().map_or(Ok(None), |it| it.shared_status(destination))
}

pub(super) fn object(it: &SharedStatus) -> Value {
    json!({
        "run_id": it.run,
        "command": it.command,
        "phase": phase(it.phase),
        "started": it.began,
        "ranges": it.ranges,
        "ranges_done": it.done,
        "ranges_set_aside": it.aside,
        "hosts": it.workers.iter().map(|worker| host_object(worker, it.lease)).collect::<Vec<_>>(),
    })
}

fn host_object(it: &Worker, lease: Duration) -> Value {
    json!({
        "host": it.host,
        "pid": it.pid,
        "joined": it.joined,
        "last_sign": it.seen,
        "silent_seconds": it.silent.as_secs(),
        "state": state(it, lease),
        "ranges": it.ranges,
        "data_files": it.files,
        "bytes_copied": it.bytes,
    })
}

pub(super) fn text(it: &SharedStatus) -> String {
    let aside = if it.aside > 0 { format!(", {} set aside", it.aside) } else { String::new() };
    let mut text = format!(
        "  shared run    {} since {}, {}: {} of {} ranges of work done{aside}",
        plain(&it.run.0),
        it.began,
        phase(it.phase),
        it.done,
        it.ranges
    );
    for worker in &it.workers {
        let Worker { host, pid, ranges, files, bytes, seen, .. } = worker;
        let _ = write!(
            text,
            "\n    {} ({pid}): {ranges} ranges, {files} data files, {} sent; last sign {seen} ({})",
            plain(host),
            report::bytes(*bytes),
            state(worker, it.lease)
        );
    }
    text
}

fn phase(it: Phase) -> &'static str {
    match it {
        Phase::Plan => "planning",
        Phase::Work => "working",
        Phase::Close => "closing",
    }
}

/// What is to be thought of a host, by its last sign of life.
fn state(it: &Worker, lease: Duration) -> &'static str {
    match it {
        it if it.has_left => "has left",
        it if it.silent >= lease => "silent: its work is given to others",
        _ => "at work",
    }
}
