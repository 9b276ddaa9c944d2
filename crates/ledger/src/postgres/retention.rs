//! Until when copies are locked.

use dvb_model::{DestinationName, ObjectKey};
use postgres::{Row, Transaction};

use super::read::{time, wanted};
use super::{Fault, read, write};
use crate::check::place_of;
use crate::validate::storable;
use crate::{LockedCopy, Retention};

/// What is to be purged needs no lock any more.
const NOT_PURGED: &str = "c.id NOT IN (SELECT t.id FROM backup_purge_target t JOIN backup_purge p ON p.number = t.purge
     WHERE t.destination = $2 AND t.id IS NOT NULL AND p.state NOT IN ('done', 'withdrawn'))";
const COLUMNS: &str = concat!(
    "SELECT c.id, c.role, c.version, c.key, c.state, c.size, c.sha256, c.evidence, ",
    time!("c.proved_at"),
    ", c.md5, c.sha1, c.sha512, ",
    time!("c.locked_until"),
    " AS until FROM backup_copy c"
);

pub(super) fn locks_due(
    db: &mut Transaction<'_>,
    name: &DestinationName,
    (before, unlocked): (&str, bool),
    after: Option<&LockedCopy>,
    limit: u32,
) -> Result<Vec<LockedCopy>, Fault> {
    let Some(destination) = read::destination_id(db, name)? else { return Ok(Vec::new()) };
    read::by_index(db)?;
    let (id, role, version) = place_of(after.map(|it| &it.copy));
    let mut page = Vec::new();
    if unlocked && after.is_none_or(|it| it.locked_until.is_none()) {
        let sql = format!(
            "{COLUMNS} WHERE c.destination = $1 AND c.state = 'proved' AND c.locked_until IS NULL AND {NOT_PURGED}
                AND (c.id, c.role, c.version) > ($3::bigint, $4::text, $5::integer)
             ORDER BY c.id, c.role, c.version LIMIT $6"
        );
        page = rows(&db.query(&sql, &[&destination, &name.0, &id, &role, &version, &i64::from(limit)])?)?;
    }
    let rest = i64::from(limit).saturating_sub(i64::try_from(page.len()).unwrap_or(i64::MAX));
    let last = after.filter(|it| it.locked_until.is_some());
    let (id, role, version) = place_of(last.map(|it| &it.copy));
    let at = last.and_then(|it| it.locked_until.as_deref()).unwrap_or("-infinity");
    let sql = format!(
        "{COLUMNS} WHERE c.destination = $1 AND c.state = 'proved' AND c.locked_until IS NOT NULL AND {NOT_PURGED}
            AND c.locked_until < $7::text::timestamptz
            AND (c.locked_until, c.id, c.role, c.version) > ($8::text::timestamptz, $3::bigint, $4::text, $5::integer)
         ORDER BY c.locked_until, c.id, c.role, c.version LIMIT $6"
    );
    page.extend(rows(&db.query(&sql, &[&destination, &name.0, &id, &role, &version, &rest, &before, &at])?)?);
    Ok(page)
}

fn rows(rows: &[Row]) -> Result<Vec<LockedCopy>, Fault> {
    rows.iter().map(|row| Ok(LockedCopy { copy: read::copy(row)?, locked_until: row.try_get("until")? })).collect()
}

pub(super) fn record_locks(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    locks: &[(ObjectKey, String)],
) -> Result<(), Fault> {
    let destination = write::destination_id(db, destination)?;
    read::by_index(db)?;
    let keys: Vec<_> = locks.iter().map(|it| storable(it.0.as_str())).collect();
    let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
    let until: Vec<&str> = locks.iter().map(|it| it.1.as_str()).collect();
    db.execute(
        concat!(
            "UPDATE backup_copy c SET locked_until = w.until::timestamptz FROM ",
            wanted!("$2::text[], $3::text[]", "key, until"),
            " WHERE c.destination = w.destination AND c.key = w.key"
        ),
        &[&destination, &keys, &until],
    )?;
    Ok(())
}

pub(super) fn retention(db: &mut Transaction<'_>, name: &DestinationName) -> Result<Option<Retention>, Fault> {
    let Some(destination) = read::destination_id(db, name)? else { return Ok(None) };
    let sql = format!(
        "SELECT {} FROM backup_copy c
         WHERE c.destination = $1 AND c.state = 'proved' AND c.locked_until IS NOT NULL AND {NOT_PURGED}
         ORDER BY c.locked_until, c.id, c.role, c.version LIMIT 1",
        time!("c.locked_until")
    );
    let Some(row) = db.query_opt(&sql, &[&destination, &name.0])? else { return Ok(None) };
    let earliest: String = row.try_get(0)?;
    let sql = format!(
        "SELECT count(*) FROM backup_copy c
         WHERE c.destination = $1 AND c.state = 'proved' AND c.locked_until IS NULL AND {NOT_PURGED}"
    );
    let unlocked: i64 = db.query_one(&sql, &[&destination, &name.0])?.try_get(0)?;
    Ok(Some(Retention { earliest, unlocked: u64::try_from(unlocked).unwrap_or(0) }))
}
