//! What can go wrong while the catalogue is read, or a snapshot of it written.

use std::io;
use std::path::{Path, PathBuf};

use dvb_pg::{PgError, PostgresTarget};
use thiserror::Error;

/// A cause, kept for its text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Reading the catalogue failed.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The database cannot be reached, or the connection broke: trying again later can help.
    #[error("cannot connect to Dataverse's database at {target}")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The server answered and let us not in.
    #[error("Dataverse's database {target} refuses role {role}")]
    Refused {
        /// Host, port and database.
        target: String,
        /// The role that was to log in.
        role: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// No connection as the [`SslMode`](dvb_pg::SslMode) demands it.
    #[error("no secure connection to Dataverse's database {target}")]
    Tls {
        /// Host, port and database.
        target: String,
        /// What is wrong with certificate or server.
        #[source]
        source: Box<PgError>,
    },
    /// The role may not read what the catalogue is made of. Nothing is left out silently.
    #[error(
        "role {role} may not read {} of Dataverse's database {target}; grant it, as the owner of the tables: \
         psql -d {database} -v role={role} -f sql/catalogue/grants.sql",
        relations.join(", ")
    )]
    Denied {
        /// Host, port and database.
        target: String,
        /// Name of the database, without its server.
        database: String,
        /// The role that logged in, and lacks the rights.
        role: String,
        /// The tables, or the schemas (`schema public`) that hide them.
        relations: Vec<String>,
    },
    /// Not the tables of a Dataverse that this program knows.
    #[error(
        "the database {target} is none of a Dataverse 4.8 or later that this program knows; it lacks {}. Check \
         that it is the right database, that the tables' schema is on the search_path of role {role}, and that Dataverse's \
         own upgrade scripts have run",
        missing.join(", ")
    )]
    UnknownSchema {
        /// Host, port and database.
        target: String,
        /// The role whose search path was looked through.
        role: String,
        /// Every column that is missing, as `table.column`.
        missing: Vec<String>,
    },
    /// The server gave up the transaction for something else of its own: trying again later can help.
    #[error(
        "Dataverse's database {target} ended the reading of the catalogue for another transaction; try again. If it \
         is a standby server, raise its max_standby_streaming_delay"
    )]
    Conflict {
        /// Host, port and database.
        target: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The disk of the server, or the one that a snapshot goes to, is full.
    #[error("no space left {place}; make room there")]
    Full {
        /// Where: `on the disk of …`.
        place: String,
        /// What the driver or the system said.
        #[source]
        source: Cause,
    },
    /// The server refused a statement, or gave what cannot be read.
    #[error("Dataverse's database {target} failed to {what}")]
    Query {
        /// Host, port and database.
        target: String,
        /// What it is about, in a few words.
        what: &'static str,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The snapshot cannot be read as a file.
    #[error("cannot read the catalogue snapshot {}", path.display())]
    Unreadable {
        /// Path of the snapshot.
        path: PathBuf,
        /// What the operating system or the decompression said.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a catalogue snapshot: no header line", path.display())]
    NotASnapshot {
        /// Path of the snapshot.
        path: PathBuf,
    },
    /// The snapshot was written by a newer program.
    #[error(
        "the catalogue snapshot {} has version {found}, this program knows versions up to {known}: use the newer \
         program that wrote it",
        path.display()
    )]
    NewerSnapshot {
        /// Path of the snapshot.
        path: PathBuf,
        /// Version of the format that the snapshot was written in.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// A line of the snapshot is not what the format says.
    #[error("line {line} of the catalogue snapshot {} is wrong: {why}", path.display())]
    BadLine {
        /// Path of the snapshot.
        path: PathBuf,
        /// Counted from 1, after decompression.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The snapshot has no last line: it was not written to its end, or not copied whole.
    #[error("the catalogue snapshot {} is cut off at line {line}: copy or write it anew", path.display())]
    CutOff {
        /// Path of the snapshot.
        path: PathBuf,
        /// The line that should be there, counted from 1.
        line: u64,
    },
    /// The snapshot could not be written.
    #[error("cannot write the catalogue snapshot; check the disk it goes to")]
    Write {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// What can be done about a [`CatalogError`], where its text cannot say it: the settings and commands that it needs are
/// those of the program that uses this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CatalogHint {
    /// See that the server runs, and correct host, port or TLS mode.
    Address,
    /// Correct the database, the role or its password, or the server's `pg_hba.conf`.
    Login,
    /// Correct the TLS mode or the root certificates.
    Tls,
    /// Correct the path of the snapshot, or its permissions.
    Path,
    /// Write the snapshot anew: [`write_snapshot`](crate::write_snapshot).
    Export,
}

impl CatalogError {
    /// What can be done about it, where the text alone does not say it.
    #[must_use]
    pub fn hint(&self) -> Option<CatalogHint> {
        match self {
            Self::Unreachable { .. } => Some(CatalogHint::Address),
            Self::Refused { .. } => Some(CatalogHint::Login),
            Self::Tls { .. } => Some(CatalogHint::Tls),
            Self::Unreadable { .. } => Some(CatalogHint::Path),
            Self::NotASnapshot { .. } | Self::BadLine { .. } => Some(CatalogHint::Export),
            Self::Denied { .. }
            | Self::UnknownSchema { .. }
            | Self::Conflict { .. }
            | Self::Full { .. }
            | Self::Query { .. }
            | Self::NewerSnapshot { .. }
            | Self::CutOff { .. }
            | Self::Write { .. } => None,
        }
    }

    /// Whether trying again later can help without anybody doing something.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Conflict { .. } => true,
            Self::Query { source, .. } => source.downcast_ref().is_some_and(dvb_pg::may_pass),
            Self::Full { .. }
            | Self::Refused { .. }
            | Self::Tls { .. }
            | Self::Denied { .. }
            | Self::UnknownSchema { .. }
            | Self::Unreadable { .. }
            | Self::NotASnapshot { .. }
            | Self::NewerSnapshot { .. }
            | Self::BadLine { .. }
            | Self::CutOff { .. }
            | Self::Write { .. } => false,
        }
    }

    /// The meaning of an error while connecting.
    pub(crate) fn connecting(target: &PostgresTarget, error: PgError) -> Self {
        let described = target.describe();
        match error {
            PgError::Unreachable { source, .. } => Self::Unreachable { target: described, source },
            PgError::Full { source, .. } => Self::Full { place: server_disk(&described), source },
            PgError::Refused { username, source, .. } => Self::Refused { target: described, role: username, source },
            error @ (PgError::Tls { .. } | PgError::RootCert { .. } | PgError::NoRootCert { .. }) => {
                Self::Tls { target: described, source: Box::new(error) }
            }
            PgError::Query { doing, source, .. } => Self::statement(target, doing, source),
        }
    }

    /// The meaning of an error of a statement.
    pub(crate) fn statement(target: &PostgresTarget, what: &'static str, error: postgres::Error) -> Self {
        let described = target.describe();
        // Class 40, transaction rollback: a standby server's conflict with recovery is one.
        let is_conflict = error.code().is_some_and(|it| it.code().starts_with("40"));
        if dvb_pg::is_connection(&error) {
            Self::Unreachable { target: described, source: error.into() }
        } else if dvb_pg::is_full(&error) {
            Self::Full { place: server_disk(&described), source: error.into() }
        } else if is_conflict {
            Self::Conflict { target: described, source: error.into() }
        } else {
            Self::Query { target: described, what, source: error.into() }
        }
    }

    /// The meaning of an error while a snapshot is written.
    pub(crate) fn writing(source: io::Error) -> Self {
        if dvb_model::is_full(&source) {
            Self::Full { place: "for the catalogue snapshot".to_owned(), source: source.into() }
        } else {
            Self::Write { source }
        }
    }

    /// The meaning of an error while a snapshot is read at `line`.
    pub(crate) fn reading(path: &Path, line: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            // A compressed snapshot that ends within a frame.
            io::ErrorKind::UnexpectedEof => Self::CutOff { path, line },
            _ => Self::Unreadable { path, source },
        }
    }
}

fn server_disk(target: &str) -> String {
    format!("on the disk of Dataverse's database server {target}")
}
