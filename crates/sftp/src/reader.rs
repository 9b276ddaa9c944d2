//! Reads a large payload on a thread of its own, so that reading and hashing overlap with the cipher.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dvb_fixity::Measured;
use dvb_storage::{Cause, Payload, PayloadError, SourceError};

/// Pieces read ahead: at 255 KiB each, 2 MiB a session.
const AHEAD: usize = 8;

enum Piece {
    Bytes(Vec<u8>),
    End(Measured),
    Failed(PayloadError),
}

/// What came of asking for a piece.
pub(crate) enum Next {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// Nothing is there yet.
    NotYet,
    /// All was read.
    End(Measured),
}

/// A payload that is being read ahead. Dropped early, it waits for the read that is under way.
pub(crate) struct Reader {
    pieces: Option<Receiver<Piece>>,
    used: Sender<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts reading a payload that is open, in pieces of `size` bytes.
    pub(crate) fn start(payload: Box<dyn Payload>, size: usize) -> Self {
        let (full, pieces) = sync_channel(AHEAD);
        let (used, empty) = channel();
        let thread = std::thread::spawn(move || read_all(payload, size, &full, &empty));
        Self { pieces: Some(pieces), used, thread: Some(thread) }
    }

    /// The next piece; waits for it as long as `patience`.
    ///
    /// # Errors
    /// [`PayloadError`], as the payload said.
    pub(crate) fn next(&self, patience: Duration) -> Result<Next, PayloadError> {
        let pieces = self.pieces.as_ref().ok_or_else(died)?;
        let piece = if patience.is_zero() {
            pieces.try_recv().map_err(|it| it == TryRecvError::Empty)
        } else {
            pieces.recv_timeout(patience).map_err(|it| it == RecvTimeoutError::Timeout)
        };
        match piece {
            Ok(Piece::Bytes(bytes)) => Ok(Next::Bytes(bytes)),
            Ok(Piece::End(measured)) => Ok(Next::End(measured)),
            Ok(Piece::Failed(error)) => Err(error),
            Err(true) => Ok(Next::NotYet),
            Err(false) => Err(died()),
        }
    }

    /// Gives a piece's memory back.
    pub(crate) fn reuse(&self, bytes: Vec<u8>) {
        // Where nobody reads any more, it is simply freed.
        let _ = self.used.send(bytes);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn died() -> PayloadError {
    SourceError::new(Cause::Io, "the thread that reads the source ended early").into()
}

fn read_all(mut payload: Box<dyn Payload>, size: usize, full: &SyncSender<Piece>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = empty.try_recv().unwrap_or_default();
        bytes.resize(size, 0);
        let piece = match fill(payload.as_mut(), &mut bytes) {
            Ok(0) => break,
            Ok(n) => {
                bytes.truncate(n);
                Piece::Bytes(bytes)
            }
            Err(error) => {
                let _ = full.send(Piece::Failed(error));
                return;
            }
        };
        if full.send(piece).is_err() {
            return;
        }
    }
    let _ = full.send(Piece::End(payload.finish()));
}

/// Reads until the buffer is full or the payload ends.
///
/// # Errors
/// [`PayloadError`], as the payload said.
pub(crate) fn fill(payload: &mut dyn Payload, buffer: &mut [u8]) -> Result<usize, PayloadError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match payload.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n.min(buffer.len() - filled),
        }
    }
    Ok(filled)
}
