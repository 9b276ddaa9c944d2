//! Every kind of data file, on both schemas, with both ledgers.

use dvb_engine::{ExitStatus, FileCounts, Selection};
use dvb_model::{DriverId, DvObjectId, Status};
use dvb_testkit::dataverse::{Expect, Schema, Stored, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind};

fn status(expect: Expect) -> Option<Status> {
    match expect {
        Expect::Ok | Expect::OkNote => Some(Status::Ok),
        Expect::NotCovered => Some(Status::NotCovered),
        Expect::FailRead | Expect::Orphaned => Some(Status::FailRead),
        Expect::FailChecksum => Some(Status::FailChecksum),
        Expect::Absent => None,
    }
}

fn every_kind_comes_to_its_verdict(schema: Schema, ledger: LedgerKind) {
    let bench = Bench::of_every_kind(schema, ledger);
    let first = bench.run();
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    let details = bench.details();
    for file in &bench.world.files {
        let found = details.get(&file.id);
        let kind = &file.kind;
        assert_eq!(found.map(|it| it.status), status(file.expect), "{kind}: {found:?}");
        let is_noted = first.notes.iter().any(|it| it.data_file_id == Some(DvObjectId(file.id)));
        assert_eq!(
            is_noted,
            file.expect == Expect::OkNote
                || kind.starts_with("same name, the other store")
                || kind == "same object, second row",
            "{kind}: {found:?}"
        );
        let is_failure = first.failures.iter().any(|it| it.data_file_id == Some(DvObjectId(file.id)));
        let fails = matches!(file.expect, Expect::FailRead | Expect::FailChecksum | Expect::Orphaned);
        assert_eq!(is_failure, fails, "{kind}: {found:?}");
        if file.expect == Expect::Orphaned {
            assert!(found.unwrap().reason.as_ref().unwrap().starts_with("orphaned"), "{found:?}");
        }
    }
    assert_eq!(details.len(), bench.world.files.iter().filter(|it| it.expect != Expect::Absent).count());
    assert_eq!(first.ending, ExitStatus::SourceDamaged);
    assert_eq!(bench.temporaries(), [""; 0]);

    let FileCounts { catalogued, unchanged, copied, adopted, not_covered, failed, pending, acknowledged, purged } =
        first.files;
    assert_eq!((acknowledged, purged), (0, 0));
    let count = |which: &[Expect]| bench.world.files.iter().filter(|it| which.contains(&it.expect)).count() as u64;
    assert_eq!(copied, count(&[Expect::Ok, Expect::OkNote]));
    assert_eq!(not_covered, count(&[Expect::NotCovered]));
    assert_eq!(failed, count(&[Expect::FailRead, Expect::FailChecksum, Expect::Orphaned]));
    assert_eq!((unchanged, adopted, pending), (0, 0, 0));
    assert_eq!(catalogued, copied + not_covered + failed);
    let sizes = bench.world.expected_copies().values().map(|it| it.len() as u64).sum::<u64>();
    assert_eq!(first.bytes_copied, sizes);

    let second = bench.run();
    // The two whose ingest is not over are looked at again, and are the same.
    assert_eq!(second.files, FileCounts { unchanged: copied, copied: 0, ..first.files });
    assert_eq!((second.bytes_copied, second.ending), (0, ExitStatus::SourceDamaged));
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn every_kind_of_6_9_with_sqlite() {
    every_kind_comes_to_its_verdict(Schema::V6_9, LedgerKind::Sqlite);
}

#[test]
fn every_kind_of_4_8_with_sqlite() {
    every_kind_comes_to_its_verdict(Schema::V4_8, LedgerKind::Sqlite);
}

#[test]
fn every_kind_of_6_9_with_postgresql() {
    every_kind_comes_to_its_verdict(Schema::V6_9, LedgerKind::Postgres);
}

#[test]
fn every_kind_of_4_8_with_postgresql() {
    every_kind_comes_to_its_verdict(Schema::V4_8, LedgerKind::Postgres);
}

#[test]
fn an_unknown_driver_is_warned_of_and_does_not_fail_the_run() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let summary = bench.run();
    let note = summary.notes.iter().find(|it| it.storage_identifier.as_deref() == Some("tape://")).unwrap();
    assert!(note.reason.contains("add a store \"tape\""), "{note:?}");
    assert!(bench.warnings.lock().unwrap().iter().any(|it| it.contains("add a store \"tape\"")));
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let bench = Bench::of_files(10);
    let dry = bench.try_run(&dvb_engine::Options { dry_run: true, ..bench.options() }).unwrap();
    assert_eq!((dry.files.catalogued, dry.files.pending, dry.due.files), (10, 10, 10));
    assert_eq!(dry.due.bytes, "content 0".len() as u64 * 10);
    assert!(!bench.backup.exists());
    assert!(bench.details().is_empty());
}

#[test]
fn a_selection_narrows_the_run_to_what_it_names() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let of = |selection| bench.try_run(&dvb_engine::Options { selection, ..bench.options() });
    let md5 = bench.world.of_kind("md5");
    let one = of(Selection { files: [DvObjectId(md5.id)].into(), ..Selection::default() }).unwrap();
    assert_eq!((one.files.catalogued, one.files.copied, one.exit_code), (1, 1, 0));
    let store = of(Selection { stores: [DriverId("Archive-2_x".into()).0].into(), ..Selection::default() }).unwrap();
    assert_eq!(store.files.copied, 2);
    let dataset = of(Selection { datasets: ["doi:10.5072/FK2/TABLES".into()].into(), ..Selection::default() }).unwrap();
    assert_eq!((dataset.files.copied, dataset.exit_code), (5, 0));
    let identifier = md5.storage_identifier.clone().unwrap();
    let again = of(Selection { storage_identifiers: [identifier].into(), ..Selection::default() }).unwrap();
    assert_eq!((again.files.catalogued, again.files.unchanged), (1, 1));
    let nothing = of(Selection { datasets: ["doi:10.5072/FK2/TYPO".into()].into(), ..Selection::default() });
    assert_eq!(ExitStatus::from(&nothing.unwrap_err()), ExitStatus::Usage);
}

#[test]
fn the_longest_name_that_a_store_can_have_is_copied() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/LONG").id;
    for length in [240, 241, 255] {
        world.add_file(dataset, &"n".repeat(length), b"long");
    }
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    assert!(bench.options().auxiliary_objects);
    let summary = bench.run();
    assert_eq!((summary.files.copied, summary.exit_code), (3, 0), "{:?}", summary.failures);
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn nothing_to_do_changes_nothing_at_the_destination_and_still_sees_that_it_is_gone() {
    let bench = Bench::of_files(5);
    let first = bench.run();
    assert_eq!(first.files.copied, 5, "{first:?}");
    let before = dvb_testkit::files::tree(&bench.backup);
    let second = bench.run();
    assert_eq!((second.files.unchanged, second.exit_code), (5, 0));
    assert_eq!(dvb_testkit::files::tree(&bench.backup), before);
    std::fs::remove_dir_all(&bench.backup).unwrap();
    std::fs::write(&bench.backup, "no folder").unwrap();
    let third = bench.run();
    assert_eq!((third.files.unchanged, third.ending), (5, ExitStatus::Usage));
}

#[test]
fn an_empty_package_is_a_failure_of_its_own_and_of_no_other_file() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for name in ["a", "b"] {
        world.add_file(dataset, &format!("file://{name}"), name.as_bytes());
        let package = format!("file://package-{name}");
        world.add_object(dataset, &package, Stored::Folder);
        let row = world.add_row(dataset, Some(&package), b"");
        row.content_type = "application/vnd.dataverse.file-package".into();
        row.checksum_type = "SHA1".into();
        row.checksum_value = if name == "a" { "Unknown".into() } else { files::sha1(b"a manifest") };
    }
    world.add_file(dataset, "file://c", b"c");
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    for _ in 0..2 {
        let run = bench.try_run(&dvb_engine::Options { jobs: 1, ..bench.options() }).unwrap();
        assert_eq!((run.ending, run.aborted.as_deref()), (ExitStatus::SourceDamaged, None), "{run:#?}");
        assert_eq!((run.files.failed, run.files.copied + run.files.unchanged), (2, 3), "{run:#?}");
        for file in &bench.world.files {
            let (state, is_package) = (&bench.details()[&file.id], file.content_type.ends_with("package"));
            assert_eq!(state.status, if is_package { Status::FailRead } else { Status::Ok }, "{state:#?}");
            assert_eq!(state.reason.as_deref().is_some_and(|it| it.contains("empty")), is_package, "{state:#?}");
        }
    }
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}
