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

impl RunLog for PostgresLedger {
    fn lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError> {
        self.transact("look up its version", |_| Ok(()))?;
        Ok(Box::new(lock::SessionLock::take(&self.target, &self.patience, destination, holder)?))
    }

    fn begin_run(&self, run: &Run) -> Result<(), LedgerError> {
        self.transact("record the run", |it| write::begin_run(it, run))
    }

    fn finish_run(&self, run: &RunId, summary: &RunSummary) -> Result<(), LedgerError> {
        let found = self.transact("record the end of the run", |it| write::finish_run(it, run, summary))?;
        if found { Ok(()) } else { Err(LedgerError::UnknownRun { target: self.describe(), run: run.clone() }) }
    }

    fn knows_run(&self, destination: &DestinationName, run: &RunId) -> Result<bool, LedgerError> {
        self.transact("look up a run", |it| read::knows_run(it, destination, run))
    }

    fn runs(&self, destination: &DestinationName, limit: u32) -> Result<Vec<(Run, Option<RunSummary>)>, LedgerError> {
        self.transact("list the runs", |it| read::runs(it, destination, limit))
    }
}

impl Verdicts for PostgresLedger {
    fn states<'a>(
        &'a self,
        destination: &DestinationName,
        kind: EntryKind,
    ) -> Box<dyn Iterator<Item = Result<State, LedgerError>> + 'a> {
        let destination = destination.clone();
        let page = move |after| self.transact("list the states", |it| read::states(it, &destination, kind, after));
        Box::new(Pages::new(page, |it: &State| it.id.0))
    }

    fn holdings<'a>(
        &'a self,
        destination: &DestinationName,
        kind: EntryKind,
    ) -> Box<dyn Iterator<Item = Result<Holding, LedgerError>> + 'a> {
        let destination = destination.clone();
        let page = move |after| self.transact("list what is held", |it| holdings::page(it, &destination, kind, after));
        Box::new(Pages::new(page, |it: &Holding| it.detail.id.0))
    }

    fn record(&self, destination: &DestinationName, run: &RunId, records: &[Record]) -> Result<(), LedgerError> {
        self.transact("record verdicts", |it| write::record(it, destination, run, records))
    }

    fn mark_gone(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
        self.transact("mark what is gone", |it| write::mark_gone(it, destination, ids))
    }

    fn record_pids(&self, destination: &DestinationName, pids: &[(DvObjectId, &str)]) -> Result<(), LedgerError> {
        self.transact("record PIDs", |it| write::record_pids(it, destination, pids))
    }

    fn counts(&self, destination: &DestinationName) -> Result<(Vec<(Status, u64)>, u64), LedgerError> {
        self.transact("count the states", |it| read::counts(it, destination))
    }

    fn spread(&self) -> Result<Vec<(u64, u64)>, LedgerError> {
        self.transact("count the copies", read::spread)
    }

    fn visit_details(
        &self,
        destination: &DestinationName,
        dataset: Option<&str>,
        failed_only: bool,
        visit: &mut dyn FnMut(StateDetail),
    ) -> Result<(), LedgerError> {
        let page =
            |after| self.transact("list the states", |it| read::details(it, destination, dataset, failed_only, after));
        Pages::new(page, |it: &StateDetail| it.id.0).try_for_each(|it| it.map(&mut *visit))
    }

    fn distrust(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError> {
        self.transact("take back verdicts without copies", |it| check::distrust(it, destination, run))
    }

    fn history(&self, id: DvObjectId) -> Result<Vec<Custody>, LedgerError> {
        self.transact("list what is known", |it| history::history(it, id))
    }
}

impl Proofs for PostgresLedger {
    fn copies(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<Vec<CopyRecord>, LedgerError> {
        self.transact("list the copies", |it| read::copies(it, destination, ids))
    }

    fn oldest_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        before: &str,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError> {
        self.transact("list the oldest copies", |it| check::oldest_copies(it, destination, after, before, limit))
    }

    fn damaged_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError> {
        self.transact("list the damaged copies", |it| check::damaged_copies(it, destination, after, limit))
    }

    fn count_copies(&self, destination: &DestinationName, before: &str) -> Result<u64, LedgerError> {
        self.transact("count the copies", |it| check::count_copies(it, destination, before))
    }

    fn record_checks(&self, destination: &DestinationName, run: &RunId, checks: &[Check]) -> Result<(), LedgerError> {
        self.transact("record what was verified", |it| check::record_checks(it, destination, run, checks))
    }

    fn oldest_proof(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError> {
        self.transact("look for the oldest proof", |it| read::oldest_proof(it, destination))
    }

    fn digests(
        &self,
        destination: &DestinationName,
        ids: &[DvObjectId],
    ) -> Result<Vec<(DvObjectId, Digest)>, LedgerError> {
        self.transact("list the digests", |it| read::digests(it, destination, ids))
    }
}

impl Keys for PostgresLedger {
    fn reserve(&self, destination: &DestinationName, wishes: &[Reservation]) -> Result<Vec<DvObjectId>, LedgerError> {
        self.transact("reserve keys", |it| write::reserve(it, destination, wishes))
    }

    fn candidates(&self, wanted: &[(String, String)]) -> Result<Vec<Candidate>, LedgerError> {
        self.transact("look up the original's rows", |it| read::candidates(it, wanted))
    }

    fn known_keys(&self, destination: &DestinationName, keys: &[&str]) -> Result<HashSet<String>, LedgerError> {
        self.transact("look for keys", |it| read::known_keys(it, destination, keys))
    }

    fn copy_at(&self, destination: &DestinationName, key: &ObjectKey) -> Result<Option<CopyRecord>, LedgerError> {
        self.transact("look up a key", |it| read::copy_at(it, destination, key))
    }
}

impl Claims for PostgresLedger {
    fn is_blank(&self, destination: &DestinationName) -> Result<bool, LedgerError> {
        self.transact("look whether it is empty", |it| claim::is_blank(it, destination))
    }

    fn claim(&self, destination: &DestinationName, run: &RunId, claims: &[Claim]) -> Result<(), LedgerError> {
        self.transact("record what a snapshot claims", |it| claim::claim(it, destination, run, claims))
    }

    fn claimed_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError> {
        self.transact("list the claimed copies", |it| claim::claimed_copies(it, destination, after, limit))
    }

    fn count_claimed(&self, destination: &DestinationName) -> Result<u64, LedgerError> {
        self.transact("count the claimed copies", |it| claim::count_claimed(it, destination))
    }
}

impl SourceChecks for PostgresLedger {
    fn record_source_damage(
        &self,
        destination: &DestinationName,
        run: &RunId,
        found: &[SourceDamage],
    ) -> Result<(), LedgerError> {
        self.transact("record what is damaged at the source", |it| {
            check::record_source_damage(it, destination, run, found)
        })
    }

    fn sizes(
        &self,
        destination: &DestinationName,
        first: DvObjectId,
        last: DvObjectId,
    ) -> Result<Vec<ObjectSize>, LedgerError> {
        self.transact("list the sizes", |it| source::sizes(it, destination, (first, last)))
    }

    fn mark(&self, name: &str) -> Result<Option<String>, LedgerError> {
        self.transact("look up where to go on", |it| source::mark(it, name))
    }

    fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), LedgerError> {
        self.transact("record where to go on", |it| source::set_mark(it, name, value))
    }

    fn least_recently_audited(
        &self,
        destination: &DestinationName,
        before: &str,
        limit: u32,
    ) -> Result<Vec<Audited>, LedgerError> {
        self.transact("list what was audited longest ago", |it| {
            source::least_recently_audited(it, destination, before, limit)
        })
    }

    fn count_audited(&self, destination: &DestinationName, before: &str) -> Result<u64, LedgerError> {
        self.transact("count what was audited", |it| source::count_audited(it, destination, before))
    }

    fn record_audited(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
        self.transact("record what was audited", |it| source::record_audited(it, destination, ids))
    }
}

impl Identity for PostgresLedger {
    fn installation(&self, fresh: &str) -> Result<String, LedgerError> {
        self.transact("look up the installation", |it| installation::installation(it, fresh))
    }

    fn become_installation(&self, id: &str) -> Result<bool, LedgerError> {
        self.transact("take over an installation", |it| installation::become_installation(it, id))
    }

    fn identified_at(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError> {
        self.transact("look up the destination", |it| installation::marked_at(it, destination))
    }

    fn identify(&self, destination: &DestinationName) -> Result<(), LedgerError> {
        self.transact("record whose the destination is", |it| installation::mark(it, destination))
    }
}

impl Incidents for PostgresLedger {
    fn record_incidents(&self, run: &RunId, found: &[Finding], mended: &[Mending]) -> Result<(), LedgerError> {
        self.transact("record incidents", |it| incident::record(it, run, found, mended))
    }

    fn incidents(&self, id: DvObjectId) -> Result<Vec<Incident>, LedgerError> {
        self.transact("list incidents", |it| incident::of(it, id))
    }
}

impl History for PostgresLedger {
    fn begin_event(&self, event: &Event) -> Result<(), LedgerError> {
        self.transact("record the command", |db| event::insert(db, std::slice::from_ref(event)))
    }

    fn finish_event(&self, id: &RunId, end: &EventEnd) -> Result<(), LedgerError> {
        let found = self.transact("record the end of the command", |db| event::finish(db, id, end))?;
        if found { Ok(()) } else { Err(LedgerError::UnknownRun { run: id.clone(), target: self.describe() }) }
    }

    fn visit_events(&self, since: Option<&str>, visit: &mut dyn FnMut(Event)) -> Result<(), LedgerError> {
        let mut last: Option<Event> = None;
        loop {
            let page = self.transact("list the commands", |db| event::page(db, since, last.as_ref()))?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(end.clone());
            page.into_iter().for_each(&mut *visit);
        }
    }

    fn visit_incidents(&self, open: bool, visit: &mut dyn FnMut(Incident)) -> Result<(), LedgerError> {
        let mut after = 0;
        loop {
            let page = self.transact("list incidents", |db| incident::page(db, after, open, PAGE))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            page.into_iter().for_each(&mut *visit);
        }
    }

    fn count_open_incidents(&self) -> Result<u64, LedgerError> {
        self.transact("count incidents", incident::count_open)
    }

    fn note_incident(&self, number: u64, note: &str, by: &str) -> Result<bool, LedgerError> {
        self.transact("record the note", |db| incident::note(db, number, note, by))
    }

    fn acknowledge(&self, all: &[Acknowledgement]) -> Result<(), LedgerError> {
        self.transact("record the acknowledgement", |db| event::acknowledge(db, all))
    }

    fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, LedgerError> {
        self.transact("list acknowledgements", event::acknowledgements)
    }

    fn end_acknowledgements(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
        self.transact("end acknowledgements", |db| event::end_acknowledgements(db, destination, ids))
    }

    fn take_over_history(
        &self,
        events: &[Event],
        incidents: &[Incident],
        acknowledged: &[Acknowledgement],
    ) -> Result<(), LedgerError> {
        self.transact("take over the history", |db| {
            event::insert(db, events)?;
            incident::take_over(db, incidents)?;
            event::acknowledge(db, acknowledged)
        })
    }
}

impl Aggregates for PostgresLedger {
    fn installation_id(&self) -> Result<Option<String>, LedgerError> {
        self.transact("look up the installation", aggregate::installation_id)
    }

    fn files_by_copies(&self) -> Result<Vec<FilesByCopies>, LedgerError> {
        self.transact("count data files by their copies", aggregate::files_by_copies)
    }

    fn not_covered(&self, limit: u32) -> Result<(Vec<(String, u64)>, u64), LedgerError> {
        self.transact("count what is not covered", |db| aggregate::not_covered(db, limit))
    }

    fn proofs_by_day(
        &self,
        destination: &DestinationName,
        overdue_before: Option<&str>,
    ) -> Result<Vec<ProofDay>, LedgerError> {
        self.transact("count the proofs", |db| aggregate::proofs_by_day(db, destination, overdue_before))
    }

    fn unproved_copies(&self, destination: &DestinationName) -> Result<UnprovedCopies, LedgerError> {
        self.transact("count the copies without a proof", |db| aggregate::unproved_copies(db, destination))
    }

    fn audits_by_day(&self, overdue_before: Option<&str>) -> Result<Vec<AuditDay>, LedgerError> {
        self.transact("count what was audited", |db| aggregate::audits_by_day(db, overdue_before))
    }

    fn copies_by_month(&self) -> Result<Vec<CopiesOfMonth>, LedgerError> {
        self.transact("count the copies by month", aggregate::copies_by_month)
    }
}
