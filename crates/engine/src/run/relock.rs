//! The locks of copies, renewed in time by each run.

use dvb_model::Status;

use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::locks::{LockCounts, Which, renew};
use crate::copies::session::Interrupted;
use crate::run::counts::About;
use crate::run::destination_run::DestinationRun;

impl DestinationRun<'_> {
    /// Looks at the locks that are due, where the destination has locks and everything is to be copied.
    pub(crate) fn renew_locks(&self, which: Which) {
        if self.setup.sink.locks_for().is_none() || !self.options.is_whole() || !self.goes_on() {
            return;
        }
        let mut connection = self.connection();
        let done = renew(self.setup.at(&self.staging), &mut connection, self.lock.held(), which);
        self.leave(connection);
        match done {
            Ok(Some(counts)) => self.enter_locks(counts, which),
            Ok(None) | Err(Interrupted::Stopped) => {}
            Err(Interrupted::Run(ending, why)) => self.tally.abort(ending, why),
            Err(Interrupted::Session(error)) => self.tally.abort(ExitStatus::of_cause(error.cause), error.chain()),
        }
    }

    fn enter_locks(&self, mut locks: LockCounts, which: Which) {
        let mut counts = self.tally.lock();
        if let Some(before) = &counts.locks {
            // What failed then was looked at again.
            locks.looked_at += before.looked_at - before.failed;
        }
        if which == Which::All {
            counts.not_safe |= locks.failed > 0;
            counts.cut_short |= !locks.complete;
            if let Some(text) = locks.trouble() {
                let destination = self.setup.destination;
                self.setup.observer.event(&Event::Warning(&format!("destination {destination}: {text}")));
                counts.note_global(About::Destination(destination), Status::Ok, text);
            }
        }
        counts.locks = Some(locks);
    }
}
