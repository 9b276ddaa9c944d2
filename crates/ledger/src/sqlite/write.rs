//! What changes the file; each function within one transaction.

use std::collections::HashMap;

use dvb_fixity::Algorithm;
use dvb_model::{DestinationName, DvObjectId, RunId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Fault, incident, read};
use crate::decode::{self, version_column};
use crate::reserve::KeyAllocator;
use crate::validate::{self, Changes, Known, Place};
use crate::{LedgerError, Record, Reservation, Run, RunSummary};

/// The present as the ledger writes it.
pub(super) const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

pub(super) fn destination_id(db: &Connection, destination: &DestinationName) -> rusqlite::Result<i64> {
    if let Some(id) = read::destination_id(db, destination)? {
        return Ok(id);
    }
    db.execute("INSERT INTO backup_destination (name) VALUES (?1)", [&destination.0])?;
    Ok(db.last_insert_rowid())
}

pub(super) fn begin_run(db: &Connection, run: &Run) -> Result<(), Fault> {
    let destination = destination_id(db, &run.destination)?;
    db.execute(
        "INSERT INTO backup_run (id, destination, started, host, pid)
         VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3), ?4, ?5) ON CONFLICT DO NOTHING",
        params![run.id.0, destination, run.started, run.host, run.pid],
    )?;
    Ok(())
}

pub(super) fn finish_run(db: &Connection, run: &RunId, summary: &RunSummary) -> Result<bool, Fault> {
    let catalogued = i64::try_from(summary.catalogued).unwrap_or(i64::MAX);
    let changed = db.execute(
        "UPDATE backup_run SET finished = strftime('%Y-%m-%dT%H:%M:%fZ', ?2), catalogued = ?3, exit_code = ?4,
                summary = ?5 WHERE id = ?1",
        params![run.0, summary.finished, catalogued, summary.exit_code, summary.json],
    )?;
    Ok(changed > 0)
}

pub(super) fn mark_gone(db: &Connection, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), Fault> {
    let destination = destination_id(db, destination)?;
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_state SET gone_since = {NOW} WHERE destination = ?1 AND id = ?2 AND gone_since IS NULL"
    ))?;
    ids.iter().try_for_each(|id| statement.execute(params![destination, id.0]).map(drop))?;
    Ok(())
}

pub(super) fn record_pids(
    db: &Connection,
    destination: &DestinationName,
    pids: &[(DvObjectId, &str)],
) -> Result<(), Fault> {
    let destination = destination_id(db, destination)?;
    let mut statement = db.prepare_cached("UPDATE backup_state SET dataset = ?3 WHERE destination = ?1 AND id = ?2")?;
    pids.iter().try_for_each(|(id, pid)| statement.execute(params![destination, id.0, pid]).map(drop))?;
    Ok(())
}

/// A copy that a snapshot claims lies at a reserved key, with a digest.
const KNOWN: &str = "SELECT id, role, version, key,
            CASE WHEN state = 'reserved' AND sha256 IS NOT NULL THEN 'claimed' ELSE state END FROM backup_copy WHERE destination = ?1";

fn known(row: &Row<'_>) -> rusqlite::Result<Result<(Place, Known), LedgerError>> {
    let state: String = row.get(4)?;
    Ok(decode::known(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, &state))
}

fn known_at(db: &Connection, destination: i64, place: &Place) -> Result<Option<(Place, Known)>, Fault> {
    let mut statement = db.prepare_cached(&format!("{KNOWN} AND id = ?2 AND role = ?3 AND version = ?4"))?;
    let of = params![destination, place.0.0, place.1, version_column(place.2)];
    Ok(statement.query_row(of, known).optional()?.transpose()?)
}

pub(super) fn reserve(
    db: &Connection,
    destination: &DestinationName,
    wishes: &[Reservation],
) -> Result<Vec<DvObjectId>, Fault> {
    let destination = destination_id(db, destination)?;
    let mut board = KeyAllocator::default();
    {
        let mut by_key = db.prepare_cached(&format!("{KNOWN} AND key = ?2"))?;
        for wish in wishes {
            let place = (wish.id, wish.role.to_string(), wish.version);
            let at_key = by_key.query_row(params![destination, wish.key.as_str()], known).optional()?.transpose()?;
            let found = at_key.into_iter().chain(known_at(db, destination, &place)?);
            found.for_each(|(place, known)| board.enter(place, known));
        }
    }
    let allotment = board.allot(wishes)?;
    let mut delete = db.prepare_cached(
        "DELETE FROM backup_copy
         WHERE destination = ?1 AND id = ?2 AND role = ?3 AND version = ?4 AND state = 'reserved' AND sha256 IS NULL",
    )?;
    for (id, role, version) in &allotment.deletes {
        delete.execute(params![destination, id.0, role, version_column(*version)])?;
    }
    let mut insert = db.prepare_cached(&format!(
        "INSERT INTO backup_copy (destination, id, role, version, key, state, first_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, 'reserved', {NOW})"
    ))?;
    for ((id, role, version), key) in &allotment.inserts {
        insert.execute(params![destination, id.0, role, version_column(*version), key])?;
    }
    Ok(allotment.owners)
}

pub(super) fn record(
    db: &Connection,
    destination: &DestinationName,
    run: &RunId,
    records: &[Record],
) -> Result<(), Fault> {
    let (destination, name) = (destination_id(db, destination)?, destination.0.as_str());
    for part in validate::parts(records) {
        let mut on_record = HashMap::new();
        for place in validate::places(part) {
            on_record.extend(known_at(db, destination, &place)?);
        }
        let changes = validate::validate(part, &on_record)?;
        write_proofs(db, destination, &changes)?;
        write_damage(db, destination, &changes.damaged)?;
        write_states(db, destination, run, &changes)?;
        incident::open(db, run, changes.findings.iter().copied())?;
        incident::close_settled(db, destination, name, run, &changes)?;
    }
    Ok(())
}

fn write_proofs(db: &Connection, destination: i64, changes: &Changes<'_>) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_copy SET adopted = ?11 OR (state = 'proved' AND adopted), state = 'proved', size = ?5,
                sha256 = ?6, md5 = ?7, sha1 = ?8, sha512 = ?9, evidence = ?10, proved_at = {NOW},
                locked_until = NULL
         WHERE destination = ?1 AND id = ?2 AND role = ?3 AND version = ?4"
    ))?;
    for row in &changes.proofs {
        let (id, role, version) = &row.place;
        statement.execute(params![
            destination,
            id.0,
            role,
            version_column(*version),
            row.size(),
            row.digest(Algorithm::Sha256),
            row.digest(Algorithm::Md5),
            row.digest(Algorithm::Sha1),
            row.digest(Algorithm::Sha512),
            row.proof.evidence().name(),
            row.adopted,
        ])?;
    }
    Ok(())
}

pub(super) fn write_damage(db: &Connection, destination: i64, damaged: &[Place]) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "UPDATE backup_copy SET state = 'damaged'
         WHERE destination = ?1 AND id = ?2 AND role = ?3 AND version = ?4
           AND (state = 'proved' OR sha256 IS NOT NULL)",
    )?;
    for (id, role, version) in damaged {
        statement.execute(params![destination, id.0, role, version_column(*version)])?;
    }
    Ok(())
}

fn write_states(db: &Connection, destination: i64, run: &RunId, changes: &Changes<'_>) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&format!(
        "INSERT INTO backup_state AS s (
             destination, id, kind, status, fingerprint, reason, basis, provisional, dataset, dataset_identifier,
             storage_identifier, label, method, run, last_backup, first_seen, recorded_at, audited_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                 CASE WHEN ?15 THEN {NOW} END, {NOW}, {NOW}, CASE WHEN ?16 THEN {NOW} ELSE '' END)
         ON CONFLICT (destination, id) DO UPDATE SET
             kind = excluded.kind, status = excluded.status, fingerprint = excluded.fingerprint,
             reason = excluded.reason, basis = excluded.basis, provisional = excluded.provisional,
             dataset = coalesce(excluded.dataset, s.dataset),
             dataset_identifier = coalesce(excluded.dataset_identifier, s.dataset_identifier),
             storage_identifier = coalesce(excluded.storage_identifier, s.storage_identifier),
             label = coalesce(excluded.label, s.label),
             method = excluded.method, run = excluded.run,
             last_backup = coalesce(excluded.last_backup, s.last_backup),
             gone_since = NULL, recorded_at = excluded.recorded_at,
             audited_at = max(excluded.audited_at, s.audited_at)
         WHERE s.status <> 'PURGED'"
    ))?;
    for row in &changes.states {
        statement.execute(params![
            destination,
            row.id,
            row.kind,
            row.status,
            row.fingerprint,
            row.reason,
            row.basis,
            row.provisional,
            row.dataset,
            row.dataset_identifier,
            row.storage_identifier,
            row.label,
            row.method,
            run.0,
            row.backed_up,
            row.audited,
        ])?;
    }
    Ok(())
}
