//! What became of each object at each destination.
//!
//! One row a data file (or dataset) and destination: [`State`]. One row an object and destination: [`CopyRecord`].
//! `OK` can only be recorded with a proof for every object ([`Verdict::Safe`]).

mod aggregate;
mod check;
mod claim;
mod decode;
mod delegate;
mod error;
mod event;
mod history;
mod incident;
mod original;
mod pages;
mod postgres;
mod purge;
mod reserve;
mod retention;
mod row;
mod shared;
mod source;
mod sqlite;
mod trace;
mod validate;

pub use aggregate::{Aggregates, AuditDay, CopiesOfMonth, FilesByCopies, OF_ONE_FILE, ProofDay, UnprovedCopies};
pub use check::{Check, Found, LedgerCopy, SourceDamage};
pub use error::{LedgerError, LedgerHint};
pub use event::{Acknowledgement, Agent, Event, EventEnd, History};
pub use history::{CopyInCustody, Custody};
pub use incident::{Bytes, Finding, Incident, IncidentNote, Loss, Mended, Mending, Side};
pub use postgres::PostgresLedger;
pub use purge::{
    Buried, Hold, Purge, PurgeState, PurgeTarget, Purged, Purges, Signed, TargetState, Tombstone, digest_of,
};
pub use retention::{LockedCopy, Retention, Retentions};
pub use row::{
    Basis, Candidate, Claim, CopyRecord, CopyState, EntryKind, Holder, Holding, Migration, ObjectProof, Record,
    Reservation, Run, RunSummary, State, StateDetail, Verdict,
};
pub use shared::{
    Claimed, Joining, Lease, Next, Phase, Presence, RangeEnd, RangeResult, SharedRun, SharedRuns, SharedStatus,
    WorkRange, Worker,
};
pub use source::{Audited, ObjectSize};
pub use sqlite::SqliteLedger;

use std::collections::HashSet;

use dvb_fixity::Digest;
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId, Status};

/// The lock on a destination; released when dropped, and by the system when the process dies.
pub trait Lock: Send + Sync {
    /// Whether it is still held: a lock in a database ends with its connection. Asks the system; a run asks between
    /// batches, and stops when the answer is no.
    fn is_held(&self) -> bool;
}

/// The backup database. Shared by all workers; each call is one transaction.
///
/// What it does is cut into traits by use; whoever has a `dyn Ledger` has all of them.
pub trait Ledger:
    RunLog
    + Verdicts
    + Proofs
    + Keys
    + Claims
    + SourceChecks
    + Identity
    + Incidents
    + History
    + Aggregates
    + Purges
    + Retentions
    + Send
    + Sync
{
    /// What it is, for messages: host and database, or the file.
    fn describe(&self) -> String;

    /// Cuts off whoever waits for it, now or later: a run's time is over, and the database hangs. Such a call fails as
    /// [`LedgerError::Unreachable`]; what it was to record may be recorded or not, as after any loss of a connection.
    /// Returns at once. A file on this machine has nothing to be cut off from: a lock on it is waited for some seconds.
    fn interrupt(&self) {}

    /// Makes the tables or brings them up to date, and adopts an original `datafilestatus` table (its rows become [`Candidate`]s,
    /// its place is taken by a view of the same columns). Idempotent, and safe when two start at once.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn migrate(&self) -> Result<Migration, LedgerError>;

    /// Runs that several hosts share; `None` where the ledger is of one host.
    fn shared_runs(&self) -> Option<&dyn SharedRuns> {
        None
    }
}

/// Runs at destinations, and the lock that one of them holds.
pub trait RunLog {
    /// Takes the lock on a destination, or says who holds it.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] with the holder; others when the database fails.
    fn lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError>;

    /// Records that a run began.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn begin_run(&self, run: &Run) -> Result<(), LedgerError>;

    /// Records how a run ended.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn finish_run(&self, run: &RunId, summary: &RunSummary) -> Result<(), LedgerError>;

    /// Whether this ledger knows the run as one at this destination. Under the lock, any run but one's own is over.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn knows_run(&self, destination: &DestinationName, run: &RunId) -> Result<bool, LedgerError>;

    /// The newest runs at a destination, newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn runs(&self, destination: &DestinationName, limit: u32) -> Result<Vec<(Run, Option<RunSummary>)>, LedgerError>;
}

/// What became of each data file and dataset.
pub trait Verdicts {
    /// All states of one kind at a destination in the order of their ids, in memory that does not grow with their number.
    fn states<'a>(
        &'a self,
        destination: &DestinationName,
        kind: EntryKind,
    ) -> Box<dyn Iterator<Item = Result<State, LedgerError>> + 'a>;

    /// All states of one kind at a destination with their copies, in the order of their ids, in memory that does not grow
    /// with their number. Under the destination's lock nothing changes meanwhile; without it, what is recorded meanwhile may
    /// be in it or not.
    fn holdings<'a>(
        &'a self,
        destination: &DestinationName,
        kind: EntryKind,
    ) -> Box<dyn Iterator<Item = Result<Holding, LedgerError>> + 'a>;

    /// Records verdicts, with the copies that prove them, in one transaction. Incidents are opened of what was found
    /// ([`Record::found`]), and closed where a copy was proved or the data file is safe.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record(&self, destination: &DestinationName, run: &RunId, records: &[Record]) -> Result<(), LedgerError>;

    /// Marks data files or datasets that left the catalogue; those already marked keep their date.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn mark_gone(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError>;

    /// Records the PIDs that the datasets of these data files, or these datasets, have now; verdicts stand.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_pids(&self, destination: &DestinationName, pids: &[(DvObjectId, &str)]) -> Result<(), LedgerError>;

    /// How many data files at a destination have each status (those gone from the catalogue left out), and how many are gone.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn counts(&self, destination: &DestinationName) -> Result<(Vec<(Status, u64)>, u64), LedgerError>;

    /// How many destinations have how many data files, as [`StateDetail::destinations`] counts them: pairs of destinations and
    /// data files, in the order of the former. What no destination covers, and what is gone, is left out.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn spread(&self) -> Result<Vec<(u64, u64)>, LedgerError>;

    /// Visits the states of data files, with names and reasons, for `status`: all, or those of a dataset PID, or those that are not OK.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn visit_details(
        &self,
        destination: &DestinationName,
        dataset: Option<&str>,
        failed_only: bool,
        visit: &mut dyn FnMut(StateDetail),
    ) -> Result<(), LedgerError>;

    /// Takes `OK` away from data files that have no proved copy on record, and says how many: no program of ours records
    /// that, but somebody's hand in the tables, or a restored part of them, may leave it. They become `FAIL_VERIFY`, so that
    /// the next run looks at them.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn distrust(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError>;

    /// All that is known of one data file or dataset: one answer for each destination that knows it.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn history(&self, id: DvObjectId) -> Result<Vec<Custody>, LedgerError>;
}

/// Copies and how they are proved.
pub trait Proofs {
    /// All copies of the given data files or datasets at a destination, in the order of id, role and version.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn copies(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<Vec<CopyRecord>, LedgerError>;

    /// A page of the proved copies at a destination, those of what left the catalogue among them, the one whose proof is
    /// oldest first: those that come behind `after`, and were proved before the time `before` (RFC 3339 UTC; `None`: whenever).
    ///
    /// What is proved anew while the pages are read does not show again where `before` is the time when it began.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn oldest_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError>;

    /// A page of the copies at a destination that were found bad, of what is not safe without them, in the order of id, role
    /// and version: those that come behind `after`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn damaged_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError>;

    /// How many proved copies at a destination were proved before a time (RFC 3339 UTC; `None`: whenever).
    ///
    /// # Errors
    /// [`LedgerError`].
    fn count_copies(&self, destination: &DestinationName, before: Option<&str>) -> Result<u64, LedgerError>;

    /// Records what a look at copies has shown, in one transaction: a good copy is proved anew, a damaged one is no longer
    /// proved, and what it belongs to becomes `FAIL_VERIFY`. Incidents are opened and closed with it.
    ///
    /// # Errors
    /// [`LedgerError::Unproved`] for a proof of other bytes than those on record; nothing of the call was recorded.
    fn record_checks(&self, destination: &DestinationName, run: &RunId, checks: &[Check]) -> Result<(), LedgerError>;

    /// When the copy that was proved longest ago was proved, RFC 3339 UTC; `None` without copies.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn oldest_proof(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError>;

    /// All digests of the proved copies of these data files at a destination, by whatever algorithm and of whatever object.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn digests(
        &self,
        destination: &DestinationName,
        ids: &[DvObjectId],
    ) -> Result<Vec<(DvObjectId, Digest)>, LedgerError>;
}

/// Which key at a destination belongs to whom.
pub trait Keys {
    /// Reserves keys, so that no two data files, workers or hosts ever use the same one: the n-th answer is the n-th wish's owner,
    /// which is the wisher where the key was free or already its own.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn reserve(&self, destination: &DestinationName, wishes: &[Reservation]) -> Result<Vec<DvObjectId>, LedgerError>;

    /// The original's OK rows for these (dataset folder, storage identifier) pairs, as far as there are any.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn candidates(&self, wanted: &[(String, String)]) -> Result<Vec<Candidate>, LedgerError>;

    /// Which of these keys are taken at a destination, by a copy or a reservation.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn known_keys(&self, destination: &DestinationName, keys: &[&str]) -> Result<HashSet<String>, LedgerError>;

    /// What lies at a key according to the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn copy_at(&self, destination: &DestinationName, key: &ObjectKey) -> Result<Option<CopyRecord>, LedgerError>;
}

/// What a snapshot says, after the ledger was lost: taken over, and not proved yet.
pub trait Claims {
    /// Whether nothing is known of a destination: no verdict but `PENDING` and `NOT_COVERED`, and no proof. What was
    /// reserved, and what an earlier attempt to [`Claims::claim`] left, does not count.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn is_blank(&self, destination: &DestinationName) -> Result<bool, LedgerError>;

    /// Takes over what a snapshot says, in one transaction, as `PENDING`; what is not covered by rule, as `NOT_COVERED`.
    /// What is known already stays as it is.
    ///
    /// # Errors
    /// [`LedgerError::Unproved`] for a copy that is neither claimed nor damaged; nothing of the call was recorded.
    fn claim(&self, destination: &DestinationName, run: &RunId, claims: &[Claim]) -> Result<(), LedgerError>;

    /// A page of the copies that were claimed and are not proved yet, in the order of id, role and version: those that come
    /// behind `after`.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn claimed_copies(
        &self,
        destination: &DestinationName,
        after: Option<&CopyRecord>,
        limit: u32,
    ) -> Result<Vec<LedgerCopy>, LedgerError>;

    /// How many of them there are.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn count_claimed(&self, destination: &DestinationName) -> Result<u64, LedgerError>;
}

/// What was seen of the objects in their stores.
pub trait SourceChecks {
    /// Records that the source of data files that were safe (`OK`) is missing or damaged, in one transaction: the next run looks
    /// at them. Their copies stay what they are, and so do data files that were not safe before.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_source_damage(
        &self,
        destination: &DestinationName,
        run: &RunId,
        found: &[SourceDamage],
    ) -> Result<(), LedgerError>;

    /// The sizes that the objects of the data files from `first` to `last` had when they were copied, all versions, in the
    /// order of ids.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn sizes(
        &self,
        destination: &DestinationName,
        first: DvObjectId,
        last: DvObjectId,
    ) -> Result<Vec<ObjectSize>, LedgerError>;

    /// Where work that many runs share goes on, as `set_mark` was told under this name.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn mark(&self, name: &str) -> Result<Option<String>, LedgerError>;

    /// Remembers where such work goes on; `None`: from its beginning.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), LedgerError>;

    /// Data files that are `OK` and were last read in their store before a time (RFC 3339 UTC; `None`: whenever), the one that waits longest
    /// first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn least_recently_audited(
        &self,
        destination: &DestinationName,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Audited>, LedgerError>;

    /// How many of them there are.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn count_audited(&self, destination: &DestinationName, before: Option<&str>) -> Result<u64, LedgerError>;

    /// Records that the objects of these data files were looked at in their store just now, with whatever result.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_audited(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError>;
}

/// Who this installation is, and which destinations carry its id.
pub trait Identity {
    /// Who this installation is, among all that may come to a destination: `fresh`, unless the ledger has an id already.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn installation(&self, fresh: &str) -> Result<String, LedgerError>;

    /// Takes over the id of an installation whose ledger was lost. Says whether this is that installation now: not where a
    /// destination is marked with another id.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn become_installation(&self, id: &str) -> Result<bool, LedgerError>;

    /// When a destination was first seen to carry the installation's id, RFC 3339 UTC.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn identified_at(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError>;

    /// Records that a destination carries it; one that is marked keeps its date.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn identify(&self, destination: &DestinationName) -> Result<(), LedgerError>;
}

/// Damage and loss of objects, from when it was found to when it was mended.
pub trait Incidents {
    /// Opens an incident for everything that was found, unless one is open of it, and closes those of what was mended, in
    /// one transaction, with the ledger's own time.
    ///
    /// What [`Verdicts::record`] and [`Proofs::record_checks`] are told needs no call of its own: they open and close incidents
    /// in their own transactions.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_incidents(&self, run: &RunId, found: &[Finding], mended: &[Mending]) -> Result<(), LedgerError>;

    /// The incidents of one data file or dataset, the first one first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn incidents(&self, id: DvObjectId) -> Result<Vec<Incident>, LedgerError>;
}
