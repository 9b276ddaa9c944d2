//! The time budget is a promise: nothing begins after it, and what hangs is cut off.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use dvb_catalog::{Catalog, Detail, Entry, PostgresCatalog};
use dvb_engine::{
    Access, AuditOptions, AuditSetup, ENDS_WITHIN, ExitStatus, NullObserver, Options, Selection, Setup, audit,
    new_run_id, run,
};
use dvb_ledger::{Ledger, PostgresLedger};
use dvb_model::{RunId, Status};
use dvb_storage::{Location, Sink, SinkError, SinkSession, Source, SourceError, StoredObject};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::postgres::{Frozen, Server};
use dvb_testkit::temp_folder;

use crate::bench::{Bench, LedgerKind};
use crate::wrapped::{OnConnect, WrapSource};

/// Longer than anything may take: a test that comes here fails instead of hanging.
const FOREVER: Duration = Duration::from_secs(100);
/// What a busy machine may take on top.
const SLACK: Duration = Duration::from_secs(15);

/// Gives a first byte of one object, and then nothing until it is interrupted.
struct Hung {
    name: String,
    interrupted: Arc<(Mutex<bool>, Condvar)>,
}

struct HungBody(Arc<(Mutex<bool>, Condvar)>, bool);

impl Read for HungBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.1, true) {
            buffer[0] = b'x';
            return Ok(1);
        }
        let (is_interrupted, changed) = &*self.0;
        let waited = changed.wait_timeout_while(is_interrupted.lock().unwrap(), FOREVER, |it| !*it).unwrap();
        drop(waited);
        Err(io::Error::other("interrupted"))
    }
}

impl WrapSource for Hung {
    fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
        if format!("{:?}", at.object).contains(&self.name) {
            return Ok(StoredObject { size: 9, body: Box::new(HungBody(Arc::clone(&self.interrupted), false)) });
        }
        store.open(at)
    }

    fn interrupt(&self, _: &dyn Source) {
        *self.interrupted.0.lock().unwrap() = true;
        self.interrupted.1.notify_all();
    }
}

/// Notes that it was interrupted.
struct Noting<'a>(&'a dyn Sink, AtomicBool);

impl Sink for Noting<'_> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn method(&self) -> &'static str {
        self.0.method()
    }

    fn make(&self) -> Result<(), SinkError> {
        self.0.make()
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        self.0.connect(run)
    }

    fn interrupt(&self) {
        self.1.store(true, Ordering::SeqCst);
    }
}

/// Puts a store that hangs at the object of this number in the place of the one of files; gives that one.
fn hang_at(bench: &mut Bench, number: i64) -> Arc<dyn Source> {
    bench.wrap_store(Hung { name: World::object_name(number), interrupted: Arc::default() })
}

#[test]
fn a_store_that_hangs_does_not_hold_a_run_beyond_its_budget() {
    let mut bench = Bench::of_files(6);
    let healthy = hang_at(&mut bench, 3);
    let sink = Noting(bench.sink.as_ref(), AtomicBool::new(false));
    let (began, budget) = (Instant::now(), Duration::from_secs(2));
    let summary = bench.run_onto(&sink, &Options { time_budget: Some(budget), ..bench.options() }).unwrap();
    assert!(began.elapsed() < budget + ENDS_WITHIN + SLACK, "{:?}", began.elapsed());
    assert!(sink.1.load(Ordering::SeqCst), "the destination is cut off as well");
    assert_eq!(summary.exit_code, 8, "{summary:#?}");
    assert_eq!((summary.failures_total, summary.files.copied + summary.files.pending), (0, 6));
    assert!(summary.files.pending > 0);
    let recorded = bench.details().values().filter(|it| it.status == Status::Ok).count() as u64;
    assert_eq!((recorded, bench.copies().len() as u64), (summary.files.copied, summary.files.copied));
    bench.set_access(Access::Readable(healthy));
    let rest = bench.run();
    assert_eq!((rest.exit_code, rest.files.copied + rest.files.unchanged), (0, 6));
}

#[test]
fn a_store_that_hangs_does_not_hold_an_audit_beyond_its_budget() {
    let mut bench = Bench::of_files(6);
    bench.run();
    hang_at(&mut bench, 3);
    let (began, budget) = (Instant::now(), Duration::from_secs(2));
    let catalog = bench.catalog();
    let setup = AuditSetup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destinations: &[crate::bench::destination()],
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let options = AuditOptions {
        agent: crate::bench::agent(),
        run: new_run_id(),
        selection: Selection::default(),
        older_than: None,
        sample: None,
        jobs: 1,
        time_budget: Some(budget),
        auxiliary_objects: true,
        spool_folder: bench.folder.path().to_owned(),
    };
    let summary = audit(&setup, &options).unwrap();
    assert!(began.elapsed() < budget + ENDS_WITHIN + SLACK, "{:?}", began.elapsed());
    assert_eq!((summary.exit_code, summary.findings_total), (8, 0), "{summary:#?}");
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
}

#[test]
fn no_object_of_a_batch_begins_after_the_budget() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..8 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &vec![b'x'; 5_000_000]);
    }
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    // Four come together. One takes two seconds and a half, so the second one is under way when the budget ends.
    let options = Options {
        jobs: 1,
        bandwidth_limit: Some(2_000_000),
        time_budget: Some(Duration::from_secs(3)),
        ..bench.options()
    };
    let summary = bench.try_run(&options).unwrap();
    assert_eq!((summary.exit_code, summary.files.copied + summary.files.pending), (8, 8), "{summary:#?}");
    assert!(summary.files.copied <= 2, "{summary:#?}");
    assert!(summary.snapshot.is_some(), "it is quick, so it is left");
    assert_eq!(bench.temporaries(), [""; 0]);
    assert_eq!(bench.copies().len() as u64, summary.files.copied);
    assert_eq!(bench.run().files.copied, 8 - summary.files.copied);
}

/// Stops a PostgreSQL server when it is told to, once.
struct Freezer<'a>(&'a Server, Mutex<Option<Frozen>>);

impl Freezer<'_> {
    fn freeze(&self) {
        self.1.lock().unwrap().get_or_insert_with(|| self.0.freeze());
    }
}

#[test]
fn a_ledger_whose_server_is_stopped_does_not_hold_a_run_beyond_its_budget() {
    let mut bench = Bench::of_files(6);
    let server = Server::start();
    let ledger = PostgresLedger::open(crate::bench::target(&server.create_database("ledger")), 4).unwrap();
    ledger.migrate().unwrap();
    bench.ledger = Box::new(ledger);
    let freezer = Freezer(&server, Mutex::default());
    // As soon as there is something to be recorded.
    let sink = OnConnect { inner: bench.sink.as_ref(), happens: &|| freezer.freeze() };
    let (began, budget) = (Instant::now(), Duration::from_secs(5));
    let ended = bench.run_onto(&sink, &Options { time_budget: Some(budget), ..bench.options() });
    assert!(began.elapsed() < budget + ENDS_WITHIN + SLACK, "{:?}", began.elapsed());
    // It depends on the machine's pace how far it gets.
    let (code, why) = match ended {
        Ok(summary) => (summary.exit_code, summary.aborted.unwrap_or_default()),
        Err(error) => (ExitStatus::from(&error).code(), format!("{error:?}")),
    };
    assert!(code == 5 && why.contains("the time for it was over"), "{code} {why}");
    drop(freezer);
    let ledger = PostgresLedger::open(crate::bench::target(&server.create_database("other")), 4).unwrap();
    ledger.migrate().unwrap();
    bench.ledger = Box::new(ledger);
    assert_eq!(bench.run().files.pending, 0);
}

/// Stops the server of a catalogue at its first entry.
struct FreezingCatalog<'a>(PostgresCatalog, &'a Freezer<'a>);

impl Catalog for FreezingCatalog<'_> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn read(
        &self,
        detail: Detail,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), dvb_catalog::CatalogError> {
        self.0.read(detail, &mut |entry| {
            self.1.freeze();
            visit(entry)
        })
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }
}

#[test]
fn a_catalogue_whose_server_is_stopped_does_not_hold_a_run_beyond_its_budget() {
    let bench = Bench::of_files(6);
    let server = Server::start();
    let database = server.create_database("dataverse");
    bench.world.install(&database);
    // More than is fetched ahead of the first entry that is visited.
    database.execute(
        "SET LOCAL session_replication_role = replica;
         INSERT INTO dvobject (id, dtype, createdate, modificationtime)
         SELECT n, 'Dataset', now(), now() FROM generate_series(1000001, 1030000) n;
         INSERT INTO dataset (id, datasettype_id) SELECT n, 1 FROM generate_series(1000001, 1030000) n",
    );
    let freezer = Freezer(&server, Mutex::default());
    let catalog = FreezingCatalog(PostgresCatalog::new(crate::bench::target(&database)), &freezer);
    let setup = Setup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destination: &crate::bench::destination(),
        sink: bench.sink.as_ref(),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let (began, budget) = (Instant::now(), Duration::from_secs(2));
    let error = run(&setup, &Options { time_budget: Some(budget), ..bench.options() }).unwrap_err();
    assert!(began.elapsed() < budget + ENDS_WITHIN + SLACK, "{:?}", began.elapsed());
    assert_eq!(ExitStatus::from(&error).code(), 5, "{error:?}");
    assert_eq!(bench.run().files.copied, 6);
}
