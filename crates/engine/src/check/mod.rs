//! Tries what a run would need, and leaves nothing that stays: can the catalogue be read to its end, is anybody at work, is
//! each store the one that the catalogue speaks of, and what is each destination able to do.
//!
//! What is found is handed out as types; how it is said is the caller's.

mod destination;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use dvb_catalog::{Catalog, CatalogError, Detail, Entry};
use dvb_ledger::{Holder, Ledger, LedgerError};
use dvb_model::{DestinationName, DriverId, RunId, StorageIdentifier};
use dvb_storage::{Source, SourceError};

pub use self::destination::{
    CheckOptions, CheckSetup, DestinationCheck, Probed, check_destinations, probe_destination,
};
use crate::command::time::{new_run_id, now};
use crate::guard::{Samples, Seen};
use crate::source::stores::Stores;

/// What the catalogue has.
#[derive(Debug, Default)]
pub struct CatalogueCheck {
    /// Data files in scope, by what became of them.
    pub files: u64,
    /// The same by the driver that they name, if they name one. Those of which no place is known are not among them.
    pub named: BTreeMap<Option<DriverId>, u64>,
    /// Data files whose rows do not say where they are: they cannot be copied.
    pub placeless: u64,
    /// The first of them, and what is wrong with it.
    pub first_placeless: Option<String>,
    /// Some objects of each store, for [`check_store`] and [`check_destinations`].
    pub samples: Samples,
}

/// Reads the whole catalogue: nothing less tells which stores it names, and that every row can be read.
///
/// # Errors
/// [`CatalogError`].
pub fn check_catalogue(catalog: &dyn Catalog, stores: &Stores) -> Result<CatalogueCheck, CatalogError> {
    let mut found = CatalogueCheck::default();
    let CatalogueCheck { files, named, placeless, first_placeless, samples } = &mut found;
    catalog.read(Detail::Essential, &mut |entry| {
        if let Entry::DataFile(file) = entry {
            *files += 1;
            samples.enter(&file, stores);
            if let Some(why) = file.unknown_place() {
                *placeless += 1;
                first_placeless.get_or_insert_with(|| format!("data file {}: {why}", file.id));
            }
            if let Ok(identifier) = StorageIdentifier::parse(file.storage_identifier.as_deref()) {
                *named.entry(identifier.driver).or_default() += 1;
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Who holds the ledger's lock for a destination. It is taken for a moment, on this host's name: nothing else tells.
///
/// # Errors
/// [`LedgerError`], when the ledger cannot be used.
pub fn lock_holder(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    host: &str,
) -> Result<Option<Holder>, LedgerError> {
    ledger.counts(destination)?;
    let holder = Holder { host: host.to_owned(), pid: std::process::id(), run: check_run(), since: now() };
    match ledger.lock(destination, &holder) {
        Ok(_) => Ok(None),
        Err(LedgerError::Locked { holder, .. }) => Ok(Some(holder)),
        Err(error) => Err(error),
    }
}

/// A name for what is stored and taken away again.
fn check_run() -> RunId {
    RunId(format!("{}-check", new_run_id()))
}

/// Looks whether a store can be read at all, and for a hundred of its objects; one of them is opened. Nothing is looked for
/// where the catalogue names no object of it.
///
/// # Errors
/// [`SourceError`], when the store cannot be read, or is empty.
pub fn check_store(driver: &DriverId, source: &dyn Source, samples: &Samples) -> Result<Seen, SourceError> {
    source.check()?;
    Ok(samples.of_store(driver).map(|it| it.look(source)).unwrap_or_default())
}
