//! Lawful purge (design.md 11): personal data, takedowns and ended retention go from every copy, provably, and do not come back.
//!
//! [`request_purge`] makes the exact list of what is to go; [`approve_purge`] is another person's agreement to that list and no
//! other; [`execute_purges`] deletes it, one destination after the other, and proves by listings that nothing is left. Nothing
//! else in this program deletes a copy: this room alone is handed a [`Purger`](dvb_storage::Purger).

mod approve;
mod destination;
mod error;
mod execute;
mod holds;
mod list;
mod request;
mod rest;
mod snapshots;
mod wait;

use dvb_catalog::Catalog;
use dvb_ledger::{Agent, Ledger, Purge, PurgeState, PurgeTarget, Signed, TargetState};
use dvb_model::{DestinationName, RunId};
use dvb_storage::{Purger, Sink, SinkError};
use serde::Serialize;

use crate::command::cancel::CancelToken;
use crate::command::cut::Cut;
use crate::command::observer::Observer;
use crate::command::time::now;

pub use approve::{ApproveOptions, approve_purge, withdraw_purge};
pub use error::PurgeError;
pub use execute::{ExecuteOptions, ExecuteSummary, PurgeDone, PurgedAt, PurgedDestination, execute_purges};
pub use holds::{HoldOptions, place_hold, release_hold};
pub use request::{RequestOptions, RequestSummary, request_purge};

/// Opens a destination for deleting, in the name of a run.
pub type PurgeAccess<'a> = dyn Fn(&RunId) -> Result<Box<dyn Purger>, SinkError> + Sync + 'a;

/// A destination of a purge.
#[derive(Clone, Copy)]
pub struct PurgeDestination<'a> {
    /// Its name.
    pub name: &'a DestinationName,
    /// The destination itself: tombstones and snapshots are stored there as any copy is.
    pub sink: &'a dyn Sink,
    /// Opens it with the right to delete, which the account that copies need not have.
    pub purger: &'a PurgeAccess<'a>,
}

/// What a purge works with.
#[derive(Clone, Copy)]
pub struct PurgeSetup<'a> {
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Every destination that there is.
    pub destinations: &'a [PurgeDestination<'a>],
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

impl PurgeSetup<'_> {
    /// What is cut off some time after a signal.
    fn cuts<'b>(&'b self, catalog: &'b dyn Catalog) -> Vec<Cut<'b>> {
        let mut cuts = vec![Cut::databases(self.stop, Some(catalog), self.ledger)];
        cuts.extend(self.destinations.iter().map(|it| Cut::new(self.stop, || it.sink.interrupt())));
        cuts
    }
}

/// A person, as the system knows them: whoever logged in, not whom they became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name of the user.
    pub user: String,
    /// Their number on this host.
    pub uid: u32,
}

impl Person {
    fn sign(&self, agent: &Agent) -> Signed {
        Signed { at: now(), user: self.user.clone(), uid: self.uid, host: agent.host.clone() }
    }
}

/// One purge with what it has still to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgeStatus {
    /// The purge.
    #[serde(flatten)]
    pub purge: Purge,
    /// Things that are still there.
    pub left: u64,
    /// Of these, locked ones.
    pub locked: u64,
    /// Things that are gone.
    pub gone: u64,
    /// When the first of the locks ends, RFC 3339 UTC.
    pub locked_until: Option<String>,
}

/// All purges, with what each has still to do, the first one first.
///
/// # Errors
/// [`dvb_ledger::LedgerError`].
pub fn list_purges(ledger: &dyn Ledger) -> Result<Vec<PurgeStatus>, dvb_ledger::LedgerError> {
    let all = ledger.purges()?.into_iter();
    all.map(|purge| {
        let targets = ledger.purge_targets(purge.number)?;
        Ok(status_of(purge, &targets))
    })
    .collect()
}

/// How many purges wait for something: their approval, a lock, a destination.
///
/// # Errors
/// [`dvb_ledger::LedgerError`].
pub fn count_waiting_purges(ledger: &dyn Ledger) -> Result<u64, dvb_ledger::LedgerError> {
    Ok(ledger.purges()?.iter().filter(|it| it.state.is_open()).count() as u64)
}

fn status_of(purge: Purge, targets: &[PurgeTarget]) -> PurgeStatus {
    let is_over = matches!(purge.state, PurgeState::Withdrawn);
    let of = |wanted: fn(&TargetState) -> bool| targets.iter().filter(|it| wanted(&it.state)).count() as u64;
    let locks = targets.iter().filter_map(|it| match &it.state {
        TargetState::Locked(until) => until.clone(),
        TargetState::Pending | TargetState::Gone(_) => None,
    });
    PurgeStatus {
        left: if is_over { 0 } else { of(|it| !matches!(it, TargetState::Gone(_))) },
        locked: of(|it| matches!(it, TargetState::Locked(_))),
        gone: of(|it| matches!(it, TargetState::Gone(_))),
        locked_until: locks.min(),
        purge,
    }
}

/// The purge of a number.
fn find(ledger: &dyn Ledger, number: u64) -> Result<Purge, PurgeError> {
    let found = ledger.purges()?.into_iter().find(|it| it.number == number);
    found.ok_or(PurgeError::NoSuchPurge { number })
}
