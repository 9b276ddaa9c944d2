//! What a snapshot says is taken over, and proves nothing.

use dvb_fixity::{Algorithm, Digest, Evidence, Measured};
use dvb_ledger::{Basis, Claim, CopyRecord, CopyState, EntryKind, Ledger, LedgerError, State};
use dvb_model::{DvObjectId, ObjectRole, Status};

use crate::Bench;
use crate::checks::{copy_of, damaged, good};
use crate::made::{before, copy_all, here, main_key, now, record, run, safe, status_of, there, wish};

fn digest(bytes: &[u8]) -> Digest {
    Measured::of(bytes, &[]).digest(Algorithm::Sha256).unwrap().clone()
}

fn copy(id: i64, state: CopyState) -> CopyRecord {
    CopyRecord {
        id: DvObjectId(id),
        role: ObjectRole::Main,
        version: 1,
        key: main_key(id),
        state,
        size: Some(5),
        sha256: Some(digest(b"bytes")),
        others: Vec::new(),
        evidence: Some(Evidence::RemoteHash),
        proved_at: Some("2024-01-02T03:04:05.678Z".into()),
    }
}

pub(crate) fn claim(id: i64, state: CopyState) -> Claim {
    Claim {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some("doi:10.5072/FK2/ABC".into()),
        dataset_identifier: Some("10.5072/FK2/ABC".into()),
        storage_identifier: Some(format!("file://{id}")),
        label: Some("a\0b".into()),
        fingerprint: "f".repeat(32),
        method: "ssh",
        basis: Some(Basis::FirstSeen),
        not_covered: false,
        reason: "a snapshot says so".into(),
        gone_since: None,
        copies: vec![copy(id, state)],
    }
}

fn claimed(ledger: &dyn Ledger) -> Vec<i64> {
    let page = ledger.claimed_copies(&here(), None, 100).unwrap();
    assert_eq!(ledger.count_claimed(&here()).unwrap(), page.len() as u64);
    page.iter().map(|it| it.copy.id.0).collect()
}

pub(crate) fn are_pending_until_they_are_proved(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let gone = Claim { gone_since: Some("2025-01-02T03:04:05.006Z".into()), ..claim(4, CopyState::Claimed) };
    let claims = [3, 1, 2].map(|id| claim(id, CopyState::Claimed));
    ledger.claim(&here(), &run(), &claims).unwrap();
    ledger.claim(&here(), &run(), &[gone, claim(5, CopyState::Damaged)]).unwrap();
    assert_eq!(claimed(&*ledger), [1, 2, 3, 4]);
    let after = ledger.claimed_copies(&here(), None, 1).unwrap().remove(0).copy;
    assert_eq!(after, copy(1, CopyState::Claimed));
    assert_eq!(ledger.claimed_copies(&here(), Some(&after), 1).unwrap()[0].copy.id.0, 2);
    let states: Vec<State> = ledger.states(&here(), EntryKind::DataFile).map(Result::unwrap).collect();
    assert!(states.iter().all(|it| it.status == Status::Pending && it.basis == Some(Basis::FirstSeen)));
    assert_eq!(states.iter().map(|it| it.gone).collect::<Vec<_>>(), [false, false, false, true, false]);
    // Nothing of it counts as a proof.
    assert_eq!(ledger.oldest_copies(&here(), None, None, 9).unwrap(), []);
    assert_eq!(ledger.oldest_proof(&here()).unwrap(), None);
    let unproved = ledger.record(&here(), &run(), &[record(1, safe(vec![before(ObjectRole::Main, 1)]))]).unwrap_err();
    assert!(matches!(unproved, LedgerError::Unproved { .. }), "{unproved:?}");
    // A look proves one and finds another bad.
    assert!(ledger.record_checks(&here(), &run(), &[good(1, b"other")]).is_err());
    ledger.record_checks(&here(), &run(), &[good(1, b"bytes"), damaged(2, ObjectRole::Main, "it is missing")]).unwrap();
    assert_eq!(claimed(&*ledger), [3, 4]);
    assert_eq!((copy_of(&*ledger, 1).state, copy_of(&*ledger, 2).state), (CopyState::Proved, CopyState::Damaged));
    assert_eq!(status_of(&*ledger, 2), Some(Status::FailVerify));
    ledger.record(&here(), &run(), &[record(1, safe(vec![before(ObjectRole::Main, 1)]))]).unwrap();
    assert_eq!(status_of(&*ledger, 1), Some(Status::Ok));
    let adopted = bench.rows("SELECT CASE WHEN adopted THEN 'yes' ELSE 'no' END FROM backup_copy WHERE id = 1");
    assert_eq!(adopted, ["yes"], "it was not sent");
}

pub(crate) fn to_a_proof_are_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let without = Claim {
        copies: vec![CopyRecord { sha256: None, ..copy(2, CopyState::Claimed) }],
        ..claim(2, CopyState::Claimed)
    };
    for bad in [claim(2, CopyState::Proved), claim(2, CopyState::Reserved), without] {
        let error = ledger.claim(&here(), &run(), &[claim(1, CopyState::Claimed), bad]).unwrap_err();
        assert!(matches!(error, LedgerError::Unproved { .. }), "{error:?}");
    }
    assert_eq!(claimed(&*ledger), [0_i64; 0], "nothing of a refused call is recorded");
}

pub(crate) fn leave_alone_what_is_known(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let proved = copy_of(&*ledger, 1);
    ledger.claim(&here(), &run(), &[claim(1, CopyState::Claimed), claim(2, CopyState::Claimed)]).unwrap();
    assert_eq!((copy_of(&*ledger, 1), status_of(&*ledger, 1)), (proved, Some(Status::Ok)));
    ledger.claim(&here(), &run(), &[claim(2, CopyState::Claimed)]).unwrap();
    assert_eq!(claimed(&*ledger), [2], "once more changes nothing");
}

pub(crate) fn keep_their_keys(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.claim(&here(), &run(), &[claim(1, CopyState::Claimed)]).unwrap();
    let owners = ledger.reserve(&here(), &[wish(2, ObjectRole::Main, 1, main_key(1))]).unwrap();
    assert_eq!(owners, [DvObjectId(1)]);
    let moved = ledger.reserve(&here(), &[wish(1, ObjectRole::Main, 1, main_key(9))]).unwrap_err();
    assert!(matches!(moved, LedgerError::Settled { .. }), "{moved:?}");
    let owners = ledger.reserve(&here(), &[wish(1, ObjectRole::Original, 1, main_key(1))]).unwrap();
    assert_eq!(owners, [DvObjectId(1)], "the key stays with the claim");
    assert_eq!(copy_of(&*ledger, 1), copy(1, CopyState::Claimed));
    // What is copied in its place is a proof like any other.
    ledger.record(&here(), &run(), &[record(1, safe(vec![now(ObjectRole::Main, 1, main_key(1), b"new")]))]).unwrap();
    assert_eq!((copy_of(&*ledger, 1).state, claimed(&*ledger).len()), (CopyState::Proved, 0));
}

pub(crate) fn make_no_ledger_known(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert!(ledger.is_blank(&here()).unwrap());
    ledger.claim(&here(), &run(), &[claim(1, CopyState::Claimed), claim(2, CopyState::Damaged)]).unwrap();
    ledger.reserve(&here(), &[wish(3, ObjectRole::Main, 1, main_key(3))]).unwrap();
    let none = Claim { not_covered: true, basis: None, copies: Vec::new(), ..claim(4, CopyState::Claimed) };
    ledger.claim(&here(), &run(), &[none]).unwrap();
    assert_eq!(status_of(&*ledger, 4), Some(Status::NotCovered));
    copy_all(&*ledger, &there(), [1]);
    assert!(ledger.is_blank(&here()).unwrap(), "so far nothing is known here");
    assert!(!ledger.is_blank(&there()).unwrap());
    ledger.record_checks(&here(), &run(), &[good(1, b"bytes")]).unwrap();
    assert!(!ledger.is_blank(&here()).unwrap());
}
