//! A ledger that says more, or less, than it can know.

use std::fs;

use dvb_engine::{ExitStatus, RunError};
use dvb_ledger::SqliteLedger;
use dvb_model::Status;
use dvb_testkit::files;

use crate::bench::{Bench, LedgerKind};
use crate::verify::verified;

fn ledger(bench: &Bench) -> rusqlite::Connection {
    rusqlite::Connection::open(bench.folder.path().join("ledger.db")).unwrap()
}

#[test]
fn a_verdict_without_a_copy_is_taken_back() {
    let bench = Bench::of_files(4);
    bench.run();
    let (first, second) = (bench.world.files[0].id, bench.world.files[1].id);
    ledger(&bench).execute(&format!("DELETE FROM backup_copy WHERE id = {first}"), []).unwrap();
    let summary = bench.run();
    assert_eq!(
        (summary.ending, summary.files.adopted, summary.files.unchanged),
        (ExitStatus::Safe, 1, 3),
        "{summary:#?}"
    );
    let warnings = bench.warnings.lock().unwrap().join("\n");
    assert!(warnings.contains("called 1 data files OK without any copy on record"), "{warnings}");
    // verify has nothing to look at there, and says so.
    ledger(&bench).execute(&format!("DELETE FROM backup_copy WHERE id = {second}"), []).unwrap();
    verified(&bench);
    let state = &bench.details()[&second];
    assert_eq!(state.status, Status::FailVerify, "{state:#?}");
    assert!(state.reason.as_deref().unwrap().starts_with("the ledger says OK, and has no proved copy"), "{state:#?}");
    assert_eq!(bench.run().files.adopted, 1);
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn an_older_ledger_in_the_place_of_its_successor_is_said_to_be_that() {
    let bench = Bench::of_files(3);
    bench.run();
    let old = bench.folder.path().join("old.db");
    ledger(&bench).execute(&format!("VACUUM INTO '{}'", old.display()), []).unwrap();
    assert!(!said(&bench, "that this ledger does not know"));
    fs::remove_file(bench.backup.join(&bench.world.files[0].copies[0].0)).unwrap();
    // It makes the copy again, so it leaves a snapshot.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(bench.rerun().snapshot.is_some());
    let bench = Bench { ledger: Box::new(SqliteLedger::new(&old)), ..bench };
    let summary = bench.run();
    assert!(said(&bench, "that this ledger does not know"), "{summary:#?}");
    assert!(summary.notes.iter().any(|it| it.reason.contains("an older ledger was put")), "{summary:#?}");
    assert_eq!(summary.ending, ExitStatus::Safe);
}

fn said(bench: &Bench, what: &str) -> bool {
    bench.warnings.lock().unwrap().iter().any(|it| it.contains(what))
}

#[test]
fn a_verify_of_nothing_is_no_green_light() {
    let bench = Bench::of_files(3);
    bench.sink.make().unwrap();
    let error = crate::verify::verified_error(&bench);
    assert!(matches!(error, RunError::NothingToVerify { .. }), "{error:?}");
    assert_eq!(ExitStatus::from(&error), ExitStatus::NotSafe);
    fs::remove_dir_all(&bench.backup).ok();
    fs::write(&bench.backup, "no folder").unwrap();
    let error = crate::verify::verified_error(&bench);
    assert!(matches!(error, RunError::Destination { .. }), "{error:?}");
}

#[test]
fn the_tables_of_postgresql_are_looked_at_too() {
    let bench = Bench::of_files_with(3, LedgerKind::Postgres);
    bench.run();
    let run = dvb_engine::new_run_id();
    assert_eq!(bench.ledger.distrust(&crate::bench::destination(), &run).unwrap(), 0);
}
