//! Lawful purges: the request, what is left to do, the tombstones, what keeps from them.

use dvb_ledger::{
    Acknowledgement, Agent, Buried, CopyState, EntryKind, Event, EventEnd, Hold, Holding, Ledger, Purge, PurgeState,
    PurgeTarget, Purged, RunSummary, Side, Signed, TargetState, Tombstone, Verdict, digest_of,
};
use dvb_model::{DvObjectId, ObjectRole, RunId, Status};
use serde_json::json;

use crate::Bench;
use crate::claims::claim;
use crate::incidents::finding;
use crate::made::{a_run, copy_all, here, main_key, record, run, status_of, there, wish};

fn signed(user: &str) -> Signed {
    Signed { at: "2026-01-02T03:04:05.678Z".into(), user: user.into(), uid: 1000, host: "h".into() }
}

pub(crate) fn purge(run: &str, digest: &str) -> Purge {
    Purge {
        number: 0,
        run: RunId(run.into()),
        state: PurgeState::Requested,
        requested: signed("alice"),
        scope: "file 1".into(),
        basis: "gdpr-17".into(),
        reference: "case \"7\"\0".into(),
        digest: digest.into(),
        cap: 100,
        even_if_in_dataverse: false,
        not_before: "2026-01-09T03:04:05.678Z".into(),
        files: vec![Purged { id: DvObjectId(1), kind: EntryKind::DataFile }],
        destinations: vec![here(), there()],
        approved: None,
        executed: None,
        ended_at: None,
    }
}

pub(crate) fn target(number: u64, id: i64) -> PurgeTarget {
    PurgeTarget {
        number,
        destination: here(),
        id: Some(DvObjectId(id)),
        role: "main".into(),
        key: main_key(id).to_string(),
        name: main_key(id).to_string(),
        version: Some("v\"1".into()),
        kind: "object".into(),
        size: u64::from(u32::MAX) * 4,
        sha256: None,
        listed: true,
        state: TargetState::Pending,
    }
}

fn tombstone(id: i64, proved_at: Option<&str>) -> Tombstone {
    Tombstone {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        purge: RunId("r1".into()),
        destination: here(),
        basis: "gdpr-17".into(),
        reference: "case 7".into(),
        list: "d".repeat(64),
        requested: signed("alice"),
        approved: Some(signed("bob")),
        executed: signed("carol"),
        objects: vec![Buried {
            key_sha256: digest_of(main_key(id).as_str()),
            kind: "object".into(),
            size: 5,
            sha256: None,
        }],
        proved_at: proved_at.map(str::to_owned),
    }
}

pub(crate) fn go_from_their_request_to_their_end(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let targets = [target(1, 1), target(2, 1)];
    let first = ledger.request_purge(&purge("r1", "d1"), &targets).unwrap();
    let second = ledger.request_purge(&purge("r2", "d2"), &[]).unwrap();
    assert!(first > 0 && second > first);
    assert_eq!(
        ledger.purges().unwrap(),
        [Purge { number: first, ..purge("r1", "d1") }, Purge { number: second, ..purge("r2", "d2") }]
    );
    assert_eq!(bench.open().purge_targets(first).unwrap(), targets);
    assert_eq!(ledger.purge_targets(second).unwrap(), []);
    // Of two who approve it, one does; and only what has the digest that they saw.
    let approved = |by: &str, digest: &str| Purge {
        number: first,
        state: PurgeState::Approved,
        approved: Some(signed(by)),
        ..purge("r1", digest)
    };
    assert!(!ledger.advance_purge(&approved("bob", "other"), PurgeState::Requested).unwrap());
    assert!(ledger.advance_purge(&approved("bob", "d1"), PurgeState::Requested).unwrap());
    assert!(!ledger.advance_purge(&approved("carol", "d1"), PurgeState::Requested).unwrap());
    assert_eq!(ledger.purges().unwrap()[0], approved("bob", "d1"));
    // What is gone loses its name.
    let gone =
        PurgeTarget { state: TargetState::Gone("2026-02-03T04:05:06.000Z".into()), ..targets[0].without_names() };
    let locked = PurgeTarget { state: TargetState::Locked(Some("2027-01-01T00:00:00Z".into())), ..targets[1].clone() };
    let came = PurgeTarget { listed: false, ..target(3, 1) };
    ledger.record_purge_targets(first, &[gone.clone(), locked.clone(), came.clone()]).unwrap();
    assert_eq!(ledger.purge_targets(first).unwrap(), [gone.clone(), locked, came]);
    assert_eq!(gone.name, format!("sha256:{}", digest_of(main_key(1).as_str())));
    assert_eq!(gone.without_names(), gone);
}

fn holding(ledger: &dyn Ledger, id: i64) -> Holding {
    let all = ledger.holdings(&here(), EntryKind::DataFile).map(Result::unwrap);
    all.into_iter().find(|it| it.detail.id.0 == id).unwrap()
}

pub(crate) fn leave_tombstones_and_no_names(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1, 2]);
    copy_all(&*ledger, &there(), [1]);
    ledger.record_incidents(&run(), &[finding(1, Side::Store, "file")], &[]).unwrap();
    ledger
        .acknowledge(&[Acknowledgement {
            id: DvObjectId(1),
            destination: here(),
            status: Status::FailRead,
            fingerprint: String::new(),
            copies: 0,
            at: String::new(),
            by: "alice".into(),
            reason: "my 1.csv".into(),
            ended_at: None,
        }])
        .unwrap();
    let key = main_key(1).to_string();
    let event = Event {
        id: RunId("e".into()),
        command: "restore".into(),
        started: "2026-01-01T00:00:00Z".into(),
        agent: Agent { user: "u".into(), host: "h".into(), program: "p".into() },
        scope: format!("object {key}"),
        destinations: vec![here()],
        overrides: vec![],
        end: None,
    };
    ledger.begin_event(&event).unwrap();
    let finished = "2026-01-01T00:00:01Z".to_owned();
    let end = EventEnd { finished: finished.clone(), exit_code: 0, counts: json!({ "at": key }) };
    ledger.finish_event(&event.id, &end).unwrap();
    ledger.begin_run(&a_run("r", "2026-01-01T00:00:00Z")).unwrap();
    let summary = json!({ "failures": [{ "key": key, "name": "data/1.csv", "id": "1" }] }).to_string();
    ledger
        .finish_run(&RunId("r".into()), &RunSummary { finished, catalogued: 1, exit_code: 1, json: summary })
        .unwrap();

    ledger.bury(&here(), &run(), &[tombstone(1, None)]).unwrap();
    assert_eq!((status_of(&*ledger, 1), status_of(&*ledger, 2)), (Some(Status::Purged), Some(Status::Ok)));
    let buried = holding(&*ledger, 1);
    assert_eq!(
        (&buried.detail.label, &buried.detail.storage_identifier, &buried.detail.dataset),
        (&None, &None, &None)
    );
    assert!(buried.detail.reason.unwrap().contains("case 7"));
    // Its key belongs to nobody else as long as something may lie there.
    assert_eq!(ledger.oldest_copies(&here(), None, None, 9).unwrap().len(), 1);
    assert_eq!(ledger.count_claimed(&here()).unwrap(), 0);
    assert_eq!(ledger.reserve(&here(), &[wish(7, ObjectRole::Main, 1, main_key(1))]).unwrap(), [DvObjectId(1)]);
    let (counts, gone) = ledger.counts(&here()).unwrap();
    assert_eq!((counts, gone), (vec![(Status::Ok, 1), (Status::Purged, 1)], 0));
    ledger.mark_gone(&here(), &[DvObjectId(1)]).unwrap();
    assert_eq!(ledger.counts(&here()).unwrap().1, 0, "it is purged, wherever it is");
    // Nothing else names it, at whichever destination.
    let open = ledger.incidents(DvObjectId(1)).unwrap();
    assert!(open.iter().all(|it| it.mended.is_some() && it.key.is_empty()), "{open:#?}");
    assert_eq!(ledger.count_open_incidents().unwrap(), 0);
    assert!(ledger.acknowledgements().unwrap().iter().all(|it| it.ended_at.is_some() && it.reason == "(purged)"));
    let mut events = Vec::new();
    ledger.visit_events(None, &mut |it| events.push(it)).unwrap();
    let runs = ledger.runs(&here(), 9).unwrap();
    let all = format!("{events:?}{runs:?}");
    assert!(!all.contains(&key) && !all.contains("1.csv") && all.contains("(purged)"), "{all}");
    assert!(runs[0].1.as_ref().unwrap().json.contains("\"id\":\"1\""), "what is short is no name: {runs:?}");
    // Neither a run that was under way nor an old snapshot brings it back.
    ledger.record(&here(), &run(), &[record(1, Verdict::Pending)]).unwrap();
    ledger.claim(&here(), &run(), &[claim(1, CopyState::Claimed)]).unwrap();
    ledger.claim(&there(), &run(), &[claim(1, CopyState::Claimed)]).unwrap();
    assert_eq!(status_of(&*ledger, 1), Some(Status::Purged));
    assert_eq!((ledger.count_claimed(&here()).unwrap(), ledger.count_claimed(&there()).unwrap()), (0, 0));
    // What is proved stays as it was proved.
    let proved = tombstone(1, Some("2026-02-03T04:05:06.000Z"));
    ledger.bury(&here(), &run(), std::slice::from_ref(&proved)).unwrap();
    ledger.bury(&here(), &run(), &[tombstone(1, None)]).unwrap();
    assert_eq!(bench.open().tombstones().unwrap(), [proved]);
    // Only of what is buried are the keys let go.
    ledger.free_keys(&here(), &[DvObjectId(1), DvObjectId(2)]).unwrap();
    assert_eq!(ledger.reserve(&here(), &[wish(7, ObjectRole::Main, 1, main_key(1))]).unwrap(), [DvObjectId(7)]);
    assert_eq!(ledger.reserve(&here(), &[wish(7, ObjectRole::Main, 2, main_key(2))]).unwrap(), [DvObjectId(2)]);
    assert_eq!(ledger.copies(&there(), &[DvObjectId(1)]).unwrap().len(), 1, "another destination is not touched");
    // What was never known there is known to be purged all the same.
    ledger.bury(&there(), &run(), &[tombstone(99, None)]).unwrap();
    let states: Vec<_> = ledger.states(&there(), EntryKind::DataFile).map(Result::unwrap).collect();
    assert!(states.iter().any(|it| (it.id.0, it.status) == (99, Status::Purged)), "{states:?}");
    // No run has to look after it.
    let by_copies = ledger.files_by_copies().unwrap();
    assert!(by_copies.iter().all(|it| it.copies > 0), "{by_copies:?}");
}

pub(crate) fn are_taken_over_after_a_loss(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let done =
        Purge { state: PurgeState::Done, ended_at: Some("2026-02-03T04:05:06.000Z".into()), ..purge("r1", "d1") };
    let open = Purge { state: PurgeState::Executing, executed: Some(signed("carol")), ..purge("r2", "d2") };
    let hold = Hold {
        number: 7,
        run: RunId("h1".into()),
        scope: "file 5".into(),
        files: vec![DvObjectId(5)],
        datasets: vec![],
        reference: "court".into(),
        placed: signed("alice"),
        released: None,
    };
    let released = Hold { run: RunId("h2".into()), released: Some((signed("bob"), "over".into())), ..hold.clone() };
    for _ in 0..2 {
        ledger.take_over_purges(&[done.clone(), open.clone()], &[hold.clone(), released.clone()]).unwrap();
    }
    let purges = ledger.purges().unwrap();
    let states: Vec<_> = purges.iter().map(|it| (it.run.0.as_str(), it.state, it.ended_at.is_some())).collect();
    assert_eq!(states, [("r1", PurgeState::Done, true), ("r2", PurgeState::Withdrawn, true)]);
    let holds = ledger.holds().unwrap();
    assert_eq!(holds.iter().map(|it| it.released.is_some()).collect::<Vec<_>>(), [false, true]);
    // What is here stays as it is.
    assert!(ledger.release_hold(holds[0].number, &signed("dora"), "here").unwrap());
    ledger.take_over_purges(&[], &[hold]).unwrap();
    assert!(ledger.holds().unwrap()[0].released.is_some());
}

pub(crate) fn are_kept_from_by_holds(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let hold = Hold {
        number: 0,
        run: RunId("h1".into()),
        scope: "dataset doi:1".into(),
        files: vec![DvObjectId(5)],
        datasets: vec!["doi:1".into()],
        reference: "court".into(),
        placed: signed("alice"),
        released: None,
    };
    let number = ledger.place_hold(&hold).unwrap();
    assert_eq!(ledger.holds().unwrap(), [Hold { number, ..hold.clone() }]);
    assert!(!ledger.release_hold(number + 1, &signed("bob"), "no").unwrap());
    assert!(ledger.release_hold(number, &signed("bob"), "over").unwrap());
    assert!(!ledger.release_hold(number, &signed("carol"), "again").unwrap());
    assert_eq!(ledger.holds().unwrap()[0].released, Some((signed("bob"), "over".into())));
}
