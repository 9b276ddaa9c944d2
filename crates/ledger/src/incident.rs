//! Damage and loss, from when it was found to when it was mended.

use std::fmt;

use dvb_fixity::{Digest, Evidence};
use dvb_model::{DvObjectId, ObjectRole, RunId};
use serde::{Deserialize, Serialize};

use crate::LedgerError;
use crate::decode::{bad_row, digest, number, parsed, version_column};
use crate::validate::storable;

/// Where something was bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// In a store of Dataverse.
    Store,
    /// At a destination of the backup.
    Destination,
}

impl Side {
    /// As the ledger spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Destination => "destination",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing is at the object's key.
    Missing,
    /// Other bytes are there, or no whole object.
    Damaged,
}

impl Loss {
    /// As the ledger spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
        }
    }
}

/// Bytes by their size and digest, as far as these are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// How many bytes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// A digest of them, of any algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Damage or loss of one object, as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its data file or dataset.
    pub id: DvObjectId,
    /// Which of the data file's objects it is.
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// On which side it is bad.
    pub side: Side,
    /// Driver id of the store, or name of the destination.
    pub place: String,
    /// Its key in the store or at the destination.
    pub key: String,
    /// Whether it is gone, or something else is there.
    pub found: Loss,
    /// The same in a sentence.
    pub detail: String,
    /// Which command found it: `run`, `verify`, `audit`, `repair`, `restore`.
    pub command: &'static str,
    /// What is on record.
    pub expected: Bytes,
    /// What was there, where it was read.
    pub actual: Bytes,
}

/// How one object was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mending {
    /// What was bad. Where no incident is open of it, this one begins now.
    pub of: Finding,
    /// Where the good bytes came from.
    pub from: String,
    /// How they were proved afterwards; `None` where they were only compared on their way.
    pub evidence: Option<Evidence>,
    /// Size of the good bytes.
    pub size: u64,
    /// SHA-256 of the good bytes.
    pub sha256: Digest,
    /// Where the bad bytes are; `None` where there were none.
    pub kept: Option<String>,
}

/// Damage or loss of one object. Found again before it is mended, it is the same incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number in the ledger.
    pub number: u64,
    /// Its data file or dataset.
    pub id: DvObjectId,
    /// Which of the data file's objects it is.
    #[serde(with = "as_text")]
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// On which side it was bad.
    pub side: Side,
    /// Driver id of the store, or name of the destination.
    pub place: String,
    /// Its key in the store or at the destination.
    pub key: String,
    /// In a word: `missing`, `damaged`.
    pub found: String,
    /// The same in a sentence.
    pub detail: String,
    /// Which command found it; `None` where nobody wrote that down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The run, or the look at it, that found it first.
    pub found_by: RunId,
    /// When, RFC 3339 UTC.
    pub found_at: String,
    /// What was on record.
    pub expected: Bytes,
    /// What was there, where it was read.
    pub actual: Bytes,
    /// How it was mended; `None` as long as it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<Mended>,
    /// What the administrator says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<IncidentNote>,
}

/// The administrator's own words about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentNote {
    /// The cause, as they see it.
    pub text: String,
    /// The user of the system who wrote it.
    pub by: String,
    /// When, RFC 3339 UTC.
    pub at: String,
}

/// The end of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// When, RFC 3339 UTC.
    pub at: String,
    /// The run, or the look at it, that found it good again.
    pub by: RunId,
    /// Where the good bytes came from.
    pub from: String,
    /// How they were proved afterwards.
    #[serde(default, with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Size of the good bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of the good bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Where the bad bytes are; `None` where there were none, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What a mended object's bytes are said to come from where this program has not put them there.
pub(crate) const BY_ITSELF: &str = "elsewhere: it was good again when it was checked";

/// A finding as the databases write it.
pub(crate) struct FindingRow<'a> {
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) version: i32,
    pub(crate) side: &'static str,
    pub(crate) place: &'a str,
    pub(crate) key: &'a str,
    pub(crate) found: &'a str,
    pub(crate) detail: String,
    pub(crate) command: &'a str,
    pub(crate) expected_size: Option<i64>,
    pub(crate) expected: Option<&'a [u8]>,
    pub(crate) actual_size: Option<i64>,
    pub(crate) actual: Option<&'a [u8]>,
}

impl<'a> FindingRow<'a> {
    pub(crate) fn of(it: &'a Finding) -> Self {
        Self {
            id: it.id.0,
            role: it.role.to_string(),
            version: version_column(it.version),
            side: it.side.name(),
            place: &it.place,
            key: &it.key,
            found: it.found.name(),
            detail: storable(&it.detail).into_owned(),
            command: it.command,
            expected_size: it.expected.size.map(size_column),
            expected: it.expected.digest.as_ref().map(Digest::as_bytes),
            actual_size: it.actual.size.map(size_column),
            actual: it.actual.digest.as_ref().map(Digest::as_bytes),
        }
    }
}

pub(crate) fn size_column(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(crate) struct IncidentRow {
    pub(crate) number: i64,
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) version: i32,
    pub(crate) side: String,
    pub(crate) place: String,
    pub(crate) key: String,
    pub(crate) found: String,
    pub(crate) detail: String,
    pub(crate) command: Option<String>,
    pub(crate) found_by: String,
    pub(crate) found_at: String,
    pub(crate) expected_size: Option<i64>,
    pub(crate) expected: Option<Vec<u8>>,
    pub(crate) actual_size: Option<i64>,
    pub(crate) actual: Option<Vec<u8>>,
    pub(crate) mended_at: Option<String>,
    pub(crate) mended_by: Option<String>,
    pub(crate) mended_from: Option<String>,
    pub(crate) evidence: Option<String>,
    pub(crate) size: Option<i64>,
    pub(crate) sha256: Option<Vec<u8>>,
    pub(crate) kept: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) note_by: Option<String>,
    pub(crate) note_at: Option<String>,
}

impl IncidentRow {
    /// The row of an incident, but for its number: each ledger counts for itself.
    pub(crate) fn of(it: &Incident) -> Self {
        let bytes = |bytes: &Bytes| {
            (bytes.size.map(size_column), bytes.digest.as_ref().map(|digest| digest.as_bytes().to_vec()))
        };
        let (expected_size, expected) = bytes(&it.expected);
        let (actual_size, actual) = bytes(&it.actual);
        let mended = it.mended.as_ref();
        Self {
            number: 0,
            id: it.id.0,
            role: it.role.to_string(),
            version: version_column(it.version),
            side: it.side.name().to_owned(),
            place: it.place.clone(),
            key: it.key.clone(),
            found: it.found.clone(),
            detail: storable(&it.detail).into_owned(),
            command: it.command.clone(),
            found_by: it.found_by.0.clone(),
            found_at: it.found_at.clone(),
            expected_size,
            expected,
            actual_size,
            actual,
            mended_at: mended.map(|mended| mended.at.clone()),
            mended_by: mended.map(|mended| mended.by.0.clone()),
            mended_from: mended.map(|mended| mended.from.clone()),
            evidence: mended.and_then(|mended| mended.evidence).map(|evidence| evidence.name().to_owned()),
            size: mended.and_then(|mended| mended.size).map(size_column),
            sha256: mended.and_then(|mended| mended.sha256.as_ref()).map(|digest| digest.as_bytes().to_vec()),
            kept: mended.and_then(|mended| mended.kept.clone()),
            note: it.note.as_ref().map(|note| note.text.clone()),
            note_by: it.note.as_ref().map(|note| note.by.clone()),
            note_at: it.note.as_ref().map(|note| note.at.clone()),
        }
    }

    pub(crate) fn read(self) -> Result<Incident, LedgerError> {
        let id = self.id;
        let side = [Side::Store, Side::Destination].into_iter().find(|it| it.name() == self.side);
        let size = |it: Option<i64>| it.map(|it| number(it, "size", id)).transpose();
        let bytes = |length, bytes: Option<Vec<u8>>| -> Result<Bytes, LedgerError> {
            let digest = bytes.map(|it| digest(&it, id)).transpose()?;
            Ok(Bytes { size: size(length)?, digest })
        };
        let mended = match self.mended_at {
            None => None,
            Some(at) => Some(Mended {
                at,
                by: RunId(self.mended_by.unwrap_or_default()),
                from: self.mended_from.unwrap_or_default(),
                evidence: self.evidence.map(|it| parsed(&it, "evidence", id)).transpose()?,
                size: size(self.size)?,
                sha256: self.sha256.map(|it| digest(&it, id)).transpose()?,
                kept: self.kept,
            }),
        };
        let note = self.note.zip(self.note_at);
        let note = note.map(|(text, at)| IncidentNote { text, at, by: self.note_by.unwrap_or_default() });
        Ok(Incident {
            note,
            number: number(self.number, "number", id)?,
            id: DvObjectId(id),
            role: parsed(&self.role, "role", id)?,
            version: number(self.version, "version", id)?,
            side: side.ok_or_else(|| bad_row("side", id, &self.side))?,
            place: self.place,
            key: self.key,
            found: self.found,
            detail: self.detail,
            command: self.command,
            found_by: RunId(self.found_by),
            found_at: self.found_at,
            expected: bytes(self.expected_size, self.expected)?,
            actual: bytes(self.actual_size, self.actual)?,
            mended,
        })
    }
}

/// Values that have a name of their own.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is not known")))
    }
}

mod as_optional_text {
    use dvb_fixity::Evidence;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<Evidence>, to: S) -> Result<S::Ok, S::Error> {
        value.map(Evidence::name).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Evidence>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        // Evidence of a later version is not known here, and nothing rests on it.
        Ok(text.and_then(|text| text.parse().ok()))
    }
}
