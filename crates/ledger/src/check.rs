//! Copies that are looked at again, and what that has shown.

use std::collections::BTreeMap;

use dvb_fixity::{Algorithm, Proved};
use dvb_model::{DvObjectId, ObjectRole, Status};
use serde::{Deserialize, Serialize};

use crate::decode::version_column;
use crate::incident::{BY_ITSELF, Finding};
use crate::validate::{Place, storable};
use crate::{CopyRecord, EntryKind, LedgerError};

/// A copy whose turn it is to be looked at again, with what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCopy {
    /// The copy as the ledger has it.
    pub copy: CopyRecord,
    /// Whether it belongs to a data file or to a dataset itself.
    pub kind: EntryKind,
    /// PID of the dataset.
    pub dataset: Option<String>,
    /// Storage identifier of the data file as it stood in the database.
    pub storage_identifier: Option<String>,
    /// Newest name of the data file.
    pub label: Option<String>,
    /// What it belongs to has left the catalogue.
    pub gone: bool,
}

/// One copy that was looked at.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its data file or dataset.
    pub id: DvObjectId,
    /// Which of the data file's objects it is.
    pub role: ObjectRole,
    /// Which of its versions.
    pub version: u32,
    /// What the look at it has shown.
    pub found: Found,
}

/// What a look at a copy has shown.
#[derive(Debug, Clone)]
pub enum Found {
    /// The bytes on record.
    Good(Proved),
    /// The bytes on record, because they were put there just now.
    Mended {
        /// The comparison that the bytes passed after they were put there.
        proof: Proved,
        /// Where they came from.
        from: String,
        /// Where the bad bytes are; `None` where there were none.
        kept: Option<String>,
    },
    /// Nothing, or other bytes; the finding is of the copy of this [`Check`].
    Damaged(Box<Finding>),
}

/// What a look at the source has shown of a data file that was safe. Its copies are not concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDamage {
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// The verdict to be recorded: `FAIL_READ` or `FAIL_CHECKSUM`.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
}

/// Why a verdict is taken back.
pub(crate) const UNFOUNDED: &str =
    "the ledger says OK, and has no proved copy of it: its tables were changed, or only a part of them was restored";

/// Behind which copy a page begins, as the columns of the databases have it.
pub(crate) fn place_of(after: Option<&CopyRecord>) -> (i64, String, i32) {
    after.map_or((i64::MIN, String::new(), 0), |it| (it.id.0, it.role.to_string(), version_column(it.version)))
}

/// A call of `record_checks` as the databases write it.
#[derive(Default)]
pub(crate) struct Checks<'a> {
    pub(crate) good: Vec<GoodRow<'a>>,
    pub(crate) damaged: Vec<Place>,
    pub(crate) findings: Vec<&'a Finding>,
    /// Why each data file or dataset is not safe any more.
    pub(crate) reasons: BTreeMap<i64, String>,
}

/// A copy that was proved anew.
pub(crate) struct GoodRow<'a> {
    pub(crate) place: Place,
    pub(crate) from: &'a str,
    pub(crate) kept: Option<&'a str>,
    pub(crate) evidence: &'static str,
    pub(crate) sha256: &'a [u8],
}

impl<'a> Checks<'a> {
    pub(crate) fn of(checks: &'a [Check]) -> Result<Self, LedgerError> {
        let mut all = Self::default();
        for check in checks {
            let place = (check.id, check.role.to_string(), check.version);
            let (proof, from, kept) = match &check.found {
                Found::Good(proof) => (proof, BY_ITSELF, None),
                Found::Mended { proof, from, kept } => (proof, from.as_str(), kept.as_deref()),
                Found::Damaged(finding) => {
                    let reason = all.reasons.entry(check.id.0).or_default();
                    if !reason.is_empty() {
                        reason.push_str("; ");
                    }
                    reason.push_str(&storable(&finding.detail));
                    all.damaged.push(place);
                    all.findings.push(finding);
                    continue;
                }
            };
            let sha256 = proof.measured().digest(Algorithm::Sha256);
            let sha256 = sha256.ok_or_else(|| unproved(&place, "was proved without its SHA-256"))?.as_bytes();
            all.good.push(GoodRow { place, from, kept, evidence: proof.evidence().name(), sha256 });
        }
        Ok(all)
    }
}

/// The proof is of something else than what the ledger has a copy of.
pub(crate) fn of_other_bytes(place: &Place) -> LedgerError {
    unproved(place, "was proved to be other bytes than the copy on record, or has none")
}

fn unproved(place: &Place, why: &str) -> LedgerError {
    LedgerError::Unproved { id: place.0, why: format!("{} version {} {why}", place.1, place.2) }
}
