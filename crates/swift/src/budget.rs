//! How much may wait in memory, in all sessions together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are still free.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU64);

/// A share of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(bytes)))
    }

    /// `None` where it does not fit any more.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        taken.ok().map(|_| Share { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back() {
        let budget = Budget::new(10);
        let share = budget.take(7);
        assert!(share.is_some() && budget.take(4).is_none() && budget.take(3).is_some());
        drop(share);
        assert!(budget.take(10).is_some());
    }
}
