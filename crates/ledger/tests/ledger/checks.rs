//! Copies are looked at again, the one whose proof is oldest first.

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_ledger::{
    Bytes, Check, CopyState, EntryKind, Finding, Found, Ledger, LedgerCopy, LedgerError, Loss, Record, Side,
    SourceDamage,
};
use dvb_model::{DestinationName, DvObjectId, ObjectRole, RunId, Status};

use crate::Bench;
use crate::made::{copy_all, failed, here, main_key, now, record, run, safe, status_of, there, wish};

const LATER: &str = "2100-01-01T00:00:00.000Z";

pub(crate) fn good(id: i64, bytes: &[u8]) -> Check {
    let held = Measured::of(bytes, &[]);
    let recorded = held.digest(Algorithm::Sha256).unwrap().clone();
    let proof = Proved::recorded(&recorded, held, Evidence::ReadBack).unwrap();
    Check { id: DvObjectId(id), role: ObjectRole::Main, version: 1, found: Found::Good(proof) }
}

pub(crate) fn damaged(id: i64, role: ObjectRole, why: &str) -> Check {
    let finding = Finding {
        id: DvObjectId(id),
        role: role.clone(),
        version: 1,
        side: Side::Destination,
        place: here().0,
        key: main_key(id).as_str().into(),
        found: Loss::Damaged,
        detail: why.into(),
        command: "verify",
        expected: Bytes::default(),
        actual: Bytes::default(),
    };
    Check { id: DvObjectId(id), role, version: 1, found: Found::Damaged(Box::new(finding)) }
}

fn ids(page: &[LedgerCopy]) -> Vec<i64> {
    page.iter().map(|it| it.copy.id.0).collect()
}

fn all(ledger: &dyn Ledger, before: &str) -> Vec<i64> {
    ids(&ledger.oldest_copies(&here(), None, Some(before), 100).unwrap())
}

pub(crate) fn copy_of(ledger: &dyn Ledger, id: i64) -> dvb_ledger::CopyRecord {
    ledger.copies(&here(), &[DvObjectId(id)]).unwrap().remove(0)
}

pub(crate) fn damage_at_the_source_is_of_what_was_safe(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    copy_all(&*ledger, &there(), [1]);
    ledger.record(&here(), &run(), &[record(3, failed(Status::FailWrite, vec![], vec![]))]).unwrap();
    let found = |id, status| SourceDamage { id: DvObjectId(id), status, reason: format!("no\0w {id}") };
    let all = [found(1, Status::FailChecksum), found(3, Status::FailRead), found(9, Status::FailRead)];
    ledger.record_source_damage(&here(), &RunId("audit".into()), &all).unwrap();
    ledger.record_source_damage(&DestinationName("nowhere".into()), &run(), &all).unwrap();
    ledger.record_source_damage(&here(), &run(), &[]).unwrap();
    let mut details = Vec::new();
    ledger
        .visit_details(&here(), None, false, &mut |it| details.push((it.id.0, it.status, it.reason, it.basis)))
        .unwrap();
    assert_eq!(details[0], (1, Status::FailChecksum, Some("no\u{fffd}w 1".into()), None));
    assert_eq!((details[1].1, details[2].1, details.len()), (Status::Ok, Status::FailWrite, 3));
    assert_eq!(copy_of(&*ledger, 1).state, CopyState::Proved, "its copy is as good as before");
    assert_eq!(ledger.counts(&there()).unwrap().0, [(Status::Ok, 1)]);
}

pub(crate) fn the_oldest_come_first_page_by_page(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(all(&*ledger, LATER), [0_i64; 0]);
    copy_all(&*ledger, &here(), 1..=5);
    copy_all(&*ledger, &there(), [9]);
    for (id, year) in [(3, "2020"), (1, "2021"), (5, "2021"), (2, "2022")] {
        bench.execute(&format!("UPDATE backup_copy SET proved_at = '{year}-01-01T00:00:00.250Z' WHERE id = {id}"));
    }
    ledger.mark_gone(&here(), &[DvObjectId(5)]).unwrap();
    assert_eq!(all(&*ledger, LATER), [3, 1, 5, 2, 4]);
    assert_eq!(all(&*ledger, "2021-01-01T00:00:00.250Z"), [3]);
    assert_eq!(all(&*ledger, "2021-01-01T00:00:00.251Z"), [3, 1, 5]);
    let count = |before| ledger.count_copies(&here(), Some(before)).unwrap();
    assert_eq!((count(LATER), count("2021-01-01T00:00:00.250Z"), count("2021-01-01T00:00:00.251Z")), (5, 1, 3));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.oldest_copies(&here(), after.as_ref(), None, 2).unwrap();
        let Some(last) = page.last() else { break };
        seen.extend(ids(&page));
        after = Some(last.copy.clone());
    }
    assert_eq!(seen, [3, 1, 5, 2, 4]);
    let page = ledger.oldest_copies(&here(), None, None, 3).unwrap();
    let LedgerCopy { copy, kind, dataset, storage_identifier, label, gone } = &page[2];
    assert_eq!((copy.key.clone(), *kind, *gone), (main_key(5), EntryKind::DataFile, true));
    assert_eq!(dataset.as_deref(), Some("doi:10.5072/FK2/ABC"));
    assert_eq!((storage_identifier.as_deref(), label.as_deref()), (Some("file://5"), Some("data/5.csv")));
    assert_eq!((copy.size, copy.proved_at.as_deref()), (Some(5), Some("2021-01-01T00:00:00.250Z")));
}

pub(crate) fn damaged_copies_of_what_is_not_safe_are_listed(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let list = |after: Option<&dvb_ledger::CopyRecord>, limit| ledger.damaged_copies(&here(), after, limit).unwrap();
    copy_all(&*ledger, &here(), 1..=6);
    copy_all(&*ledger, &there(), [1, 2]);
    assert_eq!(list(None, 9), []);
    let bad: Vec<Check> = [5, 2, 4, 6].map(|id| damaged(id, ObjectRole::Main, "bad")).into();
    ledger.record_checks(&here(), &run(), &bad).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(5)]).unwrap();
    // Four has other bytes by now, and is safe with these.
    ledger.reserve(&here(), &[wish(4, ObjectRole::Main, 2, main_key(4).version(2))]).unwrap();
    let newer = now(ObjectRole::Main, 2, main_key(4).version(2), b"newer");
    ledger.record(&here(), &run(), &[record(4, safe(vec![newer]))]).unwrap();
    ledger.record_checks(&here(), &run(), &[good(6, b"bytes")]).unwrap();
    assert_eq!(ids(&list(None, 9)), [2, 5]);
    let first = list(None, 1).remove(0);
    assert_eq!((first.copy.state, first.gone), (CopyState::Damaged, false));
    let second = list(Some(&first.copy), 9);
    assert_eq!((ids(&second), second[0].gone, second[0].label.as_deref()), (vec![5], true, Some("data/5.csv")));
    assert_eq!(list(Some(&second[0].copy), 9), []);
}

pub(crate) fn objects_of_one_time_are_all_seen(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let roles =
        [ObjectRole::Main, ObjectRole::Original, ObjectRole::Auxiliary("a".into()), ObjectRole::Member("B".into())];
    let mut objects = Vec::new();
    for (n, role) in roles.iter().enumerate() {
        let key = main_key(i64::try_from(n).unwrap() + 70);
        ledger.reserve(&here(), &[wish(7, role.clone(), 1, key.clone())]).unwrap();
        objects.push(now(role.clone(), 1, key, b"bytes"));
    }
    ledger.record(&here(), &run(), &[record(7, safe(objects))]).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    while let Some(it) = ledger.oldest_copies(&here(), after.as_ref(), None, 1).unwrap().pop() {
        seen.push(it.copy.role.clone());
        after = Some(it.copy);
    }
    seen.sort();
    let mut expected = roles.to_vec();
    expected.sort();
    assert_eq!(seen, expected);
}

pub(crate) fn a_good_copy_is_proved_anew(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    bench.execute("UPDATE backup_copy SET proved_at = '2020-01-01T00:00:00.000Z'");
    ledger.record_checks(&here(), &run(), &[good(1, b"bytes")]).unwrap();
    let copy = copy_of(&*ledger, 1);
    assert_eq!((copy.state, copy.evidence), (CopyState::Proved, Some(Evidence::ReadBack)));
    assert!(copy.proved_at.unwrap().as_str() > "2026");
    assert_eq!(all(&*ledger, "2020-01-02T00:00:00.000Z"), [2]);
    assert_eq!(status_of(&*ledger, 1), Some(Status::Ok));
}

pub(crate) fn a_proof_of_other_bytes_is_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    bench.execute("UPDATE backup_copy SET proved_at = '2020-01-01T00:00:00.000Z'");
    for bad in [good(2, b"other"), good(3, b"bytes")] {
        let error = ledger.record_checks(&here(), &run(), &[good(1, b"bytes"), bad]).unwrap_err();
        assert!(matches!(error, LedgerError::Unproved { .. }), "{error:?}");
    }
    ledger.reserve(&here(), &[wish(4, ObjectRole::Main, 1, main_key(4))]).unwrap();
    assert!(ledger.record_checks(&here(), &run(), &[good(4, b"bytes")]).is_err(), "nothing is there yet");
    assert_eq!(all(&*ledger, "2020-01-02T00:00:00.000Z"), [1, 2], "nothing of a refused call is recorded");
}

pub(crate) fn a_damaged_copy_is_not_proved_any_more(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    let logo = Record { kind: EntryKind::Dataset, ..record(3, safe(vec![])) };
    ledger.record(&here(), &run(), &[logo, record(4, failed(Status::FailRead, vec![], vec![]))]).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(2)]).unwrap();
    let first = [damaged(1, ObjectRole::Main, "a is missing"), damaged(1, ObjectRole::Original, "b\0")];
    let verify = RunId("20260103T000000Z-two".into());
    ledger.record_checks(&here(), &verify, &first).unwrap();
    ledger
        .record_checks(&here(), &verify, &[damaged(1, ObjectRole::Original, "c"), damaged(2, ObjectRole::Main, "d")])
        .unwrap();
    let mut details = Vec::new();
    ledger.visit_details(&here(), None, false, &mut |it| details.push(it)).unwrap();
    let reason = |n: usize| details[n].reason.as_deref().unwrap();
    assert_eq!((details[0].status, reason(0)), (Status::FailVerify, "a is missing; b\u{fffd}; c"));
    assert_eq!((details[1].status, reason(1)), (Status::FailVerify, "d"));
    assert_eq!((details[0].basis, details[0].copies), (None, 0));
    assert!(details[1].gone_since.is_some(), "damage brings nothing back");
    assert_eq!(details[0].label.as_deref(), Some("data/1.csv"));
    assert_eq!(copy_of(&*ledger, 1).state, CopyState::Damaged);
    assert_eq!(all(&*ledger, LATER), [0_i64; 0]);
    // Another call's damage replaces the reason; a proof takes the damage back.
    ledger.record_checks(&here(), &run(), &[damaged(1, ObjectRole::Main, "e")]).unwrap();
    ledger.record_checks(&here(), &run(), &[good(1, b"bytes")]).unwrap();
    assert_eq!(copy_of(&*ledger, 1).state, CopyState::Proved);
    let mut reasons = Vec::new();
    ledger.visit_details(&here(), None, true, &mut |it| reasons.extend(it.reason)).unwrap();
    assert!(reasons.contains(&"e".to_owned()), "{reasons:?}");
}
