//! Measures both ledgers: `cargo run --release --example bulk_states [SAFE [STATES]]` records so many `OK` verdicts in batches of 128
//! (100,000), fills up to so many states (1,000,000), and lists them. It needs the apt package `postgresql`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for developers")]

use std::time::Instant;

use dvb_fixity::{Evidence, Measured, Observed, Proved};
use dvb_ledger::{Basis, EntryKind, Ledger, ObjectProof, PostgresLedger, Record, Reservation, SqliteLedger, Verdict};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse::<i64>().unwrap());
    let safe = arguments.next().unwrap_or(100_000);
    let states = arguments.next().unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    measure("SQLite", &SqliteLedger::new(folder.path().join("ledger.db")), safe, states);
    let database = dvb_testkit::postgres::shared().create_database("bulk");
    measure("PostgreSQL", &PostgresLedger::open(target(&database), 4).unwrap(), safe, states);
}

fn target(database: &dvb_testkit::postgres::Database) -> dvb_pg::PostgresTarget {
    dvb_pg::PostgresTarget {
        host: database.host.clone(),
        port: database.port,
        database: database.name.clone(),
        username: database.user.clone(),
        password: Some(database.password.clone()),
        ssl_mode: dvb_pg::SslMode::Disable,
        ssl_root_cert: None,
        connect_timeout: std::time::Duration::from_secs(10),
    }
}

fn measure(name: &str, ledger: &dyn Ledger, safe: i64, states: i64) {
    let destination = DestinationName("default".into());
    let run = RunId("bulk".into());
    ledger.migrate().unwrap();
    let ids: Vec<i64> = (1..=safe).collect();
    timed(name, "reserve the keys", || {
        for batch in ids.chunks(128) {
            let wishes: Vec<_> = batch.iter().map(|id| wish(*id)).collect();
            ledger.reserve(&destination, &wishes).unwrap();
        }
    });
    timed(name, "record the OK verdicts", || {
        for batch in ids.chunks(128) {
            let records: Vec<_> = batch.iter().map(|id| record(*id, copied(*id))).collect();
            ledger.record(&destination, &run, &records).unwrap();
        }
    });
    let rest: Vec<i64> = (safe + 1..=states).collect();
    timed(name, "fill up with pending ones", || {
        for batch in rest.chunks(5_000) {
            let records: Vec<_> = batch.iter().map(|id| record(*id, Verdict::Pending)).collect();
            ledger.record(&destination, &run, &records).unwrap();
        }
    });
    timed(name, "list the states", || {
        let listed = ledger.states(&destination, EntryKind::DataFile).map(Result::unwrap).count();
        assert_eq!(i64::try_from(listed).unwrap(), states);
    });
    timed(name, "count", || drop(ledger.counts(&destination).unwrap()));
    timed(name, "oldest proof", || drop(ledger.oldest_proof(&destination).unwrap()));
    timed(name, "visit the details", || ledger.visit_details(&destination, None, false, &mut drop).unwrap());
}

fn timed(name: &str, what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{name}: {what}: {:.2} s", start.elapsed().as_secs_f64());
}

fn key(id: i64) -> ObjectKey {
    ObjectKey::new(&format!("10.5072/FK2/{:06}/18b5f00d{id:03x}-{id:012x}", id / 10)).unwrap()
}

fn wish(id: i64) -> Reservation {
    Reservation { id: DvObjectId(id), role: ObjectRole::Main, version: 1, key: key(id) }
}

fn copied(id: i64) -> Verdict {
    let measured = Measured::of(&id.to_be_bytes(), &[]);
    let observed = Observed { digest: measured.digests[0].clone(), size: Some(8), evidence: Evidence::RemoteHash };
    let proof = Proved::by(measured, &observed).unwrap();
    let object = ObjectProof::Now { role: ObjectRole::Main, version: 1, key: key(id), proof, adopted: false };
    Verdict::Safe { basis: Basis::Dataverse, objects: vec![object], provisional: false, note: None }
}

fn record(id: i64, verdict: Verdict) -> Record {
    Record {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some(format!("doi:10.5072/FK2/{:06}", id / 10)),
        dataset_identifier: Some(format!("10.5072/FK2/{:06}", id / 10)),
        storage_identifier: Some(format!("s3://bucket:18b5f00d{id:03x}-{id:012x}")),
        label: Some(format!("data/table-{id}.tab")),
        fingerprint: format!("{id:032x}"),
        method: "ssh",
        verdict,
        found: Vec::new(),
        read_from: None,
    }
}
