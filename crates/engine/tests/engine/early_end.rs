//! Runs that do not come to their end.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dvb_engine::{Access, ExitStatus, NoStore, Options};
use dvb_ledger::Holder;
use dvb_model::{RunId, Status};
use dvb_storage::{Cause, Location, Source, SourceError, StoredObject};

use crate::bench::{Bench, destination, sink_at};
use crate::wrapped::WrapSource;

#[test]
fn a_limit_leaves_the_rest_pending() {
    let bench = Bench::of_files(30);
    let summary = bench.try_run(&Options { limit: Some(7), ..bench.options() }).unwrap();
    assert_eq!((summary.files.copied, summary.files.pending, summary.ending), (7, 23, ExitStatus::Stopped));
    let pending = bench.details().values().filter(|it| it.status == Status::Pending).count();
    assert_eq!(pending, 23);
    let rest = bench.run();
    assert_eq!((rest.files.copied, rest.files.unchanged, rest.exit_code), (23, 7, 0));
}

#[test]
fn a_time_budget_of_nothing_begins_nothing() {
    let bench = Bench::of_files(3);
    let summary = bench.try_run(&Options { time_budget: Some(Duration::ZERO), ..bench.options() }).unwrap();
    assert_eq!((summary.files.pending, summary.exit_code), (3, 8));
    assert_eq!(bench.run().files.copied, 3);
    let nothing_due = bench.try_run(&Options { time_budget: Some(Duration::ZERO), ..bench.options() }).unwrap();
    assert_eq!(nothing_due.exit_code, 0);
}

#[test]
fn the_lock_says_who_holds_it() {
    let bench = Bench::of_files(1);
    let holder =
        Holder { host: "other".into(), pid: 77, run: RunId("r".into()), since: "2026-01-02T03:04:05.000Z".into() };
    let lock = bench.ledger.lock(&destination(), &holder).unwrap();
    let error = bench.try_run(&bench.options()).unwrap_err();
    assert_eq!(ExitStatus::from(&error).code(), 6);
    let text = error.to_string();
    assert!(text.contains("77") && text.contains("other") && text.contains("2026-01-02"), "{text}");
    drop(lock);
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn a_destination_that_cannot_be_used_leaves_all_pending_and_says_so() {
    let bench = Bench::of_files(3);
    std::fs::write(&bench.backup, "no folder").unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.pending, summary.ending, summary.failures_total), (3, ExitStatus::Usage, 0));
    assert!(summary.aborted.unwrap().contains("destination default"));
    let last = bench.ledger.runs(&destination(), 1).unwrap().remove(0).1.unwrap();
    assert_eq!(last.exit_code, 2);
}

#[test]
fn a_store_that_is_not_mounted_is_not_a_thousand_missing_files() {
    let mut bench = Bench::of_files(3);
    let empty = bench.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let source = dvb_fs::FileStore::open(&empty).unwrap();
    let good = bench.set_access(Access::Readable(Arc::new(source)));
    let summary = bench.run();
    assert_eq!((summary.files.failed, summary.ending), (3, ExitStatus::Unreachable));
    assert!(summary.failures[0].reason.contains("empty although"), "{:?}", summary.failures);
    bench.set_access(Access::Unavailable(NoStore::misconfigured("no folder")));
    assert_eq!(bench.run().ending, ExitStatus::Usage, "a folder that does not exist does not pass");
    bench.set_access(good);
    assert_eq!(bench.run().files.copied, 3);
}

/// A store in which one object never ends, as a run sees it that is told to stop in its middle.
struct Endless {
    name: String,
    stop: dvb_engine::CancelToken,
}

struct Zeros(dvb_engine::CancelToken, u64);

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 += buffer.len() as u64;
        if self.1 > 20_000_000 {
            self.0.signal(15);
        }
        buffer.fill(0);
        Ok(buffer.len())
    }
}

impl WrapSource for Endless {
    fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
        let is_endless = format!("{:?}", at.object).contains(&self.name);
        if is_endless {
            return Ok(StoredObject { size: u64::MAX, body: Box::new(Zeros(self.stop.clone(), 0)) });
        }
        store.open(at)
    }
}

#[test]
fn a_signal_ends_the_run_in_the_middle_of_a_file_with_the_others_recorded() {
    let mut bench = Bench::of_files(6);
    let name = dvb_testkit::dataverse::World::object_name(3);
    let healthy = bench.wrap_store(Endless { name, stop: bench.stop.clone() });
    let summary = bench.try_run(&Options { jobs: 1, ..bench.options() }).unwrap();
    assert_eq!((summary.ending, summary.exit_code), (ExitStatus::Signalled(15), 143));
    assert_eq!(summary.files.copied + summary.files.pending, 6);
    assert_eq!(bench.temporaries(), [""; 0]);
    let recorded = bench.details().values().filter(|it| it.status == Status::Ok).count();
    assert_eq!(recorded as u64, summary.files.copied);
    assert_eq!(bench.copies().len() as u64, summary.files.copied);
    let bench = Bench { stop: dvb_engine::CancelToken::new(), ..bench };
    let mut bench = bench;
    bench.set_access(Access::Readable(healthy));
    assert_eq!(bench.run().files.copied, 6 - summary.files.copied);
}

#[test]
fn what_dead_runs_left_is_swept_but_not_what_strangers_left() {
    let bench = Bench::of_files(2);
    let dead = RunId("20200101T000000Z-dead".into());
    let run = dvb_ledger::Run {
        id: dead.clone(),
        destination: destination(),
        started: "2020-01-01T00:00:00.000Z".into(),
        host: "h".into(),
        pid: 1,
    };
    bench.ledger.begin_run(&run).unwrap();
    bench.sink.make().unwrap();
    for id in [&dead, &RunId("20200101T000000Z-stranger".into())] {
        sink_at(&bench.backup).connect(id).unwrap();
        std::fs::write(bench.backup.join(format!(".dataverse-backup/tmp/{id}/left")), "half").unwrap();
    }
    bench.run();
    assert_eq!(bench.temporaries(), [".dataverse-backup/tmp/20200101T000000Z-stranger/left"]);
}

#[test]
fn reading_that_fails_for_now_is_tried_again() {
    struct Flaky(AtomicU32);
    impl WrapSource for Flaky {
        fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
            if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(SourceError::new(Cause::Transient, "stale handle"));
            }
            store.open(at)
        }
    }
    let mut bench = Bench::of_files(2);
    bench.wrap_store(Flaky(AtomicU32::new(0)));
    assert_eq!(bench.run().files.copied, 2);
}
