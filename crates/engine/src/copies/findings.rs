//! What is found of copies, as the reports have it.

use dvb_model::{DvObjectId, ObjectKey};
use serde::{Deserialize, Serialize};

/// Copies in scope, by what was found. `checked` is `good`, `damaged` and `missing` together, and with `left` all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyCounts {
    /// Compared, or found missing.
    pub checked: u64,
    /// The bytes that were proved.
    pub good: u64,
    /// Copies with other bytes than were proved.
    pub damaged: u64,
    /// Copies where nothing lies at the key any more.
    pub missing: u64,
    /// Damaged or missing since before, of data files whose loss the administrator has acknowledged.
    pub acknowledged: u64,
    /// Not verified: no time was left, or it could not be read.
    pub left: u64,
    /// Those of `left` that could not be read.
    pub unreadable: u64,
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyFault {
    /// Nothing lies at its key.
    Missing,
    /// What lies there is no whole object: a segment of it is gone, say.
    Broken,
    /// It has another size than was proved.
    OtherSize,
    /// It has another digest than was proved.
    OtherDigest,
    /// It could not be read, which says nothing of its bytes.
    Unreadable,
}

impl CopyFault {
    /// As JSON and messages spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Broken => "broken",
            Self::OtherSize => "other-size",
            Self::OtherDigest => "other-digest",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A copy that is not what was proved, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its data file; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Storage identifier of the data file.
    pub storage_identifier: Option<String>,
    /// Newest name of the data file with its folder.
    pub name: Option<String>,
    /// Where it lies, or should.
    pub key: ObjectKey,
    /// What is wrong with it.
    pub what: CopyFault,
    /// The same in a sentence.
    pub reason: String,
}
