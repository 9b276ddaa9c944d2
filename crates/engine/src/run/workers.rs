//! Several workers take batches from the list of what is due until it ends, each with a session at every destination.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use dvb_storage::chain;

use crate::catalogue::spool::{Due, Line};
use crate::command::exit_status::ExitStatus;
use crate::command::pool;
use crate::copies::session::Connection;
use crate::run::destination_run::DestinationRun;
use crate::run::shared_read::Share;
use crate::run::summary;

/// Data files in one batch at most: enough that round trips do not count, few enough that a crash costs little.
const BATCH_FILES: usize = 256;
/// A batch costs round trips and a flush to disk: so many small files come together, as long as no worker stays without any.
const SMALL_FILES: usize = 1024;
/// So few are left to one worker: another one would cost a login.
const FEW_FILES: usize = 32;
/// The bytes that files are small up to, all of such a batch together.
const SMALL_BYTES: u64 = 4 << 20;
/// Bytes in one batch, unless one data file alone has more.
const BATCH_BYTES: u64 = 64 << 20;
/// The same where what is read once waits in memory for the slower one of several destinations.
const SHARED_BATCH_BYTES: u64 = 16 << 20;
/// Bytes in one range of a shared run at most: few rows, also of large files, and no long wait for the last one.
const RANGE_BYTES: u64 = 4 << 30;
/// How long after a signal or the time budget what was not reached may still be recorded as pending.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The list of what is due.
pub(crate) type DueList<'a> = Box<dyn Iterator<Item = io::Result<Line>> + Send + 'a>;

/// How much of the list was handed out.
pub(crate) struct Queue<'a> {
    due: DueList<'a>,
    /// Taken from the list, and too much for the batch that it came after.
    next: Option<io::Result<Line>>,
    left: Option<u64>,
}

/// How much may be in one batch.
pub(crate) struct Most {
    files: usize,
    bytes: u64,
    /// More files than those, where they are small.
    small_files: usize,
}

/// The workers of a run.
pub(crate) struct Workers<'a> {
    /// By the destinations' numbers; `None` for one that takes no part.
    dests: &'a [Option<DestinationRun<'a>>],
    jobs: usize,
    most: Most,
    queue: Mutex<Queue<'a>>,
}

/// A batch for each destination, in their order; empty for one that needs nothing of it.
type Batch = Vec<Vec<Due>>;

impl<'a> Workers<'a> {
    /// `files` is how many data files the list has at most, `limit` how many of them are to be looked at.
    pub(crate) fn new(
        dests: &'a [Option<DestinationRun<'a>>],
        due: DueList<'a>,
        files: u64,
        limit: Option<u64>,
    ) -> Self {
        let active = || dests.iter().flatten();
        let jobs = active().map(|it| it.options.jobs).max().unwrap_or(1).max(1);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let most = Most {
            // Few files are spread over all workers, twice: so none waits long for the last one.
            files: (files / (jobs * 2)).clamp(1, BATCH_FILES),
            bytes: if active().count() > 1 { SHARED_BATCH_BYTES } else { BATCH_BYTES },
            small_files: SMALL_FILES.min(files.div_ceil(jobs).max(FEW_FILES)),
        };
        Self { dests, jobs, most, queue: Mutex::new(Queue { due, next: None, left: limit }) }
    }

    fn active(&self) -> impl Iterator<Item = &'a DestinationRun<'a>> {
        self.dests.iter().flatten()
    }

    /// Works until the list ends, or every destination has.
    pub(crate) fn work(&self) {
        let broke = |why: String| self.active().for_each(|it| it.tally.abort(ExitStatus::NotSafe, why.clone()));
        let show = pool::showing(|| self.active().for_each(DestinationRun::tell_bytes));
        let (connections, ()) = pool::work(self.jobs, || self.work_through(), broke, show);
        for (dest, connection) in connections.into_iter().flatten() {
            if let Some(Some(dest)) = self.dests.get(dest) {
                dest.leave(connection);
            }
        }
    }

    /// One worker's way through the list.
    fn work_through(&self) -> Vec<(usize, Connection<'a>)> {
        let mut connections: Vec<_> = self.active().map(|it| (it.number, it.connection())).collect();
        // A batch that waits for its worker to log in is one that another worker could carry meanwhile.
        // Of several destinations, none is to wait for another one.
        if let [(dest, connection)] = connections.as_mut_slice()
            && let Some(Some(dest)) = self.dests.get(*dest)
            && self.is_more()
        {
            dest.log_in(connection);
        }
        while let Some(batch) = self.next_batch() {
            let mine = |dest: usize| batch.get(dest).is_some_and(|it| !it.is_empty());
            let wanted = connections.iter().filter(|it| mine(it.0)).count();
            let share = (wanted > 1).then(|| Share::new(wanted));
            let mut batch = batch;
            let mut parts = Vec::with_capacity(wanted);
            for (dest, connection) in &mut connections {
                let due = batch.get_mut(*dest).map(std::mem::take).unwrap_or_default();
                if let (Some(Some(dest)), false) = (self.dests.get(*dest), due.is_empty()) {
                    parts.push((dest, due, connection));
                }
            }
            // The last one, or the only one, needs no thread of its own.
            let last = parts.pop();
            let share = share.as_ref();
            thread::scope(|scope| {
                for (dest, due, connection) in parts {
                    scope.spawn(move || dest.take(due, connection, share));
                }
                if let Some((dest, due, connection)) = last {
                    dest.take(due, connection, share);
                }
            });
        }
        connections
    }

    /// Whether there may be something on the list.
    fn is_more(&self) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.next.is_none() && queue.left != Some(0) {
            queue.next = queue.due.next();
        }
        queue.next.is_some()
    }

    /// The next batch; `None` when there is none, or nobody takes any more.
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if !self.active().any(DestinationRun::goes_on) {
                return None;
            }
            let lines = match queue.take(&self.most) {
                Ok(lines) if lines.is_empty() => return None,
                Ok(lines) => lines,
                Err(error) => {
                    self.abort(&error);
                    return None;
                }
            };
            let mut batch = self.for_dests(lines);
            for dest in self.active() {
                let Some(due) = batch.get_mut(dest.number) else { continue };
                if !dest.goes_on() {
                    leave(dest, &std::mem::take(due), true);
                } else if let Err(error) = dest.reserve_main(due) {
                    dest.tally.abort(ExitStatus::from(&error), chain(&error));
                    leave(dest, &std::mem::take(due), false);
                }
            }
            if batch.iter().any(|it| !it.is_empty()) {
                return Some(batch);
            }
        }
    }

    fn for_dests(&self, lines: Vec<Line>) -> Batch {
        let mut batch: Batch = self.dests.iter().map(|_| Vec::new()).collect();
        for line in lines {
            for dest in self.active() {
                batch[dest.number].extend(line.due(dest.number));
            }
        }
        batch
    }

    /// Nobody knows what the rest of the list is.
    fn abort(&self, error: &std::io::Error) {
        let why = format!("cannot read the list of what is due: {error}");
        self.active().for_each(|it| it.tally.abort(ExitStatus::of_io(error), why.clone()));
    }

    /// Counts what was not reached as pending, and records what is not known yet as such.
    pub(crate) fn leave_rest(&self) {
        let began = Instant::now();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.left = None;
        let most = Most { files: BATCH_FILES * 4, bytes: u64::MAX, small_files: 0 };
        loop {
            let lines = match queue.take(&most) {
                Ok(lines) if lines.is_empty() => return,
                Ok(lines) => lines,
                Err(error) => {
                    self.abort(&error);
                    break;
                }
            };
            if began.elapsed() > LAST_WORDS && !self.active().any(|it| it.setup.stop.may_go_on()) {
                break;
            }
            let is_early = began.elapsed() < LAST_WORDS;
            let batch = self.for_dests(lines);
            for dest in self.active() {
                let may_record = is_early || dest.setup.stop.may_begin();
                leave(dest, batch.get(dest.number).map_or(&[], Vec::as_slice), may_record);
            }
        }
        // Whatever line was not looked at: a long list takes longer than there is time.
        self.active().for_each(DestinationRun::count_rest);
    }
}

/// Counts a batch that is not carried: as pending, or as safe where it only was to be looked at again.
fn leave(dest: &DestinationRun<'_>, due: &[Due], may_record: bool) {
    let mut counts = dest.tally.lock();
    due.iter().filter(|it| it.is_data_file()).for_each(|it| counts.count(dest.fate_of_rest(it)));
    drop(counts);
    if may_record && let Err(error) = dest.record_pending(due) {
        dest.tally.abort(ExitStatus::from(&error), chain(&error));
    }
}

/// How many of so many workers find something to do, where so many files of so many bytes are due.
pub(crate) fn busy(jobs: usize, files: u64, bytes: u64) -> usize {
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let batches = if bytes > SMALL_BYTES { files } else { files.div_ceil(FEW_FILES) };
    batches.min(jobs)
}

impl Most {
    /// Of one batch for one of several hosts.
    pub(crate) fn of_batch() -> Self {
        Self { files: BATCH_FILES, bytes: BATCH_BYTES, small_files: SMALL_FILES }
    }

    /// Of one of so many ranges of what is due, which one worker carries.
    pub(crate) fn of_range(due: summary::Due, ranges: u64) -> Self {
        let share = usize::try_from(due.files / ranges).unwrap_or(usize::MAX);
        let files = share.clamp(1, BATCH_FILES);
        let bytes = (due.bytes / ranges).clamp(BATCH_BYTES, RANGE_BYTES);
        // Small ones too are spread over all hosts, as long as there are enough for each.
        Self { files, bytes, small_files: share.clamp(FEW_FILES, SMALL_FILES) }
    }
}

impl<'a> Queue<'a> {
    /// All of `due` is handed out, however many data files it has.
    pub(crate) fn of(due: DueList<'a>) -> Self {
        Self { due, next: None, left: None }
    }

    pub(crate) fn take(&mut self, most: &Most) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        let (mut bytes, mut files) = (0_u64, 0);
        // Datasets among them have hardly an object, and are no reason for another batch; but each is a line in memory.
        let limit = most.files.max(most.small_files);
        while files < limit && lines.len() < 2 * limit && self.left != Some(0) {
            let Some(line) = self.next.take().or_else(|| self.due.next()).transpose()? else { break };
            let more = bytes.saturating_add(line.subject.bytes());
            let room = if files < most.files { most.bytes } else { SMALL_BYTES };
            if more > room && !lines.is_empty() {
                self.next = Some(Ok(line));
                break;
            }
            bytes = more;
            if line.subject.is_data_file() {
                files += 1;
                self.left = self.left.map(|it| it.saturating_sub(1));
            }
            lines.push(line);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(size: u64) -> Line {
        let file = serde_json::json!({"id": 1, "checksum_type": "MD5", "checksum_value": "", "content_type": "", "size": size});
        let line = serde_json::json!({"subject": {"DataFile": file}, "fingerprint": "", "dests": []});
        serde_json::from_value(line).unwrap()
    }

    /// Files in each batch.
    fn batches(sizes: Vec<u64>, most: &Most) -> Vec<usize> {
        let mut queue = Queue { due: Box::new(sizes.into_iter().map(|it| Ok(line(it)))), next: None, left: None };
        let next = || Some(queue.take(most).unwrap().len()).filter(|it| *it > 0);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn datasets_among_the_files_make_no_batch_of_their_own() {
        let dataset = serde_json::json!({"id": 9, "pid": "", "storage_pids": [], "storage_identifier": null});
        let dataset = serde_json::json!({"subject": {"Dataset": dataset}, "fingerprint": "", "dests": []});
        let lines = (0..8).flat_map(|_| [dataset.clone(), serde_json::to_value(line(4096)).unwrap()]);
        let lines: Vec<Line> = lines.map(|it| serde_json::from_value(it).unwrap()).collect();
        let mut queue = Queue::of(Box::new(lines.into_iter().map(Ok)));
        let most = Most { files: 2, bytes: 64 << 20, small_files: 4 };
        let sizes: Vec<usize> = (0..3).map(|_| queue.take(&most).unwrap().len()).collect();
        assert_eq!(sizes, [8, 8, 0]);
    }

    #[test]
    fn small_files_are_spread_over_all_hosts() {
        let of = |files| Most::of_range(summary::Due { files, bytes: files * 1000 }, 64);
        assert_eq!(batches(vec![1000; 800], &of(800)), [32; 25]);
        assert_eq!(batches(vec![1000; 6400], &of(6400)), [100; 64]);
        assert_eq!(batches(vec![1000; 3000], &of(1_000_000)), [1024, 1024, 952]);
    }

    #[test]
    fn small_files_come_many_together() {
        let most = Most { files: 2, bytes: 64 << 20, small_files: 4 };
        assert_eq!(batches(vec![1000; 9], &most), [4, 4, 1]);
        assert_eq!(batches(vec![30 << 20; 5], &most), [2, 2, 1]);
        assert_eq!(batches(vec![40 << 20; 3], &most), [1, 1, 1]);
        assert_eq!(batches(vec![1000, 1000, 30 << 20, 1000, 1000], &most), [2, 2, 1]);
        let tiny = Most { files: 256, bytes: 64 << 20, small_files: 1024 };
        assert_eq!(batches(vec![4096; 2000], &tiny), [1024, 976]);
        assert_eq!(batches(vec![64 << 10; 600], &tiny), [256, 256, 88]);
        let many = Most { files: 256, bytes: 64 << 20, small_files: 32 };
        assert_eq!(batches(vec![64 << 10; 600], &many), [256, 256, 88]);
    }
}
