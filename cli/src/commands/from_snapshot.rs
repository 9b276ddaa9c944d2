//! `--from-snapshot`: what a destination tells of itself takes the place of Dataverse's database and of the ledger.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dvb_build::{self as build, BuildError, CatalogueReader};
use dvb_engine::{CancelToken, Fetched, Observer, RebuildSetup, Which, claim_snapshot, fetch_snapshot, new_run_id};
use dvb_ledger::Ledger;
use dvb_model::DestinationName;
use tempfile::TempDir;

use super::Context;
use crate::exit::CommandFailure;
use crate::report;
use dvb_config::Destination;

/// Whether a snapshot takes the place of the databases, and which one.
#[derive(Debug, clap::Args)]
pub(crate) struct FromSnapshot {
    /// Without any database: by what the destination tells of itself
    ///
    /// Takes the newest snapshot at each destination in the place of Dataverse's database and of the ledger; neither is
    /// asked or written to, and [Database] may be absent from the configuration. With --from-snapshot=X it is the one
    /// of that name at the destination, or a file that was fetched before. It is unpacked where temporary files go
    /// (TMPDIR): about 600 bytes a data file.
    #[arg(long, value_name = "X", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    from_snapshot: Option<String>,

    /// Read the snapshot of another Dataverse too: otherwise one that has hardly a data file in common with this
    /// configuration's catalogue is refused (exit code 7), and so are snapshots of several installations
    #[arg(long, requires = "from_snapshot")]
    accept_other_dataverse: bool,
}

impl FromSnapshot {
    pub(crate) fn is_asked(&self) -> bool {
        self.from_snapshot.is_some()
    }
}

/// Which snapshot these words mean; nothing, for the newest.
pub(super) fn which(words: Option<&str>) -> Which {
    match words {
        None | Some("") => Which::Newest,
        Some(path) if path.contains('/') || Path::new(path).is_file() => Which::File(PathBuf::from(path)),
        Some(name) => Which::Named(name.to_owned()),
    }
}

/// One snapshot is that of one destination.
pub(super) fn check(which: &Which, destinations: &[&Destination]) -> Result<(), CommandFailure> {
    if *which == Which::Newest || destinations.len() == 1 {
        return Ok(());
    }
    Err(CommandFailure::Usage("a snapshot is that of one destination: say which one with --destination".to_owned()))
}

/// What is known of the copies: by the ledger, or by snapshots alone.
pub(super) enum KnownCopies {
    Ledger(Box<dyn Ledger>),
    Snapshots(Snapshots),
}

impl KnownCopies {
    /// The ledger for so many workers; where it is asked for, the snapshots of these destinations.
    pub(super) fn open(
        asked: &FromSnapshot,
        context: &Context,
        destinations: &[&Destination],
        workers: u32,
        observer: &dyn Observer,
        stop: &CancelToken,
    ) -> Result<Self, CommandFailure> {
        let Some(words) = &asked.from_snapshot else {
            return Ok(Self::Ledger(build::ledger(&context.config, workers, stop)?));
        };
        let snapshots = Snapshots::fetch(
            (&which(Some(words)), asked.accept_other_dataverse),
            context,
            destinations,
            observer,
            stop,
        )?;
        if context.screen.is_chatty() {
            context.screen.say(&snapshots.describe());
        }
        Ok(Self::Snapshots(snapshots))
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        match self {
            Self::Ledger(it) => it.as_ref(),
            Self::Snapshots(it) => it.ledger.as_ref(),
        }
    }

    /// The catalogue: what the configuration says, or the snapshot that was read last.
    pub(super) fn catalogue(&self, context: &Context) -> Result<CatalogueReader, CommandFailure> {
        let newest = match self {
            Self::Ledger(_) => None,
            Self::Snapshots(it) => it.fetched.iter().max_by(|a, b| a.1.header.made.cmp(&b.1.header.made)),
        };
        Ok(match newest {
            Some((_, it)) => CatalogueReader::Snapshot(it.catalog()),
            None => build::catalogue(&context.config)?,
        })
    }

    /// Destinations of which nothing is known, with the reason.
    pub(super) fn take_refused(&mut self) -> Vec<(DestinationName, CommandFailure)> {
        match self {
            Self::Ledger(_) => Vec::new(),
            Self::Snapshots(it) => std::mem::take(&mut it.refused),
        }
    }
}

/// The snapshots of some destinations, and a ledger that says what they say. All of it goes when this does.
pub(super) struct Snapshots {
    ledger: Box<dyn Ledger>,
    /// Never empty: without any snapshot there is nothing to say.
    fetched: Vec<(DestinationName, Fetched)>,
    refused: Vec<(DestinationName, CommandFailure)>,
    folder: TempDir,
    /// Says that this process lives.
    _lock: File,
}

/// Begins the name of a folder in TMPDIR, which has the names of drafts and restricted files in it.
const SCRATCH: &str = "dataverse-backup-";
const LOCK: &str = "lock";

/// A new folder for the life of this process, for its account alone; those that killed processes left are removed.
fn scratch() -> io::Result<(TempDir, File)> {
    let folder = tempfile::Builder::new().prefix(SCRATCH).tempdir()?;
    let lock = File::create_new(folder.path().join(LOCK))?;
    lock.lock()?;
    let owner = folder.path().metadata()?.uid();
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(SCRATCH)
            && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == owner);
        // One without a lock may be about to get it.
        let is_left = || File::open(entry.path().join(LOCK)).is_ok_and(|it| it.try_lock().is_ok());
        if is_ours && entry.path() != folder.path() && is_left() {
            // What cannot be removed is tried again by the next one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok((folder, lock))
}

/// A folder for temporary files that goes with this, and with the process.
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

pub(super) fn scratch_folder() -> Result<Scratch, CommandFailure> {
    let made = scratch().map_err(|source| CommandFailure::File {
        doing: "make a folder in",
        path: std::env::temp_dir(),
        remedy: "set TMPDIR to one that has room",
        source,
    })?;
    Ok(Scratch { folder: made.0, _lock: made.1 })
}

impl Snapshots {
    /// Those that can be had. One that cannot does not keep the others from helping.
    fn fetch(
        (which, accept_other): (&Which, bool),
        context: &Context,
        destinations: &[&Destination],
        observer: &dyn Observer,
        stop: &CancelToken,
    ) -> Result<Self, CommandFailure> {
        check(which, destinations)?;
        let doing = "make a folder in";
        let (folder, lock) = scratch().map_err(|source| CommandFailure::File {
            doing,
            path: std::env::temp_dir(),
            remedy: "set TMPDIR to one that has room",
            source,
        })?;
        let ledger = build::passing_ledger(folder.path())?;
        let mut all = Self { ledger, fetched: Vec::new(), refused: Vec::new(), folder, _lock: lock };
        for destination in destinations {
            match all.of((which, accept_other), context, destination, observer, stop) {
                Ok(it) => all.fetched.push((destination.name.clone(), it)),
                Err(failure) => all.refused.push((destination.name.clone(), failure)),
            }
        }
        match all.refused.pop() {
            Some((_, failure)) if all.fetched.is_empty() => Err(failure),
            last => {
                all.refused.extend(last);
                Ok(all)
            }
        }
    }

    fn of(
        &self,
        (which, accept_other): (&Which, bool),
        context: &Context,
        destination: &Destination,
        observer: &dyn Observer,
        stop: &CancelToken,
    ) -> Result<Fetched, CommandFailure> {
        let sink = build::sink(destination)?;
        let catalogue = match build::catalogue(&context.config) {
            Ok(reader) => Some(reader),
            // Nothing is configured: what the destination tells is all there is.
            Err(BuildError::NoDatabase { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let setup = RebuildSetup {
            catalogue: catalogue.as_ref().map(CatalogueReader::as_catalog),
            accept_other,
            ledger: self.ledger.as_ref(),
            destination: &destination.name,
            sink: sink.as_ref(),
            observer,
            stop,
        };
        let run = new_run_id();
        let fetched = fetch_snapshot(&setup, which, &run, self.folder.path())?;
        claim_snapshot(&setup, &fetched, &run, context.config.repository.auxiliary_objects)?;
        fetched.notes.iter().for_each(|it| context.screen.warn(&report::of_destination(&destination.name, it)));
        Ok(fetched)
    }

    /// Which snapshots these are, for people.
    fn describe(&self) -> String {
        let one = |(name, it): &(DestinationName, Fetched)| {
            format!("destination {name}: by {}, the catalogue of {}", it.link.name, it.header.made)
        };
        self.fetched.iter().map(one).collect::<Vec<_>>().join("\n")
    }
}
