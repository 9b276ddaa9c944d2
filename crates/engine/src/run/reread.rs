//! The share of the data files that each run reads again in their stores, so that each is read within the time that was
//! asked for (`AuditEvery`): those first that were read longest ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dvb_model::DvObjectId;
use dvb_storage::chain;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::time::ago;
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::plan::Catalogue;
use crate::run::presence::{Closer, Wanted, bit};
use crate::run::reverify::{DAY, share};
use crate::run::summary::AuditedCounts;

/// Data files that are taken together, in the catalogue's order: with less time than work, those of the first part are read.
const PART: usize = 10_000;
/// Without a time budget, all that is due.
const LONG: Duration = Duration::from_secs(365 * 86_400);

/// Reads the run's share, where everything was to be copied and there is time left.
pub(crate) fn share_of_run(dests: &[&DestinationRun<'_>], catalogue: &mut Catalogue) {
    let Some(options) = dests.first().map(|it| it.options) else { return };
    let Some(interval) = options.audit_every else { return };
    if !options.is_whole() || !dests.iter().any(|it| it.goes_on()) {
        return;
    }
    if let Err(error) = read_again(dests, options, interval, catalogue) {
        dests.iter().for_each(|it| it.tally.abort(ExitStatus::from(&error), chain(&error)));
    }
}

fn read_again(
    dests: &[&DestinationRun<'_>],
    options: &Options,
    interval: Duration,
    catalogue: &mut Catalogue,
) -> Result<(), RunError> {
    let mut turn: Vec<(String, DvObjectId, u64)> = Vec::new();
    for dest in dests {
        turn.extend(of_destination(dest, interval)?);
    }
    turn.sort();
    let mut counts = AuditedCounts::default();
    let closer = Closer { dests, options, deadline: Instant::now() + interval.min(LONG), marks_good: true };
    for dest in dests {
        dest.setup.observer.event(&Event::Planned { files: turn.len() as u64, bytes: 0 });
    }
    for part in turn.chunks(PART) {
        if !dests.iter().any(|it| it.goes_on()) {
            break;
        }
        let mut wanted: BTreeMap<DvObjectId, Wanted> = BTreeMap::new();
        for (_, id, dest) in part {
            wanted.entry(*id).or_insert(Wanted { dests: 0, only_original: false }).dests |= dest;
        }
        let failed = |source| RunError::Spool { folder: options.spool_folder.clone(), source };
        let looked = closer.look(&wanted, catalogue.entries.read().map_err(failed)?)?;
        counts.data_files += looked.files;
        counts.not_safe += looked.bad;
    }
    for dest in dests {
        let mut found = dest.tally.lock();
        found.audited = Some(counts);
        if counts.not_safe > 0 {
            // The snapshot that was left before says otherwise: the next run leaves another.
            (found.snapshot, found.catalogue_digest) = (None, None);
        }
    }
    Ok(())
}

/// What is due for one destination, with when it was read.
fn of_destination(dest: &DestinationRun<'_>, interval: Duration) -> Result<Vec<(String, DvObjectId, u64)>, RunError> {
    let (ledger, destination) = (dest.setup.ledger, dest.setup.destination);
    let count = |before: Option<&str>| ledger.count_audited(destination, before);
    // What was read a short while ago gives way, however many nights there are.
    let before = ago(interval / 3);
    let due = count(Some(&ago(interval.saturating_sub(DAY).max(interval / 3))))?;
    let share = share(count(None)?, interval).max(due).min(count(Some(&before))?);
    let limit = u32::try_from(share).unwrap_or(u32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let oldest = ledger.least_recently_audited(destination, Some(&before), limit)?;
    Ok(oldest.into_iter().map(|it| (it.at, it.id, bit(dest.number))).collect())
}
