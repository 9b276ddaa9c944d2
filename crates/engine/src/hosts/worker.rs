//! A host's workers: each claims a range, does it, and says what became of it.

use std::time::Duration;

use dvb_ledger::{Claimed, LedgerError, Next, Phase, RangeResult};
use dvb_storage::chain;

use super::planner::unpacked;
use super::{ASK_AGAIN, Host, Range, Tallied as _, Task, Trouble};
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::pool;

/// Waits of a worker whose ranges come to nothing; then its host takes no part any more.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8), Duration::from_secs(16)];

impl<T: Task> Host<'_, T> {
    /// Works with all workers of this host, until there is nothing left to claim.
    pub(super) fn work(&self, place: &T::Place) {
        let broke = |why: String| self.give_up((ExitStatus::NotSafe, why));
        let show = pool::showing(|| self.task.show(place));
        pool::work(self.member.asking.jobs, || self.work_through(place), broke, show);
    }

    fn work_through(&self, place: &T::Place) {
        let (presence, asking) = (&self.member.presence, &self.member.asking);
        let mut hand = T::Hand::default();
        let mut pauses = PAUSES.iter();
        while self.may_begin() && presence.is_over().is_none() {
            let trouble = match presence.claim() {
                Ok(Next::Claimed(it)) if it.lease.phase == Phase::Work => match self.carry(place, &it, &mut hand) {
                    Ok(()) => {
                        pauses = PAUSES.iter();
                        continue;
                    }
                    Err(trouble) => trouble,
                },
                Ok(Next::Claimed(it)) => {
                    if let Err(error) = presence.give_back(&it.lease, false) {
                        tracing::debug!(%error, "a range is given back later");
                    }
                    break;
                }
                // What another host has claimed may come back.
                Ok(Next::Wait(Phase::Work)) => {
                    asking.stop.pause(ASK_AGAIN);
                    continue;
                }
                Ok(Next::Wait(_) | Next::Done | Next::GivenUp) => break,
                Err(error) => of_ledger(&error),
            };
            hand = T::Hand::default();
            let (ending, why) = trouble;
            let Some(pause) = pauses.next().filter(|_| ending == ExitStatus::Unreachable) else {
                self.give_up((ending, why));
                break;
            };
            let text = format!("{why}; its range is given back, and this host goes on in {} s", pause.as_secs());
            asking.observer.event(&Event::Warning(&text));
            asking.stop.pause(*pause);
        }
        self.task.put_away(place, hand);
    }

    /// Carries a range from its claim to its end.
    fn carry(&self, place: &T::Place, claimed: &Claimed, hand: &mut T::Hand) -> Result<(), Trouble> {
        let (presence, lease) = (&self.member.presence, &claimed.lease);
        let counts = pool::guarded(|| self.work_on(place, claimed, hand))
            .unwrap_or_else(|why| T::Counts::of_trouble((ExitStatus::NotSafe, why)));
        if let Some(trouble) = counts.trouble() {
            *hand = T::Hand::default();
            // What breaks down on a mistake of ours breaks down on every host.
            let blame = trouble.0 == ExitStatus::NotSafe;
            return match presence.give_back(lease, blame) {
                // Somebody else has it: what was done here is not lost, and what is missing is done there.
                Ok(false) => Ok(()),
                Ok(true) | Err(_) => Err(trouble),
            };
        }
        let is_cut = !self.member.asking.stop.may_begin() && counts.is_cut();
        let text = match serde_json::to_string(&counts) {
            Ok(text) if !is_cut => text,
            Ok(_) => return presence.give_back(lease, false).map(drop).map_err(|it| of_ledger(&it)),
            Err(error) => return Err((ExitStatus::NotSafe, chain(&error))),
        };
        let result = RangeResult { text, files: claimed.files, bytes: counts.bytes() };
        match presence.finish(lease, &result) {
            Ok(()) => self.add_to_share(&result, counts),
            Err(LedgerError::LostLease { .. }) => {}
            Err(error) => {
                if let Err(error) = presence.give_back(lease, false) {
                    tracing::debug!(%error, "a range is given back later");
                }
                return Err(of_ledger(&error));
            }
        }
        Ok(())
    }

    fn work_on(&self, place: &T::Place, claimed: &Claimed, hand: &mut T::Hand) -> T::Counts {
        let ledger = self.member.shared.fenced(&claimed.lease);
        match unpacked(&claimed.work) {
            Ok(items) => {
                let range = Range { ledger: ledger.as_ref(), items, again: claimed.lease.token > 1 };
                self.task.work_on(place, range, hand)
            }
            Err(error) => {
                let why = format!("cannot read a range of the shared {}: {error}", self.member.asking.command);
                T::Counts::of_trouble((ExitStatus::NotSafe, why))
            }
        }
    }
}

fn of_ledger(error: &LedgerError) -> Trouble {
    (ExitStatus::from(error), chain(error))
}
