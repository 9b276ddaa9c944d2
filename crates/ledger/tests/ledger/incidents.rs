//! Damage is an incident from when it is found to when it is mended.

use dvb_fixity::{Algorithm, Evidence};
use dvb_ledger::{Bytes, Check, Finding, Found, Incident, Loss, Mending, Record, Side};
use dvb_model::{DvObjectId, ObjectRole, RunId, Status};

use crate::Bench;
use crate::checks::{damaged, good};
use crate::made::{before, copy_all, failed, here, key, main_key, measured, now, proof, record, run, safe, wish};
use crate::migration::BACK_TO_FIVE;

pub(crate) fn finding(id: i64, side: Side, place: &str) -> Finding {
    let bytes = |it: &[u8]| {
        let measured = measured(it);
        Bytes { size: Some(measured.size), digest: measured.digest(Algorithm::Md5).cloned() }
    };
    Finding {
        id: DvObjectId(id),
        role: ObjectRole::Main,
        version: 1,
        side,
        place: place.into(),
        key: main_key(id).as_str().into(),
        found: Loss::Damaged,
        detail: "it has other\0bytes".into(),
        command: "audit",
        expected: bytes(b"bytes"),
        actual: bytes(b"other"),
    }
}

pub(crate) fn mending(of: Finding) -> Mending {
    let bytes = measured(b"bytes");
    Mending {
        of,
        from: "destination second".into(),
        evidence: Some(Evidence::ReadBack),
        size: bytes.size,
        sha256: bytes.digest(Algorithm::Sha256).unwrap().clone(),
        kept: Some("aside".into()),
    }
}

fn of(bench: &dyn Bench, id: i64) -> Vec<Incident> {
    bench.open().incidents(DvObjectId(id)).unwrap()
}

pub(crate) fn are_one_while_open(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let (first, again) = (RunId("r1".into()), RunId("r2".into()));
    let found = finding(7, Side::Store, "file");
    ledger.record_incidents(&first, &[found.clone(), finding(8, Side::Store, "file")], &[]).unwrap();
    ledger.record_incidents(&again, &[Finding { found: Loss::Missing, ..found.clone() }], &[]).unwrap();
    let open = of(bench, 7);
    let [one] = open.as_slice() else { panic!("{open:#?}") };
    assert_eq!((one.found.as_str(), one.detail.as_str()), ("damaged", "it has other\u{fffd}bytes"));
    assert_eq!((&one.found_by, one.command.as_deref(), one.mended.as_ref()), (&first, Some("audit"), None));
    assert_eq!((&one.expected, &one.actual), (&found.expected, &found.actual));
    assert!(one.found_at.as_str() > "2026" && one.found_at.ends_with('Z'), "{one:#?}");
    // It ends once, and what comes then is another one.
    ledger.record_incidents(&again, &[], &[mending(found.clone())]).unwrap();
    ledger.record_incidents(&first, std::slice::from_ref(&found), &[]).unwrap();
    let both = of(bench, 7);
    assert_eq!(both.iter().map(|it| it.mended.is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(both[0].number < both[1].number);
    let mended = both[0].mended.as_ref().unwrap();
    assert_eq!(
        (&mended.by, mended.from.as_str(), mended.kept.as_deref()),
        (&again, "destination second", Some("aside"))
    );
    assert_eq!((mended.evidence, mended.size, mended.sha256.is_some()), (Some(Evidence::ReadBack), Some(5), true));
    assert!(mended.at >= both[0].found_at);
    // What was mended at once has both ends.
    ledger.record_incidents(&first, &[], &[mending(finding(9, Side::Destination, "default"))]).unwrap();
    assert!(of(bench, 9)[0].mended.is_some());
    assert!(of(bench, 8)[0].mended.is_none(), "another one's");
}

pub(crate) fn are_opened_and_closed_by_looks_at_copies(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2, 3]);
    let bad = |id| damaged(id, ObjectRole::Main, "it is bad");
    ledger.record_checks(&here(), &run(), &[bad(1), bad(2), bad(3)]).unwrap();
    ledger.record_checks(&here(), &RunId("later".into()), &[bad(1)]).unwrap();
    for id in 1..=3 {
        let all = of(bench, id);
        assert_eq!((all.len(), all[0].mended.as_ref(), &all[0].found_by), (1, None, &run()), "{id}");
    }
    let from = "store file".to_owned();
    let mended = Found::Mended { proof: proof(b"bytes"), from, kept: Some("kept".into()) };
    let mended = Check { id: DvObjectId(2), role: ObjectRole::Main, version: 1, found: mended };
    ledger.record_checks(&here(), &run(), &[good(1, b"bytes"), mended]).unwrap();
    let end = |id: i64| of(bench, id)[0].mended.clone();
    let one = end(1).unwrap();
    assert!(one.from.starts_with("elsewhere") && one.evidence.is_some() && one.sha256.is_some(), "{one:#?}");
    let two = end(2).unwrap();
    assert_eq!((two.from.as_str(), two.kept.as_deref(), two.size), ("store file", Some("kept"), Some(5)));
    assert_eq!(end(3), None);
}

pub(crate) fn are_opened_and_closed_by_verdicts(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2, 3]);
    let at_both = |id| vec![finding(id, Side::Store, "file"), finding(id, Side::Destination, "default")];
    let of_failed = |id: i64| {
        let damaged = vec![(ObjectRole::Main, 1)];
        Record { found: at_both(id), ..record(id, failed(Status::FailChecksum, vec![], damaged)) }
    };
    let records: Vec<Record> = [1, 2, 3].map(of_failed).into();
    ledger.record(&here(), &run(), &records).unwrap();
    assert!((1..=3).all(|id| of(bench, id).iter().filter(|it| it.mended.is_none()).count() == 2));
    // Copied again, from a store that was good.
    let again = |id: i64, read_from: Option<&str>| {
        let objects = vec![now(ObjectRole::Main, 1, main_key(id), b"bytes")];
        Record { read_from: read_from.map(str::to_owned), ..record(id, safe(objects)) }
    };
    let by = RunId("by".into());
    ledger.record(&here(), &by, &[again(1, Some("file")), again(2, None)]).unwrap();
    let ends = |id: i64| of(bench, id).into_iter().map(|it| it.mended.map(|it| it.from)).collect::<Vec<_>>();
    let of_first: Vec<String> = ends(1).into_iter().flatten().collect();
    assert!(of_first[0].starts_with("elsewhere") && of_first[1] == "store file", "{of_first:?}");
    assert!(of(bench, 1).iter().all(|it| it.mended.as_ref().is_some_and(|it| it.by == by && it.evidence.is_some())));
    assert_eq!(ends(2).iter().filter(|it| it.is_some()).count(), 1, "nobody has read the store");
    // One more version makes it safe, too; and another destination says nothing of this one.
    let second = wish(3, ObjectRole::Main, 2, key("10.5072/FK2/ABC/3.v2"));
    ledger.reserve(&here(), std::slice::from_ref(&second)).unwrap();
    copy_all(&*ledger, &crate::made::there(), [3]);
    assert_eq!(ends(3), [None, None]);
    let objects = vec![now(ObjectRole::Main, 2, second.key, b"changed")];
    ledger.record(&here(), &by, &[Record { read_from: Some("file".into()), ..record(3, safe(objects)) }]).unwrap();
    assert!(ends(3).iter().all(Option::is_some));
    // Found and mended in one run.
    let objects = vec![before(ObjectRole::Main, 2)];
    let both = Record { found: at_both(3), read_from: Some("file".into()), ..record(3, safe(objects)) };
    ledger.record(&here(), &by, &[both]).unwrap();
    assert!(ends(3).len() == 4 && ends(3).iter().all(Option::is_some));
}

pub(crate) fn from_before_are_kept(bench: &dyn Bench) {
    drop(bench.migrated());
    let is_sqlite = bench.address().starts_with("sqlite:");
    let (table, bytes) = if is_sqlite {
        (include_str!("../../../../sql/ledger/sqlite/003_incidents.sql"), "unhex")
    } else {
        (include_str!("../../../../sql/ledger/postgres/003_incidents.sql"), "decode")
    };
    let hex = measured(b"bytes").digest(Algorithm::Sha256).unwrap().hex();
    let bytes = if is_sqlite { format!("{bytes}('{hex}')") } else { format!("{bytes}('{hex}', 'hex')") };
    bench.execute(&format!(
        "{BACK_TO_FIVE} DROP TABLE backup_incident; {table}
         INSERT INTO backup_incident (mended_at, run, id, role, version, side, place, key, found, detail, found_by,
                                      found_at, mended_from, evidence, size, sha256)
         VALUES ('2026-02-03T04:05:06.007Z', 'r', 5, 'main', 1, 'store', 'file', 'k', 'missing', 'd', 'f',
                 '2026-02-03T04:05:06.006Z', 'destination default', 'read-back', 5, {bytes});
         DELETE FROM backup_schema WHERE version > 4"
    ));
    let ledger = bench.migrated();
    let found = ledger.incidents(DvObjectId(5)).unwrap();
    assert_eq!((found[0].command.as_deref(), &found[0].expected), (None, &Bytes::default()));
    let mended = found[0].mended.as_ref().unwrap();
    assert_eq!((mended.at.as_str(), mended.by.0.as_str(), mended.size), ("2026-02-03T04:05:06.007Z", "r", Some(5)));
    ledger.record_incidents(&run(), &[finding(5, Side::Store, "file")], &[]).unwrap();
    assert_eq!(of(bench, 5).len(), 2);
}
