//! What is being waited for, so that whoever ends a command which hangs can say why.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tells what is waited for.
type Words = Box<dyn Fn() -> String + Send>;

/// All waits of a command. Clones are one and the same.
#[derive(Default, Clone)]
pub(crate) struct Waits(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    next: u64,
    waits: BTreeMap<u64, Words>,
}

/// One wait, as long as this lives.
pub(crate) struct Wait(Waits, u64);

impl Waits {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is waited for from now on.
    pub(crate) fn begin(&self, what: impl Fn() -> String + Send + 'static) -> Wait {
        let mut known = self.lock();
        known.next += 1;
        let number = known.next;
        known.waits.insert(number, Box::new(what));
        Wait(self.clone(), number)
    }

    /// What is waited for now, longest first, each once.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for words in self.lock().waits.values().map(|it| it()) {
            if !all.contains(&words) {
                all.push(words);
            }
        }
        all
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let _ = self.0.lock().waits.remove(&self.1);
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words()).finish()
    }
}
