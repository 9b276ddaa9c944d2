//! The sessions of a command with one destination that nobody uses just now: to open one takes many round trips.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use dvb_storage::SinkSession;

type Session = Box<dyn SinkSession>;

/// Sessions that wait for whoever connects next.
#[derive(Default)]
pub(crate) struct Sessions {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    left: Vec<Session>,
    /// Sessions that are being opened and will be left here.
    coming: usize,
}

impl Sessions {
    /// With one to begin with.
    pub(crate) fn of(session: Option<Session>) -> Self {
        Self { state: Mutex::new(State { left: session.into_iter().collect(), coming: 0 }), came: Condvar::new() }
    }

    /// One that was left; else the next one that comes, if any does.
    pub(crate) fn take(&self) -> Option<Session> {
        let waits = |state: &mut State| state.left.is_empty() && state.coming > 0;
        self.came.wait_while(self.state(), waits).unwrap_or_else(PoisonError::into_inner).left.pop()
    }

    /// Keeps one for whoever is next. Where somebody left one before, this one is closed: nothing needs two.
    pub(crate) fn leave(&self, session: Session) {
        let mut state = self.state();
        if state.left.is_empty() {
            state.left.push(session);
        }
    }

    /// So many are being opened; each is told of by [`Sessions::come`].
    pub(crate) fn expect(&self, count: usize) {
        self.state().coming += count;
    }

    /// One of those that were expected; `None`: it could not be opened.
    pub(crate) fn come(&self, session: Option<Session>) {
        let mut state = self.state();
        state.coming -= 1;
        state.left.extend(session);
        drop(state);
        self.came.notify_all();
    }

    /// Gives one back beside those that come.
    pub(crate) fn give_back(&self, session: Session) {
        self.state().left.push(session);
        self.came.notify_one();
    }

    /// Waits for those that come, and closes all.
    pub(crate) fn close(&self) {
        let mut state =
            self.came.wait_while(self.state(), |state| state.coming > 0).unwrap_or_else(PoisonError::into_inner);
        state.left.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Sessions").field("left", &state.left.len()).field("coming", &state.coming).finish()
    }
}
