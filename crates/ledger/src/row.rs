//! The rows of the ledger. Times are RFC 3339 UTC text with milliseconds.

use std::fmt;

use dvb_fixity::{Digest, Evidence, Proved};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};
use serde::{Deserialize, Serialize};

use crate::incident::Finding;

/// Data files and datasets have ids of one sequence, but are listed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A data file, with all of its objects.
    #[serde(rename = "file")]
    DataFile,
    /// A dataset, for its own objects.
    #[serde(rename = "dataset")]
    Dataset,
}

impl EntryKind {
    /// As the ledger spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DataFile => "file",
            Self::Dataset => "dataset",
        }
    }
}

/// What a plan needs of the ledger: one data file or dataset at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Id of the data file or dataset: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// The verdict of the last run or look at it.
    pub status: Status,
    /// Digest of the catalogue's columns that the verdict rests on: another value means work.
    pub fingerprint: String,
    /// Copied while an ingest was under way: to be looked at again.
    pub provisional: bool,
    /// It left the catalogue.
    pub gone: bool,
    /// The reason recorded with the verdict.
    pub reason: Option<String>,
    /// What `OK` rests on. With `PENDING`: what it rested on before the ledger was lost, by a [`Claim`].
    pub basis: Option<Basis>,
    /// PID of its dataset, as the last run found it.
    pub dataset: Option<String>,
    /// When its objects were last read in their store (RFC 3339 UTC); empty where that is not known.
    pub audited_at: String,
}

/// What the verdict `OK` rests on at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The bytes match the checksum that Dataverse recorded.
    Dataverse,
    /// Dataverse has no usable checksum: the digest that was first seen counts from now on.
    FirstSeen,
}

impl Basis {
    /// As the ledger and the reports spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataverse => "dataverse",
            Self::FirstSeen => "first-seen",
        }
    }
}

/// What is known of the bytes at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyState {
    /// The key is taken for the object, nothing is proved to be there.
    Reserved,
    /// The copy was proved.
    Proved,
    /// A later look found it missing or changed.
    Damaged,
    /// A snapshot says that it is there, by a [`Claim`]; this ledger has no proof of it yet.
    Claimed,
}

impl CopyState {
    /// As the ledger spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Proved => "proved",
            Self::Damaged => "damaged",
            Self::Claimed => "claimed",
        }
    }
}

/// One object at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// Its data file or dataset.
    pub id: DvObjectId,
    /// Which of the data file's objects it is.
    pub role: ObjectRole,
    /// 1 for the first bytes seen; changed bytes lie beside them with the next number.
    pub version: u32,
    /// Its key, below the destination's root.
    pub key: ObjectKey,
    /// Whether it is reserved, claimed, proved, or damaged.
    pub state: CopyState,
    /// Size in bytes; `None` while reserved.
    pub size: Option<u64>,
    /// Our own SHA-256; `None` while reserved.
    pub sha256: Option<Digest>,
    /// Its digests by other algorithms, as far as the source was hashed with them when these bytes were proved.
    pub others: Vec<Digest>,
    /// By which evidence it was proved last.
    pub evidence: Option<Evidence>,
    /// When it was proved last, RFC 3339 UTC.
    pub proved_at: Option<String>,
}

impl CopyRecord {
    /// Whether its bytes have this digest; `None` where the ledger cannot tell.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> Option<bool> {
        let mut known = self.sha256.iter().chain(&self.others);
        known.find(|it| it.algorithm() == digest.algorithm()).map(|it| it == digest)
    }
}

/// A wish for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Id of the data file or dataset that wants the key.
    pub id: DvObjectId,
    /// Which of the data file's objects the key is for.
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// The wanted key, below the destination's root.
    pub key: ObjectKey,
}

/// An object that is at the destination, with the reason to believe so.
#[derive(Debug, Clone)]
pub enum ObjectProof {
    /// It was proved in this run, under a reserved key.
    Now {
        /// Which of the data file's objects it is.
        role: ObjectRole,
        /// Which of its versions.
        version: u32,
        /// Its key below the destination's root, as it was reserved.
        key: ObjectKey,
        /// The comparison of what was read at the source with the destination's evidence.
        proof: Proved,
        /// It was found there, not sent.
        adopted: bool,
    },
    /// The ledger has its proof from an earlier run, and the source's bytes are still the same.
    Before {
        /// Which of the data file's objects it is.
        role: ObjectRole,
        /// Which of its versions.
        version: u32,
    },
}

/// The verdict on a data file or dataset, as it is recorded.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// `OK`: every object with its proof.
    Safe {
        /// What the source was compared with.
        basis: Basis,
        /// Every object that it has.
        objects: Vec<ObjectProof>,
        /// An ingest was under way.
        provisional: bool,
        /// What the administrator should know all the same.
        note: Option<String>,
    },
    /// A `FAIL_…` status: today's bytes are not safe at the destination.
    Failed {
        /// One of the `Fail…` statuses.
        status: Status,
        /// Why, in a sentence.
        reason: String,
        /// Objects that were proved all the same.
        objects: Vec<ObjectProof>,
        /// Copies found missing or changed at the destination: (role, version).
        damaged: Vec<(ObjectRole, u32)>,
    },
    /// `NOT_COVERED`: by rule, no copy is made of it.
    NotCovered {
        /// Why, in a sentence.
        reason: String,
    },
    /// `PENDING`: it is known, and the next run looks at it.
    Pending,
}

/// A verdict with what it is about.
#[derive(Debug, Clone)]
pub struct Record {
    /// Data file or dataset.
    pub id: DvObjectId,
    /// Which of the two.
    pub kind: EntryKind,
    /// PID of the dataset as people write it, if any.
    pub dataset: Option<String>,
    /// `<storage authority>/<storage identifier>`: the original's `datasetidentifier`.
    pub dataset_identifier: Option<String>,
    /// The storage identifier as it stands in the database.
    pub storage_identifier: Option<String>,
    /// The file's newest name, where it is known.
    pub label: Option<String>,
    /// The same as [`State::fingerprint`] of what is claimed.
    pub fingerprint: String,
    /// How it is copied, in the words of the original's column `lastbackupmethod`.
    pub method: &'static str,
    /// The verdict, as the ledger has it.
    pub verdict: Verdict,
    /// Damage and loss that were found on the way, mended by now or not.
    pub found: Vec<Finding>,
    /// Driver id of the store whose bytes were read, for this verdict, and found to be good.
    pub read_from: Option<String>,
}

/// What a snapshot at a destination says of a data file or dataset, where the ledger was lost: to be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Data file or dataset.
    pub id: DvObjectId,
    /// Which of the two.
    pub kind: EntryKind,
    /// The same as [`Record::dataset`] of what is claimed.
    pub dataset: Option<String>,
    /// The same as [`Record::dataset_identifier`] of what is claimed.
    pub dataset_identifier: Option<String>,
    /// The same as [`Record::storage_identifier`] of what is claimed.
    pub storage_identifier: Option<String>,
    /// The same as [`Record::label`] of what is claimed.
    pub label: Option<String>,
    /// Of the row that the snapshot has.
    pub fingerprint: String,
    /// The same as [`Record::method`] of what is claimed.
    pub method: &'static str,
    /// It was `OK`, by this, and is again when all its copies are proved.
    pub basis: Option<Basis>,
    /// There were no bytes that a backup could read, by rule: `reason` says which. It is that, not `PENDING`.
    pub not_covered: bool,
    /// Where it comes from, in a sentence.
    pub reason: String,
    /// When it left the catalogue, RFC 3339.
    pub gone_since: Option<String>,
    /// Its copies: [`CopyState::Claimed`], or [`CopyState::Damaged`].
    pub copies: Vec<CopyRecord>,
}

/// A state with what people need to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDetail {
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier, as it stands in Dataverse's database.
    pub storage_identifier: Option<String>,
    /// Its newest label, with its folder.
    pub label: Option<String>,
    /// The verdict of the last run or look at it.
    pub status: Status,
    /// What `OK` rests on.
    pub basis: Option<Basis>,
    /// Why the verdict is what it is, or what is to be noted, in a sentence.
    pub reason: Option<String>,
    /// An ingest was under way.
    pub provisional: bool,
    /// When it left the catalogue, RFC 3339 UTC.
    pub gone_since: Option<String>,
    /// When the verdict was recorded, RFC 3339 UTC.
    pub recorded_at: String,
    /// Proved copies of its objects at the destination.
    pub copies: u64,
    /// How many destinations have it, of all that the ledger knows: it is safe there (`OK`), or its main object has a proved
    /// copy there, whatever the last verdict.
    pub destinations: u64,
}

/// Everything that is known of one data file or dataset at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The verdict, with what people need to know of it; how many destinations have it is not asked for, and 0.
    pub detail: StateDetail,
    /// `<storage authority>/<storage identifier>`: its folder.
    pub dataset_identifier: Option<String>,
    /// All its copies, in the order of role and version.
    pub copies: Vec<CopyRecord>,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of the host that it runs on.
    pub host: String,
    /// Process id on that host, for messages alone.
    pub pid: u32,
    /// The run that holds the lock.
    pub run: RunId,
    /// Since when it is held, RFC 3339 UTC.
    pub since: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}, since {} (run {})", self.pid, self.host, self.since, self.run)
    }
}

/// A run that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Name of the run: sorted by time, unique among all hosts.
    pub id: RunId,
    /// Where it copies to.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// Name of the host that it runs on.
    pub host: String,
    /// Process id on that host, for messages alone.
    pub pid: u32,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Data files in the catalogue.
    pub catalogued: u64,
    /// The command's exit code (design.md 4).
    pub exit_code: u8,
    /// Its summary as the program prints it (JSON).
    pub json: String,
}

/// What [`Ledger::migrate`](crate::Ledger::migrate) did to the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Version of the tables before (0: none) and now.
    pub from: u32,
    /// Version of the tables now.
    pub to: u32,
    /// Rows of an original `datafilestatus` table that were adopted, if one was found just now.
    pub adopted: Option<u64>,
}

/// A copy that the original script recorded as OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// `authority/identifier` as it was then.
    pub dataset_identifier: String,
    /// The storage identifier as it was then.
    pub storage_identifier: String,
}
