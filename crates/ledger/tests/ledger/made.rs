//! What the tests put into a ledger.

use dvb_fixity::{Algorithm, Evidence, Measured, Observed, Proved};
use dvb_ledger::{Basis, EntryKind, Holder, Ledger, ObjectProof, Record, Reservation, Run, Verdict};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};

pub(crate) fn here() -> DestinationName {
    DestinationName("default".into())
}

pub(crate) fn there() -> DestinationName {
    DestinationName("second".into())
}

pub(crate) fn run() -> RunId {
    RunId("20260102T030405Z-one".into())
}

pub(crate) fn a_run(id: &str, started: &str) -> Run {
    Run {
        id: RunId(id.into()),
        destination: here(),
        started: started.into(),
        host: "backup.example.org".into(),
        pid: 7,
    }
}

pub(crate) fn holder(run: &str) -> Holder {
    Holder {
        host: "h".into(),
        pid: std::process::id(),
        run: RunId(run.into()),
        since: "2026-01-02T03:04:05.000Z".into(),
    }
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

pub(crate) fn main_key(id: i64) -> ObjectKey {
    key(&format!("10.5072/FK2/ABC/{id}"))
}

pub(crate) fn measured(bytes: &[u8]) -> Measured {
    Measured::of(bytes, &[Algorithm::Md5])
}

pub(crate) fn proof(bytes: &[u8]) -> Proved {
    let measured = measured(bytes);
    let digest = measured.digest(Algorithm::Md5).unwrap().clone();
    let size = Some(measured.size);
    Proved::by(measured, &Observed { digest, size, evidence: Evidence::RemoteHash }).unwrap()
}

pub(crate) fn now(role: ObjectRole, version: u32, key: ObjectKey, bytes: &[u8]) -> ObjectProof {
    ObjectProof::Now { role, version, key, proof: proof(bytes), adopted: false }
}

pub(crate) fn before(role: ObjectRole, version: u32) -> ObjectProof {
    ObjectProof::Before { role, version }
}

pub(crate) fn wish(id: i64, role: ObjectRole, version: u32, key: ObjectKey) -> Reservation {
    Reservation { id: DvObjectId(id), role, version, key }
}

pub(crate) fn safe(objects: Vec<ObjectProof>) -> Verdict {
    Verdict::Safe { basis: Basis::Dataverse, objects, provisional: false, note: None }
}

pub(crate) fn failed(status: Status, objects: Vec<ObjectProof>, damaged: Vec<(ObjectRole, u32)>) -> Verdict {
    Verdict::Failed { status, reason: "because".into(), objects, damaged }
}

pub(crate) fn record(id: i64, verdict: Verdict) -> Record {
    Record {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some("doi:10.5072/FK2/ABC".into()),
        dataset_identifier: Some("10.5072/FK2/ABC".into()),
        storage_identifier: Some(format!("file://{id}")),
        label: Some(format!("data/{id}.csv")),
        fingerprint: "f".repeat(32),
        method: "ssh",
        verdict,
        found: Vec::new(),
        read_from: None,
    }
}

/// Reserves and records the main objects of these data files as copied just now.
pub(crate) fn copy_all(ledger: &dyn Ledger, destination: &DestinationName, ids: impl IntoIterator<Item = i64>) {
    let ids: Vec<i64> = ids.into_iter().collect();
    let wishes: Vec<_> = ids.iter().map(|id| wish(*id, ObjectRole::Main, 1, main_key(*id))).collect();
    let owners = ledger.reserve(destination, &wishes).unwrap();
    assert!(owners.iter().zip(&ids).all(|(owner, id)| owner.0 == *id));
    let copied = |id: &i64| record(*id, safe(vec![now(ObjectRole::Main, 1, main_key(*id), b"bytes")]));
    ledger.record(destination, &run(), &ids.iter().map(copied).collect::<Vec<_>>()).unwrap();
}

pub(crate) fn status_of(ledger: &dyn Ledger, id: i64) -> Option<Status> {
    let states = ledger.states(&here(), EntryKind::DataFile).map(Result::unwrap);
    states.into_iter().find(|it| it.id.0 == id).map(|it| it.status)
}
