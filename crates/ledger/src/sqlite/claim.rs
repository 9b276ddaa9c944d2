//! What a snapshot says, where the ledger was lost.

use dvb_model::{DestinationName, RunId};
use rusqlite::{Connection, params};

use super::check::{held, held_from};
use super::{Fault, read, write};
use crate::check::place_of;
use crate::claim::{CopyRow, copies, status};
use crate::validate::storable;
use crate::{Claim, CopyRecord, LedgerCopy};

pub(super) fn is_blank(db: &Connection, destination: &DestinationName) -> Result<bool, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(true) };
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM backup_state WHERE destination = ?1 AND status NOT IN ('PENDING', 'NOT_COVERED', 'PURGED'))
                  AND NOT EXISTS (SELECT 1 FROM backup_copy WHERE destination = ?1 AND state = 'proved')";
    Ok(db.query_row(sql, [destination], |row| row.get(0))?)
}

pub(super) fn claim(
    db: &Connection,
    destination: &DestinationName,
    run: &RunId,
    claims: &[Claim],
) -> Result<(), Fault> {
    let copies = copies(claims)?;
    let (destination, now) = (write::destination_id(db, destination)?, write::NOW);
    let mut state = db.prepare_cached(&format!(
        "INSERT INTO backup_state (
             destination, id, kind, status, fingerprint, reason, basis, provisional, dataset, dataset_identifier,
             storage_identifier, label, method, run, gone_since, first_seen, recorded_at)
         VALUES (?1, ?2, ?3, ?14, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11, ?12,
                 strftime('%Y-%m-%dT%H:%M:%fZ', ?13), {now}, {now})
         ON CONFLICT DO NOTHING"
    ))?;
    for it in claims {
        state.execute(params![
            destination,
            it.id.0,
            it.kind.name(),
            it.fingerprint,
            storable(&it.reason),
            it.basis.map(crate::Basis::name),
            it.dataset.as_deref().map(storable),
            it.dataset_identifier.as_deref().map(storable),
            it.storage_identifier.as_deref().map(storable),
            it.label.as_deref().map(storable),
            it.method,
            run.0,
            it.gone_since,
            status(it),
        ])?;
    }
    let mut copy = db.prepare_cached(&format!(
        "INSERT INTO backup_copy (
             destination, id, role, version, key, state, size, sha256, evidence, proved_at, first_seen, adopted)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, strftime('%Y-%m-%dT%H:%M:%fZ', ?10), {now}, 1
         WHERE NOT EXISTS (SELECT 1 FROM backup_tombstone WHERE id = ?2)
         ON CONFLICT DO NOTHING"
    ))?;
    for CopyRow { id, role, version, key, state, size, sha256, evidence, proved_at } in copies {
        copy.execute(params![destination, id, role, version, key, state, size, sha256, evidence, proved_at])?;
    }
    Ok(())
}

/// There are none but after a loss of the ledger.
pub(super) const CLAIMED: &str = concat!(
    held_from!("INDEXED BY backup_copy_claimed"),
    " WHERE c.destination = ?1 AND c.state = 'reserved' AND c.sha256 IS NOT NULL
        AND (c.id, c.role, c.version) > (?2, ?3, ?4)
      ORDER BY c.id, c.role, c.version LIMIT ?5"
);
pub(super) const COUNT_CLAIMED: &str = "SELECT count(*) FROM backup_copy c INDEXED BY backup_copy_claimed
     WHERE c.destination = ?1 AND c.state = 'reserved' AND c.sha256 IS NOT NULL";

pub(super) fn claimed_copies(
    db: &Connection,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(CLAIMED)?;
    let (id, role, version) = place_of(after);
    held(statement.query(params![destination, id, role, version, limit])?)
}

pub(super) fn count_claimed(db: &Connection, destination: &DestinationName) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let count: i64 = db.query_row(COUNT_CLAIMED, [destination], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
