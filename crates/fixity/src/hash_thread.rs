//! A thread that hashes a copy of the bytes as they come.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::hasher::Others;

/// Bytes that change hands at once: few enough to stay in the processor's cache, enough to be worth waking somebody.
const PIECE: usize = 256 * 1024;
/// Pieces on their way, at most.
const AHEAD: usize = 4;

/// Algorithms on a thread of their own.
pub(crate) struct HashThread {
    piece: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Box<Others>>,
}

impl HashThread {
    /// Goes on with algorithms that have taken some bytes already; gives them back where no thread is to be had.
    pub(crate) fn start(others: Box<Others>) -> Result<Self, Box<Others>> {
        let (hand_over, begin) = channel();
        let (full, pieces) = sync_channel(AHEAD);
        let (used, empty) = channel();
        match Builder::new().name("hash".into()).spawn(move || hash(&begin, &pieces, &used)) {
            Ok(thread) => {
                // It waits for this first, so it is there.
                let _ = hand_over.send(others);
                Ok(Self { piece: Vec::with_capacity(PIECE), full, empty, thread })
            }
            Err(_) => Err(others),
        }
    }

    /// Takes the next bytes of the stream; waits while the thread is far behind.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == PIECE {
                let mut next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
                next.clear();
                // It only fails where the thread panicked, which `finish` passes on.
                let _ = self.full.send(std::mem::replace(&mut self.piece, next));
            }
        }
    }

    /// The algorithms, when all was taken.
    pub(crate) fn finish(self) -> Box<Others> {
        let Self { piece, full, thread, .. } = self;
        let _ = full.send(piece);
        drop(full);
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What dropping it does, for a test that waits for the thread.
    #[cfg(test)]
    pub(crate) fn abandon(self) -> JoinHandle<Box<Others>> {
        self.thread
    }
}

fn hash(begin: &Receiver<Box<Others>>, pieces: &Receiver<Vec<u8>>, used: &Sender<Vec<u8>>) -> Box<Others> {
    // Without a beginning nobody waits for the end either.
    let mut others = begin.recv().unwrap_or_default();
    for piece in pieces {
        others.update(&piece);
        // Where nobody sends any more, it is simply freed.
        let _ = used.send(piece);
    }
    others
}
