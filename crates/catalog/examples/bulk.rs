//! Measures the catalogue: `cargo run --release --example bulk [FILES [PER_DATASET [VERSIONS]]]` fills a database of either schema with so
//! many data files (1,000,000; 10 in a dataset of 1 released version), reads it, writes a snapshot of it, and reads that. It needs the
//! apt package `postgresql`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for developers")]

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use dvb_catalog::{Catalog, Detail, PostgresCatalog, SnapshotCatalog, write_snapshot};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_testkit::dataverse::{Schema, bulk_sql};
use dvb_testkit::postgres::Database;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse::<u64>().unwrap());
    let files = arguments.next().unwrap_or(1_000_000);
    let per_dataset = arguments.next().unwrap_or(10);
    let versions = arguments.next().unwrap_or(1);
    for schema in Schema::ALL {
        println!("{schema:?}, {files} data files:");
        let database = dvb_testkit::postgres::shared().create_database("bulk");
        schema.create(&database);
        database.execute(&bulk_sql(schema, files, per_dataset));
        database.execute(&dressed(schema, versions));
        let catalog = PostgresCatalog::new(target(&database));
        timed("look and count", || println!("  {}", catalog.probe().unwrap()));
        timed("read what a copy needs", || read(&catalog, Detail::Essential, files));
        timed("read all", || read(&catalog, Detail::Full, files));
        let folder = tempfile::tempdir().unwrap();
        for (name, compress) in [("plain", false), ("compressed", true)] {
            let path = folder.path().join(name);
            timed(&format!("write a {name} snapshot"), || {
                let mut out = File::create(&path).unwrap();
                write_snapshot(&catalog, &mut out, "2025-01-02T03:04:05Z", compress).unwrap();
            });
            println!("  which is of {} MB", fs::metadata(&path).unwrap().len() / 1_000_000);
            timed(&format!("read the {name} snapshot"), || read(&SnapshotCatalog::new(&path), Detail::Full, files));
        }
    }
    println!("most memory: {} MB", most_memory() / 1000);
}

/// Every tenth file is a table, every tenth dataset has a draft, as installations have it.
fn dressed(schema: Schema, versions: u64) -> String {
    let (columns, values) = match schema {
        Schema::V4_8 => ("", ""),
        Schema::V6_9 => (", originalfilesize, originalfilename", ", 1000, 'survey.dta'"),
    };
    format!(
        "BEGIN; SET LOCAL session_replication_role = replica;
         INSERT INTO datatable (datafile_id, originalfileformat, unf{columns})
         SELECT id, 'application/x-stata', 'UNF:6:x=='{values} FROM datafile WHERE id % 10 = 0;
         INSERT INTO datasetversion (id, dataset_id, versionstate, createtime, lastupdatetime)
         SELECT id + 1000000000, id, 'DRAFT', now(), now() FROM dataset WHERE id % 10 = 0;
         INSERT INTO filemetadata (datafile_id, datasetversion_id, label, directorylabel, restricted)
         SELECT f.id, o.owner_id + 1000000000, 'file', 'data', false FROM datafile f JOIN dvobject o USING (id)
         WHERE o.owner_id % 10 = 0;
         INSERT INTO datasetversion (id, dataset_id, versionstate, versionnumber, minorversionnumber, createtime, lastupdatetime)
         SELECT id + n * 10000000, id, 'RELEASED', n, 0, now(), now() FROM dataset, generate_series(2, {versions}) n;
         INSERT INTO filemetadata (datafile_id, datasetversion_id, label, directorylabel, restricted)
         SELECT f.id, o.owner_id + n * 10000000, 'file ' || f.id || '.txt', 'data', false
         FROM datafile f JOIN dvobject o USING (id), generate_series(2, {versions}) n;
         COMMIT; ANALYZE"
    )
}

fn target(database: &Database) -> PostgresTarget {
    let Database { host, port, name, user, password } = database.clone();
    PostgresTarget {
        host,
        port,
        database: name,
        username: user,
        password: Some(password),
        ssl_mode: SslMode::Disable,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

fn read(catalog: &dyn Catalog, detail: Detail, wanted: u64) {
    let mut files = 0;
    let count = &mut |entry| {
        files += u64::from(matches!(entry, dvb_catalog::Entry::DataFile(_)));
        ControlFlow::Continue(())
    };
    catalog.read(detail, count).unwrap();
    assert_eq!(files, wanted);
}

fn timed(what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("  {what}: {:.2} s", start.elapsed().as_secs_f64());
}

/// Of this process, in kB: the servers are others.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
