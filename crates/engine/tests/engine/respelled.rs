//! A destination that keeps names in another form: what it lists is what was put there all the same.

use std::ops::ControlFlow;
use std::sync::Arc;

use dvb_engine::Which;
use dvb_model::RunId;
use dvb_storage::{Listed, Listing, SinkError, SinkSession};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::temp_folder;

use crate::bench::{Bench, LedgerKind};
use crate::orphans::list_at;
use crate::rebuild;
use crate::wrapped::{WrapSession, wrapped};

fn respelled(name: &str) -> String {
    name.to_lowercase().replace('é', "e\u{301}")
}

/// Lists every name in small letters, decomposed, and finds each by any spelling that it was given.
struct Respelling;

impl WrapSession for Respelling {
    fn list(
        &self,
        session: &mut dyn SinkSession,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        session.list(which, &mut |found| visit(found.map(|it| Listed { name: respelled(&it.name), ..it })))
    }

    fn sweep(&self, session: &mut dyn SinkSession, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        session.sweep(&|run| is_dead(&RunId(respelled(&run.0))))
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
        let respelling = wrapped(bench.sink.as_ref(), &Arc::new(Respelling));
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
    let respelling = wrapped(bench.sink.as_ref(), &Arc::new(Respelling));
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
