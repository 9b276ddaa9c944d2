//! Are the copies at the destination still what was proved?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dvb_engine::{
    CancelToken, ExitStatus, NullObserver, Options, RunError, Selection, VerifyOptions, VerifySetup, VerifySummary,
    new_run_id, verify,
};
use dvb_fixity::{Algorithm, Measured};
use dvb_ledger::Holder;
use dvb_model::{DriverId, DvObjectId, ObjectKey, RunId, Status};
use dvb_storage::{Cause, Sink, SinkError, SinkSession};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::files;

use crate::bench::{Bench, LOST, LedgerKind, destination};
use crate::faults::{Fault, Plan};
use crate::wrapped::{Call, WrapSession, wrapped};

pub(crate) fn options() -> VerifyOptions {
    VerifyOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        selection: Selection::default(),
        default_store: DriverId("file".into()),
        older_than: None,
        sample: None,
        jobs: 2,
        time_budget: None,
    }
}

pub(crate) fn try_verify(bench: &Bench, sink: &dyn Sink, options: &VerifyOptions) -> Result<VerifySummary, RunError> {
    let setup = VerifySetup {
        ledger: bench.ledger.as_ref(),
        destination: &destination(),
        sink,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    verify(&setup, options)
}

pub(crate) fn verified(bench: &Bench) -> VerifySummary {
    try_verify(bench, bench.sink.as_ref(), &options()).unwrap()
}

pub(crate) fn keys(summary: &VerifySummary) -> Vec<(&str, &str)> {
    let mut keys: Vec<_> = summary.damaged.iter().map(|it| (it.what.name(), it.key.as_str())).collect();
    keys.sort_unstable();
    keys
}

/// When each copy was proved last, by key.
fn proofs(bench: &Bench) -> Vec<(String, String)> {
    let ids: Vec<DvObjectId> = bench.details().keys().map(|it| DvObjectId(*it)).collect();
    let copies = bench.ledger.copies(&destination(), &ids).unwrap();
    copies.into_iter().map(|it| (it.key.as_str().to_owned(), it.proved_at.unwrap_or_default())).collect()
}

/// What was set aside, by the key that it had.
pub(crate) fn bad_copies(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let of_run = |(key, bytes): (String, Vec<u8>)| {
        let (_, key) = key.strip_prefix(".dataverse-backup/damaged/")?.split_once('/')?;
        Some((key.to_owned(), bytes))
    };
    files::tree(&bench.backup).into_iter().filter_map(of_run).collect()
}

fn flip(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn damage_is_named_and_the_next_run_mends_it(ledger: LedgerKind) {
    let bench = Bench::of_every_kind(Schema::V6_9, ledger);
    bench.run();
    let good = verified(&bench);
    assert_eq!((good.ending, good.copies.good), (ExitStatus::Safe, bench.copies().len() as u64), "{good:#?}");
    assert_eq!(good.copies.left + good.copies.unreadable, 0);
    let ok: Vec<_> = bench.world.files.iter().filter(|it| it.copies.first().is_some_and(|it| it.1.len() > 4)).collect();
    let is_ok = |it: &&&dvb_testkit::dataverse::DataFile| bench.details()[&it.id].status == Status::Ok;
    let [first, second, third] = ok.iter().filter(is_ok).copied().take(3).collect::<Vec<_>>()[..] else {
        panic!("three files")
    };
    flip(&bench.backup.join(&first.copies[0].0));
    fs::write(bench.backup.join(&second.copies[0].0), "cut").unwrap();
    fs::remove_file(bench.backup.join(&third.copies[0].0)).unwrap();
    let found = verified(&bench);
    let mut expected = vec![
        ("other-digest", first.copies[0].0.as_str()),
        ("other-size", second.copies[0].0.as_str()),
        ("missing", third.copies[0].0.as_str()),
    ];
    expected.sort_unstable();
    assert_eq!(keys(&found), expected);
    assert_eq!((found.exit_code, found.copies.damaged, found.copies.missing), (4, 2, 1));
    assert_eq!(found.copies.checked, good.copies.checked);
    for file in [first, second, third] {
        let state = &bench.details()[&file.id];
        let reason = state.reason.as_deref().unwrap();
        assert_eq!(state.status, Status::FailVerify);
        assert!(reason.contains(&file.copies[0].0) && reason.contains(state.dataset.as_deref().unwrap()), "{reason}");
    }
    let again = verified(&bench);
    assert_eq!(
        (again.exit_code, again.copies, keys(&again)),
        (4, found.copies, expected),
        "as long as nobody mends it"
    );
    let (rotten, cut) = (bench.copies()[&first.copies[0].0].clone(), bench.copies()[&second.copies[0].0].clone());
    let mended = bench.run();
    assert_eq!((mended.files.copied, mended.ending), (3, ExitStatus::SourceDamaged), "{:?}", mended.failures);
    let noted = mended.notes.iter().filter(|it| it.reason.contains("was set aside as .dataverse-backup/damaged/"));
    assert_eq!(noted.count(), 2, "{:?}", mended.notes);
    let kept = bad_copies(&bench);
    assert_eq!(kept, [(first.copies[0].0.clone(), rotten), (second.copies[0].0.clone(), cut)].into());
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    let again = verified(&bench);
    assert_eq!((again.exit_code, again.copies.good), (0, good.copies.good));
    assert_eq!(bench.temporaries(), [""; 0]);
}

#[test]
fn damage_is_named_and_the_next_run_mends_it_with_an_embedded_ledger() {
    damage_is_named_and_the_next_run_mends_it(LedgerKind::Sqlite);
}

#[test]
fn damage_is_named_and_the_next_run_mends_it_with_a_ledger_in_postgresql() {
    damage_is_named_and_the_next_run_mends_it(LedgerKind::Postgres);
}

#[test]
fn the_least_recently_verified_come_first() {
    let bench = Bench::of_files(12);
    bench.run();
    let before = proofs(&bench);
    std::thread::sleep(Duration::from_millis(5));
    let part = try_verify(&bench, bench.sink.as_ref(), &VerifyOptions { sample: Some(0.25), ..options() }).unwrap();
    assert_eq!((part.copies.checked, part.exit_code), (3, 0), "a sample is all that was asked for");
    std::thread::sleep(Duration::from_millis(5));
    let after = proofs(&bench);
    let first: Vec<&str> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(first.len(), 3);
    let next = try_verify(&bench, bench.sink.as_ref(), &VerifyOptions { sample: Some(0.75), ..options() }).unwrap();
    assert_eq!(next.copies.checked, 9);
    let last = proofs(&bench);
    let untouched: Vec<&str> = after.iter().zip(&last).filter(|(a, b)| a == b).map(|(a, _)| a.0.as_str()).collect();
    assert_eq!(untouched, first, "the others had waited longer");
    let none = VerifyOptions { older_than: Some(Duration::from_secs(3600)), ..options() };
    let none = try_verify(&bench, bench.sink.as_ref(), &none).unwrap();
    assert_eq!((none.copies.checked, none.exit_code), (0, 0));
    assert!(none.oldest_unverified.is_some());
}

#[test]
fn without_time_nothing_is_verified_and_all_is_left() {
    let bench = Bench::of_files(5);
    bench.run();
    let options = VerifyOptions { time_budget: Some(Duration::ZERO), ..options() };
    let summary = try_verify(&bench, bench.sink.as_ref(), &options).unwrap();
    assert_eq!((summary.copies.left, summary.copies.checked, summary.exit_code), (5, 0, 8));
}

#[test]
fn a_signal_ends_it_in_order() {
    let bench = Bench::of_files(5);
    bench.run();
    bench.stop.signal(15);
    let summary = verified(&bench);
    assert_eq!((summary.copies.left, summary.exit_code), (5, 143));
}

#[test]
fn a_selection_is_looked_up_in_the_ledger() {
    let bench = Bench::of_files(5);
    bench.run();
    let file = bench.world.files[2].id;
    let of = |selection| try_verify(&bench, bench.sink.as_ref(), &VerifyOptions { selection, ..options() });
    let one = of(Selection { files: [DvObjectId(file)].into(), ..Selection::default() }).unwrap();
    assert_eq!(one.copies.checked, 1);
    let all = of(Selection { stores: ["file".to_owned()].into(), ..Selection::default() }).unwrap();
    assert_eq!(all.copies.checked, 5);
    let pid = bench.details()[&file].dataset.clone().unwrap();
    assert_eq!(of(Selection { datasets: [pid].into(), ..Selection::default() }).unwrap().copies.checked, 5);
    let none = of(Selection { datasets: ["doi:10.5072/NO".to_owned()].into(), ..Selection::default() }).unwrap_err();
    assert_eq!(ExitStatus::from(&none), ExitStatus::Usage, "{none}");
}

#[test]
fn a_run_and_a_verify_exclude_each_other() {
    let bench = Bench::of_files(1);
    bench.run();
    let holder =
        Holder { host: "other".into(), pid: 7, run: RunId("r".into()), since: "2026-01-02T03:04:05.000Z".into() };
    let lock = bench.ledger.lock(&destination(), &holder).unwrap();
    let error = try_verify(&bench, bench.sink.as_ref(), &options()).unwrap_err();
    assert_eq!(ExitStatus::from(&error).code(), 6);
    drop(lock);
    assert_eq!(verified(&bench).exit_code, 0);
}

#[test]
fn an_empty_folder_in_the_place_of_the_copies_is_refused_and_nothing_recorded() {
    let bench = Bench::of_files(30);
    bench.run();
    let away = bench.folder.path().join("away");
    fs::rename(&bench.backup, &away).unwrap();
    let error = verified_error(&bench);
    assert_eq!(ExitStatus::from(&error), ExitStatus::Unreachable, "{error}");
    assert!(!bench.backup.exists(), "it is not made");
    fs::create_dir(&bench.backup).unwrap();
    let error = verified_error(&bench);
    assert!(matches!(error, RunError::NotMarked { .. }), "{error}");
    assert_eq!(ExitStatus::from(&error), ExitStatus::Refused);
    let own = Path::new(".dataverse-backup");
    fs::create_dir_all(bench.backup.join(own)).unwrap();
    let mark = own.join("installation.json");
    fs::copy(away.join(&mark), bench.backup.join(&mark)).unwrap();
    let error = verified_error(&bench);
    assert!(matches!(error, RunError::AllMissing { probed: 30, .. }), "{error}");
    fs::remove_dir_all(&bench.backup).unwrap();
    fs::rename(&away, &bench.backup).unwrap();
    assert_eq!(verified(&bench).copies.good, 30);
}

#[test]
fn few_copies_are_not_called_missing_where_their_disk_is_not_mounted() {
    let bench = Bench::of_files(2);
    bench.run();
    let away = bench.folder.path().join("away");
    fs::rename(&bench.backup, &away).unwrap();
    fs::create_dir(&bench.backup).unwrap();
    let error = verified_error(&bench);
    assert!(matches!(error, RunError::NotMarked { .. }), "{error}");
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
}

#[test]
fn an_empty_folder_is_refused_where_no_id_was_ever_left_either() {
    let bench = Bench::of_files(2);
    bench.run();
    // As a ledger of a version without ids.
    let ledger = rusqlite::Connection::open(bench.folder.path().join("ledger.db")).unwrap();
    ledger.execute("UPDATE backup_destination SET marked_at = NULL", []).unwrap();
    fs::remove_file(bench.backup.join(".dataverse-backup/installation.json")).unwrap();
    assert_eq!(verified(&bench).copies.good, 2);
    let (missing, _) = crate::orphans::list(&bench);
    assert_eq!(missing.exit_code, 0, "{missing:?}");
    fs::remove_file(bench.backup.join(&bench.world.files[0].copies[0].0)).unwrap();
    assert_eq!(verified(&bench).copies.missing, 1, "one of them is there: it is the place");
    fs::rename(&bench.backup, bench.folder.path().join("away")).unwrap();
    fs::create_dir(&bench.backup).unwrap();
    let refused = |error: &RunError| matches!(error, RunError::AllMissing { .. });
    assert!(refused(&verified_error(&bench)), "{}", verified_error(&bench));
    assert!(refused(&crate::orphans::listed_error(&bench)));
    let error = bench.give_to_folder(&bench.restore_options()).unwrap_err();
    assert_eq!(ExitStatus::from(&error).code(), 7, "{error}");
    assert_eq!(bench.details().values().filter(|it| it.status == Status::Ok).count(), 1, "nothing was recorded");
}

pub(crate) fn verified_error(bench: &Bench) -> RunError {
    try_verify(bench, bench.sink.as_ref(), &options()).unwrap_err()
}

#[test]
fn a_destination_that_cannot_be_had_is_no_damage() {
    let bench = Bench::of_files(3);
    bench.run();
    let away = bench.folder.path().join("away");
    fs::rename(&bench.backup, &away).unwrap();
    fs::write(&bench.backup, "no folder").unwrap();
    let summary = verified(&bench);
    assert_eq!((summary.exit_code, summary.copies.left, summary.damaged.len()), (2, 3, 0));
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
}

/// Answers for a key as often as told with an error, or with other bytes.
struct Moody {
    key: ObjectKey,
    cause: Option<Cause>,
    times: AtomicU32,
    /// Told to stop when a copy is opened.
    stop: Option<CancelToken>,
}

impl WrapSession for Moody {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        if let (Call::Open, Some(stop)) = (call, &self.stop) {
            stop.signal(2);
        }
        work()
    }

    fn measure(
        &self,
        session: &mut dyn SinkSession,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        let mut answers = session.measure(keys, wanted)?;
        for (key, answer) in keys.iter().zip(&mut answers) {
            let is_moody = *key == self.key
                && self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
            if is_moody {
                *answer = match self.cause {
                    Some(cause) => Err(SinkError::new(cause, "injected")),
                    None => Ok(Measured::of(b"something", &[])),
                };
            }
        }
        Ok(answers)
    }
}

#[test]
fn what_may_pass_is_never_called_damaged() {
    let bench = Bench::of_files(4);
    bench.run();
    let key = ObjectKey::new(&bench.world.files[1].copies[0].0).unwrap();
    for (cause, times, expected) in [
        (Some(Cause::Transient), 1, (0, 4)),
        (None, 1, (0, 4)),
        (Some(Cause::Missing), 1, (0, 4)),
        (Some(Cause::Transient), 99, (5, 3)),
        (Some(Cause::Io), 99, (1, 3)),
        (Some(Cause::Forbidden), 99, (1, 3)),
        (None, 99, (4, 3)),
    ] {
        let moody = Arc::new(Moody { key: key.clone(), cause, times: times.into(), stop: None });
        let summary = try_verify(&bench, &wrapped(bench.sink.as_ref(), &moody), &options()).unwrap();
        assert_eq!((summary.exit_code, summary.copies.good), expected, "{cause:?} {times}: {summary:#?}");
        let is_ok = bench.details()[&bench.world.files[1].id].status == Status::Ok;
        assert_eq!(is_ok, expected.0 != 4, "{cause:?} {times}");
        assert_eq!(summary.copies.left, u64::from(matches!(expected.0, 1 | 5)));
    }
}

#[test]
fn a_fault_at_any_operation_makes_nothing_damaged_and_hides_no_damage() {
    for fault in [Fault::Before, Fault::After, Fault::Death] {
        for at in 0.. {
            let bench = Bench::of_files(6);
            bench.run();
            fs::remove_file(bench.backup.join(&bench.world.files[3].copies[0].0)).unwrap();
            let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
            let faulty = wrapped(bench.sink.as_ref(), &plan);
            let first = try_verify(&bench, &faulty, &VerifyOptions { jobs: 1, ..options() }).unwrap();
            let has_failed = plan.done.load(Ordering::SeqCst) > at;
            if fault == Fault::Death && has_failed {
                assert_eq!(first.ending, ExitStatus::Unreachable, "at {at}");
            } else {
                assert_eq!((first.exit_code, first.copies.good, first.copies.missing), (4, 5, 1), "{fault:?} at {at}");
            }
            let bad = bench.details().values().filter(|it| it.status != Status::Ok).count();
            assert_eq!(bad as u64, first.copies.missing, "{fault:?} at {at}");
            let second = verified(&bench);
            assert_eq!((second.exit_code, second.copies.missing), (4, 1), "{fault:?} at {at}");
            if !has_failed {
                assert!(at > 2, "only {at} operations could fail");
                break;
            }
        }
    }
}

/// Lets the first `count` copies look as if they had been proved so many days ago.
fn age(bench: &Bench, count: usize, days: u32) {
    let ledger = rusqlite::Connection::open(bench.folder.path().join("ledger.db")).unwrap();
    for file in &bench.world.files[..count] {
        let sql = format!(
            "UPDATE backup_copy SET proved_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days') WHERE id = {}",
            file.id
        );
        ledger.execute(&sql, []).unwrap();
    }
}

#[test]
fn a_run_spends_its_share_so_that_no_proof_gets_older() {
    let bench = Bench::of_files(40);
    let run = |more: &dyn Fn(Options) -> Options| {
        let month = Some(Duration::from_secs(30 * 86_400));
        bench.try_run(&more(Options { verify_every: month, ..bench.options() })).unwrap()
    };
    let plain = |it| it;
    let checked = |it: &dvb_engine::Summary| it.verified.map(|it| it.checked);
    assert_eq!(checked(&run(&plain)), Some(0), "all was proved just now");
    age(&bench, 40, 11);
    assert_eq!(checked(&run(&plain)), Some(2), "a twentieth each night");
    age(&bench, 9, 29);
    assert_eq!(checked(&run(&plain)), Some(9), "what is due, however many");
    age(&bench, 9, 31);
    fs::write(bench.backup.join(&bench.world.files[4].copies[0].0), "rot").unwrap();
    let none = run(&|it| Options { time_budget: Some(Duration::ZERO), ..it });
    assert_eq!((checked(&none), none.exit_code), (None, 0), "only in the time that is left");
    assert_eq!(checked(&run(&|it| Options { limit: Some(1), ..it })), None);
    let found = run(&plain);
    assert_eq!((checked(&found), found.ending), (Some(9), ExitStatus::DestinationDamaged));
    assert_eq!((found.failures_total, found.failures[0].status), (1, Status::FailVerify));
    let mended = run(&plain);
    assert_eq!((mended.files.copied, mended.exit_code), (1, 0));
    let other = bench.run();
    assert_eq!(checked(&other), None);
}

#[test]
fn a_night_without_the_disk_records_no_damage() {
    let bench = Bench::of_files(30);
    bench.run();
    age(&bench, 30, 31);
    let away = bench.folder.path().join("away");
    fs::rename(&bench.backup, &away).unwrap();
    fs::create_dir(&bench.backup).unwrap();
    let month = Some(Duration::from_secs(30 * 86_400));
    let options = || Options { verify_every: month, ..bench.options() };
    let night = bench.try_run(&options());
    assert!(matches!(night, Err(RunError::AllMissing { probed: 30, .. })), "{night:#?}");
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
    assert_eq!(files::tree(&bench.backup).len(), 0, "nothing is stored in the wrong place");
    assert_eq!(fs::read_dir(&bench.backup).unwrap().count(), 0, "not even a folder is left");
    // Whoever is sure says so.
    let rerun = bench.try_run(&Options { overrides: LOST, ..options() }).unwrap();
    assert_eq!((rerun.files.copied, bench.copies().len()), (30, 30), "{rerun:#?}");
}

#[test]
fn what_was_mended_by_hand_is_good_again() {
    let bench = Bench::of_files(4);
    bench.run();
    let path = bench.backup.join(&bench.world.files[1].copies[0].0);
    let (good, away) = (fs::read(&path).unwrap(), bench.folder.path().join("away"));
    fs::rename(&path, &away).unwrap();
    assert_eq!(verified(&bench).exit_code, 4);
    let recent = VerifyOptions { older_than: Some(Duration::from_secs(86_400)), ..options() };
    let recent = try_verify(&bench, bench.sink.as_ref(), &recent).unwrap();
    assert_eq!((recent.exit_code, recent.copies.checked), (4, 1), "known damage is in every pass");
    fs::write(&path, good).unwrap();
    assert_eq!((verified(&bench).exit_code, verified(&bench).copies.good), (0, 4));
    let run = bench.run();
    assert_eq!((run.files.copied, run.files.unchanged, run.exit_code), (0, 4, 0));
}

#[test]
fn damage_of_what_has_left_dataverse_is_told_as_long_as_it_lasts() {
    let bench = Bench::of_files(30);
    bench.run();
    let file = &bench.world.files[7];
    bench.database.execute(&format!("DELETE FROM filemetadata WHERE datafile_id = {0}", file.id));
    bench.database.execute(&format!("DELETE FROM datafile WHERE id = {0}", file.id));
    bench.database.execute(&format!("DELETE FROM dvobject WHERE id = {0}", file.id));
    assert_eq!(bench.run().gone, 1);
    flip(&bench.backup.join(&file.copies[0].0));
    for _ in 0..2 {
        let found = verified(&bench);
        assert_eq!((found.exit_code, keys(&found)), (4, vec![("other-digest", file.copies[0].0.as_str())]));
        bench.run();
    }
}

#[test]
fn a_bad_copy_without_a_good_source_stays_where_it_is() {
    let bench = Bench::of_files(3);
    bench.run();
    let [changed, rotten, gone] = &bench.world.files[..] else { panic!("three files") };
    let path = |it: &dvb_testkit::dataverse::DataFile| bench.backup.join(&it.copies[0].0);
    [changed, rotten, gone].into_iter().for_each(|it| flip(&path(it)));
    assert_eq!(verified(&bench).copies.damaged, 3);
    let before = bench.copies();
    // Other bytes that are meant, bytes that are not, and none.
    fs::write(bench.source_of(&changed.copies[0].0), "other").unwrap();
    let theirs = format!("checksumtype = 'SHA256', checksumvalue = '{}'", files::sha256(b"other"));
    bench.database.execute(&format!("UPDATE datafile SET {theirs}, filesize = 5 WHERE id = {}", changed.id));
    fs::write(bench.source_of(&rotten.copies[0].0), "rot").unwrap();
    fs::remove_file(bench.source_of(&gone.copies[0].0)).unwrap();
    let run = bench.run();
    assert_eq!((run.exit_code, run.failures_total), (3, 2), "{run:#?}");
    let mut after = bench.copies();
    assert_eq!(after.remove(&format!("{}.v2", changed.copies[0].0)).as_deref(), Some(&b"other"[..]));
    files::assert_same(&before, &after);
    assert_eq!(bad_copies(&bench), BTreeMap::new());
    let again = verified(&bench);
    assert_eq!((again.exit_code, again.copies.damaged, again.copies.good), (4, 2, 1), "{again:#?}");
}

#[test]
fn where_a_bad_copy_cannot_be_set_aside_the_good_one_goes_beside_it() {
    let bench = Bench::of_files(3);
    bench.run();
    let key = &bench.world.files[1].copies[0].0;
    flip(&bench.backup.join(key));
    assert_eq!(verified(&bench).exit_code, 4);
    fs::write(bench.backup.join(".dataverse-backup/damaged"), "in the way").unwrap();
    let bad = bench.copies();
    let run = bench.run();
    assert_eq!((run.exit_code, run.files.copied), (0, 1), "{run:#?}");
    assert!(run.notes[0].reason.contains("could not be set aside"), "{run:#?}");
    let mut after = bench.copies();
    assert_eq!(after.remove(&format!("{key}.v2")).as_ref(), Some(&bench.world.files[1].copies[0].1));
    files::assert_same(&bad, &after);
    assert_eq!((verified(&bench).exit_code, bench.run().files.unchanged), (0, 3));
}

#[test]
fn a_fault_at_any_operation_of_mending_loses_no_bytes() {
    for fault in [Fault::Before, Fault::After, Fault::Death] {
        for at in 0.. {
            let bench = Bench::of_files(3);
            bench.run();
            let file = &bench.world.files[1];
            let key = &file.copies[0].0;
            flip(&bench.backup.join(key));
            let rotten = bench.copies()[key].clone();
            assert_eq!(verified(&bench).exit_code, 4);
            let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
            let faulty = wrapped(bench.sink.as_ref(), &plan);
            bench.run_onto(&faulty, &Options { jobs: 1, ..bench.options() }).unwrap();
            let is_kept = || {
                let kept = bad_copies(&bench).get(key) == Some(&rotten);
                kept || bench.copies().get(key) == Some(&rotten)
            };
            assert!(is_kept(), "{fault:?} at {at}");
            assert_eq!(bench.run().exit_code, 0, "{fault:?} at {at}");
            assert!(is_kept(), "{fault:?} at {at}");
            assert_eq!(bench.copies().get(key), Some(&file.copies[0].1), "{fault:?} at {at}");
            assert_eq!((verified(&bench).exit_code, bench.temporaries()), (0, vec![]), "{fault:?} at {at}");
            if plan.done.load(Ordering::SeqCst) <= at {
                assert!(at > 3, "only {at} operations could fail");
                break;
            }
        }
    }
}

#[test]
fn whatever_object_is_damaged_is_found_and_mended() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let copies = bench.copies();
    // Package members, auxiliary files and logos of datasets among them; of an empty file only more can be made.
    for key in copies.keys() {
        let path = bench.backup.join(key);
        let mut bytes = fs::read(&path).unwrap();
        match bytes.first_mut() {
            Some(first) => *first ^= 1,
            None => bytes.push(0),
        }
        fs::write(path, bytes).unwrap();
    }
    let found = verified(&bench);
    assert_eq!((found.copies.damaged, found.copies.good), (copies.len() as u64, 0));
    bench.run();
    files::assert_same(&copies, &bench.copies());
    let again = verified(&bench);
    assert_eq!((again.copies.good, again.exit_code), (copies.len() as u64, 0), "{again:#?}");
}

#[test]
fn a_signal_does_not_wait_for_the_end_of_a_long_copy() {
    let folder = dvb_testkit::temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/LONG").id;
    world.add_file(dataset, &format!("file://{}", World::object_name(1)), &vec![7; 65 << 20]);
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    bench.run();
    let key = ObjectKey::new(&bench.world.files[0].copies[0].0).unwrap();
    let good = verified(&bench);
    assert_eq!((good.copies.good, good.bytes), (1, 65 << 20));
    let stop = Some(bench.stop.clone());
    let moody = Arc::new(Moody { key: key.clone(), cause: None, times: AtomicU32::default(), stop });
    let ended = try_verify(&bench, &wrapped(bench.sink.as_ref(), &moody), &options()).unwrap();
    assert_eq!((ended.exit_code, ended.copies.left), (130, 1));
    bench.stop.signal(0);
    flip(&bench.backup.join(key.as_str()));
    assert_eq!(verified(&bench).damaged[0].what.name(), "other-digest");
}

/// Copies are not measured before so many sessions were asked for; and whether one was opened since the last was swept.
struct Watched {
    wanted: u32,
    asked: Mutex<u32>,
    came: Condvar,
    unswept: AtomicBool,
}

impl WrapSession for Watched {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        match call {
            Call::Connect => {
                *self.asked.lock().unwrap() += 1;
                self.unswept.store(true, Ordering::SeqCst);
                self.came.notify_all();
            }
            Call::Measure => {
                let (asked, few) = (self.asked.lock().unwrap(), |asked: &mut u32| *asked < self.wanted);
                drop(self.came.wait_timeout_while(asked, Duration::from_secs(20), few).unwrap());
            }
            Call::Sweep => self.unswept.store(false, Ordering::SeqCst),
            _ => {}
        }
        work()
    }
}

#[test]
fn the_session_that_looked_around_verifies_too_and_what_all_made_for_themselves_goes() {
    let bench = Bench::of_files(600);
    bench.run();
    for jobs in [1, 2] {
        let (asked, came, unswept) = (Mutex::default(), Condvar::new(), AtomicBool::default());
        let watched = Arc::new(Watched { wanted: jobs, asked, came, unswept });
        let sink = wrapped(bench.sink.as_ref(), &watched);
        let summary = try_verify(&bench, &sink, &VerifyOptions { jobs: jobs as usize, ..options() }).unwrap();
        assert_eq!((summary.copies.good, summary.ending), (600, ExitStatus::Safe));
        assert_eq!(*watched.asked.lock().unwrap(), jobs);
        assert!(!watched.unswept.load(Ordering::SeqCst), "{jobs} jobs");
    }
}
