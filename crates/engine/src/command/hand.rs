//! Work that one thread hands to several, a few pieces ahead.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long to wait for a worker, before another look whether there is any.
const PAUSE: Duration = Duration::from_millis(1);

/// The end of the one who has the work. Dropped, it ends it.
pub(crate) struct Giver<T>(SyncSender<T>);

/// The end that all workers share.
pub(crate) struct Taker<T>(Mutex<Receiver<T>>);

pub(crate) fn over<T>(ahead: usize) -> (Giver<T>, Taker<T>) {
    let (sender, receiver) = sync_channel(ahead);
    (Giver(sender), Taker(Mutex::new(receiver)))
}

impl<T> Giver<T> {
    /// Hands a piece over as soon as there is room; `false` where nobody is left to take it.
    pub(crate) fn give(&self, mut piece: T, is_anybody_there: &dyn Fn() -> bool) -> bool {
        loop {
            match self.0.try_send(piece) {
                Ok(()) => return true,
                Err(TrySendError::Full(it)) if is_anybody_there() => piece = it,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
            thread::sleep(PAUSE);
        }
    }
}

impl<T> Taker<T> {
    /// The next piece; `None` when there is no more.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }
}
