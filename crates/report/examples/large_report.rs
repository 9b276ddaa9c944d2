//! Measures a report: `cargo run --release -p dvb-report --example large_report [FILES [INCIDENTS]]` fills a ledger in SQLite with
//! so many data files at two destinations (1,000,000) and so many incidents (10,000), makes all forms of the report, and says
//! how long that took and how much memory the process had at most.
#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a program for developers")]

use std::time::{Duration, Instant};

use dvb_ledger::{Agent, Ledger as _, SqliteLedger};
use dvb_model::DestinationName;
use dvb_report::{DestinationFacts, Facts, gather, html, premis, text};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|it| it.parse::<u64>().unwrap());
    let files = arguments.next().unwrap_or(1_000_000);
    let incidents = arguments.next().unwrap_or(10_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::new(&path);
    ledger.migrate().unwrap();
    let start = Instant::now();
    fill(&path, files, incidents);
    println!("filled in {:.2} s", start.elapsed().as_secs_f64());
    let (before, used) = (peak(), processor());
    let start = Instant::now();
    let report = gather(&ledger, &facts()).unwrap();
    println!("gathered in {:.2} s", start.elapsed().as_secs_f64());
    println!("JSON: {} bytes", serde_json::to_string(&report).unwrap().len());
    println!("HTML: {} bytes", html(&report).len());
    println!("PREMIS: {} bytes", premis(&report).len());
    println!("{}", text(&report));
    println!(
        "all in {:.2} s, {:.2} s of a processor; peak memory {} kB, before {before} kB",
        start.elapsed().as_secs_f64(),
        processor() - used,
        peak()
    );
}

/// Seconds of a processor that the process has used.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The most memory that the process had, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn facts() -> Facts {
    let destination = |name: &str| DestinationFacts {
        name: DestinationName(name.to_owned()),
        protocol: "SFTP",
        location: "host:/folder".to_owned(),
        place: None,
        medium: None,
        region: None,
        administrator: None,
        lock: None,
        evidence: "auto",
        verify_every: Some(Duration::from_secs(30 * 86_400)),
    };
    Facts {
        as_of: "2026-12-31T00:00:00Z".parse().unwrap(),
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        public: false,
        agent: Agent { user: "user".to_owned(), host: "host".to_owned(), program: "0.1.0".to_owned() },
        ledger: "ledger.db".to_owned(),
        stores: Vec::new(),
        policy: Vec::new(),
        audit_every: Some(Duration::from_secs(90 * 86_400)),
        destinations: vec![destination("default"), destination("second")],
    }
}

/// By SQL: what the calls of the ledger would take hours for.
fn fill(path: &std::path::Path, files: u64, incidents: u64) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF;
         INSERT INTO backup_destination (id, name) VALUES (1, 'default'), (2, 'second');
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {files})
         INSERT INTO backup_state (destination, id, kind, status, fingerprint, reason, provisional, dataset,
                                   storage_identifier, label, method, first_seen, run, recorded_at, audited_at)
         SELECT d.id, i, 'file', CASE WHEN i % 1000 = 0 THEN 'NOT_COVERED' ELSE 'OK' END, printf('%032x', i),
                CASE WHEN i % 1000 = 0 THEN 'store far: it is remote; reference far://' || i END, 0,
                'doi:10.5072/FK2/' || (i / 10), 's3://bucket:' || i, 'data/table-' || i || '.tab', 'ssh',
                '2025-01-01T00:00:00.000Z', 'r', '2025-01-01T00:00:00.000Z',
                strftime('%Y-%m-%dT%H:%M:%fZ', '2026-12-30', '-' || (i % 100) || ' days')
         FROM backup_destination d, n;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {files})
         INSERT INTO backup_copy (destination, id, role, version, key, state, size, sha256, evidence, first_seen, proved_at)
         SELECT d.id, i, 'main', 1, '10.5072/FK2/' || (i / 10) || '/18b5f00d' || i, 'proved', i * 1000, zeroblob(32),
                'remote-hash', strftime('%Y-%m-%dT%H:%M:%fZ', '2025-12-01', '+' || (i % 365) || ' days'),
                strftime('%Y-%m-%dT%H:%M:%fZ', '2026-12-30', '-' || (i % 40) || ' days')
         FROM backup_destination d, n WHERE i % 1000 <> 0;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {incidents})
         INSERT INTO backup_incident (id, role, version, side, place, key, found, detail, command, found_by, found_at,
                                      expected_size, expected, mended_at, mended_by, mended_from, evidence, size, sha256)
         SELECT i, 'main', 1, 'destination', 'default', '10.5072/FK2/' || i, 'damaged',
                'it has other bytes than were proved; it was good on 2026-01-01', 'verify', 'r',
                strftime('%Y-%m-%dT%H:%M:%fZ', '2025-12-01', '+' || (i % 365) || ' days'), 5, zeroblob(32),
                CASE WHEN i % 10 <> 0 THEN '2026-12-01T00:00:00.000Z' END, 'r', 'store file', 'read-back', 5, zeroblob(32)
         FROM n;"
    ))
    .unwrap();
}
