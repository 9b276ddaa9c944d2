//! What a ledger adds up for reports.

use dvb_ledger::{AuditDay, CopiesOfMonth, FilesByCopies, ProofDay, UnprovedCopies, Verdict};
use dvb_model::{DestinationName, DvObjectId, ObjectRole, Status};

use crate::Bench;
use crate::made::{copy_all, failed, here, key, now, record, run, there, wish};

pub(crate) fn data_files_and_bytes_are_counted_by_copies(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.files_by_copies().unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2, 3, 6]);
    copy_all(&*ledger, &there(), [2, 3]);
    let original = wish(3, ObjectRole::Original, 1, key("10.5072/FK2/ABC/3.orig"));
    ledger.reserve(&there(), std::slice::from_ref(&original)).unwrap();
    let half = vec![now(ObjectRole::Original, 1, original.key, b"original")];
    let not_covered = || Verdict::NotCovered { reason: "elsewhere".into() };
    ledger.record(&here(), &run(), &[record(4, Verdict::Pending), record(5, not_covered())]).unwrap();
    ledger.record(&there(), &run(), &[record(3, failed(Status::FailWrite, half, vec![]))]).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(6)]).unwrap();
    let expected = [(0, 1, 0), (1, 1, 5), (2, 2, 18)];
    let counted = ledger.files_by_copies().unwrap();
    assert_eq!(counted, expected.map(|(copies, files, bytes)| FilesByCopies { copies, files, bytes }));
    let spread: Vec<(u64, u64)> = counted.iter().map(|it| (it.copies, it.files)).collect();
    assert_eq!(ledger.spread().unwrap(), spread);
}

pub(crate) fn what_is_not_covered_is_counted_by_reason(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.not_covered(10).unwrap(), (vec![], 0));
    let not_covered = |id, reason: &str| record(id, Verdict::NotCovered { reason: reason.into() });
    let all = [
        not_covered(1, "far; reference x://1"),
        not_covered(2, "far; reference x://2"),
        not_covered(3, "a URL"),
        not_covered(4, "gone"),
    ];
    ledger.record(&here(), &run(), &all).unwrap();
    // One that another destination covers is covered, and one that is listed twice counts once.
    ledger
        .record(
            &there(),
            &run(),
            &[record(3, Verdict::Pending), not_covered(2, "far; reference x://3"), not_covered(5, "b")],
        )
        .unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(4)]).unwrap();
    assert_eq!(ledger.not_covered(10).unwrap(), (vec![("far".into(), 2), ("b".into(), 1)], 3));
    assert_eq!(ledger.not_covered(1).unwrap(), (vec![("far".into(), 2)], 3));
}

pub(crate) fn proofs_are_counted_by_day(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.proofs_by_day(&here(), None).unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2, 3, 4]);
    copy_all(&*ledger, &there(), [5]);
    bench.execute("UPDATE backup_copy SET proved_at = '2026-01-01T23:59:59.999Z'");
    bench.execute("UPDATE backup_copy SET proved_at = '2026-01-02T00:00:00.000Z', evidence = 'read-back' WHERE id = 2");
    bench.execute("UPDATE backup_copy SET proved_at = '2026-01-02T12:00:00.000Z' WHERE id = 3");
    let damaged = failed(Status::FailVerify, vec![], vec![(ObjectRole::Main, 1)]);
    ledger.record(&here(), &run(), &[record(4, damaged)]).unwrap();
    let day = |day: &str, evidence: &str, overdue| ProofDay {
        day: day.into(),
        evidence: evidence.into(),
        overdue,
        copies: 1,
        bytes: 5,
    };
    assert_eq!(
        ledger.proofs_by_day(&here(), Some("2026-01-02T12:00:00Z")).unwrap(),
        [
            day("2026-01-01", "remote-hash", true),
            day("2026-01-02", "read-back", true),
            day("2026-01-02", "remote-hash", false)
        ]
    );
    assert!(ledger.proofs_by_day(&here(), None).unwrap().iter().all(|it| !it.overdue));
    assert_eq!(ledger.unproved_copies(&here()).unwrap(), UnprovedCopies { damaged: 1, claimed: 0 });
    let nowhere = DestinationName("nowhere".into());
    assert_eq!(ledger.unproved_copies(&nowhere).unwrap(), UnprovedCopies::default());
    assert_eq!(ledger.proofs_by_day(&nowhere, None).unwrap(), []);
}

pub(crate) fn audits_are_counted_by_day(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.audits_by_day(None).unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2, 3, 4]);
    copy_all(&*ledger, &there(), [2, 3]);
    ledger.record(&here(), &run(), &[record(6, Verdict::NotCovered { reason: "far".into() })]).unwrap();
    ledger.record(&here(), &run(), &[record(5, Verdict::Pending)]).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(4)]).unwrap();
    let (here_id, there_id) = (
        "(SELECT id FROM backup_destination WHERE name = 'default')",
        "(SELECT id FROM backup_destination WHERE name = 'second')",
    );
    for (id, at, where_) in [
        (1, "2026-01-01", here_id),
        (2, "2026-01-01", here_id),
        (2, "2026-01-03", there_id),
        (3, "2026-01-03", here_id),
        (3, "2026-01-02", there_id),
    ] {
        bench.execute(&format!(
            "UPDATE backup_state SET audited_at = '{at}T10:00:00.000Z' WHERE id = {id} AND destination = {where_}"
        ));
    }
    let day = |day: &str, overdue, files| AuditDay { day: day.into(), overdue, files };
    let counted = ledger.audits_by_day(Some("2026-01-01T10:00:00.001Z")).unwrap();
    assert_eq!(counted, [day("", true, 1), day("2026-01-01", true, 1), day("2026-01-03", false, 2)]);
    let counted = ledger.audits_by_day(Some("2026-01-01T10:00:00Z")).unwrap();
    assert_eq!(counted, [day("", true, 1), day("2026-01-01", false, 1), day("2026-01-03", false, 2)]);
}

pub(crate) fn copies_are_counted_by_month(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.copies_by_month().unwrap(), []);
    copy_all(&*ledger, &here(), [1, 2, 3]);
    copy_all(&*ledger, &there(), [1]);
    bench.execute("UPDATE backup_copy SET first_seen = '2025-12-31T23:59:59.999Z'");
    bench.execute("UPDATE backup_copy SET first_seen = '2026-01-01T00:00:00.000Z' WHERE id = 1");
    let month = |month: &str| CopiesOfMonth { month: month.into(), copies: 2, bytes: 10 };
    assert_eq!(ledger.copies_by_month().unwrap(), [month("2025-12"), month("2026-01")]);
}

pub(crate) fn who_it_is_is_told_without_making_it(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(ledger.installation_id().unwrap(), None);
    ledger.installation("one").unwrap();
    assert_eq!(ledger.installation_id().unwrap().as_deref(), Some("one"));
}
