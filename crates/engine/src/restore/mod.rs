//! Giving files back: from the destinations into a folder, or into the stores that lost them.
//!
//! [`restore`] reads the catalogue for what is asked, the ledger for what is proved of it, and puts each object where
//! it belongs, with its bytes compared before they get a name. It writes nothing to a database but incidents.

mod error;
mod gone;
mod incidents;
mod names;
pub(crate) mod object;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod session_pool;
mod summary;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dvb_catalog::Catalog;
use dvb_ledger::{Agent, Ledger};
use dvb_model::{DestinationName, DriverId, RunId};
use dvb_storage::{Folder, Sink, StoreWriter};

use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::exit_status::ExitStatus;
use crate::command::hint::Hint;
use crate::command::observer::{Event, Observer};
use crate::command::pool;
use crate::command::recorded::{Intent, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;
use crate::copies::session::{Contact, DestinationContext};
use crate::guard::{self, Purpose};
use crate::source::examine::ExamineSetup;
use crate::source::payload::Reading;
use crate::source::stores::{Access, NoStore, Stores};
use dvb_storage::chain;

pub use error::RestoreError;
pub use summary::{ObjectCounts, RestoreFinding, RestoreSummary};

/// A destination that copies are read from.
#[derive(Clone, Copy)]
pub struct SinkAt<'a> {
    /// The name by which the configuration knows it.
    pub name: &'a DestinationName,
    /// The destination itself, where sessions are opened.
    pub sink: &'a dyn Sink,
}

/// Stores by their driver id; one that cannot be written to is there with the reason.
pub type StoreWriters = BTreeMap<DriverId, Result<Box<dyn StoreWriter>, NoStore>>;

/// Where files are given back to.
#[derive(Clone, Copy)]
pub enum Goal<'a> {
    /// A folder, in Dataverse's own layout or as people see a dataset.
    Folder(&'a dyn Folder),
    /// The stores, exactly where Dataverse expects each object.
    InPlace(&'a StoreWriters),
}

/// What a restore works with.
#[derive(Clone, Copy)]
pub struct RestoreSetup<'a> {
    /// What should exist: Dataverse's database, or a snapshot of it.
    pub catalog: &'a dyn Catalog,
    /// Where Dataverse keeps it.
    pub stores: &'a Stores,
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Where copies are, the preferred one first.
    pub from: &'a [SinkAt<'a>],
    /// Where the files go: a folder, or the stores themselves.
    pub to: Goal<'a>,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

impl RestoreSetup<'_> {
    /// For a look at what is in the stores.
    pub(crate) fn examine(&self, auxiliary_objects: bool) -> ExamineSetup<'_> {
        ExamineSetup { stores: self.stores, observer: self.observer, stop: self.stop, auxiliary_objects }
    }

    /// Cuts off whoever still waits for a store or a destination.
    pub(crate) fn interrupt(&self) {
        self.stores.interrupt();
        self.from.iter().for_each(|it| it.sink.interrupt());
        if let Goal::InPlace(writers) = self.to {
            writers.values().flatten().for_each(|it| it.interrupt());
        }
    }
}

/// Which version of a dataset is laid out as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// As Dataverse lays out its stores: `<authority>/<identifier>/<name>`.
    Keys,
    /// Folders and labels of the newest released version, else of the draft.
    NewestNames,
    /// Folders and labels of this version: `2.0`, or `draft`.
    NamesOf(String),
}

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Name of this restore: unique, part of the names of temporaries and of damaged files that are kept.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Only these data files; with an empty selection, all.
    pub selection: Selection,
    /// Only what the source lacks or has damaged.
    pub missing: bool,
    /// Go by presence and size at the source, where the last verdict was `OK`: damage that kept a file's size stays unseen.
    pub quick: bool,
    /// How it is laid out; anything but [`Layout::Keys`] only into a folder.
    pub layout: Layout,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Workers, each with a session of its own; at least 1.
    pub jobs: usize,
    /// Bytes a second over all workers.
    pub bandwidth_limit: Option<u64>,
    /// Whether runs copy auxiliary files: part of what the ledger remembers of a row.
    pub auxiliary_objects: bool,
    /// A folder with room for the list of what is asked for (about 200 bytes a data file).
    pub spool_folder: PathBuf,
}

/// What all workers share.
pub(crate) struct Shared<'a> {
    pub(crate) setup: &'a RestoreSetup<'a>,
    pub(crate) options: &'a RestoreOptions,
    pub(crate) reading: Reading,
    tally: Mutex<summary::Tally>,
    /// What all sessions with each destination share.
    pub(crate) contacts: Vec<Contact>,
    told: AtomicU64,
    /// What sessions with each destination are opened for.
    pub(crate) runs: Vec<RunId>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(
        setup: &'a RestoreSetup<'a>,
        options: &'a RestoreOptions,
        runs: Vec<RunId>,
        contact: fn() -> Contact,
    ) -> Self {
        Self {
            setup,
            options,
            reading: Reading::new(setup.stop, options.bandwidth_limit),
            tally: Mutex::default(),
            contacts: setup.from.iter().map(|_| contact()).collect(),
            told: AtomicU64::new(0),
            runs,
        }
    }

    /// What a session with the n-th destination works with, `n` by the order of `RestoreSetup::from`.
    pub(crate) fn at(&self, n: usize) -> DestinationContext<'_> {
        let RestoreSetup { ledger, from, observer, stop, .. } = *self.setup;
        DestinationContext { ledger, destination: from[n].name, sink: from[n].sink, observer, stop, run: &self.runs[n] }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, summary::Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer what was read since it was told last.
    pub(crate) fn tell_bytes(&self) {
        let bytes = self.reading.bytes.load(Ordering::Relaxed);
        let told = self.told.swap(bytes, Ordering::Relaxed);
        if bytes > told {
            self.setup.observer.event(&Event::Bytes(bytes - told));
        }
    }
}

/// Gives back what is asked for, and reports what could not be.
///
/// # Errors
/// [`RestoreError`], when nothing was looked at. What goes wrong later is in the [`RestoreSummary`].
pub fn restore(setup: &RestoreSetup<'_>, options: &RestoreOptions) -> Result<RestoreSummary, RestoreError> {
    let databases = Cut::databases(setup.stop, Some(setup.catalog), setup.ledger);
    watched(vec![Cut::new(setup.stop, || setup.interrupt()), databases], || restore_until(setup, options))
}

fn restore_until(setup: &RestoreSetup<'_>, options: &RestoreOptions) -> Result<RestoreSummary, RestoreError> {
    let started = now();
    let intent = Intent {
        command: "restore",
        run: &options.run,
        agent: &options.agent,
        selection: &options.selection,
        destinations: setup.from.iter().map(|from| from.name.clone()).collect(),
        overrides: Vec::new(),
    };
    if options.dry_run {
        return give_back(setup, options, started);
    }
    match Recorded::begin(setup.ledger, &intent, &started) {
        Ok(recorded) => recorded.finish(give_back(setup, options, started)),
        // Files come back also where nothing may be written to the ledger.
        Err(error) => give_back(setup, options, started).map(|mut summary| {
            summary.notes.push(format!("this restore is not in the event log: {}", chain(&error)));
            summary
        }),
    }
}

impl Report for RestoreSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.files
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({
            "in_place": self.in_place,
            "objects": self.objects,
            "files": self.files,
            "bytes": self.bytes,
            "failures": self.failures_total,
        })
    }
}

pub(crate) fn give_back(
    setup: &RestoreSetup<'_>,
    options: &RestoreOptions,
    started: String,
) -> Result<RestoreSummary, RestoreError> {
    let planned = plan::make(setup, options, None).map_err(|it| gone::explain(it, setup, options))?;
    let plan::Plan { mut spool, files, bytes, hidden, purged } = planned;
    let failed = |source| plan::spool_failed(options, source);
    let asked = spool.read().map_err(failed)?;
    warn_of_empty_stores(setup);
    setup.observer.event(&Event::Planned { files, bytes });
    let shared =
        Shared::new(setup, options, setup.from.iter().map(|_| options.run.clone()).collect(), Contact::without_lock);
    refuse_other_places(&shared)?;
    note_what_is_left_out(&shared, hidden)?;
    if !purged.is_empty() {
        let text = format!("{} data files of the selection were purged: no copy is kept", purged.len());
        shared.tally().leave_out(text, Hint::SeePurges);
    }
    worker::work(&shared, asked, files);
    if let Goal::InPlace(writers) = setup.to {
        close(writers, &options.run);
    }
    let lost = shared.contacts.iter().filter_map(Contact::ending).min();
    let tally = shared.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(summary::of(setup, options, started, tally, lost))
}

/// Copies are not called missing where a disk is not mounted. A destination that is another place does not keep the others
/// from helping.
///
/// # Errors
/// The first one's, where none is left.
fn refuse_other_places(shared: &Shared<'_>) -> Result<(), RestoreError> {
    let RestoreSetup { from, observer, .. } = *shared.setup;
    let look = |n: usize| guard::refuse_other_place(shared.at(n), &shared.contacts[n], Purpose::Reading);
    let mut refused = Vec::new();
    for (contact, looked) in shared.contacts.iter().zip(pool::each(0..from.len(), look)) {
        match looked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = dvb_storage::chain(&error);
                observer.event(&Event::Warning(&why));
                shared.tally().note(why.clone());
                contact.give_up(ExitStatus::from(&error), why);
                refused.push(error);
            }
            Err(why) => shared.tally().abort(ExitStatus::NotSafe, why),
        }
    }
    let is_none_left = refused.len() == from.len();
    refused.into_iter().next().filter(|_| is_none_left).map_or(Ok(()), |it| Err(it.into()))
}

/// What is selected and cannot come this way is not passed over in silence.
fn note_what_is_left_out(shared: &Shared<'_>, hidden: u64) -> Result<(), RestoreError> {
    if hidden > 0 {
        let text =
            format!("{hidden} data files of the selection are not in the version that is shown, and were left out");
        shared.tally().leave_out(text, Hint::OtherVersion);
    }
    let gone = gone::marked(shared.setup, shared.options)?;
    if gone > 0 {
        let text = format!("{gone} data files of the selection have left Dataverse, and were left out");
        shared.tally().leave_out(text, Hint::SeeGone);
    }
    Ok(())
}

/// A mount that is missing looks like a store that lost everything, which is what a restore is for: only a person can
/// tell the two apart.
fn warn_of_empty_stores(setup: &RestoreSetup<'_>) {
    let Goal::InPlace(writers) = setup.to else { return };
    for (driver, store) in &setup.stores.by_id {
        if let (Access::Readable(source), Some(Ok(_))) = (&store.access, writers.get(driver))
            && let Err(error) = source.check()
        {
            setup.observer.event(&Event::Warning(&format!("store {driver}: {}", error.chain())));
        }
    }
}

/// A writer's objects that are there for a while only have a name of their own: no run of the backup takes them for its
/// own, or the other way round, where a bucket is both store and destination.
const OF_WRITER: &str = "restore-";
/// After so many days, a restore that left something behind is over.
const LONGEST: i64 = 30;

/// What a [`StoreWriter`] calls what is there for a while only.
#[must_use]
pub fn writer_run(run: &RunId) -> RunId {
    RunId(format!("{OF_WRITER}{run}"))
}

/// Lets the writers take away what they made for themselves.
pub(crate) fn close(writers: &StoreWriters, own: &RunId) {
    writers.values().flatten().for_each(|it| it.close(&|run| is_dead(run, own)));
}

fn is_dead(run: &RunId, own: &RunId) -> bool {
    let Some(begun) = run.0.strip_prefix(OF_WRITER) else { return false };
    let limit = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(LONGEST * 24);
    // Names begin with their time, so they are in its order.
    begun == own.0 || *begun < *limit.strftime("%Y%m%dT%H%M%SZ").to_string()
}
