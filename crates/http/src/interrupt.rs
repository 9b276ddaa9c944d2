//! Ending whatever is waited for.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;

/// Tells the users of a client that their time is over. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Wakes whoever sleeps by it; with an `agent`, each of its connections is shut down, and none is made any more.
    pub fn interrupt(&self, agent: Option<&Agent>) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
        if let Some(agent) = agent {
            agent.clone().shutdown();
        }
    }

    /// Whether that was done: then another try is of no use.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps, but not beyond that.
    pub fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut is_interrupted = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_interrupted {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            is_interrupted = self.0.1.wait_timeout(is_interrupted, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
