//! The objects that a data file or a dataset has, and the verdict on a data file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an object is to its data file or dataset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectRole {
    /// The data file itself: `<name>`.
    Main,
    /// The saved original of a tabular file: `<name>.orig`.
    Original,
    /// `<name>.<tag>`: a row of `auxiliaryfile`, provenance, …
    Auxiliary(String),
    /// A file of a package, by its path below the package's folder (dataverse.md 2.8).
    Member(String),
    /// `<tag>` in the dataset's own folder: logo, cached export.
    DatasetLevel(String),
}

impl fmt::Display for ObjectRole {
    /// As the ledger and the snapshot spell it: `main`, `orig`, `aux:<tag>`, `member:<path>`, `dataset:<tag>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Original => f.write_str("orig"),
            Self::Auxiliary(tag) => write!(f, "aux:{tag}"),
            Self::Member(path) => write!(f, "member:{path}"),
            Self::DatasetLevel(tag) => write!(f, "dataset:{tag}"),
        }
    }
}

impl FromStr for ObjectRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "main" => Ok(Self::Main),
            None if text == "orig" => Ok(Self::Original),
            Some(("aux", tag)) => Ok(Self::Auxiliary(tag.to_owned())),
            Some(("member", path)) => Ok(Self::Member(path.to_owned())),
            Some(("dataset", tag)) => Ok(Self::DatasetLevel(tag.to_owned())),
            _ => Err(format!("unknown object role {text:?}")),
        }
    }
}

/// The verdict on one data file at one destination (design.md 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Every object is at the destination and was proved.
    Ok,
    /// Known, not copied yet.
    Pending,
    /// The source could not be read.
    FailRead,
    /// Read, but not what Dataverse recorded.
    FailChecksum,
    /// Could not be stored.
    FailWrite,
    /// Stored, but the destination holds other bytes.
    FailVerify,
    /// No bytes that a backup could read, by rule.
    NotCovered,
    /// Deleted by law: no copy is kept, and none is made again.
    Purged,
}

impl Status {
    /// All values, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Pending,
        Self::FailRead,
        Self::FailChecksum,
        Self::FailWrite,
        Self::FailVerify,
        Self::NotCovered,
        Self::Purged,
    ];

    /// As the ledger, the reports and the original's table spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Pending => "PENDING",
            Self::FailRead => "FAIL_READ",
            Self::FailChecksum => "FAIL_CHECKSUM",
            Self::FailWrite => "FAIL_WRITE",
            Self::FailVerify => "FAIL_VERIFY",
            Self::NotCovered => "NOT_COVERED",
            Self::Purged => "PURGED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| format!("unknown status {text:?}"))
    }
}
