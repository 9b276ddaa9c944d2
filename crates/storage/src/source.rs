//! Reading objects of one of Dataverse's stores.

use std::collections::HashMap;
use std::io::Read;

use dvb_model::{KeyError, ObjectKey, ObjectName, StorageIdentifier, StoragePid};

use crate::{Cause, Sighting, SourceError, Trace};

/// Where an object of a data file or of a dataset is, in the words of Dataverse; each source makes its own address of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The PID that the path is made of.
    pub storage_pid: StoragePid,
    /// The data file's storage identifier; `None` for an object of the dataset itself.
    pub identifier: Option<StorageIdentifier>,
    /// The object as its store addresses it.
    pub object: ObjectAddress,
}

impl Location {
    /// `<storage authority>/<storage identifier>/<name>`: its key in a bucket, its path in a folder.
    ///
    /// # Errors
    /// [`KeyError`], when a name leads out of the store.
    pub fn key(&self) -> Result<ObjectKey, KeyError> {
        let name = match &self.object {
            ObjectAddress::Main(name) | ObjectAddress::DatasetLevel(name) => name.clone(),
            ObjectAddress::Tagged(name, tag) => name.with_tag(tag)?,
            ObjectAddress::Member(name, path) => name.member(path)?,
        };
        ObjectKey::of(&self.storage_pid.directory(), &name)
    }
}

/// Which object of the data file, or of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectAddress {
    /// `<name>`, as the storage identifier has it: the main object.
    Main(ObjectName),
    /// `<name>.<tag>`, `.orig` among them.
    Tagged(ObjectName, String),
    /// `<name>/<path>`: a member of a package.
    Member(ObjectName, String),
    /// `<tag>` in the dataset's folder.
    DatasetLevel(ObjectName),
}

impl std::fmt::Display for ObjectAddress {
    /// As its key ends.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Main(name) | Self::DatasetLevel(name) => f.write_str(name.as_str()),
            Self::Tagged(name, tag) => write!(f, "{}.{tag}", name.as_str()),
            Self::Member(name, path) => write!(f, "{}/{path}", name.as_str()),
        }
    }
}

/// An object, opened for reading.
pub struct StoredObject {
    /// Its size in bytes when it was opened.
    pub size: u64,
    /// Its bytes. A read error has the kind of its cause, `NotFound`, `PermissionDenied`, `TimedOut` and the like.
    pub body: Box<dyn Read + Send>,
}

/// Where an object shows in the listings of its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// What is listed at once, as a rule the objects of one dataset: text that only the source can read.
    pub folder: String,
    /// The object's name there.
    pub name: String,
}

/// Reads the objects of one store. Shared by all workers.
///
/// - `open` of an object that is not there fails with [`Cause::Missing`](crate::Cause::Missing), of one that may not be read with `Forbidden`,
///   of a name that leads out of the store with `Refused`; the next object is not affected.
/// - Reading gives the bytes from the first to the last, in memory that does not grow with their number.
/// - Nothing is ever changed.
pub trait Source: Send + Sync {
    /// What is read, for messages: a folder, a bucket.
    fn describe(&self) -> String;

    /// Where an object is looked for, for messages: a path, or a key with its bucket.
    fn place(&self, at: &Location) -> String {
        let key = at.key().map_or_else(|_| at.object.to_string(), |it| it.to_string());
        format!("{key} in {}", self.describe())
    }

    /// What was met so far that an administrator should know and no object's own result says, each once.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Opens an object.
    ///
    /// # Errors
    /// [`SourceError`], as above.
    fn open(&self, at: &Location) -> Result<StoredObject, SourceError>;

    /// Its size in bytes; `None` where there is no such object.
    ///
    /// # Errors
    /// [`SourceError`], when it cannot be told whether there is one.
    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError>;

    /// Where the main object of a data file shows in listings; its other objects have the same folder, and there the same
    /// names behind its own (`<name>.<tag>`, `<name>/<path>`). `None`: this store has no listings, or none of it.
    fn shelf(&self, _: &Location) -> Option<Shelf> {
        None
    }

    /// Finds the sizes of the named objects of a folder by listing it, never by a request for each. What is not found keeps
    /// its `None`; in a folder that is not there, that is everything. A listing may lag behind what was stored or removed
    /// just now.
    ///
    /// # Errors
    /// [`SourceError`], when it cannot be listed: then nothing was found out of what has no size.
    fn sizes(&self, _folder: &str, _wanted: &mut HashMap<String, Option<u64>>) -> Result<(), SourceError> {
        Err(SourceError::new(Cause::Refused, format!("{} has no listings", self.describe())))
    }

    /// The members of a package by their paths below its folder, in order; `None` where the object is not a folder.
    ///
    /// # Errors
    /// [`SourceError`], as for `open`.
    fn members(&self, at: &Location) -> Result<Option<Vec<String>>, SourceError>;

    /// Looks whether an object that was just stored at a destination shows below the store, or whether the store lies in the
    /// destination. Bounded in time. A store that is on somebody else's web server cannot be either.
    ///
    /// # Errors
    /// [`SourceError`], when the store cannot be looked into.
    fn look_for(&self, trace: &Trace<'_>) -> Result<Sighting, SourceError> {
        let _ = trace;
        Ok(Sighting::Unseen)
    }

    /// Tries that the store is there and can be read at all.
    ///
    /// # Errors
    /// [`SourceError`] with [`Cause::Unavailable`](crate::Cause::Unavailable) and what to do.
    fn check(&self) -> Result<(), SourceError>;

    /// Cuts everything off that is waited for here, now or later: as [`Sink::interrupt`](crate::Sink::interrupt), for a
    /// source. Within a second or two, what waits fails with [`Cause::Unavailable`](crate::Cause::Unavailable), and the
    /// reading of a body that was opened with an error of any kind; so does whatever is called later. Returns at once.
    ///
    /// A source that wraps another one passes it on. What only waits for a local disk has nothing that it could cut.
    fn interrupt(&self) {}
}
