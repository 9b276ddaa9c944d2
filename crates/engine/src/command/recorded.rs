//! A command on record, from its beginning to its end: in the event log, and with the destinations that it locks.
//!
//! Every command that learns or changes something goes by this: [`Recorded`] is its line in the event log, and a
//! [`LockedRun`] the lock on one destination with the run that is recorded there.

use dvb_ledger::{Agent, Event, EventEnd, Holder, Ledger, LedgerError, Lock, Run, RunSummary};
use dvb_model::{DestinationName, RunId};
use dvb_storage::chain;
use serde::Serialize;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::selection::Selection;
use crate::command::time::now;

/// What a command reports at its end.
pub(crate) trait Report: Serialize {
    fn ending(&self) -> ExitStatus;
    /// Of a report that was read: how it ended, which its exit code alone does not say.
    fn recall(&mut self, ending: ExitStatus);
    /// Its end could not be recorded: the exit status is at least that.
    fn give_up(&mut self, ending: ExitStatus, why: String);
    /// Data files or copies that it was about.
    fn count(&self) -> u64;
    /// The numbers that the event log keeps of it; lists of files stay out.
    fn counts(&self) -> serde_json::Value;
}

/// Why a command did not take place.
pub(crate) trait Ends: std::error::Error {
    /// How it ended therefore.
    fn exit_status(&self) -> ExitStatus;
}

impl Ends for RunError {
    fn exit_status(&self) -> ExitStatus {
        self.into()
    }
}

/// How a summary keeps that something went wrong behind its end.
macro_rules! gives_up {
    () => {
        fn ending(&self) -> crate::command::exit_status::ExitStatus {
            self.ending
        }

        fn recall(&mut self, ending: crate::command::exit_status::ExitStatus) {
            self.ending = ending;
        }

        fn give_up(&mut self, ending: crate::command::exit_status::ExitStatus, why: String) {
            self.aborted.get_or_insert(why);
            self.ending = self.ending.min(ending);
            self.exit_code = self.ending.code();
        }
    };
}
pub(crate) use gives_up;

/// Of a report that was read, until it is recalled.
pub(crate) fn unsaid() -> ExitStatus {
    ExitStatus::NotSafe
}

/// What the event log says of a command when it begins.
pub(crate) struct Intent<'a> {
    /// Name of the command as the event log has it: `run`, `verify`, …
    pub(crate) command: &'static str,
    pub(crate) run: &'a RunId,
    pub(crate) agent: &'a Agent,
    pub(crate) selection: &'a Selection,
    pub(crate) destinations: Vec<DestinationName>,
    /// As the command line spells them.
    pub(crate) overrides: Vec<&'static str>,
}

/// A command's line in the event log.
pub(crate) struct Recorded<'a> {
    ledger: &'a dyn Ledger,
    id: RunId,
}

impl<'a> Recorded<'a> {
    /// Records that it began.
    pub(crate) fn begin(ledger: &'a dyn Ledger, intent: &Intent<'_>, started: &str) -> Result<Self, LedgerError> {
        ledger.begin_event(&Event {
            id: intent.run.clone(),
            command: intent.command.to_owned(),
            started: started.to_owned(),
            agent: intent.agent.clone(),
            scope: intent.selection.in_words(),
            destinations: intent.destinations.clone(),
            overrides: intent.overrides.iter().map(|&name| name.to_owned()).collect(),
            end: None,
        })?;
        Ok(Self { ledger, id: intent.run.clone() })
    }

    /// Records how it ended, and gives that back. A report whose end cannot be recorded says so.
    pub(crate) fn finish<R: Report, E: Ends>(self, done: Result<R, E>) -> Result<R, E> {
        let counts = match &done {
            Ok(report) => report.counts(),
            Err(error) => why(error),
        };
        let recorded = self.end(ending(&done), counts);
        unrecorded(done, recorded)
    }

    /// The same for a command whose report is made of several.
    pub(crate) fn end(&self, ending: ExitStatus, counts: serde_json::Value) -> Result<(), LedgerError> {
        self.ledger.finish_event(&self.id, &EventEnd { finished: now(), exit_code: ending.code(), counts })
    }
}

/// A command's lock on a destination, with the run that is on record there.
pub(crate) struct LockedRun<'a> {
    ledger: &'a dyn Ledger,
    command: &'static str,
    run: RunId,
    lock: Box<dyn Lock>,
}

impl<'a> LockedRun<'a> {
    /// Takes the lock, or says who holds it. Nothing is recorded yet.
    pub(crate) fn lock(
        ledger: &'a dyn Ledger,
        command: &'static str,
        destination: &DestinationName,
        (run, agent, started): (&RunId, &Agent, &str),
    ) -> Result<Self, LedgerError> {
        let pid = std::process::id();
        let holder = Holder { host: agent.host.clone(), pid, run: run.clone(), since: started.to_owned() };
        Ok(Self { ledger, command, run: run.clone(), lock: ledger.lock(destination, &holder)? })
    }

    /// By a lock that is held for it.
    pub(crate) fn holding(ledger: &'a dyn Ledger, command: &'static str, run: &RunId, lock: Box<dyn Lock>) -> Self {
        Self { ledger, command, run: run.clone(), lock }
    }

    /// Records that the run began.
    pub(crate) fn begin(&self, destination: &DestinationName, agent: &Agent, started: &str) -> Result<(), LedgerError> {
        self.ledger.begin_run(&Run {
            id: self.run.clone(),
            destination: destination.clone(),
            started: started.to_owned(),
            host: agent.host.clone(),
            pid: std::process::id(),
        })
    }

    /// The lock, which is held as long as this is there.
    pub(crate) fn held(&self) -> &dyn Lock {
        self.lock.as_ref()
    }

    /// Records how the run ended, and gives that back. A report whose end cannot be recorded says so.
    pub(crate) fn finish<R: Report, E: Ends>(&self, done: Result<R, E>) -> Result<R, E> {
        let (catalogued, json) = match &done {
            Ok(report) => (report.count(), serde_json::to_value(report).unwrap_or_default()),
            Err(error) => {
                let mut object = why(error);
                if self.command != "run" {
                    object["command"] = self.command.into();
                }
                (0, object)
            }
        };
        let recorded = self.end(ending(&done), catalogued, &json);
        unrecorded(done, recorded)
    }

    /// The same for a command whose report is made of several.
    pub(crate) fn end(&self, ending: ExitStatus, catalogued: u64, json: &serde_json::Value) -> Result<(), LedgerError> {
        let end = RunSummary { finished: now(), catalogued, exit_code: ending.code(), json: json.to_string() };
        self.ledger.finish_run(&self.run, &end)
    }
}

fn ending<R: Report, E: Ends>(done: &Result<R, E>) -> ExitStatus {
    match done {
        Ok(report) => report.ending(),
        Err(error) => error.exit_status(),
    }
}

fn why(error: &dyn std::error::Error) -> serde_json::Value {
    serde_json::json!({ "error": chain(error) })
}

/// All that was found is recorded or will be found again; only the line of the command itself is not.
fn unrecorded<R: Report, E>(done: Result<R, E>, recorded: Result<(), LedgerError>) -> Result<R, E> {
    match (done, recorded) {
        (Ok(mut report), Err(error)) => {
            report.give_up(ExitStatus::from(&error), chain(&error));
            Ok(report)
        }
        (done, _) => done,
    }
}
