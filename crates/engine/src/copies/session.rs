//! A worker's session with the destination: opened when first needed, opened again when it is lost. Every command goes by
//! this one policy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DestinationName, RunId};
use dvb_storage::{Cause, Sink, SinkError, SinkSession};

use crate::command::cancel::CancelToken;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::command::waits::Wait;
use crate::copies::sessions::Sessions;
use crate::copies::spelling;

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
pub(crate) enum Interrupted {
    /// The session is gone, what was staged with it. A new one may be had.
    Session(SinkError),
    /// The destination was given up: nothing more of this command goes there.
    Run(ExitStatus, String),
    /// The run was told to stop.
    Stopped,
}

impl From<LedgerError> for Interrupted {
    fn from(error: LedgerError) -> Self {
        let ending = ExitStatus::from(&error);
        Self::Run(ending, dvb_storage::chain(&error))
    }
}

/// Which destination, for whom.
#[derive(Clone, Copy)]
pub(crate) struct DestinationContext<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) destination: &'a DestinationName,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a CancelToken,
    pub(crate) run: &'a RunId,
}

/// What all sessions of a command with one destination share.
#[derive(Debug)]
pub(crate) struct Contact {
    /// How many sessions were opened so far, where nothing is stored and others may be at work.
    readers: Option<AtomicU64>,
    /// Those that are open and that nobody uses just now.
    left: Sessions,
    /// Held by the worker that sweeps what dead runs left, until that is done; then `true`.
    swept: Mutex<bool>,
    /// A session was had before: the destination's address, key and login are right.
    was_connected: AtomicBool,
    /// How the command ends therefore, and why the destination was given up.
    given_up: Mutex<Option<(ExitStatus, String)>>,
}

impl Contact {
    /// For a command that holds the destination's lock: the first session sweeps what dead runs left.
    pub(crate) fn under_lock() -> Self {
        Self { readers: None, swept: Mutex::new(false), ..Self::without_lock() }
    }

    /// For a command that only reads: others may be at work there.
    pub(crate) fn without_lock() -> Self {
        Self {
            readers: Some(AtomicU64::new(0)),
            left: Sessions::default(),
            swept: Mutex::new(true),
            was_connected: AtomicBool::new(false),
            given_up: Mutex::default(),
        }
    }

    /// The name of the next session that only reads: each has a folder for temporaries of its own, so that none takes away
    /// what another one has just made.
    fn reader(&self, run: &RunId) -> Option<RunId> {
        let number = self.readers.as_ref()?.fetch_add(1, Ordering::Relaxed);
        Some(RunId(format!("{run}-{number}")))
    }

    /// How the command ends, where the destination was given up.
    pub(crate) fn ending(&self) -> Option<ExitStatus> {
        self.given_up().as_ref().map(|it| it.0)
    }

    /// It is not the place that it should be: nobody goes there.
    pub(crate) fn give_up(&self, ending: ExitStatus, why: String) {
        self.given_up().get_or_insert((ending, why));
    }

    /// The destination was made: what was given up is there now.
    pub(crate) fn is_made(&self) {
        *self.given_up() = None;
    }

    fn given_up(&self) -> MutexGuard<'_, Option<(ExitStatus, String)>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Connection<'a> {
    at: DestinationContext<'a>,
    contact: &'a Contact,
    session: Option<Box<dyn SinkSession>>,
    /// The session's folder for temporaries was taken away: it only reads from then on.
    is_swept: bool,
    /// The place itself, folder or container, was not there.
    absent: Option<SinkError>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(at: DestinationContext<'a>, contact: &'a Contact) -> Self {
        Self { at, contact, session: None, is_swept: false, absent: None }
    }

    /// Goes on with a session that another connection of the run has left.
    pub(crate) fn going_on(self, session: Option<Box<dyn SinkSession>>) -> Self {
        Self { session, ..self }
    }

    /// What was said when the place itself, folder or container, turned out not to be there.
    pub(crate) fn take_absent(&mut self) -> Option<SinkError> {
        self.absent.take()
    }

    /// Its session, where it has one; it stays with it.
    pub(crate) fn session(&mut self) -> Option<&mut dyn SinkSession> {
        Some(self.session.as_mut()?.as_mut())
    }

    /// Its session, where it has one.
    pub(crate) fn into_session(self) -> Option<Box<dyn SinkSession>> {
        self.session
    }

    /// Does something with the session. Its outer failure ends the session.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut dyn SinkSession) -> Result<T, SinkError>,
    ) -> Result<T, Interrupted> {
        let mut session = self.take()?;
        let wait = self.waits();
        let done = work(session.as_mut()).map_err(|error| {
            tracing::debug!(destination = self.at.destination.0, error = error.chain(), "the session is lost");
            Interrupted::Session(error)
        })?;
        drop(wait);
        self.keep(session);
        Ok(done)
    }

    fn waits(&self) -> Wait {
        let destination = self.at.destination.clone();
        self.at.stop.waits(move || format!("destination {destination}"))
    }

    /// The session, to be given back with [`Connection::keep`] unless it is lost.
    pub(crate) fn take(&mut self) -> Result<Box<dyn SinkSession>, Interrupted> {
        match self.session.take() {
            Some(it) => Ok(it),
            None => self.connect(),
        }
    }

    pub(crate) fn keep(&mut self, session: Box<dyn SinkSession>) {
        self.session = Some(session);
    }

    /// Ends, and leaves the session to the next connection, which only reads: to open one takes many round trips.
    pub(crate) fn leave_for_reading(mut self) {
        self.clean_up();
        if let Some(session) = self.session {
            self.contact.left.leave(session);
        }
    }

    /// What comes next gets a new session.
    pub(crate) fn hang_up(&mut self) {
        tracing::debug!(destination = self.at.destination.0, "the session is closed");
        self.session = None;
    }

    fn connect(&mut self) -> Result<Box<dyn SinkSession>, Interrupted> {
        let mut pauses = PAUSES.iter();
        loop {
            if !self.at.stop.may_go_on() {
                return Err(Interrupted::Stopped);
            }
            if let Some((ending, why)) = self.contact.given_up().clone() {
                return Err(Interrupted::Run(ending, why));
            }
            if let Some(session) = self.contact.left.take() {
                self.is_swept = true;
                return Ok(session);
            }
            // One that only reads is swept when it is opened.
            self.is_swept = self.contact.readers.is_some();
            let error = match self.open() {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let was_connected = self.contact.was_connected.load(Ordering::Relaxed);
            if was_connected && self.at.stop.must_cut() {
                return Err(Interrupted::Stopped);
            }
            let may_pass = match error.cause {
                Cause::Transient => true,
                // At the start, an address that answers nothing is more likely wrong than busy.
                Cause::Unavailable => was_connected,
                Cause::Missing
                | Cause::Misconfigured
                | Cause::Absent
                | Cause::Forbidden
                | Cause::Refused
                | Cause::Untrusted
                | Cause::Full
                | Cause::Exists
                | Cause::Broken
                | Cause::Unnameable
                | Cause::Io => false,
            };
            let Some(pause) = pauses.next().filter(|_| may_pass) else {
                let why = format!("destination {}: {}", self.at.destination, error.chain());
                let ending = self.ending_of(&error);
                self.contact.given_up().get_or_insert_with(|| (ending, why.clone()));
                self.absent = Some(error).filter(|it| it.cause == Cause::Absent);
                return Err(Interrupted::Run(ending, why));
            };
            let text = format!("{}; trying again in {} s", error.chain(), pause.as_secs());
            self.at.observer.event(&Event::Warning(&text));
            tracing::debug!(
                destination = self.at.destination.0,
                pause_s = pause.as_secs(),
                "wait before another attempt"
            );
            self.at.stop.sleep(*pause);
        }
    }

    /// A place that held copies before is not there now: the configuration is right, and what is missing may come back.
    fn ending_of(&self, error: &SinkError) -> ExitStatus {
        if error.cause != Cause::Absent {
            return ExitStatus::of_cause(error.cause);
        }
        match self.at.ledger.oldest_proof(self.at.destination) {
            Ok(Some(_)) => ExitStatus::Unreachable,
            Ok(None) => ExitStatus::of_cause(error.cause),
            Err(error) => ExitStatus::from(&error),
        }
    }

    fn open(&self) -> Result<Box<dyn SinkSession>, SinkError> {
        let reader = self.contact.reader(self.at.run);
        let wait = self.waits();
        let began = Instant::now();
        let connected = self.at.sink.connect(reader.as_ref().unwrap_or(self.at.run));
        drop(wait);
        let (destination, ms) = (&self.at.destination.0, began.elapsed().as_millis());
        match &connected {
            Ok(_) => tracing::debug!(destination, method = self.at.sink.method(), ms, "connect to the destination"),
            Err(error) => tracing::debug!(destination, ms, error = error.chain(), "connect to the destination"),
        }
        let mut session = connected?;
        self.contact.was_connected.store(true, Ordering::Relaxed);
        match reader {
            // The folder for temporaries that a session may make is left by nobody who dies. Where it cannot be removed, it
            // is empty and lies in the way of nothing.
            Some(own) => drop(session.sweep(&|run| spelling::is_run(run, &own))),
            None => self.sweep_dead(session.as_mut()),
        }
        Ok(session)
    }

    /// Once a run: under the lock, whatever other run this ledger knows is over.
    fn sweep_dead(&self, session: &mut dyn SinkSession) {
        let mut swept = self.contact.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if *swept {
            return;
        }
        let is_dead = |run: &RunId| {
            // Some destinations make letters small.
            let run = &RunId(spelling::of_run(&run.0));
            run != self.at.run && self.at.ledger.knows_run(self.at.destination, run).unwrap_or(false)
        };
        if let Err(error) = session.sweep(&is_dead) {
            // What is left lies in the way of nothing; a later run tries again.
            self.at.observer.event(&Event::Warning(&error.chain()));
        }
        *swept = true;
    }

    /// Sweeps once more, with a new session: hosts that were at work when this one came may be dead now.
    pub(crate) fn sweep_again(&mut self) -> Result<(), Interrupted> {
        self.hang_up();
        *self.contact.swept.lock().unwrap_or_else(PoisonError::into_inner) = false;
        drop(self.contact.left.take());
        let session = self.connect()?;
        self.keep(session);
        Ok(())
    }

    /// Whether there is a session whose folder for temporaries, which it may share with others, is there still.
    pub(crate) fn is_untidy(&self) -> bool {
        self.session.is_some() && !self.is_swept
    }

    /// At the end of the run: removes the run's own folder of temporaries, where a session is open.
    pub(crate) fn clean_up(&mut self) {
        if let Some(session) = &mut self.session
            && !std::mem::replace(&mut self.is_swept, true)
            && let Err(error) = session.sweep(&|run| spelling::is_run(run, self.at.run))
        {
            self.at.observer.event(&Event::Warning(&error.chain()));
        }
    }
}
