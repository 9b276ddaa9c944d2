//! Which store holds a data file, and where its objects are in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dvb_ledger::OF_ONE_FILE;
use dvb_model::{
    DataFile, Dataset, DriverId, KeyError, ObjectName, StorageIdentifier, StoragePid, StoreKind, Unreadable,
};
use dvb_storage::{Cause, Location, ObjectAddress, Setting, Source, SourceError};

/// A store of Dataverse, by its driver id.
#[derive(Clone)]
pub struct Store {
    /// Its type in Dataverse's configuration.
    pub kind: StoreKind,
    /// How its bytes are reached.
    pub access: Access,
}

/// How the bytes of a store are reached.
#[derive(Clone)]
pub enum Access {
    /// By this source, which opens an object of the store by its location.
    Readable(Arc<dyn Source>),
    /// Not at all, by rule, with the reason: somebody else holds them, or this program cannot read them.
    Reference(String),
    /// Not as it is: the store is configured but cannot be used. Its files are not safe.
    Unavailable(NoStore),
}

/// Why a store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoStore {
    /// Whether that may pass by itself ([`Cause::Unavailable`]) or not ([`Cause::Misconfigured`]).
    pub cause: Cause,
    /// Why nothing of it can be read, in a sentence.
    pub why: String,
}

impl NoStore {
    /// What opening or trying it said.
    #[must_use]
    pub fn of(error: &SourceError) -> Self {
        Self { cause: error.cause, why: error.chain() }
    }

    /// What the configuration says of it makes no store.
    #[must_use]
    pub fn misconfigured(why: impl Into<String>) -> Self {
        Self { cause: Cause::Misconfigured, why: why.into() }
    }
}

/// All stores that the configuration names.
pub struct Stores {
    /// The store of identifiers without a prefix (`DefaultStore`).
    pub default: DriverId,
    /// Every store by its driver id.
    pub by_id: BTreeMap<DriverId, Store>,
}

impl Stores {
    /// What the stores have met that belongs to no data file, with the name of the store.
    pub(crate) fn notes(&self) -> Vec<String> {
        let of_store = |(driver, store): (&DriverId, &Store)| match &store.access {
            Access::Readable(source) => source.notes().into_iter().map(|it| format!("store {driver}: {it}")).collect(),
            Access::Reference(_) | Access::Unavailable(_) => Vec::new(),
        };
        self.by_id.iter().flat_map(of_store).collect()
    }

    /// Cuts off whoever still waits for one of them.
    pub(crate) fn interrupt(&self) {
        for store in self.by_id.values() {
            if let Access::Readable(source) = &store.access {
                source.interrupt();
            }
        }
    }
}

/// What the rules say of a data file, before any byte is read (dataverse.md R4, R10).
pub enum Scope {
    /// Its bytes can be read.
    Covered(StoreLocation),
    /// There are none to read, by rule.
    NotCovered(NotCovered),
    /// Its name must not be used.
    Refused(KeyError),
    /// Its row does not say where its bytes are, for this reason.
    Garbled(String),
    /// It has no dataset, so it has no place (dataverse.md 5.4).
    Orphaned,
    /// Its store cannot be opened now.
    Unavailable(DriverId, NoStore),
}

/// Why a data file is not covered.
pub enum NotCovered {
    /// Its identifier names no object.
    Identifier(Unreadable),
    /// Its store is known, and not ours to read.
    Reference(DriverId, String),
    /// Nobody configured its store: likely an oversight.
    UnknownDriver(DriverId),
}

impl NotCovered {
    /// The reason in words, as `NOT_COVERED` is recorded with it. `file` is the data file that was asked about.
    #[must_use]
    pub fn reason(&self, file: &DataFile) -> String {
        match self {
            Self::Identifier(why) => why.to_string(),
            Self::Reference(driver, why) => {
                let reference = file.storage_identifier.as_deref().unwrap_or_default();
                format!("store {driver}: {why}{OF_ONE_FILE}{reference}")
            }
            Self::UnknownDriver(driver) => Self::unknown(driver),
        }
    }

    pub(crate) fn unknown(driver: &DriverId) -> String {
        format!("no store {:?} is configured; add {}", driver.0, Setting::Store(driver.0.clone()))
    }
}

/// Where a data file's objects are: in which store, and under which names.
pub struct StoreLocation {
    /// Driver id of the store.
    pub driver: DriverId,
    /// The source that reads its objects.
    pub source: Arc<dyn Source>,
    /// The data file's storage identifier, cut into its parts.
    pub identifier: StorageIdentifier,
    /// The name of the main object, which the names of the others are made of.
    pub name: ObjectName,
    /// The PIDs that the path may be made of. Never empty; more than one only where Dataverse's own configuration is
    /// ambiguous: the main object shows which one it is.
    pub pids: Vec<StoragePid>,
}

impl StoreLocation {
    /// Where the main object may be, in the order in which the engine tries them. With another [`Location::object`], they are
    /// those of the objects beside it.
    pub fn candidates(&self) -> impl Iterator<Item = Location> + '_ {
        self.pids.iter().map(|pid| Location {
            storage_pid: pid.clone(),
            identifier: Some(self.identifier.clone()),
            object: ObjectAddress::Main(self.name.clone()),
        })
    }
}

impl Stores {
    /// Which store holds a data file, and under which names; or why there is nothing to read. Nothing is contacted: whether
    /// the object is there, reading it tells.
    #[must_use]
    pub fn scope(&self, file: &DataFile) -> Scope {
        if let Some(why) = file.unknown_place() {
            return Scope::Garbled(why);
        }
        let Some(dataset) = &file.dataset else { return Scope::Orphaned };
        if dataset.storage_pids.is_empty() {
            return Scope::Orphaned;
        }
        let identifier = match StorageIdentifier::parse(file.storage_identifier.as_deref()) {
            Ok(it) => it,
            Err(why) => return Scope::NotCovered(NotCovered::Identifier(why)),
        };
        let driver = identifier.driver.clone().unwrap_or_else(|| self.default.clone());
        let Some(store) = self.by_id.get(&driver) else {
            return Scope::NotCovered(NotCovered::UnknownDriver(driver));
        };
        let source = match &store.access {
            Access::Readable(source) => Arc::clone(source),
            Access::Reference(why) => return Scope::NotCovered(NotCovered::Reference(driver, why.clone())),
            Access::Unavailable(why) => return Scope::Unavailable(driver, why.clone()),
        };
        match places_in(store.kind, &identifier, dataset) {
            Ok((pids, name)) => Scope::Covered(StoreLocation { driver, source, identifier, name, pids }),
            Err(why) => Scope::Refused(why),
        }
    }

    /// The store of a dataset's own objects: only the driver of its identifier means anything (dataverse.md 2.9).
    pub(crate) fn of_dataset(&self, dataset: &Dataset) -> Option<(&DriverId, &Store)> {
        let driver = dataset
            .storage_identifier
            .as_deref()
            .and_then(|it| it.split_once("://"))
            .map_or_else(|| self.default.clone(), |(driver, _)| DriverId(driver.to_owned()));
        self.by_id.get_key_value(&driver)
    }
}

/// The storage PIDs as a store of this kind makes paths of them, and the object's name below them.
fn places_in(
    kind: StoreKind,
    identifier: &StorageIdentifier,
    dataset: &Dataset,
) -> Result<(Vec<StoragePid>, ObjectName), KeyError> {
    let place = |pid: &StoragePid| identifier.place_in(kind, &pid.in_store(kind)?);
    let places = dataset.storage_pids.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let name = places.first().ok_or(KeyError::Empty)?.1.clone();
    Ok((places.into_iter().map(|(pid, _)| pid).collect(), name))
}
