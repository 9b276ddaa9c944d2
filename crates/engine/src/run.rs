//! One run from its lock to its summary.

use std::time::Instant;

use dvb_catalog::Catalog;
use dvb_ledger::{Holder, Ledger, Lock, Run, RunSummary};
use dvb_model::{DestinationName, RunId};
use dvb_storage::Sink;

use crate::observer::Event;
use crate::plan::{self, Plan};
use crate::stores::NotCovered;
use crate::summary::Summary;
use crate::tally::{Counts, Tally};
use crate::workers::Workers;
use crate::{Ending, Observer, Options, RunError, Stop, Stores};

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// What should exist.
    pub catalog: &'a dyn Catalog,
    /// Where its bytes are.
    pub stores: &'a Stores,
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination.
    pub destination: &'a DestinationName,
    /// The destination.
    pub sink: &'a dyn Sink,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a Stop,
}

/// A name for a run that begins now: sorted by time, unique among all hosts.
#[must_use]
pub fn new_run_id() -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    RunId(format!("{now}-{:08x}", fastrand::u32(..)))
}

/// Makes sure that every data file in scope has a proved copy at the destination, and reports what is not safe.
///
/// With [`Options::dry_run`], only counts what is due, without a lock.
///
/// # Errors
/// [`RunError`], when no data file was looked at. What goes wrong later is in the [`Summary`].
pub fn run(setup: &Setup<'_>, options: &Options) -> Result<Summary, RunError> {
    let began = Instant::now();
    let started = now();
    if options.dry_run {
        return count(setup, options, started);
    }
    let pid = std::process::id();
    let holder = Holder { host: options.host.clone(), pid, run: options.run.clone(), since: started.clone() };
    let lock = setup.ledger.lock(setup.destination, &holder)?;
    setup.ledger.begin_run(&Run {
        id: options.run.clone(),
        destination: setup.destination.clone(),
        started: started.clone(),
        host: options.host.clone(),
        pid,
    })?;
    let done = locked(setup, options, lock.as_ref(), began, &started);
    let (catalogued, exit_code, json) = match &done {
        Ok(it) => (it.files.catalogued, it.exit_code, serde_json::to_string(it).unwrap_or_default()),
        Err(error) => {
            let text = crate::chain(error);
            (0, Ending::from(error).code(), serde_json::json!({ "error": text }).to_string())
        }
    };
    let end = RunSummary { finished: now(), catalogued, exit_code, json };
    match (done, setup.ledger.finish_run(&options.run, &end)) {
        (Ok(mut summary), Err(error)) => {
            // All verdicts are recorded or will be found out again; only the run's own line is not.
            summary.aborted.get_or_insert_with(|| crate::chain(&error));
            summary.ending = summary.ending.min(Ending::from(&error));
            summary.exit_code = summary.ending.code();
            Ok(summary)
        }
        (done, _) => done,
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn count(setup: &Setup<'_>, options: &Options, started: String) -> Result<Summary, RunError> {
    let mut counts = Counts::default();
    plan::make(setup, options, &mut counts)?;
    warn_of_drivers(setup, &mut counts);
    // What is due is what is pending.
    counts.files.pending = counts.due.files;
    counts.files.catalogued += counts.due.files;
    Ok(Summary { exit_code: 0, ending: Ending::Safe, ..summary(setup, options, started, counts) })
}

fn locked(
    setup: &Setup<'_>,
    options: &Options,
    lock: &dyn Lock,
    began: Instant,
    started: &str,
) -> Result<Summary, RunError> {
    let tally = Tally::default();
    let mut counts = Counts::default();
    let Plan { mut spool, gone } = plan::make(setup, options, &mut counts)?;
    warn_of_drivers(setup, &mut counts);
    setup.ledger.mark_gone(setup.destination, &gone)?;
    let due = counts.due;
    setup.observer.event(&Event::Planned { files: due.files, bytes: due.bytes });
    *tally.lock() = counts;
    let spooled = spool.read().map_err(|source| RunError::Spool { folder: options.spool_folder.clone(), source })?;
    let workers = Workers::new(setup, options, &tally, lock, began, Box::new(spooled), due.files);
    workers.work();
    workers.leave_rest();
    drop(workers);
    let counts = std::mem::take(&mut *tally.lock());
    Ok(summary(setup, options, started.to_owned(), counts))
}

/// Files of a driver that nobody configured are not covered by mistake, unlike all others (facts R10).
fn warn_of_drivers(setup: &Setup<'_>, counts: &mut Counts) {
    for (driver, files) in counts.unknown_drivers.clone() {
        let why = format!("{files} data files are not covered: {}", NotCovered::unknown(&driver));
        setup.observer.event(&Event::Warning(&why));
        counts.note_driver(&driver, why);
    }
}

fn summary(setup: &Setup<'_>, options: &Options, started: String, counts: Counts) -> Summary {
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok());
    let ending = counts.ending(signal);
    Summary {
        run_id: options.run.clone(),
        destination: setup.destination.clone(),
        started,
        finished: now(),
        dry_run: options.dry_run,
        files: counts.files,
        due: counts.due,
        bytes_copied: counts.bytes_copied,
        gone: counts.gone,
        failures: counts.failures.listed,
        failures_total: counts.failures.total,
        notes: counts.notes.listed,
        notes_total: counts.notes.total,
        aborted: counts.abort.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    }
}
