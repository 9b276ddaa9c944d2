//! How a run ended, and the exit code that says so (design section 4).

use dvb_catalog::CatalogError;
use dvb_ledger::LedgerError;
use dvb_storage::Cause;

use crate::RunError;

/// How a run ended. Where several apply, the one that comes first here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// A signal of this number ended it early.
    Signalled(u8),
    /// Refused for safety: the host key changed, or too much has left the catalogue.
    Refused,
    /// A database, store or destination cannot be reached: try again later.
    Unreachable,
    /// Another run holds the lock.
    Locked,
    /// The call makes no sense as it is.
    Usage,
    /// Finished, and damage was found at the destination.
    DestinationDamaged,
    /// Finished, and damage was found at the source: missing, or not what Dataverse recorded.
    SourceDamaged,
    /// Finished, but some data files are not safe.
    NotSafe,
    /// Stopped at its time budget or limit, the rest is pending.
    Stopped,
    /// Everything in scope is safe.
    Safe,
}

impl Ending {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Safe => 0,
            Self::NotSafe => 1,
            Self::Usage => 2,
            Self::SourceDamaged => 3,
            Self::DestinationDamaged => 4,
            Self::Unreachable => 5,
            Self::Locked => 6,
            Self::Refused => 7,
            Self::Stopped => 8,
            Self::Signalled(number) => 128_u8.saturating_add(number),
        }
    }

    /// What it means, in a few words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Safe => "everything in scope is safe",
            Self::NotSafe => "finished, but some data files are not safe",
            Self::Usage => "the call or the configuration makes no sense",
            Self::SourceDamaged => "finished, and damage was found at the source",
            Self::DestinationDamaged => "finished, and damage was found at the destination",
            Self::Unreachable => "a database, store or destination could not be reached; try again later",
            Self::Locked => "another run holds the lock",
            Self::Refused => "refused for safety",
            Self::Stopped => "stopped at its time budget or limit, the rest is pending",
            Self::Signalled(_) => "ended by a signal, the rest is pending",
        }
    }
}

impl From<&RunError> for Ending {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Disappearance { .. } | RunError::AllMissing { .. } => Self::Refused,
            RunError::NotBlank { .. } => Self::Refused,
            // As long as something is there, it can be mended by hand, or another one be named.
            RunError::NoSnapshot { .. } => Self::DestinationDamaged,
            RunError::NothingSelected | RunError::NoCopies { .. } => Self::Usage,
            RunError::Together { ending, .. } | RunError::Destination { ending, .. } => *ending,
            RunError::Stopped => Self::Stopped,
            RunError::Spool { .. } => Self::Unreachable,
            RunError::Ledger(it) => it.into(),
            RunError::Catalog(it) => it.into(),
        }
    }
}

impl From<&LedgerError> for Ending {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Locked { .. } | LedgerError::LeftOver { .. } => Self::Locked,
            // Something is to be set up: trying again later does not help.
            LedgerError::NotMigrated { .. }
            | LedgerError::Pooled { .. }
            | LedgerError::Encoding { .. }
            | LedgerError::Corrupt { .. }
            | LedgerError::Newer { .. }
            | LedgerError::TwoOriginals { .. } => Self::Usage,
            LedgerError::Unreachable { .. }
            | LedgerError::Denied { .. }
            | LedgerError::Unproved { .. }
            | LedgerError::Settled { .. }
            | LedgerError::UnknownRun { .. }
            | LedgerError::BadRow { .. }
            | LedgerError::Query { .. } => Self::Unreachable,
        }
    }
}

impl From<&CatalogError> for Ending {
    fn from(_: &CatalogError) -> Self {
        Self::Unreachable
    }
}

impl Ending {
    /// Of a destination that could not be used at all.
    #[must_use]
    pub fn of_cause(cause: Cause) -> Self {
        match cause {
            Cause::Untrusted => Self::Refused,
            // What both sides could agree on, the configuration does not allow.
            Cause::Refused => Self::Usage,
            Cause::Missing
            | Cause::Forbidden
            | Cause::Transient
            | Cause::Unavailable
            | Cause::Full
            | Cause::Exists
            | Cause::Broken
            | Cause::Unnameable
            | Cause::Io => Self::Unreachable,
        }
    }
}
