//! Other processes: this test binary again, told by its environment what to do.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use dvb_ledger::{Ledger, RunLog as _, SqliteLedger};

use crate::made::{copy_all, here, holder, status_of};

const ADDRESS: &str = "DVB_LEDGER_UNDER_TEST";

pub(crate) struct Child {
    process: std::process::Child,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(name: &str, address: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that the child says with [`say`].
    pub(crate) fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some((_, said)) = line.trim_end().split_once("child says: ") {
                return said.to_owned();
            }
        }
    }

    /// Ends it as kill -9 does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks until there is an answer, for ten seconds at most.
    #[allow(clippy::unused_self)]
    pub(crate) fn until<T>(&self, ask: impl Fn() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer in ten seconds");
            std::thread::yield_now();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(what: &str) {
    println!("child says: {what}");
    std::io::stdout().flush().unwrap();
}

/// The ledger of a child; `None` in the process that runs the tests.
fn ledger() -> Option<Box<dyn Ledger>> {
    let address = std::env::var(ADDRESS).ok()?;
    Some(match address.strip_prefix("sqlite:") {
        Some(path) => Box::new(SqliteLedger::new(path)),
        None => crate::postgres::open(&address),
    })
}

/// A ledger in a file that a child can open.
fn for_a_child(folder: &tempfile::TempDir) -> (SqliteLedger, String) {
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::new(&path);
    ledger.migrate().unwrap();
    (ledger, format!("sqlite:{}", path.display()))
}

/// As a child: holds a lock until it is told to let go. As a test: that a child does so.
#[test]
fn holds_a_lock() {
    let Some(ledger) = ledger() else {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, address) = for_a_child(&folder);
        let mut child = Child::start("child::holds_a_lock", &address);
        assert_eq!(child.line(), "held");
        let refused = ledger.lock(&here(), &holder("test")).map(drop).unwrap_err();
        assert!(refused.to_string().contains(&child.id().to_string()), "{refused}");
        return;
    };
    let lock = ledger.lock(&here(), &holder("child")).unwrap();
    say("held");
    let _ = std::io::stdin().read_line(&mut String::new());
    drop(lock);
}

/// As a child: records one data file after another, and says so. As a test: that what it says is there.
#[test]
fn records_without_end() {
    let Some(ledger) = ledger() else {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, address) = for_a_child(&folder);
        let mut child = Child::start("child::records_without_end", &address);
        assert_eq!(child.line(), "0");
        assert!(status_of(&ledger, 0).is_some());
        return;
    };
    for id in 0.. {
        copy_all(&*ledger, &here(), [id]);
        say(&id.to_string());
    }
}
