//! Why a restore did not take place.

use dvb_model::DvObjectId;
use thiserror::Error;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::hint::Hint;
use crate::command::recorded::Ends;

/// A restore did not take place: nothing was looked at.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// What also keeps a run from taking place: catalogue, ledger, selection, room for the list.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No dataset of the selection has this version.
    #[error("no dataset of this selection has a version {version:?} with files")]
    NoSuchVersion {
        /// The version as it was given.
        version: String,
        /// The versions that there are, as they may be given.
        versions: Vec<String>,
    },
    /// The data files are there, but not in the version that is shown.
    #[error(
        "no data file of this selection is in the version that is shown: the newest one that was released, or the draft \
         where none was"
    )]
    NotShown {
        /// The versions that have some of them.
        versions: Vec<String>,
    },
    /// The ledger knows them, the catalogue does not.
    #[error(
        "the catalogue has no data file of this selection: {} left Dataverse{}. The copies are kept",
        some(files),
        since.as_ref().map(|it| format!(" (since {it})")).unwrap_or_default()
    )]
    Gone {
        /// Ids of the data files that are gone, in the order of the ids.
        files: Vec<DvObjectId>,
        /// When a run noticed the first of them.
        since: Option<String>,
    },
    /// They were deleted by law.
    #[error("{} been purged: no copy is kept", some(files))]
    Purged {
        /// Which.
        files: Vec<DvObjectId>,
    },
}

/// How many ids a message names.
const NAMED: usize = 5;

fn some(files: &[DvObjectId]) -> String {
    match files {
        [one] => format!("file {one} has"),
        _ => {
            let ids: Vec<_> = files.iter().take(NAMED).map(ToString::to_string).collect();
            let more = if files.len() > NAMED { ", …" } else { "" };
            format!("{} data files ({}{more}) have", files.len(), ids.join(", "))
        }
    }
}

impl RestoreError {
    /// What can be done about it, where the text alone does not say it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Run(it) => it.hint(),
            Self::NoSuchVersion { versions, .. } | Self::NotShown { versions } => {
                Some(Hint::Versions(versions.clone()))
            }
            Self::Gone { .. } => Some(Hint::SeeGone),
            Self::Purged { .. } => Some(Hint::SeePurges),
        }
    }
}

impl From<&RestoreError> for ExitStatus {
    fn from(error: &RestoreError) -> Self {
        match error {
            RestoreError::Run(it) => it.into(),
            RestoreError::NoSuchVersion { .. }
            | RestoreError::NotShown { .. }
            | RestoreError::Gone { .. }
            | RestoreError::Purged { .. } => Self::Usage,
        }
    }
}

impl Ends for RestoreError {
    fn exit_status(&self) -> ExitStatus {
        self.into()
    }
}
