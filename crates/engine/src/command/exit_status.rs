//! How a run ended, and the exit code that says so (design.md 4).

use dvb_catalog::CatalogError;
use dvb_ledger::LedgerError;
use dvb_storage::{Cause, Unstaged};

use serde::{Deserialize, Serialize};

use crate::command::error::RunError;

/// How a run ended. Where several apply, the one that comes first here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExitStatus {
    /// A signal of this number ended it early.
    Signalled(u8),
    /// Refused for safety: the host key changed, or too much has left the catalogue.
    Refused,
    /// A disk or a quota is full, and the command could not go on: somebody has to make room.
    NoSpace,
    /// A database, store or destination cannot be reached: try again later.
    Unreachable,
    /// Another run holds the lock.
    Locked,
    /// The command line is invalid, or the configuration names what cannot be used: trying again does not help.
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

impl ExitStatus {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Safe => 0,
            Self::NotSafe => 1,
            Self::Usage => 2,
            Self::SourceDamaged => 3,
            Self::DestinationDamaged => 4,
            Self::NoSpace | Self::Unreachable => 5,
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
            Self::Usage => "invalid command line or configuration",
            Self::SourceDamaged => "finished, and damage was found at the source",
            Self::DestinationDamaged => "finished, and damage was found at the destination",
            Self::NoSpace => "no space left on a disk or in a quota; make room there and try again",
            Self::Unreachable => "cannot connect to a database, store or destination; try again later",
            Self::Locked => "another run holds the lock",
            Self::Refused => "refused for safety",
            Self::Stopped => "stopped at its time budget or limit, the rest is pending",
            Self::Signalled(_) => "ended by a signal, the rest is pending",
        }
    }
}

impl From<&RunError> for ExitStatus {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Disappearance { .. } | RunError::AllMissing { .. } => Self::Refused,
            RunError::NotBlank { .. }
            | RunError::Changes { .. }
            | RunError::Foreign { .. }
            | RunError::Unidentified { .. }
            | RunError::Strange { .. }
            | RunError::NotMarked { .. }
            | RunError::OtherDataverse { .. }
            | RunError::SeveralInstallations { .. }
            | RunError::OnePlace { .. }
            | RunError::StoreDenied { .. }
            | RunError::OtherStore { .. } => Self::Refused,
            // As long as something is there, it can be mended by hand, or another one be named.
            RunError::NoSnapshot { .. } => Self::DestinationDamaged,
            RunError::NothingToVerify { .. } => Self::NotSafe,
            // It was there before, so the configuration is right.
            RunError::NotThere { .. } => Self::Unreachable,
            RunError::Unknown { .. }
            | RunError::NoName { .. }
            | RunError::NothingSelected
            | RunError::NoCopies { .. } => Self::Usage,
            RunError::Together { ending, .. } | RunError::Destination { ending, .. } => *ending,
            RunError::Stopped => Self::Stopped,
            RunError::Spool { source, .. } => Self::of_io(source),
            RunError::Probe(it) => it.into(),
            RunError::Ledger(it) => it.into(),
            RunError::Catalog(it) => it.into(),
        }
    }
}

impl From<&Unstaged> for ExitStatus {
    /// Nothing could be stored at a destination.
    fn from(error: &Unstaged) -> Self {
        match error {
            Unstaged::Sink(it) => Self::of_cause(it.cause),
            Unstaged::Verify(_) => Self::DestinationDamaged,
            Unstaged::Payload(_) => Self::Unreachable,
        }
    }
}

impl From<&LedgerError> for ExitStatus {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Locked { .. } | LedgerError::LeftOver { .. } => Self::Locked,
            LedgerError::Full { .. } | LedgerError::TemporaryFull { .. } => Self::NoSpace,
            LedgerError::Unreachable { .. } | LedgerError::LostLease { .. } => Self::Unreachable,
            LedgerError::Query { .. } if error.is_transient() => Self::Unreachable,
            // Something is to be set up, or to be made good by hand: trying again later does not help.
            LedgerError::Unusable { .. }
            | LedgerError::Pooled { .. }
            | LedgerError::OtherParameters { .. }
            | LedgerError::OfOneHost { .. }
            | LedgerError::Encoding { .. }
            | LedgerError::NotMigrated { .. }
            | LedgerError::Corrupt { .. }
            | LedgerError::Newer { .. }
            | LedgerError::TwoOriginals { .. }
            | LedgerError::Denied { .. }
            | LedgerError::Unproved { .. }
            | LedgerError::Settled { .. }
            | LedgerError::UnknownRun { .. }
            | LedgerError::BadRow { .. }
            | LedgerError::Query { .. } => Self::Usage,
        }
    }
}

impl From<&CatalogError> for ExitStatus {
    fn from(error: &CatalogError) -> Self {
        match error {
            CatalogError::Unreachable { .. } | CatalogError::Conflict { .. } => Self::Unreachable,
            CatalogError::Full { .. } => Self::NoSpace,
            CatalogError::Query { .. } if error.is_transient() => Self::Unreachable,
            CatalogError::Refused { .. }
            | CatalogError::Tls { .. }
            | CatalogError::Denied { .. }
            | CatalogError::UnknownSchema { .. }
            | CatalogError::Query { .. }
            | CatalogError::Unreadable { .. }
            | CatalogError::NotASnapshot { .. }
            | CatalogError::NewerSnapshot { .. }
            | CatalogError::BadLine { .. }
            | CatalogError::CutOff { .. }
            | CatalogError::Write { .. } => Self::Usage,
        }
    }
}

impl ExitStatus {
    /// Of a destination or a store that could not be used at all. Only what may pass by itself is worth another try.
    #[must_use]
    pub fn of_cause(cause: Cause) -> Self {
        match cause {
            Cause::Untrusted => Self::Refused,
            Cause::Full => Self::NoSpace,
            Cause::Misconfigured | Cause::Absent | Cause::Forbidden | Cause::Refused | Cause::Missing => Self::Usage,
            Cause::Transient | Cause::Unavailable | Cause::Exists | Cause::Broken | Cause::Unnameable | Cause::Io => {
                Self::Unreachable
            }
        }
    }

    /// Of a store or destination that failed as a whole or is full; `None` where the failure concerns one object alone.
    pub(crate) fn of_all(cause: Cause) -> Option<Self> {
        (cause.is_of_all() || cause == Cause::Full).then(|| Self::of_cause(cause))
    }

    /// Of a file of this machine that could not be read or written.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        if dvb_model::is_full(error) { Self::NoSpace } else { Self::Unreachable }
    }

    /// The worst of what was found, and of what else happened (design.md 4).
    pub(crate) fn of_found(found: &[(bool, Self)], others: [Option<Self>; 3]) -> Self {
        let found = found.iter().filter(|it| it.0).map(|it| it.1);
        found.chain(others.into_iter().flatten()).min().unwrap_or(Self::Safe)
    }

    /// Keeps the worse of what is known and of what was met.
    pub(crate) fn worsen(known: &mut Option<Self>, met: Option<Self>) {
        *known = known.iter().copied().chain(met).min();
    }
}
