//! What is known of the source.

use dvb_model::{DestinationName, DvObjectId};
use postgres::Transaction;

use super::Fault;
use super::read::{self, by_index, wanted};
use crate::decode::{number, parsed};
use crate::{Audited, ObjectSize};

pub(super) fn sizes(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    (first, last): (DvObjectId, DvObjectId),
) -> Result<Vec<ObjectSize>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let sql = "SELECT id, role, version, size FROM backup_copy
               WHERE destination = $1 AND id BETWEEN $2 AND $3 AND state <> 'reserved' ORDER BY id";
    let mut found = Vec::new();
    for row in db.query(sql, &[&destination, &first.0, &last.0])? {
        let id: i64 = row.try_get(0)?;
        let (version, size): (i32, i64) = (row.try_get(2)?, row.try_get(3)?);
        found.push(ObjectSize {
            id: DvObjectId(id),
            role: parsed(row.try_get(1)?, "role", id)?,
            version: number(version, "version", id)?,
            size: number(size, "size", id)?,
        });
    }
    Ok(found)
}

pub(super) fn mark(db: &mut Transaction<'_>, name: &str) -> Result<Option<String>, Fault> {
    let row = db.query_opt("SELECT value FROM backup_mark WHERE name = $1", &[&name])?;
    Ok(row.map(|it| it.try_get(0)).transpose()?)
}

pub(super) fn set_mark(db: &mut Transaction<'_>, name: &str, value: Option<&str>) -> Result<(), Fault> {
    match value {
        Some(value) => db.execute(
            "INSERT INTO backup_mark (name, value, recorded_at) VALUES ($1, $2, now())
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, recorded_at = excluded.recorded_at",
            &[&name, &value],
        )?,
        None => db.execute("DELETE FROM backup_mark WHERE name = $1", &[&name])?,
    };
    Ok(())
}

/// The condition is that of the index.
const AUDITED: &str = "destination = $1 AND kind = 'file' AND status = 'OK' AND gone_since IS NULL
           AND audited_at < $2::text::timestamptz";

pub(super) fn least_recently_audited(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<Audited>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let before = before.unwrap_or("infinity");
    by_index(db)?;
    let time = read::AUDITED_AT;
    let sql =
        format!("SELECT id, {time} FROM backup_state WHERE {AUDITED} ORDER BY backup_state.audited_at, id LIMIT $3");
    let rows = db.query(&sql, &[&destination, &before, &i64::from(limit)])?;
    let audited = rows.iter().map(|row| Ok(Audited { id: DvObjectId(row.try_get(0)?), at: row.try_get(1)? }));
    Ok(audited.collect::<Result<_, postgres::Error>>()?)
}

pub(super) fn count_audited(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    before: Option<&str>,
) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let before = before.unwrap_or("infinity");
    let sql = format!("SELECT count(*) FROM backup_state WHERE {AUDITED}");
    let count: i64 = db.query_one(&sql, &[&destination, &before])?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn record_audited(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    by_index(db)?;
    let sql = concat!(
        "UPDATE backup_state s SET audited_at = now() FROM ",
        wanted!("$2::bigint[]", "id"),
        " WHERE s.destination = w.destination AND s.id = w.id"
    );
    db.execute(sql, &[&destination, &read::ids_once(ids)])?;
    Ok(())
}
