//! Databases of other encodings, where one odd byte must not keep all other files from their backup.

use dvb_catalog::{Catalog, Detail, Entry};
use dvb_model::DataFile;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::pgbouncer::{PoolMode, Pooler};
use dvb_testkit::postgres::{Database, shared};

use crate::bench::{catalog, filled, world};
use crate::suite::assert_entries;
use crate::{entries, expected};

fn files(database: &Database) -> Vec<DataFile> {
    let found = entries(&catalog(database), Detail::Full).unwrap();
    let file = |entry| if let Entry::DataFile(entry) = entry { Some(entry) } else { None };
    found.into_iter().filter_map(file).collect()
}

fn labels_of(file: &DataFile) -> Vec<&str> {
    file.versions.iter().map(|it| it.label.as_str()).collect()
}

#[test]
fn a_byte_that_is_not_utf8_concerns_its_own_row() {
    let world = world(Schema::V6_9);
    let database = shared().create_encoded("catalog", "SQL_ASCII");
    Schema::V6_9.create(&database);
    world.insert(&database);
    // A role's setting is none of ours.
    database.execute(&format!("ALTER DATABASE {} SET client_encoding = 'LATIN1'", database.name));
    let all = expected::entries(&world, Detail::Full);
    assert_entries(&entries(&catalog(&database), Detail::Full).unwrap(), &all);

    let (labelled, lost) = (world.of_kind("md5").id, world.of_kind("sha1").id);
    let checksum = world.of_kind("sha256").id;
    database.execute(&format!(
        r"UPDATE filemetadata SET label = E'caf\xe9.csv' WHERE datafile_id = {labelled};
          UPDATE datafile SET contenttype = E'text/\xff' WHERE id = {labelled};
          UPDATE dvobject SET storageidentifier = E'file://\xe9\xe8' WHERE id = {lost};
          UPDATE datafile SET checksumvalue = E'\xe9' WHERE id = {checksum}"
    ));
    let found = files(&database);
    assert_eq!(found.len(), all.iter().filter(|it| matches!(it, Entry::DataFile(_))).count());
    for file in &found {
        match file.id.0 {
            id if id == labelled => {
                assert!(labels_of(file).iter().all(|it| *it == r"caf\xe9.csv"), "{file:?}");
                assert_eq!((file.content_type.as_str(), file.unknown_place()), (r"text/\xff", None));
            }
            id if id == lost => {
                assert_eq!(file.storage_identifier.as_deref(), Some(r"file://\xe9\xe8"));
                assert!(file.unknown_place().unwrap().contains("storageidentifier"), "{file:?}");
            }
            id if id == checksum => assert_eq!((file.checksum_value.as_str(), file.unknown_place()), (r"\xe9", None)),
            _ => assert_eq!(file.unknown_place(), None),
        }
    }
    catalog(&database).probe().unwrap();
}

#[test]
fn a_dataset_whose_pid_is_not_utf8_has_no_place() {
    let world = world(Schema::V6_9);
    let database = shared().create_encoded("catalog", "SQL_ASCII");
    Schema::V6_9.create(&database);
    world.insert(&database);
    let dataset = world.of_kind("md5").dataset.unwrap();
    database.execute(&format!(r"UPDATE dvobject SET identifier = E'FK2/\xe9' WHERE id = {dataset}"));
    let found = files(&database);
    let of_dataset = |it: &DataFile| it.dataset.as_ref().is_some_and(|it| it.id.0 == dataset);
    assert!(found.iter().any(of_dataset));
    for file in &found {
        assert_eq!(file.unknown_place().is_some(), of_dataset(file), "{file:?}");
    }
}

#[test]
fn a_server_converts_what_it_can() {
    let database = shared().create_encoded("catalog", "LATIN1");
    let mut world = World::new(Schema::V6_9, "/nowhere".as_ref());
    let dataset = world.add_dataset("10.5072", "FK2/LATIN1").id;
    let id = world.add_row(dataset, Some("file://18f"), b"latin1").id;
    Schema::V6_9.create(&database);
    world.insert(&database);
    database.execute(&format!("UPDATE filemetadata SET label = 'café.csv' WHERE datafile_id = {id}"));
    let found = files(&database);
    let file = found.iter().find(|it| it.id.0 == id).unwrap();
    assert_eq!(labels_of(file), ["café.csv"; 2]);
}

/// WIN1252 has five bytes that are no character, which the server lets in and cannot convert (SQLSTATE 22P05).
#[test]
fn a_byte_that_cannot_be_converted_concerns_its_own_row() {
    let database = shared().create_encoded("catalog", "WIN1252");
    let mut world = World::new(Schema::V6_9, "/nowhere".as_ref());
    let dataset = world.add_dataset("10.5072", "FK2/WIN").id;
    let [labelled, lost, fine] =
        ["18a", "18b", "18c"].map(|name| world.add_row(dataset, Some(&format!("file://{name}")), name.as_bytes()).id);
    Schema::V6_9.create(&database);
    world.insert(&database);
    database.execute(&format!(
        r"UPDATE filemetadata SET label = E'caf\xe9 \x80 \x81.csv' WHERE datafile_id = {labelled};
          UPDATE dvobject SET storageidentifier = E'file://\x81' WHERE id = {lost};
          UPDATE filemetadata SET label = E'\x80uro' WHERE datafile_id = {fine}"
    ));
    let found = files(&database);
    let file = |id| found.iter().find(|it| it.id.0 == id).unwrap();
    assert_eq!(labels_of(file(labelled)), ["café € \\x81.csv"; 2]);
    assert_eq!(file(labelled).unknown_place(), None);
    assert_eq!(labels_of(file(fine)), ["€uro"; 2]);
    assert!(file(lost).unknown_place().unwrap().contains("storageidentifier"), "{:?}", file(lost));
    assert_eq!(found.iter().filter(|it| it.unknown_place().is_some()).count(), 1);
    catalog(&database).probe().unwrap();
}

#[test]
fn it_is_read_through_a_pooler_that_shares_sessions() {
    let (world, database) = filled(Schema::V6_9);
    for connections in [1, 3] {
        let pooler = Pooler::start(shared(), PoolMode::Transaction, connections);
        let pooled = catalog(&pooler.before(&database));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        pooled.probe().unwrap();
                        let found = entries(&pooled, Detail::Full).unwrap();
                        assert_entries(&found, &expected::entries(&world, Detail::Full));
                    }
                });
            }
        });
    }
    assert!(catalog(&database).describe().contains(&database.name));
}
