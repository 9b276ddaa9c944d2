//! Holding copies at a destination, a batch at a time.

use std::io::Read;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, SystemTime};

use dvb_fixity::{Algorithm, Evidence, Measured, Mismatch, Proved};
use dvb_model::{ObjectKey, RunId};
use thiserror::Error;

use crate::{LockTrial, SinkError, SourceError};

/// An upload that was cut is worth going on with when so many bytes of it are there.
pub const CONTINUED_FROM: u64 = 16 << 20;
/// So long after its last byte somebody may go on with it; then it is swept like any other temporary.
pub const CONTINUED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Which evidence of a copy is demanded (`Verify:` of a `[Backup]` section).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// The destination's own digest where it has one, else reading back.
    Auto,
    /// The destination's own digest, or failure.
    RemoteHash,
    /// Reading back, even where the destination has a digest of its own.
    ReadBack,
}

/// The bytes of one object, opened by the session when their turn comes, hashed while they are read.
///
/// The engine implements it: opening a source, hashing, limiting the rate, watching for a signal.
pub trait Payload: Send {
    /// Their number as far as it is known; more or fewer may come.
    fn size_hint(&self) -> u64;

    /// Their number, where the source told it when it was opened. If it breaks its word, the object may fail, as
    /// [`Cause::Transient`](crate::Cause::Transient).
    fn promised(&self) -> Option<u64> {
        None
    }

    /// Opens the bytes. Called once, before the first [`Payload::read`].
    ///
    /// # Errors
    /// [`PayloadError`], when there is nothing to read.
    fn open(&mut self) -> Result<(), PayloadError>;

    /// These bytes are at the destination already, by their place in the object: they are read and hashed like all others, but
    /// are not sent, so that a limit of bytes a second does not count them. Called before they are read; a later call
    /// replaces an earlier one.
    fn not_sent(&mut self, _there: Vec<Range<u64>>) {}

    /// Fills the buffer from its start; fewer bytes than fit mean nothing, 0 means the end.
    ///
    /// # Errors
    /// [`PayloadError`], when the source fails or the run is stopped.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError>;

    /// Size and digests of everything read. Called once, after the end.
    fn finish(self: Box<Self>) -> Measured;
}

/// A payload ended early.
#[derive(Debug, Error)]
pub enum PayloadError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The run was told to stop.
    #[error("stopped")]
    Stopped,
}

/// One object to be stored where nobody looks yet.
pub struct StageRequest {
    /// Where it will show.
    pub key: ObjectKey,
    /// The bytes that are to be stored, read as they are sent.
    pub payload: Box<dyn Payload>,
}

/// An object whose bytes are all at the destination, but not under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Where it will show.
    pub key: ObjectKey,
    /// What was read of the source.
    pub measured: Measured,
    /// The sink's own handle on it: the name of a temporary file, an upload id, a number.
    pub handle: String,
}

/// Why an object of a batch was not staged or not committed.
#[derive(Debug, Error)]
pub enum Unstaged {
    /// The payload ended early; the destination is well.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The destination failed at this object, or refused it.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The destination holds other bytes than were sent. Nothing shows at the key that was not there before.
    #[error("the destination holds other bytes than were sent")]
    Verify(#[from] Mismatch),
}

/// One staged object to be proved and shown.
pub struct CommitRequest {
    /// What an earlier call has staged.
    pub staged: Staged,
    /// Take the place of what lies at the key: only for a copy known to be bad.
    pub replace: bool,
}

/// What lies at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Its size in bytes.
    pub size: u64,
}

/// The room at a destination, for this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be stored.
    pub free: u64,
    /// All bytes of the medium or quota.
    pub total: u64,
}

/// Which objects are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing<'a> {
    /// All but the backup's own ([`ObjectKey::is_own`]).
    Copies,
    /// Those of the backup's own that lie in its folder itself, not deeper, and whose name begins so.
    Own(&'a str),
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key; it may be a name that no key of ours can have.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A destination. Cheap to hold; [`Sink::connect`] makes the sessions that do the work, one a worker.
pub trait Sink: Send + Sync {
    /// What is written to, for messages: user, host and folder; a bucket.
    fn describe(&self) -> String;

    /// The original's `StorageType` word for it (`ssh`, `swift`, `s3`, `directory`), at most 16 characters: `lastbackupmethod`.
    fn method(&self) -> &'static str;

    /// What was met so far that an administrator should know and no object's own result says, each once.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How much room there is for more; `None` where the destination does not tell. Bounded in time, and nothing is stored.
    ///
    /// # Errors
    /// [`SinkError`], as [`Sink::connect`].
    fn room(&self) -> Result<Option<Room>, SinkError> {
        Ok(None)
    }

    /// For how long copies are to be locked there against being deleted; `None` where they are not. A copy that was
    /// committed has its lock, or has failed.
    fn locks_for(&self) -> Option<Duration> {
        None
    }

    /// Makes the place itself, folder or container, where [`Sink::connect`] has said that it is missing. What it lies in
    /// must be there.
    ///
    /// # Errors
    /// [`SinkError`], when it cannot be made.
    fn make(&self) -> Result<(), SinkError>;

    /// Takes away the place that [`Sink::make`] has just made and that turned out to be a wrong one. What is not empty stays.
    ///
    /// # Errors
    /// [`SinkError`], when it is empty and cannot be removed.
    fn unmake(&self) -> Result<(), SinkError> {
        Ok(())
    }

    /// Opens a session for a run. Bounded in time. The place itself, folder or container, is not made: a name with a
    /// mistake in it, or a disk that is not mounted, would look like an empty one.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Absent`](crate::Cause::Absent) where the place is not there, [`Cause::Untrusted`](crate::Cause::Untrusted) where the host's key is changed or unknown, `Forbidden` where login is refused,
    /// `Unavailable` where the destination cannot be reached or used, `Misconfigured` where the configuration allows nothing that it offers.
    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError>;

    /// Cuts everything off that its sessions wait for, now or later: a run's time is over, and somebody hangs. Called by
    /// another thread than those that wait, once or more often, and never undone.
    ///
    /// - It returns at once: it waits for no network, no disk, and no lock that a waiting session may hold.
    /// - Within a second or two, each call of a session that waits for the destination fails as a whole with
    ///   [`Cause::Unavailable`](crate::Cause::Unavailable); so do later calls, [`Sink::connect`] and the reading of bodies
    ///   that a session has opened. What waits for a payload does not count: the run ends its payloads itself.
    /// - It is as if the connection had broken off: nothing shows at a key that was not proved, what is not finished is
    ///   left for a later run to continue or to sweep. Nothing is tidied up, for that would be waiting again.
    ///
    /// A sink that wraps another one passes it on. What only waits for a local disk has nothing that it could cut.
    fn interrupt(&self) {}
}

/// One session with a destination, used by one thread. In every answer to a batch, the n-th result belongs to the n-th request.
///
/// - After `stage`, nothing shows at any key. After `commit` gave a [`Proved`], exactly the staged bytes are at the key, flushed to stable storage
///   where the server can, and were compared with what was read by evidence that is independent of the bytes sent.
/// - Without `replace`, what lay at a key before is never touched: `commit` fails with [`Cause::Exists`](crate::Cause::Exists).
/// - An object that failed leaves nothing at its key; the others of the batch are not affected.
/// - A method fails as a whole (outer `Err`) only when the session itself is lost: reconnect, and do the batch again.
/// - Requests of one batch travel together: the number of round trips does not grow with the number of objects.
/// - An upload that was cut, for its payload said [`PayloadError::Stopped`] or the session was lost, stays where nobody looks,
///   where the protocol can go on with it and [`CONTINUED_FROM`] bytes of it are there. [`SinkSession::sweep`] spares it for
///   [`CONTINUED_FOR`] and remembers it for all sessions of the sink; whoever stages an object for the same key later goes on
///   with it, and only one does. The payload is read and hashed from its start all the same: only the sending is saved.
///   What lies there is compared with what is read, part by part where the protocol tells digests of parts, else by the proof
///   of the whole at the end; what differs is sent anew. So an object that changed at the source meanwhile is never joined of
///   two halves. A sink need not keep this promise; one that does runs `conformance::continued`.
pub trait SinkSession: Send {
    /// What a [`Measured`] must hold, besides SHA-256, so that this session's evidence can be compared.
    fn algorithms(&self) -> &[Algorithm];

    /// The evidence that this session gives, as demanded and as the server allows.
    fn evidence(&self) -> Evidence;

    /// The evidence that [`SinkSession::measure`] gives: another one where a server's own digest is only what it noted down
    /// when the object came, which says nothing of what lies there now.
    fn measure_evidence(&self) -> Evidence {
        self.evidence()
    }

    /// Where copies lie, by the name that the server has for it: an absolute folder, `bucket/prefix`, a container;
    /// with `/` between folders. `None` where nobody can say.
    fn root(&self) -> Option<String> {
        None
    }

    /// Stores a batch under temporary names, creating folders as needed. Payloads are opened and read here, in order.
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError>;

    /// Bytes that this session did not send because an upload that was cut had them there already.
    fn spared(&self) -> u64 {
        0
    }

    /// Proves each staged object, then lets it show at its key. What cannot be proved is removed.
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError>;

    /// Removes staged objects that will not be committed.
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError>;

    /// What lies at each key. A symbolic link is no copy, but [`Cause::Broken`](crate::Cause::Broken).
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError>;

    /// Size and digests of what lies at each key, by all of `wanted` and SHA-256: observed at the destination, or by reading back.
    /// A missing object fails with [`Cause::Missing`](crate::Cause::Missing).
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError>;

    /// Gives the object at `from` the key `to`, without a transfer. Fails with [`Cause::Exists`](crate::Cause::Exists) where `to` is taken.
    ///
    /// # Errors
    /// [`SinkError`], as above, or when the session is lost.
    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError>;

    /// Says which objects will be opened next, each once, in this order and with the sizes that are on record. Where each one
    /// would cost round trips of its own, small ones may be read together; the memory for them is bounded. Returns for how
    /// many of the first ones that was done: for what comes after them, it may be called again. What cannot be read, and
    /// why, is told when it is opened.
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost.
    fn expect(&mut self, _next: &[(ObjectKey, u64)]) -> Result<usize, SinkError> {
        Ok(0)
    }

    /// Reads an object back.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Missing`](crate::Cause::Missing) where there is none.
    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError>;

    /// Shows what lies at the destination, each object once, in any order, in memory that does not grow with their number.
    /// It ends early where `visit` breaks off. Symbolic links are neither followed nor shown. A folder that cannot be read is
    /// shown as an error, and the rest goes on.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Forbidden`](crate::Cause::Forbidden) where the account may not list, which leaves the session
    /// well; else when the session is lost.
    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError>;

    /// The names of the backup's own objects ([`ObjectKey::own`]) that begin with `prefix`, in any order; none where nothing
    /// was stored yet.
    ///
    /// # Errors
    /// [`SinkError`], as those of [`SinkSession::list`].
    fn list_own(&mut self, prefix: &str) -> Result<Vec<String>, SinkError> {
        let (mut names, mut failure) = (Vec::new(), None);
        self.list(Listing::Own(prefix), &mut |found| match found {
            Ok(found) => {
                names.extend(found.name.rsplit('/').next().map(str::to_owned));
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(names), Err)
    }

    /// Removes one of the backup's own objects ([`ObjectKey::own`]): a probe, an old snapshot. Copies of data files cannot be removed here.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Refused`](crate::Cause::Refused) for any other key.
    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError>;

    /// Sees to it that what lies at each key is locked for at least half of [`Sink::locks_for`], and tells until when it is: a
    /// lock that ends sooner, or is not there, is made as long as that of a new copy. None becomes shorter, or weaker.
    ///
    /// # Errors
    /// [`SinkError`], when the session is lost. Inner: the object is not locked as it should be.
    fn lock(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<SystemTime, SinkError>>, SinkError> {
        let none = |key: &ObjectKey| {
            Err(SinkError::new(crate::Cause::Refused, format!("{key} cannot be locked: this destination has no locks")))
        };
        Ok(keys.iter().map(none).collect())
    }

    /// Tries to delete a locked object of the backup's own with the account that copies; `None` where nothing is to be
    /// locked. Trying again leaves no more behind than trying once.
    ///
    /// # Errors
    /// [`SinkError`], when it could not be tried.
    fn try_lock(&mut self) -> Result<Option<LockTrial>, SinkError> {
        Ok(None)
    }

    /// Removes temporaries of runs that `is_dead` says are over, and tells how many objects went; uploads that were cut and
    /// somebody may go on with are spared, as above. A run that names itself
    /// dead is done: this session must not stage any more.
    ///
    /// # Errors
    /// [`SinkError`], when they cannot be listed or removed.
    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError>;
}
