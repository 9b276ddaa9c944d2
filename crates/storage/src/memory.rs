//! Memory that all sessions of a destination share, so that it does not grow with their number.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of bytes that may be in use at one time.
pub struct MemoryBudget {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    used: u64,
    /// Who waits is served in turn: a large part must not starve behind small ones.
    next_ticket: u64,
    serving: u64,
    /// Buffers to be used again: fresh ones cost a page fault every 4 KiB.
    spare: Vec<Vec<u8>>,
}

/// Some bytes of the budget, given back on drop.
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
    /// Whether the buffer came from the budget, and goes back there.
    is_lent: bool,
    /// What is held in them; empty at first.
    pub buffer: Vec<u8>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes, for all that share it.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits until that much is free, and lends a buffer for it. More than the whole budget is let in when nothing else
    /// is.
    #[must_use]
    pub fn wait(self: &Arc<Self>, bytes: u64) -> Reservation {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.serving != ticket || (state.used > 0 && state.used + bytes > self.limit) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        state.used += bytes;
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        let fitting = state.spare.iter().position(|buffer| buffer.capacity() == wanted);
        let buffer = fitting.map(|at| state.spare.swap_remove(at));
        if buffer.is_none() {
            // Buffers of another size would be memory beyond the budget.
            state.spare.clear();
        }
        drop(state);
        self.changed.notify_all();
        let buffer = buffer.unwrap_or_else(|| Vec::with_capacity(wanted));
        Reservation { budget: Arc::clone(self), bytes, is_lent: true, buffer }
    }

    /// Takes that much, if it is free now, without a buffer. No bytes are always free.
    #[must_use]
    pub fn try_reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 && state.used + bytes > self.limit {
            return None;
        }
        state.used += bytes;
        drop(state);
        Some(Reservation { budget: Arc::clone(self), bytes, is_lent: false, buffer: Vec::new() })
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let is_whole = buffer.capacity() as u64 == self.bytes && (1 << 20..=self.budget.limit).contains(&self.bytes);
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used -= self.bytes;
        if self.is_lent && is_whole {
            state.spare.push(buffer);
        }
        drop(state);
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_let_in_than_there_is_room() {
        let budget = MemoryBudget::new(10);
        let first = budget.try_reserve(6);
        assert!(first.is_some() && budget.try_reserve(5).is_none() && budget.try_reserve(0).is_some());
        drop(first);
        let large = budget.wait(1000);
        assert!(budget.try_reserve(1).is_none());
        let waits = std::thread::spawn({
            let budget = Arc::clone(&budget);
            move || drop(budget.wait(3))
        });
        drop(large);
        assert!(waits.join().is_ok() && budget.try_reserve(10).is_some());
    }
}
