//! What is held at a destination: states with their copies.

use dvb_ledger::{CopyState, EntryKind, Holding, Record, Verdict};
use dvb_model::{DvObjectId, ObjectRole, Status};

use crate::Bench;
use crate::made::{copy_all, failed, here, key, main_key, now, record, run, safe, there, wish};

fn all(ledger: &dyn dvb_ledger::Ledger, kind: EntryKind) -> Vec<Holding> {
    ledger.holdings(&here(), kind).map(Result::unwrap).collect()
}

pub(crate) fn have_their_copies_in_order_over_pages(bench: &dyn Bench) {
    let ledger = bench.migrated();
    // Two pages and a bit; every hundredth is a dataset, the first and the last of them around everything.
    let ids = 0..12_001_i64;
    let is_dataset = |id: &i64| id % 100 == 0;
    let logo = |id: i64| key(&format!("10.5072/FK2/ABC/{id}.logo"));
    for batch in ids.clone().collect::<Vec<_>>().chunks(3_000) {
        let datasets: Vec<i64> = batch.iter().copied().filter(is_dataset).collect();
        copy_all(&*ledger, &here(), batch.iter().copied().filter(|it| !is_dataset(it)));
        let role = || ObjectRole::DatasetLevel("logo".into());
        ledger
            .reserve(&here(), &datasets.iter().map(|id| wish(*id, role(), 1, logo(*id))).collect::<Vec<_>>())
            .unwrap();
        let records: Vec<Record> = datasets
            .iter()
            .map(|id| Record {
                kind: EntryKind::Dataset,
                ..record(*id, safe(vec![now(role(), 1, logo(*id), b"logo")]))
            })
            .collect();
        ledger.record(&here(), &run(), &records).unwrap();
    }
    copy_all(&*ledger, &there(), [1, 2, 3]);
    let files = all(&*ledger, EntryKind::DataFile);
    assert!(files.iter().map(|it| it.detail.id.0).eq(ids.clone().filter(|it| !is_dataset(it))));
    for Holding { detail, dataset_identifier, copies } in &files {
        assert_eq!(dataset_identifier.as_deref(), Some("10.5072/FK2/ABC"));
        assert_eq!((copies.len(), detail.copies), (1, 1));
        assert_eq!((copies[0].id, &copies[0].key), (detail.id, &main_key(detail.id.0)));
    }
    let datasets = all(&*ledger, EntryKind::Dataset);
    assert!(datasets.iter().map(|it| it.detail.id.0).eq(ids.filter(is_dataset)));
    assert!(datasets.iter().all(|it| it.copies.len() == 1 && it.copies[0].key == logo(it.detail.id.0)));
    let elsewhere = ledger.holdings(&there(), EntryKind::DataFile).map(|it| it.unwrap().detail.id.0);
    assert_eq!(elsewhere.collect::<Vec<_>>(), [1, 2, 3]);
}

pub(crate) fn know_what_is_gone_damaged_or_without_a_copy(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(all(&*ledger, EntryKind::DataFile), []);
    copy_all(&*ledger, &here(), [1, 2, 3]);
    ledger.reserve(&here(), &[wish(1, ObjectRole::Original, 1, key("a/b.orig"))]).unwrap();
    // Reserved, and never recorded: it has no state, so it is not held.
    ledger.reserve(&here(), &[wish(9, ObjectRole::Main, 1, key("a/nine"))]).unwrap();
    let damaged = failed(Status::FailVerify, vec![], vec![(ObjectRole::Main, 1)]);
    ledger.record(&here(), &run(), &[record(2, damaged), record(4, Verdict::Pending)]).unwrap();
    ledger.mark_gone(&here(), &[DvObjectId(3)]).unwrap();
    let held = all(&*ledger, EntryKind::DataFile);
    let states = |it: &Holding| it.copies.iter().map(|it| it.state).collect::<Vec<_>>();
    assert_eq!(held.iter().map(|it| it.detail.id.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(states(&held[0]), [CopyState::Proved, CopyState::Reserved]);
    assert_eq!((held[0].copies[1].role.clone(), held[0].detail.copies), (ObjectRole::Original, 1));
    assert_eq!(states(&held[1]), [CopyState::Damaged]);
    assert_eq!((held[1].detail.status, held[1].detail.copies), (Status::FailVerify, 0));
    assert!(held[2].detail.gone_since.is_some() && held[2].detail.copies == 1);
    assert_eq!((held[3].detail.status, states(&held[3])), (Status::Pending, vec![]));
}
