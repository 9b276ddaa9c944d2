//! What is known of the source: sizes that its objects had, and when they were last read.

use dvb_model::{DvObjectId, ObjectRole};

/// The size that an object had when its newest bytes were copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSize {
    /// Id of its data file: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// Which of the data file's objects it is.
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// Its size in bytes when it was copied.
    pub size: u64,
}

/// A data file that is safe, and when it was last read in its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Id of the data file or dataset: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// RFC 3339 UTC with milliseconds; empty where it is not known to have been read.
    pub at: String,
}
