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
mod presence;
mod purge;
mod read;
mod retention;
mod shared;
mod source;
mod write;

use std::collections::HashSet;
use std::sync::Arc;
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
    Custody, EntryKind, Event, EventEnd, FilesByCopies, Finding, History, Hold, Holder, Holding, Identity, Incident,
    Incidents, Joining, Keys, Lease, Ledger, LedgerCopy, LedgerError, Lock, LockedCopy, Mending, Migration, ObjectSize,
    Presence, ProofDay, Proofs, Purge, PurgeState, PurgeTarget, Purges, RangeEnd, Record, Reservation, Retention,
    Retentions, Run, RunLog, RunSummary, SharedRun, SharedRuns, SharedStatus, Signed, SourceChecks, SourceDamage,
    State, StateDetail, Tombstone, UnprovedCopies, Verdicts, WorkRange,
};

/// How long the database may say nothing while an answer is waited for.
const SILENCE: Duration = Duration::from_secs(300);

/// The backup database in PostgreSQL, by a pool of connections that are opened when they are needed.
///
/// A transaction whose connection breaks, or that the server gives up for another one, is done once more.
pub struct PostgresLedger {
    target: PostgresTarget,
    patience: Patience,
    pool: Arc<dvb_pg::Pool>,
    tables_checked: Arc<AtomicBool>,
    /// Nothing is changed but while this is held.
    fence: Option<Lease>,
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
        Ok(Self { target, patience, pool: Arc::new(pool), tables_checked: Arc::default(), fence: None })
    }

    /// By the same connections, for changes that need this lease.
    fn behind(&self, fence: Option<Lease>) -> Self {
        let Self { target, patience, pool, tables_checked, .. } = self;
        Self {
            target: target.clone(),
            patience: patience.clone(),
            pool: Arc::clone(pool),
            tables_checked: Arc::clone(tables_checked),
            fence,
        }
    }

    /// The same for what changes something: behind the fence, if there is one.
    fn change<T>(
        &self,
        what: &'static str,
        work: impl Fn(&mut Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.transact(what, |db| {
            if let Some(lease) = &self.fence {
                shared::fence(db, lease)?;
            }
            work(db)
        })
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

    fn shared_runs(&self) -> Option<&dyn SharedRuns> {
        Some(self)
    }
}

impl SharedRuns for PostgresLedger {
    fn join(&self, joining: &Joining) -> Result<Box<dyn Presence>, LedgerError> {
        self.transact("look up its version", |_| Ok(()))?;
        Ok(Box::new(presence::HostPresence::join(self.behind(None), joining)?))
    }

    fn fenced(&self, lease: &Lease) -> Box<dyn Ledger> {
        Box::new(self.behind(Some(lease.clone())))
    }

    fn clear_plan(&self, plan: &Lease) -> Result<(), LedgerError> {
        self.behind(Some(plan.clone())).change("clear the plan", |db| shared::clear_plan(db, plan))
    }

    fn add_ranges(&self, plan: &Lease, ranges: &[WorkRange]) -> Result<(), LedgerError> {
        self.behind(Some(plan.clone())).change("record the plan", |db| shared::add_ranges(db, plan, ranges))
    }

    fn plan(&self, run: &SharedRun) -> Result<Option<String>, LedgerError> {
        self.transact("read the plan", |db| shared::plan(db, run))
    }

    fn total(&self, run: &SharedRun) -> Result<Option<String>, LedgerError> {
        self.transact("read what was done", |db| shared::total(db, run))
    }

    fn visit_results(&self, run: &SharedRun, visit: &mut dyn FnMut(RangeEnd)) -> Result<(), LedgerError> {
        let mut after = -1;
        loop {
            let page = self.transact("read what was done", |db| shared::results(db, run, after))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            page.into_iter().for_each(&mut *visit);
        }
    }

    fn shared_status(&self, destination: &DestinationName) -> Result<Vec<SharedStatus>, LedgerError> {
        self.transact("look who shares a run", |db| shared::status(db, destination))
    }
}

impl PostgresLedger {
    fn take_lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError> {
        self.transact("look up its version", |_| Ok(()))?;
        Ok(Box::new(lock::SessionLock::take(&self.target, &self.patience, destination, holder)?))
    }

    /// What rows said before is PostgreSQL's to forget: only its owner can write a table anew, and only its administrator knows
    /// how long the write-ahead log and backups are kept.
    fn write_anew(&self) -> Result<Option<String>, LedgerError> {
        Ok(Some(format!(
            "in the files of {} PostgreSQL keeps the names until it writes the tables anew: VACUUM FULL, by their owner. Its \
             write-ahead log and backups have them as long as they are kept",
            self.describe()
        )))
    }

    fn take_unfounded_away(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError> {
        self.change("take back verdicts without copies", |it| check::distrust(it, destination, run))
    }
}

crate::delegate::delegate!(PostgresLedger, read: transact, write: change);
