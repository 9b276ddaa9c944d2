//! Why a run did not take place, or gave up.

use std::path::PathBuf;

use dvb_catalog::CatalogError;
use dvb_ledger::LedgerError;
use dvb_storage::Unstaged;
use thiserror::Error;

use crate::command::hint::Hint;

/// A run did not take place, or gave up before it looked at any data file. What goes wrong later is in the
/// [`Summary`](crate::run::summary::Summary).
#[derive(Debug, Error)]
pub enum RunError {
    /// The catalogue could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The ledger could not be used; also when another run holds the lock.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A probe could not be stored at a destination, proved, renamed or removed.
    #[error(transparent)]
    Probe(#[from] Unstaged),
    /// More data files have left the catalogue than is plausible (dataverse.md 5.5). Nothing was copied or marked.
    #[error(
        "{missing} of the {known} data files known at destination {destination:?} are no longer in the catalogue, more \
         than the {limit} % that may disappear between two runs. Nothing was done, and all copies are kept"
    )]
    Disappearance {
        /// Name of the destination.
        destination: String,
        /// Data files that the catalogue does not have any more.
        missing: u64,
        /// How many were known and not gone before.
        known: u64,
        /// The share that is allowed, in percent.
        limit: f64,
    },
    /// Very many known files have changed at once. Nothing was copied or marked.
    #[error(
        "{changed} of the {known} data files that are safe at destination {destination} have other checksums in Dataverse's \
         database than their copies, more than the {limit} % that may change at once; and of {read} that were read in the \
         store, {other} have other bytes too. Files in Dataverse do not change by themselves: somebody may have encrypted or \
         replaced them. Nothing was done, and all copies are kept. Look at some of them (an audit names them)"
    )]
    Changes {
        /// Name of the destination.
        destination: String,
        /// Data files with other checksums.
        changed: u64,
        /// Data files that are safe.
        known: u64,
        /// The share that is allowed, in percent.
        limit: f64,
        /// Data files that were read in their store as a sample.
        read: u64,
        /// Those among them with other bytes.
        other: u64,
    },
    /// What another destination of the same call failed with stops this one too.
    #[error("{text}")]
    Together {
        /// What it was, with its causes.
        text: String,
        /// How the run ends therefore.
        ending: crate::command::exit_status::ExitStatus,
        /// What can be done about it.
        hint: Option<Hint>,
    },
    /// There was a signal, or no time was left.
    #[error("stopped before it was known what is due; nothing was done")]
    Stopped,
    /// A name of the selection leads nowhere.
    #[error("there is no {what} {given:?}{}", suggestion(near))]
    Unknown {
        /// What it was to be the name of, in words: `data file`, `storage identifier`, …
        what: &'static str,
        /// The name as it was given.
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
        "destination {destination} has no proved copy of this selection; check the PID, id, storage identifier or store"
    )]
    NoCopies {
        /// Name of the destination.
        destination: String,
    },
    /// Nothing was ever copied there.
    #[error(
        "destination {destination} has no proved copy yet, so there is nothing to verify, and nothing is safe there"
    )]
    NothingToVerify {
        /// Name of the destination.
        destination: String,
    },
    /// Nothing is where the copies were: more likely another folder than all lost at once.
    #[error(
        "none of {probed} copies that were looked for is at destination {destination}: is it mounted, and is it the right \
         folder? Nothing was stored or recorded"
    )]
    AllMissing {
        /// Name of the destination.
        destination: String,
        /// Copies that were looked for, of those in scope.
        probed: usize,
    },
    /// The destination is not there any more.
    #[error("{why}. Copies were there before, so it is not made anew. Nothing was stored or recorded")]
    NotThere {
        /// Name of the destination.
        destination: String,
        /// What is not there.
        why: String,
    },
    /// The destination belongs to another installation.
    #[error(
        "destination {destination} belongs to another installation: {}. Nothing was stored there. Give this installation a \
         folder, container or prefix of its own", owner.describe()
    )]
    Foreign {
        /// Name of the destination.
        destination: String,
        /// The other installation, as the destination's `installation.json` names it.
        owner: Box<crate::command::owner::Owner>,
    },
    /// The destination's mark cannot be read.
    #[error(
        "whose destination {destination} is cannot be said: {name} there is damaged: {why}. Nothing was stored there"
    )]
    Unidentified {
        /// Name of the destination.
        destination: String,
        /// Key of the mark at the destination: `installation.json` in the backup's own folder.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody has stored at the destination whom the ledger does not know.
    #[error(
        "destination {destination} has the snapshot {snapshot} of a run that this ledger knows nothing of: it is another \
         installation's, or the ledger was lost. Nothing was stored there"
    )]
    Strange {
        /// Name of the destination.
        destination: String,
        /// Name of the newest snapshot there.
        snapshot: String,
    },
    /// The destination carries no id, although this installation's was left there.
    #[error(
        "destination {destination} does not carry this installation's id, which was left there on {since}: it is another folder, \
         container or prefix, or its disk is not mounted. Nothing was recorded or stored"
    )]
    NotMarked {
        /// Name of the destination.
        destination: String,
        /// When the id was first seen there, RFC 3339 UTC.
        since: String,
    },
    /// The destination holds the copies of another Dataverse.
    #[error(
        "destination {destination} holds the copies of another Dataverse: its snapshot was made from {source_of_copies}, the \
         catalogue of this configuration is {own}, and of {both} data files whose id both have only {same} are the same. Nothing \
         was taken over or given back"
    )]
    OtherDataverse {
        /// Name of the destination.
        destination: String,
        /// What the snapshot was made from.
        source_of_copies: String,
        /// What the catalogue at hand is read from.
        own: String,
        /// Data files whose id both have.
        both: u64,
        /// Those of them that are the same.
        same: u64,
    },
    /// Nobody can tell whose snapshot is meant.
    #[error(
        "destination {destination} has the snapshots of {} installations, and does not tell whose it is; nothing was taken over \
         or given back. There are: {}", found.len(), found.join("; ")
    )]
    SeveralInstallations {
        /// Name of the destination.
        destination: String,
        /// Each installation, with the number of its snapshots and the newest one.
        found: Vec<String>,
    },
    /// The destination is no second place.
    #[error(
        "destination {destination} and {other} are one place ({how}): a copy there is no second one. Nothing was copied. Give \
         the destination a place of its own"
    )]
    OnePlace {
        /// Name of the destination.
        destination: String,
        /// The store, or another destination.
        other: String,
        /// How it was seen that both are one place, in a sentence.
        how: String,
    },
    /// The store is not the one that the catalogue speaks of, or may not be read.
    #[error(
        "store {store} at {place}: of {looked} objects that were looked for first, {there} are there and none could be read \
         ({why}). Nothing of it was judged or copied. Check the folder, bucket or container of the store, that it is mounted, \
         and what this account may read there"
    )]
    OtherStore {
        /// Driver id of the store.
        store: String,
        /// Its folder, bucket or container, as messages name it.
        place: String,
        /// Objects that were looked for.
        looked: u64,
        /// Objects that are there, of those that were looked for.
        there: u64,
        /// What is wrong with the first one.
        why: String,
    },
    /// The account may read nothing of a store.
    #[error("store {store}: {why}. Nothing of it was judged or copied")]
    StoreDenied {
        /// Driver id of the store.
        store: String,
        /// What may not be read, by whom, and what to grant.
        why: String,
    },
    /// The destination cannot be had.
    #[error("{text}")]
    Destination {
        /// What went wrong, with its causes.
        text: String,
        /// How it ends therefore.
        ending: crate::command::exit_status::ExitStatus,
    },
    /// A ledger that knows something is not made again.
    #[error("the ledger knows destination {destination} already, and what it knows is not overwritten")]
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
        /// The folder for temporary files that it was written to.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl RunError {
    /// What can be done about it, where the text alone does not say it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Disappearance { .. } => Some(Hint::AcceptDisappearance),
            Self::Changes { destination, .. } => Some(Hint::AcceptChanges { destination: destination.clone() }),
            Self::AllMissing { destination, .. } | Self::NotThere { destination, .. } => {
                Some(Hint::CopiesLost { destination: destination.clone() })
            }
            Self::Foreign { destination, .. } => Some(Hint::ClaimForeign { destination: destination.clone() }),
            Self::Strange { destination, .. } => Some(Hint::ClaimStrange { destination: destination.clone() }),
            Self::Unidentified { destination, .. } => Some(Hint::TakeOver { destination: destination.clone() }),
            Self::NotMarked { destination, .. } => Some(Hint::MarkAgain { destination: destination.clone() }),
            Self::NotBlank { .. } => Some(Hint::AnotherLedger),
            Self::OtherDataverse { .. } => Some(Hint::AcceptOtherDataverse),
            Self::SeveralInstallations { .. } => Some(Hint::NameSnapshot),
            Self::NoCopies { .. } => Some(Hint::SeeStatus),
            Self::NothingToVerify { .. } => Some(Hint::RunFirst),
            Self::Unknown { near, .. } if near.is_empty() => Some(Hint::SeeNames),
            Self::Together { hint, .. } => hint.clone(),
            Self::Catalog(it) => it.hint().map(Hint::Catalog),
            Self::Ledger(it) => it.hint().map(Hint::Ledger),
            Self::Probe(_)
            | Self::Stopped
            | Self::Unknown { .. }
            | Self::NoName { .. }
            | Self::NothingSelected
            | Self::OnePlace { .. }
            | Self::OtherStore { .. }
            | Self::StoreDenied { .. }
            | Self::Destination { .. }
            | Self::NoSnapshot { .. }
            | Self::Spool { .. } => None,
        }
    }

    /// A destination could not be used, by what it said.
    pub(crate) fn unusable(destination: &dvb_model::DestinationName, error: &dvb_storage::SinkError) -> Self {
        let text = format!("destination {destination}: {}", error.chain());
        Self::Destination { text, ending: crate::command::exit_status::ExitStatus::of_cause(error.cause) }
    }

    /// The same, where what was made for it could not be removed again.
    pub(crate) fn beside(&self, destination: &dvb_model::DestinationName, left: &dvb_storage::SinkError) -> Self {
        let text = format!(
            "{}; what was made for destination {destination} stays: {}",
            dvb_storage::chain(self),
            left.chain()
        );
        Self::Destination { text, ending: self.into() }
    }
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
        [] => String::new(),
        [one] => format!("; there is {one}"),
        several => format!("; there are {}", several.join(", ")),
    }
}
