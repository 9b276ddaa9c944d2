//! The event log, and what was acknowledged.

use dvb_model::{DestinationName, DvObjectId, RunId};
use postgres::{Row, Transaction};

use super::read::time;
use super::{Fault, read, write};
use crate::event::{AcknowledgementRow, EventRow, PAGE};
use crate::{Acknowledgement, Event, EventEnd};

/// Records events; those that are there already stay as they are.
pub(super) fn insert(db: &mut Transaction<'_>, events: &[Event]) -> Result<(), Fault> {
    write::durable(db)?;
    let statement = db.prepare(
        "INSERT INTO backup_event (id, command, started, who, host, program, scope, destinations, overrides, finished,
                                   exit_code, counts)
         VALUES ($1, $2, $3::text::timestamptz, $4, $5, $6, $7, $8, $9, $10::text::timestamptz, $11, $12)
         ON CONFLICT DO NOTHING",
    )?;
    for event in events {
        let row = EventRow::of(event);
        let exit_code = row.exit_code.and_then(|code| i16::try_from(code).ok());
        db.execute(
            &statement,
            &[
                &row.id,
                &row.command,
                &row.started,
                &row.who,
                &row.host,
                &row.program,
                &row.scope,
                &row.destinations,
                &row.overrides,
                &row.finished,
                &exit_code,
                &row.counts,
            ],
        )?;
    }
    Ok(())
}

/// Says whether there is such an event.
pub(super) fn finish(db: &mut Transaction<'_>, id: &RunId, end: &EventEnd) -> Result<bool, Fault> {
    write::durable(db)?;
    let changed = db.execute(
        "UPDATE backup_event SET finished = $2::text::timestamptz, exit_code = $3, counts = $4 WHERE id = $1",
        &[&id.0, &end.finished, &i16::from(end.exit_code), &end.counts.to_string()],
    )?;
    Ok(changed > 0)
}

/// A page of events behind another one.
pub(super) fn page(db: &mut Transaction<'_>, since: Option<&str>, after: Option<&Event>) -> Result<Vec<Event>, Fault> {
    let after_time = after.map(|event| &event.started);
    let after_id = after.map(|event| &event.id.0);
    let sql = concat!(
        "SELECT id, command, ",
        time!("started"),
        ", who, host, program, scope, destinations, overrides, ",
        time!("finished"),
        ", exit_code, counts FROM backup_event
         WHERE ($1::text IS NULL OR started >= $1::text::timestamptz)
           AND ($2::text IS NULL OR (started, id) > ($2::text::timestamptz, $3::text))
         ORDER BY started, id LIMIT $4"
    );
    let event = |row: &Row| -> Result<Event, Fault> {
        let exit_code: Option<i16> = row.try_get(10)?;
        let row = EventRow {
            id: row.try_get(0)?,
            command: row.try_get(1)?,
            started: row.try_get(2)?,
            who: row.try_get(3)?,
            host: row.try_get(4)?,
            program: row.try_get(5)?,
            scope: row.try_get(6)?,
            destinations: row.try_get(7)?,
            overrides: row.try_get(8)?,
            finished: row.try_get(9)?,
            exit_code: exit_code.map(i64::from),
            counts: row.try_get(11)?,
        };
        Ok(row.read()?)
    };
    db.query(sql, &[&since, &after_time, &after_id, &i64::from(PAGE)])?.iter().map(event).collect()
}

/// Those that are open already end.
pub(super) fn acknowledge(db: &mut Transaction<'_>, all: &[Acknowledgement]) -> Result<(), Fault> {
    for it in all {
        let destination = write::destination_id(db, &it.destination)?;
        let at = Some(&it.at).filter(|at| !at.is_empty());
        if it.ended_at.is_none() {
            db.execute(
                "UPDATE backup_acknowledgement SET ended_at = now()
                 WHERE destination = $1 AND id = $2 AND ended_at IS NULL
                   AND ($3::text IS NULL OR acknowledged_at <> $3::text::timestamptz)",
                &[&destination, &it.id.0, &at],
            )?;
        }
        db.execute(
            "INSERT INTO backup_acknowledgement (id, destination, status, fingerprint, copies, acknowledged_at, who, reason, ended_at)
             SELECT $1, $2, $3, $4, $5, coalesce($6::text::timestamptz, now()), $7, $8, $9::text::timestamptz
             WHERE NOT EXISTS (SELECT FROM backup_acknowledgement
                               WHERE id = $1 AND destination = $2 AND acknowledged_at = $6::text::timestamptz)",
            &[
                &it.id.0,
                &destination,
                &it.status.name(),
                &it.fingerprint,
                &i32::try_from(it.copies).unwrap_or(i32::MAX),
                &at,
                &it.by,
                &it.reason,
                &it.ended_at,
            ],
        )?;
    }
    Ok(())
}

pub(super) fn acknowledgements(db: &mut Transaction<'_>) -> Result<Vec<Acknowledgement>, Fault> {
    let sql = concat!(
        "SELECT a.id, d.name, a.status, a.fingerprint, a.copies, ",
        time!("a.acknowledged_at"),
        ", a.who, a.reason, ",
        time!("a.ended_at"),
        " FROM backup_acknowledgement a JOIN backup_destination d ON d.id = a.destination ORDER BY a.number"
    );
    let one = |row: &Row| -> Result<Acknowledgement, Fault> {
        let copies: i32 = row.try_get(4)?;
        let row = AcknowledgementRow {
            id: row.try_get(0)?,
            destination: row.try_get(1)?,
            status: row.try_get(2)?,
            fingerprint: row.try_get(3)?,
            copies: copies.into(),
            at: row.try_get(5)?,
            who: row.try_get(6)?,
            reason: row.try_get(7)?,
            ended_at: row.try_get(8)?,
        };
        Ok(row.read()?)
    };
    db.query(sql, &[])?.iter().map(one).collect()
}

pub(super) fn end_acknowledgements(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    db.execute(
        "UPDATE backup_acknowledgement SET ended_at = now() WHERE destination = $1 AND id = ANY ($2) AND ended_at IS NULL",
        &[&destination, &ids],
    )?;
    Ok(())
}
