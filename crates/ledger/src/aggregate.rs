//! Sums over everything that the ledger has: what a report says of a repository as a whole.

use dvb_model::DestinationName;
use serde::{Deserialize, Serialize};

use crate::LedgerError;
use crate::decode::number;

/// Data files that a number of destinations have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesByCopies {
    /// How many destinations have a proved copy, as [`StateDetail::destinations`](crate::StateDetail::destinations) counts.
    pub copies: u64,
    /// How many data files.
    pub files: u64,
    /// Bytes of their proved objects, all versions, at the destination that has most of each; a data file without any counts
    /// as empty, because the ledger has no size of it.
    pub bytes: u64,
}

/// Proved copies at a destination that were proved last on one day, by one evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofDay {
    /// The day (UTC), `2026-01-31`.
    pub day: String,
    /// The evidence of the proof: `remote-hash` or `read-back`.
    pub evidence: String,
    /// Whether it was before the time that was asked about.
    pub overdue: bool,
    /// Copies that were proved so; each version of an object is one.
    pub copies: u64,
    /// Size of these copies in bytes.
    pub bytes: u64,
}

/// Data files whose bytes were last read in their store, and found good, on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDay {
    /// The day (UTC), `2026-01-31`; empty: never, as far as is known.
    pub day: String,
    /// Whether it was before the time that was asked about.
    pub overdue: bool,
    /// How many data files.
    pub files: u64,
}

/// Copies that the ledger first knew in one month, and that are proved today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiesOfMonth {
    /// The month (UTC), `2026-01`.
    pub month: String,
    /// Copies of that month; each version of an object is one.
    pub copies: u64,
    /// Size of these copies in bytes.
    pub bytes: u64,
}

/// Copies at a destination that are not proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnprovedCopies {
    /// Found missing or changed, and not replaced.
    pub damaged: u64,
    /// Told of by a snapshot, after the ledger was lost, and not looked at yet.
    pub claimed: u64,
}

/// What a reason says behind this is of one data file alone: reasons are counted by what stands before it.
pub const OF_ONE_FILE: &str = "; reference ";

/// Sums over everything. Each call is one transaction, in which the database adds up; memory does not grow with what it adds.
pub trait Aggregates {
    /// Who this installation is; `None` before its first run. Nothing is made.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn installation_id(&self) -> Result<Option<String>, LedgerError>;

    /// Data files by the number of destinations that have them, in the order of that. What no destination covers, and what is
    /// gone, is left out, as in [`Verdicts::spread`](crate::Verdicts::spread), which has the same numbers of data files.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn files_by_copies(&self) -> Result<Vec<FilesByCopies>, LedgerError>;

    /// Data files that no destination covers, by the reason, the most frequent first, at most `limit` reasons; and how many
    /// there are with any reason. What is gone is left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn not_covered(&self, limit: u32) -> Result<(Vec<(String, u64)>, u64), LedgerError>;

    /// The proved copies at a destination, those of what is gone among them, by the day of their last proof, the first day
    /// first. Those proved before a time (RFC 3339 UTC) are overdue.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn proofs_by_day(
        &self,
        destination: &DestinationName,
        overdue_before: Option<&str>,
    ) -> Result<Vec<ProofDay>, LedgerError>;

    /// The copies at a destination that are not proved.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn unproved_copies(&self, destination: &DestinationName) -> Result<UnprovedCopies, LedgerError>;

    /// The data files that are covered and not gone, each once, by the day when they were last read in their store and found
    /// good, the first day first. Those read before a time (RFC 3339 UTC), or never, are overdue.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn audits_by_day(&self, overdue_before: Option<&str>) -> Result<Vec<AuditDay>, LedgerError>;

    /// The proved copies of all destinations, by the month in which the ledger first knew them, the first month first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn copies_by_month(&self) -> Result<Vec<CopiesOfMonth>, LedgerError>;
}

/// A count or a sum, as the databases have it.
pub(crate) fn sum(value: i64) -> Result<u64, LedgerError> {
    number(value, "sum", 0)
}
