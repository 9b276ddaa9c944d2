//! What is asked of a ledger.

use dvb_ledger::{EntryKind, Record, RunSummary, Verdict};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};

use crate::Bench;
use crate::made::{a_run, copy_all, failed, here, key, main_key, now, record, run, safe, there, wish};

pub(crate) fn states_come_in_order_over_pages(bench: &dyn Bench) {
    let ledger = bench.migrated();
    // Two pages and a bit, recorded backwards, with ids that reach below zero.
    let ids: Vec<i64> = (-5..40_050).rev().collect();
    for batch in ids.chunks(5_000) {
        let records: Vec<Record> = batch.iter().map(|id| record(*id, Verdict::Pending)).collect();
        ledger.record(&here(), &run(), &records).unwrap();
    }
    let listed: Vec<i64> = ledger.states(&here(), EntryKind::DataFile).map(|it| it.unwrap().id.0).collect();
    assert!(listed.iter().copied().eq(-5..40_050));
    let mut details = Vec::new();
    ledger.visit_details(&here(), None, true, &mut |it| details.push(it.id.0)).unwrap();
    assert!(details.into_iter().eq(-5..40_050));
    // What is recorded while the list is read does not disturb it.
    let mut seen = 0;
    for state in ledger.states(&here(), EntryKind::DataFile).take(30_000) {
        let id = state.unwrap().id.0;
        if id % 10_000 == 0 {
            ledger.record(&here(), &run(), &[record(id, Verdict::Pending)]).unwrap();
        }
        seen += 1;
    }
    assert_eq!(seen, 30_000);
}

pub(crate) fn kinds_and_destinations_are_apart(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 3]);
    copy_all(&*ledger, &there(), [4]);
    ledger.record(&here(), &run(), &[Record { kind: EntryKind::Dataset, ..record(2, safe(vec![])) }]).unwrap();
    let ids = |destination: &DestinationName, kind| -> Vec<i64> {
        ledger.states(destination, kind).map(|it| it.unwrap().id.0).collect()
    };
    assert_eq!(ids(&here(), EntryKind::DataFile), [1, 3]);
    assert_eq!(ids(&here(), EntryKind::Dataset), [2]);
    assert_eq!(ids(&there(), EntryKind::DataFile), [4]);
    let nowhere = DestinationName("nowhere".into());
    assert_eq!(ids(&nowhere, EntryKind::DataFile), [0_i64; 0]);
    assert_eq!(ledger.copies(&nowhere, &[DvObjectId(1)]).unwrap(), []);
    assert_eq!(ledger.oldest_proof(&nowhere).unwrap(), None);
    assert_eq!(bench.rows("SELECT name FROM backup_destination ORDER BY name"), ["default", "second"]);
}

pub(crate) fn counts_leave_out_what_is_gone(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2, 3]);
    ledger
        .record(
            &here(),
            &run(),
            &[
                record(4, failed(Status::FailRead, vec![], vec![])),
                record(5, Verdict::Pending),
                Record { kind: EntryKind::Dataset, ..record(6, safe(vec![])) },
                record(7, failed(Status::FailWrite, vec![], vec![])),
            ],
        )
        .unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(3), DvObjectId(6), DvObjectId(7)]).unwrap();
    let expected = vec![(Status::Ok, 2), (Status::Pending, 1), (Status::FailRead, 1)];
    assert_eq!(ledger.counts(&here()).unwrap(), (expected, 2));
}

pub(crate) fn copies_are_counted_over_destinations(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.spread().unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2, 3]);
    copy_all(&*ledger, &there(), [2, 3]);
    let not_covered = || Verdict::NotCovered { reason: "elsewhere".into() };
    ledger.record(&here(), &run(), &[record(4, Verdict::Pending), record(5, not_covered())]).unwrap();
    ledger.record(&there(), &run(), &[record(1, failed(Status::FailWrite, vec![], vec![]))]).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(3)]).unwrap();
    ledger.mark_gone(&there(), &[DvObjectId(3)]).unwrap();
    assert_eq!(ledger.spread().unwrap(), [(0, 1), (1, 1), (2, 1)]);
    let mut found = Vec::new();
    ledger.visit_details(&here(), None, false, &mut |it| found.push((it.id.0, it.destinations))).unwrap();
    assert_eq!(found, [(1, 1), (2, 2), (3, 2), (4, 0), (5, 0)]);
}

pub(crate) fn a_copy_counts_whatever_became_of_its_source(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2, 3]);
    copy_all(&*ledger, &there(), [1, 3]);
    let original = wish(4, ObjectRole::Original, 1, key("10.5072/FK2/ABC/4.orig"));
    ledger.reserve(&here(), std::slice::from_ref(&original)).unwrap();
    let half = vec![now(ObjectRole::Original, 1, original.key, b"original")];
    let bad = vec![(ObjectRole::Main, 1)];
    let records = [
        record(1, failed(Status::FailChecksum, vec![], vec![])),
        record(2, failed(Status::FailRead, vec![], vec![])),
        record(3, failed(Status::FailVerify, vec![], bad)),
        record(4, failed(Status::FailWrite, half, vec![])),
    ];
    ledger.record(&here(), &run(), &records).unwrap();
    let mut found = Vec::new();
    ledger.visit_details(&here(), None, false, &mut |it| found.push((it.id.0, it.destinations))).unwrap();
    assert_eq!(found, [(1, 2), (2, 1), (3, 1), (4, 0)]);
    let history = |id| ledger.history(DvObjectId(id)).unwrap()[0].detail.destinations;
    assert_eq!([1, 2, 3, 4].map(history), [2, 1, 1, 0]);
    assert_eq!(ledger.spread().unwrap(), [(0, 1), (1, 2), (2, 1)]);
}

pub(crate) fn details_can_be_narrowed(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    let other = Record { dataset: Some("hdl:1902.1/X".into()), ..record(3, Verdict::Pending) };
    ledger.record(&here(), &run(), &[other, record(4, failed(Status::FailVerify, vec![], vec![]))]).unwrap();
    let ids = |dataset, failed_only| {
        let mut ids = Vec::new();
        let mut visit = |it: dvb_ledger::StateDetail| {
            // A visitor may ask the ledger more.
            ledger.copies(&here(), &[it.id]).unwrap();
            ids.push(it.id.0);
        };
        ledger.visit_details(&here(), dataset, failed_only, &mut visit).unwrap();
        ids
    };
    assert_eq!(ids(None, false), [1, 2, 3, 4]);
    assert_eq!(ids(None, true), [3, 4]);
    assert_eq!(ids(Some("doi:10.5072/FK2/ABC"), false), [1, 2, 4]);
    assert_eq!(ids(Some("hdl:1902.1/X"), true), [3]);
    assert_eq!(ids(Some("hdl:1902.1/x"), false), [0_i64; 0]);
}

pub(crate) fn the_oldest_proof_is_of_what_is_not_gone(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.oldest_proof(&here()).unwrap(), None);
    copy_all(&*ledger, &here(), [1, 2, 3]);
    bench.execute("UPDATE backup_copy SET proved_at = '2020-01-01T00:00:00.000Z' WHERE id = 1");
    bench.execute("UPDATE backup_copy SET proved_at = '2021-01-01T00:00:00.250Z' WHERE id = 2");
    assert_eq!(ledger.oldest_proof(&here()).unwrap().as_deref(), Some("2020-01-01T00:00:00.000Z"));
    ledger.mark_gone(&here(), &[DvObjectId(1)]).unwrap();
    assert_eq!(ledger.oldest_proof(&here()).unwrap().as_deref(), Some("2021-01-01T00:00:00.250Z"));
    // A damaged copy is proved no more, a look at it renews the proof.
    let damaged = failed(Status::FailVerify, vec![], vec![(dvb_model::ObjectRole::Main, 1)]);
    ledger.record(&here(), &run(), &[record(2, damaged)]).unwrap();
    assert!(ledger.oldest_proof(&here()).unwrap().unwrap().as_str() > "2026");
}

pub(crate) fn runs_come_newest_first(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let (first, second) = (a_run("r1", "2026-01-01T00:00:00.000Z"), a_run("r2", "2026-01-02T00:00:00.125Z"));
    let elsewhere = dvb_ledger::Run { destination: there(), ..a_run("r3", "2026-01-03T00:00:00.000Z") };
    for run in [&second, &first, &elsewhere, &first] {
        ledger.begin_run(run).unwrap();
    }
    let summary = RunSummary {
        finished: "2026-01-01T01:00:00.500Z".into(),
        catalogued: 12,
        exit_code: 3,
        json: r#"{"run_id":"r1"}"#.into(),
    };
    ledger.finish_run(&first.id, &summary).unwrap();
    let expected = [(second.clone(), None), (first, Some(summary.clone()))];
    assert_eq!(ledger.runs(&here(), 10).unwrap(), expected);
    assert_eq!(ledger.runs(&here(), 1).unwrap(), expected[..1]);
    assert!(ledger.knows_run(&here(), &second.id).unwrap());
    assert!(!ledger.knows_run(&there(), &second.id).unwrap());
    assert!(!ledger.knows_run(&here(), &RunId("r9".into())).unwrap());
    let unknown = ledger.finish_run(&RunId("r9".into()), &summary);
    assert!(matches!(unknown, Err(dvb_ledger::LedgerError::UnknownRun { .. })));
}

pub(crate) fn keys_that_are_taken_are_told(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let known = |keys: &[&str]| {
        let mut known: Vec<_> = ledger.known_keys(&here(), keys).unwrap().into_iter().collect();
        known.sort();
        known
    };
    assert_eq!(known(&["a"]), [""; 0], "of a destination that nobody knows");
    copy_all(&*ledger, &here(), [1, 2]);
    copy_all(&*ledger, &there(), [3]);
    ledger.reserve(&here(), &[wish(4, ObjectRole::Main, 1, main_key(4))]).unwrap();
    let keys = [1, 3, 4, 5].map(|it| main_key(it).as_str().to_owned());
    let mut asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    asked.extend(["nul\0", "100%", "ü'\""]);
    assert_eq!(known(&asked), [main_key(1).as_str(), main_key(4).as_str()]);
    assert_eq!(known(&[]), [""; 0]);
}

pub(crate) fn a_key_is_looked_up(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let copy = ledger.copy_at(&here(), &main_key(1)).unwrap().unwrap();
    assert_eq!((copy.id, copy.size), (DvObjectId(1), Some(5)));
    let missing = |it: &ObjectKey| ledger.copy_at(&here(), it).unwrap().is_none();
    assert!(missing(&main_key(2)) && missing(&key("10.5072/FK2/ABC")));
    assert_eq!(ledger.copy_at(&there(), &main_key(1)).unwrap(), None);
}
