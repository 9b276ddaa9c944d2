//! Opening one connection.

use std::io;
use std::sync::mpsc;
use std::thread;

use postgres::{Client, NoTls, config};

use crate::error::{is_login, is_tls, is_wrong_password};
use crate::{PgError, PostgresTarget, SslMode, tls};

/// Opens a connection.
///
/// # Errors
/// Every [`PgError`] but `Query`.
pub fn connect(target: &PostgresTarget) -> Result<Client, PgError> {
    // The driver's own limit ends with the TCP connection; a server that accepts it and then says nothing would hold
    // us for ever. The thread that waits for such a one goes when it answers, or with the process.
    let (sender, receiver) = mpsc::channel();
    let (for_thread, limit) = (target.clone(), target.connect_timeout.saturating_mul(2));
    thread::Builder::new()
        .name("postgres-connect".into())
        .spawn(move || drop(sender.send(attempt(&for_thread))))
        .map_err(|it| PgError::unreachable(target, it))?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        let silence = io::Error::new(io::ErrorKind::TimedOut, "it accepted the connection, but does not answer");
        Err(PgError::unreachable(target, silence))
    })
}

fn attempt(target: &PostgresTarget) -> Result<Client, PgError> {
    let failed = |error| PgError::connecting(target, error);
    if target.is_socket() {
        return plain(target).map_err(failed);
    }
    match target.ssl_mode {
        SslMode::Disable => plain(target).map_err(failed),
        SslMode::Prefer => prefer(target),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            encrypted(target, config::SslMode::Require)?.map_err(failed)
        }
    }
}

fn plain(target: &PostgresTarget) -> Result<Client, postgres::Error> {
    target.config().ssl_mode(config::SslMode::Disable).connect(NoTls)
}

fn encrypted(target: &PostgresTarget, mode: config::SslMode) -> Result<Result<Client, postgres::Error>, PgError> {
    let connector = tls::connector(target)?;
    Ok(target.config().ssl_mode(mode).connect(connector))
}

/// As libpq: when TLS fails, or the server does not let in whoever comes by TLS (`hostnossl` in its pg_hba.conf), then
/// without.
fn prefer(target: &PostgresTarget) -> Result<Client, PgError> {
    let first = match encrypted(target, config::SslMode::Prefer)? {
        Err(error) if is_tls(&error) || is_login(&error) => error,
        done => return done.map_err(|it| PgError::connecting(target, it)),
    };
    plain(target).map_err(|second| {
        // Of two refusals, the one that got as far as the password says more.
        let telling = if is_wrong_password(&second) || is_tls(&first) { second } else { first };
        PgError::connecting(target, telling)
    })
}
