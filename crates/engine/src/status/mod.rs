//! `status`: what the ledger knows, without a look at anything else.

mod files;
mod history;
mod hosts;
mod require;
mod runs;

use std::collections::{BTreeMap, HashSet};

use dvb_ledger::{Acknowledgement, Ledger, LedgerError, Retention};
use dvb_model::{DestinationName, DvObjectId, Status};
use serde::Serialize;

use crate::command::exit_status::ExitStatus;
use crate::command::selection::Selection;

pub use files::{DatasetStatus, FileStatus, GoneFile, KeptCopy, Listed, gone_files, list_files, unsafe_datasets};
pub use history::{BytesStatus, CopyCustody, FileCustody, FileHistory, IncidentStatus};
pub use hosts::{HostState, HostStatus, SharedRunStatus};
pub use require::{Requirement, Shortfall, TooFew, Untouched, UntouchedKind, shortfall};
pub use runs::{LastRun, NotBegun, RunEnd, RunStatus};

/// What `status` works with.
#[derive(Clone, Copy)]
pub struct StatusSetup<'a> {
    /// The ledger that all of it is read from; nothing else is looked at.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination that is asked about.
    pub destination: &'a DestinationName,
    /// Name of this host: whether a run of it is alive can be seen here.
    pub host: &'a str,
}

/// What the ledger knows of one destination; serialised, it is what `--json` prints of it.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationStatus {
    /// Name of the destination.
    pub destination: DestinationName,
    /// Data files in scope by their verdicts; each verdict is there, also with 0.
    #[serde(serialize_with = "by_name")]
    pub counts: Vec<(Status, u64)>,
    /// How many of them are lost or damaged as was acknowledged.
    pub acknowledged: u64,
    /// A run of everything has ended, so the counts are all that there is.
    pub complete: bool,
    /// Data files that have left the catalogue; their copies are kept.
    pub gone: u64,
    /// Copies that a snapshot names and nothing has proved yet.
    pub claimed_copies: u64,
    /// Datasets whose own objects are not safe, of those that were asked for.
    pub datasets: Vec<DatasetStatus>,
    /// When the copy was proved whose proof is the oldest, RFC 3339 UTC.
    pub oldest_proof: Option<String>,
    /// Until when copies are locked; `None` where none is, as far as is known.
    pub locks: Option<LockStatus>,
    /// The newest of [`DestinationStatus::runs`].
    pub last_run: Option<RunStatus>,
    /// The newest runs, the newest first.
    pub runs: Vec<RunStatus>,
    /// What several hosts share now: at most one `run` or `verify`, and one `audit`.
    pub shared_runs: Vec<SharedRunStatus>,
    /// Why the counts are not all that there is; `None` where they are.
    #[serde(skip)]
    pub not_begun: Option<NotBegun>,
    /// How the last `run` ended, where no count tells it: it was refused, or could not work.
    #[serde(skip)]
    pub did_nothing: Option<LastRun>,
    /// The data files whose loss is acknowledged.
    #[serde(skip)]
    pub known: HashSet<DvObjectId>,
    /// What the counts come to.
    #[serde(skip)]
    pub counted: ExitStatus,
}

/// Until when copies at a destination are locked against being deleted, as it told when they were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockStatus {
    /// When the first lock ends, RFC 3339 UTC.
    pub earliest: String,
    /// Proved copies of which no lock is known.
    pub unlocked: u64,
}

impl DestinationStatus {
    /// How many data files have this verdict.
    #[must_use]
    pub fn count(&self, status: Status) -> u64 {
        count_of(&self.counts, status)
    }

    /// What this destination's state comes to, with what its last run could not do.
    #[must_use]
    pub fn ending(&self) -> ExitStatus {
        let of_last_run = self.did_nothing.as_ref().map_or(ExitStatus::Safe, |last| last.ending);
        self.counted.min(of_last_run).min(self.of_datasets())
    }

    /// What its datasets' own objects come to.
    #[must_use]
    pub fn of_datasets(&self) -> ExitStatus {
        self.datasets.iter().map(|dataset| ending_of(dataset.status)).min().unwrap_or(ExitStatus::Safe)
    }
}

/// What a verdict comes to. Whether a source is damaged or only unreadable, it does not tell.
#[must_use]
pub fn ending_of(status: Status) -> ExitStatus {
    match status {
        Status::Ok | Status::NotCovered | Status::Purged => ExitStatus::Safe,
        Status::Pending | Status::FailRead | Status::FailWrite => ExitStatus::NotSafe,
        Status::FailChecksum => ExitStatus::SourceDamaged,
        Status::FailVerify => ExitStatus::DestinationDamaged,
    }
}

/// Asks the ledger for the state of one destination; of datasets, for those of the selection.
///
/// # Errors
/// [`LedgerError`].
pub fn status(setup: &StatusSetup<'_>, selection: &Selection) -> Result<DestinationStatus, LedgerError> {
    let StatusSetup { ledger, destination, .. } = *setup;
    let (counts, gone) = ledger.counts(destination)?;
    let acknowledged = crate::acknowledge::acknowledged(ledger, destination)?;
    let past = runs::Past::read(setup)?;
    let counted = counted(&counts, &acknowledged);
    Ok(DestinationStatus {
        destination: destination.clone(),
        acknowledged: acknowledged.len() as u64,
        // What Dataverse has, only a run that has ended can tell.
        counted: if past.not_begun.is_none() { counted } else { counted.min(ExitStatus::NotSafe) },
        complete: past.not_begun.is_none(),
        gone,
        claimed_copies: ledger.count_claimed(destination)?,
        datasets: unsafe_datasets(setup, selection)?,
        oldest_proof: ledger.oldest_proof(destination)?,
        locks: ledger.retention(destination)?.map(|Retention { earliest, unlocked }| LockStatus { earliest, unlocked }),
        last_run: past.shown.first().cloned(),
        runs: past.shown,
        shared_runs: hosts::of(ledger, destination)?,
        not_begun: past.not_begun,
        did_nothing: past.did_nothing,
        known: acknowledged.into_iter().map(|loss| loss.id).collect(),
        counts: Status::ALL.into_iter().map(|status| (status, count_of(&counts, status))).collect(),
    })
}

/// What the verdicts come to that are not all acknowledged.
fn counted(counts: &[(Status, u64)], acknowledged: &[Acknowledgement]) -> ExitStatus {
    let is_new = |(status, count): &&(Status, u64)| {
        *count > acknowledged.iter().filter(|loss| loss.status == *status).count() as u64
    };
    counts.iter().filter(is_new).map(|(status, _)| ending_of(*status)).min().unwrap_or(ExitStatus::Safe)
}

fn count_of(counts: &[(Status, u64)], status: Status) -> u64 {
    counts.iter().filter(|(counted, _)| *counted == status).map(|(_, count)| count).sum()
}

fn by_name<S: serde::Serializer>(counts: &[(Status, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    counts.iter().map(|(status, count)| (status.name(), *count)).collect::<BTreeMap<_, _>>().serialize(serializer)
}
