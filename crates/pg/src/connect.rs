//! Opening one connection.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls, config};

use crate::error::{is_login, is_tls, is_wrong_password};
use crate::guard::{Asks, Guard, over};
use crate::relay::Relay;
use crate::{Interrupt, Patience, PgError, PostgresTarget, SslMode, tls};

/// How long a server may say nothing while an answer is waited for.
const SILENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_millis(100);

/// Opens a connection that waits at most five minutes for an answer.
///
/// # Errors
/// Every [`PgError`] but `Query`.
pub fn connect(target: &PostgresTarget) -> Result<Client, PgError> {
    connect_with(target, &Patience { silence: SILENCE, interrupt: Interrupt::new() })
}

/// Opens a connection that waits no longer than there is patience. By a Unix socket, silence ends only the opening; who is
/// interrupted waits no longer by either.
///
/// # Errors
/// Every [`PgError`] but `Query`.
pub fn connect_with(target: &PostgresTarget, patience: &Patience) -> Result<Client, PgError> {
    let began = Instant::now();
    let connected = within_its_time(target, patience);
    let ms = began.elapsed().as_millis();
    let (server, role, ssl_mode) = (target.describe(), &target.username, target.ssl_mode);
    match &connected {
        Ok(_) => tracing::debug!(server, role, %ssl_mode, ms, "connect to PostgreSQL"),
        Err(error) => tracing::debug!(server, role, %ssl_mode, ms, %error, "connect to PostgreSQL"),
    }
    connected
}

fn within_its_time(target: &PostgresTarget, patience: &Patience) -> Result<Client, PgError> {
    // The driver's own limit ends with the TCP connection; a server that accepts it and then says nothing would hold
    // us for ever. The thread that waits for such a one goes when it answers, or with the process.
    let (sender, receiver) = mpsc::channel();
    let (for_thread, its_patience) = (target.clone(), patience.clone());
    let until = Instant::now() + target.connect_timeout.saturating_mul(2);
    thread::Builder::new()
        .name("postgres-connect".into())
        .spawn(move || drop(sender.send(attempt(&for_thread, &its_patience))))
        .map_err(|it| PgError::unreachable(target, it))?;
    loop {
        let why = match receiver.recv_timeout(TICK) {
            // What was cut off only says that it has ended.
            Ok(Err(PgError::Unreachable { .. })) if patience.interrupt.is_interrupted() => over(),
            Ok(done) => return done,
            Err(RecvTimeoutError::Timeout) if patience.interrupt.is_interrupted() => over(),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => continue,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "it accepted the connection, but does not answer"),
        };
        return Err(PgError::unreachable(target, why));
    }
}

fn attempt(target: &PostgresTarget, patience: &Patience) -> Result<Client, PgError> {
    let failed = |error| PgError::connecting(target, error);
    if target.is_socket() {
        return relayed(target, patience)?.map_err(failed);
    }
    match target.ssl_mode {
        SslMode::Disable => plain(target, patience).map_err(failed),
        SslMode::Prefer => prefer(target, patience),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            encrypted(target, patience, Asks::Yes)?.map_err(failed)
        }
    }
}

/// By a Unix socket. TLS means nothing there.
fn relayed(target: &PostgresTarget, patience: &Patience) -> Result<Result<Client, postgres::Error>, PgError> {
    let opened = Relay::open(&target.host, target.port, &patience.interrupt);
    let relay = opened.map_err(|it| PgError::unreachable(target, it))?;
    let mut config = target.config_without_host();
    let connected = config.host_path(&relay.host).ssl_mode(config::SslMode::Disable).connect(NoTls);
    relay.close();
    Ok(connected)
}

fn plain(target: &PostgresTarget, patience: &Patience) -> Result<Client, postgres::Error> {
    guarded(target, Guard { patience: patience.clone(), asks: Asks::No, tls: None })
}

fn encrypted(
    target: &PostgresTarget,
    patience: &Patience,
    asks: Asks,
) -> Result<Result<Client, postgres::Error>, PgError> {
    let tls = Some(tls::connector(target)?);
    Ok(guarded(target, Guard { patience: patience.clone(), asks, tls }))
}

/// The driver hands its socket to [`Guard`] at once, which asks for TLS itself where that is wanted.
fn guarded(target: &PostgresTarget, guard: Guard) -> Result<Client, postgres::Error> {
    let (mode, negotiation) = (config::SslMode::Require, config::SslNegotiation::Direct);
    target.config().ssl_mode(mode).ssl_negotiation(negotiation).connect(guard)
}

/// As libpq: when TLS fails, or the server does not let in whoever comes by TLS (`hostnossl` in its pg_hba.conf), then
/// without.
fn prefer(target: &PostgresTarget, patience: &Patience) -> Result<Client, PgError> {
    let first = match encrypted(target, patience, Asks::IfThereIsAny)? {
        Err(error) if is_tls(&error) || is_login(&error) => error,
        done => return done.map_err(|it| PgError::connecting(target, it)),
    };
    plain(target, patience).map_err(|second| {
        // Of two refusals, the one that got as far as the password says more.
        let telling = if is_wrong_password(&second) || is_tls(&first) { second } else { first };
        PgError::connecting(target, telling)
    })
}
