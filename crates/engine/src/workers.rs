//! Several workers, each with a session of its own, take batches from the list of what is due until it ends.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dvb_ledger::{LedgerError, Lock, Record, Reservation, Verdict};
use dvb_model::{DriverId, DvObjectId, ObjectKey, ObjectRole};
use dvb_storage::Source;

use crate::connection::{Connection, Lost};
use crate::item::{Job, Progress, Trouble};
use crate::observer::Event;
use crate::payload::Reading;
use crate::spool::{Due, Subject};
use crate::stores::Scope;
use crate::tally::{Fate, Tally};
use crate::{Ending, Options, Setup, chain};

/// Data files in one batch at most: enough that round trips do not count, few enough that a crash costs little.
const BATCH_FILES: usize = 256;
/// Bytes in one batch, unless one data file alone has more.
const BATCH_BYTES: u64 = 64 << 20;
/// How often the bytes that were read are told to the observer.
const TICK: Duration = Duration::from_millis(100);
/// How long after a signal what was not reached may still be recorded as pending.
const LAST_WORDS: Duration = Duration::from_secs(2);

type DueList<'a> = Box<dyn Iterator<Item = io::Result<Due>> + Send + 'a>;

/// The list of what is due, and how much of it was handed out.
struct Queue<'a> {
    due: DueList<'a>,
    /// Taken from the list, and too much for the batch that it came after.
    next: Option<Due>,
    left: Option<u64>,
}

/// What all workers of a run share.
pub(crate) struct Workers<'a> {
    pub(crate) setup: &'a Setup<'a>,
    pub(crate) options: &'a Options,
    pub(crate) tally: &'a Tally,
    pub(crate) reading: Reading,
    /// Something was at the destination that the ledger does not know.
    pub(crate) met_strangers: AtomicBool,
    lock: &'a dyn Lock,
    deadline: Option<Instant>,
    batch_files: usize,
    swept: Mutex<bool>,
    stores: Mutex<HashMap<DriverId, Result<(), String>>>,
    queue: Mutex<Queue<'a>>,
}

impl<'a> Workers<'a> {
    /// `due` is walked once; `files` is how many data files it has.
    pub(crate) fn new(
        setup: &'a Setup<'a>,
        options: &'a Options,
        tally: &'a Tally,
        lock: &'a dyn Lock,
        began: Instant,
        due: DueList<'a>,
        files: u64,
    ) -> Self {
        let rate = options.bandwidth_limit.map(|it| Arc::new(crate::payload::RateLimit::new(it)));
        let reading = Reading { stop: setup.stop.clone(), bytes: Arc::new(AtomicU64::new(0)), rate };
        // Few files are spread over all workers.
        let share = usize::try_from(files).unwrap_or(usize::MAX) / (options.jobs.max(1) * 2);
        Self {
            setup,
            options,
            tally,
            reading,
            met_strangers: AtomicBool::new(false),
            lock,
            deadline: options.time_budget.map(|it| began + it),
            batch_files: share.clamp(1, BATCH_FILES),
            swept: Mutex::new(false),
            stores: Mutex::new(HashMap::new()),
            queue: Mutex::new(Queue { due, next: None, left: options.limit }),
        }
    }

    /// Works until the list ends, or the run does.
    pub(crate) fn work(&self) {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.options.jobs.max(1)).map(|_| scope.spawn(|| self.work_through())).collect();
            let mut told = 0;
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(TICK);
                self.tell_bytes(&mut told);
            }
            let mut connections = Vec::with_capacity(workers.len());
            for worker in workers {
                match worker.join() {
                    Ok(connection) => connections.push(connection),
                    Err(_) => {
                        let why = "a worker broke down: this is a mistake in the program".into();
                        self.tally.abort(Ending::NotSafe, why);
                    }
                }
            }
            // Only when nobody stages any more.
            if let Some(connection) = connections.into_iter().find(Connection::is_open) {
                connection.close();
            }
            self.tell_bytes(&mut told);
        });
    }

    fn tell_bytes(&self, told: &mut u64) {
        let bytes = self.reading.bytes.load(Ordering::Relaxed);
        if bytes > *told {
            self.setup.observer.event(&Event::Bytes(bytes - *told));
            *told = bytes;
        }
    }

    fn work_through(&self) -> Connection<'_> {
        let mut connection = Connection::new(self.setup, self.options, &self.swept);
        while let Some(batch) = self.next_batch() {
            match self.work_on(batch, &mut connection) {
                Ok(()) => {}
                Err(Lost::Run(ending, why)) => self.tally.abort(ending, why),
                Err(Lost::Session(error)) => self.tally.abort(Ending::Unreachable, error.chain()),
                Err(Lost::Stopped) => {}
            }
        }
        connection
    }

    /// Carries a batch, and records whatever came of it, also when the run ends in its middle.
    fn work_on(&self, batch: Vec<Due>, connection: &mut Connection<'_>) -> Result<(), Lost> {
        let mut jobs: Vec<Job> = batch.into_iter().map(Job::new).collect();
        self.recall(&mut jobs)?;
        let carried = self.carry(&mut jobs, connection);
        if carried.is_err() {
            let unfinished = |it: &&mut crate::item::Item| {
                matches!(it.progress, Progress::Compare | Progress::Todo | Progress::Staged(_))
            };
            for item in jobs.iter_mut().flat_map(|it| &mut it.items).filter(unfinished) {
                item.progress = Progress::Failed(Trouble::Stopped);
            }
        }
        self.settle(&jobs)?;
        carried
    }

    /// What the ledger knows of the copies of a batch.
    fn recall(&self, jobs: &mut [Job]) -> Result<(), Lost> {
        let known: Vec<DvObjectId> = jobs.iter().filter(|it| it.due.known).map(|it| it.due.id()).collect();
        if known.is_empty() {
            return Ok(());
        }
        let mut copies: HashMap<DvObjectId, Vec<_>> = HashMap::new();
        for copy in self.setup.ledger.copies(self.setup.destination, &known)? {
            copies.entry(copy.id).or_default().push(copy);
        }
        for job in jobs {
            job.copies = copies.remove(&job.due.id()).unwrap_or_default();
        }
        Ok(())
    }

    /// The next batch; `None` when there is none, or the run is to end.
    fn next_batch(&self) -> Option<Vec<Due>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if self.setup.stop.signalled().is_some() || self.tally.is_aborted() {
            return None;
        }
        if self.deadline.is_some_and(|it| Instant::now() >= it) {
            return None;
        }
        let batch = match queue.take(self.batch_files) {
            Ok(batch) if batch.is_empty() => return None,
            Ok(mut batch) => {
                // In the list's order, so that of two data files with one key the older one has it, whoever is faster.
                if let Err(error) = self.reserve_main(&mut batch) {
                    self.tally.abort(Ending::from(&error), chain(&error));
                }
                batch
            }
            Err(error) => {
                self.tally.abort(Ending::Unreachable, format!("cannot read the list of what is due: {error}"));
                return None;
            }
        };
        drop(queue);
        if !self.lock.is_held() {
            let why = "the lock on the destination was lost with the connection to the backup database".to_owned();
            self.tally.abort(Ending::Unreachable, why);
        }
        Some(batch)
    }

    /// Reserves the keys of main objects that are new, as far as they are known without a look at the source.
    fn reserve_main(&self, batch: &mut [Due]) -> Result<(), LedgerError> {
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

    /// Counts what was not reached as pending, and records what is not known yet as such.
    pub(crate) fn leave_rest(&self) {
        let began = Instant::now();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let may_record = |ended: bool| ended || began.elapsed() < LAST_WORDS;
        queue.left = None;
        while let Ok(batch) = queue.take(BATCH_FILES * 4) {
            if batch.is_empty() {
                return;
            }
            let files: Vec<&Due> = batch.iter().filter(|it| it.is_data_file()).collect();
            files.iter().for_each(|_| self.tally.lock().count(Fate::Pending));
            if !may_record(self.setup.stop.signalled().is_none()) {
                continue;
            }
            let records: Vec<Record> =
                files.iter().filter(|it| !it.known).filter_map(|it| self.as_pending(it)).collect();
            if let Err(error) = self.setup.ledger.record(self.setup.destination, &self.options.run, &records) {
                self.tally.abort(Ending::from(&error), chain(&error));
                queue.due = Box::new(std::iter::empty());
            }
        }
    }

    fn as_pending(&self, due: &Due) -> Option<Record> {
        let Subject::DataFile(file) = &due.subject else { return None };
        let dataset = file.dataset.as_ref();
        Some(Record {
            id: file.id,
            kind: dvb_ledger::EntryKind::DataFile,
            dataset: dataset.map(|it| it.pid.clone()),
            dataset_identifier: dataset.and_then(|it| it.storage_pids.first()).map(dvb_model::StoragePid::directory),
            storage_identifier: file.storage_identifier.clone(),
            label: file.label(),
            fingerprint: due.fingerprint.clone(),
            method: self.setup.sink.method(),
            verdict: Verdict::Pending,
        })
    }

    /// Whether a store can be read at all, tried once a run: a mount that is missing is not a thousand missing files.
    pub(crate) fn store_is_there(&self, driver: &DriverId, source: &dyn Source) -> Result<(), String> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(driver.clone()).or_insert_with(|| source.check().map_err(|it| it.chain())).clone()
    }
}

impl Queue<'_> {
    fn take(&mut self, files: usize) -> io::Result<Vec<Due>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < files && self.left != Some(0) {
            let Some(due) = self.next.take().map(Ok).or_else(|| self.due.next()).transpose()? else { break };
            let more = bytes + due.bytes();
            if more > BATCH_BYTES && !batch.is_empty() {
                self.next = Some(due);
                break;
            }
            bytes = more;
            if due.is_data_file() {
                self.left = self.left.map(|it| it.saturating_sub(1));
            }
            batch.push(due);
        }
        Ok(batch)
    }
}
