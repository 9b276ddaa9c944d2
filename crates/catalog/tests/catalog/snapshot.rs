//! Snapshots: there and back, and what is refused.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use dvb_catalog::{
    Catalog, CatalogError, Detail, Entry, SnapshotCatalog, SnapshotCounts, SnapshotHeader, write_snapshot,
};
use dvb_model::{AuxiliaryFile, DataFile, Dataset, DvObjectId, Embargo, FileVersion, Retention, StoragePid, Tabular};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::bench::MADE;
use crate::{entries, told};

/// A catalogue in memory, which may fail at its end.
struct Listed {
    entries: Vec<Entry>,
    fails: bool,
}

impl Catalog for Listed {
    fn describe(&self) -> String {
        "db:5432/dvndb".into()
    }

    fn read(&self, detail: Detail, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), CatalogError> {
        assert_eq!(detail, Detail::Full, "a snapshot is for people too");
        for entry in &self.entries {
            if visit(entry.clone()).is_break() {
                return Ok(());
            }
        }
        let error = || CatalogError::Unreachable { target: self.describe(), source: "gone".into() };
        if self.fails { Err(error()) } else { Ok(()) }
    }
}

fn dataset(id: i64) -> Dataset {
    Dataset {
        id: DvObjectId(id),
        pid: format!("doi:10.5072/FK2/{id}"),
        alternative_pids: Vec::new(),
        storage_pids: vec![StoragePid { authority: "10.5072".into(), identifier: format!("FK2/{id}") }],
        storage_identifier: Some(format!("file://10.5072/FK2/{id}")),
        ingest_locked: id % 2 == 1,
        garbled: Vec::new(),
    }
}

fn file(id: i64) -> DataFile {
    DataFile {
        id: DvObjectId(id),
        pid: Some(format!("doi:10.5072/FK2/2/{id}")),
        dataset: Some(dataset(2)),
        storage_identifier: Some("file://18f".into()),
        checksum_type: "MD5".into(),
        checksum_value: "9e10".into(),
        content_type: "text/csv".into(),
        size: Some(7),
        tabular: None,
        ingest_status: Some('A'),
        restricted: false,
        embargo: Some(Embargo { until: "2031-05-06".into() }),
        retention: Some(Retention { until: "2041-07-08".into() }),
        provenance_entity: None,
        auxiliary: Vec::new(),
        versions: vec![FileVersion {
            state: "RELEASED".into(),
            version: Some("1.0".into()),
            label: "a.csv".into(),
            directory: None,
        }],
        garbled: Vec::new(),
    }
}

fn small() -> Listed {
    let entries = vec![
        Entry::Dataset(dataset(2)),
        Entry::Dataset(dataset(3)),
        Entry::DataFile(file(1)),
        Entry::DataFile(DataFile { dataset: None, ..file(4) }),
    ];
    Listed { entries, fails: false }
}

fn bytes(catalog: &dyn Catalog, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    write_snapshot(catalog, &mut out, MADE, compress).unwrap();
    out
}

fn stored(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misleading.jsonl.zst");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Reads all of it.
fn read(bytes: &[u8]) -> Result<Vec<Entry>, CatalogError> {
    let (_folder, path) = stored(bytes);
    entries(&SnapshotCatalog::new(path), Detail::Full)
}

/// A format that others read by `jq` does not change by accident.
#[test]
fn its_lines_are_these() {
    let text = String::from_utf8(bytes(&small(), false)).unwrap();
    let dataset = r#""id":2,"pid":"doi:10.5072/FK2/2","storage_pids":[{"authority":"10.5072","identifier":"FK2/2"}],"storage_identifier":"file://10.5072/FK2/2""#;
    let rest = r#""storage_identifier":"file://18f","checksum_type":"MD5","checksum_value":"9e10","content_type":"text/csv","size":7,"ingest_status":"A","restricted":false,"embargo":{"until":"2031-05-06"},"retention":{"until":"2041-07-08"},"versions":[{"state":"RELEASED","version":"1.0","label":"a.csv"}]"#;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        r#"{"type":"header","format":"dataverse-backup catalogue","version":1,"made":"2025-01-02T03:04:05Z","source":"db:5432/dvndb"}"#
    );
    assert_eq!(lines[1], format!(r#"{{"type":"dataset",{dataset}}}"#));
    assert!(lines[2].ends_with(r#","ingest_locked":true}"#), "{}", lines[2]);
    assert_eq!(
        lines[3],
        format!(r#"{{"type":"file","id":1,"pid":"doi:10.5072/FK2/2/1","dataset":{{{dataset}}},{rest}}}"#)
    );
    assert_eq!(lines[4], format!(r#"{{"type":"file","id":4,"pid":"doi:10.5072/FK2/2/4","dataset":null,{rest}}}"#));
    assert_eq!(lines[5], r#"{"type":"end","datasets":2,"files":2}"#);
    assert_eq!(lines.len(), 6);
    assert!(text.ends_with('\n'));
}

#[test]
fn it_says_what_was_written_and_when() {
    for compress in [false, true] {
        let mut out = Vec::new();
        let counts = write_snapshot(&small(), &mut out, MADE, compress).unwrap();
        assert_eq!(counts, SnapshotCounts { datasets: 2, files: 2, gone: 0, history: 0 });
        let (_folder, path) = stored(&out);
        let header = SnapshotCatalog::new(path).header().unwrap();
        let SnapshotHeader { version, made, source, .. } = header;
        assert_eq!((version, made.as_str(), source.as_str()), (1, MADE, "db:5432/dvndb"));
    }
}

/// What is refused after `text` was changed: line and message.
fn refusal(change: impl Fn(&str) -> String) -> String {
    let text = String::from_utf8(bytes(&small(), false)).unwrap();
    let changed = change(&text);
    assert!(text != changed, "nothing was changed");
    let error = read(changed.as_bytes()).unwrap_err();
    assert!(!error.is_transient());
    assert!(told(&error).contains("misleading.jsonl.zst"), "{error}");
    match error {
        CatalogError::BadLine { line, why, .. } => format!("{line}: {why}"),
        CatalogError::CutOff { line, .. } => format!("{line}: cut off"),
        CatalogError::NotASnapshot { .. } => "not a snapshot".into(),
        CatalogError::NewerSnapshot { found, known, .. } => format!("{found} newer than {known}"),
        other => panic!("{}", told(&other)),
    }
}

#[test]
fn what_is_wrong_is_refused_by_its_line() {
    let without = |n: usize| {
        move |text: &str| {
            let lines = text.split_inclusive('\n').enumerate();
            lines.filter(|it| it.0 != n).map(|it| it.1).collect()
        }
    };
    let replaced = |from: &'static str, to: &'static str| move |text: &str| text.replacen(from, to, 1);
    let swapped = |a: usize, b: usize| {
        move |text: &str| {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            lines.swap(a, b);
            lines.concat()
        }
    };
    assert_eq!(refusal(without(0)), "not a snapshot");
    assert_eq!(refusal(|_| String::new()), "not a snapshot");
    assert_eq!(refusal(replaced("dataverse-backup catalogue", "another")), "not a snapshot");
    assert_eq!(refusal(replaced(r#""version":1,"#, r#""version":3,"#)), "3 newer than 2");
    assert_eq!(refusal(without(5)), "6: cut off");
    let counts = "it counts 2 datasets and 2 files, but";
    assert_eq!(refusal(without(2)), format!("5: {counts} 1 and 2 stand before it"));
    assert_eq!(refusal(without(3)), format!("5: {counts} 2 and 1 stand before it"));
    assert_eq!(refusal(swapped(1, 2)), "3: dataset 2 behind dataset 3: ids ascend");
    assert_eq!(refusal(swapped(3, 4)), "5: data file 1 behind data file 4: ids ascend");
    assert_eq!(
        refusal(replaced(r#""type":"file","id":4"#, r#""type":"file","id":1"#)),
        "5: data file 1 behind data file 1: ids ascend"
    );
    assert_eq!(refusal(swapped(2, 3)), "4: dataset 3 behind the data files");
    assert_eq!(refusal(|text| format!("{text}\n")), "7: something follows the last line");
    assert_eq!(refusal(replaced("\"file\"", "\"folder\"")), "4: unknown type \"folder\"");
    assert_eq!(refusal(replaced("\n", "\n\n")), "2: EOF while parsing a value at line 2 column 0");
    assert!(refusal(replaced(r#""checksum_type":"MD5","#, "")).starts_with("4: missing field `checksum_type`"));
    assert!(
        refusal(replaced(r#""type":"dataset","id":2"#, r#""type":"dataset","id":"2""#)).starts_with("2: invalid type")
    );
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    for compress in [false, true] {
        let whole = bytes(&small(), compress);
        assert!(read(&whole).is_ok());
        for length in 0..whole.len() {
            let error = read(&whole[..length]).expect_err("half a snapshot was taken for a whole one");
            let expected = matches!(error, CatalogError::CutOff { .. } | CatalogError::NotASnapshot { .. });
            assert!(expected, "after {length} bytes: {}", told(&error));
        }
    }
}

#[test]
fn what_has_rotten_under_compression_is_refused() {
    let whole = bytes(&small(), true);
    for at in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[at] ^= 0x10;
        // Where a bit means nothing, the entries are the right ones.
        if let Ok(found) = read(&rotten) {
            assert!(found == small().entries, "byte {at}");
        }
    }
}

#[test]
fn what_others_write_is_read() {
    let text = String::from_utf8(bytes(&small(), false)).unwrap();
    // jq -S sorts keys; a later program may add some.
    let sorted =
        text.replace(r#"{"type":"file","#, r#"{"later":{"x":[1]},"#).lines().fold(String::new(), |all, line| {
            let line = match line.starts_with(r#"{"later""#) {
                true => format!(r#"{},"type":"file"}}"#, line.strip_suffix('}').unwrap()),
                false => line.to_owned(),
            };
            all + &line + "\n"
        });
    assert_eq!(read(sorted.as_bytes()).unwrap(), small().entries);
}

#[test]
fn several_frames_are_one_snapshot() {
    let text = bytes(&small(), false);
    let (a, b) = text.split_at(200);
    let frames = [a, b].map(|it| zstd::encode_all(it, 3).unwrap()).concat();
    assert_eq!(read(&frames).unwrap(), small().entries);
}

#[test]
fn no_file_is_told_with_its_cause() {
    let error = entries(&SnapshotCatalog::new("/nowhere/snapshot"), Detail::Full).unwrap_err();
    assert!(matches!(error, CatalogError::Unreadable { .. }), "{error:?}");
    assert!(told(&error).contains("/nowhere/snapshot") && told(&error).contains("No such file"), "{}", told(&error));
}

/// A disk with room for so many bytes.
struct Disk {
    room: usize,
    held: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.held.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.held.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_leaves_no_whole_snapshot() {
    for compress in [false, true] {
        let whole = bytes(&small(), compress).len();
        for room in 0..whole {
            let mut disk = Disk { room, held: Vec::new() };
            let error = write_snapshot(&small(), &mut disk, MADE, compress).unwrap_err();
            assert!(matches!(error, CatalogError::Full { .. }), "{}", told(&error));
            assert!(read(&disk.held).is_err());
        }
    }
}

#[test]
fn a_catalogue_that_fails_leaves_no_whole_snapshot() {
    for compress in [false, true] {
        let mut out = Vec::new();
        let error = write_snapshot(&Listed { fails: true, ..small() }, &mut out, MADE, compress).unwrap_err();
        assert!(error.is_transient(), "{}", told(&error));
        assert!(read(&out).is_err());
    }
}

prop_compose! {
    fn any_dataset()(
        id in any::<i64>(), pid in any::<String>(), storage in prop::collection::vec(any::<(String, String)>(), 1..3),
        storage_identifier in any::<Option<String>>(), ingest_locked in any::<bool>(),
        garbled in prop::collection::vec(any::<String>(), 0..2),
        alternative_pids in prop::collection::vec(any::<String>(), 0..2),
    ) -> Dataset {
        let storage_pids = storage.into_iter().map(|(authority, identifier)| StoragePid { authority, identifier }).collect();
        Dataset { id: DvObjectId(id), pid, alternative_pids, storage_pids, storage_identifier, ingest_locked, garbled }
    }
}

prop_compose! {
    fn any_parts()(
        tabular in prop::option::of(any::<(Option<String>, Option<u64>, Option<String>)>()),
        auxiliary in prop::collection::vec(any::<(String, String, Option<String>, Option<u64>, Option<String>)>(), 0..3),
        versions in prop::collection::vec(any::<(String, Option<String>, String, Option<String>)>(), 0..3),
        embargo in any::<Option<String>>(), retention in any::<Option<String>>(),
    ) -> (Option<Tabular>, Vec<AuxiliaryFile>, Vec<FileVersion>, Option<Embargo>, Option<Retention>) {
        let tabular = tabular.map(|(original_format, original_size, original_name)| {
            Tabular { original_format, original_size, original_name }
        });
        let auxiliary = auxiliary.into_iter().map(|(format_tag, format_version, content_type, size, checksum)| {
            AuxiliaryFile { format_tag, format_version, content_type, size, checksum }
        });
        let versions = versions.into_iter().map(|(state, version, label, directory)| {
            FileVersion { state, version, label, directory }
        });
        let embargo = embargo.map(|until| Embargo { until });
        (tabular, auxiliary.collect(), versions.collect(), embargo, retention.map(|until| Retention { until }))
    }
}

prop_compose! {
    fn any_file()(
        id in any::<i64>(), pid in any::<Option<String>>(), dataset in prop::option::of(any_dataset()), storage_identifier in any::<Option<String>>(),
        texts in any::<[String; 3]>(), size in any::<Option<u64>>(), ingest_status in any::<Option<char>>(),
        restricted in any::<bool>(), provenance_entity in any::<Option<String>>(), parts in any_parts(),
        garbled in prop::collection::vec(any::<String>(), 0..2),
    ) -> DataFile {
        let [checksum_type, checksum_value, content_type] = texts;
        let (tabular, auxiliary, versions, embargo, retention) = parts;
        DataFile {
            id: DvObjectId(id), pid, dataset, storage_identifier, checksum_type, checksum_value, content_type, size, tabular,
            ingest_status, restricted, embargo, retention, provenance_entity, auxiliary, versions, garbled,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn what_is_written_is_read(
        mut datasets in prop::collection::vec(any_dataset(), 0..6),
        mut files in prop::collection::vec(any_file(), 0..6),
        compress in any::<bool>(),
    ) {
        datasets.sort_by_key(|it| it.id);
        datasets.dedup_by_key(|it| it.id);
        files.sort_by_key(|it| it.id);
        files.dedup_by_key(|it| it.id);
        let entries = datasets.into_iter().map(Entry::Dataset).chain(files.into_iter().map(Entry::DataFile)).collect();
        let catalog = Listed { entries, fails: false };
        prop_assert_eq!(read(&bytes(&catalog, compress)).unwrap(), catalog.entries);
    }
}
