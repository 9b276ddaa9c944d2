//! What is found of data files in their stores, as the reports have it.

use dvb_ledger::State;
use dvb_model::{DvObjectId, Status};
use serde::{Deserialize, Serialize};

use crate::catalogue::spool::Line;
use crate::command::LISTED;
use crate::command::exit_status::ExitStatus;

/// What is to be known of a data file at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// An object is not there.
    Missing,
    /// An object cannot be read, or the store cannot be reached.
    Unreadable,
    /// The bytes are neither what Dataverse recorded nor what was first seen.
    Damaged,
    /// The bytes are those that were first seen; Dataverse's database now says another checksum.
    ChecksumChanged,
    /// The bytes are others than were first seen, and Dataverse's database has changed too: the next run keeps both.
    Changed,
    /// The checksum is that of the saved original, though the row says that the data file is not tabular.
    SwappedPair,
    /// The last run could not read it, or found it damaged; now it is good.
    CameBack,
    /// The row has no dataset, so nothing says where the bytes are.
    Orphaned,
}

impl Condition {
    /// Whether the data file is not safe at the source.
    #[must_use]
    pub fn is_bad(self) -> bool {
        match self {
            Self::Missing | Self::Unreadable | Self::Damaged | Self::ChecksumChanged | Self::Orphaned => true,
            Self::Changed | Self::SwappedPair | Self::CameBack => false,
        }
    }

    /// Whether something was lost or changed, which is more than that it cannot be read.
    #[must_use]
    pub fn is_damage(self) -> bool {
        match self {
            Self::Missing | Self::Damaged | Self::ChecksumChanged => true,
            Self::Unreadable | Self::Orphaned | Self::Changed | Self::SwappedPair | Self::CameBack => false,
        }
    }
}

/// What `audit` found wrong with a data file in its store; serialised, it is an item of `findings` in its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub data_file_id: DvObjectId,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier as it stands.
    pub storage_identifier: Option<String>,
    /// Its newest name with its folder.
    pub name: Option<String>,
    /// Which kind of finding it is.
    pub what: Condition,
    /// Why, in a sentence.
    pub reason: String,
}

/// Data files in scope, by what was found; all but `catalogued` add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounts {
    /// In the catalogue and in scope.
    pub catalogued: u64,
    /// What Dataverse recorded, or what was first seen where it recorded nothing.
    pub good: u64,
    /// Damaged, or with a checksum that was changed.
    pub damaged: u64,
    /// With an object that is not there.
    pub missing: u64,
    /// Missing or damaged, and acknowledged by the administrator: nothing about them has changed since.
    pub acknowledged: u64,
    /// Not to be read, orphaned ones among them.
    pub unreadable: u64,
    /// Without bytes that could be read, by rule.
    pub not_covered: u64,
    /// Not looked at to the end: no time was left, or an ingest is under way.
    pub left: u64,
}

/// What was found so far, by all workers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) files: AuditCounts,
    pub(crate) bytes: u64,
    pub(crate) findings: Vec<AuditFinding>,
    pub(crate) findings_total: u64,
    pub(crate) unusable: Option<ExitStatus>,
    #[serde(skip)]
    pub(crate) abort: Option<(ExitStatus, String)>,
}

impl Found {
    /// Adds those of another part of the same audit; how many there are in scope stays.
    pub(crate) fn add_part(&mut self, other: Self) {
        let (files, more) = (&mut self.files, other.files);
        files.good += more.good;
        files.damaged += more.damaged;
        files.missing += more.missing;
        files.acknowledged += more.acknowledged;
        files.unreadable += more.unreadable;
        files.not_covered += more.not_covered;
        self.bytes += other.bytes;
        let unlisted = other.findings_total - other.findings.len() as u64;
        other.findings.into_iter().for_each(|it| self.add(it));
        self.findings_total += unlisted;
        ExitStatus::worsen(&mut self.unusable, other.unusable);
    }

    pub(crate) fn add(&mut self, finding: AuditFinding) {
        self.findings_total += 1;
        if self.findings.len() < LISTED {
            self.findings.push(finding);
        }
    }

    /// Of an audit of so many data files: those that nobody has looked at to the end are left.
    pub(crate) fn of(mut self, files: u64) -> Self {
        self.files.catalogued = files;
        self.files.left = files.saturating_sub(self.looked_at());
        self
    }

    /// Data files that were looked at to the end.
    pub(crate) fn looked_at(&self) -> u64 {
        let AuditCounts { good, damaged, missing, acknowledged, unreadable, not_covered, .. } = self.files;
        good + damaged + missing + acknowledged + unreadable + not_covered
    }

    /// How the command ends, by all that was found (design.md 4).
    pub(crate) fn ending(&self, signalled: Option<u8>) -> ExitStatus {
        let found = [
            (self.files.damaged + self.files.missing > 0, ExitStatus::SourceDamaged),
            (self.files.unreadable > 0, ExitStatus::NotSafe),
            (self.files.left > 0, ExitStatus::Stopped),
        ];
        let aborted = self.abort.as_ref().map(|it| it.0);
        ExitStatus::of_found(&found, [self.unusable, signalled.map(ExitStatus::Signalled), aborted])
    }
}

/// A data file with what the ledger knows of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Subjected {
    /// The verdict of it that the administrator has acknowledged.
    pub(crate) acknowledged: Option<Status>,
    pub(crate) line: Line,
    pub(crate) states: Vec<State>,
}
