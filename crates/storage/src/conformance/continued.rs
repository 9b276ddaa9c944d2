//! What a sink must keep that goes on with uploads which were cut.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dvb_fixity::{Algorithm, Measured};
use dvb_model::{ObjectKey, RunId};

use super::{Broken, Bytes, End, ensure, get, key, lost, shows, some_bytes};
use crate::{CONTINUED_FROM, CommitRequest, Payload, PayloadError, Sink, SinkSession, StageRequest, Staged, Unstaged};

/// Bytes of the objects, and how many of them are read before they are cut off.
const SIZE: usize = (CONTINUED_FROM * 2) as usize + 17;
const CUT: usize = SIZE - (CONTINUED_FROM / 3) as usize;
/// How often an object that is found to be joined of two halves may be stored again.
const TRIES: u32 = 3;

/// Bytes whose number was told by the source, cut off by the end of the run.
struct Cut {
    bytes: Bytes,
    size: u64,
    left: usize,
    read: u64,
    not_sent: Vec<Range<u64>>,
    /// Bytes that were read and not sent, as the sink told.
    free: Arc<AtomicU64>,
}

impl Cut {
    fn new(bytes: &[u8], algorithms: &[Algorithm], left: usize) -> Self {
        let (size, bytes) = (bytes.len() as u64, Bytes::new(bytes.to_vec(), algorithms, End::Whole));
        Self { size, bytes, left, read: 0, not_sent: Vec::new(), free: Arc::default() }
    }
}

impl Payload for Cut {
    fn size_hint(&self) -> u64 {
        self.size
    }

    fn promised(&self) -> Option<u64> {
        Some(self.size)
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        self.bytes.open()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if self.left == 0 {
            return Err(PayloadError::Stopped);
        }
        let room = buffer.len().min(self.left);
        let n = self.bytes.read(&mut buffer[..room])?;
        self.left -= n;
        let end = self.read + n as u64;
        let free = self.not_sent.iter().map(|it| end.min(it.end).saturating_sub(self.read.max(it.start))).sum();
        self.free.fetch_add(free, Ordering::Relaxed);
        self.read = end;
        Ok(n)
    }

    fn not_sent(&mut self, there: Vec<Range<u64>>) {
        self.not_sent = there;
    }

    fn finish(self: Box<Self>) -> Measured {
        Box::new(self.bytes).finish()
    }
}

fn stage(
    session: &mut dyn SinkSession,
    key: &ObjectKey,
    bytes: &[u8],
    cut: usize,
) -> Result<(Result<Staged, Unstaged>, u64), Broken> {
    let payload = Box::new(Cut::new(bytes, session.algorithms(), cut));
    let free = Arc::clone(&payload.free);
    let answer = session.stage(vec![StageRequest { key: key.clone(), payload }]).map_err(lost)?.remove(0);
    Ok((answer, free.load(Ordering::Relaxed)))
}

/// One run is cut while it sends, and another one has found what it left.
fn cut_then_swept(sink: &dyn Sink, key: &ObjectKey, bytes: &[u8], number: u32) -> Result<Box<dyn SinkSession>, Broken> {
    let (cut, next) = (RunId(format!("20000110T00000{number}Z-cut")), RunId(format!("20000111T00000{number}Z-next")));
    let mut session = sink.connect(&cut).map_err(lost)?;
    let (answer, _) = stage(session.as_mut(), key, bytes, CUT)?;
    ensure(
        matches!(answer, Err(Unstaged::Payload(PayloadError::Stopped))),
        "a payload that says that the run is stopped ends its object so",
    )?;
    // As at the end of a run.
    let removed = session.sweep(&|run| *run == cut).map_err(lost)?;
    ensure(removed == 0, "what somebody may go on with is not removed at the end of its run")?;
    drop(session);
    let mut session = sink.connect(&next).map_err(lost)?;
    let removed = session.sweep(&|run| *run == cut).map_err(lost)?;
    ensure(removed == 0, "what somebody may go on with is not swept by the next run")?;
    ensure(shows(session.as_mut(), key)?.is_none(), "nothing shows at the key of an upload that was cut")?;
    Ok(session)
}

/// The promise of [`SinkSession`] on uploads that were cut, for sinks that make it, at a destination that holds nothing
/// below `prefix` yet.
///
/// # Errors
/// The first promise that is broken.
pub fn continued(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    the_rest_is_sent(sink, prefix)?;
    two_halves_are_never_joined(sink, prefix)
}

fn the_rest_is_sent(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    let (at, bytes) = (key(&format!("{prefix}/continued"))?, some_bytes(21, SIZE));
    let mut session = cut_then_swept(sink, &at, &bytes, 1)?;
    let session = session.as_mut();
    let (staged, free) = stage(session, &at, &bytes, usize::MAX)?;
    let staged = staged.map_err(|it| format!("going on failed: {it}"))?;
    ensure(staged.measured.size == SIZE as u64, "all is read, also what is not sent")?;
    let proved = session.commit(vec![CommitRequest { staged, replace: false }]).map_err(lost)?.remove(0);
    proved.map_err(|it| format!("committing what was gone on with failed: {it}"))?;
    ensure(get(session, &at)? == bytes, "an object that was gone on with has its bytes")?;
    let spared = session.spared();
    ensure(
        spared >= CONTINUED_FROM / 2 && spared <= CUT as u64,
        &format!("what was there is not sent again, and that is told: {spared} bytes of {CUT}"),
    )?;
    ensure(
        free == spared,
        &format!("a payload is told which bytes are not sent: {free} bytes where {spared} were spared"),
    )?;
    let removed = session.sweep(&|run| run.0.ends_with("-cut")).map_err(lost)?;
    ensure(removed == 0, "of an upload that was gone on with nothing is left")
}

fn two_halves_are_never_joined(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    let (at, old) = (key(&format!("{prefix}/changed"))?, some_bytes(22, SIZE));
    let mut new = old.clone();
    new[CONTINUED_FROM as usize / 3] ^= 1;
    let mut session = cut_then_swept(sink, &at, &old, 2)?;
    let session = session.as_mut();
    for _ in 0..TRIES {
        let staged = match stage(session, &at, &new, usize::MAX)?.0 {
            Ok(staged) => staged,
            Err(Unstaged::Verify(_)) => continue,
            Err(other) => return Err(format!("an object that changed meanwhile failed with {other}")),
        };
        match session.commit(vec![CommitRequest { staged, replace: false }]).map_err(lost)?.remove(0) {
            Ok(_) => {
                return ensure(get(session, &at)? == new, "an object that changed meanwhile has its new bytes");
            }
            Err(Unstaged::Verify(_)) => {
                ensure(shows(session, &at)?.is_none(), "what is joined of two halves never shows")?;
            }
            Err(other) => return Err(format!("an object that changed meanwhile failed with {other}")),
        }
    }
    Err("an object that changed while it was cut is stored anew after a proof that failed".into())
}
