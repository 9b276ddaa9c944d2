//! Measures the snapshot that a run leaves: `cargo run --release -p dvb-engine --example snapshot [FILES]` fills Dataverse's database and
//! each ledger with so many data files (1,000,000), each with a proved copy, and makes two runs that look at none of them: the first
//! leaves a snapshot, the second finds it there, and the difference is what it takes. Then it is taken over, as
//! `--from-snapshot` does. It needs the apt package `postgresql`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog};
use dvb_engine::{
    CancelToken, NullObserver, Options, Overrides, RebuildSetup, Selection, Setup, Stores, Summary, Which,
    claim_snapshot, fetch_snapshot, new_run_id, run,
};
use dvb_fixity::{Evidence, Measured, Observed, Proved};
use dvb_fs::{DirectorySink, DirectorySinkConfig};
use dvb_ledger::{
    Agent, Basis, EntryKind, Ledger, ObjectProof, PostgresLedger, Record, Reservation, SqliteLedger, Verdict,
};
use dvb_model::{DestinationName, DriverId, DvObjectId, ObjectKey, ObjectRole, RunId};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_storage::{Demand, Sink};
use dvb_testkit::dataverse::{Schema, bulk_sql};
use dvb_testkit::postgres::{self, Database};
use tempfile::TempDir;

const PER_DATASET: u64 = 10;

fn main() {
    let files = std::env::args().nth(1).map_or(1_000_000, |it| it.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::shared().create_database("bulk");
    Schema::V6_9.create(&database);
    database.execute(&bulk_sql(Schema::V6_9, files, PER_DATASET));
    let catalog = PostgresCatalog::new(target(&database));
    let sqlite = SqliteLedger::new(folder.path().join("ledger.db"));
    measure("SQLite", &catalog, &sqlite, &folder, files);
    let ledger = PostgresLedger::open(target(&postgres::shared().create_database("ledger")), 4).unwrap();
    measure("PostgreSQL", &catalog, &ledger, &folder, files);
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

fn measure(name: &str, catalog: &dyn Catalog, ledger: &dyn Ledger, folder: &TempDir, files: u64) {
    ledger.migrate().unwrap();
    let began = Instant::now();
    fill(ledger, files);
    println!("{name}: ledger of {files} copies filled in {:.1} s", began.elapsed().as_secs_f64());
    let root = folder.path().join(name);
    let sink = DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand: Demand::Auto });
    let before = processor_seconds();
    let (with, summary) = timed(catalog, ledger, &sink, folder);
    let between = processor_seconds();
    let (without, _) = timed(catalog, ledger, &sink, folder);
    let busy = (between - before) - (processor_seconds() - between);
    println!(
        "{name}: {with:.1} s with a snapshot, {without:.1} s without: it takes {:.1} s, {busy:.1} s of a processor",
        with - without
    );
    let path = root.join(".dataverse-backup").join(summary.snapshot.unwrap().name);
    println!(
        "{name}: it has {} MB; most memory {} MB",
        fs::metadata(&path).unwrap().len() / 1_000_000,
        most_memory() / 1000
    );
    let (mut found, began) = (0_u64, Instant::now());
    let count = &mut |_| {
        found += 1;
        std::ops::ControlFlow::Continue(())
    };
    SnapshotCatalog::new(path).read_held(count).unwrap();
    println!("{name}: {found} lines read in {:.1} s", began.elapsed().as_secs_f64());
    take_over(name, &sink, folder);
}

/// What `--from-snapshot` does before it begins.
fn take_over(name: &str, sink: &dyn Sink, folder: &TempDir) {
    let path = folder.path().join(format!("{name}-claims.db"));
    let ledger = SqliteLedger::new(&path);
    ledger.migrate().unwrap();
    let setup = RebuildSetup {
        catalogue: None,
        accept_other: false,
        ledger: &ledger,
        destination: &DestinationName("default".into()),
        sink,
        observer: &NullObserver,
        stop: &CancelToken::new(),
    };
    let (began, run) = (Instant::now(), new_run_id());
    let fetched = fetch_snapshot(&setup, &Which::Newest, &run, folder.path()).unwrap();
    let claimed = claim_snapshot(&setup, &fetched, &run, false).unwrap();
    let bytes = fs::metadata(&path).unwrap().len() / 1_000_000;
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}: {} copies claimed in {seconds:.1} s, by a ledger of {bytes} MB", claimed.copies);
    println!("{name}: most memory {} MB", most_memory() / 1000);
}

fn timed(catalog: &dyn Catalog, ledger: &dyn Ledger, sink: &dyn Sink, folder: &TempDir) -> (f64, Summary) {
    let options = Options {
        run: new_run_id(),
        agent: Agent { user: "backup".into(), host: "example".into(), program: "0.1.0".into() },
        selection: Selection::default(),
        rerun: false,
        dry_run: false,
        limit: Some(0),
        jobs: 1,
        time_budget: None,
        verify_every: None,
        audit_every: None,
        presence_check: None,
        bandwidth_limit: None,
        auxiliary_objects: false,
        cached_exports: false,
        max_disappearance: 0.05,
        max_change: 0.05,
        overrides: Overrides::default(),
        spool_folder: folder.path().to_owned(),
    };
    let setup = Setup {
        catalog,
        stores: &Stores { default: DriverId("file".into()), by_id: BTreeMap::new() },
        ledger,
        destination: &DestinationName("default".into()),
        sink,
        observer: &NullObserver,
        stop: &CancelToken::new(),
    };
    let began = Instant::now();
    let summary = run(&setup, &options).unwrap();
    (began.elapsed().as_secs_f64(), summary)
}

/// A proved copy of every data file of [`bulk_sql`].
fn fill(ledger: &dyn Ledger, files: u64) {
    let destination = DestinationName("default".into());
    let first = i64::try_from(files.div_ceil(PER_DATASET) + 2).unwrap();
    let ids: Vec<i64> = (first..first + i64::try_from(files).unwrap()).collect();
    for batch in ids.chunks(5_000) {
        let wish =
            |id: &i64| Reservation { id: DvObjectId(*id), role: ObjectRole::Main, version: 1, key: key(*id, first) };
        ledger.reserve(&destination, &batch.iter().map(wish).collect::<Vec<_>>()).unwrap();
        let records: Vec<Record> = batch.iter().map(|id| record(*id, first)).collect();
        ledger.record(&destination, &RunId("bulk".into()), &records).unwrap();
    }
}

fn key(id: i64, first: i64) -> ObjectKey {
    ObjectKey::new(&format!("10.5072/FK2/B{}/18f3a000000-{:012x}", (id - first) / 10, id - first)).unwrap()
}

fn record(id: i64, first: i64) -> Record {
    let measured = Measured::of(&id.to_be_bytes(), &[]);
    let observed = Observed { digest: measured.digests[0].clone(), size: Some(8), evidence: Evidence::RemoteHash };
    let proof = Proved::by(measured, &observed).unwrap();
    let object = ObjectProof::Now { role: ObjectRole::Main, version: 1, key: key(id, first), proof, adopted: false };
    Record {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some(format!("doi:10.5072/FK2/B{}", (id - first) / 10)),
        dataset_identifier: Some(format!("10.5072/FK2/B{}", (id - first) / 10)),
        storage_identifier: Some(format!("file://18f3a000000-{:012x}", id - first)),
        label: Some(format!("file {}.txt", id - first)),
        fingerprint: format!("{id:032x}"),
        method: "directory",
        verdict: Verdict::Safe { basis: Basis::Dataverse, objects: vec![object], provisional: false, note: None },
        found: Vec::new(),
        read_from: None,
    }
}

/// Of this process, at the kernel's hundred ticks a second: other programs take part of the time, but not of these.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [fields[11], fields[12]].map(|it| it.parse::<f64>().unwrap() / 100.0).iter().sum()
}

/// Of this process, in kB: the servers are others.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
