//! One destination of a run: what its workers share, and what becomes of the batches that they are given.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use dvb_ledger::{EntryKind, LedgerError, Record, Reservation, Verdict};
use dvb_model::{DriverId, DvObjectId, ObjectKey, ObjectRole, RunId, Status, StoragePid};
use dvb_storage::{SinkSession, Source};

use crate::catalogue::spool::{Due, Subject};
use crate::command::acknowledged::Acknowledged;
use crate::command::cancel::CancelToken;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::pool;
use crate::command::purged::Buried;
use crate::command::recorded::LockedRun;
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};
use crate::copies::sessions::Sessions;
use crate::run::Setup;
use crate::run::batch::job::{Batch, ObjectError, ObjectState, ObjectTask};
use crate::run::counts::{Counts, FileOutcome, Tally};
use crate::run::options::Options;
use crate::run::renamed::Renamed;
use crate::run::shared_read::Share;
use crate::run::workers;
use crate::source::payload::Reading;
use crate::source::stores::{NoStore, Scope};

/// One destination of a run.
pub(crate) struct DestinationRun<'a> {
    /// Its number among the run's destinations.
    pub(crate) number: usize,
    pub(crate) setup: &'a Setup<'a>,
    pub(crate) options: &'a Options,
    pub(crate) tally: Tally,
    pub(crate) reading: Reading,
    /// For what describes the copies at the end: it has a little longer than what is in flight.
    pub(crate) at_the_end: CancelToken,
    /// The destination was proved to be what it should be: only then anything is stored there.
    pub(crate) settled: AtomicBool,
    /// This run made the place itself.
    pub(crate) is_made: AtomicBool,
    /// Something was at the destination that the ledger does not know.
    pub(crate) met_strangers: AtomicBool,
    /// Held by the worker that sweeps what dead runs left.
    pub(crate) contact: Arc<Contact>,
    /// The folder of its temporaries: its own among the hosts that share a run.
    pub(crate) staging: RunId,
    /// What the next connections go on with.
    sessions: Arc<Sessions>,
    /// The backup's own names there, as they were listed on arrival, for whoever needs them next.
    pub(crate) own_names: Mutex<Option<Vec<String>>>,
    pub(crate) lock: LockedRun<'a>,
    /// What was purged by law and this ledger did not know of, as the destination's tombstones say.
    pub(crate) purged: Arc<OnceLock<Buried>>,
    /// Losses that are known.
    pub(crate) acknowledged: Arc<Acknowledged>,
    stores: Arc<Mutex<HashMap<DriverId, Result<(), NoStore>>>>,
    /// Stores that are not what the catalogue speaks of: nothing of them is judged.
    pub(crate) doubtful: BTreeSet<DriverId>,
    /// Datasets that have another PID than the ledger knows.
    pub(crate) renamed: Renamed,
    told: AtomicU64,
    /// Data files that have a verdict which stands, or are due.
    in_scope: u64,
    /// Batches that may be under way besides those that are: a run has as many workers as the busiest destination wants.
    free: Mutex<usize>,
    freed: Condvar,
}

impl<'a> DestinationRun<'a> {
    pub(crate) fn new(
        number: usize,
        setup: &'a Setup<'a>,
        options: &'a Options,
        tally: Tally,
        lock: LockedRun<'a>,
    ) -> Self {
        let counts = tally.lock();
        let in_scope = counts.files.catalogued + counts.due.files;
        drop(counts);
        Self {
            in_scope,
            number,
            setup,
            options,
            tally,
            reading: Reading::new(setup.stop, options.bandwidth_limit),
            at_the_end: setup.stop.for_snapshot(),
            settled: AtomicBool::new(false),
            is_made: AtomicBool::new(false),
            met_strangers: AtomicBool::new(false),
            contact: Arc::new(Contact::under_lock()),
            staging: options.run.clone(),
            sessions: Arc::default(),
            own_names: Mutex::new(None),
            lock,
            purged: Arc::default(),
            acknowledged: Arc::default(),
            stores: Arc::default(),
            doubtful: BTreeSet::new(),
            renamed: Renamed::default(),
            told: AtomicU64::new(0),
            free: Mutex::new(options.jobs.max(1)),
            freed: Condvar::new(),
        }
    }

    /// The run of one range of a shared run: what this host knows of the destination and its stores is known there too.
    pub(crate) fn of_range<'b>(
        &self,
        setup: &'b Setup<'b>,
        options: &'b Options,
        lock: LockedRun<'b>,
        session: Option<Box<dyn SinkSession>>,
    ) -> DestinationRun<'b> {
        DestinationRun {
            reading: self.reading.clone(),
            settled: AtomicBool::new(true),
            contact: Arc::clone(&self.contact),
            staging: self.staging.clone(),
            sessions: Arc::new(Sessions::of(session)),
            purged: Arc::clone(&self.purged),
            acknowledged: Arc::clone(&self.acknowledged),
            stores: Arc::clone(&self.stores),
            doubtful: self.doubtful.clone(),
            ..DestinationRun::new(self.number, setup, options, Tally::default(), lock)
        }
    }

    /// What was found, and the lock.
    pub(crate) fn end(self) -> (Counts, LockedRun<'a>) {
        (self.tally.end(), self.lock)
    }

    /// A connection of this run, with the session that was left, if any.
    pub(crate) fn connection(&self) -> Connection<'_> {
        Connection::new(self.setup.at(&self.staging), &self.contact).going_on(self.sessions.take())
    }

    /// The same for what describes the copies at the end.
    pub(crate) fn last_connection(&self) -> Connection<'_> {
        let at = DestinationContext { stop: &self.at_the_end, ..self.setup.at(&self.staging) };
        Connection::new(at, &self.contact).going_on(self.sessions.take())
    }

    /// Takes a connection back whose session may be of use.
    pub(crate) fn leave(&self, connection: Connection<'_>) {
        if let Some(session) = connection.into_session() {
            self.leave_session(session);
        }
    }

    /// The same of the session alone.
    pub(crate) fn leave_session(&self, session: Box<dyn SinkSession>) {
        self.sessions.leave(session);
    }

    /// The same before the workers begin, when others are being opened for them.
    pub(crate) fn give_back(&self, connection: Connection<'_>) {
        if let Some(session) = connection.into_session() {
            self.sessions.give_back(session);
        }
    }

    /// Opens the sessions of the workers but one, while that one looks around; they wait for these instead of opening their
    /// own. What goes wrong is met again by the worker that is left without.
    pub(crate) fn log_in_ahead<'scope>(&self, scope: &'scope thread::Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        let due = self.tally.lock().due;
        let files = self.options.limit.map_or(due.files, |limit| limit.min(due.files));
        let workers = workers::busy(self.options.jobs, files, due.bytes);
        self.sessions.expect(workers.saturating_sub(1));
        for _ in 1..workers {
            let (setup, run) = (self.setup, &self.options.run);
            let (contact, sessions) = (Arc::clone(&self.contact), Arc::clone(&self.sessions));
            scope.spawn(move || {
                let mut connection = Connection::new(setup.at(run), &contact);
                let opened = pool::guarded(|| connection.with(|_| Ok(())));
                sessions.come(opened.ok().and_then(|_| connection.into_session()));
            });
        }
    }

    /// Ends with what was opened for it: nothing is worked on here.
    pub(crate) fn close(&self, mut connection: Connection<'_>) {
        self.sessions.close();
        connection.clean_up();
    }

    /// Removes what hosts have staged that were at work when this one came, and are dead now.
    ///
    /// # Errors
    /// Where this host does not get at the destination any more.
    pub(crate) fn sweep_again(&self) -> Result<(), RunError> {
        let mut connection = self.connection();
        match connection.sweep_again() {
            Ok(()) => {
                self.leave(connection);
                Ok(())
            }
            Err(Interrupted::Run(ending, text)) => Err(RunError::Together { text, ending, hint: None }),
            Err(Interrupted::Session(error)) => {
                let ending = ExitStatus::of_cause(error.cause);
                Err(RunError::Together { text: error.chain(), ending, hint: None })
            }
            Err(Interrupted::Stopped) => Err(RunError::Stopped),
        }
    }

    /// Removes the run's own folder of temporaries, when nobody stages any more, and ends the session that was left.
    pub(crate) fn clean_up(&self) {
        self.connection().clean_up();
    }

    /// Whether the lock on the destination is still held.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.held().is_held()
    }

    /// Whether it takes more work.
    pub(crate) fn goes_on(&self) -> bool {
        self.setup.stop.may_begin() && !self.tally.is_aborted()
    }

    /// Has a session before there is a batch to be carried; what ends the whole run is kept in the tally.
    pub(crate) fn log_in(&self, connection: &mut Connection<'_>) {
        if self.goes_on() && self.tally.lock().due.files > 0 {
            let done = pool::guarded(|| connection.with(|_| Ok(())));
            self.note_end(done.unwrap_or_else(|why| Err(Interrupted::Run(ExitStatus::NotSafe, why))));
        }
    }

    fn note_end(&self, done: Result<(), Interrupted>) {
        match done {
            Ok(()) | Err(Interrupted::Stopped) => {}
            Err(Interrupted::Run(ending, why)) => self.tally.abort(ending, why),
            Err(Interrupted::Session(error)) => self.tally.abort(ExitStatus::of_cause(error.cause), error.chain()),
        }
    }

    /// Carries a batch, and records whatever came of it; what ends the whole run is kept in the tally.
    pub(crate) fn take(&self, mut batch: Vec<Due>, connection: &mut Connection<'_>, share: Option<&Share>) {
        if let Some(purged) = self.purged.get() {
            batch.retain(|due| {
                let is_purged = purged.has(due.id());
                if is_purged && due.is_data_file() {
                    self.tally.lock().count(FileOutcome::Purged);
                }
                !is_purged
            });
        }
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |it| *it == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        let files = batch.iter().filter(|it| it.is_data_file()).count();
        // Whatever becomes of it, nobody is to wait for it, and other destinations go on.
        let done = pool::guarded(|| self.work_on(batch, connection, share)).unwrap_or_else(|why| {
            (0..files).for_each(|_| self.tally.lock().count(FileOutcome::Pending));
            Err(Interrupted::Run(ExitStatus::NotSafe, why))
        });
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        if let Some(share) = share {
            share.leave(self.number);
        }
        self.note_end(done);
    }

    fn work_on(
        &self,
        batch: Vec<Due>,
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        let mut batch = Batch::of(batch);
        let carried = self.begin(&mut batch).and_then(|()| self.carry(&mut batch, connection, share));
        if carried.is_err() {
            let unfinished = |it: &&mut ObjectTask| {
                matches!(it.progress, ObjectState::Compare | ObjectState::Todo | ObjectState::Staged(_))
            };
            for item in batch.tasks_mut().filter(unfinished) {
                item.progress = ObjectState::Failed(ObjectError::Stopped);
            }
        }
        self.settle(&batch)?;
        carried
    }

    /// Whether the batch may be carried, and what the ledger knows of its copies.
    fn begin(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        if !self.lock.held().is_held() {
            let why = "the lock on the destination was lost with the connection to the backup database".to_owned();
            return Err(Interrupted::Run(ExitStatus::Unreachable, why));
        }
        let known: Vec<DvObjectId> = batch.jobs().iter().filter(|it| it.due.known).map(|it| it.due.id()).collect();
        if known.is_empty() {
            return Ok(());
        }
        let mut copies: HashMap<DvObjectId, Vec<_>> = HashMap::new();
        for copy in self.setup.ledger.copies(self.setup.destination, &known)? {
            copies.entry(copy.id).or_default().push(copy);
        }
        for job in batch.jobs_mut() {
            job.copies = copies.remove(&job.due.id()).unwrap_or_default();
        }
        Ok(())
    }

    /// Reserves the keys of main objects that are new, as far as they are known without a look at the source: in the
    /// list's order, so that of two data files with one key the older one has it, whoever is faster.
    pub(crate) fn reserve_main(&self, batch: &mut [Due]) -> Result<(), LedgerError> {
        let new: Vec<(&mut Due, ObjectKey)> =
            batch.iter_mut().filter_map(|due| self.new_main_key(due).map(|key| (due, key))).collect();
        if new.is_empty() {
            return Ok(());
        }
        let wish = |(due, key): &(&mut Due, ObjectKey)| Reservation {
            id: due.id(),
            role: ObjectRole::Main,
            version: 1,
            key: key.clone(),
        };
        let wishes: Vec<Reservation> = new.iter().map(wish).collect();
        let owners = self.setup.ledger.reserve(self.setup.destination, &wishes)?;
        for ((due, key), owner) in new.into_iter().zip(owners) {
            due.main_key = (owner == due.id()).then_some(key);
        }
        Ok(())
    }

    fn new_main_key(&self, due: &Due) -> Option<ObjectKey> {
        let Subject::DataFile(file) = &due.subject else { return None };
        let Scope::Covered(place) = self.setup.stores.scope(file) else { return None };
        let [pid] = place.pids.as_slice() else { return None };
        let is_plain = !due.known && !file.is_package();
        is_plain.then(|| ObjectKey::of(&pid.directory(), &place.name).ok()).flatten()
    }

    /// Records what is not known yet and was not reached.
    pub(crate) fn record_pending(&self, rest: &[Due]) -> Result<(), LedgerError> {
        let records: Vec<Record> = rest.iter().filter(|it| !it.known).filter_map(|it| self.as_pending(it)).collect();
        if records.is_empty() {
            return Ok(());
        }
        self.setup.ledger.record(self.setup.destination, &self.options.run, &records)
    }

    fn as_pending(&self, due: &Due) -> Option<Record> {
        let Subject::DataFile(file) = &due.subject else { return None };
        let dataset = file.dataset.as_ref();
        Some(Record {
            id: file.id,
            kind: EntryKind::DataFile,
            dataset: dataset.map(|it| it.pid.clone()),
            dataset_identifier: dataset.and_then(|it| it.storage_pids.first()).map(StoragePid::directory),
            storage_identifier: file.storage_identifier.clone(),
            label: file.label(),
            fingerprint: due.fingerprint.clone(),
            method: self.setup.sink.method(),
            verdict: Verdict::Pending,
            found: Vec::new(),
            read_from: None,
        })
    }

    /// What becomes of a data file that was not reached. What the ledger calls safe stays so, unless the copies are said to
    /// be lost.
    pub(crate) fn fate_of_rest(&self, due: &Due) -> FileOutcome {
        let is_safe = due.recheck && due.claimed.is_none() && due.was == Some(Status::Ok);
        if is_safe && !self.options.overrides.copies_lost { FileOutcome::NotRechecked } else { FileOutcome::Pending }
    }

    /// Counts what is due and was not even looked at as pending.
    pub(crate) fn count_rest(&self) {
        let files = &mut self.tally.lock().files;
        let rest = self.in_scope.saturating_sub(files.catalogued);
        files.pending += rest;
        files.catalogued += rest;
    }

    /// Whether a store can be read at all, tried once a run: a mount that is missing is not a thousand missing files.
    pub(crate) fn store_is_there(&self, driver: &DriverId, source: &dyn Source) -> Result<(), NoStore> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(driver.clone()).or_insert_with(|| source.check().map_err(|it| NoStore::of(&it))).clone()
    }

    /// Tells the observer what was read since it was told last. Called by one thread.
    pub(crate) fn tell_bytes(&self) {
        let bytes = self.reading.bytes.load(Ordering::Relaxed);
        let told = self.told.swap(bytes, Ordering::Relaxed);
        if bytes > told {
            self.setup.observer.event(&Event::Bytes(bytes - told));
        }
    }
}
