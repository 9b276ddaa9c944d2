//! A ledger with a history, and the facts that go with it.

use std::time::Duration;

use dvb_fixity::{Algorithm, Evidence, Measured, Observed, Proved};
use dvb_ledger::{
    Acknowledgement, Agent, Basis, Bytes, EntryKind, Event, EventEnd, History as _, Identity as _, Incident,
    IncidentNote, Ledger, Mended, ObjectProof, Record, Reservation, Run, RunLog as _, RunSummary, Side, SqliteLedger,
    Verdict, Verdicts as _,
};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};
use dvb_report::{DestinationFacts, Facts, LockFacts, StoreFacts};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a name may hold that a page must not.
pub(crate) const NASTY: &str = "<script>alert('x')</script>\"&\u{202e}txt.exe\u{1b}[2J";

pub(crate) fn here() -> DestinationName {
    DestinationName("default".into())
}

pub(crate) fn there() -> DestinationName {
    DestinationName("elsewhere".into())
}

pub(crate) fn agent() -> Agent {
    Agent { user: "keeper".into(), host: "vault.example.org".into(), program: "0.1.0".into() }
}

pub(crate) fn ledger(folder: &TempDir) -> SqliteLedger {
    let ledger = SqliteLedger::new(folder.path().join("ledger.db"));
    ledger.migrate().unwrap();
    ledger.installation("8c4e3f02-installation").unwrap();
    ledger
}

/// SQL beside the ledger: times of long ago are not recorded by calls.
pub(crate) fn execute(folder: &TempDir, sql: &str) {
    let db = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    db.execute_batch(sql).unwrap();
}

pub(crate) fn facts(public: bool) -> Facts {
    let destination = |name: DestinationName, protocol, location: &str| DestinationFacts {
        name,
        protocol,
        location: location.into(),
        place: Some("Room 12, Main Street".into()),
        medium: Some("hard disks, RAID 6".into()),
        region: Some("north".into()),
        administrator: Some("Alex Doe".into()),
        lock: None,
        evidence: "auto",
        verify_every: Some(Duration::from_secs(30 * 86_400)),
    };
    Facts {
        as_of: "2026-06-15T12:00:00Z".parse().unwrap(),
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        public,
        agent: agent(),
        ledger: "/var/lib/dataverse-backup/ledger.db".into(),
        stores: vec![StoreFacts { id: "s3prod".into(), kind: "s3".into() }],
        policy: vec![("VerifyEvery".into(), "30d".into()), ("AuditEvery".into(), "90d".into())],
        audit_every: Some(Duration::from_secs(90 * 86_400)),
        destinations: vec![
            destination(here(), "SFTP", "vault.example.org:/backup"),
            DestinationFacts {
                lock: Some(LockFacts { kind: "S3 object lock".into(), days: 365 }),
                verify_every: None,
                ..destination(there(), "S3", "bucket copies")
            },
        ],
    }
}

fn key(id: i64) -> ObjectKey {
    ObjectKey::new(&format!("10.5072/FK2/SECRET/{id}")).unwrap()
}

fn proof(bytes: &[u8]) -> Proved {
    let measured = Measured::of(bytes, &[Algorithm::Md5]);
    let digest = measured.digest(Algorithm::Md5).unwrap().clone();
    let size = Some(measured.size);
    Proved::by(measured, &Observed { digest, size, evidence: Evidence::RemoteHash }).unwrap()
}

pub(crate) fn record(id: i64, verdict: Verdict) -> Record {
    Record {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some("doi:10.5072/FK2/SECRET".into()),
        dataset_identifier: Some("10.5072/FK2/SECRET".into()),
        storage_identifier: Some(format!("s3prod://{id}")),
        label: Some(format!("secret-{id}.csv")),
        fingerprint: "f".repeat(32),
        method: "ssh",
        verdict,
        found: Vec::new(),
        read_from: Some("s3prod".into()),
    }
}

pub(crate) fn copy(ledger: &dyn Ledger, destination: &DestinationName, ids: std::ops::RangeInclusive<i64>) {
    let ids: Vec<i64> = ids.collect();
    let wishes: Vec<_> = ids
        .iter()
        .map(|id| Reservation { id: DvObjectId(*id), role: ObjectRole::Main, version: 1, key: key(*id) })
        .collect();
    ledger.reserve(destination, &wishes).unwrap();
    let copied = |id: &i64| {
        let proof = proof(&vec![7; 1_000]);
        let object = ObjectProof::Now { role: ObjectRole::Main, version: 1, key: key(*id), proof, adopted: false };
        record(*id, Verdict::Safe { basis: Basis::Dataverse, objects: vec![object], provisional: false, note: None })
    };
    let records: Vec<_> = ids.iter().map(copied).collect();
    ledger.record(destination, &RunId("r0".into()), &records).unwrap();
}

pub(crate) fn event(id: &str, command: &str, started: &str, end: Option<(u8, Value)>) -> Event {
    Event {
        id: RunId(id.into()),
        command: command.into(),
        started: started.into(),
        agent: agent(),
        scope: "everything".into(),
        destinations: vec![here()],
        overrides: Vec::new(),
        end: end.map(|(exit_code, counts)| EventEnd { finished: started.into(), exit_code, counts }),
    }
}

pub(crate) fn incident(number: u64, found_at: &str, detail: &str) -> Incident {
    let measured = Measured::of(b"bytes", &[]);
    Incident {
        number,
        id: DvObjectId(i64::try_from(number).unwrap()),
        role: ObjectRole::Main,
        version: 1,
        side: Side::Destination,
        place: "default".into(),
        key: format!("10.5072/FK2/SECRET/{number}"),
        found: "damaged".into(),
        detail: detail.into(),
        command: Some("verify".into()),
        found_by: RunId("r1".into()),
        found_at: found_at.into(),
        expected: Bytes { size: Some(5), digest: measured.digests.first().cloned() },
        actual: Bytes { size: Some(4), digest: None },
        mended: None,
        note: None,
    }
}

pub(crate) fn mended(incident: Incident, at: &str) -> Incident {
    let mended = Mended {
        at: at.into(),
        by: RunId("r2".into()),
        from: "store s3prod".into(),
        evidence: Some(Evidence::ReadBack),
        size: Some(5),
        sha256: Measured::of(b"bytes", &[]).digests.first().cloned(),
        kept: Some(".dataverse-backup/damaged/r2/secret".into()),
    };
    Incident { mended: Some(mended), ..incident }
}

/// Copies at both destinations, runs over months, damage, a loss, drills, an override.
pub(crate) fn with_history(folder: &TempDir) -> SqliteLedger {
    let ledger = ledger(folder);
    copy(&ledger, &here(), 1..=10);
    copy(&ledger, &there(), 1..=6);
    let failed = |reason: &str| Verdict::Failed {
        status: Status::FailRead,
        reason: reason.into(),
        objects: vec![],
        damaged: vec![],
    };
    let far = Verdict::NotCovered { reason: "store remote1: it is remote; reference remote1://secret".into() };
    ledger.record(&here(), &RunId("r0".into()), &[record(11, failed(NASTY)), record(12, far.clone())]).unwrap();
    ledger.record(&there(), &RunId("r0".into()), &[record(12, far)]).unwrap();
    execute(
        folder,
        "UPDATE backup_copy SET proved_at = '2026-06-10T00:00:00.000Z', first_seen = '2026-02-03T00:00:00.000Z';
         UPDATE backup_copy SET proved_at = '2026-04-01T00:00:00.000Z' WHERE id <= 2 AND destination = 1;
         UPDATE backup_state SET audited_at = '2026-05-01T00:00:00.000Z' WHERE audited_at <> '';",
    );
    let files = |catalogued: u64, failed: u64| {
        let files = json!({
            "catalogued": catalogued, "unchanged": catalogued - failed - 1, "copied": 0, "adopted": 0, "not_covered": 1,
            "failed": failed, "pending": 0
        });
        json!({ "default": { "files": files, "verified": { "checked": 4, "good": 4, "damaged": 0, "missing": 0 },
                             "audited": { "data_files": 3, "not_safe": 1 } } })
    };
    let mut events = vec![
        event("e1", "run", "2025-08-01T00:00:00.000Z", Some((0, files(5, 0)))),
        event("e2", "run", "2026-02-03T00:00:00.000Z", Some((0, files(9, 0)))),
        event("e3", "run", "2026-06-14T00:00:00.000Z", Some((3, files(12, 1)))),
        event(
            "e4",
            "verify",
            "2026-06-10T00:00:00.000Z",
            Some((4, json!({ "copies": { "checked": 10, "good": 9, "damaged": 1, "missing": 0 }, "bytes": 10 }))),
        ),
        event(
            "e5",
            "drill",
            "2026-06-01T00:00:00.000Z",
            Some((
                0,
                json!({ "population": 9, "sample": 20, "good": 19, "by_dataverse": 18, "bytes": 20_000, "milliseconds": 75_500 }),
            )),
        ),
        event("e6", "verify", "2026-06-15T01:00:00.000Z", None),
    ];
    events[2].overrides = vec!["accept-disappearance".into()];
    events[3].scope = format!("dataset {NASTY}");
    let note = IncidentNote { text: NASTY.into(), by: "keeper".into(), at: "2026-06-11T00:00:00.000Z".into() };
    let incidents = [
        mended(incident(1, "2025-07-02T00:00:00.000Z", "old"), "2025-07-03T00:00:00.000Z"),
        mended(incident(2, "2026-03-02T00:00:00.000Z", &"x".repeat(1_000)), "2026-03-03T00:00:00.000Z"),
        Incident { note: Some(note), ..incident(3, "2026-06-10T00:00:00.000Z", NASTY) },
        incident(11, "2026-06-14T00:00:00.000Z", "gone"),
    ];
    let acknowledged = Acknowledgement {
        id: DvObjectId(11),
        destination: here(),
        status: Status::FailRead,
        fingerprint: "f".repeat(32),
        copies: 0,
        at: "2026-06-14T10:00:00.000Z".into(),
        by: "keeper".into(),
        reason: NASTY.into(),
        ended_at: None,
    };
    ledger.take_over_history(&events, &incidents, &[acknowledged]).unwrap();
    let run = Run {
        id: RunId("e3".into()),
        destination: here(),
        started: "2026-06-14T00:00:00.000Z".into(),
        host: "vault.example.org".into(),
        pid: 1,
    };
    ledger.begin_run(&run).unwrap();
    let json = json!({ "snapshot": { "name": "catalogue-20260614.jsonl.zst", "sha256": "ab".repeat(32) } });
    let summary = RunSummary {
        finished: "2026-06-14T01:00:00.000Z".into(),
        catalogued: 12,
        exit_code: 3,
        json: json.to_string(),
    };
    ledger.finish_run(&run.id, &summary).unwrap();
    ledger
}
