//! Memory that all sessions of a destination share, so that it does not grow with their number.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of bytes that may be in use at one time.
pub(crate) struct Budget {
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

/// Some bytes of the budget, given back on drop, with a buffer for them.
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: u64,
    /// Empty at first.
    pub(crate) buffer: Vec<u8>,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits until that much is free. More than the whole budget is let in when nothing else is.
    pub(crate) fn wait(self: &Arc<Self>, bytes: u64) -> Room {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.serving != ticket || (state.used > 0 && state.used + bytes > self.limit) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        state.used += bytes;
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        let fitting = state.spare.iter().position(|it| it.capacity() == wanted);
        let buffer = fitting.map(|it| state.spare.swap_remove(it));
        if buffer.is_none() {
            // Buffers of another size would be memory beyond the budget.
            state.spare.clear();
        }
        drop(state);
        self.changed.notify_all();
        Room { budget: Arc::clone(self), bytes, buffer: buffer.unwrap_or_else(|| Vec::with_capacity(wanted)) }
    }

    /// Takes that much if it is free now. No bytes are always free.
    pub(crate) fn take(self: &Arc<Self>, buffer: Vec<u8>) -> Result<Room, Vec<u8>> {
        let bytes = buffer.len() as u64;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > 0 && state.used + bytes > self.limit {
            return Err(buffer);
        }
        state.used += bytes;
        drop(state);
        Ok(Room { budget: Arc::clone(self), bytes, buffer })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used -= self.bytes;
        if buffer.capacity() as u64 == self.bytes && self.bytes <= self.budget.limit && self.bytes >= 1 << 20 {
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
        let budget = Budget::new(10);
        let first = budget.take(vec![0; 6]);
        assert!(first.is_ok() && budget.take(vec![0; 5]).is_err() && budget.take(Vec::new()).is_ok());
        drop(first);
        let large = budget.wait(1000);
        assert!(budget.take(vec![0; 1]).is_err());
        let waits = std::thread::spawn({
            let budget = Arc::clone(&budget);
            move || drop(budget.wait(3))
        });
        drop(large);
        assert!(waits.join().is_ok());
    }
}
