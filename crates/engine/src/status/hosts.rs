//! Who works on what, where several hosts share a run.

use std::time::Duration;

use dvb_ledger::{Ledger, LedgerError, Phase, SharedStatus, Worker};
use dvb_model::{DestinationName, RunId};
use serde::Serialize;

/// What hosts share at a destination now; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct SharedRunStatus {
    /// Name of the run, the same for all of its hosts.
    pub run_id: RunId,
    /// Which command it is: `run`, `verify` or `audit`.
    pub command: String,
    /// `planning`, `working` or `closing`.
    pub phase: &'static str,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// Ranges that the work of the run is divided into, those that are done among them.
    pub ranges: u64,
    /// Those that are done.
    pub ranges_done: u64,
    /// Those that were given up, so that the rest goes on.
    pub ranges_set_aside: u64,
    /// Its hosts, in the order in which they came.
    pub hosts: Vec<HostStatus>,
}

/// One host that shares a run.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// Name that the host gives itself.
    pub host: String,
    /// Id of the process on that host.
    pub pid: u32,
    /// When it came, RFC 3339 UTC.
    pub joined: String,
    /// Its last sign of life, RFC 3339 UTC, by the database's clock.
    pub last_sign: String,
    /// How long ago that was, by the database's clock.
    pub silent_seconds: u64,
    /// What is to be thought of it.
    pub state: HostState,
    /// Ranges that it has done.
    pub ranges: u64,
    /// Data files in them; of `verify`, copies.
    pub files: u64,
    /// Bytes that it sent and proved, or read and compared.
    pub bytes: u64,
}

/// What is to be thought of a host, by its last sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HostState {
    /// Its last sign of life is younger than the lease.
    #[serde(rename = "at work")]
    AtWork,
    /// It gave no sign for as long as a lease holds.
    #[serde(rename = "silent: its work is given to others")]
    Silent,
    /// It took its leave, at the end of its part or because it was stopped.
    #[serde(rename = "has left")]
    HasLeft,
}

impl HostState {
    fn of(worker: &Worker, lease: Duration) -> Self {
        if worker.has_left {
            Self::HasLeft
        } else if worker.silent >= lease {
            Self::Silent
        } else {
            Self::AtWork
        }
    }

    /// The same in words, as people and `--json` are told it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::AtWork => "at work",
            Self::Silent => "silent: its work is given to others",
            Self::HasLeft => "has left",
        }
    }
}

/// What hosts share at a destination now.
pub(super) fn of(ledger: &dyn Ledger, destination: &DestinationName) -> Result<Vec<SharedRunStatus>, LedgerError> {
    let Some(shared) = ledger.shared_runs() else { return Ok(Vec::new()) };
    Ok(shared.shared_status(destination)?.into_iter().map(status_of).collect())
}

fn status_of(shared: SharedStatus) -> SharedRunStatus {
    let lease = shared.lease;
    SharedRunStatus {
        run_id: shared.run,
        command: shared.command,
        phase: match shared.phase {
            Phase::Plan => "planning",
            Phase::Work => "working",
            Phase::Close => "closing",
        },
        started: shared.began,
        ranges: shared.ranges,
        ranges_done: shared.done,
        ranges_set_aside: shared.aside,
        hosts: shared.workers.into_iter().map(|worker| host_of(worker, lease)).collect(),
    }
}

fn host_of(worker: Worker, lease: Duration) -> HostStatus {
    HostStatus {
        state: HostState::of(&worker, lease),
        host: worker.host,
        pid: worker.pid,
        joined: worker.joined,
        last_sign: worker.seen,
        silent_seconds: worker.silent.as_secs(),
        ranges: worker.ranges,
        files: worker.files,
        bytes: worker.bytes,
    }
}
