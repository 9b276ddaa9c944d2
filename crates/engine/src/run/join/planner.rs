//! One host plans for all: what is due, in ranges of work.

use std::io;

use dvb_ledger::{Lease, RangeResult, WorkRange};

use super::{Host, Note};
use crate::catalogue::spool::Line;
use crate::command::error::RunError;
use crate::run::plan::{self, Plan};
use crate::run::workers::{DueList, Most, Queue};
use crate::run::{self, Entry, Setup};

/// Bytes of ranges that are recorded at once.
const PAGE: usize = 4 << 20;
/// So many ranges at least, where the files suffice: there are several hosts, each with several workers.
const RANGES: u64 = 64;

impl Host<'_> {
    /// Finds out what is due, and leaves it to all hosts. Where that is refused, somebody else may try.
    pub(super) fn plan(&self, lease: &Lease) -> Result<(), RunError> {
        let planned = self.try_to_plan(lease);
        if planned.is_err() {
            self.presence.give_back(lease, false)?;
        }
        planned
    }

    fn try_to_plan(&self, lease: &Lease) -> Result<(), RunError> {
        self.shared.clear_plan(lease)?;
        let ledger = self.shared.fenced(lease);
        let setup = Setup { ledger: ledger.as_ref(), ..*self.setup };
        let mut entry = Entry::joined(&setup, self.options, self.started);
        entry.begin_under(self.locked(ledger.as_ref()))?;
        let Plan { mut spool, standing, mut dests, samples, mut due, .. } = plan::make(&[(&setup, self.options)])?;
        let Some(of_dest) = dests.pop() else { return Err(RunError::NothingSelected) };
        let mut active = [run::start(0, &mut entry, of_dest)];
        active.iter_mut().flatten().for_each(|it| it.staging = self.staging());
        let standings = run::arrive(&mut [&mut entry], &mut active);
        if standing.is_some() {
            due.extend(samples.stores().cloned());
        }
        run::doubt(&mut active, setup.stores, &samples, &due);
        run::take_ground(&mut [&mut entry], &mut active, standings, &samples);
        let [dest] = active;
        let Some(dest) = dest else { return Err(entry.refused()) };
        run::record_pids(&dest);
        dest.clean_up();
        let doubtful = dest.doubtful.clone();
        let counts = dest.end().0;
        if let Some((ending, text)) = counts.abort {
            return Err(RunError::Together { text, ending, hint: None });
        }
        let failed = |source| RunError::Spool { folder: self.options.spool_folder.clone(), source };
        self.add_ranges(lease, Box::new(spool.read().map_err(failed)?), counts.due.files)?;
        let note = Note { counts, samples: samples.files().cloned().collect(), due, doubtful };
        let text = serde_json::to_string(&note).map_err(|it| failed(it.into()))?;
        Ok(self.presence.finish(lease, &RangeResult { text, ..RangeResult::default() })?)
    }

    fn add_ranges(&self, lease: &Lease, due: DueList<'_>, files: u64) -> Result<(), RunError> {
        let failed = |source| RunError::Spool { folder: self.options.spool_folder.clone(), source };
        let mut queue = Queue::of(due);
        let most = Most::of_range(files / RANGES);
        let (mut page, mut bytes, mut number) = (Vec::new(), 0, 0);
        loop {
            let lines = queue.take(&most).map_err(failed)?;
            let is_over = lines.is_empty();
            if !is_over {
                let files = lines.iter().filter(|it| it.subject.is_data_file()).count() as u64;
                let work = packed(&lines).map_err(failed)?;
                bytes += work.len();
                page.push(WorkRange { number, files, work });
                number += 1;
            }
            if bytes >= PAGE || is_over {
                self.shared.add_ranges(lease, &page)?;
                (page, bytes) = (Vec::new(), 0);
            }
            if !self.setup.stop.may_begin() {
                return Err(RunError::Stopped);
            }
            if is_over {
                return Ok(());
            }
        }
    }
}

/// The lines of a range as the ledger keeps them.
fn packed(lines: &[Line]) -> io::Result<Vec<u8>> {
    zstd::encode_all(serde_json::to_vec(lines)?.as_slice(), 3)
}

/// The same, read again.
pub(super) fn unpacked(work: &[u8]) -> io::Result<Vec<Line>> {
    Ok(serde_json::from_slice(&zstd::decode_all(work)?)?)
}
