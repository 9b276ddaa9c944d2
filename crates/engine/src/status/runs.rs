//! What the last runs say of the numbers: whether they are all that there is, and whose they are.

use dvb_ledger::{LedgerError, Run, RunSummary};
use dvb_model::RunId;
use serde::Serialize;
use serde_json::Value;

use super::StatusSetup;
use crate::command::exit_status::ExitStatus;

/// How many runs are shown.
const SHOWN: u32 = 3;
/// How many are asked for where none of these says that a run has ended.
const ALL: u32 = 10_000;

/// One command that worked on a destination; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct RunStatus {
    /// `run`, `verify`, `repair`, `rebuild` or `purge`; one that did not come to its end cannot tell, and counts as `run`.
    pub command: &'static str,
    /// Name of the run, as the ledger has it.
    pub run_id: RunId,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC; `None` where no end is recorded.
    pub finished: Option<String>,
    /// Name of its host.
    pub host: String,
    /// Its exit code, which says how it ended; `None` where no end is recorded.
    pub exit_code: Option<u8>,
    /// Why it gave up, where it did.
    pub error: Option<String>,
    /// What is known of its end.
    #[serde(skip)]
    pub end: RunEnd,
}

/// What is known of a run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// The ledger has its end, with its exit code and summary.
    Recorded,
    /// It may be under way: on another host nobody can see that from here.
    UnderWay,
    /// It has none, and will not have one: it was killed, or the power failed.
    Lost,
}

/// The end of a `run` that has left no numbers of its own.
#[derive(Debug, Clone)]
pub struct LastRun {
    /// How it ended: it was refused, or could not work.
    pub ending: ExitStatus,
    /// When, RFC 3339 UTC.
    pub finished: String,
    /// The process's exit code, which belongs to `ending`.
    pub exit_code: u8,
    /// Why, in its own words.
    pub why: Option<String>,
}

/// Why the numbers are not all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBegun {
    /// There was no run.
    Never,
    /// The first one is under way.
    UnderWay,
    /// The newest one was cut.
    Cut,
    /// Runs have ended, none of everything.
    Partly,
}

/// What the runs of a destination say together.
pub(super) struct Past {
    pub(super) shown: Vec<RunStatus>,
    pub(super) not_begun: Option<NotBegun>,
    pub(super) did_nothing: Option<LastRun>,
}

impl Past {
    pub(super) fn read(setup: &StatusSetup<'_>) -> Result<Self, LedgerError> {
        let read = |limit| -> Result<Vec<Ended>, LedgerError> {
            let runs = setup.ledger.runs(setup.destination, limit)?;
            Ok(runs.into_iter().map(|(run, end)| Ended::of(setup.host, run, end)).collect())
        };
        let mut all = read(SHOWN)?;
        let shown: Vec<RunStatus> = all.iter().map(|run| run.status.clone()).collect();
        if !all.iter().any(|run| run.is_whole) || !all.iter().any(Ended::is_run) {
            all = read(ALL)?;
        }
        let not_begun = if all.iter().any(|run| run.is_whole) { None } else { Some(not_begun(all.first())) };
        let did_nothing = all.iter().find(|run| run.is_run()).and_then(Ended::did_nothing);
        Ok(Self { shown, not_begun, did_nothing })
    }
}

fn not_begun(newest: Option<&Ended>) -> NotBegun {
    match newest.map(|run| run.status.end) {
        None => NotBegun::Never,
        Some(RunEnd::UnderWay) => NotBegun::UnderWay,
        Some(RunEnd::Lost) => NotBegun::Cut,
        Some(RunEnd::Recorded) => NotBegun::Partly,
    }
}

struct Ended {
    status: RunStatus,
    /// A `run` of everything has ended, and had a catalogue to compare with: one that gave up before that has only its error
    /// on record.
    is_whole: bool,
}

impl Ended {
    fn of(host: &str, run: Run, end: Option<RunSummary>) -> Self {
        let summary: Option<Value> = end.as_ref().and_then(|end| serde_json::from_str(&end.json).ok());
        let command = match summary.as_ref().and_then(|summary| summary["command"].as_str()) {
            Some("verify") => "verify",
            Some("repair") => "repair",
            Some("rebuild") => "rebuild",
            Some("purge") => "purge",
            _ => "run",
        };
        let gave_up =
            |summary: &Value| ["error", "aborted"].iter().find_map(|key| summary[*key].as_str()).map(str::to_owned);
        let is_whole = |summary: &Value| summary.get("error").is_none() && summary["whole"] != false;
        let is_here = run.host == host;
        let is_alive = !is_here || std::path::Path::new(&format!("/proc/{}", run.pid)).exists();
        Self {
            is_whole: end.is_some() && command == "run" && summary.as_ref().is_none_or(is_whole),
            status: RunStatus {
                command,
                run_id: run.id,
                started: run.started,
                host: run.host,
                exit_code: end.as_ref().map(|end| end.exit_code),
                error: summary.as_ref().and_then(gave_up),
                end: match (&end, is_alive) {
                    (Some(_), _) => RunEnd::Recorded,
                    (None, true) => RunEnd::UnderWay,
                    (None, false) => RunEnd::Lost,
                },
                finished: end.map(|end| end.finished),
            },
        }
    }

    fn is_run(&self) -> bool {
        self.status.finished.is_some() && self.status.command == "run"
    }

    /// Where a run was refused or could not work, no number tells it.
    fn did_nothing(&self) -> Option<LastRun> {
        let exit_code = self.status.exit_code?;
        let endings = [ExitStatus::Refused, ExitStatus::Unreachable, ExitStatus::Usage];
        Some(LastRun {
            ending: endings.into_iter().find(|ending| ending.code() == exit_code)?,
            finished: self.status.finished.clone()?,
            exit_code,
            why: self.status.error.clone(),
        })
    }
}
