//! A destination that goes away for a while, and a worker that breaks down: every command waits for the one, and comes to
//! its end with the other.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dvb_engine::{
    AuditOptions, AuditSetup, ExitStatus, Goal, Layout, NullObserver, Options, RepairOptions, RepairSetup,
    RestoreOptions, RestoreSetup, Selection, SinkAt, VerifyOptions, VerifySetup, audit, new_run_id, repair, restore,
    verify,
};
use dvb_fs::{FolderWriter, OwnershipPolicy};
use dvb_model::{DriverId, DvObjectId};
use dvb_storage::{Cause, Location, Sink, SinkError, Source, SourceError, StoredObject};
use dvb_testkit::files;

use crate::bench::{Bench, destination};
use crate::wrapped::{Call, WrapSession, WrapSource, wrapped};

/// Asked before something is done; an error is that of the whole session, and a panic is one.
struct Before(Box<dyn Fn(Call) -> Result<(), SinkError> + Send + Sync>);

impl Before {
    fn new(before: impl Fn(Call) -> Result<(), SinkError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Box::new(before)))
    }
}

impl WrapSession for Before {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        match call {
            Call::Discard | Call::List | Call::RemoveOwn | Call::Sweep => {}
            _ => (self.0)(call)?,
        }
        work()
    }
}

/// At the n-th thing of its kind the session is lost, and the next `refused` attempts to connect find nobody.
fn away(what: Call, at: u32, refused: u32) -> Arc<Before> {
    let (done, left) = (AtomicU32::new(0), AtomicU32::new(0));
    Before::new(move |call| {
        if call == what && done.fetch_add(1, Ordering::SeqCst) + 1 == at {
            left.store(refused, Ordering::SeqCst);
            return Err(SinkError::new(Cause::Transient, "the connection was cut"));
        }
        let is_away = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        match (call, is_away) {
            (Call::Connect, Ok(_)) => Err(SinkError::new(Cause::Unavailable, "connection refused")),
            (_, Ok(_)) => {
                left.fetch_add(1, Ordering::SeqCst);
                Err(SinkError::new(Cause::Transient, "the connection was cut"))
            }
            (_, Err(_)) => Ok(()),
        }
    })
}

fn panics(what: Call) -> Arc<Before> {
    Before::new(move |call| {
        assert_ne!(call, what, "injected");
        Ok(())
    })
}

/// A store that cannot even be asked for an object.
struct Panicking;

impl WrapSource for Panicking {
    fn open(&self, _: &dyn Source, _: &Location) -> Result<StoredObject, SourceError> {
        panic!("injected")
    }
}

/// Ends the tests where something never comes to its end.
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let (done, watched) = channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(Duration::from_secs(120)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("it never ends");
            std::process::abort();
        }
    });
    let result = work();
    drop(done);
    result
}

impl Bench {
    fn restored_by(&self, sink: &dyn Sink) -> dvb_engine::RestoreSummary {
        let options = RestoreOptions { layout: Layout::Keys, ..self.restore_options() };
        let to = FolderWriter::open(&self.out(), &options.run, OwnershipPolicy::Own).unwrap();
        let catalog = self.catalog();
        let setup = RestoreSetup {
            catalog: &catalog,
            stores: &self.stores,
            ledger: self.ledger.as_ref(),
            from: &[SinkAt { name: &destination(), sink }],
            to: Goal::Folder(&to),
            observer: &NullObserver,
            stop: &self.stop,
        };
        restore(&setup, &options).unwrap()
    }

    fn repaired_by(&self, sink: &dyn Sink) -> dvb_engine::RepairSummary {
        let files = self.world.files.iter().map(|it| DvObjectId(it.id)).collect();
        let how =
            Options { selection: Selection { files, ..Selection::default() }, run: new_run_id(), ..self.options() };
        let (catalog, writers) = (self.catalog(), self.writers(&how.run));
        let setup = RepairSetup {
            catalog: &catalog,
            stores: &self.stores,
            writers: &writers,
            ledger: self.ledger.as_ref(),
            destinations: &[SinkAt { name: &destination(), sink }],
            observer: &NullObserver,
            stop: &self.stop,
        };
        repair(&setup, &RepairOptions { apply: true, all: false, how }).unwrap()
    }
}

#[test]
fn a_worker_that_waits_for_its_login_keeps_nothing_from_the_others() {
    let bench = Bench::of_files(80);
    fs::create_dir(&bench.backup).unwrap();
    let (connects, second) = (AtomicU32::new(0), Arc::new((Mutex::new(false), Condvar::new())));
    let others_went_on = Arc::new(AtomicBool::new(false));
    let (noted, backup) = (Arc::clone(&others_went_on), bench.backup.clone());
    let before = Before::new(move |call| {
        let (is_begun, begun) = &*second;
        if call == Call::Stage && files::tree(&backup).len() > 40 {
            *is_begun.lock().unwrap() = true;
            begun.notify_all();
        } else if call == Call::Connect && connects.fetch_add(1, Ordering::Relaxed) == 1 {
            // The second batch, which is stored when the first one is.
            let waited = begun.wait_timeout_while(is_begun.lock().unwrap(), Duration::from_secs(20), |it| !*it);
            noted.store(!waited.unwrap().1.timed_out(), Ordering::Relaxed);
        }
        Ok(())
    });
    let options = Options { presence_check: None, ..bench.options() };
    let summary = bench.run_onto(&wrapped(bench.sink.as_ref(), &before), &options).unwrap();
    assert_eq!(summary.ending, ExitStatus::Safe, "{summary:#?}");
    assert!(others_went_on.load(Ordering::Relaxed), "a batch waited for the login");
}

#[test]
fn the_workers_log_in_while_the_first_one_looks_around() {
    let bench = Bench::of_files(80);
    fs::create_dir(&bench.backup).unwrap();
    let options = Options { presence_check: None, ..bench.options() };
    assert!(options.jobs > 1);
    let connects = Arc::new((Mutex::new(0), Condvar::new()));
    let (seen, jobs, was_early) = (Arc::clone(&connects), options.jobs, Arc::new(AtomicBool::new(true)));
    let noted = Arc::clone(&was_early);
    let before = Before::new(move |call| {
        let (count, came) = &*seen;
        if call == Call::Connect {
            *count.lock().unwrap() += 1;
            came.notify_all();
        } else if call == Call::Stage {
            // The first thing that is stored proves that the destination is a place of its own.
            let waited = came.wait_timeout_while(count.lock().unwrap(), Duration::from_secs(20), |it| *it < jobs);
            if waited.unwrap().1.timed_out() {
                noted.store(false, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    let summary = bench.run_onto(&wrapped(bench.sink.as_ref(), &before), &options).unwrap();
    assert_eq!(summary.ending, ExitStatus::Safe, "{summary:#?}");
    assert!(was_early.load(Ordering::Relaxed), "the others waited with their logins");
    assert_eq!(*connects.0.lock().unwrap(), options.jobs, "a worker opened a session of its own");
}

#[test]
fn a_restore_waits_for_a_destination_that_comes_back() {
    for call in [Call::Open, Call::Connect] {
        let bench = Bench::of_files(40);
        bench.run();
        // The second worker may find nobody at its first attempt.
        let at = if call == Call::Open { 5 } else { 2 };
        let before = away(call, at, 2);
        let summary = bench.restored_by(&wrapped(bench.sink.as_ref(), &before));
        assert_eq!((summary.ending, summary.objects.restored), (ExitStatus::Safe, 40), "{summary:#?}");
        files::assert_same(&bench.world.expected_copies(), &files::tree(&bench.out()));
    }
}

#[test]
fn a_repair_waits_for_a_destination_that_comes_back() {
    for call in [Call::Measure, Call::Open, Call::Stage] {
        let bench = Bench::of_files(20);
        bench.run();
        for (n, file) in bench.world.files.iter().enumerate() {
            let key = &file.copies[0].0;
            match n % 4 {
                0 => fs::write(bench.backup.join(key), "rotten").unwrap(),
                1 => fs::remove_file(bench.source_of(key)).unwrap(),
                _ => {}
            }
        }
        let before = away(call, 3, 2);
        let summary = bench.repaired_by(&wrapped(bench.sink.as_ref(), &before));
        assert_eq!((summary.ending, summary.objects.mended), (ExitStatus::Safe, 10), "{call:?}: {summary:#?}");
        files::assert_same(&bench.world.expected_copies(), &bench.copies());
    }
}

#[track_caller]
fn assert_is_a_mistake(ending: ExitStatus, aborted: Option<&str>) {
    let why = aborted.unwrap_or_default();
    assert!(why.starts_with("internal error (please report): ") && why.contains("injected"), "{why}");
    assert_eq!(ending, ExitStatus::NotSafe);
}

#[test]
fn a_run_ends_with_a_worker_that_breaks_down() {
    let mut bench = Bench::of_files(300);
    let sink = wrapped(bench.sink.as_ref(), &panics(Call::Stage));
    let summary = in_time(|| bench.run_onto(&sink, &bench.options()).unwrap());
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
    assert_eq!((summary.files.pending, summary.files.catalogued), (300, 300));
    bench.wrap_store(Panicking);
    let summary = in_time(|| bench.run());
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
    assert_eq!(bench.temporaries(), [""; 0]);
}

#[test]
fn a_verify_ends_with_a_worker_that_breaks_down() {
    let bench = Bench::of_files(10);
    bench.run();
    let options = VerifyOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        selection: Selection::default(),
        default_store: DriverId("file".into()),
        older_than: None,
        sample: None,
        jobs: 2,
        time_budget: None,
    };
    let setup = VerifySetup {
        ledger: bench.ledger.as_ref(),
        destination: &destination(),
        sink: &wrapped(bench.sink.as_ref(), &panics(Call::Measure)),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let summary = in_time(|| verify(&setup, &options).unwrap());
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
    assert_eq!(summary.copies.left, 10);
}

#[test]
fn an_audit_ends_with_a_worker_that_breaks_down() {
    let mut bench = Bench::of_files(400);
    bench.wrap_store(Panicking);
    let options = AuditOptions {
        agent: crate::bench::agent(),
        run: new_run_id(),
        selection: Selection::default(),
        older_than: None,
        sample: None,
        jobs: 2,
        time_budget: None,
        auxiliary_objects: true,
        spool_folder: bench.folder.path().to_owned(),
    };
    let catalog = bench.catalog();
    let setup = AuditSetup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destinations: &[destination()],
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let summary = in_time(|| audit(&setup, &options).unwrap());
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
}

#[test]
fn a_restore_and_a_repair_end_with_a_worker_that_breaks_down() {
    let bench = Bench::of_files(100);
    bench.run();
    let sink = wrapped(bench.sink.as_ref(), &panics(Call::Open));
    let summary = in_time(|| bench.restored_by(&sink));
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
    assert_eq!(summary.pending, 100);
    let sink = wrapped(bench.sink.as_ref(), &panics(Call::Measure));
    let summary = in_time(|| bench.repaired_by(&sink));
    assert_is_a_mistake(summary.ending, summary.aborted.as_deref());
}
