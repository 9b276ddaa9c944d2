//! Reads a large payload on a thread of its own, so that reading and hashing overlap with sending.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use dvb_fixity::{Hasher, Measured};

use crate::{Cause, Payload, PayloadError, SourceError};

/// Pieces read ahead: at 255 KiB each, 2 MiB a session.
const AHEAD: usize = 8;
/// How long one wait for a piece is; then it is waited for again.
const PATIENCE: Duration = Duration::from_secs(1);

enum Piece {
    Bytes(Vec<u8>),
    End(Measured),
    Failed(PayloadError),
}

/// What came of asking for a piece.
#[derive(Debug)]
pub enum Next {
    /// The bytes that come next; their memory goes back by [`ReadAhead::reuse`].
    Bytes(Vec<u8>),
    /// Nothing is there yet.
    NotYet,
    /// All was read: its size and digests.
    End(Measured),
}

/// A payload that is being read ahead. Dropped early, it waits for the read that is under way.
pub struct ReadAhead {
    pieces: Option<Receiver<Piece>>,
    used: Sender<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Starts reading a payload that was opened, in pieces of `size` bytes.
    #[must_use]
    pub fn start(payload: Box<dyn Payload>, size: usize) -> Self {
        let (full, pieces) = sync_channel(AHEAD);
        let (used, empty) = channel();
        let thread = std::thread::spawn(move || read_all(payload, size, &full, &empty));
        Self { pieces: Some(pieces), used, thread: Some(thread) }
    }

    /// The next piece; waits for it as long as `patience`.
    ///
    /// # Errors
    /// [`PayloadError`], as the payload said.
    pub fn next(&self, patience: Duration) -> Result<Next, PayloadError> {
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
    pub fn reuse(&self, bytes: Vec<u8>) {
        // Where nobody reads any more, it is simply freed.
        let _ = self.used.send(bytes);
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A payload that is read ahead, as a payload.
struct Ahead {
    hint: u64,
    promised: Option<u64>,
    reader: ReadAhead,
    piece: Vec<u8>,
    at: usize,
    end: Option<Measured>,
}

/// Reads a payload that was opened on a thread of its own, for whoever sends it as it comes; pieces of `size` bytes.
#[must_use]
pub fn read_ahead(payload: Box<dyn Payload>, size: usize) -> Box<dyn Payload> {
    let (hint, promised) = (payload.size_hint(), payload.promised());
    Box::new(Ahead { hint, promised, reader: ReadAhead::start(payload, size), piece: Vec::new(), at: 0, end: None })
}

impl Payload for Ahead {
    fn size_hint(&self) -> u64 {
        self.hint
    }

    fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// It is open already.
    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        while self.at == self.piece.len() && self.end.is_none() {
            match self.reader.next(PATIENCE)? {
                Next::Bytes(bytes) => {
                    self.reader.reuse(std::mem::replace(&mut self.piece, bytes));
                    self.at = 0;
                }
                Next::End(measured) => self.end = Some(measured),
                Next::NotYet => {}
            }
        }
        let n = buffer.len().min(self.piece.len() - self.at);
        buffer[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        // Without the end, nothing was measured: what nobody sent has the digests of no bytes, and proves no copy.
        self.end.unwrap_or_else(|| Hasher::new(&[]).finish())
    }
}

fn died() -> PayloadError {
    SourceError::new(Cause::Io, "the thread that reads the source ended early").into()
}

fn read_all(mut payload: Box<dyn Payload>, size: usize, full: &SyncSender<Piece>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = empty.try_recv().unwrap_or_default();
        bytes.resize(size, 0);
        let n = match fill(payload.as_mut(), &mut bytes) {
            Ok(n) => n,
            Err(error) => {
                let _ = full.send(Piece::Failed(error));
                return;
            }
        };
        bytes.truncate(n);
        if n > 0 && full.send(Piece::Bytes(bytes)).is_err() {
            return;
        }
        // A piece that was not filled is the last one; a payload is not asked again after its end.
        if n < size {
            break;
        }
    }
    let _ = full.send(Piece::End(payload.finish()));
}

/// Reads until the buffer is full or the payload ends.
///
/// # Errors
/// [`PayloadError`], as the payload said.
pub fn fill(payload: &mut dyn Payload, buffer: &mut [u8]) -> Result<usize, PayloadError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match payload.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n.min(buffer.len() - filled),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dvb_fixity::Algorithm;

    use super::*;
    use crate::conformance::{Bytes, End, some_bytes};

    fn ahead(bytes: &[u8], end: End) -> Box<dyn Payload> {
        let mut payload = Box::new(Bytes::new(bytes.to_vec(), &[Algorithm::Md5], end));
        payload.open().unwrap();
        read_ahead(payload, 1000)
    }

    #[test]
    fn what_is_read_ahead_is_what_the_payload_gives() {
        for size in [0, 1, 999, 1000, 1001, 30_000] {
            let bytes = some_bytes(3, size);
            let mut payload = ahead(&bytes, End::Whole);
            let (mut found, mut buffer) = (Vec::new(), [0_u8; 77]);
            loop {
                match payload.read(&mut buffer).unwrap() {
                    0 => break,
                    n => found.extend_from_slice(&buffer[..n]),
                }
            }
            assert_eq!(payload.read(&mut buffer).unwrap(), 0);
            assert!(found == bytes, "{size} bytes");
            assert_eq!(payload.finish(), Measured::of(&bytes, &[Algorithm::Md5]), "{size} bytes");
        }
    }

    /// Says once that it has ended, and does not want to be asked again.
    struct Once(Bytes, bool);

    impl Payload for Once {
        fn size_hint(&self) -> u64 {
            self.0.size_hint()
        }

        fn open(&mut self) -> Result<(), PayloadError> {
            self.0.open()
        }

        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
            if self.1 {
                return Err(PayloadError::Stopped);
            }
            let n = self.0.read(buffer)?;
            self.1 = n == 0;
            Ok(n)
        }

        fn finish(self: Box<Self>) -> Measured {
            Box::new(self.0).finish()
        }
    }

    #[test]
    fn a_payload_is_not_asked_after_its_end() {
        let mut payload = Box::new(Once(Bytes::new(some_bytes(3, 1500), &[], End::Whole), false));
        payload.open().unwrap();
        let mut payload = read_ahead(payload, 1000);
        let read = (0..).map(|_| payload.read(&mut [0; 400]).unwrap()).take_while(|it| *it > 0).sum::<usize>();
        assert_eq!(read, 1500);
    }

    #[test]
    fn an_error_of_the_payload_comes_after_its_bytes() {
        let mut payload = ahead(&some_bytes(3, 2500), End::ReadError);
        let mut buffer = [0; 500];
        let read = (0..).map_while(|_| payload.read(&mut buffer).ok()).sum::<usize>();
        assert_eq!(read, 2000, "whole pieces");
        assert!(matches!(payload.read(&mut buffer), Err(PayloadError::Source(_))));
    }

    #[test]
    fn what_was_not_read_to_its_end_proves_nothing() {
        let bytes = some_bytes(3, 2500);
        let mut payload = ahead(&bytes, End::Whole);
        let n = payload.read(&mut [0; 500]).unwrap();
        assert_ne!(payload.finish(), Measured::of(&bytes[..n], &[Algorithm::Md5]));
    }
}
