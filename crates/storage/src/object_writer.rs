//! Giving objects back through the sessions of a sink: what proves copies on their way there proves them on their way back.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use dvb_fixity::{Algorithm, Digest, Hasher, Measured, Proved};
use dvb_model::{ObjectKey, RunId};

use crate::{
    Cause, CommitRequest, Expected, Mender, Payload, PayloadError, Placed, PutError, SinkError, SinkSession,
    StageRequest, Target, Unstaged,
};

/// Bytes that travel from the copy to the session at a time, and how many such are on their way.
const CHUNK: usize = 1 << 18;
const CHUNKS: usize = 4;

/// A session with a store of objects, which can make a second object of one that is there.
pub trait ObjectSession: SinkSession {
    /// Gives the object at `from` a second key, without a transfer.
    ///
    /// # Errors
    /// [`SinkError`]: [`Cause::Exists`] where `to` is taken, [`Cause::Missing`] where nothing is at `from`.
    fn copy(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError>;

    /// Takes away, as well as can be, what sessions made for themselves.
    fn cleanup(&mut self);
}

/// A store of objects, as a sink has it.
pub trait ObjectSink: Send + Sync {
    /// What is written to, for messages.
    fn describe(&self) -> String;

    /// Opens a session.
    ///
    /// # Errors
    /// As [`Sink::connect`](crate::Sink::connect).
    fn session(&self, run: &RunId) -> Result<Box<dyn ObjectSession>, SinkError>;

    /// Cuts off whoever waits for the store, as [`Sink::interrupt`](crate::Sink::interrupt) does.
    fn interrupt(&self) {}
}

/// A bucket or container that objects are given back to.
pub struct ObjectWriter<S> {
    sink: S,
    run: RunId,
    idle: Mutex<Vec<Box<dyn ObjectSession>>>,
    /// Whether there ever was a session: without one, nothing has to be tidied.
    used: Mutex<bool>,
}

impl<S: ObjectSink> ObjectWriter<S> {
    /// Nothing is contacted yet. `run` names what is not whole yet.
    pub fn new(sink: S, run: RunId) -> Self {
        Self { sink, run, idle: Mutex::default(), used: Mutex::new(false) }
    }

    /// Takes away what this writer made for itself and what dead runs left, as
    /// [`StoreWriter::close`](crate::StoreWriter::close) says.
    pub fn close(&self, is_dead: &dyn Fn(&RunId) -> bool) {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut session) = used.then(|| self.take().ok()).flatten() else { return };
        // What cannot be removed is small, and lies in the way of nothing.
        let _ = session.sweep(is_dead);
        session.cleanup();
    }

    /// Cuts off whoever waits for the store, as [`StoreWriter::interrupt`](crate::StoreWriter::interrupt) does.
    pub fn interrupt(&self) {
        self.sink.interrupt();
    }

    fn take(&self) -> Result<Box<dyn ObjectSession>, SinkError> {
        if let Some(session) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(session);
        }
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.sink.session(&self.run)
    }

    /// Works with a session of its own; one that was lost is not kept.
    fn with<T>(&self, work: impl FnOnce(&mut dyn ObjectSession) -> Result<T, PutError>) -> Result<T, PutError> {
        let mut session = self.take()?;
        let done = work(session.as_mut());
        let is_lost = |it: &SinkError| matches!(it.cause, Cause::Transient | Cause::Unavailable | Cause::Untrusted);
        if !matches!(&done, Err(PutError::Target(error)) if is_lost(error)) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
        done
    }
}

impl<S: ObjectSink> Target for ObjectWriter<S> {
    fn describe(&self) -> String {
        self.sink.describe()
    }

    fn put_new(&self, at: &ObjectKey, copy: &mut dyn Read, expected: &Expected) -> Result<Placed, PutError> {
        self.with(|session| put_verified(session, at, copy, expected, false, |_| Ok(())))?;
        Ok(Placed::default())
    }
}

impl<S: ObjectSink> Mender for ObjectWriter<S> {
    fn put_instead(
        &self,
        at: &ObjectKey,
        copy: &mut dyn Read,
        expected: &Expected,
        aside: &ObjectKey,
    ) -> Result<Placed, PutError> {
        self.with(|session| {
            // Before anything is sent: nothing to replace, or a name that is taken, is seen without a transfer.
            let there = session.stat(&[at.clone(), aside.clone()])?;
            let there: Vec<bool> =
                there.into_iter().map(|answer| answer.map(|there| there.is_some())).collect::<Result<_, _>>()?;
            match there.as_slice() {
                [true, false] => {}
                [true, true] => return Err(SinkError::new(Cause::Exists, format!("{aside} is taken")).into()),
                _ => return Err(SinkError::new(Cause::Missing, format!("there is nothing at {at}")).into()),
            }
            put_verified(session, at, copy, expected, true, |session| session.copy(at, aside))
        })?;
        Ok(Placed { note: None, kept: Some(format!("{aside} in {}", self.describe())) })
    }
}

/// Puts bytes that come from elsewhere to a key, if they are what is expected: staged, compared, then committed, with
/// the session's own proof. `before` is called when they are known to be right, and can still keep them from showing.
///
/// # Errors
/// [`PutError`]. Nothing shows at the key that was not there before.
pub fn put_verified<S: SinkSession + ?Sized>(
    session: &mut S,
    at: &ObjectKey,
    copy: &mut dyn Read,
    expected: &Expected,
    replace: bool,
    before: impl FnOnce(&mut S) -> Result<(), SinkError>,
) -> Result<Proved, PutError> {
    let (sender, receiver) = mpsc::sync_channel(CHUNKS);
    let algorithms: Vec<Algorithm> =
        expected.digests.iter().map(Digest::algorithm).chain(session.algorithms().iter().copied()).collect();
    let fed = Fed { size: expected.size, receiver, chunk: Vec::new(), at: 0, hasher: Hasher::new(&algorithms) };
    let request = StageRequest { key: at.clone(), payload: Box::new(fed) };
    let (staged, pumped) = thread::scope(|scope| {
        let staging = scope.spawn(|| session.stage(vec![request]));
        let pumped = pump(copy, expected.size, &sender);
        drop(sender);
        (staging.join(), pumped)
    });
    let staged = match staged {
        Ok(it) => it?.pop(),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    // The copy's own failure explains the session's.
    if let Err(error) = pumped {
        if let Some(Ok(staged)) = staged {
            session.discard(vec![staged])?;
        }
        return Err(PutError::Read(error));
    }
    let unanswered = || SinkError::new(Cause::Io, format!("nothing was said of {at}"));
    let staged = staged.ok_or_else(unanswered)?.map_err(|it| not_put(at, it))?;
    if !expected.describes(&staged.measured) {
        let measured = staged.measured.clone();
        session.discard(vec![staged])?;
        return Err(PutError::Mismatch(measured));
    }
    if let Err(error) = before(session) {
        session.discard(vec![staged])?;
        return Err(error.into());
    }
    let committed = session.commit(vec![CommitRequest { staged, replace }])?.pop();
    committed.ok_or_else(unanswered)?.map_err(|it| not_put(at, it))
}

fn not_put(at: &ObjectKey, why: Unstaged) -> PutError {
    match why {
        Unstaged::Sink(error) => PutError::Target(error),
        Unstaged::Payload(error) => PutError::Read(io::Error::other(error)),
        Unstaged::Verify(mismatch) => {
            SinkError::because(Cause::Io, format!("{at} was stored, but not as it was sent"), mismatch).into()
        }
    }
}

/// Hands the copy over, chunk by chunk; one byte more than expected ends it, as there may be no end.
fn pump(copy: &mut dyn Read, expected: u64, sender: &SyncSender<Chunk>) -> io::Result<()> {
    let mut left = expected.saturating_add(1);
    loop {
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let read = match copy.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other,
        };
        let n = read?;
        chunk.truncate(n);
        left -= n as u64;
        let end = n == 0 || left == 0;
        // Nobody listens where the session has failed: it says so itself.
        if sender.send(chunk).is_err() {
            return Ok(());
        }
        if end {
            // The end is said: a sender that merely goes has failed.
            let _ = sender.send(Vec::new());
            return Ok(());
        }
    }
}

type Chunk = Vec<u8>;

/// What is pumped, as a payload.
struct Fed {
    size: u64,
    receiver: Receiver<Chunk>,
    chunk: Chunk,
    at: usize,
    hasher: Hasher,
}

impl Payload for Fed {
    /// With the one byte too many that may come: what waits in memory has room for it.
    fn size_hint(&self) -> u64 {
        self.size.saturating_add(1)
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if self.at == self.chunk.len() {
            self.chunk = self.receiver.recv().map_err(|_| PayloadError::Stopped)?;
            self.at = 0;
            if self.chunk.is_empty() {
                return Ok(0);
            }
        }
        let n = buffer.len().min(self.chunk.len() - self.at);
        buffer[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}
