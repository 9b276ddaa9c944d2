//! All that is known of one data file.

use dvb_ledger::CopyState;
use dvb_model::{DvObjectId, ObjectRole, RunId, Status};

use crate::Bench;
use crate::made::{copy_all, failed, here, key, main_key, now, record, run, safe, there, wish};

const TIME: &str = "2026-02-03T04:05:06.007Z";

pub(crate) fn is_told_of_every_destination(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.history(DvObjectId(1)).unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2]);
    copy_all(&*ledger, &there(), [1]);
    let second = wish(1, ObjectRole::Main, 2, key("10.5072/FK2/ABC/1.v2"));
    let original = wish(1, ObjectRole::Original, 1, key("10.5072/FK2/ABC/1.orig"));
    ledger.reserve(&here(), &[second.clone(), original.clone()]).unwrap();
    let objects =
        vec![now(ObjectRole::Original, 1, original.key, b"original"), now(ObjectRole::Main, 2, second.key, b"changed")];
    ledger.record(&here(), &run(), &[record(1, safe(objects))]).unwrap();
    bench.execute(&format!("UPDATE backup_copy SET first_seen = '{TIME}' WHERE version = 2"));
    let bad = failed(Status::FailVerify, vec![], vec![(ObjectRole::Main, 1)]);
    ledger.record(&there(), &RunId("r2".into()), &[record(1, bad)]).unwrap();

    let history = ledger.history(DvObjectId(1)).unwrap();
    let [first, second] = history.as_slice() else { panic!("{history:?}") };
    assert_eq!((first.destination.clone(), second.destination.clone()), (here(), there()));
    assert_eq!((first.detail.status, second.detail.status), (Status::Ok, Status::FailVerify));
    assert_eq!((first.detail.copies, first.detail.destinations, second.detail.copies), (3, 1, 0));
    assert_eq!((first.run.clone(), second.run.0.as_str(), first.method.as_str()), (run(), "r2", "ssh"));
    assert!(first.first_seen.ends_with('Z') && first.last_backup.is_some());
    let copies: Vec<_> = first.copies.iter().map(|it| (it.copy.role.clone(), it.copy.version)).collect();
    assert_eq!(copies, [(ObjectRole::Main, 1), (ObjectRole::Main, 2), (ObjectRole::Original, 1)]);
    assert_eq!((first.copies[1].first_seen.as_str(), first.copies[1].adopted), (TIME, false));
    assert_eq!(first.copies[0].copy.key, main_key(1));
    assert_eq!(second.copies[0].copy.state, CopyState::Damaged);
}
