//! What a command does as one of several hosts.

use dvb_ledger::Ledger;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::NewRanges;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::Report;

/// What kept something from its end, and how the command would end therefore.
pub(crate) type Trouble = (ExitStatus, String);

/// A command that hosts share. Its ledgers are those of a lease: what a host that lost it would record is refused.
pub(crate) trait Task: Sync {
    /// What came of a range, of one host's part, or of all.
    type Counts: Tallied;
    /// What the host that planned leaves to all.
    type Plan: Serialize + DeserializeOwned;
    /// What ranges of work are made of.
    type Item: Serialize + DeserializeOwned;
    /// Where this host works.
    type Place: Sync;
    /// What a worker takes from one range to the next; gone where a range was interrupted.
    type Hand: Default;
    /// The one summary of all.
    type Summary: Report + DeserializeOwned;

    /// Finds out what there is to do.
    fn plan(&self, ledger: &dyn Ledger, ranges: &mut NewRanges<'_>) -> Result<Self::Plan, RunError>;

    /// Looks whether, from this host, all is where the plan found it.
    fn arrive(&self, plan: Self::Plan) -> Result<Self::Place, RunError>;

    /// Does the work of a range. What breaks down is for the caller to catch.
    fn work_on(&self, place: &Self::Place, range: Range<'_, Self::Item>, hand: &mut Self::Hand) -> Self::Counts;

    /// Puts into words what all have done, and records it.
    fn close(
        &self,
        place: &Self::Place,
        ledger: &dyn Ledger,
        plan: Self::Plan,
        done: Self::Counts,
    ) -> Result<Self::Summary, RunError>;

    /// Keeps what a worker leaves at the end.
    fn put_away(&self, _place: &Self::Place, _hand: Self::Hand) {}

    /// So many of the plan's are in ranges that nobody tries any more.
    fn set_aside(&self, counts: &mut Self::Counts, files: u64, why: String);

    /// Shows how far the work is.
    fn show(&self, _place: &Self::Place) {}

    /// The end of this host's part.
    fn leave(&self, place: Self::Place);
}

/// Counts that are made of those of ranges.
pub(crate) trait Tallied: Default + Serialize + DeserializeOwned + Send {
    fn of_trouble(trouble: Trouble) -> Self;

    fn add(&mut self, other: Self);

    /// What kept the range from its end.
    fn trouble(&self) -> Option<Trouble>;

    /// Something of the range was not looked at.
    fn is_cut(&self) -> bool;

    fn bytes(&self) -> u64;
}

/// A range of work.
pub(crate) struct Range<'a, I> {
    /// For what is recorded of it.
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) items: Vec<I>,
    /// Somebody had it before, and may have recorded some of it.
    pub(crate) again: bool,
}
