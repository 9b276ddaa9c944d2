//! All that is known of one data file, and what was mended.

use std::fmt;

use dvb_fixity::{Digest, Evidence};
use dvb_model::{DestinationName, DvObjectId, ObjectRole, RunId};

use crate::raw::{RawCopy, RawDetail, digest, number, parsed};
use crate::{Copy, LedgerError, StateDetail};

/// One data file or dataset at one destination, with all of its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custody {
    /// The destination.
    pub destination: DestinationName,
    /// The verdict, with what people need to know of it.
    pub detail: StateDetail,
    /// The original's word for how it is copied.
    pub method: String,
    /// When it was first seen in the catalogue.
    pub first_seen: String,
    /// When an object of it was last proved.
    pub last_backup: Option<String>,
    /// The run, or the look at it, that the verdict is of.
    pub run: RunId,
    /// Its copies, in the order of role and version.
    pub copies: Vec<CopyInCustody>,
}

/// A copy with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInCustody {
    /// The copy, with when and by which evidence it was proved last.
    pub copy: Copy,
    /// When these bytes were first seen.
    pub first_seen: String,
    /// It was found at the destination, not sent.
    pub adopted: bool,
}

/// Where something was bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In a store of Dataverse.
    Store,
    /// At a destination.
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

/// An object that was bad, and was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When; the ledger's own clock when it is recorded.
    pub mended_at: String,
    /// By which run.
    pub run: RunId,
    /// Its data file or dataset.
    pub id: DvObjectId,
    /// Which object.
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// On which side it was bad.
    pub side: Side,
    /// Driver id of the store, or name of the destination.
    pub place: String,
    /// Its key there.
    pub key: String,
    /// In a word: `missing`, `damaged`.
    pub found: String,
    /// The same in a sentence.
    pub detail: String,
    /// The run, or the look at it, that found it.
    pub found_by: String,
    /// When it was found, RFC 3339 UTC.
    pub found_at: String,
    /// Where the good bytes came from.
    pub mended_from: String,
    /// How it was proved afterwards.
    pub evidence: Evidence,
    /// Size of what is there now.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Where the bad bytes are; `None` where there were none.
    pub kept: Option<String>,
}

/// A state's row for [`Custody`].
pub(crate) struct RawCustody {
    pub(crate) destination: String,
    pub(crate) detail: RawDetail,
    pub(crate) method: String,
    pub(crate) first_seen: String,
    pub(crate) last_backup: Option<String>,
    pub(crate) run: String,
}

impl RawCustody {
    pub(crate) fn read(self, mut copies: Vec<CopyInCustody>) -> Result<Custody, LedgerError> {
        copies.sort_unstable_by(|a, b| (&a.copy.role, a.copy.version).cmp(&(&b.copy.role, b.copy.version)));
        Ok(Custody {
            destination: DestinationName(self.destination),
            detail: self.detail.read()?,
            method: self.method,
            first_seen: self.first_seen,
            last_backup: self.last_backup,
            run: RunId(self.run),
            copies,
        })
    }
}

pub(crate) fn copy_in_custody(copy: RawCopy, first_seen: String, adopted: bool) -> Result<CopyInCustody, LedgerError> {
    Ok(CopyInCustody { copy: copy.read()?, first_seen, adopted })
}

/// An incident's row.
pub(crate) struct RawIncident {
    pub(crate) mended_at: String,
    pub(crate) run: String,
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) version: i32,
    pub(crate) side: String,
    pub(crate) place: String,
    pub(crate) key: String,
    pub(crate) found: String,
    pub(crate) detail: String,
    pub(crate) found_by: String,
    pub(crate) found_at: String,
    pub(crate) mended_from: String,
    pub(crate) evidence: String,
    pub(crate) size: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) kept: Option<String>,
}

impl RawIncident {
    pub(crate) fn read(self) -> Result<Incident, LedgerError> {
        let id = self.id;
        let side = [Side::Store, Side::Destination].into_iter().find(|it| it.name() == self.side);
        Ok(Incident {
            mended_at: self.mended_at,
            run: RunId(self.run),
            id: DvObjectId(id),
            role: parsed(&self.role, "role", id)?,
            version: number(self.version, "version", id)?,
            side: side.ok_or_else(|| crate::raw::bad_row("side", id, &self.side))?,
            place: self.place,
            key: self.key,
            found: self.found,
            detail: self.detail,
            found_by: self.found_by,
            found_at: self.found_at,
            mended_from: self.mended_from,
            evidence: parsed(&self.evidence, "evidence", id)?,
            size: number(self.size, "size", id)?,
            sha256: digest(&self.sha256, id)?,
            kept: self.kept,
        })
    }
}
