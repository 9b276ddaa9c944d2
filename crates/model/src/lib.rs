//! The nouns of a Dataverse backup: data file, dataset, object, storage identifier, object key.
//!
//! Text from the database is parsed here, at the edge, into types that cannot hold what a backup must not use
//! ([`ObjectKey`], [`ObjectName`]).

mod catalogue;
mod full;
mod identifier;
mod key;
mod names;
mod object;
mod pid;
mod plain;

pub use catalogue::{
    AuxiliaryFile, DataFile, Dataset, Embargo, FileVersion, PACKAGE_CONTENT_TYPE, Retention, StoragePid, Tabular,
};
pub use full::is_full;
pub use identifier::{StorageIdentifier, StoreKind, Unreadable};
pub use key::{KeyError, ObjectKey, ObjectName};
pub use names::{DestinationName, DriverId, DvObjectId, RunId};
pub use object::{ObjectRole, Status};
pub use pid::{GivenName, NoName, Pid};
pub use plain::{plain, plain_lines};
