//! Until when copies are locked against being deleted.

use dvb_model::{DestinationName, ObjectKey};

use crate::{CopyRecord, LedgerError};

/// A proved copy, with its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedCopy {
    /// The copy, as the ledger has it.
    pub copy: CopyRecord,
    /// Until when it cannot be deleted, as the destination last told, RFC 3339 UTC; `None` where that is not known.
    pub locked_until: Option<String>,
}

/// What is known of the locks at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// When the first of them ends, RFC 3339 UTC.
    pub earliest: String,
    /// Proved copies of which no lock is known.
    pub unlocked: u64,
}

/// Locks of copies, where a destination has them.
pub trait Retentions {
    /// Proved copies whose lock ends before `before`, the soonest first; with `unlocked`, behind those that have none, as far
    /// as is known. At most `limit`, behind `after`. What a purge that is not done yet will delete is left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn locks_due(
        &self,
        destination: &DestinationName,
        before: &str,
        unlocked: bool,
        after: Option<&LockedCopy>,
        limit: u32,
    ) -> Result<Vec<LockedCopy>, LedgerError>;

    /// Records until when copies are locked, by their keys. A copy that is proved to be stored anew has no lock, as far as is
    /// known, until this is said of it again.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_locks(&self, destination: &DestinationName, locks: &[(ObjectKey, String)]) -> Result<(), LedgerError>;

    /// When the first lock ends, of what is not to be purged; `None` where no copy has one.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn retention(&self, destination: &DestinationName) -> Result<Option<Retention>, LedgerError>;
}
