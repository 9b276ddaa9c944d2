//! Snapshots that a run left at its destination: more in each line, and what is gone.

use std::fs;
use std::ops::ControlFlow;

use dvb_catalog::snapshot::{Gone, GoneKind, Held, HeldEntry, HeldObject, HistoryKind};
use dvb_catalog::{
    Detail, Entry, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SnapshotCatalog, SnapshotCounts, SnapshotHeader, SnapshotLink,
    SnapshotWriter,
};
use dvb_model::{DataFile, Dataset, DestinationName, DvObjectId, ObjectKey, RunId, Status, StoragePid};

use crate::bench::MADE;
use crate::{entries, told};

fn dataset() -> Dataset {
    Dataset {
        id: DvObjectId(2),
        pid: "doi:10.5072/FK2/A".into(),
        alternative_pids: Vec::new(),
        storage_pids: vec![StoragePid { authority: "10.5072".into(), identifier: "FK2/A".into() }],
        storage_identifier: None,
        ingest_locked: false,
        garbled: Vec::new(),
    }
}

fn file(id: i64) -> DataFile {
    let line = format!(r#"{{"id":{id},"checksum_type":"MD5","checksum_value":"9e","content_type":"text/csv"}}"#);
    serde_json::from_str(&line).unwrap()
}

fn object(role: &str) -> HeldObject {
    HeldObject {
        role: role.into(),
        version: 1,
        key: ObjectKey::new(&format!("10.5072/FK2/A/{role}")).unwrap(),
        size: 5,
        sha256: "ab".repeat(32),
        evidence: "remote-hash".into(),
        proved_at: MADE.into(),
    }
}

fn held(status: Status, objects: Vec<HeldObject>) -> Held {
    Held {
        status,
        checksum_basis: (status == Status::Ok).then(|| "dataverse".into()),
        reason: None,
        provisional: false,
        recorded_at: Some(MADE.into()),
        objects,
        damaged: Vec::new(),
        claimed: Vec::new(),
    }
}

fn gone(kind: GoneKind, id: i64) -> Gone {
    Gone {
        kind,
        id: DvObjectId(id),
        dataset: Some("doi:10.5072/FK2/A".into()),
        dataset_identifier: Some("10.5072/FK2/A".into()),
        storage_identifier: Some("file://18f".into()),
        label: Some("data/a.csv".into()),
        gone_since: Some(MADE.into()),
        held: held(Status::Ok, vec![object("main")]),
    }
}

fn all() -> Vec<HeldEntry> {
    let damaged = Held {
        damaged: vec![object("main")],
        claimed: vec![object("orig")],
        reason: Some("lost".into()),
        ..held(Status::FailRead, vec![])
    };
    vec![
        HeldEntry::Gone(gone(GoneKind::Dataset, 1)),
        HeldEntry::Dataset(dataset(), Some(held(Status::Ok, vec![object("dataset:logo")]))),
        HeldEntry::Dataset(Dataset { id: DvObjectId(7), ..dataset() }, None),
        HeldEntry::DataFile(file(3), Some(held(Status::Ok, vec![object("main"), object("orig")]))),
        HeldEntry::Gone(gone(GoneKind::File, 4)),
        HeldEntry::DataFile(file(5), Some(damaged)),
        HeldEntry::DataFile(file(6), None),
        HeldEntry::History(HistoryKind::Incident, serde_json::json!({"id": 5})),
        HeldEntry::History(HistoryKind::Event, serde_json::json!({"id": "r"})),
    ]
}

fn header() -> SnapshotHeader {
    SnapshotHeader {
        format: SNAPSHOT_FORMAT.into(),
        version: SNAPSHOT_VERSION,
        made: MADE.into(),
        source: "db:5432/dvndb".into(),
        run: Some(RunId("20250102T030405Z-1".into())),
        installation: Some("0badcafe".to_owned()),
        destination: Some(DestinationName("default".into())),
        host: Some("backup.example.org".into()),
        previous: Some(SnapshotLink { name: "catalogue-before.jsonl.zst".into(), sha256: "cd".repeat(32) }),
        rewritten: Vec::new(),
    }
}

fn written() -> Vec<u8> {
    let mut writer = SnapshotWriter::new(Vec::new(), &header()).unwrap();
    for entry in all() {
        match entry {
            HeldEntry::Dataset(it, held) => writer.dataset(&it, held.as_ref()).unwrap(),
            HeldEntry::DataFile(it, held) => writer.file(&it, held.as_ref()).unwrap(),
            HeldEntry::Gone(it) => writer.gone(&it).unwrap(),
            HeldEntry::History(kind, it) => writer.history(kind, &it).unwrap(),
        }
    }
    let (bytes, counts) = writer.finish().unwrap();
    assert_eq!(counts, SnapshotCounts { datasets: 2, files: 3, gone: 2, history: 2 });
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<HeldEntry>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    fs::write(&path, bytes).unwrap();
    let mut found = Vec::new();
    let mut visit = |entry| {
        found.push(entry);
        ControlFlow::Continue(())
    };
    SnapshotCatalog::new(path).read_held(&mut visit).map_err(|it| told(&it))?;
    Ok(found)
}

#[test]
fn what_was_written_is_read_again_with_and_without_the_copies() {
    let bytes = written();
    assert_eq!(read(&bytes).unwrap(), all());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    fs::write(&path, &bytes).unwrap();
    let catalog = SnapshotCatalog::new(path);
    assert_eq!(catalog.header().unwrap(), header());
    let rows: Vec<Entry> = all()
        .into_iter()
        .filter_map(|entry| match entry {
            HeldEntry::Dataset(entry, _) => Some(Entry::Dataset(entry)),
            HeldEntry::DataFile(entry, _) => Some(Entry::DataFile(entry)),
            HeldEntry::Gone(_) | HeldEntry::History(..) => None,
        })
        .collect();
    assert_eq!(entries(&catalog, Detail::Full).unwrap(), rows);
}

/// A format that others read by `jq` does not change by accident.
#[test]
fn its_lines_are_these() {
    let text = String::from_utf8(zstd::decode_all(written().as_slice()).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            r#"{{"type":"header","format":"dataverse-backup catalogue","version":2,"made":"{MADE}","source":"db:5432/dvndb","run":"20250102T030405Z-1","destination":"default","installation":"0badcafe","host":"backup.example.org","previous":{{"name":"catalogue-before.jsonl.zst","sha256":"{}"}}}}"#,
            "cd".repeat(32)
        )
    );
    let object = |role: &str| {
        format!(
            r#"{{"role":"{role}","version":1,"key":"10.5072/FK2/A/{role}","size":5,"sha256":"{}","evidence":"remote-hash","proved_at":"{MADE}"}}"#,
            "ab".repeat(32)
        )
    };
    let ok = format!(r#""status":"OK","checksum_basis":"dataverse","recorded_at":"{MADE}""#);
    assert_eq!(
        lines[1],
        format!(
            r#"{{"type":"gone","kind":"dataset","id":1,"dataset":"doi:10.5072/FK2/A","dataset_identifier":"10.5072/FK2/A","storage_identifier":"file://18f","label":"data/a.csv","gone_since":"{MADE}",{ok},"objects":[{}]}}"#,
            object("main")
        )
    );
    assert!(lines[4].starts_with(r#"{"type":"file","id":3,"dataset":null,"storage_identifier":null,"#), "{}", lines[4]);
    assert!(lines[4].ends_with(&format!(r#",{ok},"objects":[{},{}]}}"#, object("main"), object("orig"))));
    let failed = format!(
        r#","status":"FAIL_READ","reason":"lost","recorded_at":"{MADE}","objects":[],"damaged":[{}],"claimed":[{}]}}"#,
        object("main"),
        object("orig")
    );
    assert!(lines[6].ends_with(&failed), "{}", lines[6]);
    assert_eq!(lines[8..10], [r#"{"type":"incident","id":5}"#, r#"{"type":"event","id":"r"}"#]);
    assert_eq!(lines[10], r#"{"type":"end","datasets":2,"files":3,"gone":2,"history":2}"#);
}

#[test]
fn what_is_gone_is_counted_too() {
    let text = String::from_utf8(zstd::decode_all(written().as_slice()).unwrap()).unwrap();
    let without: String = text.split_inclusive('\n').enumerate().filter(|it| it.0 != 5).map(|it| it.1).collect();
    let error = read(without.as_bytes()).unwrap_err();
    let counts = "it counts 2 datasets and 3 files and 2 gone, but 2 and 3 and 1 stand before it";
    assert!(error.contains(counts), "{error}");
    let wrong = text.replacen(r#""status":"OK""#, r#""status":"FINE""#, 2);
    assert!(read(wrong.as_bytes()).unwrap_err().contains("line 2"), "{wrong}");
}
