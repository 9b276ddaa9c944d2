//! What changes in Dataverse between two runs (dataverse.md 3.4, 3.5): proved copies are never overwritten.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dvb_engine::{ExitStatus, Options};
use dvb_model::Status;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, destination};
use crate::faults::{Fault, Plan};
use crate::wrapped::wrapped;

fn one_file() -> (Bench, i64, String) {
    let bench = Bench::of_files(1);
    let file = &bench.world.files[0];
    let (id, key) = (file.id, file.copies[0].0.clone());
    assert_eq!(bench.run().files.copied, 1);
    (bench, id, key)
}

fn set(bench: &Bench, id: i64, columns: &str) {
    bench.database.execute(&format!("UPDATE datafile SET {columns} WHERE id = {id}"));
}

#[test]
fn an_ingest_leaves_the_first_copy_and_adds_the_new_objects() {
    let (bench, id, key) = one_file();
    let source = bench.source_of(&key);
    fs::rename(&source, source.with_extension("orig")).unwrap();
    fs::write(&source, "a\tb\n").unwrap();
    set(&bench, id, "filesize = 4");
    bench.database.execute(&format!(
        "INSERT INTO datatable (datafile_id, originalfileformat, originalfilesize, unf) VALUES ({id}, 'text/csv', 9, 'x')"
    ));
    let summary = bench.run();
    assert_eq!((summary.files.copied, summary.exit_code), (1, 0));
    assert!(summary.notes[0].reason.contains(".v2"), "{:?}", summary.notes);
    let copies = bench.copies();
    assert_eq!(copies[&key], b"content 0");
    assert_eq!(copies[&format!("{key}.v2")], b"a\tb\n");
    assert_eq!(copies[&format!("{key}.orig")], b"content 0");
    assert_eq!(bench.run().files.unchanged, 1);
}

#[test]
fn a_checksum_in_another_algorithm_needs_no_transfer() {
    let (bench, id, _) = one_file();
    set(&bench, id, &format!("checksumtype = 'SHA256', checksumvalue = '{}'", files::sha256(b"content 0")));
    let summary = bench.run();
    assert_eq!((summary.files.unchanged, summary.bytes_copied, summary.exit_code), (1, 0, 0));
    assert_eq!(bench.details()[&id].status, Status::Ok);
}

#[test]
fn a_damaged_source_does_not_touch_the_copy() {
    let (bench, id, key) = one_file();
    fs::write(bench.source_of(&key), "rotten 00").unwrap();
    // Nothing says that it changed, not even its size: only an audit would see it.
    assert_eq!(bench.run().exit_code, 0);
    set(&bench, id, "filesize = 6");
    let summary = bench.run();
    assert_eq!((summary.ending, summary.failures[0].status), (ExitStatus::SourceDamaged, Status::FailChecksum));
    assert_eq!(bench.copies()[&key], b"content 0");
    assert_eq!(bench.copies().len(), 1);
    // Put right again, the earlier proof stands.
    fs::write(bench.source_of(&key), "content 0").unwrap();
    let mended = bench.run();
    assert_eq!((mended.files.unchanged, mended.bytes_copied, mended.exit_code), (1, 0, 0));
}

#[test]
fn what_is_known_to_be_damaged_is_not_sent_again_until_it_is_well() {
    let bench = Bench::of_files(3);
    let key = bench.world.files[0].copies[0].0.clone();
    fs::write(bench.source_of(&key), "rotten").unwrap();
    let run = || {
        let plan = Arc::new(Plan { fault: Fault::Death, at: u32::MAX, done: AtomicU32::new(0) });
        let sink = wrapped(bench.sink.as_ref(), &plan);
        let summary = bench.run_onto(&sink, &bench.options()).unwrap();
        (summary, plan.done.load(Ordering::SeqCst))
    };
    let (first, _) = run();
    assert_eq!((first.files.copied, first.failures[0].status), (2, Status::FailChecksum));
    let (again, while_damaged) = run();
    assert_eq!((again.exit_code, again.failures[0].status), (3, Status::FailChecksum));
    assert!(!bench.copies().contains_key(&key));
    fs::remove_file(bench.source_of(&key)).unwrap();
    // The first of these runs leaves a snapshot, for the verdict is another one.
    let [_, (_, without_bytes)] = [run(), run()];
    // A file without any bytes is begun and thrown away; one that is known to be damaged is not even begun.
    assert!(while_damaged < without_bytes, "something was sent: {while_damaged} of {without_bytes} operations");
    fs::write(bench.source_of(&key), "content 0").unwrap();
    let (well, _) = run();
    assert_eq!((well.files.copied, well.exit_code), (1, 0));
    assert_eq!(bench.copies()[&key], b"content 0");
}

#[test]
fn other_bytes_with_a_checksum_that_fits_go_beside() {
    let (bench, id, key) = one_file();
    fs::write(bench.source_of(&key), "new content").unwrap();
    set(&bench, id, &format!("checksumvalue = '{}', filesize = 11", files::md5(b"new content")));
    assert_eq!(bench.run().files.copied, 1);
    fs::write(bench.source_of(&key), "newer content").unwrap();
    set(&bench, id, &format!("checksumvalue = '{}', filesize = 13", files::md5(b"newer content")));
    assert_eq!(bench.run().files.copied, 1);
    let copies = bench.copies();
    assert_eq!(copies[&key], b"content 0");
    assert_eq!(copies[&format!("{key}.v2")], b"new content");
    assert_eq!(copies[&format!("{key}.v3")], b"newer content");
    // Back to the first bytes: a version again, for the highest is what Dataverse has.
    fs::write(bench.source_of(&key), "content 0").unwrap();
    set(&bench, id, &format!("checksumvalue = '{}', filesize = 9", files::md5(b"content 0")));
    assert_eq!(bench.run().files.copied, 1);
    let copies = bench.copies();
    assert_eq!((copies.len(), &copies[&format!("{key}.v4")][..]), (4, &b"content 0"[..]));
    assert_eq!((bench.run().files.unchanged, bench.rerun().files.unchanged, bench.copies().len()), (1, 1, 4));
}

#[test]
fn a_missing_source_is_tried_again_at_every_run() {
    let (bench, id, key) = one_file();
    let another = bench.source_of(&format!("{key}x"));
    bench
        .database
        .execute(&format!("UPDATE dvobject SET storageidentifier = storageidentifier || 'x' WHERE id = {id}"));
    let summary = bench.run();
    assert_eq!((summary.ending, summary.failures[0].status), (ExitStatus::SourceDamaged, Status::FailRead));
    assert!(summary.failures[0].reason.starts_with("missing"), "{:?}", summary.failures);
    assert_eq!(bench.run().failures_total, 1);
    fs::write(another, "content 0").unwrap();
    let found = bench.run();
    assert_eq!((found.exit_code, found.failures_total), (0, 0));
    assert_eq!(bench.copies().len(), 1, "the bytes are the same, so there is nothing to send");
}

#[test]
fn a_store_that_was_added_to_the_configuration_is_covered_by_the_next_run() {
    let mut bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let archive = dvb_model::DriverId("Archive-2_x".into());
    let store = bench.stores.by_id.remove(&archive).unwrap();
    let id = bench.world.of_kind("second store").id;
    bench.run();
    assert_eq!(bench.details()[&id].status, Status::NotCovered);
    bench.stores.by_id.insert(archive, store);
    assert_eq!(bench.run().files.copied, 2);
    assert_eq!(bench.details()[&id].status, Status::Ok);
}

#[test]
fn an_ingest_that_is_under_way_is_looked_at_until_it_is_over() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    world.dataset_mut(dataset).locks.push("Ingest".into());
    let file = world.add_file(dataset, "file://18f3a000000-000000000001", b"a,b\n");
    file.ingest_status = Some('C');
    let (id, key) = (file.id, file.copies[0].0.clone());
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    assert_eq!(bench.run().exit_code, 0);
    assert!(bench.details()[&id].provisional);
    // The .tab is half written, and nothing in the database tells.
    let source = bench.source_of(&key);
    fs::rename(&source, source.with_extension("orig")).unwrap();
    fs::write(&source, "a\t").unwrap();
    let during = bench.run();
    assert_eq!((during.exit_code, during.files.failed), (0, 0), "a swapped pair is what an ingest leaves for a moment");
    fs::remove_file(source.with_extension("orig")).unwrap();
    let worse = bench.run();
    assert_eq!((worse.ending, worse.files.pending, worse.failures_total), (ExitStatus::NotSafe, 1, 0));
    assert_eq!(bench.details()[&id].status, Status::Ok, "its first copy is proved all the same");
    assert_eq!(bench.copies()[&key], b"a,b\n");
}

#[test]
fn a_logo_that_comes_later_is_found() {
    let (bench, _, key) = one_file();
    let folder = key.rsplit_once('/').unwrap().0.to_owned();
    let logo = bench.source_of(&format!("{folder}/dataset_logo_original"));
    fs::write(&logo, "PNG").unwrap();
    assert_eq!(bench.run().exit_code, 0);
    assert_eq!(bench.copies()[&format!("{folder}/dataset_logo_original")], b"PNG");
    assert_eq!(bench.run().bytes_copied, 0);
    fs::write(&logo, "JPEG").unwrap();
    assert_eq!(bench.run().bytes_copied, 4);
    assert_eq!(bench.copies()[&format!("{folder}/dataset_logo_original.v2")], b"JPEG");
    let (counts, gone) = bench.ledger.counts(&destination()).unwrap();
    assert_eq!((counts.iter().map(|it| it.1).sum::<u64>(), gone), (1, 0), "a dataset is no data file");
}

#[test]
fn another_pid_of_a_dataset_is_noted_once_and_recorded() {
    for kind in [LedgerKind::Sqlite, LedgerKind::Postgres] {
        let bench = Bench::of_files_with(3, kind);
        assert_eq!(bench.run().files.copied, 3);
        // As Dataverse does it for a DOI of its own: what is stored stays where it is.
        let id = bench.world.datasets[0].id;
        bench.database.execute(&format!(
            "INSERT INTO alternativepersistentidentifier
                 (dvobject_id, protocol, authority, identifier, storagelocationdesignator)
             VALUES ({id}, 'doi', '10.5072', 'FK2/ONE', true);
             UPDATE dvobject SET authority = '10.7910', identifier = 'DVN/NEW' WHERE id = {id}"
        ));
        let noted = |summary: &dvb_engine::Summary| -> Vec<(Option<String>, String)> {
            summary.notes.iter().map(|it| (it.dataset.clone(), it.reason.clone())).collect()
        };
        let expected =
            [(Some("doi:10.7910/DVN/NEW".to_owned()), "PID was doi:10.5072/FK2/ONE at the last run".to_owned())];
        let dry = bench.try_run(&Options { dry_run: true, ..bench.options() }).unwrap();
        assert_eq!(noted(&dry), expected);
        let summary = bench.run();
        assert_eq!(noted(&summary), expected, "a note a dataset, not one for each of its files");
        assert_eq!((summary.files.unchanged, summary.bytes_copied, summary.exit_code), (3, 0, 0));
        let pids: Vec<_> = bench.details().into_values().map(|it| it.dataset.unwrap()).collect();
        assert_eq!(pids, ["doi:10.7910/DVN/NEW"; 3]);
        assert_eq!(noted(&bench.run()), []);
    }
}
