//! The ledger in PostgreSQL: any number of hosts.

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
mod read;
mod source;
mod write;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dvb_fixity::Digest;
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId, Status};
use dvb_pg::{Interrupt, Patience, PostgresTarget};
use postgres::Transaction;

use crate::event::PAGE;
use crate::pages::Pages;
use crate::trace;
use crate::{
    Acknowledgement, Aggregates, AuditDay, Audited, Candidate, Check, Claim, Claims, CopiesOfMonth, CopyRecord,
    Custody, EntryKind, Event, EventEnd, FilesByCopies, Finding, History, Holder, Holding, Identity, Incident,
    Incidents, Keys, Ledger, LedgerCopy, LedgerError, Lock, Mending, Migration, ObjectSize, ProofDay, Proofs, Record,
    Reservation, Run, RunLog, RunSummary, SourceChecks, SourceDamage, State, StateDetail, UnprovedCopies, Verdicts,
};

/// How long the database may say nothing while an answer is waited for.
const SILENCE: Duration = Duration::from_secs(300);

/// The backup database in PostgreSQL, by a pool of connections that are opened when they are needed.
///
/// A transaction whose connection breaks, or that the server gives up for another one, is done once more.
pub struct PostgresLedger {
    target: PostgresTarget,
    patience: Patience,
    pool: dvb_pg::Pool,
    tables_checked: AtomicBool,
}

/// What goes wrong inside, before it is known which database and which attempt it was.
enum Fault {
    Sql(postgres::Error),
    Ledger(LedgerError),
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<LedgerError> for Fault {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl PostgresLedger {
    /// Connects, to tell at once when that fails, and keeps at most `connections` connections (and one more for each lock).
    ///
    /// # Errors
    /// [`LedgerError::Unreachable`].
    pub fn open(target: PostgresTarget, connections: u32) -> Result<Self, LedgerError> {
        Self::open_interruptible(target, connections, Interrupt::new())
    }

    /// The same; whoever has the other end of `interrupt` can end the wait for the first connection too.
    ///
    /// # Errors
    /// [`LedgerError::Unreachable`].
    pub fn open_interruptible(
        target: PostgresTarget,
        connections: u32,
        interrupt: Interrupt,
    ) -> Result<Self, LedgerError> {
        let patience = Patience { silence: SILENCE, interrupt };
        let pool = open::pool(&target, connections, &patience)?;
        Ok(Self { target, patience, pool, tables_checked: AtomicBool::new(false) })
    }

    /// Does `work`, which must be the same done twice, in a transaction.
    fn transact<T>(
        &self,
        what: &'static str,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        trace::transaction(what, || {
            let done = match self.attempt(&work) {
                Err(Fault::Sql(error)) if open::is_worth_another_try(&error) => self.attempt(&work),
                done => done,
            };
            done.map_err(|fault| self.error(what, fault))
        })
    }

    fn attempt<T>(&self, work: &impl Fn(&mut Transaction<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut connection = self.pool.get().map_err(|it| open::no_connection(&self.target, it))?;
        let mut transaction = connection.transaction()?;
        if !self.tables_checked.load(Ordering::Relaxed) {
            migrate::check(&mut transaction, &self.describe())?;
            self.tables_checked.store(true, Ordering::Relaxed);
        }
        let done = work(&mut transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn error(&self, what: &'static str, fault: Fault) -> LedgerError {
        match fault {
            Fault::Sql(error) if dvb_pg::is_connection(&error) => match self.patience.interrupt.cause() {
                Some(cut) => LedgerError::Unreachable { target: self.describe(), source: cut.into() },
                None => open::error(&self.target, what, error),
            },
            Fault::Sql(error) => open::error(&self.target, what, error),
            Fault::Ledger(error) => error,
        }
    }
}

impl Ledger for PostgresLedger {
    fn describe(&self) -> String {
        open::describe(&self.target)
    }

    fn interrupt(&self) {
        self.patience.interrupt.interrupt();
    }

    fn migrate(&self) -> Result<Migration, LedgerError> {
        // To change a table of many rows takes its time.
        let patience = Patience { silence: SILENCE * 12, ..self.patience.clone() };
        let mut connection = open::connect(&self.target, &patience)?;
        migrate::migrate(&mut connection, &self.target).map_err(|it| self.error("make its tables", it))
    }
}

impl PostgresLedger {
    fn take_lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError> {
        self.transact("look up its version", |_| Ok(()))?;
        Ok(Box::new(lock::SessionLock::take(&self.target, &self.patience, destination, holder)?))
    }

    fn take_unfounded_away(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError> {
        self.transact("take back verdicts without copies", |it| check::distrust(it, destination, run))
    }
}

crate::delegate::delegate!(PostgresLedger, read: transact, write: transact);
