//! Until when copies are locked.

use dvb_model::{DestinationName, ObjectKey};
use rusqlite::{Connection, OptionalExtension as _, Rows, params};

use super::{Fault, read, write};
use crate::check::place_of;
use crate::{LockedCopy, Retention};

/// What is to be purged needs no lock any more.
const NOT_PURGED: &str = "id NOT IN (SELECT t.id FROM backup_purge_target t JOIN backup_purge p ON p.number = t.purge
     WHERE t.destination = ?2 AND t.id IS NOT NULL AND p.state NOT IN ('done', 'withdrawn'))";
const COLUMNS: &str =
    "SELECT id, role, version, key, state, size, sha256, evidence, proved_at, md5, sha1, sha512, locked_until
     FROM backup_copy";

pub(super) fn locks_due(
    db: &Connection,
    name: &DestinationName,
    (before, unlocked): (&str, bool),
    after: Option<&LockedCopy>,
    limit: u32,
) -> Result<Vec<LockedCopy>, Fault> {
    let Some(destination) = read::destination_id(db, name)? else { return Ok(Vec::new()) };
    let (id, role, version) = place_of(after.map(|it| &it.copy));
    let mut page = Vec::new();
    if unlocked && after.is_none_or(|it| it.locked_until.is_none()) {
        let mut statement = db.prepare_cached(&format!(
            "{COLUMNS} WHERE destination = ?1 AND state = 'proved' AND locked_until IS NULL AND {NOT_PURGED}
                AND (id, role, version) > (?3, ?4, ?5) ORDER BY id, role, version LIMIT ?6"
        ))?;
        page = rows(statement.query(params![destination, name.0, id, role, version, limit])?)?;
    }
    let rest = limit.saturating_sub(u32::try_from(page.len()).unwrap_or(limit));
    let last = after.filter(|it| it.locked_until.is_some());
    let (id, role, version) = place_of(last.map(|it| &it.copy));
    let at = last.and_then(|it| it.locked_until.as_deref()).unwrap_or("");
    let mut statement = db.prepare_cached(&format!(
        "{COLUMNS} INDEXED BY backup_copy_locked WHERE destination = ?1 AND state = 'proved' AND locked_until IS NOT NULL
            AND {NOT_PURGED} AND locked_until < strftime('%Y-%m-%dT%H:%M:%fZ', ?7)
            AND (locked_until, id, role, version) > (?8, ?3, ?4, ?5) ORDER BY locked_until, id, role, version LIMIT ?6"
    ))?;
    page.extend(rows(statement.query(params![destination, name.0, id, role, version, rest, before, at])?)?);
    Ok(page)
}

fn rows(mut rows: Rows<'_>) -> Result<Vec<LockedCopy>, Fault> {
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push(LockedCopy { copy: read::raw_copy(row)?.read()?, locked_until: row.get("locked_until")? });
    }
    Ok(page)
}

pub(super) fn record_locks(
    db: &Connection,
    destination: &DestinationName,
    locks: &[(ObjectKey, String)],
) -> Result<(), Fault> {
    let destination = write::destination_id(db, destination)?;
    let mut statement = db.prepare_cached(
        "UPDATE backup_copy SET locked_until = strftime('%Y-%m-%dT%H:%M:%fZ', ?3)
         WHERE destination = ?1 AND key = ?2",
    )?;
    for (key, until) in locks {
        statement.execute(params![destination, key.as_str(), until])?;
    }
    Ok(())
}

pub(super) fn retention(db: &Connection, name: &DestinationName) -> Result<Option<Retention>, Fault> {
    let Some(destination) = read::destination_id(db, name)? else { return Ok(None) };
    let earliest: Option<String> = db
        .prepare_cached(&format!(
            "SELECT locked_until FROM backup_copy INDEXED BY backup_copy_locked
             WHERE destination = ?1 AND state = 'proved' AND locked_until IS NOT NULL AND {NOT_PURGED}
             ORDER BY locked_until, id, role, version LIMIT 1"
        ))?
        .query_row(params![destination, name.0], |row| row.get(0))
        .optional()?;
    let Some(earliest) = earliest else { return Ok(None) };
    let unlocked: i64 = db
        .prepare_cached(&format!(
            "SELECT count(*) FROM backup_copy
             WHERE destination = ?1 AND state = 'proved' AND locked_until IS NULL AND {NOT_PURGED}"
        ))?
        .query_row(params![destination, name.0], |row| row.get(0))?;
    Ok(Some(Retention { earliest, unlocked: u64::try_from(unlocked).unwrap_or(0) }))
}
