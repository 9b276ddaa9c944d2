//! `repair`: for each object that is missing or damaged on one side, which side is good; and, if asked to, the mending.
//!
//! What is looked at is what the ledger knows to be bad, or a selection. Everything is looked at now, on all sides; nothing
//! rests on what was found before. Without [`RepairOptions::apply`] nothing changes anywhere.

mod case;
mod mend;
mod sides;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dvb_catalog::Catalog;
use dvb_ledger::{EntryKind, Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use dvb_storage::chain;
use serde::Serialize;

use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::hint::Hint;
use crate::command::observer::{Event, Observer};
use crate::command::recorded::{Intent, LockedRun, Recorded, Report, gives_up};
use crate::command::time::{new_run_id, now};
use crate::command::{LISTED, pool};
use crate::copies::session::Contact;
use crate::guard::{self, Purpose};
use crate::restore::plan::Asked;
use crate::restore::session_pool::SessionPool;
use crate::restore::{self, Goal, Layout, RestoreError, RestoreOptions, RestoreSetup, Shared, SinkAt, StoreWriters};
use crate::run::Setup;
use crate::run::options::Options;
use crate::source::stores::Stores;

/// Copies in a page of the ledger's list.
const PAGE: u32 = 5_000;

/// What a repair works with.
#[derive(Clone, Copy)]
pub struct RepairSetup<'a> {
    /// What should exist: Dataverse's database, or a snapshot of it.
    pub catalog: &'a dyn Catalog,
    /// Where Dataverse keeps it.
    pub stores: &'a Stores,
    /// The same stores, to be written to.
    pub writers: &'a StoreWriters,
    /// What is known of the copies; incidents are recorded there.
    pub ledger: &'a dyn Ledger,
    /// Where copies are, the preferred destination first.
    pub destinations: &'a [SinkAt<'a>],
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

impl RepairSetup<'_> {
    /// Cuts off whoever still waits for a store or a destination.
    fn interrupt(&self) {
        self.stores.interrupt();
        self.destinations.iter().for_each(|it| it.sink.interrupt());
        self.writers.values().flatten().for_each(|it| it.interrupt());
    }
}

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct RepairOptions {
    /// Mend; without it, only say what would be done.
    pub apply: bool,
    /// Without a selection, look at everything, not only at what the ledger knows to be bad.
    pub all: bool,
    /// Name and scope of the repair, and how the runs work that record the verdicts of what was mended. With an empty
    /// selection: what the ledger knows to be missing or damaged.
    pub how: Options,
}

/// What became of an object that is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It can be mended, and was not asked to be.
    WouldMend,
    /// It is good now.
    Mended,
    /// It cannot be mended, or nobody can say which side is right; `action` says why.
    Left,
    /// It could have been mended, and was not; `action` says why.
    Failed,
}

/// What is wrong with one side of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairFault {
    /// No object is at its key.
    Missing,
    /// Other bytes than those on record are at its key, or no whole object.
    Damaged,
    /// It could not be read, which says nothing of its bytes.
    Unreadable,
    /// The bytes are those that were proved; it is Dataverse's row that does not fit.
    OtherChecksum,
}

impl RepairFault {
    /// As JSON and messages spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::OtherChecksum => "other-checksum",
        }
    }
}

/// An object that is missing, damaged or unreadable on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairItem {
    /// Its data file; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier as it stands.
    pub storage_identifier: Option<String>,
    /// Its newest name with its folder.
    pub name: Option<String>,
    /// Which object: `main`, `orig`, …
    pub object: String,
    /// The side that is bad: `store file`, `destination default`.
    pub bad: String,
    /// Its key in the store or at the destination.
    pub key: String,
    /// What is wrong with it.
    pub found: RepairFault,
    /// The same in a sentence.
    pub detail: String,
    /// The sides that were looked at and are good.
    pub good: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// What would be done, was done, or why nothing was.
    pub action: String,
    /// Where the bad bytes are kept.
    pub kept: Option<String>,
}

/// How many, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RepairCounts {
    /// Missing or damaged in a store.
    pub bad_in_stores: u64,
    /// Missing or damaged at a destination.
    pub bad_at_destinations: u64,
    /// Those that could not be read.
    pub unreadable: u64,
    /// Those that can be mended, and were not asked to be.
    pub would_mend: u64,
    /// Objects that were made good from the other side.
    pub mended: u64,
    /// Those that nothing can mend, or of which nobody can say which side is right.
    pub left: u64,
    /// Not mended although that should have been possible.
    pub failed: u64,
}

/// A run that recorded the verdicts of what was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Name of the destination whose run it is.
    pub destination: DestinationName,
    /// The command's exit code (design.md 4).
    pub exit_code: u8,
    /// What kept it from its end.
    pub error: Option<String>,
    /// What can be done about that. Not part of the JSON: whoever prints it says it in words of its own.
    #[serde(skip)]
    pub hint: Option<Hint>,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairSummary {
    /// The command that this is the report of: `repair`.
    pub command: &'static str,
    /// Name of the repair.
    pub run_id: RunId,
    /// Destinations that were looked at.
    pub destinations: Vec<DestinationName>,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Whether it was asked to mend.
    pub apply: bool,
    /// Data files and datasets that were looked at.
    pub looked_at: u64,
    /// How many objects were asked for, by what became of them.
    pub objects: RepairCounts,
    /// The first of these objects, each with what is wrong and what became of it.
    pub items: Vec<RepairItem>,
    /// The runs that recorded the verdicts.
    pub runs: Vec<Settled>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

/// What the workers have found and mended, until the summary is made of it.
#[derive(Default)]
struct Out {
    looked_at: u64,
    objects: RepairCounts,
    items: Vec<RepairItem>,
    /// What is still bad, by side.
    store_is_bad: bool,
    destination_is_bad: bool,
    unusable: Option<ExitStatus>,
    /// Data files of which something is good again: a run is to record the verdict.
    settle: BTreeSet<DvObjectId>,
    abort: Option<(ExitStatus, String)>,
}

/// Why a case was not looked at to its end.
enum Halt {
    Stopped,
    Ledger(LedgerError),
}

impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// What all workers share.
struct Repair<'a> {
    setup: &'a RepairSetup<'a>,
    options: &'a RepairOptions,
    shared: Shared<'a>,
    locks: Vec<LockedRun<'a>>,
    out: Mutex<Out>,
}

/// One data file or dataset; without an entry of the catalogue where it has left Dataverse.
struct Case {
    id: DvObjectId,
    asked: Option<Asked>,
}

/// Looks at what is bad, and mends it if asked to.
///
/// # Errors
/// [`RestoreError`], when nothing was looked at. What goes wrong later is in the [`RepairSummary`].
pub fn repair(setup: &RepairSetup<'_>, options: &RepairOptions) -> Result<RepairSummary, RestoreError> {
    let stop = setup.stop.within(options.how.time_budget);
    let setup = RepairSetup { stop: &stop, ..*setup };
    let databases = Cut::databases(&stop, Some(setup.catalog), setup.ledger);
    watched(vec![Cut::new(&stop, || setup.interrupt()), databases], || repair_until(&setup, options))
}

fn repair_until(setup: &RepairSetup<'_>, options: &RepairOptions) -> Result<RepairSummary, RestoreError> {
    let (started, how) = (now(), &options.how);
    let intent = Intent {
        command: "repair",
        run: &how.run,
        agent: &how.agent,
        selection: &how.selection,
        destinations: setup.destinations.iter().map(|destination| destination.name.clone()).collect(),
        overrides: Vec::new(),
    };
    // Without `apply`, it is a look, and nothing that stays is done.
    let recorded =
        options.apply.then(|| Recorded::begin(setup.ledger, &intent, &started)).transpose().map_err(RunError::from)?;
    let done = repair_under_locks(setup, options, started);
    match recorded {
        Some(recorded) => recorded.finish(done),
        None => done,
    }
}

impl Report for RepairSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.looked_at
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({ "looked_at": self.looked_at, "objects": self.objects })
    }
}

fn repair_under_locks(
    setup: &RepairSetup<'_>,
    options: &RepairOptions,
    started: String,
) -> Result<RepairSummary, RestoreError> {
    let how = &options.how;
    let runs: Vec<RunId> = setup.destinations.iter().map(|_| new_run_id()).collect();
    let restore_options = RestoreOptions {
        run: how.run.clone(),
        agent: how.agent.clone(),
        selection: how.selection.clone(),
        missing: true,
        quick: false,
        layout: Layout::Keys,
        dry_run: !options.apply,
        jobs: how.jobs,
        bandwidth_limit: how.bandwidth_limit,
        auxiliary_objects: how.auxiliary_objects,
        spool_folder: how.spool_folder.clone(),
    };
    let restore_setup = RestoreSetup {
        catalog: setup.catalog,
        stores: setup.stores,
        ledger: setup.ledger,
        from: setup.destinations,
        to: Goal::InPlace(setup.writers),
        observer: setup.observer,
        stop: setup.stop,
    };
    let shared = Shared::new(
        &restore_setup,
        &restore_options,
        runs.clone(),
        if options.apply { Contact::under_lock } else { Contact::without_lock },
    );
    let locks = if options.apply { begin(setup, options, &shared, &started)? } else { Vec::new() };
    if !options.apply {
        refuse_other_places(&shared)?;
    }
    let repair = Repair { setup, options, shared, locks, out: Mutex::default() };
    let looked = repair.look(&restore_setup, &restore_options);
    restore::close(setup.writers, &how.run);
    let Repair { locks, out, .. } = repair;
    let mut out = out.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = &looked {
        out.abort.get_or_insert((ExitStatus::from(error), chain(error)));
    }
    let end = |out: &Out| ending(setup.stop, out);
    let counts = serde_json::json!({ "command": "repair", "run_id": how.run, "objects": out.objects });
    for locked in &locks {
        if let Err(error) = locked.end(end(&out), out.looked_at, &counts) {
            out.abort.get_or_insert((ExitStatus::from(&error), chain(&error)));
        }
    }
    looked?;
    drop(locks);
    let settled = settle(setup, options, &out.settle);
    let ending = end(&out).min(settled.iter().map(|it| it.1).min().unwrap_or(ExitStatus::Safe));
    Ok(RepairSummary {
        command: "repair",
        run_id: how.run.clone(),
        destinations: setup.destinations.iter().map(|it| it.name.clone()).collect(),
        started,
        finished: now(),
        apply: options.apply,
        looked_at: out.looked_at,
        objects: out.objects,
        items: out.items,
        runs: settled.into_iter().map(|it| it.0).collect(),
        aborted: out.abort.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    })
}

/// Takes the lock of each destination, and a name there for what is not whole yet.
fn begin<'a>(
    setup: &RepairSetup<'a>,
    options: &RepairOptions,
    shared: &Shared<'_>,
    started: &str,
) -> Result<Vec<LockedRun<'a>>, RunError> {
    let agent = &options.how.agent;
    let mut locks = Vec::with_capacity(shared.runs.len());
    for (destination, run) in setup.destinations.iter().zip(&shared.runs) {
        locks.push(LockedRun::lock(setup.ledger, "repair", destination.name, (run, agent, started))?);
    }
    refuse_other_places(shared)?;
    for (destination, locked) in setup.destinations.iter().zip(&locks) {
        locked.begin(destination.name, agent, started)?;
    }
    Ok(locks)
}

/// Neither are copies called missing where a disk is not mounted, nor is anything stored there.
fn refuse_other_places(shared: &Shared<'_>) -> Result<(), RunError> {
    let look = |n| guard::refuse_other_place(shared.at(n), &shared.contacts[n], Purpose::Storing);
    let broken = |why| RunError::Together { text: why, ending: ExitStatus::NotSafe, hint: None };
    pool::each(0..shared.contacts.len(), look).into_iter().try_for_each(|it| it.map_err(broken)?)
}

/// What the ledger knows to be missing or damaged, on either side.
fn suspects(setup: &RepairSetup<'_>) -> Result<BTreeSet<DvObjectId>, LedgerError> {
    let mut found = BTreeSet::new();
    let is_bad = |status: Status| match status {
        Status::FailRead | Status::FailChecksum | Status::FailVerify => true,
        Status::Ok | Status::Pending | Status::FailWrite | Status::NotCovered | Status::Purged => false,
    };
    for SinkAt { name, .. } in setup.destinations {
        for kind in [EntryKind::DataFile, EntryKind::Dataset] {
            for state in setup.ledger.states(name, kind) {
                let state = state?;
                if is_bad(state.status) {
                    found.insert(state.id);
                }
            }
        }
        let mut after = None;
        loop {
            let page = setup.ledger.damaged_copies(name, after.as_ref(), PAGE)?;
            found.extend(page.iter().map(|it| it.copy.id));
            let Some(last) = page.into_iter().next_back() else { break };
            after = Some(last.copy);
        }
    }
    Ok(found)
}

impl Repair<'_> {
    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, setup: &RestoreSetup<'_>, options: &RestoreOptions) -> Result<(), RestoreError> {
        let selection = &self.options.how.selection;
        let suspects = match selection.is_everything() && !self.options.all {
            true => Some(suspects(self.setup).map_err(RunError::from)?),
            false => None,
        };
        // What is named by its id may have left the catalogue; its copies stay.
        let mut gone = suspects.clone().unwrap_or_else(|| selection.files.clone());
        if suspects.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(());
        }
        let planned = restore::plan::make(setup, options, suspects.as_ref());
        let mut plan = match planned {
            Err(RestoreError::Run(RunError::NothingSelected)) if !gone.is_empty() => None,
            other => Some(other?),
        };
        let failed = |source| restore::plan::spool_failed(options, source);
        if let Some(plan) = &mut plan {
            for asked in plan.spool.read().map_err(failed)? {
                gone.remove(&asked.map_err(failed)?.subject.id());
            }
        }
        let mut cases = Vec::new();
        for id in gone {
            if !self.setup.ledger.history(id).map_err(RunError::from)?.is_empty() {
                cases.push(Ok(Case { id, asked: None }));
            }
        }
        if plan.is_none() && cases.is_empty() {
            return Err(RunError::NothingSelected.into());
        }
        let (files, bytes) = plan.as_ref().map_or((0, 0), |it| (it.files, it.bytes));
        self.setup.observer.event(&Event::Planned { files: files + cases.len() as u64, bytes });
        let asked = match &mut plan {
            Some(plan) => Some(plan.spool.read().map_err(failed)?),
            None => None,
        };
        let of_catalogue =
            |asked: io::Result<Asked>| asked.map(|asked| Case { id: asked.subject.id(), asked: Some(asked) });
        self.work(asked.into_iter().flatten().map(of_catalogue).chain(cases));
        Ok(())
    }

    fn work(&self, cases: impl Iterator<Item = io::Result<Case>> + Send) {
        let list = Mutex::new(cases);
        let worker = || {
            let mut reach = SessionPool::new(&self.shared);
            while let Some(case) = self.next(&list) {
                match self.one(&mut reach, &case) {
                    Ok(()) => self.out().looked_at += 1,
                    Err(Halt::Stopped) => break,
                    Err(Halt::Ledger(error)) => self.abort(ExitStatus::from(&error), chain(&error)),
                }
            }
            reach
        };
        let broke = |why| self.abort(ExitStatus::NotSafe, why);
        let show = pool::showing(|| self.shared.tell_bytes());
        let (open, ()) = pool::work(self.options.how.jobs, worker, broke, show);
        // Only now: what is swept are the temporaries of all workers, and the folder that a session makes for them.
        open.into_iter().for_each(SessionPool::end);
    }

    fn abort(&self, ending: ExitStatus, why: String) {
        self.out().abort.get_or_insert((ending, why));
    }

    fn next(&self, list: &Mutex<impl Iterator<Item = io::Result<Case>>>) -> Option<Case> {
        if !self.setup.stop.may_begin() || self.out().abort.is_some() {
            return None;
        }
        if !self.locks.iter().all(|locked| locked.held().is_held()) {
            let why = "the lock on a destination was lost with the connection to the backup database";
            self.abort(ExitStatus::Unreachable, why.to_owned());
            return None;
        }
        match list.lock().unwrap_or_else(PoisonError::into_inner).next()? {
            Ok(case) => Some(case),
            Err(error) => {
                self.abort(ExitStatus::Unreachable, format!("cannot read the list of what is to be checked: {error}"));
                None
            }
        }
    }
}

/// Lets a run at each destination look at what was mended, and record the verdict.
fn settle(
    setup: &RepairSetup<'_>,
    options: &RepairOptions,
    files: &BTreeSet<DvObjectId>,
) -> Vec<(Settled, ExitStatus)> {
    if files.is_empty() || !setup.stop.may_begin() {
        return Vec::new();
    }
    let mut settled = Vec::new();
    for SinkAt { name, sink } in setup.destinations {
        // The time budget is that of the repair, and `stop` knows its end.
        let mut how = Options {
            run: new_run_id(),
            rerun: false,
            dry_run: false,
            verify_every: None,
            audit_every: None,
            presence_check: None,
            time_budget: None,
            ..options.how.clone()
        };
        how.selection = crate::command::selection::Selection {
            files: files.clone(),
            ..crate::command::selection::Selection::default()
        };
        let run_setup = Setup {
            catalog: setup.catalog,
            stores: setup.stores,
            ledger: setup.ledger,
            destination: name,
            sink: *sink,
            observer: setup.observer,
            stop: setup.stop,
        };
        let (ending, error, hint) = match crate::run(&run_setup, &how) {
            Ok(summary) => (summary.ending, None, None),
            // All of it has left Dataverse.
            Err(RunError::NothingSelected) => continue,
            Err(error) => (ExitStatus::from(&error), Some(chain(&error)), error.hint()),
        };
        settled.push((Settled { destination: (*name).clone(), exit_code: ending.code(), error, hint }, ending));
    }
    settled
}

fn ending(stop: &CancelToken, out: &Out) -> ExitStatus {
    let signal = stop.signalled().and_then(|it| u8::try_from(it).ok());
    let found = [
        signal.map(ExitStatus::Signalled),
        out.abort.as_ref().map(|it| it.0),
        out.unusable,
        out.destination_is_bad.then_some(ExitStatus::DestinationDamaged),
        out.store_is_bad.then_some(ExitStatus::SourceDamaged),
        (out.objects.unreadable > 0).then_some(ExitStatus::NotSafe),
    ];
    found.into_iter().flatten().min().unwrap_or(ExitStatus::Safe)
}

impl Out {
    fn enter(&mut self, item: RepairItem, is_store: bool) {
        let objects = &mut self.objects;
        let is_good_now = item.outcome == Outcome::Mended;
        match (item.found, is_store) {
            (RepairFault::Unreadable, _) => objects.unreadable += 1,
            (_, true) => {
                objects.bad_in_stores += 1;
                self.store_is_bad |= !is_good_now;
            }
            (_, false) => {
                objects.bad_at_destinations += 1;
                self.destination_is_bad |= !is_good_now;
            }
        }
        match item.outcome {
            Outcome::WouldMend => objects.would_mend += 1,
            Outcome::Mended => objects.mended += 1,
            Outcome::Left => objects.left += 1,
            Outcome::Failed => objects.failed += 1,
        }
        if self.items.len() < LISTED {
            self.items.push(item);
        }
    }
}
