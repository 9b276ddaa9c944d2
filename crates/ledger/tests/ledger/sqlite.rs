//! The ledger in a file.

use std::os::unix::fs::PermissionsExt;

use dvb_ledger::{EntryKind, Ledger, LedgerError, SqliteLedger};
use dvb_model::Status;
use rusqlite::types::Value;

use crate::made::here;
use crate::{Bench, child::Child};

struct InFile {
    folder: tempfile::TempDir,
}

impl InFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("state/dataverse-backup/ledger.db")
    }

    fn connection(&self) -> rusqlite::Connection {
        std::fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

impl Bench for InFile {
    fn open(&self) -> Box<dyn Ledger> {
        Box::new(SqliteLedger::new(self.path()))
    }

    fn execute(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        let connection = self.connection();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>, n| match row.get(n).unwrap() {
            Value::Text(it) => it,
            Value::Null => "-".into(),
            other => format!("{other:?}"),
        };
        let rows = statement
            .query_map([], |row| Ok((0..columns).map(|n| text(row, n)).collect::<Vec<_>>().join("|")))
            .unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn address(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }
}

crate::suite!(InFile::new());

#[test]
fn the_file_is_its_owner_s_alone() {
    let bench = InFile::new();
    let ledger = bench.migrated();
    let _lock = ledger.lock(&here(), &crate::made::holder("r")).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(bench.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 2);
    let folder = bench.path().parent().unwrap().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(folder, 0o700);
}

#[test]
fn asking_makes_no_file() {
    let bench = InFile::new();
    let ledger = bench.open();
    assert!(matches!(ledger.counts(&here()), Err(LedgerError::NotMigrated { .. })));
    assert!(matches!(ledger.lock(&here(), &crate::made::holder("r")), Err(LedgerError::NotMigrated { .. })));
    assert!(!bench.path().exists());
}

#[test]
fn a_file_that_is_no_ledger_is_refused() {
    let bench = InFile::new();
    std::fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    std::fs::write(bench.path(), "not a database, but long enough to look like the header of one ".repeat(20)).unwrap();
    assert!(matches!(bench.open().migrate(), Err(LedgerError::Corrupt { .. })));
    assert!(matches!(bench.open().counts(&here()), Err(LedgerError::Corrupt { .. })));
}

#[test]
fn what_was_recorded_survives_the_end_of_the_process() {
    let bench = InFile::new();
    bench.migrated();
    let mut child = Child::start("child::records_without_end", &bench.address());
    let mut last = 0;
    while last < 50 {
        last = child.line().parse().unwrap();
    }
    child.kill();
    let ledger = bench.open();
    let states: Vec<_> = ledger.states(&here(), EntryKind::DataFile).map(Result::unwrap).collect();
    assert!(states.len() > last, "{} of {last}", states.len());
    assert!(states.iter().all(|it| it.status == Status::Ok));
    let mode = bench.rows("PRAGMA journal_mode");
    assert_eq!(mode, ["wal"]);
}

#[test]
fn a_removed_lock_file_is_noticed() {
    let bench = InFile::new();
    let ledger = bench.migrated();
    let lock = ledger.lock(&here(), &crate::made::holder("r")).unwrap();
    std::fs::remove_file(format!("{}.lock-default", bench.path().display())).unwrap();
    assert!(!lock.is_held());
}
