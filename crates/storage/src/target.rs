//! Giving files back: into a folder of its own, or into a store that lost them.

use std::io::{self, Read};
use std::sync::Arc;

use dvb_fixity::{Digest, Measured};
use dvb_model::{ObjectKey, RunId};
use thiserror::Error;

use crate::{Location, SinkError, StoredObject};

/// What the bytes must be before they get their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Number of the bytes that were written.
    pub size: u64,
    /// All of these digests must fit. Never empty.
    pub digests: Vec<Digest>,
}

impl Expected {
    /// Whether these are the bytes.
    #[must_use]
    pub fn describes(&self, measured: &Measured) -> bool {
        let fits = |it: &Digest| measured.matches(it) == Some(true);
        measured.size == self.size && !self.digests.is_empty() && self.digests.iter().all(fits)
    }
}

/// A file that was put where it belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// What could not be made as it is with the files beside it: the owner.
    pub note: Option<String>,
    /// Where the bytes are now whose place it took.
    pub kept: Option<String>,
}

/// Why a file was not put where it belongs. Nothing shows under its name that was not there before.
#[derive(Debug, Error)]
pub enum PutError {
    /// The copy could not be read to its end.
    #[error("the copy cannot be read")]
    Read(#[source] io::Error),
    /// Other bytes came than were expected.
    #[error("the copy has other bytes than are on record")]
    Mismatch(Measured),
    /// The place failed: no room, no permission, something is there already.
    #[error(transparent)]
    Target(#[from] SinkError),
}

/// A place that files are given back to. Shared by all workers.
///
/// - Nothing shows under a name before all of its bytes were compared with what is expected.
/// - What was put outlives a power cut: when [`Target::put_new`] returns, or, in a [`Folder`], when [`Folder::flush`] does.
/// - What lies under a name is never touched: [`Target::put_new`] fails with [`Cause::Exists`](crate::Cause::Exists).
/// - No symbolic link on the way to a name is followed; such a name fails with [`Cause::Refused`](crate::Cause::Refused).
pub trait Target: Send + Sync {
    /// What is written to, for messages.
    fn describe(&self) -> String;

    /// Puts a file where nothing is.
    ///
    /// # Errors
    /// [`PutError`].
    fn put_new(&self, at: &ObjectKey, copy: &mut dyn Read, expected: &Expected) -> Result<Placed, PutError>;
}

/// A folder of people, whose files are looked at before anything is put there.
pub trait Folder: Target {
    /// Size of the file under a name; `None` where there is nothing.
    ///
    /// # Errors
    /// [`SinkError`], also when something is there that is not a regular file.
    fn size(&self, at: &ObjectKey) -> Result<Option<u64>, SinkError>;

    /// Reads the file under a name.
    ///
    /// # Errors
    /// [`SinkError`], as above.
    fn open(&self, at: &ObjectKey) -> Result<StoredObject, SinkError>;

    /// Brings the bytes and names of all files that were put to stable storage; small ones may wait for this. Until it has
    /// returned, a power cut may take them.
    ///
    /// # Errors
    /// [`SinkError`]: something could not be written, and nobody knows which file it was.
    fn flush(&self) -> Result<(), SinkError>;
}

/// A store that damaged files are mended in. A seam of its own: whoever only copies, or only gives back what is
/// missing, has no way to take a file's name.
pub trait Mender: Target {
    /// Puts a file in the place of the one that is there, which keeps its bytes under the name `aside`, in the same
    /// folder. There is no moment without a file under the name, as far as the store knows links or copies.
    ///
    /// # Errors
    /// [`PutError`]; also when `aside` is taken, with `Exists`, or nothing is there, with `Missing`.
    fn put_instead(
        &self,
        at: &ObjectKey,
        copy: &mut dyn Read,
        expected: &Expected,
        aside: &ObjectKey,
    ) -> Result<Placed, PutError>;
}

/// One of Dataverse's stores, as files are given back to it. Shared by all workers.
pub trait StoreWriter: Send + Sync {
    /// Where Dataverse looks for an object: the folder, bucket or container, and the key in it. Nothing is written yet.
    ///
    /// # Errors
    /// [`SinkError`], when the object can have no place there.
    fn place(&self, at: &Location) -> Result<(Arc<dyn Mender>, ObjectKey), SinkError>;

    /// Takes away, as well as can be, what it made for itself, and what writers of these runs left behind.
    fn close(&self, is_dead: &dyn Fn(&RunId) -> bool);

    /// Cuts everything off that is waited for here, as [`Sink::interrupt`](crate::Sink::interrupt).
    fn interrupt(&self) {}
}
