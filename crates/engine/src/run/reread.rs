//! The share of the data files that each run reads again in their stores, so that each is read within the time that was
//! asked for (`AuditEvery`): those first that were read longest ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dvb_model::DvObjectId;

use crate::command::ending::Ending;
use crate::command::error::{RunError, chain};
use crate::command::observer::Event;
use crate::copies::probe::{FOREVER, ago};
use crate::run::destination_run::Lane;
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
pub(crate) fn share_of_run(lanes: &[&Lane<'_>], catalogue: &mut Catalogue) {
    let Some(options) = lanes.first().map(|it| it.options) else { return };
    let Some(interval) = options.audit_every else { return };
    if !options.is_whole() || !lanes.iter().any(|it| it.goes_on()) {
        return;
    }
    if let Err(error) = read_again(lanes, options, interval, catalogue) {
        lanes.iter().for_each(|it| it.tally.abort(Ending::from(&error), chain(&error)));
    }
}

fn read_again(
    lanes: &[&Lane<'_>],
    options: &Options,
    interval: Duration,
    catalogue: &mut Catalogue,
) -> Result<(), RunError> {
    let mut turn: Vec<(String, DvObjectId, u64)> = Vec::new();
    for lane in lanes {
        turn.extend(of_lane(lane, interval)?);
    }
    turn.sort();
    let mut counts = AuditedCounts::default();
    let closer = Closer { lanes, options, deadline: Instant::now() + interval.min(LONG), marks_good: true };
    for lane in lanes {
        lane.setup.observer.event(&Event::Planned { files: turn.len() as u64, bytes: 0 });
    }
    for part in turn.chunks(PART) {
        if !lanes.iter().any(|it| it.goes_on()) {
            break;
        }
        let mut wanted: BTreeMap<DvObjectId, Wanted> = BTreeMap::new();
        for (_, id, lane) in part {
            wanted.entry(*id).or_insert(Wanted { lanes: 0, only_original: false }).lanes |= lane;
        }
        let failed = |source| RunError::Spool { folder: options.spool_folder.clone(), source };
        let looked = closer.look(&wanted, catalogue.entries.read().map_err(failed)?)?;
        counts.data_files += looked.files;
        counts.not_safe += looked.bad;
    }
    for lane in lanes {
        let mut found = lane.tally.lock();
        found.audited = Some(counts);
        if counts.not_safe > 0 {
            // The snapshot that was left before says otherwise: the next run leaves another.
            (found.snapshot, found.catalogue_digest) = (None, None);
        }
    }
    Ok(())
}

/// What is due for one destination, with when it was read.
fn of_lane(lane: &Lane<'_>, interval: Duration) -> Result<Vec<(String, DvObjectId, u64)>, RunError> {
    let (ledger, destination) = (lane.setup.ledger, lane.setup.destination);
    let count = |before: &str| ledger.count_audited(destination, before);
    // What was read a short while ago gives way, however many nights there are.
    let before = ago(interval / 3);
    let due = count(&ago(interval.saturating_sub(DAY).max(interval / 3)))?;
    let share = share(count(FOREVER)?, interval).max(due).min(count(&before)?);
    let limit = u32::try_from(share).unwrap_or(u32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let oldest = ledger.least_recently_audited(destination, &before, limit)?;
    Ok(oldest.into_iter().map(|it| (it.at, it.id, bit(lane.number))).collect())
}
