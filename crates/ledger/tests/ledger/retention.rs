//! Until when copies are locked.

use dvb_ledger::{Ledger, LockedCopy, PurgeState, Retention};
use dvb_model::{DvObjectId, ObjectRole};

use crate::Bench;
use crate::made::{copy_all, here, main_key, now, record, run, safe, there};
use crate::purges::{purge, target};

const FAR: &str = "2030-01-01T00:00:00.000Z";

fn due(ledger: &dyn Ledger, before: &str, limit: u32) -> Vec<(i64, Option<String>)> {
    let (mut found, mut after): (_, Option<LockedCopy>) = (Vec::new(), None);
    loop {
        let page = ledger.locks_due(&here(), before, true, after.as_ref(), limit).unwrap();
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else { return found };
        found.extend(page.iter().map(|it| (it.copy.id.0, it.locked_until.clone())));
        after = Some(last.clone());
    }
}

fn day(n: u32) -> String {
    format!("2027-01-{n:02}T00:00:00.000Z")
}

pub(crate) fn what_has_no_lock_is_due_before_what_ends_soonest(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), 1..=7);
    assert_eq!(ledger.retention(&here()).unwrap(), None);
    assert_eq!(ledger.retention(&there()).unwrap(), None);
    // As the destination says it: in whole seconds.
    let locks = [(1, "2027-01-09T00:00:00Z".to_owned()), (3, day(3)), (4, day(9)), (6, day(1))];
    ledger.record_locks(&here(), &locks.map(|(id, until)| (main_key(id), until))).unwrap();
    assert_eq!(ledger.retention(&here()).unwrap(), Some(Retention { earliest: day(1), unlocked: 3 }));
    let all =
        [(2, None), (5, None), (7, None), (6, Some(day(1))), (3, Some(day(3))), (1, Some(day(9))), (4, Some(day(9)))];
    for limit in [1, 2, 3, 100] {
        assert_eq!(due(&*ledger, FAR, limit), all, "{limit} at once");
        assert_eq!(due(&*ledger, &day(3), limit), all[..4], "{limit} at once");
    }
    assert_eq!(ledger.locks_due(&there(), FAR, true, None, 10).unwrap(), []);
    let known = ledger.locks_due(&here(), &day(9), false, None, 10).unwrap();
    assert_eq!(known.iter().map(|it| it.copy.id.0).collect::<Vec<_>>(), [6, 3]);
    // A longer lock takes its place in the order.
    ledger.record_locks(&here(), &[(main_key(6), day(20)), (main_key(99), day(1))]).unwrap();
    assert_eq!(ledger.retention(&here()).unwrap(), Some(Retention { earliest: day(3), unlocked: 3 }));
}

pub(crate) fn a_copy_that_is_stored_anew_has_no_known_lock(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), 1..=2);
    ledger.record_locks(&here(), &[(main_key(1), day(1)), (main_key(2), day(2))]).unwrap();
    ledger.record(&here(), &run(), &[record(1, safe(vec![now(ObjectRole::Main, 1, main_key(1), b"bytes")]))]).unwrap();
    assert_eq!(due(&*ledger, FAR, 10), [(1, None), (2, Some(day(2)))]);
    assert_eq!(ledger.retention(&here()).unwrap(), Some(Retention { earliest: day(2), unlocked: 1 }));
}

pub(crate) fn no_lock_of_what_is_to_be_purged_is_due(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), 1..=3);
    ledger.record_locks(&here(), &[(main_key(1), day(1)), (main_key(3), day(3))]).unwrap();
    let asked = purge("r1", "d1");
    let number = ledger.request_purge(&asked, &[target(1, 1), target(2, 2)]).unwrap();
    assert_eq!(due(&*ledger, FAR, 10), [(3, Some(day(3)))]);
    assert_eq!(ledger.retention(&here()).unwrap(), Some(Retention { earliest: day(3), unlocked: 0 }));
    let mut withdrawn = ledger.purges().unwrap().into_iter().find(|it| it.number == number).unwrap();
    withdrawn.state = PurgeState::Withdrawn;
    assert!(ledger.advance_purge(&withdrawn, PurgeState::Requested).unwrap());
    assert_eq!(due(&*ledger, FAR, 10), [(2, None), (1, Some(day(1))), (3, Some(day(3)))]);
    assert_eq!(ledger.locks_due(&here(), FAR, true, None, 1).unwrap()[0].copy.id, DvObjectId(2));
}
