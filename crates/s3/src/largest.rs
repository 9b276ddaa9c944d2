//! How much a service takes at once: less than S3 says, as it is found out.

use std::sync::atomic::{AtomicU64, Ordering};

/// S3 takes no smaller part but the last ("Amazon S3 multipart upload limits").
const SMALLEST_PART: u64 = 5 << 20;

/// The largest bodies that were not refused yet.
pub(crate) struct Largest {
    put: AtomicU64,
    part: AtomicU64,
}

impl Largest {
    pub(crate) fn new() -> Self {
        Self { put: AtomicU64::new(u64::MAX), part: AtomicU64::new(u64::MAX) }
    }

    /// Of an object in one PUT.
    pub(crate) fn put(&self) -> u64 {
        self.put.load(Ordering::Relaxed)
    }

    pub(crate) fn part(&self) -> u64 {
        self.part.load(Ordering::Relaxed)
    }

    /// An object of so many bytes is too large for one PUT: it has to come in parts.
    pub(crate) fn refuse_put(&self, size: u64) {
        self.put.fetch_min(size.saturating_sub(1), Ordering::Relaxed);
    }

    /// A part of so many bytes is too large; whether smaller ones may do.
    pub(crate) fn refuse_part(&self, size: u64) -> bool {
        if size <= SMALLEST_PART {
            return false;
        }
        // Half of it; the second time as little as there can be: each attempt is a transfer.
        let was_tried = self.part() < u64::MAX && self.part() >= size;
        let smaller = if was_tried { SMALLEST_PART } else { (size / 2).max(SMALLEST_PART) };
        self.part.fetch_min(smaller, Ordering::Relaxed);
        self.refuse_put(size);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_attempts_are_enough_for_the_smallest_parts() {
        let mib = 1 << 20;
        let largest = Largest::new();
        assert!(largest.refuse_part(64 * mib));
        // Others were on their way.
        assert!(largest.refuse_part(64 * mib));
        assert_eq!(largest.part(), 32 * mib);
        assert!(largest.refuse_part(32 * mib));
        assert_eq!(largest.part(), 5 * mib);
        assert!(!largest.refuse_part(5 * mib));
        assert_eq!(largest.put(), 32 * mib - 1);
    }
}
