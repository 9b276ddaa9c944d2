//! A worker's sessions with the destinations that copies are read from.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError, SinkSession};

use super::Shared;
use crate::Ending;
use crate::observer::Event;
use crate::payload::Reading;

/// Waits between attempts to connect.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Whether, and why, a destination was given up for this restore.
#[derive(Default)]
pub(crate) struct Loss(Mutex<Option<(Ending, String)>>);

impl Loss {
    fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.1.clone())
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.0)
    }

    fn set(&self, ending: Ending, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((ending, why));
    }
}

/// Why a copy was not opened.
pub(crate) enum Unread {
    /// The destination cannot be had.
    Lost(String),
    /// The destination is there, this copy cannot be opened.
    Copy(SinkError),
    /// The restore was told to stop.
    Stopped,
}

/// Sessions of one worker, opened when they are first needed.
pub(crate) struct Reach<'a> {
    shared: &'a Shared<'a>,
    sessions: Vec<Option<Box<dyn SinkSession>>>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, sessions: shared.setup.from.iter().map(|_| None).collect() }
    }

    /// Opens a copy at the n-th destination and hands its bytes to `work`.
    pub(crate) fn read<T>(
        &mut self,
        n: usize,
        key: &ObjectKey,
        mut work: impl FnMut(&mut dyn Read) -> T,
    ) -> Result<T, Unread> {
        // A session that was open may have died since: then a new one is tried, once.
        for fresh in [false, true] {
            let mut session = match self.sessions[n].take() {
                Some(it) if !fresh => it,
                _ => self.connect(n)?,
            };
            let done = session.open(key).map(|mut body| {
                let mut watched = Watched { body: body.as_mut(), reading: &self.shared.reading };
                work(&mut watched)
            });
            let failed = match done {
                Ok(done) => {
                    self.sessions[n] = Some(session);
                    return Ok(done);
                }
                Err(error) => error,
            };
            let is_of_session = matches!(failed.cause, Cause::Transient | Cause::Unavailable);
            if !is_of_session {
                self.sessions[n] = Some(session);
                return Err(Unread::Copy(failed));
            }
            if fresh {
                return Err(Unread::Copy(failed));
            }
        }
        Err(Unread::Stopped)
    }

    /// The session with the n-th destination, to be given back with [`Reach::keep`] unless it is lost.
    pub(crate) fn take(&mut self, n: usize) -> Result<Box<dyn SinkSession>, Unread> {
        match self.sessions[n].take() {
            Some(it) => Ok(it),
            None => self.connect(n),
        }
    }

    pub(crate) fn keep(&mut self, n: usize, session: Box<dyn SinkSession>) {
        self.sessions[n] = Some(session);
    }

    /// The next read gets a new session: this one may have lost its bytes.
    pub(crate) fn hang_up(&mut self, n: usize) {
        self.sessions[n] = None;
    }

    fn connect(&self, n: usize) -> Result<Box<dyn SinkSession>, Unread> {
        let (setup, loss) = (self.shared.setup, &self.shared.lost[n]);
        let mut pauses = PAUSES.iter();
        loop {
            if setup.stop.signalled().is_some() {
                return Err(Unread::Stopped);
            }
            if let Some(why) = loss.why() {
                return Err(Unread::Lost(why));
            }
            let error = match setup.from[n].sink.connect(&self.shared.runs[n]) {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.cause == Cause::Transient) else {
                let why = format!("destination {}: {}", setup.from[n].name, error.chain());
                loss.set(Ending::of_cause(error.cause), why.clone());
                return Err(Unread::Lost(why));
            };
            let text = format!("{}; trying again in {} s", error.chain(), pause.as_secs());
            setup.observer.event(&Event::Warning(&text));
            setup.stop.sleep(*pause);
        }
    }

    /// Takes away the folder that a session makes for temporaries: a restore has none there.
    pub(crate) fn end(mut self) {
        for (session, own) in self.sessions.iter_mut().zip(&self.shared.runs) {
            // What is left is empty and lies in the way of nothing.
            let _ = session.as_mut().map(|it| it.sweep(&|run| run == own));
        }
    }
}

/// Counts and limits what passes, until told to stop.
pub(crate) struct Watched<'a> {
    pub(crate) body: &'a mut (dyn Read + Send),
    pub(crate) reading: &'a Reading,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reading.stop.signalled().is_some() {
            return Err(io::Error::other("stopped"));
        }
        let n = self.body.read(buffer)?;
        self.reading.passed(n);
        Ok(n)
    }
}
