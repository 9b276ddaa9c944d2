//! When to end early: a signal, a time budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// Set by a signal handler, watched by every worker. Clones are one and the same.
#[derive(Debug, Default, Clone)]
pub struct Stop(Arc<AtomicI32>);

impl Stop {
    /// Not stopped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run as soon as it can, within seconds. `signal` is a number above 0.
    pub fn signal(&self, signal: i32) {
        self.0.store(signal, Ordering::SeqCst);
    }

    /// The signal, if there was one.
    #[must_use]
    pub fn signalled(&self) -> Option<i32> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Sleeps, but no longer than until a signal.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.signalled().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())));
        }
    }
}
