//! An archive of the original script is taken over by checksum, without a transfer.

use std::fs;

use dvb_engine::Ending;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, target};

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
fn a_rotten_copy_of_the_original_is_not_adopted_and_not_overwritten() {
    let Archive { bench, .. } = archive();
    let key = bench.world.files[2].copies[0].0.clone();
    fs::write(bench.backup.join(&key), "rotten").unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (5, 1, 0));
    assert!(summary.notes[0].reason.contains("not what Dataverse recorded"), "{:?}", summary.notes);
    assert_eq!(bench.copies()[&key], b"rotten");
    assert_eq!(bench.copies()[&format!("{key}.v2")], b"content 2");
}

#[test]
fn a_copy_that_the_table_names_and_nobody_has_is_copied() {
    let Archive { bench, .. } = archive();
    let key = bench.world.files[2].copies[0].0.clone();
    fs::remove_file(bench.backup.join(&key)).unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.ending), (5, 1, Ending::Safe));
    files::assert_same(&bench.world.expected_copies(), &bench.copies());
}

#[test]
fn without_a_ledger_what_lies_at_the_destination_is_found_again() {
    let bench = Bench::of_files(30);
    assert_eq!(bench.run().files.copied, 30);
    let ledger = dvb_ledger::SqliteLedger::new(bench.folder.path().join("another.db"));
    let bench = Bench { ledger: Box::new(ledger), ..bench };
    bench.ledger.migrate().unwrap();
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.bytes_copied), (30, 0, 0));
    assert_eq!(bench.copies().len(), 30);
    assert_eq!(bench.run().files.unchanged, 30);
}
