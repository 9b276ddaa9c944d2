//! Connections, and the meaning of the server's errors.

use dvb_pg::{Patience, PgError, PostgresTarget, is_connection, is_full};
use postgres::error::SqlState;
use postgres::{Client, Error, SimpleQueryMessage};

use crate::LedgerError;
use crate::error::LedgerHint;

pub(super) fn describe(target: &PostgresTarget) -> String {
    target.describe()
}

pub(super) fn connect(target: &PostgresTarget, patience: &Patience) -> Result<Client, LedgerError> {
    dvb_pg::connect_with(target, patience).map_err(|it| not_connected(target, it))
}

pub(super) fn pool(
    target: &PostgresTarget,
    connections: u32,
    patience: &Patience,
) -> Result<dvb_pg::Pool, LedgerError> {
    // A pool tells only its time-out: the cause comes from a connection of our own.
    let mut client = connect(target, patience)?;
    refuse_encoding(target, &mut client)?;
    if dvb_pg::is_pooled(target, &mut client, patience).map_err(|it| not_connected(target, it))? {
        return Err(pooled(target));
    }
    Ok(dvb_pg::pool(target, connections, patience))
}

pub(super) fn pooled(target: &PostgresTarget) -> LedgerError {
    LedgerError::Pooled { target: describe(target), database: target.database.clone() }
}

/// Names of files are in any script. `SQL_ASCII` takes whatever bytes it is given, and ours are UTF-8.
fn refuse_encoding(target: &PostgresTarget, client: &mut Client) -> Result<(), LedgerError> {
    // By the simple protocol: it is not known yet whether a pooler is in between.
    let messages = client.simple_query("SHOW server_encoding").map_err(|it| error(target, "tell its encoding", it))?;
    let row = messages.iter().find_map(|it| match it {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None, // the driver's enum is open
    });
    let encoding = row.unwrap_or_default();
    if ["UTF8", "SQL_ASCII"].contains(&encoding) {
        return Ok(());
    }
    let (database, encoding) = (target.database.clone(), encoding.to_owned());
    Err(LedgerError::Encoding { target: describe(target), database, encoding })
}

pub(super) fn no_connection(target: &PostgresTarget, error: PgError) -> LedgerError {
    unreachable(target, error)
}

fn not_connected(target: &PostgresTarget, error: PgError) -> LedgerError {
    let described = describe(target);
    match error {
        PgError::Unreachable { source, .. } => LedgerError::Unreachable { target: described, source },
        PgError::Full { source, .. } => LedgerError::Full { target: described, source },
        PgError::Refused { source, .. } => LedgerError::Unusable { target: described, hint: LedgerHint::Login, source },
        error @ (PgError::Tls { .. } | PgError::RootCert { .. } | PgError::NoRootCert { .. }) => {
            LedgerError::Unusable { target: described, hint: LedgerHint::Tls, source: error.into() }
        }
        PgError::Query { source, .. } => self::error(target, "open a connection", source),
    }
}

fn unreachable(target: &PostgresTarget, error: impl std::error::Error + Send + Sync + 'static) -> LedgerError {
    LedgerError::Unreachable { target: describe(target), source: Box::new(error) }
}

pub(super) fn error(target: &PostgresTarget, what: &'static str, error: Error) -> LedgerError {
    let described = describe(target);
    match error.code() {
        _ if is_connection(&error) => unreachable(target, error),
        _ if is_full(&error) => LedgerError::Full { target: described, source: error.into() },
        Some(code) if *code == SqlState::UNDEFINED_TABLE => LedgerError::NotMigrated { target: described },
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => LedgerError::Denied {
            target: described,
            what,
            remedy:
                "run there as the owner of the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON backup_destination, \
                     backup_run, backup_state, backup_copy, backup_incident, backup_lock, \
                     backup_shared, backup_range, backup_worker, backup_purge, backup_purge_target, \
                     backup_tombstone, backup_hold TO the role that this program logs in as; GRANT SELECT \
                     ON backup_schema, datafilestatus_original TO the same"
                    .into(),
            source: error.into(),
        },
        Some(_) | None => LedgerError::Query { target: described, what, source: error.into() },
    }
}

/// Whether a transaction that failed so may succeed when it is done once more.
pub(super) fn is_worth_another_try(error: &Error) -> bool {
    let conflicts = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    is_connection(error) || error.code().is_some_and(|it| conflicts.contains(it))
}
