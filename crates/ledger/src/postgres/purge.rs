//! Lawful purges.

use dvb_model::{DestinationName, DvObjectId, RunId, Status};
use postgres::Transaction;

use super::read::time;
use super::{Fault, read, write};
use crate::purge::{self, REMOVED};
use crate::validate::storable;
use crate::{Hold, Purge, PurgeState, PurgeTarget, Signed, Tombstone};

fn number_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

pub(super) fn request(db: &mut Transaction<'_>, purge: &Purge, targets: &[PurgeTarget]) -> Result<u64, Fault> {
    write::durable(db)?;
    let number: i64 = db
        .query_one(
            "INSERT INTO backup_purge (run, state, requested_at, digest, record)
             VALUES ($1, $2, $3::text::timestamptz, $4, $5) RETURNING number",
            &[
                &purge.run.0,
                &purge.state.name(),
                &purge.requested.at,
                &purge.digest,
                &storable(&purge::written(purge)?).as_ref(),
            ],
        )?
        .try_get(0)?;
    let number = u64::try_from(number).unwrap_or(0);
    record_targets(db, number, targets)?;
    Ok(number)
}

pub(super) fn purges(db: &mut Transaction<'_>) -> Result<Vec<Purge>, Fault> {
    db.query("SELECT number, state, record FROM backup_purge ORDER BY number", &[])?
        .iter()
        .map(|row| Ok(purge::purge_of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)?))
        .collect()
}

pub(super) fn advance(db: &mut Transaction<'_>, purge: &Purge, from: PurgeState) -> Result<bool, Fault> {
    write::durable(db)?;
    let changed = db.execute(
        "UPDATE backup_purge SET state = $4, record = $5 WHERE number = $1 AND state = $2 AND digest = $3",
        &[
            &number_of(purge.number),
            &from.name(),
            &purge.digest,
            &purge.state.name(),
            &storable(&purge::written(purge)?).as_ref(),
        ],
    )?;
    Ok(changed > 0)
}

pub(super) fn targets(db: &mut Transaction<'_>, number: u64) -> Result<Vec<PurgeTarget>, Fault> {
    db.query("SELECT record FROM backup_purge_target WHERE purge = $1 ORDER BY number", &[&number_of(number)])?
        .iter()
        .map(|row| Ok(purge::read(row.try_get(0)?)?))
        .collect()
}

pub(super) fn record_targets(db: &mut Transaction<'_>, number: u64, targets: &[PurgeTarget]) -> Result<(), Fault> {
    write::durable(db)?;
    let statement = db.prepare(
        "INSERT INTO backup_purge_target (purge, number, destination, id, state, record)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (purge, number) DO UPDATE SET state = excluded.state, record = excluded.record",
    )?;
    for it in targets {
        let id = it.id.map(|id| id.0);
        let record = purge::written(it)?;
        db.execute(
            &statement,
            &[&number_of(number), &number_of(it.number), &it.destination.0, &id, &it.state.name(), &record],
        )?;
    }
    Ok(())
}

pub(super) fn bury(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    run: &RunId,
    tombstones: &[Tombstone],
) -> Result<(), Fault> {
    write::durable(db)?;
    let destination = write::destination_id(db, destination)?;
    for it in tombstones {
        let changed = db.execute(
            "INSERT INTO backup_tombstone (destination, id, run, proved_at, record)
             VALUES ($1, $2, $3, $4::text::timestamptz, $5)
             ON CONFLICT (destination, id, run) DO UPDATE SET proved_at = excluded.proved_at, record = excluded.record
             WHERE backup_tombstone.proved_at IS NULL",
            &[&destination, &it.id.0, &it.purge.0, &it.proved_at, &storable(&purge::written(it)?).as_ref()],
        )?;
        if changed == 0 {
            continue;
        }
        remove_names(db, it.id)?;
        db.execute(
            "INSERT INTO backup_state (destination, id, kind, status, fingerprint, reason, provisional, method,
                                       first_seen, gone_since, run, recorded_at)
             VALUES ($1, $2, $3, $4, '', $5, false, '', now(), NULL, $6, now())
             ON CONFLICT (destination, id) DO UPDATE SET
                 status = excluded.status, reason = excluded.reason, basis = NULL, provisional = false, dataset = NULL,
                 dataset_identifier = NULL, storage_identifier = NULL, label = NULL, fingerprint = '',
                 run = excluded.run, recorded_at = excluded.recorded_at",
            &[
                &destination,
                &it.id.0,
                &it.kind.name(),
                &Status::Purged.name(),
                &storable(&purge::reason(it)).as_ref(),
                &run.0,
            ],
        )?;
        db.execute(
            "UPDATE backup_copy SET state = 'reserved', size = NULL, sha256 = NULL, md5 = NULL, sha1 = NULL,
                    sha512 = NULL, evidence = NULL, proved_at = NULL, adopted = false
             WHERE destination = $1 AND id = $2",
            &[&destination, &it.id.0],
        )?;
    }
    Ok(())
}

/// Takes the names of a data file out of whatever else speaks of it.
fn remove_names(db: &mut Transaction<'_>, id: DvObjectId) -> Result<(), Fault> {
    let rows = db.query(
        // Each destination is looked up by itself: the keys begin with it.
        "SELECT label FROM backup_state
         WHERE destination IN (SELECT id FROM backup_destination) AND id = $1 AND label IS NOT NULL
         UNION SELECT storage_identifier FROM backup_state
         WHERE destination IN (SELECT id FROM backup_destination) AND id = $1 AND storage_identifier IS NOT NULL
         UNION SELECT key FROM backup_copy WHERE destination IN (SELECT id FROM backup_destination) AND id = $1",
        &[&id.0],
    )?;
    let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    for (name, instead) in purge::replacements(&names) {
        for sql in [
            "UPDATE backup_event SET scope = replace(scope, $1, $2) WHERE strpos(scope, $1) > 0",
            "UPDATE backup_event SET counts = replace(counts, $1, $2) WHERE strpos(counts, $1) > 0",
            "UPDATE backup_run SET summary = replace(summary, $1, $2) WHERE strpos(summary, $1) > 0",
        ] {
            db.execute(sql, &[&name, &instead])?;
        }
    }
    // The original's table may be somebody else's, which this role may only read.
    let sql = "SELECT coalesce(has_table_privilege(to_regclass('datafilestatus_original'), 'DELETE'), false)";
    if db.query_one(sql, &[])?.try_get(0)? {
        db.execute(
            "DELETE FROM datafilestatus_original o USING backup_state s
             WHERE s.destination IN (SELECT id FROM backup_destination) AND s.id = $1
               AND s.storage_identifier IN (o.storageidentifier, 'file://' || o.storageidentifier)
               AND (s.storage_identifier = o.storageidentifier OR s.dataset_identifier = o.datasetidentifier)",
            &[&id.0],
        )?;
    }
    db.execute(
        "UPDATE backup_incident SET key = '', detail = $2, note = NULL, note_by = NULL, note_at = NULL, kept = NULL,
                mended_by = CASE WHEN mended_at IS NULL THEN $2 ELSE mended_by END,
                mended_from = CASE WHEN mended_at IS NULL THEN $2 ELSE mended_from END,
                mended_at = coalesce(mended_at, now()) WHERE id = $1",
        &[&id.0, &REMOVED],
    )?;
    db.execute(
        "UPDATE backup_acknowledgement SET reason = $2, ended_at = coalesce(ended_at, now()) WHERE id = $1",
        &[&id.0, &REMOVED],
    )?;
    Ok(())
}

pub(super) fn free_keys(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    db.execute(
        "DELETE FROM backup_copy c WHERE c.destination = $1 AND c.id = ANY ($2) AND EXISTS (
             SELECT FROM backup_tombstone t WHERE t.destination = $1 AND t.id = c.id)",
        &[&destination, &ids],
    )?;
    Ok(())
}

pub(super) fn take_over(db: &mut Transaction<'_>, purges: &[Purge], holds: &[Hold]) -> Result<(), Fault> {
    let now: String = db.query_one(concat!("SELECT ", time!("now()")), &[])?.try_get(0)?;
    for it in purges {
        let it = purge::taken_over(it, now.clone());
        db.execute(
            "INSERT INTO backup_purge (run, state, requested_at, digest, record)
             VALUES ($1, $2, $3::text::timestamptz, $4, $5) ON CONFLICT DO NOTHING",
            &[&it.run.0, &it.state.name(), &it.requested.at, &it.digest, &storable(&purge::written(&it)?).as_ref()],
        )?;
    }
    for it in holds {
        let released = it.released.as_ref().map(|(by, _)| by.at.as_str());
        db.execute(
            "INSERT INTO backup_hold (run, released_at, record) VALUES ($1, $2::text::timestamptz, $3)
             ON CONFLICT DO NOTHING",
            &[&it.run.0, &released, &storable(&purge::written(it)?).as_ref()],
        )?;
    }
    Ok(())
}

pub(super) fn tombstones(db: &mut Transaction<'_>) -> Result<Vec<Tombstone>, Fault> {
    db.query("SELECT record FROM backup_tombstone ORDER BY id, destination, run", &[])?
        .iter()
        .map(|row| Ok(purge::read(row.try_get(0)?)?))
        .collect()
}

pub(super) fn place_hold(db: &mut Transaction<'_>, hold: &Hold) -> Result<u64, Fault> {
    write::durable(db)?;
    let number: i64 = db
        .query_one(
            "INSERT INTO backup_hold (run, record) VALUES ($1, $2) RETURNING number",
            &[&hold.run.0, &storable(&purge::written(hold)?).as_ref()],
        )?
        .try_get(0)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

pub(super) fn holds(db: &mut Transaction<'_>) -> Result<Vec<Hold>, Fault> {
    db.query("SELECT number, record FROM backup_hold ORDER BY number", &[])?
        .iter()
        .map(|row| Ok(purge::hold_of(row.try_get(0)?, row.try_get(1)?)?))
        .collect()
}

pub(super) fn release_hold(db: &mut Transaction<'_>, number: u64, by: &Signed, reference: &str) -> Result<bool, Fault> {
    write::durable(db)?;
    let Some(hold) = holds(db)?.into_iter().find(|it| it.number == number && it.released.is_none()) else {
        return Ok(false);
    };
    let released = Hold { released: Some((by.clone(), reference.to_owned())), ..hold };
    let changed = db.execute(
        "UPDATE backup_hold SET released_at = $2::text::timestamptz, record = $3
         WHERE number = $1 AND released_at IS NULL",
        &[&number_of(number), &by.at, &storable(&purge::written(&released)?).as_ref()],
    )?;
    Ok(changed > 0)
}
