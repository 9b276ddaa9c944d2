//! What a person should hear of although nothing failed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Each note is kept once.
#[derive(Default)]
pub(crate) struct Notes(Mutex<BTreeSet<String>>);

impl Notes {
    pub(crate) fn add(&self, note: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(note);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
