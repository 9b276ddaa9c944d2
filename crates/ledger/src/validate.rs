//! What a call of `record` changes, worked out before anything is written: no verdict `OK` passes here without its proofs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use dvb_fixity::{Algorithm, Proved};
use dvb_model::{DvObjectId, Status};

use crate::{Basis, CopyState, EntryKind, Finding, LedgerError, ObjectProof, Record, Verdict};

/// Names one copy at a destination: data file or dataset, role as text, version.
pub(crate) type Place = (DvObjectId, String, u32);

/// What the database holds at a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) key: String,
    pub(crate) state: CopyState,
}

/// A row of `backup_state` to be written.
pub(crate) struct StateRow<'a> {
    pub(crate) id: i64,
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    pub(crate) fingerprint: &'a str,
    pub(crate) reason: Option<Cow<'a, str>>,
    pub(crate) basis: Option<&'static str>,
    pub(crate) provisional: bool,
    pub(crate) dataset: Option<Cow<'a, str>>,
    pub(crate) dataset_identifier: Option<Cow<'a, str>>,
    pub(crate) storage_identifier: Option<Cow<'a, str>>,
    pub(crate) label: Option<Cow<'a, str>>,
    pub(crate) method: &'a str,
    /// An object was proved just now.
    pub(crate) backed_up: bool,
    /// It is safe, and its bytes were read at the source just now.
    pub(crate) audited: bool,
}

/// A copy that was proved just now.
pub(crate) struct ProofRow<'a> {
    pub(crate) place: Place,
    /// The store that was read.
    pub(crate) read_from: Option<&'a str>,
    pub(crate) proof: &'a Proved,
    pub(crate) adopted: bool,
}

impl ProofRow<'_> {
    pub(crate) fn size(&self) -> i64 {
        // No file system or database of ours has an object of 2^63 bytes.
        i64::try_from(self.proof.measured().size).unwrap_or(i64::MAX)
    }

    pub(crate) fn digest(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.proof.measured().digest(algorithm).map(dvb_fixity::Digest::as_bytes)
    }
}

/// What is to be written.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    pub(crate) states: Vec<StateRow<'a>>,
    pub(crate) proofs: Vec<ProofRow<'a>>,
    pub(crate) damaged: Vec<Place>,
    pub(crate) findings: Vec<&'a Finding>,
    /// What is proved to be safe now, with the store that was read, if any.
    pub(crate) safe: Vec<(i64, Option<&'a str>)>,
}

/// The copies that the records speak of as proved.
pub(crate) fn places(records: &[Record]) -> Vec<Place> {
    records.iter().flat_map(|record| objects(&record.verdict).iter().map(|it| place(record.id, it))).collect()
}

/// Cuts the records so that no part holds two verdicts on one thing: the last one of a call counts.
pub(crate) fn parts(mut records: &[Record]) -> Vec<&[Record]> {
    let mut parts = Vec::with_capacity(1);
    while !records.is_empty() {
        let mut seen = HashSet::with_capacity(records.len());
        let end = records.iter().position(|it| !seen.insert(it.id)).unwrap_or(records.len());
        let (part, rest) = records.split_at(end);
        parts.push(part);
        records = rest;
    }
    parts
}

/// Checks every verdict against what is `known` of the copies, and says what to write.
pub(crate) fn validate<'a>(records: &'a [Record], known: &HashMap<Place, Known>) -> Result<Changes<'a>, LedgerError> {
    let mut changes = Changes::default();
    for record in records {
        let objects = objects(&record.verdict);
        if matches!(&record.verdict, Verdict::Safe { .. }) && record.kind == EntryKind::DataFile && objects.is_empty() {
            return Err(unproved(record.id, "OK for a data file without any object".into()));
        }
        let proofs_before = changes.proofs.len();
        for object in objects {
            changes.proofs.extend(check_object(record, object, known)?);
        }
        let backed_up = changes.proofs.len() > proofs_before;
        if let Verdict::Failed { damaged, .. } = &record.verdict {
            changes.damaged.extend(damaged.iter().map(|(role, version)| (record.id, role.to_string(), *version)));
        }
        changes.findings.extend(&record.found);
        if let Verdict::Safe { .. } = &record.verdict {
            changes.safe.push((record.id.0, record.read_from.as_deref()));
        }
        changes.states.push(state_row(record, backed_up)?);
    }
    Ok(changes)
}

fn objects(verdict: &Verdict) -> &[ObjectProof] {
    match verdict {
        Verdict::Safe { objects, .. } | Verdict::Failed { objects, .. } => objects,
        Verdict::NotCovered { .. } | Verdict::Pending => &[],
    }
}

/// What was adopted may have been compared with the recorded checksum alone.
fn is_read(object: &ObjectProof) -> bool {
    matches!(object, ObjectProof::Now { adopted: false, .. })
}

fn place(id: DvObjectId, object: &ObjectProof) -> Place {
    match object {
        ObjectProof::Now { role, version, .. } | ObjectProof::Before { role, version } => {
            (id, role.to_string(), *version)
        }
    }
}

fn check_object<'a>(
    record: &'a Record,
    object: &'a ObjectProof,
    known: &HashMap<Place, Known>,
) -> Result<Option<ProofRow<'a>>, LedgerError> {
    let (id, read_from) = (record.id, record.read_from.as_deref());
    let place = place(id, object);
    let on_record = known.get(&place);
    match object {
        ObjectProof::Now { key, proof, adopted, .. } => match on_record {
            Some(it) if it.key == key.as_str() => Ok(Some(ProofRow { place, read_from, proof, adopted: *adopted })),
            Some(_) | None => {
                let why = format!("{} version {} was proved at {key}, a key not reserved for it", place.1, place.2);
                Err(unproved(id, why))
            }
        },
        ObjectProof::Before { .. } => match on_record.map(|it| it.state) {
            Some(CopyState::Proved) => Ok(None),
            Some(CopyState::Reserved | CopyState::Damaged | CopyState::Claimed) | None => {
                Err(unproved(id, format!("there is no earlier proof of {} version {}", place.1, place.2)))
            }
        },
    }
}

fn state_row(record: &Record, backed_up: bool) -> Result<StateRow<'_>, LedgerError> {
    let (status, reason, basis, provisional): (_, Option<&str>, Option<Basis>, _) = match &record.verdict {
        Verdict::Safe { basis, provisional, note, .. } => (Status::Ok, note.as_deref(), Some(*basis), *provisional),
        Verdict::Failed { status, reason, .. } => (failure(record.id, *status)?, Some(reason), None, false),
        Verdict::NotCovered { reason } => (Status::NotCovered, Some(reason), None, false),
        Verdict::Pending => (Status::Pending, None, None, false),
    };
    Ok(StateRow {
        id: record.id.0,
        kind: record.kind.name(),
        status: status.name(),
        fingerprint: &record.fingerprint,
        reason: reason.map(storable),
        basis: basis.map(Basis::name),
        provisional,
        dataset: record.dataset.as_deref().map(storable),
        dataset_identifier: record.dataset_identifier.as_deref().map(storable),
        storage_identifier: record.storage_identifier.as_deref().map(storable),
        label: record.label.as_deref().map(storable),
        method: record.method,
        backed_up,
        audited: status == Status::Ok && objects(&record.verdict).iter().any(is_read),
    })
}

fn failure(id: DvObjectId, status: Status) -> Result<Status, LedgerError> {
    match status {
        Status::FailRead | Status::FailChecksum | Status::FailWrite | Status::FailVerify => Ok(status),
        Status::Ok | Status::Pending | Status::NotCovered | Status::Purged => {
            Err(unproved(id, format!("{status} was given as a failure")))
        }
    }
}

/// PostgreSQL's text cannot hold NUL, which messages of other programs may.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

fn unproved(id: DvObjectId, why: String) -> LedgerError {
    LedgerError::Unproved { id, why }
}
