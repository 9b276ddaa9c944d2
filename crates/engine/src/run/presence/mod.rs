//! Is what the ledger calls safe still in its store, with its size? Told by listings, dataset by dataset, beside the copying.
//!
//! A run reads a file once. What vanishes later, no copy shows; so each run of everything looks, for a limited time, and
//! goes on the next night where it stopped. What is not where it should be is looked at as by an audit.

mod closer;
mod gather;
mod walk;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dvb_model::{DriverId, DvObjectId, Status};
use dvb_storage::chain;
use serde::{Deserialize, Serialize};

use crate::catalogue::spool::Spool;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::run::counts::About;
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::plan::Catalogue;
use crate::run::summary::{Finding, PresenceCounts};

pub(crate) use closer::{Closer, Wanted, bit};

/// A store that has none of so many data files is away, rather than emptied.
const FEW: u64 = 10;

/// A data file whose verdict `OK` stands, so that nobody looks at it in this run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) id: DvObjectId,
    pub(crate) driver: DriverId,
    /// Where its main object shows in listings.
    pub(crate) folder: String,
    pub(crate) name: String,
    /// Tags of auxiliary objects that must be there once they were copied.
    pub(crate) tags: Vec<String>,
    /// For which of the run's destinations it stands: one bit each.
    pub(crate) dests: u64,
}

/// Looks for `bound` at most, and enters what it finds with each destination.
pub(crate) fn look(
    dests: &[&DestinationRun<'_>],
    bound: Duration,
    mut standing: Spool<Standing>,
    catalogue: &mut Catalogue,
) {
    let Some(options) = dests.first().map(|it| it.options) else { return };
    let presence = Presence { dests, options, bound, deadline: Instant::now() + bound };
    if let Err(error) = presence.look(&mut standing, catalogue) {
        for dest in dests {
            dest.tally.abort(ExitStatus::from(&error), chain(&error));
        }
    }
}

struct Presence<'a> {
    dests: &'a [&'a DestinationRun<'a>],
    options: &'a Options,
    bound: Duration,
    deadline: Instant,
}

impl Presence<'_> {
    fn goes_on(&self) -> bool {
        Instant::now() < self.deadline && self.dests.iter().any(|it| it.goes_on())
    }

    fn spool_error(&self, source: std::io::Error) -> RunError {
        RunError::Spool { folder: self.options.spool_folder.clone(), source }
    }

    fn look(&self, standing: &mut Spool<Standing>, catalogue: &mut Catalogue) -> Result<(), RunError> {
        let Some(mut places) = self.gather(standing)? else { return Ok(()) };
        let mut walked = self.walk(&mut places)?;
        let mut suspects = std::mem::take(&mut walked.suspects);
        for (driver, of_store) in &walked.stores {
            self.enter_store(driver, of_store, &mut suspects);
        }
        let wanted: BTreeMap<DvObjectId, Wanted> = suspects.into_values().flatten().collect();
        let mut counts = PresenceCounts { data_files: walked.files, not_safe: 0, complete: walked.is_complete() };
        if !wanted.is_empty() {
            let entries = catalogue.entries.read().map_err(|it| self.spool_error(it))?;
            // In a time of its own: what was found is not to wait until all has come round again.
            let deadline = Instant::now() + self.bound;
            let closer = Closer { dests: self.dests, options: self.options, deadline, marks_good: false };
            let looked = closer.look(&wanted, entries)?;
            counts.not_safe = looked.bad;
            if looked.files < wanted.len() as u64 {
                counts.complete = false;
                self.end(counts);
                return Ok(());
            }
        }
        if !walked.is_cut_off {
            self.go_on_at(walked.goes_on_at.as_deref())?;
        }
        self.end(counts);
        Ok(())
    }

    fn end(&self, counts: PresenceCounts) {
        for dest in self.dests {
            dest.tally.lock().presence = Some(counts);
        }
    }

    /// What is to be said of a whole store; where it is away, nothing is said of its files.
    fn enter_store(
        &self,
        driver: &DriverId,
        found: &walk::OfStore,
        suspects: &mut BTreeMap<DriverId, Vec<(DvObjectId, Wanted)>>,
    ) {
        let is_away = !found.has_any && found.files >= FEW && suspects.contains_key(driver);
        if is_away {
            suspects.remove(driver);
            let why = format!(
                "store {driver}: none of {} data files that are safe is where it should be; is it mounted, and is it the \
                 right folder or bucket? Nothing was recorded",
                found.files
            );
            self.complain(driver, why, ExitStatus::Unreachable);
        }
        if let Some((why, of_all)) = &found.trouble {
            let why = format!("store {driver}: cannot check whether its objects are still there: {why}");
            if let Some(ending) = of_all {
                self.complain(driver, why, *ending);
            } else {
                for dest in self.dests {
                    dest.setup.observer.event(&Event::Warning(&why));
                    dest.tally.lock().note_global(About::Store(driver), Status::Ok, why.clone());
                }
            }
        }
    }

    fn complain(&self, driver: &DriverId, reason: String, ending: ExitStatus) {
        for dest in self.dests {
            let mut counts = dest.tally.lock();
            ExitStatus::worsen(&mut counts.unusable, Some(ending));
            counts.failures.push(Finding {
                data_file_id: None,
                dataset: None,
                storage_identifier: Some(format!("{driver}://")),
                name: None,
                status: Status::FailRead,
                reason: reason.clone(),
            });
        }
    }
}
