//! What a person should hear of although nothing failed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// How many are kept: a report lists no more.
const KEPT: usize = 1000;

/// Each note is kept once.
#[derive(Default)]
pub(crate) struct Notes(Mutex<BTreeSet<String>>);

impl Notes {
    pub(crate) fn add(&self, note: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.insert(note);
        }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
