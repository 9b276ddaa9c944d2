//! What is recorded, and what is refused.

use dvb_fixity::{Algorithm, Evidence};
use dvb_ledger::{Basis, CopyState, EntryKind, Ledger, LedgerError, ObjectProof, Record, State, Verdict};
use dvb_model::{DvObjectId, ObjectRole, Status};

use crate::Bench;
use crate::made::{
    before, copy_all, failed, here, key, main_key, measured, now, proof, record, run, safe, status_of, there, wish,
};

const MAIN: ObjectRole = ObjectRole::Main;

fn copy_states(ledger: &dyn Ledger, id: i64) -> Vec<(String, u32, CopyState)> {
    let copies = ledger.copies(&here(), &[DvObjectId(id)]).unwrap();
    copies.into_iter().map(|it| (it.role.to_string(), it.version, it.state)).collect()
}

fn refusal(ledger: &dyn Ledger, records: &[Record]) -> String {
    match ledger.record(&here(), &run(), records).unwrap_err() {
        error @ LedgerError::Unproved { .. } => error.to_string(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn safe_is_recorded_with_its_proofs(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let original = key("10.5072/FK2/ABC/1.orig");
    ledger
        .reserve(&here(), &[wish(1, MAIN, 1, main_key(1)), wish(1, ObjectRole::Original, 1, original.clone())])
        .unwrap();
    let objects = vec![
        now(MAIN, 1, main_key(1), b"table"),
        ObjectProof::Now {
            role: ObjectRole::Original,
            version: 1,
            key: original.clone(),
            proof: proof(b"upload"),
            adopted: true,
        },
    ];
    let verdict =
        Verdict::Safe { basis: Basis::FirstSeen, objects, provisional: true, note: Some("swapped pair".into()) };
    ledger.record(&here(), &run(), &[record(1, verdict)]).unwrap();

    let ledger = bench.open();
    let mut states: Vec<State> = ledger.states(&here(), EntryKind::DataFile).map(Result::unwrap).collect();
    // A first read of its objects is a look at the source.
    assert!(states[0].audited_at.ends_with('Z'), "{states:?}");
    states[0].audited_at.clear();
    assert_eq!(
        states,
        [State {
            id: DvObjectId(1),
            status: Status::Ok,
            fingerprint: "f".repeat(32),
            provisional: true,
            gone: false,
            reason: Some("swapped pair".into()),
            basis: Some(Basis::FirstSeen),
            dataset: Some("doi:10.5072/FK2/ABC".into()),
            audited_at: String::new(),
        }]
    );
    let copies = ledger.copies(&here(), &[DvObjectId(1), DvObjectId(1), DvObjectId(9)]).unwrap();
    assert_eq!(copies.iter().map(|it| it.role.to_string()).collect::<Vec<_>>(), ["main", "orig"]);
    let copy = &copies[1];
    assert_eq!((copy.key.clone(), copy.state, copy.size), (original, CopyState::Proved, Some(6)));
    assert_eq!(copy.sha256.as_ref(), measured(b"upload").digest(Algorithm::Sha256));
    assert_eq!(copy.evidence, Some(Evidence::RemoteHash));
    let proved_at = copy.proved_at.clone().unwrap();
    assert!(proved_at.ends_with('Z') && proved_at.len() == "2026-01-02T03:04:05.678Z".len(), "{proved_at}");
    assert_eq!(bench.rows("SELECT role FROM backup_copy WHERE adopted AND md5 IS NOT NULL AND sha1 IS NULL"), ["orig"]);

    let mut details = Vec::new();
    ledger.visit_details(&here(), None, false, &mut |it| details.push(it)).unwrap();
    assert_eq!(details.len(), 1);
    assert_eq!((details[0].copies, details[0].basis, details[0].provisional), (2, Some(Basis::FirstSeen), true));
    assert_eq!(details[0].label.as_deref(), Some("data/1.csv"));
    assert_eq!(details[0].recorded_at.len(), proved_at.len());

    // What was proved before carries the next verdict.
    let again = record(1, safe(vec![before(MAIN, 1), before(ObjectRole::Original, 1)]));
    ledger.record(&here(), &run(), &[again]).unwrap();
    assert_eq!(ledger.copies(&here(), &[DvObjectId(1)]).unwrap(), copies);
}

pub(crate) fn safe_without_objects_is_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let why = refusal(&*ledger, &[record(1, safe(vec![]))]);
    assert!(why.contains("without any object"), "{why}");
    assert_eq!(status_of(&*ledger, 1), None);
    // A dataset may have nothing of its own.
    ledger.record(&here(), &run(), &[Record { kind: EntryKind::Dataset, ..record(2, safe(vec![])) }]).unwrap();
    assert_eq!(ledger.states(&here(), EntryKind::Dataset).count(), 1);
}

pub(crate) fn before_without_a_proof_is_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    refusal(&*ledger, &[record(1, safe(vec![before(MAIN, 1)]))]);
    ledger.reserve(&here(), &[wish(1, MAIN, 1, main_key(1))]).unwrap();
    refusal(&*ledger, &[record(1, safe(vec![before(MAIN, 1)]))]);
    copy_all(&*ledger, &here(), [1]);
    copy_all(&*ledger, &there(), [2]);
    refusal(&*ledger, &[record(1, safe(vec![before(MAIN, 2)]))]);
    refusal(&*ledger, &[record(1, safe(vec![before(ObjectRole::Original, 1)]))]);
    refusal(&*ledger, &[record(2, safe(vec![before(MAIN, 1)]))]);
    ledger.record(&here(), &run(), &[record(1, failed(Status::FailVerify, vec![], vec![(MAIN, 1)]))]).unwrap();
    refusal(&*ledger, &[record(1, safe(vec![before(MAIN, 1)]))]);
    assert_eq!(status_of(&*ledger, 1), Some(Status::FailVerify));
    assert_eq!(status_of(&*ledger, 2), None);
}

pub(crate) fn now_under_another_key_is_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let copied = || record(1, safe(vec![now(MAIN, 1, main_key(1), b"1")]));
    refusal(&*ledger, &[copied()]);
    ledger.reserve(&here(), &[wish(1, MAIN, 1, key("a/b"))]).unwrap();
    refusal(&*ledger, &[copied()]);
    ledger.reserve(&here(), &[wish(2, MAIN, 1, main_key(1))]).unwrap();
    refusal(&*ledger, &[copied()]);
    assert_eq!(status_of(&*ledger, 1), None);
}

pub(crate) fn ok_is_no_failure(bench: &dyn Bench) {
    let ledger = bench.migrated();
    for status in [Status::Ok, Status::Pending, Status::NotCovered] {
        refusal(&*ledger, &[record(1, failed(status, vec![], vec![]))]);
    }
    assert_eq!(status_of(&*ledger, 1), None);
}

pub(crate) fn a_refused_call_records_nothing(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.reserve(&here(), &[wish(1, MAIN, 1, main_key(1))]).unwrap();
    let good = record(1, safe(vec![now(MAIN, 1, main_key(1), b"1")]));
    // The second verdict on 1 begins a new part of the call: the first part must not stay either.
    let bad = record(1, safe(vec![before(MAIN, 7)]));
    refusal(&*ledger, &[good, record(3, Verdict::Pending), bad]);
    assert_eq!(status_of(&*ledger, 1), None);
    assert_eq!(status_of(&*ledger, 3), None);
    assert_eq!(copy_states(&*ledger, 1), [("main".into(), 1, CopyState::Reserved)]);
}

pub(crate) fn a_failure_keeps_the_copies(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let copies = ledger.copies(&here(), &[DvObjectId(1)]).unwrap();
    let not_covered = Verdict::NotCovered { reason: "a URL".into() };
    let verdicts = [
        (failed(Status::FailRead, vec![], vec![]), Status::FailRead),
        (failed(Status::FailChecksum, vec![before(MAIN, 1)], vec![]), Status::FailChecksum),
        (failed(Status::FailWrite, vec![], vec![]), Status::FailWrite),
        (not_covered, Status::NotCovered),
        (Verdict::Pending, Status::Pending),
    ];
    for (verdict, status) in verdicts {
        ledger.record(&here(), &run(), &[record(1, verdict)]).unwrap();
        assert_eq!(status_of(&*ledger, 1), Some(status));
        assert_eq!(ledger.copies(&here(), &[DvObjectId(1)]).unwrap(), copies);
    }
    // An object that was proved although another failed is on record.
    ledger.reserve(&here(), &[wish(1, ObjectRole::Original, 1, key("a/orig"))]).unwrap();
    let half = failed(Status::FailRead, vec![now(ObjectRole::Original, 1, key("a/orig"), b"o")], vec![]);
    ledger.record(&here(), &run(), &[record(1, half)]).unwrap();
    assert_eq!(copy_states(&*ledger, 1)[1], ("orig".into(), 1, CopyState::Proved));
}

pub(crate) fn damage_is_kept_until_the_next_proof(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    let damaged = failed(Status::FailVerify, vec![], vec![(MAIN, 1), (ObjectRole::Original, 1)]);
    ledger.record(&here(), &run(), &[record(1, damaged)]).unwrap();
    assert_eq!(copy_states(&*ledger, 1), [("main".into(), 1, CopyState::Damaged)]);
    assert_eq!(copy_states(&*ledger, 2), [("main".into(), 1, CopyState::Proved)]);
    // The key stays the damaged copy's own, to be mended there.
    let owners = ledger.reserve(&here(), &[wish(3, MAIN, 1, main_key(1)), wish(1, MAIN, 1, main_key(1))]).unwrap();
    assert_eq!(owners, [DvObjectId(1), DvObjectId(1)]);
    copy_all(&*ledger, &here(), [1]);
    assert_eq!(copy_states(&*ledger, 1), [("main".into(), 1, CopyState::Proved)]);
    assert_eq!(status_of(&*ledger, 1), Some(Status::Ok));
}

pub(crate) fn what_is_reserved_stays_reserved(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let aux = ObjectRole::Auxiliary("dpJSON_0.1".into());
    ledger.reserve(&here(), &[wish(1, MAIN, 1, main_key(1)), wish(1, aux.clone(), 1, key("a/aux"))]).unwrap();
    copy_all(&*ledger, &here(), [1]);
    let damaged = failed(Status::FailWrite, vec![], vec![(aux, 1)]);
    ledger.record(&here(), &run(), &[record(1, damaged)]).unwrap();
    let copies = ledger.copies(&here(), &[DvObjectId(1)]).unwrap();
    let aux = &copies[1];
    assert_eq!((aux.state, aux.size, aux.sha256.is_none()), (CopyState::Reserved, None, true));
    assert_eq!((aux.evidence, aux.proved_at.clone()), (None, None));
}

pub(crate) fn the_last_verdict_of_a_call_counts(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.reserve(&here(), &[wish(1, MAIN, 1, main_key(1))]).unwrap();
    let copied = record(1, safe(vec![now(MAIN, 1, main_key(1), b"1")]));
    let records = [record(1, Verdict::Pending), copied, record(1, safe(vec![before(MAIN, 1)]))];
    ledger.record(&here(), &run(), &records).unwrap();
    assert_eq!(status_of(&*ledger, 1), Some(Status::Ok));
    ledger.record(&here(), &run(), &[]).unwrap();
}

pub(crate) fn what_is_not_known_any_more_is_kept(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let orphan = Record {
        dataset: None,
        dataset_identifier: None,
        storage_identifier: None,
        label: None,
        ..record(1, failed(Status::FailRead, vec![], vec![]))
    };
    ledger.record(&here(), &run(), &[orphan]).unwrap();
    let mut details = Vec::new();
    ledger.visit_details(&here(), Some("doi:10.5072/FK2/ABC"), true, &mut |it| details.push(it)).unwrap();
    assert_eq!(details.len(), 1);
    assert_eq!(details[0].label.as_deref(), Some("data/1.csv"));
    assert_eq!(details[0].storage_identifier.as_deref(), Some("file://1"));
    assert_eq!(details[0].basis, None);
}

pub(crate) fn gone_and_back(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    copy_all(&*ledger, &there(), [1]);
    let ids = [DvObjectId(1), DvObjectId(77)];
    ledger.mark_gone(&here(), &ids).unwrap();
    let since = || {
        let mut since = Vec::new();
        ledger.visit_details(&here(), None, false, &mut |it| since.push(it.gone_since)).unwrap();
        since
    };
    let first = since();
    assert!(first[0].is_some() && first[1].is_none());
    bench.execute("UPDATE backup_state SET gone_since = '2020-02-02T00:00:00.000Z' WHERE gone_since IS NOT NULL");
    ledger.mark_gone(&here(), &ids).unwrap();
    assert_eq!(since()[0].as_deref(), Some("2020-02-02T00:00:00.000Z"));
    let gone: Vec<bool> = ledger.states(&here(), EntryKind::DataFile).map(|it| it.unwrap().gone).collect();
    assert_eq!(gone, [true, false]);
    assert!(!ledger.states(&there(), EntryKind::DataFile).next().unwrap().unwrap().gone);
    assert_eq!(copy_states(&*ledger, 1), [("main".into(), 1, CopyState::Proved)]);

    ledger.record(&here(), &run(), &[record(1, safe(vec![before(MAIN, 1)]))]).unwrap();
    assert_eq!(since(), [None, None]);
    assert_eq!(ledger.counts(&here()).unwrap(), (vec![(Status::Ok, 2)], 0));
}

pub(crate) fn strange_text_is_kept(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let reason = "it said: 'no\0such'; \"Größe\" \\ \u{1f9ea} $1 ?";
    let verdict = Verdict::Failed { status: Status::FailRead, reason: reason.into(), objects: vec![], damaged: vec![] };
    let long = ObjectRole::Member(format!("ä'%/{}/x", "n".repeat(1500)));
    let long_key = key(&format!("a/{}", "0123456789".repeat(150)));
    ledger.reserve(&here(), &[wish(1, long.clone(), 1, long_key.clone())]).unwrap();
    ledger.record(&here(), &run(), &[record(1, verdict)]).unwrap();
    let state = ledger.states(&here(), EntryKind::DataFile).next().unwrap().unwrap();
    assert_eq!(state.reason, Some(reason.replace('\0', "\u{fffd}")));
    let copy = ledger.copy_at(&here(), &long_key).unwrap().unwrap();
    assert_eq!((copy.role, copy.key), (long, long_key));
}

pub(crate) fn workers_record_side_by_side(bench: &dyn Bench) {
    let ledger = bench.migrated();
    std::thread::scope(|scope| {
        for worker in 0..4_i64 {
            let ledger = &ledger;
            scope.spawn(move || {
                for batch in 0..10_i64 {
                    // Every second worker counts down: their batches meet in opposite orders.
                    let batch = if worker % 2 == 0 { batch } else { 9 - batch };
                    copy_all(&**ledger, &here(), batch * 20..batch * 20 + 20);
                }
            });
        }
    });
    assert_eq!(ledger.counts(&here()).unwrap(), (vec![(Status::Ok, 200)], 0));
}
