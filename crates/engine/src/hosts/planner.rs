//! One host plans for all: what there is to do, in ranges of work.

use std::io;

use dvb_ledger::{Lease, RangeResult, WorkRange};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Host, Member, Task};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;

/// Bytes of ranges that are recorded at once.
const PAGE: usize = 4 << 20;

impl<T: Task> Host<'_, T> {
    /// Finds out what there is to do, and leaves it to all hosts. Where that is refused, somebody else may try.
    pub(super) fn plan(&self, lease: &Lease) -> Result<(), RunError> {
        self.unless_done(lease, self.try_to_plan(lease))
    }

    fn try_to_plan(&self, lease: &Lease) -> Result<(), RunError> {
        let Member { shared, presence, .. } = self.member;
        shared.clear_plan(lease)?;
        let ledger = shared.fenced(lease);
        let mut ranges = NewRanges { member: self.member, lease, page: Vec::new(), bytes: 0, number: 0 };
        let plan = self.task.plan(ledger.as_ref(), &mut ranges)?;
        ranges.record()?;
        let text = serde_json::to_string(&plan).map_err(|it| unpackable(&it.into()))?;
        Ok(presence.finish(lease, &RangeResult { text, ..RangeResult::default() })?)
    }
}

/// The ranges of a plan that is being made. Nobody sees them before it is finished.
pub(crate) struct NewRanges<'a> {
    member: &'a Member<'a>,
    lease: &'a Lease,
    page: Vec<WorkRange>,
    bytes: usize,
    number: i32,
}

impl NewRanges<'_> {
    /// Adds a range of so many data files, or copies.
    pub(crate) fn add<I: Serialize>(&mut self, files: usize, items: &[I]) -> Result<(), RunError> {
        let work = packed(items).map_err(|it| unpackable(&it))?;
        self.bytes += work.len();
        self.page.push(WorkRange { number: self.number, files: files as u64, work });
        self.number += 1;
        if self.bytes >= PAGE {
            self.record()?;
        }
        if !self.member.asking.stop.may_begin() {
            return Err(RunError::Stopped);
        }
        Ok(())
    }

    fn record(&mut self) -> Result<(), RunError> {
        self.member.shared.add_ranges(self.lease, &self.page)?;
        (self.page, self.bytes) = (Vec::new(), 0);
        Ok(())
    }
}

fn unpackable(error: &io::Error) -> RunError {
    let text = format!("cannot put the plan into ranges of work: {error}");
    RunError::Together { text, ending: ExitStatus::NotSafe, hint: None }
}

/// A range as the ledger keeps it.
fn packed<I: Serialize>(items: &[I]) -> io::Result<Vec<u8>> {
    zstd::encode_all(serde_json::to_vec(items)?.as_slice(), 3)
}

/// The same, read again.
pub(super) fn unpacked<I: DeserializeOwned>(work: &[u8]) -> io::Result<Vec<I>> {
    Ok(serde_json::from_slice(&zstd::decode_all(work)?)?)
}
