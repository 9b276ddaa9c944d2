//! What lies at the destination that the ledger does not name, and whose it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dvb_catalog::{Catalog, PostgresCatalog};
use dvb_engine::{
    ExitStatus, KnownBy, NullObserver, Orphan, OrphansOptions, OrphansSetup, OrphansSummary, RunError, new_run_id,
    orphans,
};
use dvb_model::{DestinationName, DvObjectId};
use dvb_pg::PostgresTarget;
use dvb_storage::Sink;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, destination, sink_at, target};
use crate::faults::{Fault, Plan};
use crate::wrapped::wrapped;

pub(crate) type Found = BTreeMap<String, Orphan>;

fn try_list(
    bench: &Bench,
    catalog: &dyn Catalog,
    sink: &dyn Sink,
    others: &[DestinationName],
) -> Result<(OrphansSummary, Found), RunError> {
    let here = destination();
    let setup = OrphansSetup {
        catalog,
        ledger: bench.ledger.as_ref(),
        destination: &here,
        others,
        sink,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let options = OrphansOptions { run: new_run_id(), spool_folder: bench.folder.path().to_owned(), held: 500 };
    let mut found = Found::new();
    let summary = orphans(&setup, &options, &mut |it| drop(found.insert(it.key.clone(), it.clone())))?;
    assert_eq!(summary.orphans_total, found.len() as u64);
    assert_eq!(summary.matched, found.values().filter(|it| !it.is.is_empty()).count() as u64);
    Ok((summary, found))
}

pub(crate) fn list(bench: &Bench) -> (OrphansSummary, Found) {
    try_list(bench, &bench.catalog(), bench.sink.as_ref(), &[]).unwrap()
}

pub(crate) fn listed_error(bench: &Bench) -> RunError {
    try_list(bench, &bench.catalog(), bench.sink.as_ref(), &[]).unwrap_err()
}

pub(crate) fn list_at(bench: &Bench, sink: &dyn Sink) -> (OrphansSummary, Found) {
    try_list(bench, &bench.catalog(), sink, &[]).unwrap()
}

/// Puts bytes at the destination that no run put there.
fn put(bench: &Bench, key: &str, bytes: &[u8]) {
    let path = bench.backup.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn owners(orphan: &Orphan) -> Vec<(Option<DvObjectId>, &str, KnownBy)> {
    orphan.is.iter().map(|it| (it.data_file_id, it.object.as_str(), it.known_by)).collect()
}

#[test]
fn where_the_ledger_names_everything_there_are_none() {
    for ledger in [LedgerKind::Sqlite, LedgerKind::Postgres] {
        let bench = Bench::of_every_kind(Schema::V6_9, ledger);
        bench.run();
        let before = files::tree(&bench.backup);
        let (summary, _) = list(&bench);
        assert_eq!((summary.orphans_total, summary.listed, summary.exit_code), (0, bench.copies().len() as u64, 0));
        assert!(files::tree(&bench.backup) == before, "nothing changes");
    }
}

#[test]
fn missing_files_are_found_by_size_and_digest() {
    let bench = Bench::of_files(12);
    bench.run();
    let key = |n: usize| bench.world.files[n].copies[0].0.clone();
    let id = |n: usize| Some(DvObjectId(bench.world.files[n].id));
    // One was moved away by hand, and verify missed it. Another one has a double, and is well.
    fs::create_dir(bench.backup.join("found")).unwrap();
    fs::rename(bench.backup.join(key(3)), bench.backup.join("found/river.csv")).unwrap();
    assert_eq!(crate::verify::verified(&bench).copies.missing, 1);
    put(&bench, "found/double of 4", &bench.world.files[4].copies[0].1.clone());
    put(&bench, "found/of that size", b"something");
    put(&bench, "found/of another", b"x");
    let before = files::tree(&bench.backup);
    let (summary, found) = list(&bench);
    assert!(files::tree(&bench.backup) == before, "nothing changes");
    assert_eq!((summary.orphans_total, summary.matched, summary.missing_files, summary.exit_code), (4, 1, 1, 0));
    let river = &found["found/river.csv"];
    assert_eq!(owners(river), [(id(3), "main", KnownBy::Ledger)]);
    assert_eq!(river.is[0].key.as_ref().map(|it| it.as_str().to_owned()), Some(key(3)));
    assert_eq!(river.is[0].dataset.as_deref(), Some("doi:10.5072/FK2/ONE"));
    assert!(river.is[0].name.is_some());
    assert_eq!(found["found/double of 4"].is, []);
    assert!(!found["found/of that size"].digests.is_empty(), "it had to be measured");
    assert!(found["found/of another"].digests.is_empty(), "nothing of its size is missing");
    // Moved back, it is as if nothing had been.
    fs::rename(bench.backup.join("found/river.csv"), bench.backup.join(key(3))).unwrap();
    assert_eq!(crate::verify::verified(&bench).exit_code, 0);
    assert_eq!((bench.run().files.unchanged, list(&bench).0.orphans_total), (12, 3));
}

#[test]
fn what_was_never_copied_is_known_by_dataverse() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    // The source has lost two before the first run.
    let (tab, plain) = (bench.world.of_kind("tabular"), bench.world.of_kind("md5"));
    let original = tab.copies.iter().find(|it| it.0.ends_with(".orig")).unwrap().clone();
    put(&bench, "old/a", &original.1);
    put(&bench, "old/b", &plain.copies[0].1);
    for (key, _) in tab.copies.iter().chain(&plain.copies) {
        fs::remove_file(bench.source_of(key)).unwrap();
    }
    bench.run();
    let (summary, found) = list(&bench);
    assert_eq!((summary.orphans_total, summary.exit_code), (2, 0), "{found:#?}");
    assert_eq!(owners(&found["old/a"]), [(Some(DvObjectId(tab.id)), "orig", KnownBy::Dataverse)]);
    assert_eq!(owners(&found["old/b"]), [(Some(DvObjectId(plain.id)), "main", KnownBy::Dataverse)]);
    assert!(summary.missing_files >= 2, "{summary:#?}");
}

#[test]
fn another_destination_tells_the_digest_of_what_dataverse_has_no_checksum_of() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let other = DestinationName("other".into());
    let tab = bench.world.of_kind("tabular");
    let main = tab.copies.iter().find(|it| !it.0.ends_with(".orig")).unwrap().clone();
    let folder = bench.folder.path().join("other");
    bench.run_to(&other, sink_at(&folder).as_ref(), &bench.options()).unwrap();
    put(&bench, "old/tab", &main.1);
    let catalog = bench.catalog();
    let (_, alone) = try_list(&bench, &catalog, bench.sink.as_ref(), &[]).unwrap();
    assert_eq!(owners(&alone["old/tab"]), []);
    let (_, found) = try_list(&bench, &catalog, bench.sink.as_ref(), &[other]).unwrap();
    assert_eq!(owners(&found["old/tab"]), [(Some(DvObjectId(tab.id)), "main", KnownBy::Ledger)]);
}

#[test]
fn one_object_may_be_several_files_and_several_objects_one() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/TWINS").id;
    for n in 0..2 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), b"twin");
    }
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    ["a", "b"].into_iter().for_each(|it| put(&bench, it, b"twin"));
    let (summary, found) = list(&bench);
    assert_eq!((summary.matched, summary.missing_files), (2, 2));
    for orphan in found.values() {
        let ids: Vec<_> = orphan.is.iter().filter_map(|it| it.data_file_id).map(|it| it.0).collect();
        assert_eq!(ids, bench.world.files.iter().map(|it| it.id).collect::<Vec<_>>());
    }
}

#[test]
fn odd_things_at_the_destination_are_told_or_left_alone() {
    let bench = Bench::of_files(2);
    bench.run();
    put(&bench, "new\nline", b"content 0");
    fs::create_dir(bench.backup.join("empty")).unwrap();
    symlink("/etc", bench.backup.join("link to a folder")).unwrap();
    symlink("/etc/passwd", bench.backup.join("link")).unwrap();
    symlink(".", bench.backup.join("loop")).unwrap();
    let odd = bench.backup.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"no \xff text"));
    fs::write(odd, b"x").unwrap();
    let (summary, found) = list(&bench);
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["new\nline", "no \u{fffd} text"]);
    assert_eq!(summary.exit_code, 0);
}

#[test]
fn without_dataverse_the_list_is_there_all_the_same() {
    let bench = Bench::of_files(2);
    put(&bench, "a", b"content 0");
    let away = PostgresCatalog::new(PostgresTarget { database: "not_there".into(), ..target(&bench.database) });
    let (summary, found) = try_list(&bench, &away, bench.sink.as_ref(), &[]).unwrap();
    assert_eq!((summary.ending, found.len(), summary.matched), (ExitStatus::Usage, 1, 0));
    assert!(summary.aborted.is_some());
}

#[test]
fn a_lost_session_costs_nothing() {
    for fault in [Fault::Before, Fault::After] {
        for at in 0.. {
            let bench = Bench::of_files(6);
            put(&bench, "a", b"content 0");
            put(&bench, "b", b"content 1");
            let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
            let faulty = wrapped(bench.sink.as_ref(), &plan);
            let (summary, found) = try_list(&bench, &bench.catalog(), &faulty, &[]).unwrap();
            assert_eq!((summary.exit_code, summary.listed, found.len(), summary.matched), (0, 2, 2, 2), "at {at}");
            if plan.done.load(Ordering::SeqCst) <= at {
                assert!(at > 1, "only {at} operations could fail");
                break;
            }
        }
    }
}

#[test]
fn a_signal_ends_it() {
    let bench = Bench::of_files(2);
    put(&bench, "a", b"content 0");
    bench.stop.signal(15);
    let ended = try_list(&bench, &bench.catalog(), bench.sink.as_ref(), &[]);
    assert!(matches!(&ended, Err(RunError::Destination { .. })), "{ended:?}");
}

#[test]
fn many_are_compared_page_by_page() {
    let bench = Bench::of_files(2_300);
    for (n, file) in bench.world.files.iter().enumerate() {
        put(&bench, &format!("old/{}/{n}", n % 70), &file.copies[0].1);
    }
    let (summary, found) = list(&bench);
    assert_eq!((summary.orphans_total, summary.matched, summary.missing_files), (2_300, 2_300, 2_300));
    for (n, file) in bench.world.files.iter().enumerate() {
        let owner = &found[&format!("old/{}/{n}", n % 70)];
        assert_eq!(owners(owner), [(Some(DvObjectId(file.id)), "main", KnownBy::Dataverse)]);
    }
}
