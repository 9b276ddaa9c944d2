//! What a run reports: counts, findings, and how it ended. Its JSON form is the one of design.md 4.

use dvb_catalog::SnapshotLink;
use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use serde::{Deserialize, Serialize};

use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Report, gives_up, unsaid};

/// Data files in scope, by what the run made of them. All but `catalogued` add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// In the catalogue and in scope.
    pub catalogued: u64,
    /// Safe already; nothing had to be sent.
    pub unchanged: u64,
    /// Copied by this run, and proved at the destination.
    pub copied: u64,
    /// Found at the destination and proved there.
    pub adopted: u64,
    /// Without bytes that a backup could read, by rule.
    pub not_covered: u64,
    /// Deleted by law: in the catalogue still, and not copied again.
    pub purged: u64,
    /// Not safe: with a failure that is listed.
    pub failed: u64,
    /// Not safe, and acknowledged by the administrator: nothing about them has changed since.
    pub acknowledged: u64,
    /// Not looked at, or to be looked at again later.
    pub pending: u64,
}

/// What the plan found to be due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Data files to look at.
    pub files: u64,
    /// Their bytes, as far as Dataverse knows.
    pub bytes: u64,
}

/// A data file that is not safe, or of which the administrator should know something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier as it stands.
    pub storage_identifier: Option<String>,
    /// Its newest name with its folder.
    pub name: Option<String>,
    /// The verdict, as the ledger has it.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
}

/// How many data files failed for one and the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The verdict that these data files share.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// How many data files share it.
    pub files: u64,
    /// A disk or a quota is full.
    pub no_space: bool,
}

/// A look at what is safe, by listings of the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceCounts {
    /// Data files whose objects were looked for.
    pub data_files: u64,
    /// Those of them with an object that is missing, damaged or unreadable; they are among the failures.
    pub not_safe: u64,
    /// All that is safe was looked for; else the next run goes on behind the last one.
    pub complete: bool,
}

/// A share of the data files, read again in their stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedCounts {
    /// Data files that were read.
    pub data_files: u64,
    /// Those of them that are missing, damaged or unreadable; they are among the failures.
    pub not_safe: u64,
}

/// What a run reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the run.
    pub run_id: RunId,
    /// Where it copied to.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Nothing was done, only counted.
    pub dry_run: bool,
    /// It was about everything, not about a selection.
    pub whole: bool,
    /// Data files in scope, by what became of them.
    pub files: FileCounts,
    /// What was found to be due.
    pub due: Due,
    /// Of the unchanged ones, those that were to be looked at again and were not reached: safe by the ledger alone.
    pub not_rechecked: u64,
    /// Bytes that are free at the destination, where a dry run was told.
    pub free_bytes: Option<u64>,
    /// Bytes sent and proved.
    pub bytes_copied: u64,
    /// Data files that left the catalogue since the last run. Their copies stay.
    pub gone: u64,
    /// Copies that were looked at again after copying ([`Options::verify_every`](crate::run::options::Options)); damaged ones are
    /// among the failures.
    pub verified: Option<crate::copies::findings::CopyCounts>,
    /// Data files that were looked for in their stores ([`Options::presence_check`](crate::run::options::Options)).
    pub presence: Option<PresenceCounts>,
    /// Data files that were read again in their stores ([`Options::audit_every`](crate::run::options::Options)).
    pub audited: Option<AuditedCounts>,
    /// Locks that were due to be looked at, where the destination has locks.
    pub locks: Option<crate::copies::locks::LockCounts>,
    /// The first of those that are not safe.
    pub failures: Vec<Finding>,
    /// How many failures there are; `failures` has the first of them.
    pub failures_total: u64,
    /// The same by their reasons, the first of them.
    pub reasons: Vec<ReasonCount>,
    /// The first of what else the administrator should know.
    pub notes: Vec<Finding>,
    /// How many notes there are; `notes` has the first of them.
    pub notes_total: u64,
    /// The newest snapshot of the catalogue at the destination, if it describes what this run left there: the one that this
    /// run wrote, or the one before when nothing has changed since. `None`: there is none, and the next run writes one.
    pub snapshot: Option<SnapshotLink>,
    /// Of the catalogue that the snapshot describes: when the next run finds another one, it writes a snapshot of it.
    pub catalogue_digest: Option<String>,
    /// The brakes that were taken off for it, as the command line spells them.
    #[serde(skip_deserializing)]
    pub overrides: Vec<&'static str>,
    /// Why the run gave up before its end.
    pub aborted: Option<String>,
    /// What can be done about that. Not part of the JSON: whoever prints it says it in words of its own.
    #[serde(skip)]
    pub hint: Option<crate::command::hint::Hint>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip, default = "unsaid")]
    pub ending: ExitStatus,
}

impl Summary {
    /// How it ended, in a few words, and first of all that no space was left: whoever reads only one line can act on it.
    #[must_use]
    pub fn headline(&self) -> String {
        let files: u64 = self.reasons.iter().filter(|it| it.no_space).map(|it| it.files).sum();
        let ending = match self.ending {
            ExitStatus::Stopped if self.files.pending == 0 => {
                "stopped at its time budget or limit, no data file is pending"
            }
            ExitStatus::Signalled(_) if self.files.pending == 0 => "ended by a signal, no data file is pending",
            other => other.text(),
        };
        match files {
            0 => ending.to_owned(),
            1 => format!("no space left at the destination: 1 data file was not written; {ending}"),
            _ => format!("no space left at the destination: {files} data files were not written; {ending}"),
        }
    }
}

impl Report for Summary {
    gives_up!();

    fn count(&self) -> u64 {
        self.files.catalogued
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({
            "files": self.files,
            "bytes_copied": self.bytes_copied,
            "gone": self.gone,
            "verified": self.verified,
            "presence": self.presence,
            "audited": self.audited,
            "locks": self.locks,
        })
    }
}
