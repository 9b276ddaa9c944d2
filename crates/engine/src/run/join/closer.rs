//! One host closes a shared run: it describes the copies of all, and what all have done.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use dvb_ledger::{Lease, RangeEnd, RangeResult};
use dvb_model::Status;

use super::{Host, Note, Total};
use crate::command::acknowledged::Acknowledged;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::pool;
use crate::run::counts::{About, Counts, Tally};
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::plan::{self, Plan};
use crate::run::{self, Setup, presence, reread, snapshot};

impl Host<'_> {
    /// Leaves the snapshot, looks after what is due besides the files, and records the end of the run. Where it is stopped
    /// before that, somebody else does it.
    pub(super) fn close(&self, lease: &Lease) -> Result<(), RunError> {
        let closed = self.try_to_close(lease);
        if closed.is_err() {
            self.presence.give_back(lease, false)?;
        }
        closed
    }

    fn try_to_close(&self, lease: &Lease) -> Result<(), RunError> {
        let ledger = self.shared.fenced(lease);
        let setup = Setup { ledger: ledger.as_ref(), ..*self.setup };
        let options = Options { jobs: self.own.jobs, ..self.options.clone() };
        let Note { counts, doubtful, .. } = self.note()?;
        let counts = self.counted(&setup, counts)?;
        // The host that planned may be gone, and its list with it.
        let Plan { mut catalogue, standing, .. } = plan::make(&[(&setup, &options)])?;
        let lock = self.locked(ledger.as_ref());
        let mut dest = DestinationRun::new(0, &setup, &options, Tally::of(counts), lock);
        dest.staging = self.staging();
        dest.settled = AtomicBool::new(true);
        dest.acknowledged = Arc::new(Acknowledged::at(setup.ledger, setup.destination)?);
        dest.doubtful = doubtful;
        let broke = |done: Result<(), String>| done.unwrap_or_else(|why| dest.tally.abort(ExitStatus::NotSafe, why));
        let looking = standing.zip(options.presence_check).filter(|_| dest.doubtful.is_empty());
        if let Some((standing, bound)) = looking {
            broke(pool::guarded(|| presence::look(&[&dest], bound, standing, &mut catalogue)));
        }
        snapshot::leave(&[&dest], &mut catalogue);
        dest.clean_up();
        broke(pool::guarded(|| dest.verify_share()));
        broke(pool::guarded(|| reread::share_of_run(&[&dest], &mut catalogue)));
        if !setup.stop.may_go_on() {
            return Err(RunError::Stopped);
        }
        let (counts, lock) = dest.end();
        let summary = run::summary(&setup, &options, self.presence.run().began.clone(), counts);
        let summary = lock.finish(Ok::<_, RunError>(summary))?;
        let total = Total { ending: summary.ending, summary };
        let text = serde_json::to_string(&total).map_err(|it| self.unreadable("what all hosts have done", &it))?;
        self.presence.finish(lease, &RangeResult { text, ..RangeResult::default() })?;
        self.share.lock().unwrap_or_else(PoisonError::into_inner).0.closed = true;
        Ok(())
    }

    /// The plan's counts with those of each range. What several hosts died with is as pending as what nobody reached.
    fn counted(&self, setup: &Setup<'_>, mut counts: Counts) -> Result<Counts, RunError> {
        let (mut unreadable, mut aside) = (None, 0);
        self.shared.visit_results(self.presence.run(), &mut |RangeEnd { files, result, .. }| {
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
            return Err(self.unreadable("what a host has done", &error));
        }
        if aside > 0 {
            counts.files.pending += aside;
            counts.files.catalogued += aside;
            let why = format!(
                "{aside} data files are in ranges of work with which three hosts died or broke down; the next run looks at \
                 them again"
            );
            counts.note_global(About::Destination(setup.destination), Status::Pending, why);
        }
        Ok(counts)
    }
}
