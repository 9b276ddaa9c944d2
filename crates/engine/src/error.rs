//! Why a run did not take place, or gave up.

use std::path::PathBuf;

use dvb_catalog::CatalogError;
use dvb_ledger::LedgerError;
use thiserror::Error;

/// A run did not take place, or gave up before it looked at any data file. What goes wrong later is in the
/// [`Summary`](crate::Summary).
#[derive(Debug, Error)]
pub enum RunError {
    /// The catalogue could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The ledger could not be used; also when another run holds the lock.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// More data files have left the catalogue than is plausible (facts 5.5). Nothing was copied or marked.
    #[error(
        "{missing} of the {known} data files known at destination {destination:?} are no longer in the catalogue, more \
         than the {limit} % that may disappear between two runs. Nothing was done, and all copies are kept. If it is \
         the right database and they were meant to go, confirm with: run --accept-disappearance"
    )]
    Disappearance {
        /// Name of the destination.
        destination: String,
        /// How many are gone.
        missing: u64,
        /// How many were known and not gone before.
        known: u64,
        /// The share that is allowed, in percent.
        limit: f64,
    },
    /// What another destination of the same call failed with stops this one too.
    #[error("{text}")]
    Together {
        /// What it was, with its causes.
        text: String,
        /// How the run ends therefore.
        ending: crate::Ending,
    },
    /// There was a signal, or no time was left.
    #[error("stopped before it was known what is due; nothing was done")]
    Stopped,
    /// A name of the selection leads nowhere.
    #[error("there is no {what} {given:?}{}", suggestion(near))]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// As it was given.
        given: String,
        /// What there is instead, the nearest first.
        near: Vec<String>,
    },
    /// A name of the selection is none.
    #[error("{text}")]
    NoName {
        /// What is wrong with it.
        text: String,
    },
    /// The selection names nothing that the catalogue has.
    #[error("the catalogue has no data file of this selection; check the PID, id, storage identifier or store")]
    NothingSelected,
    /// The selection names nothing that has a copy.
    #[error(
        "destination {destination} has no proved copy of this selection; check the PID, id, storage identifier or store, \
         and see dataverse-backup status"
    )]
    NoCopies {
        /// Name of the destination.
        destination: String,
    },
    /// Nothing was ever copied there.
    #[error(
        "destination {destination} has no proved copy yet, so there is nothing to verify, and nothing is safe there: \
         dataverse-backup run makes the copies"
    )]
    NothingToVerify {
        /// Name of the destination.
        destination: String,
    },
    /// Nothing is where the copies were: more likely another folder than all lost at once.
    #[error(
        "none of {probed} copies that were looked for is at destination {destination}: is it mounted, and is it the right \
         folder? Nothing was stored or recorded. If all copies are really lost, this makes them again: \
         run --copies-lost --destination {destination}"
    )]
    AllMissing {
        /// Name of the destination.
        destination: String,
        /// Copies that were looked for, of those in scope.
        probed: usize,
    },
    /// The destination cannot be had.
    #[error("{text}")]
    Destination {
        /// What went wrong, with its causes.
        text: String,
        /// How it ends therefore.
        ending: crate::Ending,
    },
    /// A ledger that knows something is not made again.
    #[error(
        "the ledger knows destination {destination} already, and what it knows is not overwritten. To make it again, name \
         another one in [Database] BackupDatabase, or move it away first"
    )]
    NotBlank {
        /// Name of the destination.
        destination: String,
    },
    /// There is no snapshot that could be used.
    #[error("destination {destination} has no snapshot that could be used{}{}", if why.is_empty() { "" } else { ": " }, why.join("; "))]
    NoSnapshot {
        /// Name of the destination.
        destination: String,
        /// What is wrong with each of those that are there.
        why: Vec<String>,
    },
    /// The list of what is due could not be kept.
    #[error("{}", spool_text(folder, source))]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn spool_text(folder: &std::path::Path, source: &std::io::Error) -> String {
    let folder = folder.display();
    if dvb_model::is_full(source) {
        format!(
            "no space left in {folder} for the list of what is due, which needs about 200 bytes a data file; make room \
             there, or set TMPDIR to a folder that has room"
        )
    } else {
        format!("cannot keep the list of what is due in {folder}; check that it exists and may be written to")
    }
}

fn suggestion(near: &[String]) -> String {
    match near {
        [] => "; see dataverse-backup status, or the address of the page in Dataverse".to_owned(),
        [one] => format!("; there is {one}"),
        several => format!("; there are {}", several.join(", ")),
    }
}
