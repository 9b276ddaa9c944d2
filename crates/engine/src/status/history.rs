//! Everything that is known of one data file: its copies with their history, and its incidents.

use dvb_fixity::{Digest, Evidence};
use dvb_ledger::{Bytes, CopyInCustody, CopyState, Custody, Incident, IncidentNote, Ledger, LedgerError, Side};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId};
use serde::Serialize;

/// What the ledger knows of one data file at all destinations.
#[derive(Debug, Clone)]
pub struct FileHistory {
    custody: Vec<Custody>,
    /// What was found bad of it anywhere, and whether it is mended, in the order of their numbers.
    pub incidents: Vec<IncidentStatus>,
}

/// Its history at one destination.
#[derive(Debug, Clone, Serialize)]
pub struct FileCustody {
    /// When its first row was recorded there, RFC 3339 UTC; `None` where there is none.
    pub first_seen: Option<String>,
    /// The run that the verdict is of.
    #[serde(skip)]
    pub run: Option<RunId>,
    /// Its copies at this destination, with all versions of each object.
    #[serde(rename = "custody")]
    pub copies: Vec<CopyCustody>,
}

/// One copy with its history; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct CopyCustody {
    /// Which object of the data file.
    pub object: String,
    /// From 1 on; each change of the bytes in the store makes one.
    pub version: u32,
    /// Its key below the destination's root.
    pub key: ObjectKey,
    /// `reserved`: nothing is proved to be there.
    #[serde(serialize_with = "super::files::name_of_state")]
    pub state: CopyState,
    /// Size in bytes; `None` where nothing was proved and no snapshot says it.
    pub size: Option<u64>,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: Option<String>,
    /// When its row was made, RFC 3339 UTC.
    pub first_seen: String,
    /// When it was last proved, RFC 3339 UTC.
    pub last_proved: Option<String>,
    /// By which evidence it was last proved: the destination's own digest, or reading back.
    #[serde(serialize_with = "name_of_evidence")]
    pub evidence: Option<Evidence>,
    /// It was found at the destination, not sent.
    pub adopted: bool,
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn name_of_evidence<S: serde::Serializer>(evidence: &Option<Evidence>, serializer: S) -> Result<S::Ok, S::Error> {
    evidence.map(Evidence::name).serialize(serializer)
}

impl FileHistory {
    /// Asks the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn of(ledger: &dyn Ledger, id: DvObjectId) -> Result<Self, LedgerError> {
        let incidents = ledger.incidents(id)?.into_iter().map(IncidentStatus::of).collect();
        Ok(Self { custody: ledger.history(id)?, incidents })
    }

    /// Its history at one destination.
    #[must_use]
    pub fn custody(&self, destination: &DestinationName) -> FileCustody {
        let here = || self.custody.iter().filter(|custody| custody.destination == *destination);
        FileCustody {
            first_seen: here().next().map(|custody| custody.first_seen.clone()),
            run: here().next().map(|custody| custody.run.clone()),
            copies: here().flat_map(|custody| &custody.copies).map(CopyCustody::of).collect(),
        }
    }
}

impl CopyCustody {
    fn of(held: &CopyInCustody) -> Self {
        let copy = &held.copy;
        Self {
            object: copy.role.to_string(),
            version: copy.version,
            key: copy.key.clone(),
            state: copy.state,
            size: copy.size,
            sha256: copy.sha256.as_ref().map(Digest::hex),
            first_seen: held.first_seen.clone(),
            last_proved: copy.proved_at.clone(),
            evidence: copy.evidence,
            adopted: held.adopted,
        }
    }
}

/// Bytes that were expected or found.
#[derive(Debug, Clone, Serialize)]
pub struct BytesStatus {
    /// How many bytes; `None` where that was not found out.
    pub size: Option<u64>,
    /// Algorithm of the digest: `MD5`, `SHA1`, `SHA256` or `SHA512`; `None` where there is no digest.
    pub algorithm: Option<String>,
    /// Digest of the bytes, in hexadecimal digits; `None` where none is known.
    pub digest: Option<String>,
}

impl BytesStatus {
    fn of(bytes: &Bytes) -> Self {
        let digest = bytes.digest.as_ref();
        Self {
            size: bytes.size,
            algorithm: digest.map(|digest| digest.algorithm().to_string()),
            digest: digest.map(Digest::hex),
        }
    }
}

/// An incident; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct IncidentStatus {
    /// Its number in the ledger.
    pub number: u64,
    /// It is not mended yet.
    pub open: bool,
    /// Which object of the data file.
    pub object: String,
    /// Which version of it.
    pub version: u32,
    /// Where it was bad.
    #[serde(serialize_with = "name_of_side")]
    pub side: Side,
    /// Driver id of the store, or name of the destination.
    pub place: String,
    /// Key of the object in the store or at the destination.
    pub key: String,
    /// What was wrong, in a word.
    pub found: String,
    /// The same in a sentence.
    pub detail: String,
    /// Which command found it.
    pub command: Option<String>,
    /// The run that found it first.
    pub found_by: RunId,
    /// When, RFC 3339 UTC.
    pub found_at: String,
    /// What somebody wrote about it.
    pub note: Option<IncidentNote>,
    /// The bytes that should have been there, by the ledger or Dataverse.
    pub expected: BytesStatus,
    /// The bytes that were there, as far as they were read.
    pub actual: BytesStatus,
    /// When it was mended, RFC 3339 UTC; `None` while it is open, as all that follows.
    pub mended_at: Option<String>,
    /// The run that mended it, or found it good again.
    pub run_id: Option<RunId>,
    /// The store or destination that the good bytes came from, in words.
    pub mended_from: Option<String>,
    /// What proved the new bytes.
    #[serde(serialize_with = "name_of_evidence")]
    pub evidence: Option<Evidence>,
    /// Size of the good bytes.
    pub size: Option<u64>,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Where the bad bytes are kept.
    pub kept: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn name_of_side<S: serde::Serializer>(side: &Side, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(side.name())
}

impl IncidentStatus {
    /// As the ledger has it.
    #[must_use]
    pub fn of(incident: Incident) -> Self {
        let (expected, actual) = (BytesStatus::of(&incident.expected), BytesStatus::of(&incident.actual));
        let mut status = Self {
            number: incident.number,
            open: incident.mended.is_none(),
            object: incident.role.to_string(),
            version: incident.version,
            side: incident.side,
            place: incident.place,
            key: incident.key,
            found: incident.found,
            detail: incident.detail,
            command: incident.command,
            found_by: incident.found_by,
            found_at: incident.found_at,
            note: incident.note,
            expected,
            actual,
            mended_at: None,
            run_id: None,
            mended_from: None,
            evidence: None,
            size: None,
            sha256: None,
            kept: None,
        };
        if let Some(mended) = incident.mended {
            status.mended_at = Some(mended.at);
            status.run_id = Some(mended.by);
            status.mended_from = Some(mended.from);
            status.evidence = mended.evidence;
            status.size = mended.size;
            status.sha256 = mended.sha256.as_ref().map(Digest::hex);
            status.kept = mended.kept;
        }
        status
    }
}
