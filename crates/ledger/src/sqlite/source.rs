//! What is known of the source.

use dvb_model::{DestinationName, DvObjectId};
use rusqlite::{Connection, OptionalExtension, params};

use super::check::END_OF_TIME;
use super::{Fault, read, write};
use crate::decode::{number, parsed};
use crate::{Audited, ObjectSize};

pub(super) fn sizes(
    db: &Connection,
    destination: &DestinationName,
    (first, last): (DvObjectId, DvObjectId),
) -> Result<Vec<ObjectSize>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT id, role, version, size FROM backup_copy
         WHERE destination = ?1 AND id BETWEEN ?2 AND ?3 AND state <> 'reserved' ORDER BY id",
    )?;
    let mut rows = statement.query(params![destination, first.0, last.0])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let (version, size): (i32, i64) = (row.get(2)?, row.get(3)?);
        found.push(ObjectSize {
            id: DvObjectId(id),
            role: parsed(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?, "role", id)?,
            version: number(version, "version", id)?,
            size: number(size, "size", id)?,
        });
    }
    Ok(found)
}

pub(super) fn mark(db: &Connection, name: &str) -> Result<Option<String>, Fault> {
    let mut statement = db.prepare_cached("SELECT value FROM backup_mark WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

pub(super) fn set_mark(db: &Connection, name: &str, value: Option<&str>) -> Result<(), Fault> {
    match value {
        Some(value) => db.execute(
            &format!("INSERT OR REPLACE INTO backup_mark (name, value, recorded_at) VALUES (?1, ?2, {})", write::NOW),
            [name, value],
        )?,
        None => db.execute("DELETE FROM backup_mark WHERE name = ?1", [name])?,
    };
    Ok(())
}

/// The condition is that of the index.
const AUDITED: &str = "destination = ?1 AND kind = 'file' AND status = 'OK' AND gone_since IS NULL
           AND audited_at < strftime('%Y-%m-%dT%H:%M:%fZ', ?2)";

pub(super) fn least_recently_audited(
    db: &Connection,
    destination: &DestinationName,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<Audited>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let before = before.unwrap_or(END_OF_TIME);
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, audited_at FROM backup_state INDEXED BY backup_state_audited
         WHERE {AUDITED} ORDER BY audited_at, id LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![destination, before, limit], |row| {
        Ok(Audited { id: DvObjectId(row.get(0)?), at: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_audited(
    db: &Connection,
    destination: &DestinationName,
    before: Option<&str>,
) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let before = before.unwrap_or(END_OF_TIME);
    let sql = format!("SELECT count(*) FROM backup_state WHERE {AUDITED}");
    let count: i64 = db.prepare_cached(&sql)?.query_row(params![destination, before], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn record_audited(db: &Connection, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_state SET audited_at = {} WHERE destination = ?1 AND id = ?2",
        write::NOW
    ))?;
    for id in ids {
        statement.execute(params![destination, id.0])?;
    }
    Ok(())
}
