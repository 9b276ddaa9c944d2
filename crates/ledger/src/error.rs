//! What can go wrong with the backup database.

use dvb_model::{DvObjectId, RunId};
use thiserror::Error;

use crate::Holder;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The ledger could not do what was asked.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another run holds the lock on the destination.
    #[error("another run holds the lock on destination {destination:?}: {holder}")]
    Locked {
        /// Name of the destination that it is about.
        destination: String,
        /// Who holds it, since when.
        holder: Holder,
    },
    /// It cannot be reached, or the connection broke: trying again later can help.
    #[error("cannot connect to the backup database {target}")]
    Unreachable {
        /// Host and database, or file.
        target: String,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// A range of a shared run is not this host's any more. Nothing of the call was recorded.
    #[error(
        "this host gave no sign of life for too long, and another one has taken over range {range} of the shared run; nothing \
         of it was recorded here"
    )]
    LostLease {
        /// Number of the range within the run.
        range: i32,
    },
    /// Hosts that share a run must want the same.
    #[error(
        "the hosts that share the run {run} at destination {destination:?} were asked for something else: {theirs}, here: \
         {ours}. Give each of them the same options and the same configuration"
    )]
    OtherParameters {
        /// Name of the destination.
        destination: String,
        /// Name of the shared run.
        run: RunId,
        /// What they were asked for.
        theirs: String,
        /// What is asked for here.
        ours: String,
    },
    /// The ledger is of one host.
    #[error(
        "the backup database {target} is of this host alone: several hosts share a run only by a ledger in PostgreSQL"
    )]
    OfOneHost {
        /// Path of the ledger's file.
        target: String,
    },
    /// Its lock is held by a session whose run is over: a connection pooler keeps it.
    #[error(
        "the lock on destination {destination:?} is held by {holder}, and that run is over: a connection pooler keeps \
         its session. End it, as a superuser or the same role: \
         psql -d {database} -c 'SELECT pg_terminate_backend({backend})'"
    )]
    LeftOver {
        /// Name of the destination that it is about.
        destination: String,
        /// Who took the lock.
        holder: Box<Holder>,
        /// Name of the database, for the command that ends the session.
        database: String,
        /// The server process that has it.
        backend: i32,
    },
    /// Locks and settings do not last in its sessions.
    #[error(
        "the backup database {target} is behind a connection pooler that shares its sessions (pgbouncer with \
         pool_mode = transaction or statement), where no lock is safe: go to PostgreSQL itself, or set pool_mode = session \
         for database {database} in the pooler"
    )]
    Pooled {
        /// Host and database, or file, that it is about.
        target: String,
        /// The database that it is about.
        database: String,
    },
    /// It cannot hold every name.
    #[error(
        "the backup database {target} has the encoding {encoding}, which cannot hold every file name. Make one that \
         can: createdb -E UTF8 -T template0 --locale=C NAME; if a ledger is in the old one already: pg_dump {database} | \
         psql -d NAME"
    )]
    Encoding {
        /// Host and database, or file, that it is about.
        target: String,
        /// Name of the database that a new one is to replace.
        database: String,
        /// As the server calls it.
        encoding: String,
    },
    /// The configuration names what cannot be used: a login that is refused, no such database, a path that leads nowhere.
    #[error("cannot use the backup database {target}")]
    Unusable {
        /// Host and database, or file.
        target: String,
        /// Which part of the configuration is to be corrected.
        hint: LedgerHint,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// The disk that it lies on, or a quota, is full. Nothing of the call was recorded.
    #[error("no space left for the backup database {target}; make room on its disk")]
    Full {
        /// Host and database, or file.
        target: String,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// The same of a ledger that is made for one command, in a folder for temporary files.
    #[error(
        "no space left in the folder for temporary files, {folder}, which needs about 600 bytes a data file; make room there, \
         or set TMPDIR to a folder that has room"
    )]
    TemporaryFull {
        /// The folder for temporary files that the ledger lies in.
        folder: String,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// Its tables are missing or older than this program.
    #[error("the backup database {target} has no tables of this version yet")]
    NotMigrated {
        /// Host and database, or file.
        target: String,
    },
    /// Its tables were made by a newer program.
    #[error(
        "the backup database {target} has version {found}, this program knows versions up to {known}: \
         use the newer program that was used before"
    )]
    Newer {
        /// Host and database, or file.
        target: String,
        /// Version of the tables.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The file is no database, or no whole one.
    #[error("the backup database {target} is damaged")]
    Corrupt {
        /// Host and database, or file, that it is about.
        target: String,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// The role, or the user of the file, may not do it.
    #[error("not allowed to {what} in the backup database {target}; {remedy}")]
    Denied {
        /// Host and database, or file.
        target: String,
        /// What it is about, in a few words.
        what: &'static str,
        /// What to run, and as whom.
        remedy: String,
        /// What the driver said.
        #[source]
        source: Source,
    },
    /// Both a table `datafilestatus` and rows of one that was adopted before.
    #[error(
        "the backup database {target} holds a table datafilestatus, but another one was adopted before as \
         datafilestatus_original: rename one of the two by hand"
    )]
    TwoOriginals {
        /// Host and database, or file.
        target: String,
    },
    /// A verdict without the proofs that it needs. Nothing of the call was recorded.
    #[error("refused to record a verdict on {id}: {why}")]
    Unproved {
        /// Data file or dataset.
        id: DvObjectId,
        /// What is missing, in a sentence.
        why: String,
    },
    /// A key was wished for an object whose copy lies, or lay, elsewhere: only its next version can have another key.
    #[error(
        "{role} of {id}, version {version}, already has a copy at {key:?}: another key is only for its next version"
    )]
    Settled {
        /// Data file or dataset.
        id: DvObjectId,
        /// Which object of the data file: `main`, `orig`, …
        role: String,
        /// Which of its versions.
        version: u32,
        /// Where its copy is.
        key: String,
    },
    /// The run was never begun.
    #[error("the backup database {target} knows no run {run}")]
    UnknownRun {
        /// Host and database, or file.
        target: String,
        /// Name of the run that it is about.
        run: RunId,
    },
    /// A row holds what this program never writes.
    #[error("the backup database holds {value:?} as {what}: it was changed by something else")]
    BadRow {
        /// The column, and the row's id.
        what: String,
        /// The value as it stands there.
        value: String,
    },
    /// The database refused a statement.
    #[error("the backup database {target} failed to {what}")]
    Query {
        /// Host and database, or file.
        target: String,
        /// What it is about, in a few words.
        what: &'static str,
        /// What the driver said.
        #[source]
        source: Source,
    },
}

/// What can be done about a [`LedgerError`], where its text cannot say it: the settings and commands that it needs are
/// those of the program that uses this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LedgerHint {
    /// See that the server runs, and whether it is the one that is meant.
    Address,
    /// Correct the database, the role or its password, or the server's `pg_hba.conf`.
    Login,
    /// Correct the TLS mode or the root certificates.
    Tls,
    /// Correct the path of the file, or the permissions of its folder.
    Path,
    /// Give the address of PostgreSQL itself, where that of a pooler is given.
    Pooler,
    /// Use the new database, and make its tables.
    Encoding,
    /// Make the tables: [`Ledger::migrate`](crate::Ledger::migrate).
    Migrate,
    /// Move the file away, with its `-wal` and `-shm`, and make it again from a snapshot.
    Rebuild,
}

impl LedgerError {
    /// What can be done about it, where the text alone does not say it.
    #[must_use]
    pub fn hint(&self) -> Option<LedgerHint> {
        match self {
            Self::Unreachable { .. } => Some(LedgerHint::Address),
            Self::Unusable { hint, .. } => Some(*hint),
            Self::Pooled { .. } => Some(LedgerHint::Pooler),
            Self::Encoding { .. } => Some(LedgerHint::Encoding),
            Self::NotMigrated { .. } => Some(LedgerHint::Migrate),
            Self::Corrupt { .. } => Some(LedgerHint::Rebuild),
            Self::Locked { .. }
            | Self::LeftOver { .. }
            | Self::LostLease { .. }
            | Self::OtherParameters { .. }
            | Self::OfOneHost { .. }
            | Self::Full { .. }
            | Self::TemporaryFull { .. }
            | Self::Newer { .. }
            | Self::Denied { .. }
            | Self::TwoOriginals { .. }
            | Self::Unproved { .. }
            | Self::Settled { .. }
            | Self::UnknownRun { .. }
            | Self::BadRow { .. }
            | Self::Query { .. } => None,
        }
    }

    /// Whether trying again later can help without anybody doing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Locked { .. } => true,
            Self::Query { source, .. } => source.downcast_ref().is_some_and(dvb_pg::may_pass),
            Self::Unusable { .. }
            | Self::LeftOver { .. }
            | Self::LostLease { .. }
            | Self::OtherParameters { .. }
            | Self::OfOneHost { .. }
            | Self::Pooled { .. }
            | Self::Encoding { .. }
            | Self::Full { .. }
            | Self::TemporaryFull { .. }
            | Self::NotMigrated { .. }
            | Self::Corrupt { .. }
            | Self::Newer { .. }
            | Self::Denied { .. }
            | Self::TwoOriginals { .. }
            | Self::Unproved { .. }
            | Self::Settled { .. }
            | Self::UnknownRun { .. }
            | Self::BadRow { .. } => false,
        }
    }
}
