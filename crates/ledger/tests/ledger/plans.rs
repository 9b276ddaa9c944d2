//! How PostgreSQL carries out what a run asks for each batch. A ledger that fills for the first time has no statistics, and
//! the planner guesses; all the same no statement may read more than the rows that it is about.

use dvb_ledger::SourceDamage;
use dvb_model::{DvObjectId, ObjectRole, Status};

use crate::Bench;
use crate::checks::{damaged, good};
use crate::made::{copy_all, failed, here, main_key, now, record, run, safe, wish};
use crate::postgres::OnServer;

/// Data files of the ledger, made without the program.
const ROWS: i64 = 12_000;
/// Data files of a batch.
const BATCH: i64 = 50;
/// What is read for each data file of a batch may be a few rows, never a share of the table.
const MOST: f64 = 10.0 * BATCH as f64;

fn fill(bench: &OnServer) {
    bench.execute(&format!(
        "INSERT INTO backup_destination (name) VALUES ('default');
         INSERT INTO backup_state (destination, id, kind, status, fingerprint, basis, provisional, method, first_seen, run,
                                   recorded_at)
         SELECT 1, n, 'file', 'OK', repeat('f', 32), 'dataverse', false, 'ssh', now(), 'r', now()
         FROM generate_series(1, {ROWS}) n;
         INSERT INTO backup_copy (destination, id, role, version, key, state, size, sha256, evidence, first_seen, proved_at)
         SELECT 1, n, 'main', 1, '10.5072/FK2/ABC/' || n, 'proved', 5, sha256('bytes'), 'remote-hash', now(),
                now() - n * interval '1 minute'
         FROM generate_series(1, {ROWS}) n"
    ));
}

/// Has the server log the plan of every statement in this database, with what it did.
fn log_plans(bench: &OnServer) {
    let name = &bench.database.name;
    bench.execute(&format!(
        "ALTER DATABASE {name} SET session_preload_libraries = 'auto_explain';
         ALTER DATABASE {name} SET auto_explain.log_min_duration = 0;
         ALTER DATABASE {name} SET auto_explain.log_analyze = on;
         ALTER DATABASE {name} SET auto_explain.log_timing = off"
    ));
}

/// The number behind `name` in a line of a plan.
fn number(line: &str, name: &str) -> Option<f64> {
    let rest = line.rsplit_once(name)?.1;
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The most rows that some step of a plan came by: those that it passed on, and those that it looked at in vain.
fn most_rows(plan: &str) -> f64 {
    let (mut loops, mut most) = (1.0, 0.0_f64);
    for line in plan.lines() {
        if let (Some(rows), Some(times)) = (number(line, "(actual rows="), number(line, " loops=")) {
            loops = times;
            most = most.max(rows * times);
        } else if line.contains("Rows Removed by ") {
            most = most.max(number(line, ": ").unwrap_or_default() * loops);
        }
    }
    most
}

/// The plans of the ledger's tables.
fn plans(log: &str) -> Vec<String> {
    let mut plans: Vec<String> = Vec::new();
    let mut is_plan = false;
    for line in log.lines() {
        if !line.starts_with('\t') {
            is_plan = line.contains("  plan:");
            if is_plan {
                plans.push(String::new());
            }
        }
        if let Some(plan) = plans.last_mut().filter(|_| is_plan) {
            plan.push_str(line);
            plan.push('\n');
        }
    }
    plans.retain(|it| ["backup_copy", "backup_state"].iter().any(|table| it.contains(&format!(" on {table}"))));
    plans
}

#[test]
fn every_batch_is_looked_up_by_its_keys_without_statistics() {
    let bench = OnServer::alone();
    bench.migrated();
    fill(&bench);
    assert_eq!(bench.rows("SELECT reltuples::text FROM pg_class WHERE relname = 'backup_copy'"), ["-1"]);
    log_plans(&bench);
    let ledger = bench.open();
    // From the middle: both ends of an index are found soon by any plan.
    let known = || ROWS / 2..ROWS / 2 + BATCH;
    let ids: Vec<DvObjectId> = known().map(DvObjectId).collect();

    copy_all(&*ledger, &here(), ROWS + 1..ROWS + 1 + BATCH);
    copy_all(&*ledger, &here(), known());
    // Other bytes, at a key of their own; then the wish for the key is given up for another one.
    for key in ["v2", "v2-again"] {
        let wishes = |id| wish(id, ObjectRole::Main, 2, dvb_model::ObjectKey::new(&format!("{key}/{id}")).unwrap());
        ledger.reserve(&here(), &known().map(wishes).collect::<Vec<_>>()).unwrap();
    }
    let bad = |id| record(id, failed(Status::FailVerify, vec![], vec![(ObjectRole::Main, 1)]));
    ledger.record(&here(), &run(), &known().map(bad).collect::<Vec<_>>()).unwrap();
    let mended = |id| record(id, safe(vec![now(ObjectRole::Main, 1, main_key(id), b"bytes")]));
    ledger.record(&here(), &run(), &known().map(mended).collect::<Vec<_>>()).unwrap();
    ledger.record_checks(&here(), &run(), &known().map(|id| good(id, b"bytes")).collect::<Vec<_>>()).unwrap();
    let checks: Vec<_> = known().map(|id| damaged(id, ObjectRole::Main, "is gone")).collect();
    ledger.record_checks(&here(), &run(), &checks).unwrap();
    let damage = |id: &DvObjectId| SourceDamage { id: *id, status: Status::FailRead, reason: "is gone".into() };
    let locks: Vec<_> = known().map(|id| (main_key(id), "2030-01-01T00:00:00Z".to_owned())).collect();
    ledger.record_locks(&here(), &locks).unwrap();
    ledger.record_source_damage(&here(), &run(), &ids.iter().map(damage).collect::<Vec<_>>()).unwrap();
    ledger.record_audited(&here(), &ids).unwrap();
    ledger.record_pids(&here(), &ids.iter().map(|id| (*id, "doi:10.5072/FK2/NEW")).collect::<Vec<_>>()).unwrap();
    ledger.mark_gone(&here(), &ids).unwrap();
    assert_eq!(ledger.copies(&here(), &ids).unwrap().len(), 2 * ids.len());
    ledger.digests(&here(), &ids).unwrap();
    ledger.sizes(&here(), ids[0], ids[ids.len() - 1]).unwrap();
    let keys: Vec<String> = known().map(|id| main_key(id).as_str().to_owned()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(ledger.known_keys(&here(), &keys).unwrap().len(), keys.len());
    ledger.copy_at(&here(), &main_key(ROWS / 2)).unwrap().unwrap();
    ledger.history(ids[0]).unwrap();
    let oldest = ledger.oldest_copies(&here(), None, None, 10).unwrap();
    ledger.oldest_copies(&here(), Some(&oldest[9].copy), None, 10).unwrap();
    ledger.damaged_copies(&here(), None, 10).unwrap();
    ledger.claimed_copies(&here(), None, 10).unwrap();
    ledger.least_recently_audited(&here(), None, 10).unwrap();
    ledger.oldest_proof(&here()).unwrap();

    let plans = plans(&bench.log());
    let has = |words: &str| plans.iter().any(|it| it.contains(words));
    for words in [
        "FOR UPDATE",
        "SET state = 'proved'",
        "SET state = 'damaged'",
        "SET locked_until",
        "DELETE FROM",
        "INSERT INTO backup_state",
    ] {
        assert!(has(words), "no plan was logged with {words}: is this still the statement?");
    }
    let bad: Vec<&String> = plans.iter().filter(|it| it.contains("Seq Scan on") || most_rows(it) > MOST).collect();
    assert!(bad.is_empty(), "{} of {} plans read too much:\n{}", bad.len(), plans.len(), bad[0]);
}

#[test]
fn the_rows_of_a_plan_are_counted_by_loops() {
    let plan = "Nested Loop (actual rows=50 loops=1)\n  Rows Removed by Join Filter: 7\n  ->  Materialize (actual rows=120 loops=50)\n";
    assert!((most_rows(plan) - 6000.0).abs() < 0.1, "{}", most_rows(plan));
    let plan = "Index Scan (actual rows=1 loops=3)\n  Rows Removed by Filter: 4000\n";
    assert!((most_rows(plan) - 12000.0).abs() < 0.1, "{}", most_rows(plan));
}
