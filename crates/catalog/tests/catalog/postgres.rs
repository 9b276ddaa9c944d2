//! Long readings of a database, and what happens meanwhile.

use std::ops::ControlFlow;

use dvb_catalog::{Catalog, CatalogError, Detail, Entry};
use dvb_testkit::dataverse::{Schema, bulk_sql};
use dvb_testkit::postgres::Database;

use crate::bench::{catalog, empty, filled};
use crate::{entries, told};

/// More than two pages.
const FILES: u64 = 12_345;

fn bulk(schema: Schema) -> Database {
    let database = empty(schema);
    database.execute(&bulk_sql(schema, FILES, 2));
    database
}

fn id(entry: &Entry) -> i64 {
    match entry {
        Entry::Dataset(it) => it.id.0,
        Entry::DataFile(it) => it.id.0,
    }
}

#[test]
fn pages_follow_each_other_without_a_seam() {
    for schema in Schema::ALL {
        let database = bulk(schema);
        // Whatever the plan, the order is that of the ids.
        database.execute("UPDATE datafile SET contenttype = 'text/csv' WHERE id % 3 = 0; UPDATE filemetadata SET restricted = true WHERE id % 7 = 0");
        let found = entries(&catalog(&database), Detail::Full).unwrap();
        let datasets = FILES.div_ceil(2);
        let wanted = 2..2 + i64::try_from(datasets + FILES).unwrap();
        assert!(found.iter().map(id).eq(wanted), "ids in order, each once");
        for (number, entry) in found[usize::try_from(datasets).unwrap()..].iter().enumerate() {
            let Entry::DataFile(file) = entry else { panic!("{entry:?}") };
            assert_eq!(file.label(), Some(format!("file {number}.txt")));
            assert_eq!(file.dataset.as_ref().unwrap().pid, format!("doi:10.5072/FK2/B{}", number / 2));
        }
    }
}

/// Reads, and does `meanwhile` once, at the first data file.
fn read_with(catalog: &dyn Catalog, detail: Detail, meanwhile: impl FnOnce()) -> (usize, Result<(), CatalogError>) {
    let (mut files, mut meanwhile) = (0, Some(meanwhile));
    let done = catalog.read(detail, &mut |entry| {
        if matches!(entry, Entry::DataFile(_)) {
            files += 1;
            if let Some(act) = meanwhile.take() {
                act();
            }
        }
        ControlFlow::Continue(())
    });
    (files, done)
}

#[test]
fn a_connection_that_is_cut_is_a_reason_to_try_later() {
    let database = bulk(Schema::V6_9);
    let cut = || {
        database.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    };
    for detail in [Detail::Essential, Detail::Full] {
        let (seen, done) = read_with(&catalog(&database), detail, cut);
        let error = done.unwrap_err();
        assert!(matches!(error, CatalogError::Unreachable { .. }) && error.is_transient(), "{}", told(&error));
        assert!(seen > 0 && seen < usize::try_from(FILES).unwrap(), "{seen}");
        assert_eq!(entries(&catalog(&database), detail).unwrap().len() as u64, FILES + FILES.div_ceil(2));
    }
}

#[test]
fn what_comes_meanwhile_is_for_the_next_time() {
    let (_, database) = filled(Schema::V6_9);
    let before = entries(&catalog(&database), Detail::Full).unwrap();
    let mut seen = Vec::new();
    let visit = &mut |entry| {
        if seen.is_empty() {
            // Between the query of the datasets and that of the files.
            database.execute(
                "DELETE FROM filemetadata; UPDATE dvobject SET owner_id = NULL WHERE dtype = 'DataFile'; DELETE FROM datatable",
            );
        }
        seen.push(entry);
        ControlFlow::Continue(())
    };
    catalog(&database).read(Detail::Full, visit).unwrap();
    assert!(seen == before, "it was one picture");
    assert!(entries(&catalog(&database), Detail::Full).unwrap() != before);
}

#[test]
fn nothing_can_be_written_meanwhile() {
    let (_, database) = filled(Schema::V6_9);
    database.execute(
        "CREATE TABLE written (n integer);
         CREATE FUNCTION write() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO written VALUES (1); RETURN true; END$$;
         ALTER TABLE datatable RENAME TO real_datatable;
         CREATE VIEW datatable AS SELECT * FROM real_datatable WHERE write()",
    );
    let error = entries(&catalog(&database), Detail::Full).unwrap_err();
    assert!(matches!(error, CatalogError::Query { what: "list its tables", .. }), "{}", told(&error));
    assert!(told(&error).contains("read-only transaction"), "{}", told(&error));
}

#[test]
fn no_transaction_stays_open() {
    let (_, database) = filled(Schema::V6_9);
    let catalog = catalog(&database);
    entries(&catalog, Detail::Full).unwrap();
    catalog.read(Detail::Full, &mut |_| ControlFlow::Break(())).unwrap();
    catalog.probe().unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
    let mut client = database.client();
    // The server notices the end of a connection in its own time.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while client.query_one(open, &[]).unwrap().get::<_, i64>(0) > 0 {
        assert!(std::time::Instant::now() < end, "a transaction is open");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_conflict_on_a_standby_is_a_reason_to_try_later() {
    let (_, database) = filled(Schema::V6_9);
    // As a standby server says it.
    database.execute(
        "CREATE FUNCTION conflict() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
             RAISE 'canceling statement due to conflict with recovery' USING ERRCODE = '40001'; END$$;
         ALTER TABLE datatable RENAME TO real_datatable;
         CREATE VIEW datatable AS SELECT * FROM real_datatable WHERE conflict()",
    );
    let error = entries(&catalog(&database), Detail::Full).unwrap_err();
    assert!(matches!(error, CatalogError::Conflict { .. }) && error.is_transient(), "{}", told(&error));
}
