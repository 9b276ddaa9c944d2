//! Who this installation is.

use dvb_model::DestinationName;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Fault, read, write};

pub(super) fn installation(db: &Connection, fresh: &str) -> Result<String, Fault> {
    let sql = format!(
        "INSERT INTO backup_installation (one, id, made) VALUES (1, ?1, {}) ON CONFLICT DO NOTHING",
        write::NOW
    );
    db.execute(&sql, [fresh])?;
    Ok(db.query_row("SELECT id FROM backup_installation", [], |row| row.get(0))?)
}

pub(super) fn become_installation(db: &Connection, id: &str) -> Result<bool, Fault> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM backup_destination WHERE marked_at IS NOT NULL)";
    let is_free: bool = db.query_row(sql, [], |row| row.get(0))?;
    if is_free {
        db.execute("DELETE FROM backup_installation", [])?;
    }
    Ok(installation(db, id)? == id)
}

pub(super) fn marked_at(db: &Connection, destination: &DestinationName) -> Result<Option<String>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(None) };
    let sql = "SELECT marked_at FROM backup_destination WHERE id = ?1";
    Ok(db.query_row(sql, [destination], |row| row.get(0)).optional()?.flatten())
}

pub(super) fn mark(db: &Connection, destination: &DestinationName) -> Result<(), Fault> {
    let destination = write::destination_id(db, destination)?;
    let sql = format!("UPDATE backup_destination SET marked_at = coalesce(marked_at, {}) WHERE id = ?1", write::NOW);
    db.execute(&sql, params![destination])?;
    Ok(())
}
