//! What a command comes to that does the same at each destination: shown, printed as JSON and mailed by one machinery.

use dvb_engine::{CancelToken, ExitStatus};
use dvb_model::DestinationName;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exit::CommandFailure;
use crate::notice::{Ended, Notice, did_not_end_well, found};
use crate::output::{Screen, Verbosity, plain_lines};
use crate::report;

/// How many of what is not safe are named on stderr.
pub(crate) const NAMED: usize = 20;

/// How many, what one is called, and what several are.
pub(crate) type Counted = (u64, &'static str, &'static str);

/// The summary of a command at one destination; serialised, it is what `--json` prints.
pub(crate) trait InWords: Serialize {
    fn ending(&self) -> ExitStatus;

    /// The result, without the line end of its last line.
    fn text(&self) -> String;

    /// What is wrong, with no more than so many names; empty where all is well.
    fn trouble(&self, limit: usize) -> String;

    /// What is bad, for the subject of a mail.
    fn found(&self) -> Vec<Counted>;
}

/// What became of one destination.
pub(crate) struct Outcome<S> {
    pub(crate) destination: DestinationName,
    pub(crate) result: Result<S, CommandFailure>,
    pub(crate) ending: ExitStatus,
    /// Warnings that were not said, for all might have ended well.
    pub(crate) held_back: Vec<String>,
}

impl<S: InWords> Outcome<S> {
    pub(crate) fn new(destination: &DestinationName, result: Result<S, CommandFailure>, stop: &CancelToken) -> Self {
        let ending = ending(result.as_ref().map(S::ending), stop);
        Self { destination: destination.clone(), result, ending, held_back: Vec::new() }
    }

    /// The result on stdout where it is wanted, what is wrong on stderr.
    fn show(&self, screen: &Screen, is_wanted: bool) -> Result<(), CommandFailure> {
        if !screen.is_chatty() && self.ending != ExitStatus::Safe {
            self.held_back.iter().for_each(|text| screen.warn(text));
        }
        match &self.result {
            Ok(summary) => {
                let trouble = summary.trouble(NAMED);
                if !trouble.is_empty() {
                    screen.alarm(&trouble);
                }
                if is_wanted && !screen.json { screen.print(&summary.text()) } else { Ok(()) }
            }
            Err(failure) => {
                screen.fail(&report::of_destination(&self.destination, &failure.text()));
                Ok(())
            }
        }
    }

    fn object(&self) -> Value {
        match &self.result {
            Ok(summary) => json!(summary),
            Err(failure) => json!({
                "destination": self.destination, "exit_code": self.ending.code(), "error": failure.text()
            }),
        }
    }

    fn in_short(&self) -> String {
        match &self.result {
            Ok(summary) => found(&summary.found(), Some(&self.destination), self.ending),
            Err(_) => did_not_end_well(Some(&self.destination), self.ending),
        }
    }

    fn section(&self) -> String {
        match &self.result {
            Ok(summary) => format!("{}\n{}\n", summary.text(), summary.trouble(usize::MAX)),
            Err(failure) => report::of_destination(&self.destination, &plain_lines(&failure.text())) + "\n",
        }
    }
}

/// How a command ended. One that a signal ended tells so, whatever it could not do then.
pub(crate) fn ending(result: Result<ExitStatus, &CommandFailure>, stop: &CancelToken) -> ExitStatus {
    let signal = stop.signalled().and_then(|signal| u8::try_from(signal).ok());
    match (result, signal) {
        (Ok(ending), _) => ending,
        (Err(_), Some(signal)) => ExitStatus::Signalled(signal),
        (Err(failure), None) => failure.ending(),
    }
}

/// What became of all of them.
pub(crate) struct Outcomes<S>(pub(crate) Vec<Outcome<S>>);

impl<S: InWords> Outcomes<S> {
    pub(crate) fn ending(&self) -> ExitStatus {
        self.0.iter().map(|outcome| outcome.ending).min().unwrap_or(ExitStatus::Safe)
    }

    /// For a command that somebody waits for: its result is printed unless they asked for quiet. With `--json` the objects
    /// come under `name`.
    pub(crate) fn answer(&self, screen: &Screen, name: &str) -> Result<(), CommandFailure> {
        self.show(screen, screen.verbosity != Verbosity::Quiet, name)
    }

    /// For a command that cron starts: its result is printed where somebody watches.
    pub(crate) fn tell(&self, screen: &Screen, name: &str) -> Result<(), CommandFailure> {
        self.show(screen, screen.is_chatty(), name)
    }

    fn show(&self, screen: &Screen, is_wanted: bool, name: &str) -> Result<(), CommandFailure> {
        self.0.iter().try_for_each(|outcome| outcome.show(screen, is_wanted))?;
        if screen.json {
            let objects = self.0.iter().map(Outcome::object).collect();
            screen.print_json(&one_shape(name, objects, self.ending()))?;
        }
        Ok(())
    }

    /// What others hear of it.
    pub(crate) fn notice(&self, command: &'static str) -> Notice {
        let ended = self.0.iter().map(|outcome| Ended::new(&outcome.destination, outcome.ending)).collect();
        let outcomes = self.0.iter().map(Outcome::in_short).collect();
        Notice::new(command, ended, outcomes, self.0.iter().map(Outcome::section).collect())
    }
}

/// What a command prints with `--json` that does the same for each destination: under `name` one object for each, and
/// how all of it ended. The keys of a single destination's object stand beside them too.
pub(crate) fn one_shape(name: &str, objects: Vec<Value>, ending: ExitStatus) -> Value {
    let mut all = match objects.as_slice() {
        [Value::Object(only)] => only.clone(),
        _ => Map::new(),
    };
    all.insert(name.to_owned(), objects.into());
    all.insert("exit_code".to_owned(), ending.code().into());
    all.into()
}
