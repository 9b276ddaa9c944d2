//! The ledger in a file: no server, one host.

mod aggregate;
mod check;
mod claim;
mod event;
mod history;
mod holdings;
mod incident;
mod installation;
mod lock;
mod migrate;
mod open;
mod purge;
mod read;
mod retention;
mod source;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dvb_fixity::Digest;
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId, Status};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::event::PAGE;
use crate::pages::Pages;
use crate::trace;
use crate::{
    Acknowledgement, Aggregates, AuditDay, Audited, Candidate, Check, Claim, Claims, CopiesOfMonth, CopyRecord,
    Custody, EntryKind, Event, EventEnd, FilesByCopies, Finding, History, Hold, Holder, Holding, Identity, Incident,
    Incidents, Keys, Ledger, LedgerCopy, LedgerError, Lock, LockedCopy, Mending, Migration, ObjectSize, ProofDay,
    Proofs, Purge, PurgeState, PurgeTarget, Purges, Record, Reservation, Retention, Retentions, Run, RunLog,
    RunSummary, Signed, SourceChecks, SourceDamage, State, StateDetail, Tombstone, UnprovedCopies, Verdicts,
};

/// The backup database as an `SQLite` file: one writer, readers beside it, and what is recorded survives a loss of power.
///
/// The file is made by [`Ledger::migrate`], readable by its owner alone, with its folder where that is missing. It must
/// lie on a local file system.
pub struct SqliteLedger {
    path: PathBuf,
    writer: Mutex<Option<Connection>>,
    idle_readers: Mutex<Vec<Connection>>,
    /// The folder for temporary files that it is in, where it is made for one command.
    temporary: Option<PathBuf>,
}

/// What goes wrong inside, before it is known which file and which attempt it was.
enum Fault {
    Sql(rusqlite::Error),
    Ledger(LedgerError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl SqliteLedger {
    /// The ledger in this file; nothing is opened or made yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writer: Mutex::default(), idle_readers: Mutex::default(), temporary: None }
    }

    /// A ledger in this file for one command, somewhere below `folder`, a folder for temporary files: where that is full, the
    /// error says so.
    #[must_use]
    pub fn temporary(path: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self { temporary: Some(folder.into()), ..Self::new(path) }
    }

    /// Path of the file, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of a temporary ledger, it is the folder that is full.
    fn of_folder<T>(&self, done: Result<T, LedgerError>) -> Result<T, LedgerError> {
        done.map_err(|error| match (error, &self.temporary) {
            (LedgerError::Full { source, .. }, Some(folder)) => {
                LedgerError::TemporaryFull { folder: folder.display().to_string(), source }
            }
            (other, _) => other,
        })
    }

    fn write<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.of_folder(self.write_there(what, work))
    }

    fn write_there<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        trace::transaction(what, || {
            let mut writer = unpoisoned(&self.writer);
            let connection = match writer.take() {
                Some(it) => writer.insert(it),
                None => writer.insert(open::existing(&self.path)?),
            };
            // Dropped without a commit, the transaction rolls back.
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|it| open::error(&self.path, what, it))?;
            let done = work(&transaction).map_err(|it| self.error(what, it))?;
            transaction.commit().map_err(|it| open::error(&self.path, what, it))?;
            Ok(done)
        })
    }

    fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.of_folder(self.read_there(what, work))
    }

    fn read_there<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        trace::transaction(what, || {
            let idle = unpoisoned(&self.idle_readers).pop();
            let mut reader = match idle {
                Some(it) => it,
                None => open::reader(&self.path)?,
            };
            let done = reader.transaction().map_err(Fault::from).and_then(|it| work(&it));
            let done = done.map_err(|it| self.error(what, it))?;
            unpoisoned(&self.idle_readers).push(reader);
            Ok(done)
        })
    }

    fn error(&self, what: &'static str, fault: Fault) -> LedgerError {
        match fault {
            Fault::Sql(error) => open::error(&self.path, what, error),
            Fault::Ledger(error) => error,
        }
    }
}

/// The connections are whole even where a thread panicked: its transaction was rolled back.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger for SqliteLedger {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn migrate(&self) -> Result<Migration, LedgerError> {
        self.of_folder(migrate::migrate(&self.path))
    }
}

impl SqliteLedger {
    fn take_lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError> {
        self.read("look up the destination", |_| Ok(()))?;
        Ok(Box::new(self.of_folder(lock::FileLock::take(&self.path, destination, holder))?))
    }

    /// Pages that rows have left keep their bytes, and so does the write-ahead log.
    fn write_anew(&self) -> Result<Option<String>, LedgerError> {
        let what = "write its file anew";
        trace::transaction(what, || {
            let mut writer = unpoisoned(&self.writer);
            unpoisoned(&self.idle_readers).clear();
            let connection = match writer.take() {
                Some(it) => writer.insert(it),
                None => writer.insert(open::existing(&self.path)?),
            };
            let is_read_elsewhere = connection.execute_batch("VACUUM").and_then(|()| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
            });
            match is_read_elsewhere {
                Ok(false) => Ok(None),
                Ok(true) => {
                    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                    Err(open::error(&self.path, what, rusqlite::Error::SqliteFailure(busy, None)))
                }
                Err(error) => Err(open::error(&self.path, what, error)),
            }
        })
    }

    fn take_unfounded_away(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError> {
        // A look that changes nothing waits for no other writer.
        if !self.read("look for verdicts without copies", |it| check::has_unfounded(it, destination))? {
            return Ok(0);
        }
        self.write("take back verdicts without copies", |it| check::distrust(it, destination, run))
    }
}

crate::delegate::delegate!(SqliteLedger, read: read, write: write);
