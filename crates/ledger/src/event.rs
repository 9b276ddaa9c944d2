//! The event log and the administrator's words: what a repository shows of its copies over the years (design.md 10).

use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use serde::{Deserialize, Serialize};

use crate::decode::{bad_row, number, parsed};
use crate::{Incident, LedgerError};

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// User of the system.
    pub user: String,
    /// Name of the host that it was given on.
    pub host: String,
    /// Version of the program.
    pub program: String,
}

/// One command, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Name of its run; of one with several destinations, that of the first.
    pub id: RunId,
    /// `run`, `verify`, `audit`, `restore`, `repair`, `rebuild`, `drill`, `acknowledge`, …
    pub command: String,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// Who gave it, on which host, by which version.
    pub agent: Agent,
    /// What it was about, in words: `everything`, or the selection.
    pub scope: String,
    /// The destinations it had to do with.
    pub destinations: Vec<DestinationName>,
    /// The brakes that were taken off, as the command line spells them.
    pub overrides: Vec<String>,
    /// How it ended; `None` while it runs, and where it was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EventEnd>,
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEnd {
    /// When, RFC 3339 UTC.
    pub finished: String,
    /// The command's exit code (design.md 4).
    pub exit_code: u8,
    /// What it found, as JSON: counts, or why it gave up.
    pub counts: serde_json::Value,
}

/// A data file that is known to be lost or damaged for good: no command raises the alarm for it again, as long as its status,
/// its row in Dataverse and the number of its proved copies stay what they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// At which destination: each has its own verdict.
    pub destination: DestinationName,
    /// The verdict that was acknowledged.
    pub status: Status,
    /// Fingerprint of the row in Dataverse that the verdict was of.
    pub fingerprint: String,
    /// Proved copies that it had then at this destination.
    pub copies: u64,
    /// When, RFC 3339 UTC; the ledger's own time where it is empty.
    #[serde(default)]
    pub at: String,
    /// The user of the system who acknowledged it.
    pub by: String,
    /// Why it is lost, in their words.
    pub reason: String,
    /// When something about the data file changed, so that it counts again, RFC 3339 UTC; `None`: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// What is kept of the past beside the present state. Each call is one transaction.
pub trait History {
    /// Records that a command began.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn begin_event(&self, event: &Event) -> Result<(), LedgerError>;

    /// Records how a command ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn finish_event(&self, id: &RunId, end: &EventEnd) -> Result<(), LedgerError>;

    /// Visits all commands since a time (RFC 3339 UTC), the first one first; with `None`, all. In memory that does not grow
    /// with their number.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn visit_events(&self, since: Option<&str>, visit: &mut dyn FnMut(Event)) -> Result<(), LedgerError>;

    /// Visits the incidents in the order of their numbers, which is that of their beginning; with `open`, those that are not
    /// mended. In memory that does not grow with their number.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn visit_incidents(&self, open: bool, visit: &mut dyn FnMut(Incident)) -> Result<(), LedgerError>;

    /// How many incidents are open.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn count_open_incidents(&self) -> Result<u64, LedgerError>;

    /// Adds the administrator's words to an incident, in the place of those before. Says whether there is an incident of this
    /// number.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn note_incident(&self, number: u64, note: &str, by: &str) -> Result<bool, LedgerError>;

    /// Records acknowledgements, in the place of open ones of the same data file and destination.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn acknowledge(&self, all: &[Acknowledgement]) -> Result<(), LedgerError>;

    /// All acknowledgements, those that ended among them, the first one first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, LedgerError>;

    /// Ends those of these data files at a destination.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn end_acknowledgements(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError>;

    /// Takes over the history of a ledger that was lost; what is here already stays as it is.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn take_over_history(
        &self,
        events: &[Event],
        incidents: &[Incident],
        acknowledged: &[Acknowledgement],
    ) -> Result<(), LedgerError>;
}

/// Rows that are read or written at once.
pub(crate) const PAGE: u32 = 1_000;

pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) command: String,
    pub(crate) started: String,
    pub(crate) who: String,
    pub(crate) host: String,
    pub(crate) program: String,
    pub(crate) scope: String,
    pub(crate) destinations: String,
    pub(crate) overrides: String,
    pub(crate) finished: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) counts: Option<String>,
}

impl EventRow {
    pub(crate) fn of(event: &Event) -> Self {
        let end = event.end.as_ref();
        Self {
            id: event.id.0.clone(),
            command: event.command.clone(),
            started: event.started.clone(),
            who: event.agent.user.clone(),
            host: event.agent.host.clone(),
            program: event.agent.program.clone(),
            scope: event.scope.clone(),
            destinations: serde_json::json!(event.destinations).to_string(),
            overrides: serde_json::json!(event.overrides).to_string(),
            finished: end.map(|end| end.finished.clone()),
            exit_code: end.map(|end| end.exit_code.into()),
            counts: end.map(|end| end.counts.to_string()),
        }
    }

    pub(crate) fn read(self) -> Result<Event, LedgerError> {
        let names = |column: &'static str, json: &str| {
            serde_json::from_str::<Vec<String>>(json).map_err(|_| bad_row(column, 0, json))
        };
        let end = match self.finished {
            None => None,
            Some(finished) => Some(EventEnd {
                finished,
                exit_code: self.exit_code.map_or(Ok(u8::MAX), |code| number(code, "exit_code", 0))?,
                counts: self.counts.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
            }),
        };
        Ok(Event {
            id: RunId(self.id),
            command: self.command,
            started: self.started,
            agent: Agent { user: self.who, host: self.host, program: self.program },
            scope: self.scope,
            destinations: names("destinations", &self.destinations)?.into_iter().map(DestinationName).collect(),
            overrides: names("overrides", &self.overrides)?,
            end,
        })
    }
}

pub(crate) struct AcknowledgementRow {
    pub(crate) id: i64,
    pub(crate) destination: String,
    pub(crate) status: String,
    pub(crate) fingerprint: String,
    pub(crate) copies: i64,
    pub(crate) at: String,
    pub(crate) who: String,
    pub(crate) reason: String,
    pub(crate) ended_at: Option<String>,
}

impl AcknowledgementRow {
    pub(crate) fn read(self) -> Result<Acknowledgement, LedgerError> {
        Ok(Acknowledgement {
            status: parsed(&self.status, "status", self.id)?,
            copies: number(self.copies, "copies", self.id)?,
            id: DvObjectId(self.id),
            destination: DestinationName(self.destination),
            fingerprint: self.fingerprint,
            at: self.at,
            by: self.who,
            reason: self.reason,
            ended_at: self.ended_at,
        })
    }
}
