//! Measures what several hosts share, with a PostgreSQL that is given: `docs/benchmark/hosts.sh` calls it.
//!
//! `share_hosts claims PORT LEDGER RANGES HOSTS` plans ranges, waits for a line, and lets hosts claim and finish them, and
//! nothing else.
//! `share_hosts scaling PORT LEDGER CATALOGUE FOLDER FILES HOSTS MS` makes files, and lets hosts with one worker each copy them
//! to a destination that answers for each file after so long and is otherwise free. The databases are empty at first.
#![allow(clippy::print_stdout, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dvb_catalog::PostgresCatalog;
use dvb_engine::{
    Access, CancelToken, ExitStatus, NullObserver, Options, Overrides, Selection, Setup, Store, Stores, new_run_id,
    run_shared,
};
use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore};
use dvb_ledger::{Agent, Joining, Ledger, Next, Phase, PostgresLedger, RangeResult, SharedRuns as _, WorkRange};
use dvb_model::{DestinationName, DriverId, ObjectKey, RunId, StoreKind};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_storage::{
    CommitRequest, Demand, Existing, Listed, Listing, Sink, SinkError, SinkSession, StageRequest, Staged, Unstaged,
};
use dvb_testkit::dataverse::bulk_write;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

const LEASE: Duration = Duration::from_secs(45);
const PER_DATASET: u64 = 100;

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["claims", port, ledger, ranges, hosts] => claims(port.parse()?, ledger, ranges.parse()?, hosts.parse()?),
        ["scaling", port, ledger, catalogue, folder, files, hosts, ms] => {
            bulk_write(Path::new(folder), files.parse()?, PER_DATASET);
            let databases = (port.parse()?, *ledger, *catalogue);
            scaling(databases, Path::new(folder), hosts.parse()?, Duration::from_millis(ms.parse()?))
        }
        _ => Err("share_hosts claims … | scaling …: see the first lines of the program".into()),
    }
}

fn target(port: u16, database: &str) -> PostgresTarget {
    PostgresTarget {
        host: "127.0.0.1".into(),
        port,
        database: database.into(),
        username: "postgres".into(),
        password: None,
        ssl_mode: SslMode::Disable,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

fn destination() -> DestinationName {
    DestinationName("default".into())
}

fn joining(host: usize) -> Joining {
    Joining {
        command: "run",
        destination: destination(),
        beside: false,
        id: RunId(format!("host-{host}")),
        host: format!("h{host}"),
        pid: std::process::id(),
        parameters: "{}".into(),
        lease: LEASE,
    }
}

/// As many ranges as are asked for, each with what a range of 256 data files takes, claimed and finished as fast as can be.
fn claims(port: u16, database: &str, ranges: i32, hosts: usize) -> Done<()> {
    let first = PostgresLedger::open(target(port, database), 2)?;
    first.migrate()?;
    let planner = first.join(&joining(0))?;
    let Next::Claimed(plan) = planner.claim()? else { return Err("somebody else plans".into()) };
    first.clear_plan(&plan.lease)?;
    let work = vec![7; 12_000];
    for page in (0..ranges).collect::<Vec<_>>().chunks(300) {
        let page: Vec<WorkRange> =
            page.iter().map(|&number| WorkRange { number, files: 256, work: work.clone() }).collect();
        first.add_ranges(&plan.lease, &page)?;
    }
    planner.finish(&plan.lease, &RangeResult { text: "{}".into(), ..RangeResult::default() })?;
    println!("planned");
    std::io::stdin().read_line(&mut String::new())?;
    let began = Instant::now();
    let done: Vec<Done<u64>> = thread::scope(|scope| {
        let all: Vec<_> = (1..=hosts).map(|host| scope.spawn(move || claim_all(port, database, host))).collect();
        all.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a host broke down".into()))).collect()
    });
    let took = began.elapsed().as_secs_f64();
    let claimed = done.into_iter().sum::<Done<u64>>()?;
    println!("{hosts} hosts, {claimed} ranges claimed and finished in {took:.1} s: {:.0}/s", claimed as f64 / took);
    Ok(())
}

fn claim_all(port: u16, database: &str, host: usize) -> Done<u64> {
    let ledger = PostgresLedger::open(target(port, database), 2)?;
    let presence = ledger.join(&joining(host))?;
    let mut claimed = 0;
    // What of the plan was not seen to be over yet is over in a moment.
    loop {
        match presence.claim()? {
            Next::Claimed(it) if it.lease.phase == Phase::Work => {
                // As much as a range that went well leaves.
                let text = "x".repeat(600);
                presence.finish(&it.lease, &RangeResult { text, files: it.files, bytes: 1 })?;
                claimed += 1;
            }
            Next::Claimed(it) => {
                presence.give_back(&it.lease, false)?;
                return Ok(claimed);
            }
            Next::Wait(Phase::Plan | Phase::Work) => thread::sleep(Duration::from_millis(5)),
            Next::Wait(Phase::Close) | Next::Done | Next::GivenUp => return Ok(claimed),
        }
    }
}

/// One run by so many hosts, each a thread with all that a process has.
fn scaling((port, ledger, catalogue): (u16, &str, &str), folder: &Path, hosts: usize, answer: Duration) -> Done<()> {
    PostgresLedger::open(target(port, ledger), 1)?.migrate()?;
    let work = tempfile::tempdir()?;
    let began = Instant::now();
    let done: Vec<Done<u64>> = thread::scope(|scope| {
        let one = |host| {
            let copies = work.path().join("copies");
            move || one_host((port, ledger, catalogue), folder, &copies, host, answer)
        };
        let all: Vec<_> = (1..=hosts).map(|host| scope.spawn(one(host))).collect();
        all.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a host broke down".into()))).collect()
    });
    let took = began.elapsed().as_secs_f64();
    let files = done.into_iter().sum::<Done<u64>>()?;
    println!("{hosts} hosts, {files} files in {took:.1} s: {:.1}/s", files as f64 / took);
    Ok(())
}

fn one_host(
    (port, ledger, catalogue): (u16, &str, &str),
    folder: &Path,
    copies: &Path,
    host: usize,
    answer: Duration,
) -> Done<u64> {
    let source = FileStore::open(folder)?;
    let file = Store { kind: StoreKind::File, access: Access::Readable(Arc::new(source)) };
    let stores = Stores { default: DriverId("file".into()), by_id: BTreeMap::from([(DriverId("file".into()), file)]) };
    let inner = DirectorySink::new(DirectorySinkConfig { root: copies.to_owned(), demand: Demand::Auto });
    let setup = Setup {
        catalog: &PostgresCatalog::new(target(port, catalogue)),
        stores: &stores,
        ledger: &PostgresLedger::open(target(port, ledger), 3)?,
        destination: &destination(),
        sink: &Slow { inner, answer },
        observer: &NullObserver,
        stop: &CancelToken::new(),
    };
    let options = Options {
        run: new_run_id(),
        agent: Agent { user: "backup".into(), host: format!("h{host}"), program: "0".into() },
        selection: Selection::default(),
        rerun: false,
        dry_run: false,
        limit: None,
        jobs: 1,
        time_budget: None,
        verify_every: None,
        audit_every: None,
        presence_check: None,
        bandwidth_limit: None,
        auxiliary_objects: true,
        cached_exports: false,
        max_disappearance: 0.05,
        max_change: 0.05,
        overrides: Overrides::default(),
        spool_folder: std::env::temp_dir(),
    };
    let done = run_shared(&setup, &options, LEASE)?;
    match done.summary.ending {
        ExitStatus::Safe => Ok(done.share.files),
        _ => Err(format!("{:?}", done.summary.aborted).into()),
    }
}

/// A destination that answers for each object after a while, and costs nothing else.
struct Slow {
    inner: DirectorySink,
    answer: Duration,
}

struct SlowSession {
    inner: Box<dyn SinkSession>,
    answer: Duration,
}

impl Sink for Slow {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn method(&self) -> &'static str {
        self.inner.method()
    }

    fn make(&self) -> Result<(), SinkError> {
        self.inner.make()
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        thread::sleep(self.answer);
        Ok(Box::new(SlowSession { inner: self.inner.connect(run)?, answer: self.answer }))
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }
}

impl SinkSession for SlowSession {
    fn algorithms(&self) -> &[Algorithm] {
        self.inner.algorithms()
    }

    fn evidence(&self) -> Evidence {
        self.inner.evidence()
    }

    fn root(&self) -> Option<String> {
        self.inner.root()
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        thread::sleep(self.answer * u32::try_from(batch.len()).unwrap_or(u32::MAX));
        self.inner.stage(batch)
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        self.inner.commit(batch)
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        self.inner.discard(batch)
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        thread::sleep(self.answer);
        self.inner.stat(keys)
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.inner.measure(keys, wanted)
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        self.inner.rename(from, to)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        self.inner.open(key)
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        self.inner.list(which, visit)
    }

    fn list_own(&mut self, prefix: &str) -> Result<Vec<String>, SinkError> {
        self.inner.list_own(prefix)
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        self.inner.remove_own(key)
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        self.inner.sweep(is_dead)
    }
}
