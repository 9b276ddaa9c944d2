//! Where Dataverse expects each object of a data file or dataset, by the catalogue as it is now.

use std::sync::Arc;

use dvb_model::{
    DataFile, Dataset, DriverId, KeyError, ObjectKey, ObjectName, ObjectRole, StorageIdentifier, StoragePid, StoreKind,
};
use dvb_storage::{Location, ObjectAddress, Source};

use crate::source::stores::{Access, NoStore, NotCovered, Store, Stores};

/// Why a store cannot be looked at.
#[derive(Debug, Clone)]
pub(crate) enum Lack {
    /// Trying again later can help.
    Now(NoStore),
    /// Trying again cannot help, for this reason: it lies in the configuration or in Dataverse's database.
    Always(String),
}

/// Where the objects of one data file or dataset belong.
pub(crate) struct Home {
    pub(crate) driver: DriverId,
    pid: StoragePid,
    identifier: Option<StorageIdentifier>,
    /// `None` for a dataset: its objects have names of their own.
    name: Option<ObjectName>,
    /// The store, or why it cannot be looked at.
    pub(crate) source: Result<Arc<dyn Source>, Lack>,
}

impl Home {
    /// `keys` are those of its copies: of several storage PIDs, which is a mistake in Dataverse, they tell the one.
    pub(crate) fn of_file(file: &DataFile, stores: &Stores, keys: &[&ObjectKey]) -> Result<Self, String> {
        if let Some(why) = file.unknown_place() {
            return Err(why);
        }
        let dataset = file.dataset.as_ref().ok_or("it has no dataset, so it has no place in a store")?;
        let identifier = StorageIdentifier::parse(file.storage_identifier.as_deref()).map_err(|it| it.to_string())?;
        let driver = identifier.driver.clone().unwrap_or_else(|| stores.default.clone());
        let store = stores.by_id.get(&driver);
        let kind = store.map_or(StoreKind::File, |it| it.kind);
        let pid = choose(dataset, kind, keys)?.ok_or("its dataset has no PID, so it has no place in a store")?;
        let (pid, name) = identifier.place_in(kind, &pid).map_err(|it| it.to_string())?;
        let source = readable(&driver, store);
        Ok(Self { driver, pid, identifier: Some(identifier), name: Some(name), source })
    }

    pub(crate) fn of_dataset(dataset: &Dataset, stores: &Stores, keys: &[&ObjectKey]) -> Result<Self, String> {
        if let Some(why) = dataset.unknown_place() {
            return Err(why);
        }
        let (driver, store) = match stores.of_dataset(dataset) {
            Some((driver, store)) => (driver.clone(), Some(store)),
            None => (stores.default.clone(), None),
        };
        let kind = store.map_or(StoreKind::File, |it| it.kind);
        let pid = choose(dataset, kind, keys)?.ok_or("it has no PID, so it has no place in a store")?;
        let identifier = StorageIdentifier::parse(dataset.storage_identifier.as_deref()).ok();
        let source = readable(&driver, store);
        Ok(Self { driver, pid, identifier, name: None, source })
    }

    /// Path below a store's folder.
    pub(crate) fn key(&self, role: &ObjectRole) -> Result<ObjectKey, KeyError> {
        self.location(role)?.key()
    }

    pub(crate) fn location(&self, role: &ObjectRole) -> Result<Location, KeyError> {
        let own = || self.name.clone().ok_or(KeyError::Empty);
        let object = match role {
            ObjectRole::Main => ObjectAddress::Main(own()?),
            ObjectRole::Original => ObjectAddress::Tagged(own()?, "orig".to_owned()),
            ObjectRole::Auxiliary(tag) => ObjectAddress::Tagged(own()?, tag.clone()),
            ObjectRole::Member(path) => ObjectAddress::Member(own()?, path.clone()),
            ObjectRole::DatasetLevel(tag) => ObjectAddress::DatasetLevel(ObjectName::new(tag)?),
        };
        Ok(Location { storage_pid: self.pid.clone(), identifier: self.identifier.clone(), object })
    }
}

fn choose(dataset: &Dataset, kind: StoreKind, keys: &[&ObjectKey]) -> Result<Option<StoragePid>, String> {
    let pids = dataset.storage_pids.iter().map(|it| it.in_store(kind));
    let pids = pids.collect::<Result<Vec<_>, KeyError>>().map_err(|it| it.to_string())?;
    let holds = |pid: &&StoragePid| {
        let folder = format!("{}/", pid.directory());
        keys.iter().any(|it| it.as_str().starts_with(&folder))
    };
    Ok(pids.iter().find(holds).or(pids.first()).cloned())
}

fn readable(driver: &DriverId, store: Option<&Store>) -> Result<Arc<dyn Source>, Lack> {
    match store.map(|it| &it.access) {
        Some(Access::Readable(source)) => Ok(Arc::clone(source)),
        Some(Access::Reference(why)) => Err(Lack::Always(format!("store {driver}: {why}"))),
        Some(Access::Unavailable(NoStore { cause, why })) => {
            Err(Lack::Now(NoStore { cause: *cause, why: format!("store {driver}: {why}") }))
        }
        None => Err(Lack::Always(NotCovered::unknown(driver))),
    }
}
