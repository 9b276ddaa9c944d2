//! Locks that a destination keeps on what is stored there, so that nobody deletes it before their time.

use std::time::SystemTime;

/// What was seen when a locked object was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockTrial {
    /// It could not be.
    Holds {
        /// Until when the object that was tried is locked; nothing else has so short a lock.
        until: SystemTime,
        /// The account can delete what has no lock: so it was the lock. One that can delete nothing proves nothing of it.
        may_delete: bool,
    },
    /// It was deleted, or had no lock although one was asked for: why, and what to do.
    Fails(String),
}
