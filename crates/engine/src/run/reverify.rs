//! The share of copies that each run looks at again, so that no proof gets older than was asked (`VerifyEvery`).

use std::sync::Arc;
use std::time::Duration;

use dvb_ledger::LedgerError;
use dvb_model::{ObjectKey, Status};
use dvb_storage::chain;

use crate::command::acknowledged::Acknowledged;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::time::ago;
use crate::copies::findings::CopyFault;
use crate::copies::findings::Damage;
use crate::copies::list::{Copies, Wanted};
use crate::copies::pass::{Findings, Pass};
use crate::copies::probe::{PROBES, probe};
use crate::run::destination_run::DestinationRun;
use crate::run::summary::Finding;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

impl DestinationRun<'_> {
    /// Looks at the run's share of copies, where everything was to be copied and there is time left.
    pub(crate) fn verify_share(&self) {
        let Some(interval) = self.options.verify_every else { return };
        if !self.options.is_whole() || !self.goes_on() {
            return;
        }
        match self.look_again(interval) {
            Ok(findings) => self.enter(findings),
            Err(error) => self.tally.abort(ExitStatus::from(&error), chain(&error)),
        }
    }

    fn look_again(&self, interval: Duration) -> Result<Findings, RunError> {
        let at = self.setup.at(&self.staging);
        let count = |before: Option<&str>| at.ledger.count_copies(at.destination, before);
        // What was proved a short while ago gives way, however many nights there are.
        let wanted = Wanted { damaged: false, before: Some(ago(interval / 3)), filter: &|_| true };
        let due = count(Some(&ago(interval.saturating_sub(DAY).max(interval / 3))))?;
        let share = share(count(None)?, interval).max(due).min(count(wanted.before.as_deref())?);
        if share == 0 {
            return Ok(Findings::default());
        }
        let copies = Copies::new(at, &wanted);
        probe(at, &self.contact, &keys_of_first(Copies::new(at, &wanted), share)?)?;
        at.observer.event(&Event::Planned { files: share, bytes: 0 });
        Ok(Pass::new((at, &self.contact, "run"), self.lock.held(), copies, share, self.options.jobs)
            .knowing(Arc::new(Acknowledged::at(self.setup.ledger, self.setup.destination)?))
            .at_rate_of(self.reading.clone())
            .work())
    }

    fn enter(&self, findings: Findings) {
        let mut counts = self.tally.lock();
        // What was not reached is no reason for another ending: the next run has it first.
        counts.verified = Some(findings.copies);
        ExitStatus::worsen(&mut counts.unusable, findings.unusable);
        counts.not_safe |= findings.copies.unreadable > 0;
        let damaged = findings.copies.damaged + findings.copies.missing > 0;
        counts.destination_damaged |= damaged;
        if damaged {
            // The snapshot that was left before says otherwise: the next run leaves another.
            (counts.snapshot, counts.catalogue_digest) = (None, None);
        }
        for Damage { data_file_id, dataset, storage_identifier, name, reason, what, .. } in
            findings.damaged.into_iter().chain(findings.unreadable)
        {
            let status = if what == CopyFault::Unreadable { Status::Pending } else { Status::FailVerify };
            counts.failures.push(Finding { data_file_id, dataset, storage_identifier, name, status, reason });
        }
        drop(counts);
        if let Some((ending, why)) = findings.abort {
            self.tally.abort(ending, why);
        }
    }
}

/// Of the copies whose turn it is, some to be looked for first.
/// Where the first of these copies are, a hundred at most.
pub(crate) fn keys_of_first(mut copies: Copies<'_>, share: u64) -> Result<Vec<ObjectKey>, LedgerError> {
    let mut keys = Vec::new();
    let count = usize::try_from(share).unwrap_or(usize::MAX).min(PROBES.into());
    while keys.len() < count
        && let Some(held) = copies.next()?
    {
        keys.push(held.copy.key);
    }
    Ok(keys)
}

/// As many of all copies as a night must look at, and half as many again: a night may be missed.
pub(crate) fn share(total: u64, interval: Duration) -> u64 {
    let hours = (interval.as_secs() / 3_600).max(1);
    total.saturating_mul(36).div_ceil(hours).min(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_nights_come_round_in_twenty() {
        assert_eq!(share(2_000, 30 * DAY), 100);
        assert_eq!(share(1, 30 * DAY), 1);
        assert_eq!(share(0, 30 * DAY), 0);
        assert_eq!(share(10, DAY), 10);
        assert_eq!(share(10, Duration::from_secs(1)), 10);
    }
}
