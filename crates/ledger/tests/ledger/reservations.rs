//! No two objects ever share a key.

use std::collections::HashMap;

use dvb_ledger::{CopyState, LedgerError};
use dvb_model::{DvObjectId, ObjectRole};

use crate::Bench;
use crate::made::{copy_all, here, key, main_key, there, wish};

const MAIN: ObjectRole = ObjectRole::Main;

fn ids<const N: usize>(ids: [i64; N]) -> Vec<DvObjectId> {
    ids.map(DvObjectId).to_vec()
}

pub(crate) fn the_nth_answer_is_the_nth_wish_s(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [5]);
    let wishes = [
        wish(1, MAIN, 1, key("z/1")),
        wish(2, MAIN, 1, main_key(5)),
        wish(3, MAIN, 1, key("a/3")),
        wish(5, MAIN, 1, main_key(5)),
    ];
    assert_eq!(ledger.reserve(&here(), &wishes).unwrap(), ids([1, 5, 3, 5]));
    assert_eq!(ledger.reserve(&here(), &wishes).unwrap(), ids([1, 5, 3, 5]));
    assert_eq!(ledger.reserve(&here(), &[]).unwrap(), []);
    let copies = ledger.copies(&here(), &ids([1, 2, 3, 5])).unwrap();
    let states: Vec<_> = copies.iter().map(|it| (it.id.0, it.state)).collect();
    assert_eq!(states, [(1, CopyState::Reserved), (3, CopyState::Reserved), (5, CopyState::Proved)]);
}

pub(crate) fn wishes_of_one_call_go_in_order(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let wishes = [wish(2, MAIN, 1, key("a/x")), wish(1, MAIN, 1, key("a/x")), wish(2, MAIN, 1, key("a/x"))];
    assert_eq!(ledger.reserve(&here(), &wishes).unwrap(), ids([2, 2, 2]));
}

pub(crate) fn a_reservation_moves(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.reserve(&here(), &[wish(1, MAIN, 1, key("a/x"))]).unwrap();
    assert_eq!(ledger.reserve(&here(), &[wish(1, MAIN, 1, key("a/y"))]).unwrap(), ids([1]));
    assert_eq!(ledger.reserve(&here(), &[wish(2, MAIN, 1, key("a/x"))]).unwrap(), ids([2]));
    assert_eq!(ledger.copies(&here(), &ids([1])).unwrap()[0].key, key("a/y"));
    // Another role of the same data file may take over what is only reserved.
    assert_eq!(ledger.reserve(&here(), &[wish(1, ObjectRole::Original, 1, key("a/y"))]).unwrap(), ids([1]));
    let copies = ledger.copies(&here(), &ids([1])).unwrap();
    assert_eq!(copies.iter().map(|it| it.role.clone()).collect::<Vec<_>>(), [ObjectRole::Original]);
}

pub(crate) fn a_copy_does_not_move(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let error = ledger.reserve(&here(), &[wish(2, MAIN, 1, key("a/2")), wish(1, MAIN, 1, key("a/1"))]).unwrap_err();
    assert!(matches!(error, LedgerError::Settled { id: DvObjectId(1), .. }), "{error:?}");
    assert_eq!(ledger.copy_at(&here(), &key("a/2")).unwrap(), None);
    assert_eq!(ledger.reserve(&here(), &[wish(1, MAIN, 2, key("a/1"))]).unwrap(), ids([1]));
    let versions: Vec<u32> = ledger.copies(&here(), &ids([1])).unwrap().iter().map(|it| it.version).collect();
    assert_eq!(versions, [1, 2]);
}

pub(crate) fn keys_change_hands_within_a_call(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.reserve(&here(), &[wish(1, MAIN, 1, key("a/x")), wish(2, MAIN, 1, key("a/y"))]).unwrap();
    let wishes = [wish(1, MAIN, 1, key("a/z")), wish(2, MAIN, 1, key("a/x")), wish(1, MAIN, 1, key("a/y"))];
    assert_eq!(ledger.reserve(&here(), &wishes).unwrap(), ids([1, 2, 1]));
    let keys: Vec<_> = ledger.copies(&here(), &ids([1, 2])).unwrap().into_iter().map(|it| it.key).collect();
    assert_eq!(keys, [key("a/y"), key("a/x")]);
}

pub(crate) fn destinations_are_apart(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.reserve(&here(), &[wish(1, MAIN, 1, key("a/x"))]).unwrap(), ids([1]));
    assert_eq!(ledger.reserve(&there(), &[wish(2, MAIN, 1, key("a/x"))]).unwrap(), ids([2]));
}

pub(crate) fn threads_agree_on_the_owner(bench: &dyn Bench) {
    let one = bench.migrated();
    let other = bench.open();
    let ledgers = [&one, &other];
    // All want the same 50 keys, in batches of 10, half of them backwards.
    let answers: Vec<(i64, DvObjectId)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6_i64)
            .map(|thread| {
                let ledger = ledgers[usize::try_from(thread % 2).unwrap()];
                scope.spawn(move || {
                    let mut order: Vec<i64> = (0..50).collect();
                    if thread % 3 == 0 {
                        order.reverse();
                    }
                    let mut answers = Vec::new();
                    for batch in order.chunks(10) {
                        let wishes: Vec<_> = batch
                            .iter()
                            .map(|n| wish(1000 * (thread + 1) + n, MAIN, 1, key(&format!("k/{n}"))))
                            .collect();
                        let owners = ledger.reserve(&here(), &wishes).unwrap();
                        answers.extend(batch.iter().copied().zip(owners));
                    }
                    answers
                })
            })
            .collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    let mut owners = HashMap::new();
    for (n, owner) in &answers {
        assert_eq!(owners.entry(n).or_insert(owner), &owner, "two owners of key {n}");
        assert_eq!(one.copy_at(&here(), &key(&format!("k/{n}"))).unwrap().unwrap().id, *owner);
    }
    assert_eq!((answers.len(), owners.len()), (300, 50));
}
