//! What can go wrong with a connection, by what helps.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use openssl::ssl;
use postgres::error::SqlState;
use thiserror::Error;

use crate::{PostgresTarget, SslMode};

/// A cause, kept for its text.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A connection, or a statement on it, failed.
#[derive(Debug, Error)]
pub enum PgError {
    /// Nobody answers, the server cannot serve now, or the connection broke: trying again later can help.
    #[error("cannot connect to the PostgreSQL database {target}; check that it runs, and its host and port")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The server's disk is full. Somebody has to make room.
    #[error("the disk of the PostgreSQL server of {target} is full; make room there")]
    Full {
        /// Host, port and database.
        target: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The server answered and let us not in: login, `pg_hba.conf`, or no such database.
    #[error(
        "the PostgreSQL database {target} refuses role {username}; check database, username, password and the server's pg_hba.conf"
    )]
    Refused {
        /// Host, port and database.
        target: String,
        /// The role or account that logs in.
        username: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// No encrypted connection to this server, or its certificate is not one to trust.
    #[error(
        "cannot make the TLS connection that sslmode requires to the PostgreSQL database {target}; check sslmode, sslrootcert and the server's certificate"
    )]
    Tls {
        /// Host, port and database.
        target: String,
        /// What the driver said.
        #[source]
        source: Cause,
    },
    /// The file with root certificates is of no use.
    #[error("cannot use the root certificates in {}; check sslrootcert", path.display())]
    RootCert {
        /// Path of the file that `sslrootcert` names.
        path: PathBuf,
        /// What the system or OpenSSL said of the file.
        #[source]
        source: Cause,
    },
    /// The mode needs a root certificate.
    #[error(
        "sslmode {mode} needs a file of root certificates of your own; set sslrootcert to it, or sslmode to verify-full"
    )]
    NoRootCert {
        /// The `sslmode` that asks for it.
        mode: SslMode,
    },
    /// The server refused a statement.
    #[error("the PostgreSQL database {target} cannot {doing}")]
    Query {
        /// Host, port and database.
        target: String,
        /// What was attempted: a verb and its object.
        doing: &'static str,
        /// What the driver said.
        #[source]
        source: postgres::Error,
    },
}

impl PgError {
    /// The meaning of an error of a statement.
    #[must_use]
    pub fn statement(target: &PostgresTarget, doing: &'static str, error: postgres::Error) -> Self {
        if is_connection(&error) {
            Self::unreachable(target, error)
        } else if is_full(&error) {
            Self::Full { target: target.describe(), source: error.into() }
        } else {
            Self::Query { target: target.describe(), doing, source: error }
        }
    }

    pub(crate) fn unreachable(target: &PostgresTarget, source: impl Into<Cause>) -> Self {
        Self::Unreachable { target: target.describe(), source: source.into() }
    }

    /// The meaning of an error while connecting.
    pub(crate) fn connecting(target: &PostgresTarget, error: postgres::Error) -> Self {
        let described = target.describe();
        if is_connection(&error) {
            Self::unreachable(target, error)
        } else if is_full(&error) {
            Self::Full { target: described, source: error.into() }
        } else if is_tls(&error) || lacks_tls(target, &error) {
            Self::Tls { target: described, source: error.into() }
        } else {
            Self::Refused { target: described, username: target.username.clone(), source: error.into() }
        }
    }
}

/// The server's disk is full: SQLSTATE 53100.
#[must_use]
pub fn is_full(error: &postgres::Error) -> bool {
    error.code() == Some(&SqlState::DISK_FULL)
}

/// Whether a statement that failed so can succeed later without anybody doing something: a conflict with another
/// transaction, a lock, an operator's intervention, a failure of the server's system. What is missing, denied or not
/// understood stays so.
#[must_use]
pub fn may_pass(error: &postgres::Error) -> bool {
    let passing = ["40", "55", "57", "58"];
    is_connection(error) || error.code().is_some_and(|code| passing.iter().any(|class| code.code().starts_with(class)))
}

/// The connection broke, or the server cannot serve now: SQLSTATE classes 08 (connection), 53 (resources, but for a full
/// disk), 57P (shutdown, start).
#[must_use]
pub fn is_connection(error: &postgres::Error) -> bool {
    match error.code() {
        Some(_) if is_full(error) => false,
        Some(code) => ["08", "53", "57P"].iter().any(|class| code.code().starts_with(class)),
        None => {
            let cause = error.source();
            let broken = |it: &ssl::Error| it.io_error().is_some();
            error.is_closed()
                || cause.is_some_and(<dyn std::error::Error>::is::<io::Error>)
                || handshake(error).is_some_and(broken)
        }
    }
}

/// The server refused the login itself, which it may judge otherwise without TLS.
pub(crate) fn is_login(error: &postgres::Error) -> bool {
    error.code().is_some_and(|it| it.code().starts_with("28"))
}

pub(crate) fn is_wrong_password(error: &postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_PASSWORD)
}

pub(crate) fn is_tls(error: &postgres::Error) -> bool {
    handshake(error).is_some()
}

fn handshake(error: &postgres::Error) -> Option<&ssl::Error> {
    error.source()?.source()?.downcast_ref()
}

/// Whether the server has no TLS to offer. The driver has no type for that: among its own complaints about a login
/// with TLS and a password, the others (SASL) are about servers that are none.
fn lacks_tls(target: &PostgresTarget, error: &postgres::Error) -> bool {
    let demanded = !matches!(target.ssl_mode, SslMode::Disable | SslMode::Prefer);
    error.code().is_none() && demanded && target.password.is_some() && !target.is_socket()
}
