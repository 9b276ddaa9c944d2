//! Some objects of each store: whether the source is what the catalogue speaks of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use dvb_catalog::{Catalog, CatalogError, Detail, Entry};
use dvb_model::{DataFile, DriverId};
use dvb_storage::{Cause, Location, ObjectAddress, Source};
use serde::Serialize;

use crate::command::error::RunError;
use crate::command::pool;
use crate::source::payload::read_error;
use crate::source::stores::{Access, NoStore, Scope, StoreLocation, Stores};

/// Objects that are looked at, of each store.
const OBJECTS: usize = 100;
/// Folders, buckets or containers that are remembered, of each store.
const PLACES: usize = 200;
/// Objects that are opened before it is said that none can be.
const OPENED: usize = 5;
/// With fewer objects than this, all of them may well be lost.
const JUDGED_FROM: usize = 3;
/// Objects that are asked for at a time.
const AT_ONCE: usize = 8;

/// Objects of the stores, taken from the catalogue by chance.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<DriverId, Sample>);

/// Some objects of a store.
#[derive(Debug, Default)]
pub struct Sample {
    /// Places where each may be, with its size as far as Dataverse knows it.
    objects: Vec<(Vec<Location>, Option<u64>)>,
    /// One object of each bucket, container or folder of datasets.
    near: Vec<Location>,
    /// The data files that `objects` are of.
    files: Vec<DataFile>,
    places: BTreeSet<String>,
    total: u64,
}

/// What a look at a sample has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Objects that were looked for.
    pub looked: u64,
    /// Objects that are there, of those that were looked for.
    pub there: u64,
    /// Objects that are not there.
    pub missing: u64,
    /// Those that are there with another size than Dataverse has on record.
    pub other_size: u64,
    /// Those of which nothing can be said.
    pub unknown: u64,
    /// One that is there could be opened and read.
    pub opened: bool,
    /// The first that is missing, or cannot be read: why.
    pub first: Option<String>,
    /// One could not be opened for a reason that may pass.
    #[serde(skip)]
    may_pass: bool,
    /// Those that are there and may not be opened.
    #[serde(skip)]
    may_not_open: u64,
}

impl Samples {
    /// Reads the catalogue for them.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn of(catalog: &dyn Catalog, stores: &Stores) -> Result<Self, CatalogError> {
        let mut samples = Self::default();
        catalog.read(Detail::Essential, &mut |entry| {
            if let Entry::DataFile(file) = entry {
                samples.enter(&file, stores);
            }
            ControlFlow::Continue(())
        })?;
        Ok(samples)
    }

    /// Takes a data file of the catalogue among those that may be chosen.
    pub fn enter(&mut self, file: &DataFile, stores: &Stores) {
        if let Scope::Covered(place) = stores.scope(file) {
            self.enter_at(file, &place);
        }
    }

    pub(crate) fn enter_at(&mut self, file: &DataFile, place: &StoreLocation) {
        // A package may be a folder.
        if file.is_package() {
            return;
        }
        let sample = match self.0.get_mut(&place.driver) {
            Some(it) => it,
            None => self.0.entry(place.driver.clone()).or_default(),
        };
        sample.total += 1;
        let slot = usize::try_from(fastrand::u64(..sample.total)).unwrap_or(usize::MAX);
        let is_chosen = sample.objects.len() < OBJECTS || slot < OBJECTS;
        let is_new = sample.places.len() < PLACES && sample.places.insert(place_of(place));
        if !is_chosen && !is_new {
            return;
        }
        let locations: Vec<Location> = place
            .pids
            .iter()
            .map(|pid| Location {
                storage_pid: pid.clone(),
                identifier: Some(place.identifier.clone()),
                object: ObjectAddress::Main(place.name.clone()),
            })
            .collect();
        if is_new {
            sample.near.extend(locations.first().cloned());
        }
        if sample.objects.len() < OBJECTS {
            sample.objects.push((locations, file.size));
            sample.files.push(file.clone());
        } else if let Some((it, of)) = sample.objects.get_mut(slot).zip(sample.files.get_mut(slot)) {
            *it = (locations, file.size);
            *of = file.clone();
        }
    }

    /// The data files that were chosen, for another host's look at its own stores.
    pub(crate) fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.0.values().flat_map(|it| &it.files)
    }

    pub(crate) fn near(&self, driver: &DriverId) -> &[Location] {
        self.0.get(driver).map_or(&[], |it| it.near.as_slice())
    }

    /// Those that something of the catalogue is in.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &DriverId> {
        self.0.keys()
    }

    /// That of one store; `None` where the catalogue names no object of it.
    #[must_use]
    pub fn of_store(&self, driver: &DriverId) -> Option<&Sample> {
        self.0.get(driver)
    }

    /// Stores of which not one of those objects is there that were looked for first, with the reason. Error: a worker broke down.
    pub(crate) fn doubts(
        &self,
        stores: &Stores,
        drivers: &BTreeSet<DriverId>,
    ) -> Result<BTreeMap<DriverId, RunError>, String> {
        let doubt = |driver: &DriverId| {
            let denied = |why: String| RunError::StoreDenied { store: driver.0.clone(), why };
            let error = match &stores.by_id.get(driver)?.access {
                Access::Unavailable(NoStore { cause: Cause::Forbidden, why }) => denied(why.clone()),
                Access::Readable(source) => match source.check() {
                    Ok(()) => self.0.get(driver)?.doubt(driver, source.as_ref())?,
                    Err(error) if error.cause == Cause::Forbidden => denied(error.chain()),
                    // A store that is out of reach, or empty, is said where its objects are read.
                    Err(_) => return None,
                },
                Access::Unavailable(_) | Access::Reference(_) => return None,
            };
            Some((driver.clone(), error))
        };
        pool::each(drivers, doubt).into_iter().filter_map(Result::transpose).collect()
    }
}

/// The bucket or container; of a folder, that of the datasets.
fn place_of(place: &StoreLocation) -> String {
    match place.identifier.rest.rsplit_once(':') {
        Some((bucket, _)) => bucket.to_owned(),
        None => place.pids.first().map(|it| it.directory()).unwrap_or_default(),
    }
}

/// What is known of one object.
enum Found {
    There {
        size: u64,
    },
    Missing,
    /// This account may not look.
    Forbidden(String),
    /// Something of this object alone is in the way: a link, a damaged disk.
    Unreadable(String),
    Unknown(String),
}

impl Sample {
    /// Looks at all of them, and opens one.
    #[must_use]
    pub fn look(&self, source: &dyn Source) -> Seen {
        let mut seen = Seen::default();
        for batch in self.objects.chunks(AT_ONCE) {
            let found = pool::each(batch, |it| find(source, &it.0));
            for ((locations, size), found) in batch.iter().zip(found) {
                seen.enter(source, locations, *size, found.unwrap_or_else(Found::Unknown));
            }
        }
        seen
    }

    /// Whether not one of them is there, or none may be read: then the store is not the one that the catalogue speaks of,
    /// or the account is none that reads it. Ends with the first that is.
    fn doubt(&self, driver: &DriverId, source: &dyn Source) -> Option<RunError> {
        let (mut seen, mut forbidden) = (Seen::default(), 0);
        for (locations, size) in &self.objects {
            let found = find(source, locations);
            // What is out of reach is said elsewhere.
            if matches!(found, Found::Unknown(_)) {
                return None;
            }
            forbidden += u64::from(matches!(found, Found::Forbidden(_)));
            seen.enter(source, locations, *size, found);
            if seen.opened || seen.may_pass {
                return None;
            }
            if seen.there >= OPENED as u64 {
                break;
            }
        }
        // Rights are lost all at once, objects one by one.
        if forbidden + seen.may_not_open == seen.looked {
            return Some(RunError::StoreDenied { store: driver.0.clone(), why: seen.first.unwrap_or_default() });
        }
        if self.objects.len() < JUDGED_FROM {
            return None;
        }
        Some(RunError::OtherStore {
            store: driver.0.clone(),
            place: source.describe(),
            looked: seen.looked,
            there: seen.there,
            why: seen.first.unwrap_or_default(),
        })
    }
}

impl Seen {
    /// Whether the store is the one that the catalogue speaks of.
    #[must_use]
    pub fn is_it(&self) -> bool {
        self.opened || self.looked == 0
    }

    fn enter(&mut self, source: &dyn Source, locations: &[Location], recorded: Option<u64>, found: Found) {
        self.looked += 1;
        let why = match found {
            Found::There { size } => {
                self.there += 1;
                self.other_size += u64::from(recorded.is_some_and(|it| it != size));
                if self.opened || self.there > OPENED as u64 {
                    return;
                }
                match open(source, locations) {
                    Ok(()) => {
                        self.opened = true;
                        return;
                    }
                    Err((cause, why)) => {
                        self.may_pass |= matches!(cause, Cause::Transient | Cause::Unavailable);
                        self.may_not_open += u64::from(cause == Cause::Forbidden);
                        why
                    }
                }
            }
            Found::Missing => {
                self.missing += 1;
                let key = locations.first().and_then(|it| it.key().ok());
                format!("{} is missing", key.map_or_else(|| "an object".to_owned(), |it| it.to_string()))
            }
            Found::Forbidden(why) | Found::Unreadable(why) | Found::Unknown(why) => {
                self.unknown += 1;
                why
            }
        };
        self.first.get_or_insert(why);
    }
}

/// Looks for an object at each place where it may be.
fn find(source: &dyn Source, locations: &[Location]) -> Found {
    let mut found = Found::Missing;
    for at in locations {
        match source.size(at) {
            Ok(Some(size)) => return Found::There { size },
            Ok(None) => {}
            Err(error) if error.cause == Cause::Missing => {}
            Err(error) if error.cause == Cause::Forbidden => found = Found::Forbidden(error.chain()),
            Err(error) if matches!(error.cause, Cause::Refused | Cause::Io) => {
                found = Found::Unreadable(error.chain());
            }
            Err(error) => return Found::Unknown(error.chain()),
        }
    }
    found
}

/// Opens an object and reads its first byte.
fn open(source: &dyn Source, locations: &[Location]) -> Result<(), (Cause, String)> {
    let mut failure = (Cause::Missing, String::new());
    for at in locations {
        let read = source
            .open(at)
            .and_then(|mut object| object.body.read(&mut [0]).map_err(|error| read_error(source, at, error)));
        match read {
            Ok(_) => return Ok(()),
            Err(error) => failure = (error.cause, error.chain()),
        }
    }
    Err(failure)
}
