//! Lawful purges.

use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Fault, read, write};
use crate::purge::{self, REMOVED};
use crate::validate::storable;
use crate::{Hold, Purge, PurgeState, PurgeTarget, Signed, Tombstone};

fn number_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

pub(super) fn request(db: &Connection, purge: &Purge, targets: &[PurgeTarget]) -> Result<u64, Fault> {
    db.execute(
        "INSERT INTO backup_purge (run, state, requested_at, digest, record)
         VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3), ?4, ?5)",
        params![purge.run.0, purge.state.name(), purge.requested.at, purge.digest, purge::written(purge)?],
    )?;
    let number = u64::try_from(db.last_insert_rowid()).unwrap_or(0);
    record_targets(db, number, targets)?;
    Ok(number)
}

pub(super) fn purges(db: &Connection) -> Result<Vec<Purge>, Fault> {
    let mut statement = db.prepare_cached("SELECT number, state, record FROM backup_purge ORDER BY number")?;
    let rows = statement
        .query_map([], |row| Ok(purge::purge_of(row.get(0)?, &row.get::<_, String>(1)?, &row.get::<_, String>(2)?)))?;
    rows.map(|row| Ok(row??)).collect()
}

pub(super) fn advance(db: &Connection, purge: &Purge, from: PurgeState) -> Result<bool, Fault> {
    let changed = db.execute(
        "UPDATE backup_purge SET state = ?4, record = ?5 WHERE number = ?1 AND state = ?2 AND digest = ?3",
        params![number_of(purge.number), from.name(), purge.digest, purge.state.name(), purge::written(purge)?],
    )?;
    Ok(changed > 0)
}

pub(super) fn targets(db: &Connection, number: u64) -> Result<Vec<PurgeTarget>, Fault> {
    let mut statement = db.prepare_cached("SELECT record FROM backup_purge_target WHERE purge = ?1 ORDER BY number")?;
    let rows = statement.query_map([number_of(number)], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(purge::read(&row?)?)).collect()
}

pub(super) fn record_targets(db: &Connection, number: u64, targets: &[PurgeTarget]) -> Result<(), Fault> {
    let mut statement = db.prepare_cached(
        "INSERT INTO backup_purge_target (purge, number, destination, id, state, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (purge, number) DO UPDATE SET state = excluded.state, record = excluded.record",
    )?;
    for it in targets {
        let id = it.id.map(|id| id.0);
        let record = purge::written(it)?;
        statement.execute(params![
            number_of(number),
            number_of(it.number),
            it.destination.0,
            id,
            it.state.name(),
            record
        ])?;
    }
    Ok(())
}

pub(super) fn bury(
    db: &Connection,
    destination: &DestinationName,
    run: &RunId,
    tombstones: &[Tombstone],
) -> Result<(), Fault> {
    let (destination, now) = (write::destination_id(db, destination)?, write::NOW);
    for it in tombstones {
        let changed = db.execute(
            "INSERT INTO backup_tombstone (destination, id, run, proved_at, record)
             VALUES (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%fZ', ?4), ?5)
             ON CONFLICT (destination, id, run) DO UPDATE SET proved_at = excluded.proved_at, record = excluded.record
             WHERE backup_tombstone.proved_at IS NULL",
            params![destination, it.id.0, it.purge.0, it.proved_at, purge::written(it)?],
        )?;
        if changed == 0 {
            continue;
        }
        remove_names(db, it.id)?;
        db.execute(
            &format!(
                "INSERT INTO backup_state (destination, id, kind, status, fingerprint, reason, provisional, method,
                                           first_seen, gone_since, run, recorded_at)
                 VALUES (?1, ?2, ?3, ?4, '', ?5, 0, '', {now}, NULL, ?6, {now})
                 ON CONFLICT (destination, id) DO UPDATE SET
                     status = excluded.status, reason = excluded.reason, basis = NULL, provisional = 0, dataset = NULL,
                     dataset_identifier = NULL, storage_identifier = NULL, label = NULL, fingerprint = '',
                     run = excluded.run, recorded_at = excluded.recorded_at"
            ),
            params![destination, it.id.0, it.kind.name(), Status::Purged.name(), storable(&purge::reason(it)), run.0],
        )?;
        db.execute(
            "UPDATE backup_copy SET state = 'reserved', size = NULL, sha256 = NULL, md5 = NULL, sha1 = NULL,
                    sha512 = NULL, evidence = NULL, proved_at = NULL, adopted = 0
             WHERE destination = ?1 AND id = ?2",
            params![destination, it.id.0],
        )?;
    }
    Ok(())
}

/// Takes the names of a data file out of whatever else speaks of it.
fn remove_names(db: &Connection, id: DvObjectId) -> Result<(), Fault> {
    let mut statement = db.prepare_cached(
        // Each destination is looked up by itself: the keys begin with it.
        "SELECT label FROM backup_state
         WHERE destination IN (SELECT id FROM backup_destination) AND id = ?1 AND label IS NOT NULL
         UNION SELECT storage_identifier FROM backup_state
         WHERE destination IN (SELECT id FROM backup_destination) AND id = ?1 AND storage_identifier IS NOT NULL
         UNION SELECT key FROM backup_copy WHERE destination IN (SELECT id FROM backup_destination) AND id = ?1",
    )?;
    let names = statement.query_map([id.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    for (name, instead) in purge::replacements(&names) {
        for sql in [
            "UPDATE backup_event SET scope = replace(scope, ?1, ?2) WHERE instr(scope, ?1) > 0",
            "UPDATE backup_event SET counts = replace(counts, ?1, ?2) WHERE instr(counts, ?1) > 0",
            "UPDATE backup_run SET summary = replace(summary, ?1, ?2) WHERE instr(summary, ?1) > 0",
        ] {
            db.execute(sql, params![name, instead])?;
        }
    }
    let original: Option<String> = db
        .query_row("SELECT type FROM sqlite_master WHERE name = 'datafilestatus_original'", [], |row| row.get(0))
        .optional()?;
    if original.is_some() {
        db.execute(
            "DELETE FROM datafilestatus_original WHERE EXISTS (
                 SELECT 1 FROM backup_state s
                 WHERE s.destination IN (SELECT id FROM backup_destination) AND s.id = ?1
                    AND s.storage_identifier IN (storageidentifier, 'file://' || storageidentifier)
                    AND (s.storage_identifier = storageidentifier OR s.dataset_identifier = datasetidentifier))",
            [id.0],
        )?;
    }
    db.execute(
        &format!(
            "UPDATE backup_incident SET key = '', detail = ?2, note = NULL, note_by = NULL, note_at = NULL, kept = NULL,
                    mended_by = CASE WHEN mended_at IS NULL THEN ?2 ELSE mended_by END,
                    mended_from = CASE WHEN mended_at IS NULL THEN ?2 ELSE mended_from END,
                    mended_at = coalesce(mended_at, {}) WHERE id = ?1",
            write::NOW
        ),
        params![id.0, REMOVED],
    )?;
    db.execute(
        &format!(
            "UPDATE backup_acknowledgement SET reason = ?2, ended_at = coalesce(ended_at, {}) WHERE id = ?1",
            write::NOW
        ),
        params![id.0, REMOVED],
    )?;
    Ok(())
}

pub(super) fn free_keys(db: &Connection, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let mut statement = db.prepare_cached(
        "DELETE FROM backup_copy WHERE destination = ?1 AND id = ?2 AND EXISTS (
             SELECT 1 FROM backup_tombstone t WHERE t.destination = ?1 AND t.id = ?2)",
    )?;
    ids.iter().try_for_each(|id| statement.execute(params![destination, id.0]).map(drop))?;
    Ok(())
}

pub(super) fn take_over(db: &Connection, purges: &[Purge], holds: &[Hold]) -> Result<(), Fault> {
    let now: String = db.query_row(&format!("SELECT {}", write::NOW), [], |row| row.get(0))?;
    for it in purges {
        let it = purge::taken_over(it, now.clone());
        db.execute(
            "INSERT INTO backup_purge (run, state, requested_at, digest, record)
             VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3), ?4, ?5) ON CONFLICT DO NOTHING",
            params![it.run.0, it.state.name(), it.requested.at, it.digest, purge::written(&it)?],
        )?;
    }
    for it in holds {
        db.execute(
            "INSERT INTO backup_hold (run, released_at, record) VALUES (?1, strftime('%Y-%m-%dT%H:%M:%fZ', ?2), ?3)
             ON CONFLICT DO NOTHING",
            params![it.run.0, it.released.as_ref().map(|(by, _)| &by.at), purge::written(it)?],
        )?;
    }
    Ok(())
}

pub(super) fn tombstones(db: &Connection) -> Result<Vec<Tombstone>, Fault> {
    let mut statement = db.prepare_cached("SELECT record FROM backup_tombstone ORDER BY id, destination, run")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(purge::read(&row?)?)).collect()
}

pub(super) fn place_hold(db: &Connection, hold: &Hold) -> Result<u64, Fault> {
    db.execute("INSERT INTO backup_hold (run, record) VALUES (?1, ?2)", params![hold.run.0, purge::written(hold)?])?;
    Ok(u64::try_from(db.last_insert_rowid()).unwrap_or(0))
}

pub(super) fn holds(db: &Connection) -> Result<Vec<Hold>, Fault> {
    let mut statement = db.prepare_cached("SELECT number, record FROM backup_hold ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok(purge::hold_of(row.get(0)?, &row.get::<_, String>(1)?)))?;
    rows.map(|row| Ok(row??)).collect()
}

pub(super) fn release_hold(db: &Connection, number: u64, by: &Signed, reference: &str) -> Result<bool, Fault> {
    let Some(hold) = holds(db)?.into_iter().find(|it| it.number == number && it.released.is_none()) else {
        return Ok(false);
    };
    let released = Hold { released: Some((by.clone(), reference.to_owned())), ..hold };
    let changed = db.execute(
        "UPDATE backup_hold SET released_at = strftime('%Y-%m-%dT%H:%M:%fZ', ?2), record = ?3
         WHERE number = ?1 AND released_at IS NULL",
        params![number_of(number), by.at, purge::written(&released)?],
    )?;
    Ok(changed > 0)
}
