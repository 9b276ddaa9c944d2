//! One host closes: it tells what all have done.

use dvb_ledger::{Lease, RangeEnd, RangeResult};

use super::{Host, Member, Tallied as _, Task, Total};
use crate::command::error::RunError;
use crate::command::recorded::Report as _;

impl<T: Task> Host<'_, T> {
    /// Leaves what is to be left of all hosts' work. Where this one is stopped before that, somebody else does it.
    pub(super) fn close(&self, lease: &Lease, place: &T::Place) -> Result<(), RunError> {
        self.unless_done(lease, self.try_to_close(lease, place))
    }

    fn try_to_close(&self, lease: &Lease, place: &T::Place) -> Result<(), RunError> {
        let Member { shared, presence, .. } = self.member;
        let ledger = shared.fenced(lease);
        let summary = self.task.close(place, ledger.as_ref(), self.read_plan()?, self.counted()?)?;
        let total = Total { ending: summary.ending(), summary };
        let text =
            serde_json::to_string(&total).map_err(|it| self.member.unreadable("what all hosts have done", &it))?;
        presence.finish(lease, &RangeResult { text, ..RangeResult::default() })?;
        self.done().0.closed = true;
        Ok(())
    }

    /// The counts of all ranges. What several hosts died with is as open as what nobody reached.
    fn counted(&self) -> Result<T::Counts, RunError> {
        let Member { shared, presence, .. } = self.member;
        let (mut counts, mut unreadable, mut aside) = (T::Counts::default(), None, 0);
        shared.visit_results(presence.run(), &mut |RangeEnd { files, result, .. }| {
            let Some(text) = result else {
                aside += files;
                return;
            };
            match serde_json::from_str(&text) {
                Ok(it) => counts.add(it),
                Err(error) => unreadable = Some(error),
            }
        })?;
        if let Some(error) = unreadable {
            return Err(self.member.unreadable("what a host has done", &error));
        }
        if aside > 0 {
            let why = format!(
                "{aside} of what was to be looked at is in ranges of work with which three hosts died or broke down; the next \
                 time it is looked at again"
            );
            self.task.set_aside(&mut counts, aside, why);
        }
        Ok(counts)
    }
}
