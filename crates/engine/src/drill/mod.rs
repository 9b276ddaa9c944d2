//! `drill`: does what was backed up come back? A random sample is restored from one destination alone, compared byte for byte,
//! and recorded. "A backup is worth what comes back."

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use dvb_catalog::{Catalog, Detail, Entry};
use dvb_fixity::{Algorithm, Digest, Hasher, RecordedChecksum};
use dvb_ledger::{Agent, CopyState, EntryKind, Ledger};
use dvb_model::{DestinationName, DvObjectId, RunId};
use dvb_storage::Folder;
use serde::Serialize;

use crate::command::LISTED;
use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Observer;
use crate::command::recorded::{Intent, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;
use crate::restore::{
    Goal, Layout, ObjectCounts, RestoreError, RestoreFinding, RestoreOptions, RestoreSetup, SinkAt, give_back,
};
use crate::source::stores::Stores;

/// What a drill works with.
#[derive(Clone, Copy)]
pub struct DrillSetup<'a> {
    /// What should exist, with Dataverse's own checksums.
    pub catalog: &'a dyn Catalog,
    /// The rules by which data files are covered; nothing is read there.
    pub stores: &'a Stores,
    /// The digests of the copies.
    pub ledger: &'a dyn Ledger,
    /// The one destination that everything comes from.
    pub from: SinkAt<'a>,
    /// Where it goes: an empty folder, which the caller removes.
    pub to: &'a dyn Folder,
    /// The same folder, for reading again what came back.
    pub folder: &'a Path,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// Name of this drill.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Among which data files; with an empty selection, all.
    pub selection: Selection,
    /// How many of them, by chance; `None`: all.
    pub sample: Option<usize>,
    /// Workers, each with a session of its own; at least 1.
    pub jobs: usize,
    /// Bytes a second over all workers.
    pub bandwidth_limit: Option<u64>,
    /// Whether runs copy auxiliary files.
    pub auxiliary_objects: bool,
    /// A folder with room for the list of what is asked for.
    pub spool_folder: PathBuf,
}

/// What a drill reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillSummary {
    /// The command that this is the report of: `drill`.
    pub command: &'static str,
    /// Name of the drill.
    pub run_id: RunId,
    /// Where everything came from.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// How long restoring and comparing took, in milliseconds.
    pub milliseconds: u64,
    /// Data files with a copy that the sample was taken from.
    pub population: u64,
    /// Data files of the sample.
    pub sample: u64,
    /// Those that came back with the bytes that the ledger has, and that Dataverse's checksum describes, where there is one.
    pub good: u64,
    /// Of `good`, those with a checksum of Dataverse that what came back was compared with.
    pub by_dataverse: u64,
    /// How many objects were asked for, by what became of them.
    pub objects: ObjectCounts,
    /// Bytes that came back.
    pub bytes: u64,
    /// The first of what did not come back, or not as it was.
    pub failures: Vec<RestoreFinding>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

impl Report for DrillSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.sample
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({
            "population": self.population,
            "sample": self.sample,
            "good": self.good,
            "by_dataverse": self.by_dataverse,
            "objects": self.objects,
            "bytes": self.bytes,
            "milliseconds": self.milliseconds,
        })
    }
}

/// Restores a sample into a folder, from one destination alone, and compares every byte with the ledger's digest and with
/// Dataverse's checksum.
///
/// # Errors
/// [`RestoreError`], when nothing was restored. What goes wrong later is in the [`DrillSummary`].
pub fn drill(setup: &DrillSetup<'_>, options: &DrillOptions) -> Result<DrillSummary, RestoreError> {
    let started = now();
    let intent = Intent {
        command: "drill",
        run: &options.run,
        agent: &options.agent,
        selection: &options.selection,
        destinations: vec![setup.from.name.clone()],
        overrides: Vec::new(),
    };
    let recorded = Recorded::begin(setup.ledger, &intent, &started).map_err(RunError::from)?;
    let cuts = vec![
        Cut::new(setup.stop, || setup.from.sink.interrupt()),
        Cut::databases(setup.stop, Some(setup.catalog), setup.ledger),
    ];
    recorded.finish(watched(cuts, || restore_sample(setup, options, started)))
}

fn restore_sample(
    setup: &DrillSetup<'_>,
    options: &DrillOptions,
    started: String,
) -> Result<DrillSummary, RestoreError> {
    let (population, sample) = sample(setup, options)?;
    if sample.is_empty() {
        let destination = setup.from.name.0.clone();
        return Err(RestoreError::Run(RunError::NothingToVerify { destination }));
    }
    let begun = Instant::now();
    let restore_options = RestoreOptions {
        run: options.run.clone(),
        agent: options.agent.clone(),
        selection: Selection { files: sample.clone(), ..Selection::default() },
        missing: false,
        quick: false,
        layout: Layout::Keys,
        dry_run: false,
        jobs: options.jobs,
        bandwidth_limit: options.bandwidth_limit,
        auxiliary_objects: options.auxiliary_objects,
        spool_folder: options.spool_folder.clone(),
    };
    let from = [setup.from];
    let restore_setup = RestoreSetup {
        catalog: setup.catalog,
        stores: setup.stores,
        ledger: setup.ledger,
        from: &from,
        to: Goal::Folder(setup.to),
        observer: setup.observer,
        stop: setup.stop,
    };
    let restored = give_back(&restore_setup, &restore_options, started)?;
    let mut failures = restored.damaged_copies.clone();
    failures.extend(restored.failures.iter().cloned());
    let bad: BTreeSet<DvObjectId> = failures.iter().filter_map(|it| it.data_file_id).collect();
    // What was not reached says nothing of its bytes.
    let is_cut_short = restored.aborted.is_some() || restored.pending > 0;
    let compared = if is_cut_short { Compared::default() } else { compare(setup, &sample, &bad)? };
    failures.extend(compared.other);
    failures.truncate(LISTED);
    // The copy is what was proved; it is Dataverse that says another checksum now.
    let ending = if compared.bad > 0 { restored.ending.min(ExitStatus::NotSafe) } else { restored.ending };
    Ok(DrillSummary {
        command: "drill",
        run_id: options.run.clone(),
        destination: setup.from.name.clone(),
        started: restored.started,
        finished: now(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        population,
        sample: sample.len() as u64,
        good: compared.good,
        by_dataverse: compared.by_dataverse,
        objects: restored.objects,
        bytes: restored.bytes,
        failures,
        aborted: restored.aborted,
        exit_code: ending.code(),
        ending,
    })
}

/// The data files that have a copy at the destination, counted, and some of them, each with the same chance.
fn sample(setup: &DrillSetup<'_>, options: &DrillOptions) -> Result<(u64, BTreeSet<DvObjectId>), RunError> {
    let (mut population, mut chosen) = (0_u64, Vec::new());
    let default_store = &setup.stores.default.0;
    for holding in setup.ledger.holdings(setup.from.name, EntryKind::DataFile) {
        let holding = holding?;
        let has_copy = holding.copies.iter().any(|it| matches!(it.state, CopyState::Proved | CopyState::Claimed));
        let is_there = holding.detail.gone_since.is_none() && has_copy;
        if !is_there || !options.selection.has_detail(&holding.detail, default_store) {
            continue;
        }
        population += 1;
        let limit = options.sample.unwrap_or(usize::MAX);
        if chosen.len() < limit {
            chosen.push(holding.detail.id);
        } else if let Ok(n) = usize::try_from(fastrand::u64(..population))
            && let Some(one) = chosen.get_mut(n)
        {
            *one = holding.detail.id;
        }
    }
    Ok((population, chosen.into_iter().collect()))
}

/// What the comparison with Dataverse's checksums shows.
#[derive(Default)]
struct Compared {
    good: u64,
    by_dataverse: u64,
    bad: u64,
    other: Vec<RestoreFinding>,
}

/// Reads again what came back: for each data file, one of the objects has to be what Dataverse recorded.
fn compare(
    setup: &DrillSetup<'_>,
    sample: &BTreeSet<DvObjectId>,
    failed: &BTreeSet<DvObjectId>,
) -> Result<Compared, RestoreError> {
    let digests =
        digests(setup.folder).map_err(|source| RunError::Spool { folder: setup.folder.to_owned(), source })?;
    let mut compared = Compared::default();
    let mut visit = |entry| {
        let Entry::DataFile(file) = entry else { return std::ops::ControlFlow::Continue(()) };
        if !sample.contains(&file.id) || failed.contains(&file.id) {
            return std::ops::ControlFlow::Continue(());
        }
        match RecordedChecksum::parse(&file.checksum_value).digest() {
            // The ledger's digest is all there is, and the restore has compared with it.
            None => compared.good += 1,
            Some(recorded) if digests.contains(recorded) => {
                compared.good += 1;
                compared.by_dataverse += 1;
            }
            Some(recorded) => {
                compared.bad += 1;
                compared.other.push(RestoreFinding {
                    data_file_id: Some(file.id),
                    dataset: file.dataset.as_ref().map(|it| it.pid.clone()),
                    storage_identifier: file.storage_identifier.clone(),
                    name: file.label(),
                    key: None,
                    reason: format!(
                        "nothing that came back of it has the {} that Dataverse recorded, {recorded}",
                        recorded.algorithm()
                    ),
                });
            }
        }
        std::ops::ControlFlow::Continue(())
    };
    setup.catalog.read(Detail::Essential, &mut visit).map_err(RunError::from)?;
    Ok(compared)
}

/// All digests of all files below a folder.
fn digests(folder: &Path) -> io::Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    // Where nothing came back, there is no folder.
    let mut folders: Vec<PathBuf> = Some(folder.to_owned()).into_iter().filter(|folder| folder.exists()).collect();
    let mut buffer = vec![0; 1 << 18];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut file = File::open(entry.path())?;
            let mut hasher = Hasher::new(&Algorithm::ALL);
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    n => hasher.update(&buffer[..n]),
                }
            }
            let measured = hasher.finish();
            found.extend(Algorithm::ALL.iter().filter_map(|algorithm| measured.digest(*algorithm).cloned()));
        }
    }
    Ok(found)
}
