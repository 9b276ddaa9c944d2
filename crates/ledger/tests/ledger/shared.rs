//! Several hosts share one run.

use std::time::Duration;

use dvb_ledger::{Claimed, Joining, Ledger, LedgerError, Next, Phase, Presence, RangeEnd, RangeResult, WorkRange};
use dvb_model::{ObjectRole, RunId};

use crate::made::{a_run, here, holder, main_key, wish};
use crate::{Bench, told};

pub(crate) fn joining(id: &str) -> Joining {
    Joining {
        command: "run",
        destination: here(),
        beside: false,
        id: RunId(id.into()),
        host: "h".into(),
        pid: 7,
        parameters: "{}".into(),
        // Long: what makes a host seem dead here is told the ledger by hand.
        lease: Duration::from_secs(600),
    }
}

pub(crate) fn join(ledger: &dyn Ledger, id: &str) -> Box<dyn Presence> {
    ledger.shared_runs().unwrap().join(&joining(id)).unwrap_or_else(|it| panic!("{}", told(&it)))
}

fn claim(host: &dyn Presence) -> Claimed {
    match host.claim().unwrap_or_else(|it| panic!("{}", told(&it))) {
        Next::Claimed(it) => it,
        other => panic!("{other:?}"),
    }
}

fn result(text: &str) -> RangeResult {
    RangeResult { text: text.into(), files: 10, bytes: 100 }
}

fn plan(ledger: &dyn Ledger, host: &dyn Presence, ranges: i32) {
    let plan = claim(host);
    assert_eq!(plan.lease.phase, Phase::Plan);
    let shared = ledger.shared_runs().unwrap();
    shared.clear_plan(&plan.lease).unwrap();
    let ranges: Vec<_> = (0..ranges).map(|number| WorkRange { number, files: 10, work: vec![7; 9] }).collect();
    shared.add_ranges(&plan.lease, &ranges).unwrap();
    host.finish(&plan.lease, &result("the plan")).unwrap();
}

/// The host gives no sign any more.
pub(crate) fn silence(bench: &dyn Bench, id: &str) {
    bench.execute(&format!("UPDATE backup_worker SET seen = now() - interval '1 day' WHERE id = '{id}'"));
}

fn is_lost<T: std::fmt::Debug>(done: Result<T, LedgerError>) {
    let error = done.unwrap_err();
    assert!(matches!(error, LedgerError::LostLease { .. }), "{}", told(&error));
}

pub(crate) fn hosts_share_the_ranges(bench: &dyn Bench) {
    let (one, two) = (bench.migrated(), bench.open());
    let (first, second) = (join(&*one, "one"), join(&*two, "two"));
    assert_eq!((&first.run().run, &second.run().run), (&RunId("one".into()), &RunId("one".into())));
    let planning = claim(&*first);
    assert_eq!(second.claim().unwrap(), Next::Wait(Phase::Plan));
    assert!(first.give_back(&planning.lease, false).unwrap());
    plan(&*two, &*second, 3);
    assert_eq!(one.shared_runs().unwrap().plan(first.run()).unwrap().as_deref(), Some("the plan"));
    let claimed = [claim(&*first), claim(&*second), claim(&*first)];
    assert_eq!(claimed.iter().map(|it| it.lease.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((claimed[0].files, claimed[0].work.as_slice()), (10, [7; 9].as_slice()));
    assert_eq!(second.claim().unwrap(), Next::Wait(Phase::Work));
    first.finish(&claimed[0].lease, &result("a")).unwrap();
    second.finish(&claimed[1].lease, &result("b")).unwrap();
    let status = two.shared_runs().unwrap().shared_status(&here()).unwrap().pop().unwrap();
    assert_eq!((status.phase, status.ranges, status.done, status.aside), (Phase::Work, 3, 2, 0));
    assert_eq!(status.workers.iter().map(|it| (it.ranges, it.files, it.bytes)).collect::<Vec<_>>(), [(1, 10, 100); 2]);
    first.finish(&claimed[2].lease, &result("c")).unwrap();
    // Its answer was lost, and it is told once more.
    first.finish(&claimed[2].lease, &result("c")).unwrap();
    // The first to ask goes on to the closing, and is the only one to have it.
    let closing = claim(&*second);
    assert_eq!((closing.lease.phase, first.claim().unwrap()), (Phase::Close, Next::Wait(Phase::Close)));
    let mut ends = Vec::new();
    two.shared_runs().unwrap().visit_results(second.run(), &mut |it| ends.push(it)).unwrap();
    let end = |number, text: &str| RangeEnd { number, files: 10, result: Some(text.into()) };
    assert_eq!(ends, [end(0, "a"), end(1, "b"), end(2, "c")]);
    second.finish(&closing.lease, &result("all")).unwrap();
    assert_eq!((first.claim().unwrap(), second.claim().unwrap()), (Next::Done, Next::Done));
    assert_eq!(one.shared_runs().unwrap().total(first.run()).unwrap().as_deref(), Some("all"));
    assert_eq!(one.shared_runs().unwrap().shared_status(&here()).unwrap(), []);
}

pub(crate) fn who_lost_a_range_records_nothing(bench: &dyn Bench) {
    let (one, two) = (bench.migrated(), bench.open());
    let (slow, quick) = (join(&*one, "slow"), join(&*two, "quick"));
    plan(&*one, &*slow, 1);
    let lost = claim(&*slow);
    let behind = one.shared_runs().unwrap().fenced(&lost.lease);
    let wishes = [wish(1, ObjectRole::Main, 1, main_key(1))];
    assert_eq!(behind.reserve(&here(), &wishes).unwrap().len(), 1);
    silence(bench, "slow");
    let taken = claim(&*quick);
    assert_eq!((taken.lease.number, taken.lease.token), (0, 2));
    is_lost(behind.reserve(&here(), &[wish(2, ObjectRole::Main, 1, main_key(2))]));
    is_lost(behind.mark_gone(&here(), &[]));
    is_lost(slow.finish(&lost.lease, &result("late")));
    assert!(!slow.give_back(&lost.lease, true).unwrap());
    // A finished range stays what it is, whoever is late.
    quick.finish(&taken.lease, &result("right")).unwrap();
    is_lost(slow.finish(&lost.lease, &result("late")));
    silence(bench, "quick");
    assert_eq!(claim(&*slow).lease.phase, Phase::Close);
    assert_eq!(bench.rows("SELECT result FROM backup_range WHERE phase = 1"), ["right"]);
    assert_eq!(bench.rows("SELECT count(*) FROM backup_copy"), ["1"]);
}

pub(crate) fn what_kills_hosts_is_set_aside(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let host = join(&*ledger, "one");
    plan(&*ledger, &*host, 2);
    let mut claimed = claim(&*host);
    for death in 1..=3 {
        assert_eq!((claimed.lease.number, claimed.lease.token), (0, death));
        assert!(host.give_back(&claimed.lease, true).unwrap());
        claimed = claim(&*host);
    }
    // What is behind it goes on.
    assert_eq!(claimed.lease.number, 1);
    host.finish(&claimed.lease, &result("b")).unwrap();
    assert_eq!(claim(&*host).lease.phase, Phase::Close);
    let mut ends = Vec::new();
    ledger.shared_runs().unwrap().visit_results(host.run(), &mut |it| ends.push(it.result)).unwrap();
    assert_eq!(ends, [None, Some("b".into())]);
}

pub(crate) fn a_dead_planner_s_plan_is_made_anew(bench: &dyn Bench) {
    let (one, two) = (bench.migrated(), bench.open());
    let (dead, alive) = (join(&*one, "dead"), join(&*two, "alive"));
    let half = claim(&*dead);
    let range = |number| WorkRange { number, files: 1, work: vec![1] };
    one.shared_runs().unwrap().add_ranges(&half.lease, &[range(0), range(1), range(2)]).unwrap();
    silence(bench, "dead");
    plan(&*two, &*alive, 1);
    is_lost(one.shared_runs().unwrap().add_ranges(&half.lease, &[range(5)]));
    is_lost(one.shared_runs().unwrap().clear_plan(&half.lease));
    assert_eq!(claim(&*alive).files, 10);
    assert_eq!(bench.rows("SELECT count(*) FROM backup_range WHERE phase = 1"), ["1"]);
}

pub(crate) fn a_plan_that_kills_hosts_ends_the_run(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let host = join(&*ledger, "one");
    for _ in 0..3 {
        assert!(host.give_back(&claim(&*host).lease, true).unwrap());
    }
    assert_eq!(host.claim().unwrap(), Next::GivenUp);
    assert_eq!(ledger.shared_runs().unwrap().shared_status(&here()).unwrap(), []);
}

pub(crate) fn an_answer_that_was_lost_leaves_no_range_behind(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let host = join(&*ledger, "one");
    plan(&*ledger, &*host, 1);
    // The claim was done, and its answer never came.
    bench.execute("UPDATE backup_range SET state = 'claimed', worker = 'one', token = 1 WHERE phase = 1");
    bench.execute("UPDATE backup_shared SET phase = 1");
    assert_eq!(claim(&*host).lease.token, 2);
}

pub(crate) fn a_pruned_host_s_range_comes_back(bench: &dyn Bench) {
    let (one, two) = (bench.migrated(), bench.open());
    let (dead, alive) = (join(&*one, "dead"), join(&*two, "alive"));
    plan(&*one, &*dead, 1);
    claim(&*dead);
    bench.execute("DELETE FROM backup_worker WHERE id = 'dead'");
    assert_eq!(claim(&*alive).lease.token, 2);
}

pub(crate) fn a_destination_is_shared_or_had_alone(bench: &dyn Bench) {
    let (one, two) = (bench.migrated(), bench.open());
    let alone = one.lock(&here(), &holder("alone")).unwrap();
    let refused = |done: Result<(), LedgerError>| match done.unwrap_err() {
        LedgerError::Locked { holder, .. } => holder.run.0,
        other => panic!("{}", told(&other)),
    };
    assert_eq!(refused(two.shared_runs().unwrap().join(&joining("late")).map(drop)), "alone");
    drop(alone);
    let (first, second) = (join(&*one, "one"), join(&*two, "two"));
    drop(first);
    assert_eq!(refused(one.lock(&here(), &holder("alone")).map(drop)), "one");
    assert!(second.lock().is_held());
    let other = Joining { parameters: "{\"rerun\":true}".into(), ..joining("three") };
    let error = one.shared_runs().unwrap().join(&other).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::OtherParameters { .. }), "{}", told(&error));
    // All have left before its end: whoever is the next begins anew, alone or not.
    drop(second);
    let third = join(&*one, "three");
    assert_eq!(third.run().run.0, "three");
    drop(third);
    drop(one.lock(&here(), &holder("alone")).unwrap());
    assert_eq!(one.shared_runs().unwrap().shared_status(&here()).unwrap(), []);
}

pub(crate) fn a_host_that_lost_its_connection_comes_back(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let shared = ledger.shared_runs().unwrap();
    let host = shared.join(&Joining { lease: Duration::from_millis(1200), ..joining("one") }).unwrap();
    let seen = || bench.rows("SELECT seen::text FROM backup_worker");
    bench.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let before = seen();
    while seen() == before {
        std::thread::yield_now();
    }
    assert!(host.is_over().is_none());
    assert!(matches!(bench.open().lock(&here(), &holder("alone")).map(drop), Err(LedgerError::Locked { .. })));
    // Somebody gave it up meanwhile.
    bench.execute("UPDATE backup_shared SET phase = 4");
    while host.is_over().is_none() {
        std::thread::yield_now();
    }
    assert!(!host.lock().is_held());
    assert_eq!(host.claim().unwrap(), Next::GivenUp);
}

pub(crate) fn what_a_host_staged_is_swept_when_it_has_left(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let (one, two) = (join(&*ledger, "one"), join(&*ledger, "two"));
    let knows = |id: &str| ledger.knows_run(&here(), &RunId(id.into())).unwrap();
    assert!(!knows("two"));
    plan(&*ledger, &*one, 1);
    let range = claim(&*two);
    silence(bench, "two");
    assert!(!knows("two"), "it may still stage");
    // Its range was given to another one: what it stages is worth nothing.
    assert_eq!(claim(&*one).lease.number, range.lease.number);
    assert!(knows("two"));
    bench.execute("UPDATE backup_worker SET seen = now() WHERE id = 'two'");
    // The first host has the run's name, and the run is on record.
    ledger.begin_run(&a_run("one", "2026-01-02T03:04:05.000Z")).unwrap();
    assert!(!knows("one"), "it stages under the name of the run");
    drop(one);
    assert!(knows("one") && !knows("two"));
    bench.execute("UPDATE backup_shared SET phase = 4");
    assert!(knows("two"));
    drop(two);
}

pub(crate) fn an_audit_is_shared_beside_what_has_the_destination(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let shared = ledger.shared_runs().unwrap();
    let audit = |id: &str| Joining { command: "audit", beside: true, ..joining(id) };
    let (first, run) = (shared.join(&audit("first")).unwrap(), join(&*ledger, "run"));
    plan(&*ledger, &*first, 1);
    plan(&*ledger, &*run, 1);
    let second = shared.join(&audit("second")).unwrap();
    assert_eq!(second.run(), first.run());
    let commands: Vec<String> = shared.shared_status(&here()).unwrap().into_iter().map(|it| it.command).collect();
    assert_eq!(commands, ["audit", "run"]);
    // Who has the destination alone gives up what had it before, and touches no audit.
    drop(run);
    drop(ledger.lock(&here(), &holder("alone")).unwrap());
    let done = claim(&*second);
    second.finish(&done.lease, &result("a")).unwrap();
    let closing = claim(&*first);
    assert_eq!(closing.lease.phase, Phase::Close);
    first.finish(&closing.lease, &result("all")).unwrap();
    assert_eq!((first.claim().unwrap(), second.claim().unwrap()), (Next::Done, Next::Done));
}

pub(crate) fn hosts_that_ask_at_once_all_get_work(bench: &dyn Bench) {
    const HOSTS: i32 = 8;
    bench.migrated();
    for round in 0..10 {
        let ledgers: Vec<_> = (0..HOSTS).map(|_| bench.open()).collect();
        let all: Vec<_> = ledgers.iter().enumerate().map(|(n, it)| join(&**it, &format!("{round}-{n}"))).collect();
        plan(&*ledgers[0], &*all[0], HOSTS);
        let start = std::sync::Barrier::new(all.len());
        std::thread::scope(|scope| {
            let claims: Vec<_> = all
                .iter()
                .map(|host| {
                    scope.spawn(|| {
                        start.wait();
                        loop {
                            // Another one has just brought the run to its work.
                            match host.claim().unwrap_or_else(|it| panic!("{}", told(&it))) {
                                Next::Wait(Phase::Plan | Phase::Work) => {}
                                next => return next,
                            }
                        }
                    })
                })
                .collect();
            for claimed in claims {
                let next = claimed.join().unwrap();
                assert!(matches!(&next, Next::Claimed(it) if it.lease.phase == Phase::Work), "{round}: {next:?}");
            }
        });
    }
}
