//! `acknowledge`: what is known to be lost for good stops raising the alarm each night, and stays in every report.

use dvb_ledger::{Acknowledgement, Agent, Custody, Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use serde::Serialize;

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Intent, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;

/// What `acknowledge` works with.
#[derive(Clone, Copy)]
pub struct AcknowledgeSetup<'a> {
    /// Where the verdicts are.
    pub ledger: &'a dyn Ledger,
    /// At which destinations; each has a verdict of its own.
    pub destinations: &'a [DestinationName],
}

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct AcknowledgeOptions {
    /// Name of this call.
    pub run: RunId,
    /// Who acknowledges, for the event log.
    pub agent: Agent,
    /// Ids of the data files: `dvobject.id` of Dataverse's database.
    pub files: Vec<DvObjectId>,
    /// Why they are lost, in words; `None`: the acknowledgement is withdrawn.
    pub reason: Option<String>,
}

/// One data file at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcknowledgedFile {
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub data_file_id: DvObjectId,
    /// Name of the destination that the verdict is of.
    pub destination: DestinationName,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its newest name with its folder.
    pub name: Option<String>,
    /// Its verdict at this destination.
    pub status: Status,
    /// Whether it is acknowledged now.
    pub acknowledged: bool,
    /// Why it is not.
    pub why_not: Option<&'static str>,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcknowledgeSummary {
    /// The command that this is the report of: `acknowledge`.
    pub command: &'static str,
    /// Name of this call.
    pub run_id: RunId,
    /// The reason; `None` where it was withdrawn.
    pub reason: Option<String>,
    /// Each data file at each destination that knows it.
    pub files: Vec<AcknowledgedFile>,
    /// Why its end could not be recorded.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

impl Report for AcknowledgeSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.files.iter().map(|it| u64::from(it.acknowledged)).sum()
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({ "reason": self.reason, "acknowledged": self.count() })
    }
}

/// Acknowledges that data files are lost or damaged for good, or withdraws that. Only what is not safe can be acknowledged.
///
/// # Errors
/// [`RunError`]; [`RunError::NothingSelected`] when no destination knows any of them.
pub fn acknowledge(setup: &AcknowledgeSetup<'_>, options: &AcknowledgeOptions) -> Result<AcknowledgeSummary, RunError> {
    let started = now();
    let selection = Selection { files: options.files.iter().copied().collect(), ..Selection::default() };
    let intent = Intent {
        command: "acknowledge",
        run: &options.run,
        agent: &options.agent,
        selection: &selection,
        destinations: setup.destinations.to_vec(),
        overrides: Vec::new(),
    };
    let recorded = Recorded::begin(setup.ledger, &intent, &started)?;
    recorded.finish(acknowledge_each(setup, options))
}

fn acknowledge_each(
    setup: &AcknowledgeSetup<'_>,
    options: &AcknowledgeOptions,
) -> Result<AcknowledgeSummary, RunError> {
    let (mut files, mut new) = (Vec::new(), Vec::new());
    for &id in &options.files {
        for custody in setup.ledger.history(id)? {
            if !setup.destinations.contains(&custody.destination) {
                continue;
            }
            let why_not = if options.reason.is_none() { Some("it was withdrawn") } else { why_not(&custody) };
            if why_not.is_none() {
                new.push(acknowledgement(&custody, options));
            } else if options.reason.is_none() {
                setup.ledger.end_acknowledgements(&custody.destination, &[id])?;
            }
            files.push(AcknowledgedFile {
                data_file_id: id,
                destination: custody.destination,
                dataset: custody.detail.dataset,
                name: custody.detail.label,
                status: custody.detail.status,
                acknowledged: why_not.is_none(),
                why_not,
            });
        }
    }
    if files.is_empty() {
        return Err(RunError::NothingSelected);
    }
    setup.ledger.acknowledge(&new)?;
    let is_done = options.reason.is_none() || !new.is_empty();
    let ending = if is_done { ExitStatus::Safe } else { ExitStatus::NotSafe };
    Ok(AcknowledgeSummary {
        command: "acknowledge",
        run_id: options.run.clone(),
        reason: options.reason.clone(),
        files,
        aborted: None,
        exit_code: ending.code(),
        ending,
    })
}

/// Only what a run has found to be lost can be known to be lost.
fn why_not(custody: &Custody) -> Option<&'static str> {
    match custody.detail.status {
        Status::FailRead | Status::FailChecksum | Status::FailVerify if custody.detail.gone_since.is_some() => {
            Some("it has left Dataverse, and raises no alarm")
        }
        Status::FailRead | Status::FailChecksum | Status::FailVerify => None,
        Status::Ok => Some("it is safe"),
        Status::Pending => Some("no run has checked it"),
        Status::FailWrite => Some("it is not lost: it could not be stored at the destination"),
        Status::NotCovered => Some("it has no bytes that a backup could read, and raises no alarm"),
        Status::Purged => Some("it was purged, and raises no alarm"),
    }
}

fn acknowledgement(custody: &Custody, options: &AcknowledgeOptions) -> Acknowledgement {
    Acknowledgement {
        id: custody.detail.id,
        destination: custody.destination.clone(),
        status: custody.detail.status,
        fingerprint: custody.fingerprint.clone(),
        copies: custody.detail.copies,
        at: String::new(),
        by: options.agent.user.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        ended_at: None,
    }
}

/// The acknowledgements at a destination that hold, as far as the ledger knows: of data files that are what they were then.
///
/// # Errors
/// [`LedgerError`].
pub fn acknowledged(ledger: &dyn Ledger, destination: &DestinationName) -> Result<Vec<Acknowledgement>, LedgerError> {
    let mut holding = Vec::new();
    for it in ledger.acknowledgements()? {
        if it.ended_at.is_some() || it.destination != *destination {
            continue;
        }
        let holds = ledger.history(it.id)?.into_iter().any(|custody| {
            let detail = &custody.detail;
            custody.destination == *destination
                && detail.gone_since.is_none()
                && (detail.status, detail.copies) == (it.status, it.copies)
                && custody.fingerprint == it.fingerprint
        });
        if holds {
            holding.push(it);
        }
    }
    Ok(holding)
}
