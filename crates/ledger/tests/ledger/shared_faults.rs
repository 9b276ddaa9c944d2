//! A host that shares a run loses its connection at its n-th statement, for every n: the others finish, and nothing counts twice.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dvb_ledger::{Claimed, Joining, Lease, Ledger, LedgerError, Next, Phase, Presence, RangeResult, WorkRange};
use dvb_model::ObjectRole;
use dvb_testkit::pgfault::{Fault, Moment, StatementProxy};
use postgres::Client;

use crate::Bench as _;
use crate::made::{here, main_key, wish};
use crate::postgres::OnServer;
use crate::shared::{join, joining};
use crate::told;

/// Ranges of work in each run, and data files in each.
const RANGES: i32 = 3;
const FILES: u64 = 10;

/// How often it is looked whether something has happened.
const TICK: Duration = Duration::from_millis(2);

/// What is lost, and whether for good: a host that is cut off once, and one that is heard of no more.
const FAULTS: [(Moment, bool); 2] = [(Moment::After, false), (Moment::Before, true)];

type Done = Result<(), LedgerError>;

/// A ledger with a host whose connections can be lost, and one whose cannot.
struct Stage {
    bench: OnServer,
    proxy: StatementProxy,
    good: Box<dyn Ledger>,
    bad: Box<dyn Ledger>,
    /// For a look at the tables.
    client: Mutex<Client>,
    /// Hosts that give no sign; they take their leave when all is over.
    dead: Mutex<Vec<Box<dyn Presence>>>,
}

impl Stage {
    fn new() -> Self {
        let bench = OnServer::new();
        let good = bench.migrated();
        let proxy = StatementProxy::start(bench.database.port);
        let bad = bench.open_through(proxy.port);
        let client = Mutex::new(bench.client());
        Self { bench, proxy, good, bad, client, dead: Mutex::default() }
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        OnServer::rows_of(&mut self.client.lock().unwrap(), sql)
    }

    /// Nobody has begun anything.
    fn clear(&self) {
        self.dead.lock().unwrap().clear();
        self.rows("DELETE FROM backup_worker; DELETE FROM backup_shared; DELETE FROM backup_copy");
        self.proxy.heal();
    }

    fn silence(&self, host: &str) {
        self.rows(&format!("UPDATE backup_worker SET seen = now() - interval '1 day' WHERE id = '{host}'"));
    }

    fn result(number: i32) -> RangeResult {
        RangeResult { text: number.to_string(), files: FILES, bytes: 100 }
    }

    fn plan(ledger: &dyn Ledger, host: &dyn Presence, lease: &Lease) -> Done {
        let shared = ledger.shared_runs().unwrap();
        shared.clear_plan(lease)?;
        let range = |number| WorkRange { number, files: FILES, work: vec![7; 9] };
        shared.add_ranges(lease, &[range(0), range(1)])?;
        shared.add_ranges(lease, &[range(2)])?;
        host.finish(lease, &RangeResult { text: "the plan".into(), ..RangeResult::default() })
    }

    /// Whatever a claim brought, done to its end.
    fn carry(ledger: &dyn Ledger, host: &dyn Presence, claimed: &Claimed) -> Done {
        let lease = &claimed.lease;
        match lease.phase {
            Phase::Plan => Self::plan(ledger, host, lease),
            Phase::Work => {
                let id = i64::from(lease.number) + 1;
                ledger
                    .shared_runs()
                    .unwrap()
                    .fenced(lease)
                    .reserve(&here(), &[wish(id, ObjectRole::Main, 1, main_key(id))])?;
                host.finish(lease, &Self::result(lease.number))
            }
            Phase::Close => {
                let mut all = Vec::new();
                ledger.shared_runs().unwrap().visit_results(host.run(), &mut |it| all.extend(it.result))?;
                host.finish(lease, &RangeResult { text: all.join(","), ..RangeResult::default() })
            }
        }
    }

    /// One turn of a host's loop. What went wrong on its way is given back, as a host does.
    fn turn(ledger: &dyn Ledger, host: &dyn Presence) -> Result<bool, LedgerError> {
        match host.claim()? {
            Next::Claimed(it) => match Self::carry(ledger, host, &it) {
                Ok(()) | Err(LedgerError::LostLease { .. }) => Ok(false),
                Err(error) => {
                    drop(host.give_back(&it.lease, false));
                    Err(error)
                }
            },
            Next::Wait(_) => Ok(false),
            Next::Done => Ok(true),
            Next::GivenUp => panic!("given up"),
        }
    }

    /// Where connections are lost for good, nobody waits for what never comes.
    fn strike(&self, fault: Fault, host: &Arc<dyn Ledger>) {
        let host = Arc::clone(host);
        self.proxy.strike(fault, move || {
            if fault.for_good {
                host.interrupt();
            }
        });
    }

    /// So many turns of the host that loses nothing: the first one plans, and the others do a range each.
    fn turns(&self, host: &dyn Presence, turns: i32) {
        for _ in 0..turns {
            assert!(!Self::turn(&*self.good, host).unwrap_or_else(|it| panic!("{}", told(&it))));
        }
    }

    /// Loses the connections of one host at each of the statements of `act`, one after the other. `before` brings the run to
    /// where `act` begins.
    fn at_each_statement(
        &self,
        before: impl Fn(&Self, &dyn Presence, &dyn Presence),
        act: impl Fn(&dyn Ledger, &dyn Presence) -> Done,
    ) {
        let mut bad: Arc<dyn Ledger> = self.bench.open_through(self.proxy.port).into();
        for (moment, for_good) in FAULTS {
            for statement in 1.. {
                self.clear();
                let (safe, struck) = (join(&*self.good, "safe"), join(&*bad, "struck"));
                before(self, &*safe, &*struck);
                self.strike(Fault { statement, moment, for_good }, &bad);
                let done = act(&*bad, &*struck);
                let has_struck = self.proxy.has_struck();
                let case = format!("{moment:?} {statement}, for good: {for_good}");
                if !has_struck {
                    done.unwrap_or_else(|it| panic!("{case}: {}", told(&it)));
                }
                if for_good && has_struck {
                    self.silence("struck");
                } else {
                    // It lost its connection, and goes on by another one.
                    while !Self::turn(&*bad, &*struck).unwrap_or(false)
                        && !Self::turn(&*self.good, &*safe).unwrap_or_else(|it| panic!("{case}: {}", told(&it)))
                    {
                    }
                }
                while !Self::turn(&*self.good, &*safe).unwrap_or_else(|it| panic!("{case}: {}", told(&it))) {}
                self.expect_whole(&*safe, &case);
                drop(struck);
                if for_good {
                    // It was told to wait for nothing.
                    self.proxy.heal();
                    bad = self.bench.open_through(self.proxy.port).into();
                }
                if !has_struck {
                    assert!(statement > 1, "nothing was lost");
                    break;
                }
            }
        }
    }

    fn expect_whole(&self, host: &dyn Presence, case: &str) {
        let total = self.good.shared_runs().unwrap().total(host.run()).unwrap();
        assert_eq!(total.as_deref(), Some("0,1,2"), "{case}");
        let rows = |sql: &str| self.rows(sql);
        assert_eq!(rows("SELECT phase FROM backup_shared"), ["3"], "{case}");
        assert_eq!(rows("SELECT count(*) FROM backup_range WHERE phase = 1"), ["0"], "{case}");
        let done = rows("SELECT sum(ranges), sum(files), sum(bytes) FROM backup_worker");
        assert_eq!(done, [format!("{RANGES}|{}|{}", 30, 300)], "{case}");
        assert_eq!(rows("SELECT count(*) FROM backup_copy"), [RANGES.to_string()], "{case}");
    }
}

fn claimed(host: &dyn Presence) -> Claimed {
    match host.claim().unwrap_or_else(|it| panic!("{}", told(&it))) {
        Next::Claimed(it) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_may_be_lost_at_any_statement() {
    Stage::new().at_each_statement(|_, _, _| {}, |bad, struck| Stage::turn(bad, struck).map(drop));
}

#[test]
fn a_range_may_be_lost_at_any_statement() {
    Stage::new()
        .at_each_statement(|stage, safe, _| stage.turns(safe, 1), |bad, struck| Stage::turn(bad, struck).map(drop));
}

#[test]
fn a_rescue_may_be_lost_at_any_statement() {
    Stage::new().at_each_statement(
        |stage, safe, _| {
            stage.turns(safe, 1);
            // All that there is was claimed by a host that gives no sign.
            let dead = join(&*stage.good, "dead");
            (0..RANGES).for_each(|_| drop(claimed(&*dead)));
            stage.silence("dead");
            stage.dead.lock().unwrap().push(dead);
        },
        |bad, struck| Stage::turn(bad, struck).map(drop),
    );
}

#[test]
fn a_closing_may_be_lost_at_any_statement() {
    Stage::new().at_each_statement(
        |stage, safe, _| stage.turns(safe, 1 + RANGES),
        |bad, struck| Stage::turn(bad, struck).map(drop),
    );
}

#[test]
fn who_joins_may_lose_the_connection_at_any_statement() {
    let stage = Stage::new();
    for (moment, for_good) in FAULTS {
        for statement in 1.. {
            stage.clear();
            let safe = join(&*stage.good, "safe");
            let bad: Arc<dyn Ledger> = stage.bench.open_through(stage.proxy.port).into();
            stage.strike(Fault { statement, moment, for_good }, &bad);
            let joined = bad.shared_runs().unwrap().join(&joining("struck"));
            let has_struck = stage.proxy.has_struck();
            let case = format!("{moment:?} {statement}, for good: {for_good}");
            assert!(joined.is_ok() || has_struck, "{case}");
            stage.silence("struck");
            while !Stage::turn(&*stage.good, &*safe).unwrap_or_else(|it| panic!("{case}: {}", told(&it))) {}
            stage.expect_whole(&*safe, &case);
            if !has_struck {
                break;
            }
        }
    }
}

/// Hosts that give signs of life often enough for a test.
fn lively(id: &str) -> Joining {
    Joining { lease: Duration::from_millis(1500), ..joining(id) }
}

#[test]
fn a_sign_of_life_may_be_lost_at_any_statement() {
    let stage = Stage::new();
    let seen = || stage.rows("SELECT seen::text FROM backup_worker WHERE id = 'struck'");
    for moment in [Moment::Before, Moment::After] {
        // One or two of a sign, and those of a new connection.
        for statement in 1..=6 {
            stage.clear();
            let safe = stage.good.shared_runs().unwrap().join(&lively("safe")).unwrap();
            let struck = stage.bad.shared_runs().unwrap().join(&lively("struck")).unwrap();
            stage.turns(&*safe, 1);
            let range = claimed(&*struck);
            stage.proxy.strike(Fault { statement, moment, for_good: false }, || {});
            while !stage.proxy.has_struck() {
                thread::sleep(TICK);
            }
            let before = seen();
            while seen() == before {
                thread::sleep(TICK);
            }
            assert_eq!(struck.is_over(), None);
            Stage::carry(&*stage.bad, &*struck, &range).unwrap_or_else(|it| panic!("{}", told(&it)));
            while !Stage::turn(&*stage.good, &*safe).unwrap_or_else(|it| panic!("{}", told(&it))) {}
            stage.expect_whole(&*safe, &format!("{moment:?} {statement}"));
        }
    }
}

#[test]
fn who_is_cut_off_loses_its_range_and_goes_on_with_others_when_it_is_back() {
    let stage = Stage::new();
    let safe = stage.good.shared_runs().unwrap().join(&lively("safe")).unwrap();
    let cut = stage.bad.shared_runs().unwrap().join(&lively("cut")).unwrap();
    stage.turns(&*safe, 1);
    let range = claimed(&*cut);
    stage.proxy.shut();
    // It finds out by itself that it may not go on, and the others that they may.
    while cut.lock().is_held() {
        thread::sleep(TICK);
    }
    while stage.rows("SELECT token FROM backup_range WHERE phase = 1 AND number = 0") == ["1"] {
        // All but its own, then its own too.
        stage.turns(&*safe, 1);
    }
    stage.proxy.heal();
    let late = cut.finish(&range.lease, &Stage::result(0)).unwrap_err();
    assert!(matches!(late, LedgerError::LostLease { .. }), "{}", told(&late));
    while !cut.lock().is_held() {
        thread::sleep(TICK);
    }
    while !Stage::turn(&*stage.bad, &*cut).unwrap_or_else(|it| panic!("{}", told(&it)))
        && !Stage::turn(&*stage.good, &*safe).unwrap_or_else(|it| panic!("{}", told(&it)))
    {}
    stage.expect_whole(&*safe, "cut off");
}
