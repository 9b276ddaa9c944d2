//! Why a restore did not take place.

use dvb_model::DvObjectId;
use thiserror::Error;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::Ends;

/// A restore did not take place: nothing was looked at.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// What also keeps a run from taking place: catalogue, ledger, selection, room for the list.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No dataset of the selection has this version.
    #[error("no dataset of this selection has a version {version:?} with files. {}", other_versions(versions))]
    NoSuchVersion {
        /// As it was given.
        version: String,
        /// Those that there are.
        versions: Vec<String>,
    },
    /// The data files are there, but not in the version that is shown.
    #[error(
        "no data file of this selection is in the version that --names shows: the newest one that was released, or the \
         draft where none was. {}",
        other_versions(versions)
    )]
    NotShown {
        /// The versions that have some of them.
        versions: Vec<String>,
    },
    /// The ledger knows them, the catalogue does not.
    #[error(
        "the catalogue has no data file of this selection: {} left Dataverse{}. The copies are kept: dataverse-backup \
         status --gone lists them with their keys, and restore --from-snapshot=NAME gives back what was there when that \
         snapshot was made",
        some(files),
        since.as_ref().map(|it| format!(" (since {it})")).unwrap_or_default()
    )]
    Gone {
        /// Which.
        files: Vec<DvObjectId>,
        /// When a run noticed the first of them.
        since: Option<String>,
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

fn other_versions(versions: &[String]) -> String {
    if versions.is_empty() {
        return "No version has any; without --names they come in Dataverse's own layout".to_owned();
    }
    let options: Vec<_> = versions.iter().take(NAMED).map(|it| format!("--version {it}")).collect();
    format!("Available with {}", options.join(" or "))
}

impl From<&RestoreError> for ExitStatus {
    fn from(error: &RestoreError) -> Self {
        match error {
            RestoreError::Run(it) => it.into(),
            RestoreError::NoSuchVersion { .. } | RestoreError::NotShown { .. } | RestoreError::Gone { .. } => {
                Self::Usage
            }
        }
    }
}

impl Ends for RestoreError {
    fn exit_status(&self) -> ExitStatus {
        self.into()
    }
}
