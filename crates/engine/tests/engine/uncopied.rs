//! What no destination has a good copy of: a restore judges what is there, and waves nothing through.

use std::fs;

use dvb_engine::{
    ExitStatus, NullObserver, Options, RepairFault, RepairOptions, RepairSetup, RestoreOptions, RestoreSummary,
    Selection, SinkAt, repair,
};
use dvb_model::{DvObjectId, Status};
use dvb_storage::{Cause, Location, SourceError};
use dvb_testkit::dataverse::{DataTable, Schema, Stored, World};
use dvb_testkit::temp_folder;

use crate::bench::{Bench, LedgerKind, destination};
use crate::verify::verified;
use crate::wrapped::WrapSource;

/// One of three is damaged from the start, so that no destination ever gets it.
fn damaged_from_the_start() -> (Bench, DvObjectId) {
    let bench = Bench::of_files(3);
    let file = &bench.world.files[1];
    fs::write(bench.source_of(&file.copies[0].0), "CONTENT 1").unwrap();
    assert_eq!(bench.run().ending, ExitStatus::SourceDamaged);
    let id = file.id;
    assert_eq!((bench.details()[&id].status, bench.copies().len()), (Status::FailChecksum, 2));
    (bench, DvObjectId(id))
}

fn assert_reported(summary: &RestoreSummary, id: DvObjectId, why: &str) {
    assert_eq!((summary.ending, summary.exit_code), (ExitStatus::NotSafe, 1), "{summary:#?}");
    assert_eq!((summary.failures_total, summary.failures[0].data_file_id), (1, Some(id)), "{summary:#?}");
    assert!(summary.failures[0].reason.contains(why), "{summary:#?}");
    assert_eq!(summary.objects.restored, 0, "{summary:#?}");
}

#[test]
fn a_damaged_file_without_a_copy_is_no_file_that_is_there() {
    let (bench, id) = damaged_from_the_start();
    let one = |it| RestoreOptions { selection: Selection { files: [id].into(), ..Selection::default() }, ..it };
    for (options, good) in [(bench.missing(), 2), (one(bench.missing()), 0), (one(bench.restore_options()), 0)] {
        let summary = bench.give_in_place(&options);
        assert_reported(&summary, id, "what is there is damaged");
        let objects = &summary.objects;
        assert_eq!((objects.no_copy, objects.already_good, objects.present), (1, good, 0), "{summary:#?}");
    }
    for (options, good) in [(bench.missing(), 2), (one(bench.missing()), 0)] {
        let summary = bench.give_to_folder(&options).unwrap();
        assert_reported(&summary, id, "what is there is damaged");
        assert_eq!((summary.objects.already_good, summary.objects.present), (good, 0), "{summary:#?}");
    }
    // The ledger suspects it: it is read even so.
    let quick = bench.give_in_place(&RestoreOptions { quick: true, ..bench.missing() });
    assert_reported(&quick, id, "what is there is damaged");
    assert_eq!((quick.objects.already_good, quick.objects.present), (0, 2), "{quick:#?}");
}

#[test]
fn a_good_file_without_a_copy_is_good() {
    let bench = Bench::of_files(3);
    // As one that was uploaded since the last run.
    let files = bench.world.files[..2].iter().map(|it| DvObjectId(it.id)).collect();
    let selection = Selection { files, ..Selection::default() };
    assert_eq!(bench.try_run(&Options { selection, ..bench.options() }).unwrap().files.copied, 2);
    assert_eq!(bench.copies().len(), 2);
    for summary in [bench.give_in_place(&bench.missing()), bench.give_to_folder(&bench.missing()).unwrap()] {
        let objects = &summary.objects;
        assert_eq!((objects.already_good, objects.present, summary.exit_code), (3, 0, 0), "{summary:#?}");
    }
    let quick = bench.give_in_place(&RestoreOptions { quick: true, ..bench.missing() });
    assert_eq!((quick.objects.already_good, quick.objects.present, quick.exit_code), (0, 3, 0), "{quick:#?}");
}

#[test]
fn a_file_that_is_damaged_on_every_side_is_told() {
    let bench = Bench::of_files(3);
    bench.run();
    let file = &bench.world.files[1];
    let key = &file.copies[0].0;
    fs::write(bench.source_of(key), "CONTENT 1").unwrap();
    fs::write(bench.backup.join(key), "rotten").unwrap();
    assert_eq!(verified(&bench).copies.damaged, 1);
    let quick = RestoreOptions { quick: true, ..bench.missing() };
    for options in [bench.restore_options(), bench.missing(), quick] {
        let summary = bench.give_in_place(&options);
        assert_reported(&summary, DvObjectId(file.id), "no destination has a good copy of it");
        assert_eq!(summary.failures[0].key.as_deref(), Some(key.as_str()), "{summary:#?}");
        assert_eq!((summary.objects.failed, summary.objects.replaced), (1, 0), "{summary:#?}");
    }
    assert_eq!(fs::read(bench.source_of(key)).unwrap(), b"CONTENT 1", "nothing better is there");
}

#[test]
fn a_saved_original_that_is_damaged_on_every_side_is_told_beside_a_good_tab() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    let key = world.add_object(dataset, "file://a", Stored::Bytes(b"a\tb\n".to_vec()));
    let original = world.add_object(dataset, "file://a.orig", Stored::Bytes(b"a,b\n".to_vec()));
    let file = world.add_row(dataset, Some("file://a"), b"a,b\n");
    let table = DataTable { original_format: Some("text/csv".into()), original_size: Some(4), original_name: None };
    file.tables.push(table);
    let id = DvObjectId(file.id);
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    assert_eq!(bench.run().exit_code, 0);
    assert_eq!(bench.copies().into_keys().collect::<Vec<_>>(), [key, original.clone()]);
    fs::write(bench.source_of(&original), "A,B\n").unwrap();
    fs::write(bench.backup.join(&original), "B,A\n").unwrap();
    assert_eq!((verified(&bench).copies.damaged, verified(&bench).copies.good), (1, 1));
    let summary = bench.give_in_place(&bench.missing());
    assert_reported(&summary, id, "no destination has a good copy of it");
    assert_eq!(summary.failures[0].key, Some(original), "{summary:#?}");
    assert_eq!((summary.objects.already_good, summary.objects.failed), (1, 1), "{summary:#?}");
}

/// A store that says nothing of one object, by the end of its key.
struct Deaf(String);

impl WrapSource for Deaf {
    fn before(&self, at: Option<&Location>) -> Result<(), SourceError> {
        let key = at.and_then(|it| it.key().ok());
        let is_it = key.is_some_and(|it| it.as_str().ends_with(&self.0));
        if is_it { Err(SourceError::new(Cause::Transient, "the store does not answer")) } else { Ok(()) }
    }
}

#[test]
fn a_file_that_cannot_be_looked_at_is_not_called_missing() {
    let (mut bench, id) = damaged_from_the_start();
    let name = bench.world.files[1].copies[0].0.rsplit_once('/').unwrap().1.to_owned();
    bench.wrap_store(Deaf(name));
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.failures_total, summary.failures[0].data_file_id), (1, Some(id)), "{summary:#?}");
    assert!(summary.failures[0].reason.contains("the store does not answer"), "{summary:#?}");
    // A repair looks at nothing else than the ledger names.
    let (run, writers) = (bench.options(), bench.writers(&bench.options().run));
    let (destination, catalog) = (destination(), bench.catalog());
    let setup = RepairSetup {
        catalog: &catalog,
        stores: &bench.stores,
        writers: &writers,
        ledger: bench.ledger.as_ref(),
        destinations: &[SinkAt { name: &destination, sink: bench.sink.as_ref() }],
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let repaired = repair(&setup, &RepairOptions { apply: false, all: false, how: run }).unwrap();
    assert_eq!(repaired.items.len(), 1, "{repaired:#?}");
    assert_eq!(repaired.items[0].found, RepairFault::Unreadable, "{repaired:#?}");
}
