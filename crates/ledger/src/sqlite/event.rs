//! The event log, and what was acknowledged.

use dvb_model::{DestinationName, DvObjectId, RunId};
use rusqlite::{Connection, params};

use super::{Fault, read, write};
use crate::event::{AcknowledgementRow, EventRow, PAGE};
use crate::{Acknowledgement, Event, EventEnd};

/// Records events; those that are there already stay as they are.
pub(super) fn insert(db: &Connection, events: &[Event]) -> Result<(), Fault> {
    let mut statement = db.prepare_cached(
        "INSERT INTO backup_event (id, command, started, who, host, program, scope, destinations, overrides, finished,
                                   exit_code, counts)
         VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%fZ', ?3), ?4, ?5, ?6, ?7, ?8, ?9,
                 strftime('%Y-%m-%dT%H:%M:%fZ', ?10), ?11, ?12) ON CONFLICT DO NOTHING",
    )?;
    for event in events {
        let row = EventRow::of(event);
        statement.execute(params![
            row.id,
            row.command,
            row.started,
            row.who,
            row.host,
            row.program,
            row.scope,
            row.destinations,
            row.overrides,
            row.finished,
            row.exit_code,
            row.counts
        ])?;
    }
    Ok(())
}

/// Says whether there is such an event.
pub(super) fn finish(db: &Connection, id: &RunId, end: &EventEnd) -> Result<bool, Fault> {
    let changed = db.execute(
        "UPDATE backup_event SET finished = strftime('%Y-%m-%dT%H:%M:%fZ', ?2), exit_code = ?3, counts = ?4 WHERE id = ?1",
        params![id.0, end.finished, end.exit_code, end.counts.to_string()],
    )?;
    Ok(changed > 0)
}

/// A page of events behind another one.
pub(super) fn page(db: &Connection, since: Option<&str>, after: Option<&Event>) -> Result<Vec<Event>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT id, command, started, who, host, program, scope, destinations, overrides, finished, exit_code, counts
         FROM backup_event
         WHERE (?1 IS NULL OR started >= strftime('%Y-%m-%dT%H:%M:%fZ', ?1))
           AND (?2 IS NULL OR (started, id) > (?2, ?3))
         ORDER BY started, id LIMIT ?4",
    )?;
    let after_time = after.map(|event| &event.started);
    let after_id = after.map(|event| &event.id.0);
    let rows = statement.query_map(params![since, after_time, after_id, PAGE], |row| {
        Ok(EventRow {
            id: row.get(0)?,
            command: row.get(1)?,
            started: row.get(2)?,
            who: row.get(3)?,
            host: row.get(4)?,
            program: row.get(5)?,
            scope: row.get(6)?,
            destinations: row.get(7)?,
            overrides: row.get(8)?,
            finished: row.get(9)?,
            exit_code: row.get(10)?,
            counts: row.get(11)?,
        })
    })?;
    rows.map(|row| Ok(row?.read()?)).collect()
}

/// Those that are open already end.
pub(super) fn acknowledge(db: &Connection, all: &[Acknowledgement]) -> Result<(), Fault> {
    for it in all {
        let destination = write::destination_id(db, &it.destination)?;
        let at = Some(&it.at).filter(|at| !at.is_empty());
        if it.ended_at.is_none() {
            let sql = format!(
                "UPDATE backup_acknowledgement SET ended_at = {}
                 WHERE destination = ?1 AND id = ?2 AND ended_at IS NULL AND (?3 IS NULL OR acknowledged_at <> ?3)",
                write::NOW
            );
            db.execute(&sql, params![destination, it.id.0, at])?;
        }
        db.execute(
            &format!(
                "INSERT INTO backup_acknowledgement
                        (id, destination, status, fingerprint, copies, acknowledged_at, who, reason, ended_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, coalesce(?6, {}), ?7, ?8, ?9
                 WHERE NOT EXISTS (SELECT 1 FROM backup_acknowledgement
                                   WHERE id = ?1 AND destination = ?2 AND acknowledged_at = ?6)",
                write::NOW
            ),
            params![
                it.id.0,
                destination,
                it.status.name(),
                it.fingerprint,
                i64::try_from(it.copies).unwrap_or(i64::MAX),
                at,
                it.by,
                it.reason,
                it.ended_at
            ],
        )?;
    }
    Ok(())
}

pub(super) fn acknowledgements(db: &Connection) -> Result<Vec<Acknowledgement>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT a.id, d.name, a.status, a.fingerprint, a.copies, a.acknowledged_at, a.who, a.reason, a.ended_at
         FROM backup_acknowledgement a JOIN backup_destination d ON d.id = a.destination ORDER BY a.number",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(AcknowledgementRow {
            id: row.get(0)?,
            destination: row.get(1)?,
            status: row.get(2)?,
            fingerprint: row.get(3)?,
            copies: row.get(4)?,
            at: row.get(5)?,
            who: row.get(6)?,
            reason: row.get(7)?,
            ended_at: row.get(8)?,
        })
    })?;
    rows.map(|row| Ok(row?.read()?)).collect()
}

pub(super) fn end_acknowledgements(
    db: &Connection,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_acknowledgement SET ended_at = {} WHERE destination = ?1 AND id = ?2 AND ended_at IS NULL",
        write::NOW
    ))?;
    ids.iter().try_for_each(|id| statement.execute(params![destination, id.0]).map(drop))?;
    Ok(())
}
