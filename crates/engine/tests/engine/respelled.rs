//! A destination that keeps names in another form: what it lists is what was put there all the same.

use std::ops::ControlFlow;

use dvb_engine::Which;
use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    CommitRequest, Existing, Listed, Listing, Sink, SinkError, SinkSession, StageRequest, Staged, Unstaged,
};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::temp_folder;

use crate::bench::{Bench, LedgerKind};
use crate::orphans::list_at;
use crate::rebuild;

/// Lists every name in small letters, decomposed, and finds each by any spelling that it was given.
struct Respelling<'a>(&'a dyn Sink);

struct RespellingSession(Box<dyn SinkSession>);

fn respelled(name: &str) -> String {
    name.to_lowercase().replace('é', "e\u{301}")
}

impl Sink for Respelling<'_> {
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
        Ok(Box::new(RespellingSession(self.0.connect(run)?)))
    }
}

impl SinkSession for RespellingSession {
    fn algorithms(&self) -> &[Algorithm] {
        self.0.algorithms()
    }

    fn evidence(&self) -> Evidence {
        self.0.evidence()
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        self.0.stage(batch)
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        self.0.commit(batch)
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        self.0.discard(batch)
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        self.0.stat(keys)
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.0.measure(keys, wanted)
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        self.0.rename(from, to)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn std::io::Read + Send + 'a>, SinkError> {
        self.0.open(key)
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        self.0.list(which, &mut |found| visit(found.map(|it| Listed { name: respelled(&it.name), ..it })))
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        self.0.remove_own(key)
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        self.0.sweep(&|run| is_dead(&RunId(respelled(&run.0))))
    }
}

fn bench(ledger: LedgerKind) -> Bench {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ABC").id;
    for (n, name) in ["Café.csv", "18f-Plain", "small", "ÉTÉ"].into_iter().enumerate() {
        world.add_file(dataset, name, format!("content {n}").as_bytes());
    }
    Bench::new(world, ledger, folder)
}

#[test]
fn a_copy_is_no_orphan_in_whatever_spelling() {
    for ledger in [LedgerKind::Sqlite, LedgerKind::Postgres] {
        let bench = bench(ledger);
        bench.run();
        let respelling = Respelling(bench.sink.as_ref());
        let (summary, found) = list_at(&bench, &respelling);
        assert_eq!((summary.listed, summary.orphans_total, summary.exit_code), (4, 0, 0), "{found:?}");
        // What only looks like a copy is another object.
        let stray = bench.backup.join("10.5072/FK2/ABC/SMALL");
        std::fs::write(&stray, "content 2").unwrap();
        let (_, found) = list_at(&bench, bench.sink.as_ref());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["10.5072/FK2/ABC/SMALL"]);
    }
}

#[test]
fn a_copy_that_is_gone_does_not_hide_what_has_its_name_in_small_letters() {
    let bench = bench(LedgerKind::Sqlite);
    bench.run();
    let folder = bench.backup.join("10.5072/FK2/ABC");
    std::fs::rename(folder.join("18f-Plain"), folder.join("18f-plain")).unwrap();
    let (summary, found) = list_at(&bench, bench.sink.as_ref());
    assert_eq!(summary.orphans_total, 1, "{found:?}");
}

#[test]
fn snapshots_are_found_in_small_letters() {
    let bench = bench(LedgerKind::Sqlite);
    let respelling = Respelling(bench.sink.as_ref());
    let first = bench.run_onto(&respelling, &bench.options()).unwrap();
    let made = rebuild::from_snapshot_alone(&bench, &respelling, Which::Newest).unwrap();
    assert_eq!(Some(made), first.snapshot);
    bench.database.execute("UPDATE datafile SET restricted = true");
    let second = bench.run_onto(&respelling, &bench.options()).unwrap();
    let made = rebuild::from_snapshot_alone(&bench, &respelling, Which::Newest).unwrap();
    assert_eq!(Some(made), second.snapshot);
    assert_eq!(*bench.warnings.lock().unwrap(), [""; 0]);
    // Nothing of the runs is left.
    let left = dvb_testkit::files::tree(&bench.backup);
    assert!(left.keys().all(|it| !it.contains("/tmp/")), "{:?}", left.keys());
}
