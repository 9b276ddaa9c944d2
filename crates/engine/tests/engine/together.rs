//! Several destinations in one call.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use dvb_engine::{ExitStatus, NullObserver, Options, RunError, Setup, Summary, run_together};
use dvb_ledger::Holder;
use dvb_model::{DestinationName, RunId};
use dvb_storage::{Location, Sink, Source, SourceError, StoredObject};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, GONE, LedgerKind, sink_at};
use crate::faults::{Fault, Plan};
use crate::wrapped::{WrapSource, wrapped};

/// Counts how often each object is opened.
struct Counting(Arc<Mutex<BTreeMap<String, u32>>>);

/// Counts when more than the one byte is read that shows whether the store can be read at all.
struct Counted {
    body: Box<dyn std::io::Read + Send>,
    name: String,
    opens: Arc<Mutex<BTreeMap<String, u32>>>,
    is_counted: bool,
}

impl std::io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.len() > 1 && !std::mem::replace(&mut self.is_counted, true) {
            *self.opens.lock().unwrap().entry(self.name.clone()).or_default() += 1;
        }
        self.body.read(buffer)
    }
}

impl WrapSource for Counting {
    fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
        let StoredObject { size, body } = store.open(at)?;
        let counted = Counted { body, name: format!("{at:?}"), opens: Arc::clone(&self.0), is_counted: false };
        Ok(StoredObject { size, body: Box::new(counted) })
    }
}

fn count_opens(bench: &mut Bench) -> Arc<Mutex<BTreeMap<String, u32>>> {
    let opens = Arc::default();
    bench.wrap_store(Counting(Arc::clone(&opens)));
    opens
}

fn named(name: &str) -> DestinationName {
    DestinationName(name.into())
}

/// Runs to the bench's own destination and to a second one.
fn run_both(bench: &Bench, first: &dyn Sink, second: &dyn Sink) -> Vec<Result<Summary, RunError>> {
    let (catalog, names) = (bench.catalog(), [named("default"), named("second")]);
    let setup = |n: usize, sink| Setup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destination: &names[n],
        sink,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    run_together(&[(setup(0, first), bench.options()), (setup(1, second), bench.options())])
}

fn second_copies(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut tree = files::tree(&bench.folder.path().join("second"));
    tree.retain(|it, _| !it.starts_with(".dataverse-backup/"));
    tree
}

fn second(bench: &Bench) -> Box<dyn Sink> {
    sink_at(&bench.folder.path().join("second"))
}

#[test]
fn every_kind_goes_to_both_and_is_read_once() {
    let mut bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let opens = count_opens(&mut bench);
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    let [Ok(first), Ok(second)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((first.files, first.bytes_copied), (second.files, second.bytes_copied));
    assert_eq!((first.ending, second.ending), (ExitStatus::SourceDamaged, ExitStatus::SourceDamaged));
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    files::assert_same(&bench.world.expected_copies(), &second_copies(&bench));
    // The manifest of a package is read to learn what to expect, and what turns out to be no tabular file's own bytes is
    // looked for a second time: by each destination for itself.
    assert!(!opens.lock().unwrap().is_empty());
    let often: Vec<_> = opens.lock().unwrap().iter().filter(|it| *it.1 > 1).map(|it| it.0.clone()).collect();
    assert!(often.iter().all(|it| it.contains("files.sha") || it.contains("\"orig\"")), "{often:#?}");
    let tabular = bench.world.of_kind("tabular").storage_identifier.as_ref().unwrap().replace("file://", "");
    assert!(!often.iter().any(|it| it.contains(&tabular)), "{often:#?}");
}

#[test]
fn large_objects_go_to_both_from_one_read() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/BIG").id;
    for n in 0..6 {
        let content = files::bytes(u64::try_from(n).unwrap(), 7_000_001);
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    let mut bench = Bench::new(world, LedgerKind::Sqlite, folder);
    let opens = count_opens(&mut bench);
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    assert!(results.iter().all(|it| it.as_ref().is_ok_and(|it| it.exit_code == 0)), "{results:?}");
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    files::assert_same(&bench.world.expected_copies(), &second_copies(&bench));
    assert_eq!(opens.lock().unwrap().values().copied().collect::<Vec<_>>(), [1; 6]);
}

#[test]
fn one_that_is_down_does_not_stop_the_other() {
    let bench = Bench::of_files(10);
    std::fs::write(bench.folder.path().join("second"), "no folder").unwrap();
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    let [Ok(first), Ok(second)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((first.ending, first.files.copied), (ExitStatus::Safe, 10));
    assert_eq!((second.ending, second.files.pending), (ExitStatus::Usage, 10));
}

#[test]
fn one_that_is_locked_does_not_stop_the_other() {
    let bench = Bench::of_files(4);
    let holder = Holder { host: "h".into(), pid: 7, run: RunId("r".into()), since: "2026-01-02T03:04:05.000Z".into() };
    let _lock = bench.ledger.lock(&named("default"), &holder).unwrap();
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    assert_eq!(ExitStatus::from(results[0].as_ref().unwrap_err()), ExitStatus::Locked);
    assert_eq!(results[1].as_ref().unwrap().files.copied, 4);
    assert!(!bench.backup.exists());
}

#[test]
fn one_that_is_locked_does_not_take_the_place_of_one_that_is_down() {
    let bench = Bench::of_files(4);
    let holder = Holder { host: "h".into(), pid: 7, run: RunId("r".into()), since: "2026-01-02T03:04:05.000Z".into() };
    let _lock = bench.ledger.lock(&named("default"), &holder).unwrap();
    std::fs::write(bench.folder.path().join("second"), "no folder").unwrap();
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    assert_eq!(results[1].as_ref().unwrap().files.pending, 4);
    let limited = Options { limit: Some(1), ..bench.options() };
    assert!(bench.try_run(&limited).is_err());
}

#[test]
fn one_that_was_added_later_gets_what_the_other_has() {
    let bench = Bench::of_files(12);
    assert_eq!(bench.run().files.copied, 12);
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    let [Ok(first), Ok(second)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!((first.files.unchanged, second.files.copied), (12, 12));
    assert_eq!(second_copies(&bench), bench.copies());
}

#[test]
fn one_that_dies_at_any_operation_leaves_the_other_whole() {
    for at in 0..12 {
        let bench = Bench::of_files(9);
        let target = second(&bench);
        let plan = Arc::new(Plan { fault: Fault::Death, at, done: AtomicU32::new(0) });
        let dying = wrapped(target.as_ref(), &plan);
        let results = run_both(&bench, bench.sink.as_ref(), &dying);
        let [Ok(first), Ok(_)] = results.as_slice() else { panic!("{results:?}") };
        assert_eq!((first.ending, first.files.copied), (ExitStatus::Safe, 9), "after a death at {at}");
        files::assert_same(&bench.world.expected_copies(), &bench.copies());
        let again = run_both(&bench, bench.sink.as_ref(), target.as_ref());
        assert!(again.iter().all(|it| it.as_ref().is_ok_and(|it| it.exit_code == 0)), "{again:?}");
        files::assert_same(&bench.world.expected_copies(), &second_copies(&bench));
    }
}

#[test]
fn a_catalogue_that_cannot_be_read_fails_both() {
    let bench = Bench::of_files(1);
    bench.database.execute("DROP TABLE filemetadata CASCADE; DROP TABLE datafile CASCADE");
    let results = run_both(&bench, bench.sink.as_ref(), second(&bench).as_ref());
    let endings: Vec<ExitStatus> = results.iter().map(|it| ExitStatus::from(it.as_ref().unwrap_err())).collect();
    assert_eq!(endings, [ExitStatus::Usage, ExitStatus::Usage]);
    let text = results[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("datafile"), "{text}");
    let options = Options { overrides: GONE, ..bench.options() };
    assert!(bench.try_run(&options).is_err());
}
