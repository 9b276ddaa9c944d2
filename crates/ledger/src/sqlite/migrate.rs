//! Makes the tables, and puts a view in the place of the original's table.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::open;
use crate::{LedgerError, Migration};

pub(super) const STEPS: [&str; 12] = [
    include_str!("../../sql/sqlite/001_tables.sql"),
    include_str!("../../sql/sqlite/002_oldest_proof.sql"),
    include_str!("../../sql/sqlite/003_incidents.sql"),
    include_str!("../../sql/sqlite/004_claims.sql"),
    include_str!("../../sql/sqlite/005_open_incidents.sql"),
    include_str!("../../sql/sqlite/006_source.sql"),
    include_str!("../../sql/sqlite/007_installation.sql"),
    include_str!("../../sql/sqlite/008_events.sql"),
    include_str!("../../sql/sqlite/009_shared_runs.sql"),
    include_str!("../../sql/sqlite/010_purges.sql"),
    include_str!("../../sql/sqlite/011_shared_beside.sql"),
    include_str!("../../sql/sqlite/012_locks.sql"),
];
const ORIGINAL: &str = include_str!("../../sql/sqlite/datafilestatus.sql");

/// Version of the tables that this program works with.
pub(super) const NEWEST: u32 = STEPS.len() as u32;

pub(super) fn migrate(path: &Path) -> Result<Migration, LedgerError> {
    let mut connection = open::create(path)?;
    let sql_error = |it| open::error(path, "make its tables", it);
    // Others wait here, and then find the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql_error)?;
    let from = version(&transaction).map_err(sql_error)?;
    if from > NEWEST {
        return Err(wrong_version(path, from));
    }
    apply(&transaction, from).map_err(sql_error)?;
    if has_two_originals(&transaction).map_err(sql_error)? {
        return Err(LedgerError::TwoOriginals { target: path.display().to_string() });
    }
    let adopted = adopt(&transaction).map_err(sql_error)?;
    transaction.commit().map_err(sql_error)?;
    Ok(Migration { from, to: NEWEST, adopted })
}

/// Version of the tables; 0 where there are none.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    if kind_of(connection, "backup_schema")?.is_none() {
        return Ok(0);
    }
    connection.query_row("SELECT coalesce(max(version), 0) FROM backup_schema", [], |row| row.get(0))
}

pub(super) fn wrong_version(path: &Path, found: u32) -> LedgerError {
    let target = path.display().to_string();
    if found > NEWEST {
        LedgerError::Newer { target, found, known: NEWEST }
    } else {
        LedgerError::NotMigrated { target }
    }
}

fn apply(transaction: &Transaction<'_>, from: u32) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS backup_schema (version INTEGER PRIMARY KEY, applied TEXT NOT NULL) STRICT",
    )?;
    for (version, step) in (1_u32..).zip(STEPS).filter(|(version, _)| *version > from) {
        transaction.execute_batch(step)?;
        transaction
            .execute("INSERT INTO backup_schema VALUES (?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))", [version])?;
    }
    Ok(())
}

fn has_two_originals(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(kind_of(connection, "datafilestatus")?.as_deref() == Some("table")
        && kind_of(connection, "datafilestatus_original")?.is_some()
        && count(connection, "SELECT count(*) FROM datafilestatus_original")? > 0)
}

fn adopt(transaction: &Transaction<'_>) -> rusqlite::Result<Option<u64>> {
    let found = kind_of(transaction, "datafilestatus")?.as_deref() == Some("table");
    if found {
        // The view, or an empty table of an earlier migration, gives way to real rows.
        transaction.execute_batch(
            "DROP TABLE IF EXISTS datafilestatus_original;
             ALTER TABLE datafilestatus RENAME TO datafilestatus_original",
        )?;
    }
    transaction.execute_batch(ORIGINAL)?;
    let adopted = if found {
        Some(count(transaction, "SELECT count(*) FROM datafilestatus_original WHERE status = 'OK'")?)
    } else {
        None
    };
    Ok(adopted)
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn kind_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT type FROM sqlite_master WHERE lower(name) = ?1 AND type IN ('table', 'view')";
    connection.query_row(sql, [name], |row| row.get(0)).optional()
}
