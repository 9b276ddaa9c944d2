//! Both schemas load, hold what they should, and refuse what they should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use dvb_testkit::dataverse::{Expect, Schema, World, bulk_content, bulk_sql, bulk_write, every_kind};
use dvb_testkit::{files, postgres, temp_folder};

fn count(database: &postgres::Database, sql: &str) -> i64 {
    database.client().query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn every_kind_goes_into_both_schemas() {
    for schema in Schema::ALL {
        let database = postgres::shared().create_database("kinds");
        let root = temp_folder("kinds");
        let world = every_kind(schema, root.path());
        world.install(&database);
        let wanted = i64::try_from(world.files.len()).unwrap();
        assert_eq!(count(&database, "SELECT count(*) FROM datafile"), wanted);
        let rows =
            database.client().query("SELECT id::bigint, storageidentifier FROM dvobject WHERE dtype = 'DataFile'", &[]);
        for row in rows.unwrap() {
            let file = world.files.iter().find(|it| it.id == row.get::<_, i64>(0)).unwrap();
            assert_eq!(row.get::<_, Option<String>>(1), file.storage_identifier, "{}", file.kind);
        }
        let kinds: HashSet<&str> = world.files.iter().map(|it| it.kind.as_str()).collect();
        assert_eq!(kinds.len(), world.files.len(), "a kind has no name of its own");
    }
}

#[test]
fn expectations_agree_with_what_is_stored() {
    for schema in Schema::ALL {
        let root = temp_folder("stores");
        let world = every_kind(schema, root.path());
        world.write_stores();
        let mut keys = HashSet::new();
        for file in &world.files {
            let is_ok = matches!(file.expect, Expect::Ok | Expect::OkNote);
            assert_eq!(is_ok, !file.copies.is_empty(), "{}", file.kind);
            for (key, bytes) in &file.copies {
                assert!(keys.insert(key.clone()), "{key} twice");
                let held = |it: &dvb_testkit::dataverse::Store| {
                    let plain = key.strip_suffix(&format!(".id{}", file.id)).unwrap_or(key);
                    std::fs::read(it.directory.join(plain)).is_ok_and(|it| it == *bytes)
                };
                assert!(world.stores.iter().any(held), "{}: {key}", file.kind);
            }
        }
        assert_eq!(std::fs::read(root.path().join("secret")).unwrap(), b"not a data file");
    }
}

#[test]
fn the_schemas_differ_where_dataverse_changed() {
    let refuses = |schema: Schema, sql: &str| {
        let database = postgres::shared().create_database("refuses");
        schema.create(&database);
        World::new(schema, "/nowhere".as_ref()).insert(&database);
        database.client().batch_execute(sql).is_err()
    };
    let file = |id: i64, identifier: &str| {
        format!(
            "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)
             VALUES ({id}, 'DataFile', 1, now(), now(), '{identifier}');"
        )
    };
    let twice = file(10, "file://a") + &file(11, "file://a");
    let both = |sql: &str| (refuses(Schema::V4_8, sql), refuses(Schema::V6_9, sql));
    assert_eq!(both(&file(10, "file://a")), (false, false));
    assert_eq!(both(&file(10, "file://../a")), (false, true));
    assert_eq!(both(&twice), (false, true));
    assert_eq!(both("SELECT authority FROM dataset"), (false, true));
    assert_eq!(both("SELECT authority FROM dvobject"), (true, false));
    assert_eq!(both("SELECT 1 FROM alternativepersistentidentifier"), (true, false));
    assert_eq!(both("SELECT originalfilesize FROM datatable"), (true, false));
}

#[test]
fn bulk_files_have_the_checksums_of_their_bytes() {
    let root = temp_folder("bulk");
    bulk_write(root.path(), 25, 10);
    for schema in Schema::ALL {
        let database = postgres::shared().create_database("bulk");
        schema.create(&database);
        database.execute(&bulk_sql(schema, 25, 10));
        let columns = match schema {
            Schema::V4_8 => "d.authority || '/' || d.identifier",
            Schema::V6_9 => "od.authority || '/' || od.identifier",
        };
        let sql = format!(
            "SELECT {columns} || replace(o.storageidentifier, 'file://', '/'), f.checksumvalue, f.filesize FROM datafile f
             JOIN dvobject o USING (id) JOIN dataset d ON d.id = o.owner_id JOIN dvobject od ON od.id = d.id
             JOIN filemetadata m ON m.datafile_id = f.id JOIN datasetversion v ON v.id = m.datasetversion_id AND v.dataset_id = d.id
             ORDER BY f.id"
        );
        let rows = database.client().query(&sql, &[]).unwrap();
        assert_eq!(rows.len(), 25);
        for (number, row) in (0..).zip(rows) {
            let held = std::fs::read(root.path().join(row.get::<_, String>(0))).unwrap();
            assert_eq!(held, bulk_content(number));
            assert_eq!(
                (row.get::<_, String>(1), row.get::<_, i64>(2)),
                (files::md5(&held), i64::try_from(held.len()).unwrap())
            );
        }
    }
}
