//! `--rerun`: are the copies that are recorded as proved still there?

use std::fs;

use dvb_engine::{ExitStatus, Hint, Options, RunError};
use dvb_model::Status;

use crate::bench::{Bench, LOST};

#[test]
fn an_empty_mount_point_is_refused_until_it_is_said_that_the_copies_are_lost() {
    let bench = Bench::of_files(30);
    bench.run();
    fs::remove_dir_all(&bench.backup).unwrap();
    fs::create_dir(&bench.backup).unwrap();
    for rerun in [false, true] {
        let refused = bench.try_run(&Options { rerun, ..bench.options() }).unwrap_err();
        assert!(matches!(refused, RunError::AllMissing { probed: 30, .. }), "{refused:?}");
        assert_eq!(ExitStatus::from(&refused).code(), 7);
        assert_eq!(refused.hint(), Some(Hint::CopiesLost { destination: "default".to_owned() }));
        assert!(bench.copies().is_empty(), "nothing was stored");
    }
    let made = bench.try_run(&Options { overrides: LOST, ..bench.options() }).unwrap();
    assert_eq!((made.files.copied, made.overrides.as_slice()), (30, ["copies-lost"].as_slice()));
    dvb_testkit::files::assert_same(&bench.world.expected_copies(), &bench.copies());
    assert_eq!(bench.rerun().exit_code, 0);
}

#[test]
fn a_copy_that_is_missing_or_cut_short_is_named_and_made_again() {
    let bench = Bench::of_files(20);
    assert_eq!(bench.run().exit_code, 0);
    let keys: Vec<String> = bench.copies().into_keys().collect();
    fs::remove_file(bench.backup.join(&keys[3])).unwrap();
    fs::write(bench.backup.join(&keys[7]), "short").unwrap();
    assert_eq!(bench.run().exit_code, 0, "a plain run looks at the ledger alone");
    let summary = bench.rerun();
    assert_eq!(
        (summary.ending, summary.files.copied, summary.files.unchanged),
        (ExitStatus::DestinationDamaged, 2, 18)
    );
    assert_eq!(summary.notes_total, 2);
    assert!(summary.notes.iter().all(|it| it.reason.contains("missing or had another size")), "{:?}", summary.notes);
    dvb_testkit::files::assert_same(&bench.world.expected_copies(), &bench.copies());
    assert_eq!(bench.rerun().exit_code, 0);
}

#[test]
fn a_bad_copy_without_a_source_is_a_failure_and_stays_known_as_bad() {
    let bench = Bench::of_files(2);
    bench.run();
    let file = &bench.world.files[0];
    let key = &file.copies[0].0;
    fs::remove_file(bench.backup.join(key)).unwrap();
    fs::remove_file(bench.source_of(key)).unwrap();
    let summary = bench.rerun();
    assert_eq!((summary.ending, summary.failures[0].status), (ExitStatus::DestinationDamaged, Status::FailRead));
    assert_eq!(bench.details()[&file.id].copies, 0);
    // The source comes back: the copy is made again under its own name.
    fs::write(bench.source_of(key), &file.copies[0].1).unwrap();
    assert_eq!(bench.run().files.copied, 1);
    dvb_testkit::files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn a_bad_copy_of_a_source_that_changed_is_left_and_the_new_bytes_go_beside() {
    let bench = Bench::of_files(1);
    bench.run();
    let file = &bench.world.files[0];
    let key = &file.copies[0].0;
    fs::write(bench.backup.join(key), "bad").unwrap();
    fs::write(bench.source_of(key), "changed").unwrap();
    let md5 = dvb_testkit::files::md5(b"changed");
    bench
        .database
        .execute(&format!("UPDATE datafile SET checksumvalue = '{md5}', filesize = 7 WHERE id = {}", file.id));
    let summary = bench.rerun();
    assert_eq!((summary.ending, summary.files.copied), (ExitStatus::DestinationDamaged, 1));
    assert_eq!(bench.copies()[&format!("{key}.v2")], b"changed");
}
