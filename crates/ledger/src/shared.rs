//! Several hosts share one run: who takes which range of its work, and who has lost what it took.
//!
//! A range is claimed with a token, which every write for it names ([`SharedRuns::fenced`]): whoever lost it can record
//! nothing more. Planning and closing are ranges like any other, of which there is one each.

use std::time::Duration;

use dvb_model::{DestinationName, RunId};

use crate::{Ledger, LedgerError, Lock};

/// So many hosts may die with a range before it is set aside.
pub(crate) const DEATHS: i32 = 3;

/// What is done in a shared run, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// One host finds out what is due, and makes ranges of it.
    Plan,
    /// Every host works.
    Work,
    /// One host describes what all have done.
    Close,
}

/// Who wants to take part in which run.
#[derive(Debug, Clone)]
pub struct Joining {
    /// `run`, `verify` or `audit`.
    pub command: &'static str,
    /// Whose copies it is about.
    pub destination: DestinationName,
    /// It goes on beside what has the destination, and is shared among its own kind alone.
    pub beside: bool,
    /// This process's own name, which is the shared run's too where it is the first one.
    pub id: RunId,
    /// Its host.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// What all that take part must be asked for alike.
    pub parameters: String,
    /// How long a host may give no sign before what it claimed is given to others. The first one's counts for all.
    pub lease: Duration,
}

/// A range that was claimed, as every write for it names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub(crate) shared: i32,
    pub(crate) worker: String,
    /// What it is about.
    pub phase: Phase,
    /// Which range of it.
    pub number: i32,
    /// Rises each time that the range is claimed, from 1.
    pub token: i64,
}

/// A range with its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// By which it is named.
    pub lease: Lease,
    /// Data files in it.
    pub files: u64,
    /// What they are; empty for planning and closing.
    pub work: Vec<u8>,
}

/// What there is to do for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This.
    Claimed(Claimed),
    /// Nothing now: others have what there is. Ask again.
    Wait(Phase),
    /// Nothing any more.
    Done,
    /// Nothing any more: the run was given up before its end.
    GivenUp,
}

/// A range of work, as the host that plans makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkRange {
    /// From 0, without a gap.
    pub number: i32,
    /// Data files in it.
    pub files: u64,
    /// What they are.
    pub work: Vec<u8>,
}

/// What a host has done in a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// JSON.
    pub text: String,
    /// Data files that were looked at.
    pub files: u64,
    /// Bytes that were sent and proved.
    pub bytes: u64,
}

/// What became of one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeEnd {
    /// Which.
    pub number: i32,
    /// Data files in it.
    pub files: u64,
    /// As the host left it; `None`: it was set aside, for several hosts died with it.
    pub result: Option<String>,
}

/// The run that hosts share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRun {
    pub(crate) number: i32,
    /// Its name.
    pub run: RunId,
    /// When the first one came, RFC 3339 UTC.
    pub began: String,
    /// How long a host may give no sign.
    pub lease: Duration,
}

/// A host that takes part in a shared run, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its host.
    pub host: String,
    /// Its number there.
    pub pid: u32,
    /// When it came, RFC 3339 UTC.
    pub joined: String,
    /// Its last sign of life, RFC 3339 UTC.
    pub seen: String,
    /// How long ago that is, by the ledger's clock.
    pub silent: Duration,
    /// It has ended in order.
    pub has_left: bool,
    /// Ranges that it has done.
    pub ranges: u64,
    /// Data files in them; of `verify`, copies.
    pub files: u64,
    /// Bytes that it sent and proved, or read and compared.
    pub bytes: u64,
}

/// A shared run that has not ended, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStatus {
    /// Its name.
    pub run: RunId,
    /// `run`, `verify` or `audit`.
    pub command: String,
    /// What is done now.
    pub phase: Phase,
    /// When it began, RFC 3339 UTC.
    pub began: String,
    /// How long a host may give no sign.
    pub lease: Duration,
    /// Ranges of work, and those of them that are done or set aside.
    pub ranges: u64,
    /// Those that are done.
    pub done: u64,
    /// Those that are set aside.
    pub aside: u64,
    /// Who takes part, in the order in which they came.
    pub workers: Vec<Worker>,
}

/// A host's part in a shared run, from when it joins until it is dropped. As long as it lives, a thread and a connection
/// of its own tell the ledger so, whatever the host is busy with.
pub trait Presence: Send + Sync {
    /// The run that it takes part in.
    fn run(&self) -> &SharedRun;

    /// This host's sign of life, as the lock that a run wants: held as long as the last sign is younger than the lease.
    fn lock(&self) -> Box<dyn Lock>;

    /// Why it takes no part any more, if so: another run has the destination, or the run was given up.
    fn is_over(&self) -> Option<String>;

    /// Claims a range. What hosts that give no sign had claimed is given back first where there is nothing else.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn claim(&self) -> Result<Next, LedgerError>;

    /// Gives a range back without a result, for whoever claims it next. Says whether it was still this host's. With `blame`,
    /// it counts as a death.
    ///
    /// # Errors
    /// [`LedgerError`]; the range is given back all the same, as soon as the ledger answers.
    fn give_back(&self, lease: &Lease, blame: bool) -> Result<bool, LedgerError>;

    /// The range is done.
    ///
    /// # Errors
    /// [`LedgerError::LostLease`], where it is not this host's any more: somebody else does it again, and nothing of this
    /// result counts.
    fn finish(&self, lease: &Lease, result: &RangeResult) -> Result<(), LedgerError>;
}

/// Runs that several hosts share.
pub trait SharedRuns: Send + Sync {
    /// Takes part in the shared run of a destination, or begins one where there is none. A run that was left by all that took
    /// part is given up, and another one begins: what it recorded stays.
    ///
    /// # Errors
    /// [`LedgerError::Locked`], where somebody has the destination alone; [`LedgerError::OtherParameters`].
    fn join(&self, joining: &Joining) -> Result<Box<dyn Presence>, LedgerError>;

    /// The ledger, for the work on a range: each of its changes checks in its own transaction that the range is still held.
    ///
    /// Changes fail as [`LedgerError::LostLease`] where it is not.
    fn fenced(&self, lease: &Lease) -> Box<dyn Ledger>;

    /// Takes away the ranges that a host which died while it planned has left.
    ///
    /// # Errors
    /// [`LedgerError::LostLease`] and others.
    fn clear_plan(&self, plan: &Lease) -> Result<(), LedgerError>;

    /// Adds ranges of work. Nobody sees them before the plan is finished.
    ///
    /// # Errors
    /// [`LedgerError::LostLease`] and others.
    fn add_ranges(&self, plan: &Lease, ranges: &[WorkRange]) -> Result<(), LedgerError>;

    /// What the host that planned left to the others; `None` before that.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn plan(&self, run: &SharedRun) -> Result<Option<String>, LedgerError>;

    /// What all have done, as the host that closed left it; `None` before that.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn total(&self, run: &SharedRun) -> Result<Option<String>, LedgerError>;

    /// Visits what became of each range of work, in their order.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn visit_results(&self, run: &SharedRun, visit: &mut dyn FnMut(RangeEnd)) -> Result<(), LedgerError>;

    /// The shared runs of a destination that have not ended, and who takes part: at most one that has it, and one beside.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn shared_status(&self, destination: &DestinationName) -> Result<Vec<SharedStatus>, LedgerError>;
}

impl Phase {
    pub(crate) fn number(self) -> i16 {
        match self {
            Self::Plan => 0,
            Self::Work => 1,
            Self::Close => 2,
        }
    }

    pub(crate) fn of(number: i16) -> Option<Self> {
        [Self::Plan, Self::Work, Self::Close].into_iter().find(|it| it.number() == number)
    }
}
