//! An archive of the original script is taken over by checksum, without a transfer.

use std::fs;

use dvb_engine::{ExitStatus, Options, RunError};
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, TAKEN, target};
use crate::verify::bad_copies;

/// The table as the original's `backupdb.sql` makes it.
const TABLE: &str = "CREATE TABLE datafilestatus (id SERIAL PRIMARY KEY, datasetidentifier varchar(255),
    storageidentifier varchar(255) UNIQUE, status varchar(255), createdate timestamp, lastbackuptime timestamp,
    lastbackupmethod varchar(16));";

struct Archive {
    bench: Bench,
    ledger: dvb_testkit::postgres::Database,
}

/// Five files and a tabular one, all of them in the original's table and in its archive.
fn archive() -> Archive {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..5 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), format!("content {n}").as_bytes());
    }
    let identifier = format!("file://{}", World::object_name(99));
    let key = world.add_object(dataset, &identifier, dvb_testkit::dataverse::Stored::Bytes(b"a\tb\n".to_vec()));
    world.add_object(dataset, &format!("{identifier}.orig"), dvb_testkit::dataverse::Stored::Bytes(b"a,b\n".to_vec()));
    let file = world.add_row(dataset, Some(&identifier), b"a,b\n");
    file.size = Some(4);
    file.tables.push(dvb_testkit::dataverse::DataTable {
        original_format: Some("text/csv".into()),
        original_size: Some(4),
        original_name: None,
    });
    file.copies = vec![(format!("{key}.orig"), b"a,b\n".to_vec()), (key, b"a\tb\n".to_vec())];
    let mut bench = Bench::new(world, LedgerKind::Sqlite, folder);
    let ledger = dvb_testkit::postgres::shared().create_database("original");
    ledger.execute(TABLE);
    for file in &bench.world.files {
        let (key, bytes) = &file.copies[0];
        // The original knew no .orig.
        files::write(&bench.backup, key.trim_end_matches(".orig"), bytes);
        ledger.execute(&format!(
            "INSERT INTO datafilestatus (datasetidentifier, storageidentifier, status, createdate, lastbackupmethod)
             VALUES ('10.5072/FK2/ONE', '{}', 'OK', '2018-01-02', 'ssh')",
            // From before 4.20 put the prefix there.
            file.storage_identifier.as_ref().unwrap().replace("file://", "")
        ));
    }
    bench.ledger = Box::new(dvb_ledger::PostgresLedger::open(target(&ledger), 4).unwrap());
    assert_eq!(bench.ledger.migrate().unwrap().adopted, Some(6));
    Archive { bench, ledger }
}

#[test]
fn copies_are_proved_where_they_lie_and_tabular_originals_are_renamed() {
    let Archive { bench, ledger } = archive();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (6, 0, 0), "{summary:?}");
    assert_eq!(summary.bytes_copied, 4, "only the .tab, which the original never copied");
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    let mut client = ledger.client();
    let sql =
        "SELECT status FROM datafilestatus WHERE datasetidentifier = '10.5072/FK2/ONE' AND storageidentifier = $1";
    for file in &bench.world.files {
        let rows = client.query(sql, &[&file.storage_identifier]).unwrap();
        assert_eq!(rows.iter().map(|it| it.get::<_, String>(0)).collect::<Vec<_>>(), ["OK"]);
    }
    let second = bench.run();
    assert_eq!((second.files.unchanged, second.bytes_copied), (6, 0));
}

#[test]
fn a_rotten_copy_of_the_original_is_set_aside_and_the_good_one_has_its_name() {
    let Archive { bench, .. } = archive();
    let plain = bench.world.files[2].copies[0].0.clone();
    fs::write(bench.backup.join(&plain), "rotten").unwrap();
    // Under the bare name lies what was to be the original, and is neither it nor the .tab.
    let tab = bench.world.files[5].copies[1].0.clone();
    fs::write(bench.backup.join(&tab), "rotten, too").unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (4, 2, 0), "{summary:#?}");
    let said = |what: &str| summary.notes.iter().filter(|it| it.reason.contains(what)).count();
    assert_eq!((said("not what Dataverse recorded"), said("was set aside as")), (2, 2), "{:?}", summary.notes);
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    let kept = bad_copies(&bench);
    assert_eq!(kept, [(plain, b"rotten".to_vec()), (tab, b"rotten, too".to_vec())].into());
    assert_eq!(bench.run().files.unchanged, 6);
}

#[test]
fn a_rotten_copy_is_left_alone_as_long_as_no_good_one_takes_its_place() {
    let Archive { bench, .. } = archive();
    let key = bench.world.files[2].copies[0].0.clone();
    fs::write(bench.backup.join(&key), "rotten").unwrap();
    let bytes = fs::read(bench.source_of(&key)).unwrap();
    fs::remove_file(bench.source_of(&key)).unwrap();
    assert_eq!(bench.run().ending, ExitStatus::SourceDamaged);
    assert_eq!(bench.copies()[&key], b"rotten");
    // Its key is reserved by now; that is no copy of it.
    fs::write(bench.source_of(&key), bytes).unwrap();
    assert_eq!(bench.run().ending, ExitStatus::Safe);
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    assert_eq!(bad_copies(&bench).into_keys().collect::<Vec<_>>(), [key]);
}

#[test]
fn what_the_original_never_called_a_copy_is_left_where_it_lies() {
    let Archive { bench, ledger } = archive();
    let key = bench.world.files[2].copies[0].0.clone();
    fs::write(bench.backup.join(&key), "somebody else's").unwrap();
    let name = World::object_name(2);
    ledger.execute(&format!("DELETE FROM datafilestatus_original WHERE storageidentifier LIKE '%{name}'"));
    assert_eq!(bench.run().ending, ExitStatus::Safe);
    assert_eq!(bench.copies()[&key], b"somebody else's");
    assert_eq!(bench.copies()[&format!("{key}.v2")], b"content 2");
    assert_eq!(bad_copies(&bench), [].into());
}

#[test]
fn without_a_checksum_the_source_decides() {
    let Archive { bench, .. } = archive();
    let (rotten, same) = (bench.world.files[2].copies[0].0.clone(), bench.world.files[3].copies[0].0.clone());
    fs::write(bench.backup.join(&rotten), "rotten").unwrap();
    let ids = [2, 3].map(|n: usize| bench.world.files[n].id);
    bench
        .database
        .execute(&format!("UPDATE datafile SET checksumvalue = 'Unknown' WHERE id IN ({}, {})", ids[0], ids[1]));
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (5, 1, 0), "{summary:#?}");
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
    assert_eq!(bad_copies(&bench).into_keys().collect::<Vec<_>>(), [rotten]);
    assert!(bench.copies().contains_key(&same));
}

#[test]
fn two_rows_that_name_one_object_do_not_take_it_from_each_other() {
    let Archive { mut bench, .. } = archive();
    let file = bench.world.files[2].clone();
    let dataset = bench.world.datasets[0].id;
    // From before 4.20 it has no prefix.
    let bare = file.storage_identifier.as_ref().unwrap().replace("file://", "");
    let second = bench.world.add_row(dataset, Some(&bare), &file.copies[0].1).clone();
    let database = dvb_testkit::postgres::shared().create_database("engine");
    bench.world.install(&database);
    bench.database = database;
    for _ in 0..2 {
        assert_eq!(bench.run().ending, ExitStatus::Safe);
        let copies = bench.copies();
        assert_eq!(copies[&file.copies[0].0], file.copies[0].1);
        assert_eq!(copies[&format!("{}.id{}", file.copies[0].0, second.id)], file.copies[0].1);
    }
}

#[test]
fn a_copy_that_the_table_names_and_nobody_has_is_copied() {
    let Archive { bench, .. } = archive();
    let key = bench.world.files[2].copies[0].0.clone();
    fs::remove_file(bench.backup.join(&key)).unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.ending), (5, 1, ExitStatus::Safe));
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn without_a_ledger_what_lies_at_the_destination_is_found_again() {
    let bench = Bench::of_files(30);
    assert_eq!(bench.run().files.copied, 30);
    let ledger = dvb_ledger::SqliteLedger::new(bench.folder.path().join("another.db"));
    let bench = Bench { ledger: Box::new(ledger), ..bench };
    bench.ledger.migrate().unwrap();
    // For all that anybody knows, it is another Dataverse's.
    let refused = bench.try_run(&bench.options()).unwrap_err();
    assert!(matches!(refused, RunError::Foreign { .. }), "{refused:?}");
    let summary = bench.try_run(&Options { overrides: TAKEN, ..bench.options() }).unwrap();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.bytes_copied), (30, 0, 0));
    assert_eq!(bench.copies().len(), 30);
    assert_eq!(bench.run().files.unchanged, 30);
}
