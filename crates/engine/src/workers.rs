//! Several workers take batches from the list of what is due until it ends, each with a session at every destination.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::lane::Lane;
use crate::share::Share;
use crate::spool::{Due, Line};
use crate::tally::Fate;
use crate::{Ending, Stop, chain};

/// Data files in one batch at most: enough that round trips do not count, few enough that a crash costs little.
const BATCH_FILES: usize = 256;
/// Bytes in one batch, unless one data file alone has more.
const BATCH_BYTES: u64 = 64 << 20;
/// The same where what is read once waits in memory for the slower one of several destinations.
const SHARED_BATCH_BYTES: u64 = 16 << 20;
/// How often the bytes that were read are told to the observer.
const TICK: Duration = Duration::from_millis(20);
/// How long after a signal what was not reached may still be recorded as pending.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The list of what is due.
pub(crate) type DueList<'a> = Box<dyn Iterator<Item = io::Result<Line>> + Send + 'a>;

/// How much of the list was handed out.
struct Queue<'a> {
    due: DueList<'a>,
    /// Taken from the list, and too much for the batch that it came after.
    next: Option<Line>,
    left: Option<u64>,
}

/// The workers of a run.
pub(crate) struct Workers<'a> {
    /// By the destinations' numbers; `None` for one that takes no part.
    lanes: &'a [Option<Lane<'a>>],
    stop: &'a Stop,
    jobs: usize,
    batch_files: usize,
    batch_bytes: u64,
    queue: Mutex<Queue<'a>>,
}

/// A batch for each destination, in their order; empty for one that needs nothing of it.
type Batch = Vec<Vec<Due>>;

impl<'a> Workers<'a> {
    /// `files` is how many data files the list has at most, `limit` how many of them are to be looked at.
    pub(crate) fn new(
        lanes: &'a [Option<Lane<'a>>],
        stop: &'a Stop,
        due: DueList<'a>,
        files: u64,
        limit: Option<u64>,
    ) -> Self {
        let active = || lanes.iter().flatten();
        let jobs = active().map(|it| it.options.jobs).max().unwrap_or(1).max(1);
        // Few files are spread over all workers.
        let share = usize::try_from(files).unwrap_or(usize::MAX) / (jobs * 2);
        Self {
            lanes,
            stop,
            jobs,
            batch_files: share.clamp(1, BATCH_FILES),
            batch_bytes: if active().count() > 1 { SHARED_BATCH_BYTES } else { BATCH_BYTES },
            queue: Mutex::new(Queue { due, next: None, left: limit }),
        }
    }

    fn active(&self) -> impl Iterator<Item = &'a Lane<'a>> {
        self.lanes.iter().flatten()
    }

    /// Works until the list ends, or every destination has.
    pub(crate) fn work(&self) {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(|| self.work_through())).collect();
            while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(TICK);
                self.active().for_each(Lane::tell_bytes);
            }
            let mut connections = Vec::new();
            for worker in workers {
                match worker.join() {
                    Ok(mine) => connections.extend(mine),
                    Err(_) => self.active().for_each(|it| {
                        it.tally.abort(Ending::NotSafe, "a worker broke down: this is a mistake in the program".into());
                    }),
                }
            }
            self.active().for_each(Lane::tell_bytes);
            for (lane, connection) in connections {
                if let Some(Some(lane)) = self.lanes.get(lane) {
                    lane.leave(connection);
                }
            }
        });
    }

    /// One worker's way through the list.
    fn work_through(&self) -> Vec<(usize, Connection<'a>)> {
        let mut connections: Vec<_> = self.active().map(|it| (it.number, it.connection())).collect();
        while let Some(batch) = self.next_batch() {
            let mine = |lane: usize| batch.get(lane).is_some_and(|it| !it.is_empty());
            let wanted = connections.iter().filter(|it| mine(it.0)).count();
            let share = (wanted > 1).then(|| Share::new(wanted));
            let mut batch = batch;
            thread::scope(|scope| {
                let mut inline = None;
                for (lane, connection) in &mut connections {
                    let due = batch.get_mut(*lane).map(std::mem::take).unwrap_or_default();
                    let Some(Some(lane)) = self.lanes.get(*lane) else { continue };
                    if due.is_empty() {
                        continue;
                    }
                    let share = share.as_ref();
                    match inline {
                        // The last one, or the only one, needs no thread of its own.
                        None => inline = Some((lane, due, connection)),
                        Some(_) => drop(scope.spawn(move || lane.take(due, connection, share))),
                    }
                }
                if let Some((lane, due, connection)) = inline {
                    lane.take(due, connection, share.as_ref());
                }
            });
        }
        connections
    }

    /// The next batch; `None` when there is none, or nobody takes any more.
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !self.active().any(Lane::goes_on) {
                return None;
            }
            let lines = match queue.take(self.batch_files, self.batch_bytes) {
                Ok(lines) if lines.is_empty() => return None,
                Ok(lines) => lines,
                Err(error) => {
                    let why = format!("cannot read the list of what is due: {error}");
                    self.active().for_each(|it| it.tally.abort(Ending::Unreachable, why.clone()));
                    return None;
                }
            };
            let mut batch = self.for_lanes(lines);
            for lane in self.active() {
                let Some(due) = batch.get_mut(lane.number) else { continue };
                if !lane.goes_on() {
                    leave(lane, &std::mem::take(due), true);
                } else if let Err(error) = lane.reserve_main(due) {
                    lane.tally.abort(Ending::from(&error), chain(&error));
                    leave(lane, &std::mem::take(due), false);
                }
            }
            if batch.iter().any(|it| !it.is_empty()) {
                return Some(batch);
            }
        }
    }

    fn for_lanes(&self, lines: Vec<Line>) -> Batch {
        let mut batch: Batch = self.lanes.iter().map(|_| Vec::new()).collect();
        for line in lines {
            for lane in self.active() {
                batch[lane.number].extend(line.due(lane.number));
            }
        }
        batch
    }

    /// Counts what was not reached as pending, and records what is not known yet as such.
    pub(crate) fn leave_rest(&self) {
        let began = Instant::now();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.left = None;
        while let Ok(lines) = queue.take(BATCH_FILES * 4, u64::MAX) {
            if lines.is_empty() {
                return;
            }
            let may_record = self.stop.signalled().is_none() || began.elapsed() < LAST_WORDS;
            let batch = self.for_lanes(lines);
            for lane in self.active() {
                leave(lane, batch.get(lane.number).map_or(&[], Vec::as_slice), may_record);
            }
        }
    }
}

/// Counts a batch that is not carried as pending.
fn leave(lane: &Lane<'_>, due: &[Due], may_record: bool) {
    let mut counts = lane.tally.lock();
    due.iter().filter(|it| it.is_data_file()).for_each(|_| counts.count(Fate::Pending));
    drop(counts);
    if may_record && let Err(error) = lane.record_pending(due) {
        lane.tally.abort(Ending::from(&error), chain(&error));
    }
}

impl Queue<'_> {
    fn take(&mut self, files: usize, most: u64) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        let mut bytes = 0_u64;
        while lines.len() < files && self.left != Some(0) {
            let Some(line) = self.next.take().map(Ok).or_else(|| self.due.next()).transpose()? else { break };
            let more = bytes.saturating_add(line.subject.bytes());
            if more > most && !lines.is_empty() {
                self.next = Some(line);
                break;
            }
            bytes = more;
            if line.subject.is_data_file() {
                self.left = self.left.map(|it| it.saturating_sub(1));
            }
            lines.push(line);
        }
        Ok(lines)
    }
}
