//! How long to wait for a server: nothing waits for ever, and no answer has to come in a hurry.
//!
//! Silence ends a session after `idle`. A server that lives has a store of patience, which waiting uses up and each
//! answer fills again, by how much it brought: a slow disk is waited for, a server that answers one byte a second, or
//! that makes up short answers without end, is not. Whoever sends crumbs of packets is found out sooner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::activity::Activity;
use crate::error::Fault;

/// A server that answers keepalives but not the question is given up after this many times the limit of silence.
const PATIENCE: u32 = 10;
/// The least that a digest on the server is expected to go through in a second.
const SLOWEST_DIGEST: u64 = 1024 * 1024;
/// What an answer gives back: an operation may take so long on the average.
const ANSWER: Duration = Duration::from_secs(5);
/// The least rate of data, in bytes a second.
const LEAST: u64 = 1024;
/// So many crumbs show how a server sends.
const CRUMBS: u64 = 10;
/// Bytes for each crumb below which it is a trickle.
const TRICKLE: u64 = 16;

/// Tells every session of a destination to wait no longer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Everything that is waited for fails from now on.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether there is no time left.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The patience with one connection.
pub(crate) struct Pace {
    idle: Duration,
    full: Duration,
    left: Duration,
    interrupt: Interrupt,
    since: Instant,
    seen: (u64, u64),
}

impl Pace {
    /// With a server that may be silent for `idle`.
    pub(crate) fn new(idle: Duration, interrupt: Interrupt) -> Self {
        let full = idle * PATIENCE;
        Self { idle, full, left: full, interrupt, since: Instant::now(), seen: (0, 0) }
    }

    /// How long a server that lives may work on this many bytes.
    pub(crate) fn for_bytes(&self, bytes: u64) -> Duration {
        self.idle * PATIENCE + Duration::from_secs(bytes / SLOWEST_DIGEST)
    }

    /// Whether there is no time left at all.
    pub(crate) fn is_over(&self) -> bool {
        self.interrupt.is_set()
    }

    /// From now on, so much in all.
    pub(crate) fn set(&mut self, limit: Duration) {
        (self.full, self.left) = (limit, limit);
    }

    /// A new task begins.
    pub(crate) fn renew(&mut self) {
        self.left = self.full;
    }

    /// An answer came, which moved so many bytes of a file.
    pub(crate) fn answered(&mut self, bytes: u64) {
        self.earn(ANSWER + Duration::from_millis(bytes * 1000 / LEAST));
    }

    /// Bytes of a file came; of these alone nobody lives who sends them one by one.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.earn(Duration::from_millis(bytes * 1000 / LEAST));
    }

    fn earn(&mut self, more: Duration) {
        self.left = (self.left + more).min(self.full);
    }

    /// Some time was waited.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }

    /// Whether waiting that began then may go on.
    ///
    /// # Errors
    /// [`Fault`], where it may not.
    pub(crate) fn check(&mut self, began: Instant, activity: &Activity) -> Result<(), Fault> {
        if self.interrupt.is_set() {
            return Err(Fault::Interrupted);
        }
        let quiet = activity.last().max(began).elapsed();
        if quiet >= self.idle || began.elapsed() >= self.left {
            return Err(Fault::Silent(self.full.min(quiet.max(began.elapsed())).as_secs()));
        }
        if self.is_trickle(activity.amount()) {
            return Err(Fault::Trickle(self.since.elapsed().as_secs()));
        }
        Ok(())
    }

    fn is_trickle(&mut self, seen: (u64, u64)) -> bool {
        if self.since.elapsed() < self.idle {
            return false;
        }
        let (bytes, crumbs) = (seen.0 - self.seen.0, seen.1 - self.seen.1);
        if bytes < TRICKLE * crumbs {
            return crumbs >= CRUMBS;
        }
        (self.since, self.seen) = (Instant::now(), seen);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fill_what_waiting_used_up_by_what_they_bring() {
        let mut pace = Pace::new(Duration::from_secs(12), Interrupt::default());
        for _ in 0..100 {
            pace.waited(Duration::from_secs(4));
            pace.answered(0);
        }
        assert_eq!(pace.left, Duration::from_secs(120), "an answer every four seconds is fast enough");
        for _ in 0..200 {
            pace.waited(Duration::from_secs(1));
            pace.received(1);
        }
        assert_eq!(pace.left, Duration::ZERO, "a byte a second is not");
        pace.received(1024 * 1024);
        assert_eq!(pace.left, Duration::from_secs(120));
    }

    #[test]
    fn crumbs_are_a_trickle_and_packets_are_not() {
        let mut pace = Pace::new(Duration::ZERO, Interrupt::default());
        assert!(!pace.is_trickle((0, 0)));
        assert!(!pace.is_trickle((500, 9)), "packets with a crumb here and there");
        assert!(!pace.is_trickle((505, 14)), "too few to tell");
        assert!(pace.is_trickle((512, 21)));
    }
}
