//! Which files of a batch are opened, and when: many ahead where the server lets them, few where it does not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::Client;

/// How often a batch tries again what was refused while nobody of ours was seen to have a file open.
const TRIES: u32 = 4;
/// The same where the server is known to allow few: another session was quicker.
const TRIES_AMONG_FEW: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// The files of a batch by their numbers, from waiting to be opened to closed.
pub(crate) struct Opening {
    waiting: VecDeque<usize>,
    /// Opened, or being opened, and not at their end, in the order in which they are worked on.
    line: VecDeque<usize>,
    /// Files of which the server may hold a handle.
    open: usize,
    refused: Vec<bool>,
    tries: u32,
    not_before: Option<Instant>,
}

impl Opening {
    /// So many, none of them open.
    pub(crate) fn of(count: usize) -> Self {
        Self {
            waiting: (0..count).collect(),
            line: VecDeque::new(),
            open: 0,
            refused: vec![false; count],
            tries: 0,
            not_before: None,
        }
    }

    /// What is refused while nobody of ours was seen to have a file open is not tried again.
    pub(crate) fn impatient(&mut self) {
        self.tries = TRIES_AMONG_FEW;
    }

    /// The next one to be opened, if it is time.
    pub(crate) fn next(&self, client: &Client) -> Option<usize> {
        let may = self.line.len() < client.open_ahead()
            // A handle is given back only when the server says so, which matters where there are few of them.
            && !client.is_crowded(self.open)
            && self.not_before.is_none_or(|it| Instant::now() >= it);
        self.waiting.front().copied().filter(|_| may)
    }

    /// Whether nothing is under way before it.
    pub(crate) fn is_idle(&self) -> bool {
        self.line.is_empty()
    }

    /// The request to open it is on its way.
    pub(crate) fn asked(&mut self, n: usize) {
        // It is the first, as `next` gave it.
        if self.waiting.front() == Some(&n) {
            self.waiting.pop_front();
        }
        self.line.push_back(n);
        self.open += 1;
    }

    pub(crate) fn opened(&self, n: usize, client: &mut Client) {
        client.took_handle(self.refused[n]);
    }

    pub(crate) fn closed(&mut self, client: &mut Client) {
        self.open -= 1;
        client.gave_handle();
    }

    /// It was not opened, and will not be.
    pub(crate) fn given_up(&mut self) {
        self.open -= 1;
    }

    /// It was not opened; it may be tried again in another way.
    pub(crate) fn missed(&mut self, n: usize) {
        self.open -= 1;
        self.line.retain(|it| *it != n);
        self.waiting.push_front(n);
    }

    /// It was refused. Whether it is tried again when fewer files are open.
    pub(crate) fn refused(&mut self, n: usize, client: &Client) -> bool {
        let crowded = client.may_be_crowded();
        let most = if client.allows_few() { TRIES_AMONG_FEW } else { TRIES };
        if !crowded && self.tries >= most {
            self.given_up();
            return false;
        }
        if !crowded {
            self.tries += 1;
            self.not_before = Some(Instant::now() + PAUSE * self.tries.min(4));
        }
        self.refused[n] = true;
        self.missed(n);
        true
    }

    /// The one to be worked on; `None` where none is open.
    pub(crate) fn front(&self) -> Option<usize> {
        self.line.front().copied()
    }

    /// Nothing more is sent for it, but to close it.
    pub(crate) fn leave(&mut self, n: usize) {
        self.line.retain(|it| *it != n);
    }

    /// Whether none waits to be opened.
    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }
}
