//! Why a restore did not take place.

use thiserror::Error;

use crate::{Ending, RunError};

/// A restore did not take place: nothing was looked at.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// What also keeps a run from taking place: catalogue, ledger, selection, room for the list.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No dataset of the selection has this version.
    #[error(
        "no dataset of this selection has a version {version:?} with files; see the versions in Dataverse, or use \"draft\""
    )]
    NoSuchVersion {
        /// As it was given.
        version: String,
    },
}

impl From<&RestoreError> for Ending {
    fn from(error: &RestoreError) -> Self {
        match error {
            RestoreError::Run(it) => it.into(),
            RestoreError::NoSuchVersion { .. } => Self::Usage,
        }
    }
}
