//! Deleting copies, which only a lawful purge does: a seam of its own, so that no other command has a way to it.

use std::time::SystemTime;

use dvb_model::ObjectKey;

use crate::SinkError;

/// What a thing is that a destination holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeldKind {
    /// Bytes under a name, or an earlier version of them.
    Object,
    /// The list of the segments of a large object (Swift).
    Manifest,
    /// Bytes of a large object, which a manifest names (Swift).
    Segment,
    /// An upload that was cut, or is under way: bytes that no name shows yet.
    Upload,
    /// A version without bytes, which says that the object was deleted; it still shows the name.
    Marker,
}

/// What keeps a thing from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It cannot be deleted before that time.
    Until(SystemTime),
    /// Somebody has to lift it: a legal hold.
    Hold,
}

/// One thing that a destination holds of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name below the destination's root, as a key has it. What lies outside of the root begins with `/`, as the
    /// destination names it (Swift: `/container/object`).
    pub name: String,
    /// Which version of it, or which upload, where the destination keeps several under one name.
    pub version: Option<String>,
    /// Its size in bytes; of a manifest, a marker, or an upload that does not tell: 0.
    pub size: u64,
    /// What kind of thing it is; a destination has its own ways to keep an object.
    pub kind: HeldKind,
    /// What keeps it from being deleted, where the destination tells.
    pub lock: Option<Lock>,
}

/// A destination with the right to delete there. Used by one thread.
///
/// - [`Purger::held`] shows everything that the destination can say belongs to a key: the object, the copies that were set
///   aside as damaged ([`ObjectKey::set_aside`]) by any run, all versions and markers of these, the segments of large
///   objects, and uploads that were cut. It shows nothing of any other key, however similar.
/// - Temporaries that do not tell of which key they are belong to no key: they end with
///   [`SinkSession::sweep`](crate::SinkSession::sweep), for runs that are over.
/// - Keys of the backup's own ([`ObjectKey::is_own`]) are keys like others here.
/// - A listing that is not complete is an error, never a shorter list: an empty list proves that nothing is left.
/// - To delete one thing may bring another one forward that could not be seen before (Swift with `X-History-Location`
///   keeps what is deleted). Whoever purges lists again until nothing is left.
pub trait Purger: Send {
    /// What is deleted from, for messages: user, host and folder; a bucket.
    fn describe(&self) -> String;

    /// What the destination holds of this key, in the order in which it is to be deleted: after a crash between any two of
    /// them, what is left can still be found by the key.
    ///
    /// # Errors
    /// [`SinkError`], when not everything could be listed: [`Cause::Forbidden`](crate::Cause::Forbidden) where the account
    /// may not list, [`Cause::Broken`](crate::Cause::Broken) where a folder lies at the key.
    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError>;

    /// The keys of the backup's own ([`ObjectKey::own`]) whose name below its folder begins with `prefix`, at any depth, of
    /// which [`Purger::held`] shows anything: also those of what was removed and is kept as a version. Each once.
    ///
    /// # Errors
    /// [`SinkError`], when not everything could be listed.
    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError>;

    /// Deletes one thing of a list, for ever: on a file system it has left its folder when this returns, and that was
    /// flushed where the medium can. One that is gone already is no failure. A symbolic link is deleted, not followed. No
    /// lock is lifted.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Forbidden`](crate::Cause::Forbidden) where the account may not delete, or a lock holds.
    fn delete(&mut self, held: &Held) -> Result<(), SinkError>;
}
