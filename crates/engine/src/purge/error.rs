//! Why a purge did not go on.

use dvb_catalog::CatalogError;
use dvb_ledger::{LedgerError, PurgeState};
use dvb_model::{DestinationName, DvObjectId};
use thiserror::Error;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::hint::Hint;
use crate::command::recorded::Ends;

/// A step of a purge was refused. Nothing was deleted by it.
#[derive(Debug, Error)]
pub enum PurgeError {
    /// What also keeps a run from taking place: catalogue, ledger, selection.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Everything was selected.
    #[error("a purge names the data files or datasets that it is about; nothing was named")]
    NothingNamed,
    /// No destination and no catalogue knows any of it.
    #[error("no destination knows a data file of this selection; check the PID, the id or the storage identifier")]
    NothingKnown,
    /// Dataverse still has them.
    #[error("{} still in Dataverse's catalogue; delete it there first", some(files, "is", "are"))]
    InCatalogue {
        /// Which.
        files: Vec<DvObjectId>,
    },
    /// More than a single purge may be about.
    #[error("the selection has {files} data files, more than the {cap} that one purge may be about")]
    TooMany {
        /// How many were selected.
        files: u64,
        /// How many are allowed.
        cap: u64,
    },
    /// Somebody said that they may not be purged.
    #[error("{} under hold {hold} ({reference})", some(files, "is", "are"))]
    OnHold {
        /// Number of the hold.
        hold: u64,
        /// Why it was placed.
        reference: String,
        /// Which of the selection.
        files: Vec<DvObjectId>,
    },
    /// The ledger knows copies where nobody looks now.
    #[error(
        "the ledger knows copies of {} at destination {destination}, which is not among the destinations that are looked at; \
         the list would not be complete",
        some(files, "", "").trim_end()
    )]
    Elsewhere {
        /// Name of the destination.
        destination: DestinationName,
        /// Which.
        files: Vec<DvObjectId>,
    },
    /// There is none of this number.
    #[error("there is no purge {number}")]
    NoSuchPurge {
        /// As it was given.
        number: u64,
    },
    /// There is none of this number that is not released.
    #[error("there is no hold {number} that could be released")]
    NoSuchHold {
        /// As it was given.
        number: u64,
    },
    /// It has not come so far, or farther.
    #[error("purge {number} is {state}, so it cannot be {wanted}")]
    State {
        /// Its number.
        number: u64,
        /// What it is.
        state: PurgeState,
        /// What was to be done with it.
        wanted: &'static str,
    },
    /// Another list was meant.
    #[error(
        "the digest does not match: the list of purge {number} has {digest}. Read the list again, and approve what you have read"
    )]
    OtherList {
        /// Its number.
        number: u64,
        /// The digest of its list.
        digest: String,
    },
    /// Nobody approves what he asked for.
    #[error(
        "purge {number} was requested by {requester}, and needs the approval of another person; you are {approver}"
    )]
    SamePerson {
        /// Its number.
        number: u64,
        /// Who asked for it.
        requester: String,
        /// Who wants to approve it.
        approver: String,
    },
    /// There is time to think.
    #[error("the grace of purge {number} lasts until {until}; it can be approved then")]
    TooEarly {
        /// Its number.
        number: u64,
        /// When it ends, RFC 3339 UTC.
        until: String,
    },
    /// The ledger's rows are not those that the digest was made of.
    #[error(
        "the list of purge {number} in the ledger is not the one that its digest was made of: somebody has changed it. Nothing \
         is deleted by it"
    )]
    ListChanged {
        /// Its number.
        number: u64,
    },
    /// Something was not there when the list was made.
    #[error(
        "at destination {destination} there is something of purge {number} that is not in its list: {first}{}. The approval is for \
         the list alone, and nothing was deleted",
        if *more > 0 { format!(" and {more} more") } else { String::new() }
    )]
    NotListed {
        /// Its number.
        number: u64,
        /// Name of the destination.
        destination: DestinationName,
        /// The first thing.
        first: String,
        /// How many besides it.
        more: u64,
    },
    /// The basis or the reference says nothing.
    #[error("{what} is empty")]
    Empty {
        /// Which of them.
        what: &'static str,
    },
}

impl From<LedgerError> for PurgeError {
    fn from(error: LedgerError) -> Self {
        Self::Run(error.into())
    }
}

impl From<CatalogError> for PurgeError {
    fn from(error: CatalogError) -> Self {
        Self::Run(error.into())
    }
}

impl From<&PurgeError> for ExitStatus {
    fn from(error: &PurgeError) -> Self {
        match error {
            PurgeError::Run(error) => error.into(),
            PurgeError::NothingNamed
            | PurgeError::NothingKnown
            | PurgeError::NoSuchPurge { .. }
            | PurgeError::NoSuchHold { .. }
            | PurgeError::Empty { .. } => Self::Usage,
            PurgeError::InCatalogue { .. }
            | PurgeError::TooMany { .. }
            | PurgeError::OnHold { .. }
            | PurgeError::Elsewhere { .. }
            | PurgeError::State { .. }
            | PurgeError::OtherList { .. }
            | PurgeError::SamePerson { .. }
            | PurgeError::TooEarly { .. }
            | PurgeError::ListChanged { .. }
            | PurgeError::NotListed { .. } => Self::Refused,
        }
    }
}

impl Ends for PurgeError {
    fn exit_status(&self) -> ExitStatus {
        self.into()
    }
}

impl PurgeError {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Run(error) => error.hint(),
            Self::InCatalogue { .. } => Some(Hint::EvenIfInDataverse),
            Self::TooMany { .. } => Some(Hint::RaiseCap),
            Self::NotListed { .. } | Self::ListChanged { .. } => Some(Hint::RequestAgain),
            Self::NoSuchPurge { .. } | Self::NoSuchHold { .. } | Self::State { .. } | Self::OtherList { .. } => {
                Some(Hint::SeePurges)
            }
            Self::OnHold { .. } => Some(Hint::ReleaseHold),
            Self::NothingNamed
            | Self::NothingKnown
            | Self::Elsewhere { .. }
            | Self::SamePerson { .. }
            | Self::TooEarly { .. }
            | Self::Empty { .. } => None,
        }
    }
}

/// How many ids a message names.
const NAMED: usize = 5;

fn some(files: &[DvObjectId], one: &str, several: &str) -> String {
    match files {
        [id] => format!("data file {id} {one}"),
        _ => {
            let ids: Vec<_> = files.iter().take(NAMED).map(ToString::to_string).collect();
            let more = if files.len() > NAMED { ", …" } else { "" };
            format!("{} data files ({}{more}) {several}", files.len(), ids.join(", "))
        }
    }
}
