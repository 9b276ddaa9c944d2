//! Copies that are looked at again.

use dvb_model::{DestinationName, RunId};
use rusqlite::{Connection, Rows, params};

use super::{Fault, incident, read, write};
use crate::check::{Checks, UNFOUNDED, of_other_bytes, place_of};
use crate::decode::{entry_kind, version_column};
use crate::validate::storable;
use crate::{Check, CopyRecord, LedgerCopy, SourceDamage};

pub(super) fn oldest_copies(
    db: &Connection,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let before = before.unwrap_or(END_OF_TIME);
    let mut statement = db.prepare_cached(OLDEST)?;
    let at = after.and_then(|it| it.proved_at.as_deref()).unwrap_or("");
    let (id, role, version) = place_of(after);
    held(statement.query(params![destination, before, at, id, role, version, limit])?)
}

pub(super) fn damaged_copies(
    db: &Connection,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(DAMAGED)?;
    let (id, role, version) = place_of(after);
    held(statement.query(params![destination, id, role, version, limit])?)
}

/// Columns, with where they are from. An index may stand in the text: the planner would go through all copies.
macro_rules! held_from {
    ($index:literal) => {
        concat!(
            "SELECT c.id, c.role, c.version, c.key, c.state, c.size, c.sha256, c.evidence, c.proved_at,
                    coalesce(s.kind, 'file'), s.dataset, s.storage_identifier, s.label, s.gone_since IS NOT NULL,
                    c.md5, c.sha1, c.sha512
             FROM backup_copy c ",
            $index,
            " LEFT JOIN backup_state s ON s.destination = c.destination AND s.id = c.id"
        )
    };
}
pub(super) use held_from;

/// Later than any proof: the last time that SQLite knows.
pub(super) const END_OF_TIME: &str = "9999-12-31T23:59:59.999Z";

const OLDEST: &str = concat!(
    held_from!("INDEXED BY backup_copy_oldest"),
    " WHERE c.destination = ?1 AND c.state = 'proved' AND c.proved_at < strftime('%Y-%m-%dT%H:%M:%fZ', ?2)
        AND (c.proved_at, c.id, c.role, c.version) > (?3, ?4, ?5, ?6)
      ORDER BY c.proved_at, c.id, c.role, c.version LIMIT ?7"
);

const DAMAGED: &str = concat!(
    held_from!("INDEXED BY backup_copy_damaged"),
    " WHERE c.destination = ?1 AND c.state = 'damaged' AND s.status <> 'OK'
        AND (c.id, c.role, c.version) > (?2, ?3, ?4)
      ORDER BY c.id, c.role, c.version LIMIT ?5"
);

pub(super) fn held(mut rows: Rows<'_>) -> Result<Vec<LedgerCopy>, Fault> {
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let copy = read::raw_copy(row)?.read()?;
        let kind: String = row.get(9)?;
        page.push(LedgerCopy {
            kind: entry_kind(&kind, copy.id.0)?,
            copy,
            dataset: row.get(10)?,
            storage_identifier: row.get(11)?,
            label: row.get(12)?,
            gone: row.get(13)?,
        });
    }
    Ok(page)
}

pub(super) fn count_copies(db: &Connection, destination: &DestinationName, before: Option<&str>) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let before = before.unwrap_or(END_OF_TIME);
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM backup_copy
         WHERE destination = ?1 AND state = 'proved' AND proved_at < strftime('%Y-%m-%dT%H:%M:%fZ', ?2)",
    )?;
    let count: i64 = statement.query_row(params![destination, before], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn record_checks(
    db: &Connection,
    destination: &DestinationName,
    run: &RunId,
    checks: &[Check],
) -> Result<(), Fault> {
    let (checks, name) = (Checks::of(checks)?, destination.0.as_str());
    let (destination, now) = (write::destination_id(db, destination)?, write::NOW);
    let mut good = db.prepare_cached(&format!(
        "UPDATE backup_copy SET state = 'proved', evidence = ?5, proved_at = {now}
         WHERE destination = ?1 AND id = ?2 AND role = ?3 AND version = ?4 AND sha256 = ?6"
    ))?;
    for row in &checks.good {
        let (id, role, version) = &row.place;
        let changed =
            good.execute(params![destination, id.0, role, version_column(*version), row.evidence, row.sha256])?;
        if changed != 1 {
            return Err(of_other_bytes(&row.place).into());
        }
    }
    write::write_damage(db, destination, &checks.damaged)?;
    incident::open(db, run, checks.findings.iter().copied())?;
    incident::close_checked(db, destination, name, run, &checks)?;
    let mut state = db.prepare_cached(&format!(
        "UPDATE backup_state SET
             reason = CASE WHEN status = 'FAIL_VERIFY' AND run = ?3 THEN coalesce(reason || '; ', '') ELSE '' END || ?4,
             status = 'FAIL_VERIFY', basis = NULL, run = ?3, recorded_at = {now}
         WHERE destination = ?1 AND id = ?2"
    ))?;
    for (id, reason) in &checks.reasons {
        state.execute(params![destination, id, run.0, reason])?;
    }
    Ok(())
}

pub(super) fn record_source_damage(
    db: &Connection,
    destination: &DestinationName,
    run: &RunId,
    found: &[SourceDamage],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let mut state = db.prepare_cached(&format!(
        "UPDATE backup_state SET status = ?3, reason = ?4, basis = NULL, run = ?5, recorded_at = {}
         WHERE destination = ?1 AND id = ?2 AND kind = 'file' AND status = 'OK'",
        write::NOW
    ))?;
    for it in found {
        state.execute(params![destination, it.id.0, it.status.name(), storable(&it.reason), run.0])?;
    }
    Ok(())
}

const UNFOUNDED_STATES: &str = "destination = ?1 AND kind = 'file' AND status = 'OK' AND NOT EXISTS (
    SELECT 1 FROM backup_copy c
    WHERE c.destination = backup_state.destination AND c.id = backup_state.id AND c.state = 'proved')";

pub(super) fn has_unfounded(db: &Connection, destination: &DestinationName) -> Result<bool, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(false) };
    let sql = format!("SELECT EXISTS (SELECT 1 FROM backup_state WHERE {UNFOUNDED_STATES})");
    Ok(db.query_row(&sql, [destination], |row| row.get(0))?)
}

pub(super) fn distrust(db: &Connection, destination: &DestinationName, run: &RunId) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let changed = db.execute(
        &format!(
            "UPDATE backup_state SET status = 'FAIL_VERIFY', reason = ?2, basis = NULL, run = ?3, recorded_at = {}
             WHERE {UNFOUNDED_STATES}",
            write::NOW
        ),
        params![destination, UNFOUNDED, run.0],
    )?;
    Ok(changed as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sqlite::claim;
    use crate::sqlite::migrate::STEPS;

    #[test]
    fn pages_are_read_by_their_indexes() {
        let db = Connection::open_in_memory().unwrap();
        STEPS.iter().for_each(|it| db.execute_batch(it).unwrap());
        for sql in [OLDEST, DAMAGED, claim::CLAIMED, claim::COUNT_CLAIMED, read::DETAILS] {
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![1; statement.parameter_count()];
            let steps = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            // The destinations are few.
            let scans: Vec<_> =
                steps.iter().filter(|it| it.starts_with("SCAN ") && it.split(' ').nth(1) != Some("d")).collect();
            assert!(scans.is_empty() && !steps.iter().any(|it| it.contains("TEMP B-TREE")), "{sql}: {steps:#?}");
            // A part of the copies is read by the index of that part, not by the table's own.
            assert!(!steps[0].starts_with("SEARCH c USING PRIMARY KEY"), "{sql}: {steps:#?}");
        }
    }
}
