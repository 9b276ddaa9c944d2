//! A host's workers: each claims a range, carries it as one batch, and says what became of it.

use std::time::Duration;

use dvb_ledger::{Claimed, LedgerError, Next, Phase, RangeResult};
use dvb_storage::{SinkSession, chain};

use super::planner::unpacked;
use super::{ASK_AGAIN, Host};
use crate::catalogue::spool::Due;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::pool;
use crate::run::Setup;
use crate::run::counts::Counts;
use crate::run::destination_run::DestinationRun;

/// Waits of a worker whose ranges come to nothing; then its host takes no part any more.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8), Duration::from_secs(16)];

/// What kept a range from its end, and how the run would end therefore.
type Trouble = (ExitStatus, String);

impl Host<'_> {
    /// Works with all workers of this host, until there is nothing left to claim.
    pub(super) fn work(&self, dest: &DestinationRun<'_>) {
        let broke = |why: String| dest.tally.abort(ExitStatus::NotSafe, why);
        pool::work(self.own.jobs, || self.work_through(dest), broke, pool::showing(|| dest.tell_bytes()));
    }

    fn work_through(&self, dest: &DestinationRun<'_>) {
        let mut session = None;
        let mut pauses = PAUSES.iter();
        while dest.goes_on() && self.presence.is_over().is_none() {
            let trouble = match self.presence.claim() {
                Ok(Next::Claimed(it)) if it.lease.phase == Phase::Work => match self.carry(dest, &it, &mut session) {
                    Ok(()) => {
                        pauses = PAUSES.iter();
                        continue;
                    }
                    Err(trouble) => trouble,
                },
                Ok(Next::Claimed(it)) => {
                    if let Err(error) = self.presence.give_back(&it.lease, false) {
                        tracing::debug!(%error, "a range is given back later");
                    }
                    break;
                }
                // What another host has claimed may come back.
                Ok(Next::Wait(Phase::Work)) => {
                    self.setup.stop.pause(ASK_AGAIN);
                    continue;
                }
                Ok(Next::Wait(_) | Next::Done | Next::GivenUp) => break,
                Err(error) => (ExitStatus::from(&error), chain(&error)),
            };
            session = None;
            let (ending, why) = trouble;
            let Some(pause) = pauses.next().filter(|_| ending == ExitStatus::Unreachable) else {
                dest.tally.abort(ending, why);
                break;
            };
            let text = format!("{why}; its range is given back, and this host goes on in {} s", pause.as_secs());
            self.setup.observer.event(&Event::Warning(&text));
            self.setup.stop.pause(*pause);
        }
    }

    /// Carries a range from its claim to its end.
    fn carry(
        &self,
        dest: &DestinationRun<'_>,
        claimed: &Claimed,
        session: &mut Option<Box<dyn SinkSession>>,
    ) -> Result<(), Trouble> {
        let lease = &claimed.lease;
        let counts = self.work_on(dest, claimed, session);
        if let Some(trouble) = counts.abort {
            *session = None;
            // What breaks down on a mistake of ours breaks down on every host.
            let blame = trouble.0 == ExitStatus::NotSafe;
            return match self.presence.give_back(lease, blame) {
                // Somebody else has it: what was done here is not lost, and what is missing is done there.
                Ok(false) => Ok(()),
                Ok(true) | Err(_) => Err(trouble),
            };
        }
        let is_cut = !self.setup.stop.may_begin() && counts.files.pending + counts.not_rechecked > 0;
        let text = match serde_json::to_string(&counts) {
            Ok(text) if !is_cut => text,
            Ok(_) => return self.presence.give_back(lease, false).map(drop).map_err(of_ledger),
            Err(error) => return Err((ExitStatus::NotSafe, chain(&error))),
        };
        let result = RangeResult { text, files: claimed.files, bytes: counts.bytes_copied };
        match self.presence.finish(lease, &result) {
            Ok(()) => self.add_to_share(&result, counts),
            Err(LedgerError::LostLease { .. }) => {}
            Err(error) => {
                if let Err(error) = self.presence.give_back(lease, false) {
                    tracing::debug!(%error, "a range is given back later");
                }
                return Err(of_ledger(error));
            }
        }
        Ok(())
    }

    fn work_on(
        &self,
        dest: &DestinationRun<'_>,
        claimed: &Claimed,
        session: &mut Option<Box<dyn SinkSession>>,
    ) -> Counts {
        let ledger = self.shared.fenced(&claimed.lease);
        let setup = Setup { ledger: ledger.as_ref(), ..*self.setup };
        let range = dest.of_range(&setup, self.options, self.locked(ledger.as_ref()), session.take());
        let lines = match unpacked(&claimed.work) {
            Ok(it) => it,
            Err(error) => {
                range.tally.abort(ExitStatus::NotSafe, format!("cannot read a range of the shared run: {error}"));
                return range.end().0;
            }
        };
        let mut batch: Vec<Due> = lines.iter().filter_map(|it| it.due(0)).collect();
        if claimed.lease.token > 1 {
            // Whoever had it before may have recorded some.
            batch.iter_mut().for_each(|it| it.known = true);
        }
        if let Err(error) = range.reserve_main(&mut batch) {
            range.tally.abort(ExitStatus::from(&error), chain(&error));
            return range.end().0;
        }
        let mut connection = range.connection();
        range.take(batch, &mut connection, None);
        *session = connection.into_session();
        range.end().0
    }

    fn add_to_share(&self, result: &RangeResult, counts: Counts) {
        let mut share = self.share.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        share.0.ranges += 1;
        share.0.files += result.files;
        share.0.bytes_copied += result.bytes;
        share.1.add(counts);
    }
}

fn of_ledger(error: LedgerError) -> Trouble {
    (ExitStatus::from(&error), chain(&error))
}
