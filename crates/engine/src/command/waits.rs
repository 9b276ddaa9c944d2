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
    /// What may be waited for, by somebody who does not say so.
    used: BTreeMap<u64, Words>,
}

/// One wait, as long as this lives.
pub(crate) struct Wait(Waits, u64);

impl Waits {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is waited for from now on.
    pub(crate) fn begin(&self, what: impl Fn() -> String + Send + 'static) -> Wait {
        self.enter(what, |it| &mut it.waits)
    }

    /// Something is used from now on that may be waited for. It is told only while nothing is known to be waited for.
    pub(crate) fn uses(&self, what: impl Fn() -> String + Send + 'static) -> Wait {
        self.enter(what, |it| &mut it.used)
    }

    fn enter(
        &self,
        what: impl Fn() -> String + Send + 'static,
        of: impl Fn(&mut Known) -> &mut BTreeMap<u64, Words>,
    ) -> Wait {
        let mut known = self.lock();
        known.next += 1;
        let number = known.next;
        of(&mut known).insert(number, Box::new(what));
        Wait(self.clone(), number)
    }

    /// What is waited for now, longest first, each once.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let known = self.lock();
        let told = if known.waits.is_empty() { &known.used } else { &known.waits };
        for words in told.values().map(|it| it()) {
            if !all.contains(&words) {
                all.push(words);
            }
        }
        all
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut known = self.0.lock();
        known.waits.remove(&self.1);
        known.used.remove(&self.1);
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words()).finish()
    }
}
