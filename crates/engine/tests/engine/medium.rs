//! A medium that cannot have every name: exFAT.

use dvb_engine::{Goal, NullObserver, Options, RestoreOptions};
use dvb_fs::{FolderWriter, OwnershipPolicy};
use dvb_model::Status;
use dvb_storage::Sink;
use dvb_testkit::dataverse::{DataTable, Schema, Stored, World};
use dvb_testkit::disk::{Disk, FileSystem};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, destination, new_ledger, sink_at};

#[test]
fn names_that_a_medium_cannot_have_get_others() {
    if !Disk::may_be_had() {
        return;
    }
    let disk = Disk::new(FileSystem::ExFat);
    let bench = odd_names();
    let sink = sink_at(&disk.path().join("backup"));
    let run = |bench: &Bench| bench.run_onto(sink.as_ref(), &bench.options()).unwrap();
    let first = run(&bench);
    assert_eq!((first.exit_code, first.files.copied), (0, first.files.catalogued), "{first:#?}");
    assert_eq!(first.notes.len(), 4, "{first:#?}");
    assert!(first.notes.iter().all(|it| it.reason.contains("cannot have the name") && it.reason.contains('%')));
    let mut copies = files::tree(&disk.path().join("backup"));
    copies.retain(|it, _| !it.starts_with(".dataverse-backup/"));
    let folder = "10.5072/FK2/ONE";
    assert_eq!(copies[&format!("{folder}/sub/a%3Ab%3F")], b"colon");
    assert_eq!(copies[&format!("{folder}/a%3Ab")], b"the very name");
    let id = bench.world.files[2].id;
    assert_eq!(copies[&format!("{folder}/a%3Ab.id{id}")], b"another");
    assert_eq!(copies[&format!("{folder}/table%7C1")], b"a\tb\n");
    assert_eq!(copies[&format!("{folder}/table%7C1.orig")], b"a,b\n");
    assert_eq!(copies["10.5072/FK2/T%3AWO/plain"], b"in a folder");
    assert_eq!((copies.len(), copies[&format!("{folder}/plain")].as_slice()), (7, &b"plain"[..]));
    assert_known(&bench, sink.as_ref());
    // The names are not news any more, and no bytes go again.
    let second = run(&bench);
    assert_eq!((second.files.unchanged, second.bytes_copied, second.notes.len()), (6, 0, 0), "{second:#?}");
    // A lost ledger: the copies are found where they are.
    let bench = Bench { ledger: new_ledger(LedgerKind::Sqlite, &bench.folder.path().join("new.db")), ..bench };
    let taking_over = Options { overrides: crate::bench::TAKEN, ..bench.options() };
    let adopted = bench.run_onto(sink.as_ref(), &taking_over).unwrap();
    assert_eq!((adopted.files.adopted, adopted.bytes_copied), (6, 0), "{adopted:#?}");
    assert_known(&bench, sink.as_ref());
}

#[test]
fn a_version_of_an_object_with_the_longest_name_has_a_shorter_one() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    let name = "x".repeat(255);
    let file = world.add_file(dataset, &name, b"first");
    let (id, key) = (file.id, file.copies[0].0.clone());
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    assert_eq!((bench.run().exit_code, bench.copies().len()), (0, 1));
    std::fs::write(bench.source_of(&key), "later").unwrap();
    let md5 = files::md5(b"later");
    bench.database.execute(&format!("UPDATE datafile SET checksumvalue = '{md5}' WHERE id = {id}"));
    let later = bench.run();
    assert_eq!((later.exit_code, later.files.copied), (0, 1), "{later:#?}");
    assert!(later.notes[0].reason.contains("cannot have the name"), "{later:#?}");
    let copies = bench.copies();
    assert_eq!((copies.len(), copies[&key].as_slice()), (2, &b"first"[..]));
    assert!(copies.iter().any(|(it, bytes)| it.contains("xxx~") && bytes == b"later"), "{copies:#?}");
    assert_eq!(bench.run().files.unchanged, 1);
}

fn odd_names() -> Bench {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let one = world.add_dataset("10.5072", "FK2/ONE").id;
    world.add_file(one, "file://plain", b"plain");
    world.add_file(one, "file://sub/a:b?", b"colon");
    world.add_file(one, "file://a:b", b"another");
    // It has the name that the one before gets.
    world.add_file(one, "file://a%3Ab", b"the very name");
    let [original, tab] = [b"a,b\n", b"a\tb\n"].map(|it| it.to_vec());
    let key = world.add_object(one, "file://table|1", Stored::Bytes(tab.clone()));
    let key_of_original = world.add_object(one, "file://table|1.orig", Stored::Bytes(original.clone()));
    let table = world.add_row(one, Some("file://table|1"), &original);
    table.tables.push(DataTable::default());
    table.copies = vec![(key, tab), (key_of_original, original)];
    let two = world.add_dataset("10.5072", "FK2/T:WO").id;
    world.add_file(two, "file://plain", b"in a folder");
    Bench::new(world, LedgerKind::Sqlite, folder)
}

/// Every copy is on record where it lies, and comes back under its own name.
fn assert_known(bench: &Bench, sink: &dyn Sink) {
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
    let out = temp_folder("out");
    let options: RestoreOptions = bench.restore_options();
    let writer = FolderWriter::open(out.path(), &options.run, OwnershipPolicy::Own).unwrap();
    let restored = bench.give(&[(&destination(), sink)], Goal::Folder(&writer), &options, &NullObserver).unwrap();
    assert_eq!(restored.exit_code, 0, "{restored:#?}");
    assert_eq!(files::tree(out.path()), bench.world.expected_copies());
}
