//! What a run's snapshot tells of the copies at its destination.

use dvb_model::{DataFile, Dataset, DvObjectId, ObjectKey, Status};
use serde::{Deserialize, Serialize};

/// The verdict on a data file or dataset, and its copies: further fields of its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The last verdict; `PENDING` where there is none yet.
    pub status: Status,
    /// What `OK` rests on: `dataverse`, its checksum; or `first-seen`, where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_basis: Option<String>,
    /// Why it is not safe, or a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Copied while an ingest was under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// When the verdict was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
    /// Its proved copies, in the order of role and version.
    #[serde(default)]
    pub objects: Vec<HeldObject>,
    /// Copies that a later look found missing or changed: not to be given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<HeldObject>,
    /// Copies that an earlier snapshot tells of, and that were not proved since the ledger was made again from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<HeldObject>,
}

/// One copy at the destination that the snapshot was left at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldObject {
    /// `main`, `orig`, `aux:<tag>`, `member:<path>`, `dataset:<tag>`.
    pub role: String,
    /// 1 for the first bytes seen; changed bytes lie beside them with the next number.
    pub version: u32,
    /// Where it lies, below the destination's root.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// By which evidence it was proved last: `remote-hash` or `read-back`.
    pub evidence: String,
    /// When that was, RFC 3339.
    pub proved_at: String,
}

/// A data file or dataset that the catalogue does not have any more, and that has copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Which of the two.
    pub kind: GoneKind,
    /// Its id in Dataverse.
    pub id: DvObjectId,
    /// PID of its dataset as people write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// `<storage authority>/<storage identifier>`: its folder in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_identifier: Option<String>,
    /// Its column `dvobject.storageidentifier`, as it was last in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_identifier: Option<String>,
    /// Its newest name with its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was first missed; nothing where it left while the run was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<String>,
    /// The last verdict, and its copies.
    #[serde(flatten)]
    pub held: Held,
}

/// Which kind of row the catalogue does not have any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoneKind {
    /// A row of `datafile`.
    File,
    /// A row of `dataset`, whose own objects (its logo, for example) are copied.
    Dataset,
}

/// One line of a run's snapshot. Without a [`Held`] in the line, nothing is known of copies.
// The difference in size is that of one row in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)]
pub enum HeldEntry {
    /// A dataset of the catalogue.
    Dataset(Dataset, Option<Held>),
    /// A data file of the catalogue.
    DataFile(DataFile, Option<Held>),
    /// What the catalogue does not have any more.
    Gone(Gone),
    /// A line of the ledger's history.
    History(HistoryKind, serde_json::Value),
}

/// What a line of the ledger's history is; its fields are those of the ledger's own types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryKind {
    /// A command: who gave it, when, and how it ended.
    Event,
    /// Damage or loss of one object.
    Incident,
    /// A loss that the administrator has acknowledged.
    Acknowledgement,
    /// A lawful purge: who asked, who agreed, how far it has come.
    Purge,
    /// What may not be purged.
    Hold,
}
