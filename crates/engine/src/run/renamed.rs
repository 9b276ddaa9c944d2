//! Datasets with another PID than at the last run. Their storage is where it was, so no verdict rests on it.

use std::collections::BTreeMap;

use dvb_ledger::{LedgerError, State};
use dvb_model::{DvObjectId, Status};

use crate::run::Setup;
use crate::run::counts::{About, Counts};

/// Datasets with a note of their own: where all of them got another prefix, other notes are to be seen too.
const NAMED: usize = 100;
/// Rows in one transaction of the ledger.
const BATCH: usize = 10_000;

/// The PIDs that datasets had, and those that they have; with the data files that the ledger has under the former ones.
#[derive(Debug, Default)]
pub(crate) struct Renamed(BTreeMap<(String, String), Vec<DvObjectId>>);

impl Renamed {
    /// Takes what the ledger knows of a data file or dataset, and the PID of today.
    pub(crate) fn enter(&mut self, known: &State, pid: &str) {
        if let Some(before) = known.dataset.as_deref().filter(|it| *it != pid && !known.gone) {
            self.0.entry((before.to_owned(), pid.to_owned())).or_default().push(known.id);
        }
    }

    /// Notes each dataset once.
    pub(crate) fn note(&self, setup: &Setup<'_>, counts: &mut Counts) {
        for (before, now) in self.0.keys().take(NAMED) {
            counts.note_dataset(now.clone(), Status::Ok, format!("PID was {before} at the last run"));
        }
        if let Some(more @ 1..) = self.0.len().checked_sub(NAMED) {
            let why = format!("{more} more datasets have another PID than at the last run");
            counts.note_global(About::Destination(setup.destination), Status::Ok, why);
        }
    }

    /// Records the PIDs of today, so that the next run has nothing to note.
    pub(crate) fn record(&self, setup: &Setup<'_>) -> Result<(), LedgerError> {
        let rows = self.0.iter().flat_map(|((_, now), ids)| ids.iter().map(|id| (*id, now.as_str())));
        let rows: Vec<(DvObjectId, &str)> = rows.collect();
        rows.chunks(BATCH).try_for_each(|it| setup.ledger.record_pids(setup.destination, it))
    }
}
