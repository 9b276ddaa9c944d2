//! A worker's session with the destination: opened when first needed, opened again when it is lost.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_ledger::Ledger;
use dvb_model::{DestinationName, RunId};
use dvb_storage::{Cause, Sink, SinkError, SinkSession};

use crate::observer::Event;
use crate::{Ending, Observer, Stop};

/// Waits between attempts to connect: half a minute in all.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// Why something at the destination did not come to its end.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The session is gone, what was staged with it. A new one may be had.
    Session(SinkError),
    /// The run cannot go on.
    Run(Ending, String),
    /// The run was told to stop.
    Stopped,
}

/// Which destination, for whom.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) destination: &'a DestinationName,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a Stop,
    pub(crate) run: &'a RunId,
}

/// One worker's session.
pub(crate) struct Connection<'a> {
    at: At<'a>,
    /// Held by the worker that sweeps what dead runs left, until that is done; then `true`.
    swept: &'a Mutex<bool>,
    session: Option<Box<dyn SinkSession>>,
    /// A session was had before: the destination's address, key and login are right.
    was_connected: bool,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(at: At<'a>, swept: &'a Mutex<bool>) -> Self {
        Self { at, swept, session: None, was_connected: false }
    }

    /// Goes on with a session that another connection of the run has left.
    pub(crate) fn going_on(self, session: Option<Box<dyn SinkSession>>) -> Self {
        Self { was_connected: session.is_some(), session, ..self }
    }

    /// Its session, where it has one.
    pub(crate) fn into_session(self) -> Option<Box<dyn SinkSession>> {
        self.session
    }

    /// Does something with the session. Its outer failure ends the session.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut dyn SinkSession) -> Result<T, SinkError>,
    ) -> Result<T, Lost> {
        let mut session = match self.session.take() {
            Some(it) => it,
            None => self.connect()?,
        };
        let done = work(session.as_mut()).map_err(Lost::Session)?;
        self.session = Some(session);
        Ok(done)
    }

    fn connect(&mut self) -> Result<Box<dyn SinkSession>, Lost> {
        let mut pauses = PAUSES.iter();
        loop {
            if self.at.stop.signalled().is_some() {
                return Err(Lost::Stopped);
            }
            let error = match self.at.sink.connect(self.at.run) {
                Ok(mut session) => {
                    self.was_connected = true;
                    self.sweep_dead(session.as_mut());
                    return Ok(session);
                }
                Err(error) => error,
            };
            let may_pass = match error.cause {
                Cause::Transient => true,
                // At the start, an address that answers nothing is more likely wrong than busy.
                Cause::Unavailable => self.was_connected,
                Cause::Missing
                | Cause::Forbidden
                | Cause::Refused
                | Cause::Untrusted
                | Cause::Full
                | Cause::Exists
                | Cause::Broken
                | Cause::Io => false,
            };
            let Some(pause) = pauses.next().filter(|_| may_pass) else {
                let why = format!("destination {}: {}", self.at.destination, error.chain());
                return Err(Lost::Run(Ending::of_cause(error.cause), why));
            };
            let text = format!("{}; trying again in {} s", error.chain(), pause.as_secs());
            self.at.observer.event(&Event::Warning(&text));
            self.at.stop.sleep(*pause);
        }
    }

    /// Once a run: under the lock, whatever other run this ledger knows is over.
    fn sweep_dead(&self, session: &mut dyn SinkSession) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if *swept {
            return;
        }
        let is_dead =
            |run: &RunId| run != self.at.run && self.at.ledger.knows_run(self.at.destination, run).unwrap_or(false);
        if let Err(error) = session.sweep(&is_dead) {
            // What is left lies in the way of nothing; a later run tries again.
            self.at.observer.event(&Event::Warning(&error.chain()));
        }
        *swept = true;
    }

    /// Whether there is a session.
    pub(crate) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// At the end of the run: removes the run's own folder of temporaries, where a session is open.
    pub(crate) fn clean_up(&mut self) {
        if let Some(session) = &mut self.session
            && let Err(error) = session.sweep(&|run| run == self.at.run)
        {
            self.at.observer.event(&Event::Warning(&error.chain()));
        }
    }
}
