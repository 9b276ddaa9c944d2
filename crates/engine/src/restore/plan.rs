//! What is asked for: the catalogue's entries of the selection, with what the ledger thinks of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;

use dvb_catalog::{Detail, Entry};
use dvb_ledger::{EntryKind, LedgerError, State};
use dvb_model::{DataFile, Dataset, DvObjectId, Status};
use serde::{Deserialize, Serialize};

use super::names::{Namer, Paths, Version};
use super::{Layout, RestoreError, RestoreOptions, RestoreSetup};
use crate::catalogue::in_step::InStep;
use crate::catalogue::spool::{Spool, Subject};
use crate::command::error::RunError;
use crate::command::observer::Event;
use crate::command::purged::Buried;
use crate::source::fingerprint;

/// One data file or dataset that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    /// Dataverse's row says what it said when the copy was proved, for each destination.
    pub(crate) unchanged: Vec<bool>,
    /// A run found something wrong with it: its size alone says too little.
    pub(crate) suspect: bool,
    /// Whether there are bytes that a backup could have.
    pub(crate) coverage: Coverage,
    /// Where people see it, with [`Layout::NewestNames`] and [`Layout::NamesOf`].
    pub(crate) paths: Option<Paths>,
}

/// What the ledger says of whether there are bytes that a backup could have. The configuration at hand may name no store
/// at all, so its silence says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Coverage {
    /// No destination knows it.
    Unknown,
    /// It is to have a copy.
    Covered,
    /// It was `NOT_COVERED`, for this reason, wherever it is known.
    NotCovered(String),
}

impl Coverage {
    fn of(known: &[Option<State>]) -> Self {
        let mut known = known.iter().flatten();
        match known.next() {
            None => Self::Unknown,
            Some(first) if first.status == Status::NotCovered && known.all(|it| it.status == Status::NotCovered) => {
                Self::NotCovered(first.reason.clone().unwrap_or_default())
            }
            Some(_) => Self::Covered,
        }
    }
}

pub(crate) struct Plan {
    pub(crate) spool: Spool<Asked>,
    pub(crate) files: u64,
    /// Their bytes, as far as Dataverse knows.
    pub(crate) bytes: u64,
    /// Data files of the selection that are not in the version that is shown.
    pub(crate) hidden: u64,
    /// Data files of the selection that were purged: no copy is kept.
    pub(crate) purged: Vec<DvObjectId>,
}

pub(crate) fn spool_failed(options: &RestoreOptions, source: io::Error) -> RestoreError {
    RunError::Spool { folder: options.spool_folder.clone(), source }.into()
}

/// Reads the catalogue beside the ledger's states. Nothing is changed anywhere.
///
/// With `only`, of these data files and datasets, whatever is selected.
pub(crate) fn make(
    setup: &RestoreSetup<'_>,
    options: &RestoreOptions,
    only: Option<&BTreeSet<DvObjectId>>,
) -> Result<Plan, RestoreError> {
    let namer = match &options.layout {
        Layout::Keys => None,
        Layout::NewestNames => Some(Namer::new(newest_versions(setup, options)?, &options.selection)),
        Layout::NamesOf(text) => Some(Namer::of_one(Version::parse(text), &options.selection)),
    };
    let spool = Spool::create(&options.spool_folder).map_err(|it| spool_failed(options, it))?;
    let states = |kind| setup.from.iter().map(|it| InStep::states(setup.ledger, it.name, kind)).collect();
    let mut planner = Planner {
        setup,
        options,
        only,
        namer,
        datasets: states(EntryKind::Dataset),
        data_files: states(EntryKind::DataFile),
        selected: 0,
        elsewhere: BTreeSet::new(),
        buried: Buried::known(setup.ledger).map_err(RunError::from)?,
        plan: Plan { spool, files: 0, bytes: 0, hidden: 0, purged: Vec::new() },
    };
    let mut failure = None;
    read(setup, &mut |entry| planner.enter(entry), &mut failure)?;
    if let Some(failure) = failure {
        return Err(match failure {
            Failure::Ledger(error) => RunError::from(error).into(),
            Failure::Spool(error) => spool_failed(options, error),
        });
    }
    if planner.selected == 0 && !options.selection.is_everything() {
        return Err(RunError::NothingSelected.into());
    }
    if planner.plan.files == 0 && !planner.plan.purged.is_empty() && !options.selection.is_everything() {
        return Err(RestoreError::Purged { files: planner.plan.purged });
    }
    match &options.layout {
        Layout::NamesOf(version) if planner.plan.files == 0 => {
            let versions = planner.elsewhere.iter().map(ToString::to_string).collect();
            Err(RestoreError::NoSuchVersion { version: version.clone(), versions })
        }
        Layout::NewestNames if planner.plan.files == 0 && planner.plan.hidden > 0 => {
            Err(RestoreError::NotShown { versions: planner.elsewhere.iter().map(ToString::to_string).collect() })
        }
        Layout::Keys | Layout::NewestNames | Layout::NamesOf(_) => Ok(planner.plan),
    }
}

fn read(
    setup: &RestoreSetup<'_>,
    enter: &mut dyn FnMut(Entry) -> Result<(), Failure>,
    failure: &mut Option<Failure>,
) -> Result<(), RunError> {
    setup.catalog.read(Detail::Full, &mut |entry| match enter(entry) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    Ok(())
}

/// The newest released version of each dataset of the selection, else its draft: known only after all its files.
fn newest_versions(
    setup: &RestoreSetup<'_>,
    options: &RestoreOptions,
) -> Result<BTreeMap<DvObjectId, Version>, RunError> {
    let mut newest: BTreeMap<DvObjectId, Version> = BTreeMap::new();
    setup.catalog.read(Detail::Full, &mut |entry| {
        if let Entry::DataFile(file) = entry
            && let Some(dataset) = &file.dataset
            && options.selection.has_dataset_of(&file)
        {
            for version in file.versions.iter().filter_map(Version::to_be_shown) {
                let known = newest.entry(dataset.id).or_insert_with(|| version.clone());
                *known = (*known).clone().max(version);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest)
}

enum Failure {
    Ledger(LedgerError),
    Spool(io::Error),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Spool(error)
    }
}

struct Planner<'a> {
    setup: &'a RestoreSetup<'a>,
    options: &'a RestoreOptions,
    only: Option<&'a BTreeSet<DvObjectId>>,
    namer: Option<Namer>,
    /// For each destination, walked in step with the catalogue.
    datasets: Vec<InStep<'a, State>>,
    data_files: Vec<InStep<'a, State>>,
    selected: u64,
    /// Versions that have what the one that is shown lacks.
    elsewhere: BTreeSet<Version>,
    buried: Buried,
    plan: Plan,
}

impl Planner<'_> {
    fn wants(&self, id: DvObjectId) -> bool {
        self.only.is_none_or(|it| it.contains(&id))
    }

    fn enter(&mut self, entry: Entry) -> Result<(), Failure> {
        match entry {
            Entry::Dataset(it) => self.enter_dataset(it),
            Entry::DataFile(it) => self.enter_file(it),
        }
    }

    /// A dataset's own objects are none that a version shows.
    fn enter_dataset(&mut self, dataset: Dataset) -> Result<(), Failure> {
        if self.buried.has(dataset.id)
            || self.namer.is_some()
            || !self.wants(dataset.id)
            || !self.options.selection.has_dataset(&dataset.pid)
        {
            return Ok(());
        }
        let known = states_of(&mut self.datasets, dataset.id)?;
        // A dataset without files is one, too.
        self.selected += 1;
        if known.iter().all(Option::is_none) {
            return Ok(());
        }
        let suspect = known.iter().flatten().any(|it| it.status != Status::Ok);
        let coverage = Coverage::Covered;
        let asked = Asked { subject: Subject::Dataset(dataset), unchanged: Vec::new(), suspect, coverage, paths: None };
        Ok(self.plan.spool.push(&asked)?)
    }

    fn enter_file(&mut self, file: DataFile) -> Result<(), Failure> {
        if !self.wants(file.id) || !self.options.selection.has(&file, &self.setup.stores.default.0) {
            return Ok(());
        }
        self.selected += 1;
        if self.buried.has(file.id) {
            self.plan.purged.push(file.id);
            return Ok(());
        }
        if self.selected.is_multiple_of(10_000) {
            self.setup.observer.event(&Event::Planning { seen: self.selected });
        }
        let paths = match &mut self.namer {
            None => None,
            Some(namer) => match namer.name(&file) {
                Some(it) => Some(it),
                // It is none of this version.
                None => {
                    self.plan.hidden += 1;
                    self.elsewhere.extend(file.versions.iter().filter_map(Version::of));
                    return Ok(());
                }
            },
        };
        let known = states_of(&mut self.data_files, file.id)?;
        let now = fingerprint::of_data_file(&file, self.options.auxiliary_objects);
        let unchanged =
            known.iter().map(|known| known.as_ref().is_some_and(|state| state.fingerprint == now)).collect();
        let suspect = known.iter().flatten().any(|it| it.status != Status::Ok);
        let coverage = Coverage::of(&known);
        self.plan.files += 1;
        self.plan.bytes += Subject::bytes_of(&file);
        Ok(self.plan.spool.push(&Asked { subject: Subject::DataFile(file), unchanged, suspect, coverage, paths })?)
    }
}

/// What each destination's ledger says of `id`; those before it are of no interest.
fn states_of(all: &mut [InStep<'_, State>], id: DvObjectId) -> Result<Vec<Option<State>>, LedgerError> {
    all.iter_mut().map(|states| states.find(id)).collect()
}
