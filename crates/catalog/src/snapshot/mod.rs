//! The catalogue in a file.
//!
//! JSON Lines in UTF-8, plain or compressed by zstd. Each line is an object whose `type` is one of:
//!
//! - `header`, the first line: a [`SnapshotHeader`];
//! - `dataset`, a [`Dataset`](dvb_model::Dataset) that is not harvested, in the order of `id`;
//! - `file`, a [`DataFile`](dvb_model::DataFile) in the order of `id`, behind all datasets, with its own dataset in it;
//! - `gone`, in a snapshot that a run left at its destination: a [`Gone`], in its place by `id` among the datasets or among
//!   the files;
//! - `event`, `incident`, `acknowledgement`, `purge`, `hold`, in a snapshot that a run left at its destination: the ledger's history behind
//!   everything else;
//! - `end`, the last line: the numbers of each as [`SnapshotCounts`]. A snapshot without it is cut off.
//!
//! A run leaves at its destination a snapshot with more in it: whose it is in the header, and a [`Held`] in the line of each
//! file, and of each dataset that was ever looked at.
//!
//! Fields are those of the types; one without a value may be left out. Fields that a reader does not know are passed
//! over. A format that older readers would misread gets a higher `version` in the header, and they refuse it.
//!
//! ```text
//! {"type":"header","format":"dataverse-backup catalogue","version":1,"made":"2025-01-02T03:04:05Z","source":"db:5432/dvndb"}
//! {"type":"dataset","id":7,"pid":"doi:10.5072/FK2/ABC","storage_pids":[{"authority":"10.5072","identifier":"FK2/ABC"}]}
//! {"type":"file","id":9,"dataset":{"id":7,…},"storage_identifier":"file://18f…","checksum_type":"MD5","checksum_value":"9e10…",…}
//! {"type":"end","datasets":1,"files":1}
//! ```
//!
//! So `zstdcat F | jq -r 'select(.type == "file") | [.dataset.pid, .versions[-1].label] | @tsv'` lists what there is.

mod copies;
mod read;
mod without;
mod write;

use dvb_model::{DestinationName, RunId};
use serde::{Deserialize, Serialize};

pub use copies::{Gone, GoneKind, Held, HeldEntry, HeldObject, HistoryKind};
pub use read::SnapshotCatalog;
pub use without::{Without, read_header};
pub use write::{SnapshotWriter, write_snapshot};

/// `format` in the header of a snapshot.
pub const SNAPSHOT_FORMAT: &str = "dataverse-backup catalogue";

/// The newest version of the format that this program reads, and the one of a snapshot with the ledger's history in it.
pub const SNAPSHOT_VERSION: u32 = 2;

/// The version of a snapshot without history.
pub const SNAPSHOT_WITHOUT_HISTORY: u32 = 1;

/// The first line of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// Name of the format: [`SNAPSHOT_FORMAT`].
    pub format: String,
    /// Version of the format, up to [`SNAPSHOT_VERSION`].
    pub version: u32,
    /// When its reading began, RFC 3339.
    pub made: String,
    /// What it was read from: host, port and database.
    pub source: String,
    /// The run that left it at a destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The name of that destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<DestinationName>,
    /// The id of the installation that it belongs to; snapshots from before there were ids have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// Where the run ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The newest snapshot at the destination before this one: so they are a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SnapshotLink>,
    /// Lawful purges after which it was written again, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<SnapshotRewriting>,
}

/// A snapshot was written again, without what was purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRewriting {
    /// Name of the purge's request.
    pub purge: RunId,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// SHA-256 of its bytes before, in hexadecimal digits: what a later snapshot has in `previous`.
    pub was: String,
}

/// A snapshot at a destination, by its name and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLink {
    /// Its name in the backup's own folder.
    pub name: String,
    /// SHA-256 of its bytes as they lie there, in hexadecimal digits.
    pub sha256: String,
}

/// The last line of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotCounts {
    /// Lines of type `dataset`.
    pub datasets: u64,
    /// Lines of type `file`.
    pub files: u64,
    /// Lines of type `gone`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Lines of the ledger's history.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub history: u64,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
