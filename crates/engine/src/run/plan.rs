//! What is due: the catalogue minus the ledger, two lists in the order of ids, merged (design.md 7.7).

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use dvb_catalog::{Detail, Entry};
use dvb_ledger::{Basis, EntryKind, LedgerError, State};
use dvb_model::{DataFile, Dataset, DriverId, DvObjectId, Status};
use dvb_storage::{Cause, Location, ObjectAddress, Shelf};

use crate::catalogue::in_step::InStep;
use crate::catalogue::spool::{DestinationDue, Line, Spool, Subject};
use crate::command::error::RunError;
use crate::command::observer::Event;
use crate::command::purged::Buried;
use crate::guard::{Changes, Samples, is_more};
use crate::run::Setup;
use crate::run::counts::{Counts, FileOutcome};
use crate::run::options::Options;
use crate::run::presence::{self, Standing};
use crate::run::renamed::Renamed;
use crate::source::payload::Reading;
use crate::source::stores::{NoStore, NotCovered, Scope, StoreLocation};
use crate::source::{fingerprint, list_objects};

/// What a plan leaves behind: the catalogue, what of it is due, and for each destination who has left.
pub(crate) struct Plan {
    pub(crate) catalogue: Catalogue,
    pub(crate) spool: Spool<Line>,
    /// What is safe and nobody looks at, where it is to be looked for in its store.
    pub(crate) standing: Option<Spool<Standing>>,
    /// In the order of the destinations.
    pub(crate) dests: Vec<DestinationPlan>,
    /// Objects of each store, by chance.
    pub(crate) samples: Samples,
    /// Stores of which something is to be read.
    pub(crate) due: BTreeSet<DriverId>,
}

/// The catalogue as the run found it.
pub(crate) struct Catalogue {
    /// When its reading began, RFC 3339 UTC.
    pub(crate) made: String,
    pub(crate) entries: Spool<Subject>,
    /// Another one means that something in it has changed.
    pub(crate) digest: String,
}

/// The plan for one destination.
pub(crate) struct DestinationPlan {
    pub(crate) counts: Counts,
    /// Data files and datasets that the ledger knows and the catalogue does not have any more; or why nothing may be done.
    pub(crate) gone: Result<Vec<DvObjectId>, RunError>,
    pub(crate) renamed: Renamed,
}

/// What is to be done about a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Nothing about it has changed, so its verdict stands and no worker looks at it.
    Stands(FileOutcome),
    /// Its objects are to be read in their store and, where needed, copied.
    Look,
    /// Its verdict stands as far as the source goes; its copies are to be looked at.
    Recheck,
    /// A snapshot says that it was `OK`, by this; its copies are to be proved.
    Prove(Basis),
}

/// The one place that decides on work, by what is known before any byte is read.
fn decide(scope: &Scope, fingerprint: &str, known: Option<&State>, rerun: bool, file: &DataFile) -> Decision {
    let Some(state) = known.filter(|it| it.fingerprint == fingerprint && !it.gone) else { return Decision::Look };
    if let (Some(basis), Scope::Covered(_) | Scope::Unavailable(..)) = (claimed(state), scope) {
        return Decision::Prove(basis);
    }
    match (state.status, scope) {
        (Status::Ok, Scope::Covered(_) | Scope::Unavailable(..)) if !state.provisional => {
            if rerun {
                Decision::Recheck
            } else {
                Decision::Stands(FileOutcome::Unchanged)
            }
        }
        (Status::NotCovered, Scope::NotCovered(why)) if state.reason.as_deref() == Some(&why.reason(file)) => {
            Decision::Stands(FileOutcome::NotCovered)
        }
        _ => Decision::Look,
    }
}

/// What was `OK` before the ledger was lost.
fn claimed(state: &State) -> Option<Basis> {
    state.basis.filter(|_| state.status == Status::Pending)
}

/// The verdict that stands so far; one that comes back is as new.
fn was(state: Option<&State>) -> Option<Status> {
    state.filter(|it| !it.gone).map(|it| it.status)
}

/// Reads the whole catalogue, once, beside the ledger's states at each destination. Nothing is changed anywhere.
///
/// All setups have one catalogue, one ledger and the same stores.
pub(crate) fn make(setups: &[(&Setup<'_>, &Options)]) -> Result<Plan, RunError> {
    let Some((first, options)) = setups.first() else { return Err(RunError::NothingSelected) };
    let failed = |source| RunError::Spool { folder: options.spool_folder.clone(), source };
    let spool = Spool::create(&options.spool_folder).map_err(failed)?;
    let entries = Spool::create(&options.spool_folder).map_err(failed)?;
    let made = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let buried = Arc::new(Buried::known(first.ledger)?);
    let dests = setups.iter().map(|(setup, options)| DestinationRun::new(setup, options, &buried)).collect();
    let looks = options.presence_check.is_some() && options.is_whole() && !options.dry_run;
    let standing = looks.then(|| Spool::create(&options.spool_folder)).transpose().map_err(failed)?;
    let (samples, due) = (Samples::default(), BTreeSet::new());
    let mut planner = Planner { dests, entries, spool, standing, seen: 0, samples, due };
    let mut failure = None;
    first.catalog.read(Detail::Full, &mut |entry| match planner.enter(entry) {
        Ok(()) if setups.iter().any(|it| it.0.stop.may_go_on()) => ControlFlow::Continue(()),
        Ok(()) => {
            failure = Some(Failure::Stopped);
            ControlFlow::Break(())
        }
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    match failure {
        Some(Failure::Ledger(error)) => return Err(error.into()),
        Some(Failure::Spool(error)) => return Err(failed(error)),
        Some(Failure::Stopped) => return Err(RunError::Stopped),
        None => {}
    }
    let dests = planner.dests.into_iter().map(DestinationRun::finish).collect::<Result<_, _>>()?;
    let mut entries = planner.entries;
    let digest = entries.digest().map_err(failed)?;
    let Planner { spool, standing, samples, due, .. } = planner;
    Ok(Plan { catalogue: Catalogue { made, entries, digest }, spool, standing, dests, samples, due })
}

enum Failure {
    Ledger(LedgerError),
    Spool(io::Error),
    Stopped,
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

/// The ledger's states of one kind, walked in step with the catalogue.
struct Known<'a> {
    states: InStep<'a, State>,
    missed: Missed,
}

/// What the catalogue does not have.
#[derive(Default)]
struct Missed {
    /// Known, and not gone before this run.
    present: u64,
    gone: Vec<DvObjectId>,
}

impl<'a> Known<'a> {
    fn new(states: InStep<'a, State>) -> Self {
        Self { states, missed: Missed::default() }
    }

    /// The state of `id`; those before it are not in the catalogue.
    fn of(&mut self, id: DvObjectId) -> Result<Option<State>, LedgerError> {
        let state = self.states.reach(id, |state| self.missed.enter(&state))?;
        self.missed.present += u64::from(state.as_ref().is_some_and(|it| !it.gone && it.status != Status::Purged));
        Ok(state)
    }

    /// The catalogue has ended: whatever is left is not in it.
    fn finish(&mut self) -> Result<(), LedgerError> {
        self.states.finish(|state| self.missed.enter(&state))
    }
}

impl Missed {
    // The signature is that of a visit.
    #[allow(clippy::unnecessary_wraps)]
    fn enter(&mut self, state: &State) -> Result<(), LedgerError> {
        // What was purged is not missed.
        if !state.gone && state.status != Status::Purged {
            self.present += 1;
            self.gone.push(state.id);
        }
        Ok(())
    }
}

struct Planner<'a> {
    dests: Vec<DestinationRun<'a>>,
    entries: Spool<Subject>,
    spool: Spool<Line>,
    standing: Option<Spool<Standing>>,
    seen: u64,
    samples: Samples,
    due: BTreeSet<DriverId>,
}

impl Planner<'_> {
    fn enter(&mut self, entry: Entry) -> Result<(), Failure> {
        match entry {
            Entry::Dataset(it) => self.enter_dataset(it),
            Entry::DataFile(it) => self.enter_file(it),
        }
    }

    fn enter_dataset(&mut self, dataset: Dataset) -> Result<(), Failure> {
        let dests = self.dests.iter_mut().map(|it| it.look_at_dataset(&dataset)).collect::<Result<Vec<_>, _>>()?;
        self.push(Subject::Dataset(dataset), String::new(), dests)
    }

    fn enter_file(&mut self, file: DataFile) -> Result<(), Failure> {
        self.seen += 1;
        if self.seen.is_multiple_of(10_000) {
            for dest in &self.dests {
                dest.setup.observer.event(&Event::Planning { seen: self.seen });
            }
        }
        let Some(first) = self.dests.first() else { return Ok(()) };
        // Destinations differ in what they have, not in what there is.
        let scope = first.setup.stores.scope(&file);
        let fingerprint = fingerprint::of_data_file(&file, first.options.auxiliary_objects);
        let dests = self.dests.iter_mut().map(|it| it.look_at_file(&file, &scope, &fingerprint));
        let dests = dests.collect::<Result<Vec<_>, _>>()?;
        if let Scope::Covered(place) = &scope {
            self.samples.enter_at(&file, place);
            if dests.iter().flatten().any(|it| !it.recheck) && !self.due.contains(&place.driver) {
                self.due.insert(place.driver.clone());
            }
        }
        if let Scope::Unavailable(driver, NoStore { cause: Cause::Forbidden, .. }) = &scope
            && !self.due.contains(driver)
        {
            self.due.insert(driver.clone());
        }
        if let (Some(spool), Scope::Covered(place)) = (&mut self.standing, &scope) {
            let stand = self.dests.iter().enumerate().filter(|(_, it)| it.stands);
            let stand = stand.fold(0, |all, (n, _)| all | presence::bit(n));
            if let Some(standing) = standing(&file, place, stand) {
                spool.push(&standing)?;
            }
        }
        self.push(Subject::DataFile(file), fingerprint, dests)
    }

    fn push(
        &mut self,
        subject: Subject,
        fingerprint: String,
        dests: Vec<Option<DestinationDue>>,
    ) -> Result<(), Failure> {
        self.entries.push(&subject)?;
        if dests.iter().all(Option::is_none) {
            return Ok(());
        }
        Ok(self.spool.push(&Line { subject, fingerprint, dests })?)
    }
}

/// Where a data file is to be looked for that is safe at these destinations.
fn standing(file: &DataFile, place: &StoreLocation, dests: u64) -> Option<Standing> {
    // Where Dataverse's configuration is ambiguous, only a look at each place tells which one it is.
    let [pid] = place.pids.as_slice() else { return None };
    if dests == 0 {
        return None;
    }
    let at = Location {
        storage_pid: pid.clone(),
        identifier: Some(place.identifier.clone()),
        object: ObjectAddress::Main(place.name.clone()),
    };
    let Shelf { folder, name } = place.source.shelf(&at)?;
    let tags = list_objects::lasting_tags(file);
    Some(Standing { id: file.id, driver: place.driver.clone(), folder, name, tags, dests })
}

/// The plan for one destination, while it is made.
struct DestinationRun<'a> {
    setup: &'a Setup<'a>,
    options: &'a Options,
    counts: Counts,
    datasets: Known<'a>,
    files: Known<'a>,
    /// The data file that was looked at last is safe there, and nobody will look at its source.
    stands: bool,
    changes: Changes<'a>,
    renamed: Renamed,
    /// What was purged by law, at whichever destination.
    buried: Arc<Buried>,
}

impl<'a> DestinationRun<'a> {
    fn new(setup: &'a Setup<'a>, options: &'a Options, buried: &Arc<Buried>) -> Self {
        let states = |kind| InStep::states(setup.ledger, setup.destination, kind);
        Self {
            setup,
            options,
            counts: Counts::default(),
            datasets: Known::new(states(EntryKind::Dataset)),
            files: Known::new(states(EntryKind::DataFile)),
            stands: false,
            changes: Changes::new(
                (setup.stores, setup.ledger),
                setup.destination,
                Reading::new(setup.stop, options.bandwidth_limit),
                (!options.overrides.changes).then_some(options.max_change),
            ),
            renamed: Renamed::default(),
            buried: Arc::clone(buried),
        }
    }

    /// A dataset's own objects stand in no table: whether there are any is seen at the source, at each run.
    fn look_at_dataset(&mut self, dataset: &Dataset) -> Result<Option<DestinationDue>, LedgerError> {
        let known = self.datasets.of(dataset.id)?;
        if self.buried.has(dataset.id) {
            return Ok(None);
        }
        let wanted = self.options.auxiliary_objects || self.options.cached_exports;
        let recheck = self.options.looks_again() && known.as_ref().is_some_and(|it| it.status == Status::Ok);
        let claimed = known.as_ref().and_then(claimed);
        let due = DestinationDue { known: known.is_some(), recheck, was: was(known.as_ref()), claimed };
        let is_selected = self.options.selection.has_dataset(&dataset.pid);
        if let Some(known) = known.filter(|_| is_selected) {
            self.renamed.enter(&known, &dataset.pid);
        }
        Ok((wanted && is_selected).then_some(due))
    }

    fn look_at_file(
        &mut self,
        file: &DataFile,
        scope: &Scope,
        fingerprint: &str,
    ) -> Result<Option<DestinationDue>, LedgerError> {
        let state = self.files.of(file.id)?;
        self.stands = false;
        if let Some(known) = state.as_ref().filter(|it| it.status == Status::Ok && !it.gone) {
            self.changes.enter(file, known.fingerprint != fingerprint)?;
        }
        if !self.options.selection.has(file, &self.setup.stores.default.0) {
            return Ok(None);
        }
        if self.buried.has(file.id) {
            self.counts.count(FileOutcome::Purged);
            return Ok(None);
        }
        if let (Some(known), Some(dataset)) = (&state, &file.dataset) {
            self.renamed.enter(known, &dataset.pid);
        }
        if let Scope::NotCovered(NotCovered::UnknownDriver(driver)) = scope {
            *self.counts.unknown_drivers.entry(driver.clone()).or_default() += 1;
        }
        let mut basis = None;
        let recheck = match decide(scope, fingerprint, state.as_ref(), self.options.looks_again(), file) {
            Decision::Stands(fate) => {
                self.stands = fate == FileOutcome::Unchanged;
                self.counts.count(fate);
                return Ok(None);
            }
            Decision::Look => false,
            Decision::Recheck => {
                self.stands = true;
                self.counts.due_again += u64::from(!self.options.overrides.copies_lost);
                true
            }
            Decision::Prove(by) => {
                basis = Some(by);
                true
            }
        };
        self.counts.due.files += 1;
        self.counts.due.bytes += if recheck { 0 } else { Subject::bytes_of(file) };
        Ok(Some(DestinationDue { known: state.is_some(), recheck, was: was(state.as_ref()), claimed: basis }))
    }

    fn finish(mut self) -> Result<DestinationPlan, LedgerError> {
        self.datasets.finish()?;
        self.files.finish()?;
        let nothing = self.counts.due.files + self.counts.files.catalogued == 0;
        self.counts.gone = self.files.missed.gone.len() as u64;
        self.counts.changed = self.files.missed.gone.len() + self.datasets.missed.gone.len() > 0;
        let gone = if nothing && !self.options.selection.is_everything() {
            Err(RunError::NothingSelected)
        } else {
            match check_disappearance(self.setup, self.options, &self.files) {
                Ok(()) => self.changes.judge()?,
                braked => braked,
            }
        };
        let gone = gone.map(|()| [self.files.missed.gone, self.datasets.missed.gone].concat());
        Ok(DestinationPlan { gone, counts: self.counts, renamed: self.renamed })
    }
}

/// Refuses a run when implausibly many data files have left: the wrong database, or a disaster (dataverse.md 5.5).
fn check_disappearance(setup: &Setup<'_>, options: &Options, files: &Known<'_>) -> Result<(), RunError> {
    let (known, missing) = (files.missed.present, files.missed.gone.len() as u64);
    if !is_more(missing, options.max_disappearance, known) || options.overrides.disappearance {
        return Ok(());
    }
    let limit = options.max_disappearance * 100.0;
    Err(RunError::Disappearance { destination: setup.destination.0.clone(), missing, known, limit })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn state(id: i64, gone: bool) -> State {
        State {
            id: DvObjectId(id),
            status: Status::Ok,
            fingerprint: String::new(),
            provisional: false,
            gone,
            reason: None,
            basis: None,
            dataset: None,
            audited_at: String::new(),
        }
    }

    proptest! {
        #[test]
        fn gone_is_what_the_ledger_knows_and_the_catalogue_does_not_have(
            catalogue in proptest::collection::btree_set(0_i64..60, 0..40),
            ledger in proptest::collection::btree_map(0_i64..60, any::<bool>(), 0..40),
        ) {
            let states: Box<dyn Iterator<Item = Result<State, LedgerError>>> =
                Box::new(ledger.iter().map(|(id, gone)| Ok(state(*id, *gone))));
            let mut known = Known::new(InStep::new(states));
            for id in &catalogue {
                let found = known.of(DvObjectId(*id)).unwrap();
                prop_assert_eq!(found.map(|it| it.gone), ledger.get(id).copied());
            }
            known.finish().unwrap();
            let gone: BTreeSet<i64> = known.missed.gone.iter().map(|it| it.0).collect();
            let missed = ledger.iter().filter(|(id, was_gone)| !**was_gone && !catalogue.contains(id));
            prop_assert_eq!(gone, missed.map(|it| *it.0).collect());
            prop_assert_eq!(known.missed.present, ledger.values().filter(|it| !**it).count() as u64);
        }
    }
}
