//! One run from its lock to its summary.

pub(crate) mod batch;
pub(crate) mod counts;
pub(crate) mod destination_run;
pub(crate) mod join;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod presence;
pub(crate) mod relock;
pub(crate) mod renamed;
pub(crate) mod reread;
pub(crate) mod reverify;
pub(crate) mod shared_read;
pub(crate) mod snapshot;
pub(crate) mod summary;
pub(crate) mod workers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, Scope};
use std::time::Instant;

use dvb_catalog::Catalog;
use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DestinationName, DriverId, RunId, Status};
use dvb_storage::{Cause, Sink, chain};

use crate::command::acknowledged::Acknowledged;
use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::command::pool;
use crate::command::recorded::{Intent, LockedRun, Recorded, Report as _};
use crate::command::time::now;
use crate::copies::locks::Which;
use crate::copies::session::DestinationContext;
use crate::guard::{self, Outlook, Samples, Standing};
use crate::run::counts::{About, Counts, Tally};
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::plan::{DestinationPlan, Plan};
use crate::run::summary::Summary;
use crate::run::workers::Workers;
use crate::source::stores::{Access, NotCovered, Stores};

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// What should exist: Dataverse's database, or a snapshot of it.
    pub catalog: &'a dyn Catalog,
    /// Where its bytes are.
    pub stores: &'a Stores,
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination.
    pub destination: &'a DestinationName,
    /// The destination itself, where sessions are opened.
    pub sink: &'a dyn Sink,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

impl Setup<'_> {
    pub(crate) fn at<'b>(&'b self, run: &'b RunId) -> DestinationContext<'b> {
        let Self { ledger, destination, sink, observer, stop, .. } = *self;
        DestinationContext { ledger, destination, sink, observer, stop, run }
    }
}

/// Makes sure that every data file in scope has a proved copy at the destination, and reports what is not safe.
///
/// With [`Options::dry_run`], only counts what is due, without a lock.
///
/// # Errors
/// [`RunError`], when no data file was looked at. What goes wrong later is in the [`Summary`].
pub fn run(setup: &Setup<'_>, options: &Options) -> Result<Summary, RunError> {
    let mut results = run_together(&[(*setup, options.clone())]);
    // One result a setup.
    results.pop().unwrap_or(Err(RunError::NothingSelected))
}

/// As [`run`], for several destinations at once: the catalogue is read once, and so is each object that several of
/// them need. A destination that fails does not hold up the others.
///
/// All have one catalogue, one ledger and the same stores; selection, `limit`, `rerun` and `dry_run` are those of the
/// first. The n-th result is that of the n-th destination.
#[must_use]
pub fn run_together(destinations: &[(Setup<'_>, Options)]) -> Vec<Result<Summary, RunError>> {
    let (began, started) = (Instant::now(), now());
    let stops: Vec<CancelToken> = destinations
        .iter()
        .map(|(setup, options)| setup.stop.until(options.time_budget.map(|it| began + it)))
        .collect();
    let destinations: Vec<(Setup<'_>, &Options)> =
        destinations.iter().zip(&stops).map(|((setup, options), stop)| (Setup { stop, ..*setup }, options)).collect();
    watched(cuts(&destinations), || {
        let (recorded, refused) = match begin_event(&destinations, &started) {
            Ok(recorded) => (recorded, None),
            Err(error) => (None, Some(RunError::from(error))),
        };
        let mut entries: Vec<Entry<'_>> =
            destinations.iter().map(|(setup, options)| Entry::new(setup, options, &started)).collect();
        match refused {
            Some(error) => refuse_all(entries.iter_mut().filter(|entry| entry.result.is_none()).collect(), error),
            None => thread::scope(|scope| plan_and_work(&mut entries, scope)),
        }
        let mut results: Vec<Result<Summary, RunError>> = entries.into_iter().map(Entry::finish).collect();
        if let Some(recorded) = recorded {
            finish_event(&recorded, &destinations, &mut results);
        }
        results
    })
}

/// One line in the event log, whatever the number of destinations; none for a dry run.
fn begin_event<'a>(destinations: &[(Setup<'a>, &Options)], started: &str) -> Result<Option<Recorded<'a>>, LedgerError> {
    let Some((setup, options)) = destinations.first().filter(|(_, options)| !options.dry_run) else { return Ok(None) };
    let intent = Intent {
        command: "run",
        run: &options.run,
        agent: &options.agent,
        selection: &options.selection,
        destinations: destinations.iter().map(|(setup, _)| setup.destination.clone()).collect(),
        overrides: options.overrides.names(),
    };
    Recorded::begin(setup.ledger, &intent, started).map(Some)
}

fn finish_event(
    recorded: &Recorded<'_>,
    destinations: &[(Setup<'_>, &Options)],
    results: &mut [Result<Summary, RunError>],
) {
    let mut counts = serde_json::Map::new();
    let mut worst = ExitStatus::Safe;
    for ((setup, _), result) in destinations.iter().zip(&*results) {
        let (ending, of_destination) = match result {
            Ok(summary) => (summary.ending, summary.counts()),
            Err(error) => (ExitStatus::from(error), serde_json::json!({ "error": chain(error) })),
        };
        worst = worst.min(ending);
        counts.insert(setup.destination.0.clone(), of_destination);
    }
    if let Err(error) = recorded.end(worst, counts.into()) {
        results.iter_mut().flatten().for_each(|summary| summary.give_up(ExitStatus::from(&error), chain(&error)));
    }
}

/// What is cut off, and when: each destination at its own time, what they share when the last one's is over.
fn cuts<'a>(destinations: &'a [(Setup<'a>, &Options)]) -> Vec<Cut<'a>> {
    let mut cuts: Vec<Cut<'_>> =
        destinations.iter().map(|(Setup { stop, sink, .. }, _)| Cut::new(stop, || sink.interrupt())).collect();
    if let Some((last, _)) = destinations.iter().max_by_key(|it| it.0.stop.latest()) {
        cuts.push(Cut::new(last.stop, || last.stores.interrupt()));
        cuts.push(Cut::databases(last.stop, Some(last.catalog), last.ledger));
    }
    cuts
}

/// One destination from its lock to its result.
struct Entry<'a> {
    setup: &'a Setup<'a>,
    options: &'a Options,
    started: String,
    lock: Option<LockedRun<'a>>,
    acknowledged: Arc<Acknowledged>,
    /// What has gone wrong before any data file was looked at, or how the run ended.
    result: Option<Result<Summary, RunError>>,
}

impl<'a> Entry<'a> {
    fn new(setup: &'a Setup<'a>, options: &'a Options, started: &str) -> Self {
        let mut entry = Self {
            setup,
            options,
            started: started.to_owned(),
            lock: None,
            acknowledged: Arc::default(),
            result: None,
        };
        if !options.dry_run
            && let Err(error) = entry.begin()
        {
            entry.result = Some(Err(error.into()));
        }
        entry
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        let Setup { ledger, destination, .. } = *self.setup;
        let Options { run, agent, .. } = self.options;
        self.begin_under(LockedRun::lock(ledger, "run", destination, (run, agent, &self.started))?)
    }

    fn begin_under(&mut self, lock: LockedRun<'a>) -> Result<(), LedgerError> {
        let Setup { ledger, destination, .. } = *self.setup;
        lock.begin(destination, &self.options.agent, &self.started)?;
        self.lock = Some(lock);
        self.acknowledged = Arc::new(Acknowledged::at(ledger, destination)?);
        let unfounded = ledger.distrust(destination, &self.options.run)?;
        if unfounded > 0 {
            let text = format!(
                "the ledger called {unfounded} data files OK without any copy on record; they are checked again"
            );
            self.setup.observer.event(&Event::Warning(&text));
        }
        Ok(())
    }

    /// Of a host that shares a run, which is in it already.
    fn joined(setup: &'a Setup<'a>, options: &'a Options, started: &str) -> Self {
        let (started, acknowledged) = (started.to_owned(), Arc::default());
        Self { setup, options, started, lock: None, acknowledged, result: None }
    }

    /// Why it was refused.
    fn refused(self) -> RunError {
        match self.result {
            Some(Err(error)) => error,
            Some(Ok(_)) | None => RunError::NothingSelected,
        }
    }

    fn end(&mut self, dest: DestinationRun<'a>) {
        let (counts, lock) = dest.end();
        // Held until the end of the run is on record.
        self.lock = Some(lock);
        self.result = Some(Ok(summary(self.setup, self.options, self.started.clone(), counts)));
    }

    /// Ends it before any data file was looked at.
    fn refuse(&mut self, dest: &mut Option<DestinationRun<'a>>, error: RunError) {
        self.lock = dest.take().map(|it| it.end().1);
        self.result = Some(Err(error));
    }

    /// Records how it ended, and lets go of the lock.
    fn finish(self) -> Result<Summary, RunError> {
        let done = self.result.unwrap_or(Err(RunError::NothingSelected));
        match self.lock {
            Some(lock) => lock.finish(done),
            None => done,
        }
    }
}

/// Plans and works for every destination that may.
fn plan_and_work<'scope, 'a: 'scope>(entries: &mut [Entry<'a>], scope: &'scope Scope<'scope, '_>) {
    let mut taking_part: Vec<&mut Entry<'a>> = entries.iter_mut().filter(|it| it.result.is_none()).collect();
    let setups: Vec<_> = taking_part.iter().map(|it| (it.setup, it.options)).collect();
    let Some((first, options)) = setups.first().copied() else { return };
    let Plan { mut catalogue, mut spool, standing, dests, samples, mut due } = match plan::make(&setups) {
        Ok(plan) => plan,
        Err(error) => return refuse_all(taking_part, error),
    };
    let mut active: Vec<Option<DestinationRun<'a>>> = Vec::with_capacity(dests.len());
    for (number, (entry, plan)) in taking_part.iter_mut().zip(dests).enumerate() {
        active.push(start(number, entry, plan));
    }
    if active.iter().all(Option::is_none) {
        return;
    }
    // Of several destinations, none is to wait for the workers of another one.
    let is_alone = active.iter().flatten().count() == 1;
    let standings = arrive_and(&mut taking_part, &mut active, |dest| {
        if is_alone {
            dest.log_in_ahead(scope);
        }
    });
    // What is no store of this catalogue needs no proof that it is another place.
    if standing.is_some() {
        due.extend(samples.stores().cloned());
    }
    doubt(&mut active, first.stores, &samples, &due);
    take_ground(&mut taking_part, &mut active, standings, &samples);
    active.iter().flatten().for_each(record_pids);
    renew_locks(&active, Which::Ending);
    let due = match spool.read() {
        Ok(due) => due,
        Err(source) => {
            let error = RunError::Spool { folder: options.spool_folder.clone(), source };
            // Each lock goes back, so that the end of its run is on record.
            for (entry, dest) in taking_part.iter_mut().zip(active) {
                entry.lock = dest.map(|dest| dest.end().1);
            }
            return refuse_all(taking_part, error);
        }
    };
    let files = active.iter().flatten().map(|it| it.tally.lock().due.files).max().unwrap_or(0);
    let workers = Workers::new(&active, Box::new(due), files, options.limit);
    // What a store that is in doubt lacks says nothing: the next run looks.
    let is_in_doubt = active.iter().flatten().any(|it| !it.doubtful.is_empty());
    let looking = standing.zip(options.presence_check).filter(|_| !is_in_doubt);
    let taking = active.iter().flatten().collect::<Vec<_>>();
    thread::scope(|scope| {
        // Beside the copying: what Dataverse deletes meanwhile is soon younger than the catalogue.
        let looking = looking.map(|(standing, bound)| {
            let (taking, catalogue) = (&taking, &mut catalogue);
            scope.spawn(move || pool::guarded(|| presence::look(taking, bound, standing, catalogue)))
        });
        workers.work();
        workers.leave_rest();
        if let Some(Ok(Err(why))) = looking.map(thread::ScopedJoinHandle::join) {
            taking.iter().for_each(|it| it.tally.abort(ExitStatus::NotSafe, why.clone()));
        }
    });
    drop(workers);
    snapshot::leave(&taking, &mut catalogue);
    renew_locks(&active, Which::All);
    active.iter().flatten().for_each(DestinationRun::clean_up);
    // Behind the snapshot: it may take hours, and the copies are to be described whatever ends it.
    for (dest, done) in active.iter().flatten().zip(pool::each(active.iter().flatten(), DestinationRun::verify_share)) {
        if let Err(why) = done {
            dest.tally.abort(ExitStatus::NotSafe, why);
        }
    }
    if let Err(why) = pool::guarded(|| reread::share_of_run(&taking, &mut catalogue)) {
        taking.iter().for_each(|it| it.tally.abort(ExitStatus::NotSafe, why.clone()));
    }
    for (entry, dest) in taking_part.into_iter().zip(active) {
        if let Some(dest) = dest {
            entry.end(dest);
        }
    }
}

/// Sees to the locks of copies at each destination. Those that end go before new copies, all others come behind them.
fn renew_locks(active: &[Option<DestinationRun<'_>>], which: Which) {
    let done = pool::each(active.iter().flatten(), |dest| dest.renew_locks(which));
    for (dest, done) in active.iter().flatten().zip(done) {
        if let Err(why) = done {
            dest.tally.abort(ExitStatus::NotSafe, why);
        }
    }
}

/// Goes to every destination; one that turns out not to be what the ledger knows has no run.
fn arrive<'a>(entries: &mut [&mut Entry<'a>], active: &mut [Option<DestinationRun<'a>>]) -> Vec<Option<Standing>> {
    arrive_and(entries, active, |_| {})
}

/// The same; `logged_in` is called for each destination as soon as one session with it is open.
fn arrive_and<'a>(
    entries: &mut [&mut Entry<'a>],
    active: &mut [Option<DestinationRun<'a>>],
    logged_in: impl Fn(&DestinationRun<'a>) + Sync,
) -> Vec<Option<Standing>> {
    let one = |dest: &Option<DestinationRun<'a>>| dest.as_ref().map(|dest| dest.arrive(|| logged_in(dest)));
    let arrived = pool::each(active.iter(), one);
    let mut standings = Vec::with_capacity(arrived.len());
    for ((entry, dest), arrived) in entries.iter_mut().zip(active).zip(arrived) {
        standings.push(match (arrived, &dest) {
            (Ok(Some(Ok(standing))), _) => standing,
            (Ok(Some(Err(error))), _) => {
                entry.refuse(dest, error);
                None
            }
            (Err(why), Some(dest)) => {
                dest.tally.abort(ExitStatus::NotSafe, why);
                None
            }
            (Ok(None), _) | (Err(_), None) => None,
        });
    }
    standings
}

/// Proves that each destination where something may be stored is a place of its own, and leaves the installation's id where
/// it is new. One that is none has no run.
fn take_ground<'a>(
    entries: &mut [&mut Entry<'a>],
    active: &mut [Option<DestinationRun<'a>>],
    standings: Vec<Option<Standing>>,
    samples: &Samples,
) {
    for (n, standing) in standings.into_iter().enumerate() {
        let (Some(standing), Some(dest)) = (standing, active.get(n).and_then(Option::as_ref)) else { continue };
        if standing == Standing::Ours && dest.tally.lock().due.files == 0 {
            dest.settled.store(true, Ordering::Relaxed);
            continue;
        }
        let others: Vec<&DestinationRun<'_>> = active.iter().flatten().filter(|it| it.number != dest.number).collect();
        match pool::each([()], |()| dest.take_ground(&standing, &others, samples)).pop() {
            Some(Ok(Err(error))) => {
                let Some((entry, dest)) = entries.get_mut(n).zip(active.get_mut(n)) else { continue };
                entry.refuse(dest, error);
            }
            Some(Err(why)) => dest.tally.abort(ExitStatus::NotSafe, why),
            Some(Ok(Ok(()))) | None => {}
        }
    }
}

/// What the run has noted is recorded once it is sure to have a summary.
fn record_pids(dest: &DestinationRun<'_>) {
    if dest.tally.is_aborted() {
        return;
    }
    if let Err(error) = dest.renamed.record(dest.setup) {
        dest.tally.abort(ExitStatus::from(&error), chain(&error));
    }
}

/// Looks whether the stores of which something is due are those that the catalogue speaks of. What is in others is left alone.
fn doubt(active: &mut [Option<DestinationRun<'_>>], stores: &Stores, samples: &Samples, due: &BTreeSet<DriverId>) {
    if active.iter().all(Option::is_none) {
        return;
    }
    let doubts = match samples.doubts(stores, due) {
        Ok(it) => it,
        Err(why) => return active.iter().flatten().for_each(|it| it.tally.abort(ExitStatus::NotSafe, why.clone())),
    };
    for dest in active.iter_mut().flatten() {
        dest.doubtful = doubts.keys().cloned().collect();
        let mut counts = dest.tally.lock();
        for (driver, error) in &doubts {
            let why = error.to_string();
            dest.setup.observer.event(&Event::Warning(&why));
            counts.note_global(About::Store(driver), Status::FailRead, why.clone());
            counts.doubts.push(why);
        }
    }
}

/// What keeps the plan from being made keeps every destination from its run. One of them has the error with its
/// causes, the others its text.
fn refuse_all(entries: Vec<&mut Entry<'_>>, error: RunError) {
    let (text, hint) = (chain(&error), error.hint());
    let ending = ExitStatus::from(&error);
    let mut error = Some(error);
    for entry in entries {
        let together = || RunError::Together { text: text.clone(), ending, hint: hint.clone() };
        entry.result = Some(Err(error.take().unwrap_or_else(together)));
    }
}

/// The run of one destination, where there is work to be done and nothing against it.
fn start<'a>(number: usize, entry: &mut Entry<'a>, plan: DestinationPlan) -> Option<DestinationRun<'a>> {
    let DestinationPlan { mut counts, gone, renamed } = plan;
    let (setup, options) = (entry.setup, entry.options);
    if options.dry_run && !matches!(gone, Err(RunError::NothingSelected)) {
        warn_of_drivers(setup, &mut counts);
        renamed.note(setup, &mut counts);
        // What is due is what is pending, but for what is safe and only to be looked at again.
        counts.files.pending = counts.due.files.saturating_sub(counts.due_again);
        counts.files.unchanged += counts.due_again;
        counts.files.catalogued += counts.due.files;
        let refused = gone.err().or_else(|| foresee(setup, options, &mut counts).err());
        let counted = summary(setup, options, entry.started.clone(), counts);
        let ending = refused.as_ref().map_or(ExitStatus::Safe, ExitStatus::from);
        let (refused, hint) = refused.map_or((None, None), |it| (Some(chain(&it)), it.hint()));
        let free_bytes = free_bytes(setup);
        entry.result =
            Some(Ok(Summary { aborted: refused, hint, ending, exit_code: ending.code(), free_bytes, ..counted }));
        return None;
    }
    let marked = gone.and_then(|it| Ok(setup.ledger.mark_gone(setup.destination, &it)?));
    if let Err(error) = marked {
        entry.result = Some(Err(error));
        return None;
    }
    warn_of_drivers(setup, &mut counts);
    renamed.note(setup, &mut counts);
    setup.observer.event(&Event::Planned { files: counts.due.files, bytes: counts.due.bytes });
    let lock = entry.lock.take()?;
    let mut dest = DestinationRun::new(number, setup, options, Tally::of(counts), lock);
    dest.acknowledged = std::mem::take(&mut entry.acknowledged);
    dest.renamed = renamed;
    Some(dest)
}

/// What a run would find at the destination, for one that only counts.
///
/// # Errors
/// What would keep a run from it.
fn foresee(setup: &Setup<'_>, options: &Options, counts: &mut Counts) -> Result<(), RunError> {
    let claimant = preflight::claimant(setup, options);
    let outlook = guard::outlook(setup.sink, &options.run, &claimant, options.overrides.copies_lost)?;
    let why = match outlook {
        Outlook::Ours => return Ok(()),
        Outlook::New => format!("{} does not exist; a run would make it", setup.sink.describe()),
        Outlook::Unmarked(None) => "it carries no id yet; a run would leave this installation's there".to_owned(),
        Outlook::Unmarked(Some(since)) => format!(
            "it does not carry this installation's id, which was left there on {since}; a run would leave it again"
        ),
    };
    setup.observer.event(&Event::Notice(&format!("destination {}: {why}", setup.destination)));
    counts.note_global(About::Destination(setup.destination), Status::Pending, why);
    Ok(())
}

/// The room at a destination, as far as it tells. A dry run goes on without.
fn free_bytes(setup: &Setup<'_>) -> Option<u64> {
    match setup.sink.room() {
        Ok(room) => room.map(|it| it.free),
        // It would be new.
        Err(error) if error.cause == Cause::Absent || error.cause == Cause::Missing => None,
        Err(error) => {
            let text = format!("destination {}: {}", setup.destination, error.chain());
            setup.observer.event(&Event::Warning(&text));
            None
        }
    }
}

/// Files of a driver that nobody configured are not covered by mistake, unlike all others (dataverse.md R10).
fn warn_of_drivers(setup: &Setup<'_>, counts: &mut Counts) {
    for (driver, files) in counts.unknown_drivers.clone() {
        let why = format!("{files} data files are not covered: {}", NotCovered::unknown(&driver));
        setup.observer.event(&Event::Warning(&why));
        counts.note_global(About::Store(&driver), Status::NotCovered, why);
    }
}

/// What stores and destination have met that belongs to no data file.
fn gather_notes(setup: &Setup<'_>, counts: &mut Counts) {
    for (driver, store) in &setup.stores.by_id {
        if let Access::Readable(source) = &store.access {
            let about = || About::Store(driver);
            source.notes().into_iter().for_each(|it| counts.note_global(about(), Status::Ok, it));
        }
    }
    let about = || About::Destination(setup.destination);
    setup.sink.notes().into_iter().for_each(|it| counts.note_global(about(), Status::Ok, it));
}

fn summary(setup: &Setup<'_>, options: &Options, started: String, mut counts: Counts) -> Summary {
    gather_notes(setup, &mut counts);
    // Workers find things in any order.
    counts.failures.listed.sort_by_key(|it| it.data_file_id);
    counts.notes.listed.sort_by_key(|it| it.data_file_id);
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok());
    let ending = counts.ending(signal);
    Summary {
        run_id: options.run.clone(),
        destination: setup.destination.clone(),
        started,
        finished: now(),
        dry_run: options.dry_run,
        whole: options.selection.is_everything(),
        files: counts.files,
        due: counts.due,
        not_rechecked: counts.not_rechecked,
        free_bytes: None,
        bytes_copied: counts.bytes_copied,
        gone: counts.gone,
        verified: counts.verified,
        presence: counts.presence,
        audited: counts.audited,
        locks: counts.locks,
        failures: counts.failures.listed,
        failures_total: counts.failures.total,
        reasons: counts.failures.reasons,
        notes: counts.notes.listed,
        notes_total: counts.notes.total,
        snapshot: counts.snapshot,
        catalogue_digest: counts.catalogue_digest,
        overrides: options.overrides.names(),
        aborted: counts.abort.map(|it| it.1).or_else(|| (!counts.doubts.is_empty()).then(|| counts.doubts.join("; "))),
        hint: None,
        exit_code: ending.code(),
        ending,
    }
}
