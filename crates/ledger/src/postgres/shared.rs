//! The ranges of a shared run. Each function within one transaction, with all that it rests on in one statement.

use std::time::Duration;

use dvb_model::{DestinationName, RunId};
use postgres::{Row, Transaction};

use super::Fault;
use super::read::{destination_id, time};
use super::write::durable;
use crate::LedgerError;
use crate::shared::{
    Claimed, DEATHS, Lease, Next, Phase, RangeEnd, RangeResult, SharedRun, SharedStatus, WorkRange, Worker,
};

/// Ranges in one page of results.
const PAGE: i64 = 500;

/// Whether the range `$1`, `$2`, `$3` is held by `$4` with the token `$5`.
macro_rules! is_ours {
    () => {
        "r.shared = $1 AND r.phase = $2 AND r.number = $3 AND r.worker = $4 AND r.token = $5"
    };
}

/// Whether the host of the range `r` gives a sign: where its row is gone, it gives none.
macro_rules! is_alive {
    ($lease_ms:literal) => {
        concat!(
            "EXISTS (SELECT FROM backup_worker w WHERE w.id = r.worker AND w.left_at IS NULL
                     AND w.seen > clock_timestamp() - ",
            $lease_ms,
            " * interval '1 millisecond')"
        )
    };
}

/// Whoever stops in the middle of a transaction, or is cut off there, holds up nobody for longer.
const IDLE: &str = "20s";

/// Makes sure that the range is still held, until the transaction ends.
pub(super) fn fence(db: &mut Transaction<'_>, lease: &Lease) -> Result<(), Fault> {
    let sql = concat!(
        "SELECT set_config('idle_in_transaction_session_timeout', $6, true) FROM backup_range r WHERE ",
        is_ours!(),
        " AND r.state = 'claimed' FOR SHARE"
    );
    let (phase, Lease { shared, worker, number, token, .. }) = (lease.phase.number(), lease);
    match db.query_opt(sql, &[shared, &phase, number, worker, token, &IDLE])? {
        Some(_) => Ok(()),
        None => Err(lost(lease)),
    }
}

fn lost(lease: &Lease) -> Fault {
    LedgerError::LostLease { range: lease.number }.into()
}

/// The first range that is open, from `from` on: behind a long transaction of anybody's, all that was claimed since lies in
/// the way of whoever begins at the first one.
pub(super) fn claim(
    db: &mut Transaction<'_>,
    run: &SharedRun,
    worker: &str,
    from: i32,
) -> Result<Option<Claimed>, Fault> {
    super::read::by_index(db)?;
    let sql = "WITH c AS (
                   SELECT r.phase, r.number FROM backup_range r
                   WHERE r.shared = $1 AND r.phase = (SELECT phase FROM backup_shared WHERE number = $1)
                     AND r.number >= $3 AND r.state = 'open' AND (r.phase = 1 OR r.deaths < $4::integer)
                   ORDER BY r.number LIMIT 1 FOR UPDATE SKIP LOCKED)
               UPDATE backup_range r
               SET state = 'claimed', worker = $2, token = r.token + 1, claimed_at = clock_timestamp()
               FROM c WHERE r.shared = $1 AND r.phase = c.phase AND r.number = c.number
                 AND EXISTS (SELECT FROM backup_worker w WHERE w.id = $2 AND w.shared = $1 AND w.left_at IS NULL)
               RETURNING r.phase, r.number, r.token, r.files, coalesce(r.work, '')";
    let Some(row) = db.query_opt(sql, &[&run.number, &worker, &from, &DEATHS])? else { return Ok(None) };
    let phase = phase(row.try_get(0)?)?;
    let (number, token) = (row.try_get(1)?, row.try_get(2)?);
    let lease = Lease { shared: run.number, worker: worker.to_owned(), phase, number, token };
    Ok(Some(Claimed { lease, files: count(row.try_get(3)?), work: row.try_get(4)? }))
}

fn phase(number: i16) -> Result<Phase, LedgerError> {
    let bad = || LedgerError::BadRow { what: "phase of a shared run".into(), value: number.to_string() };
    Phase::of(number).ok_or_else(bad)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Gives back what hosts had claimed that give no sign, unless a living one has claimed it since. One that stopped in the middle of a transaction holds up only its own.
pub(super) fn rescue(db: &mut Transaction<'_>, run: &SharedRun) -> Result<u64, Fault> {
    let sql = concat!(
        "WITH dead AS MATERIALIZED (
             SELECT r.phase, r.number, r.token FROM backup_range r WHERE r.shared = $1 AND r.state = 'claimed' AND NOT ",
        is_alive!("$2::bigint"),
        "), d AS (
             SELECT r.phase, r.number FROM backup_range r JOIN dead ON dead.phase = r.phase AND dead.number = r.number
             WHERE r.shared = $1 AND r.state = 'claimed' AND r.token = dead.token FOR UPDATE OF r SKIP LOCKED)
         UPDATE backup_range r
         SET state = CASE WHEN r.phase = 1 AND r.deaths + 1 >= $3::integer THEN 'aside' ELSE 'open' END, deaths = r.deaths + 1,
             worker = NULL
         FROM d WHERE r.shared = $1 AND r.phase = d.phase AND r.number = d.number AND r.state = 'claimed'"
    );
    Ok(db.execute(sql, &[&run.number, &lease_ms(run.lease), &DEATHS])?)
}

/// Gives back what this host has claimed and knows nothing of: the answer to its claim was lost.
pub(super) fn give_back_unknown(
    db: &mut Transaction<'_>,
    run: &SharedRun,
    worker: &str,
    held: &[(i16, i32, i64)],
) -> Result<u64, Fault> {
    let phases: Vec<i16> = held.iter().map(|it| it.0).collect();
    let numbers: Vec<i32> = held.iter().map(|it| it.1).collect();
    let tokens: Vec<i64> = held.iter().map(|it| it.2).collect();
    let sql = "UPDATE backup_range r SET state = 'open', worker = NULL
               WHERE r.shared = $1 AND r.worker = $2 AND r.state = 'claimed' AND NOT EXISTS (
                   SELECT FROM unnest($3::smallint[], $4::integer[], $5::bigint[]) AS h (phase, number, token)
                   WHERE h.phase = r.phase AND h.number = r.number AND h.token = r.token)";
    Ok(db.execute(sql, &[&run.number, &worker, &phases, &numbers, &tokens])?)
}

/// Goes on to what comes next, where nothing is left to do in this phase, and says where the run is now,
/// and whether this call brought it there.
pub(super) fn advance(db: &mut Transaction<'_>, run: &SharedRun) -> Result<(Next, bool), Fault> {
    // One after the other. Who waited for another one's move would look at the row as it is now and at the ranges as they were,
    // and go past a phase that has only begun; behind this lock, the next statement sees both as they are.
    db.execute("SELECT FROM backup_shared WHERE number = $1 FOR UPDATE", &[&run.number])?;
    // Without a plan, or without an end, there is no run: what kills hosts there cannot be set aside.
    db.execute(
        "UPDATE backup_shared s SET phase = 4, ended = now() WHERE s.number = $1 AND s.phase IN (0, 2) AND EXISTS (
             SELECT FROM backup_range r WHERE r.shared = $1 AND r.phase = s.phase AND r.state = 'open' AND r.deaths >= $2::integer)",
        &[&run.number, &DEATHS],
    )?;
    let moved = db.execute(
        "UPDATE backup_shared s SET phase = s.phase + 1 WHERE s.number = $1 AND s.phase < 2 AND NOT EXISTS (
             SELECT FROM backup_range r
             WHERE r.shared = $1 AND r.phase = s.phase AND r.state IN ('open', 'claimed'))",
        &[&run.number],
    )?;
    let now: Option<i16> = match db.query_opt("SELECT phase FROM backup_shared WHERE number = $1", &[&run.number])? {
        Some(row) => row.try_get(0)?,
        None => None,
    };
    let next = match now {
        Some(3) => Next::Done,
        Some(4) | None => Next::GivenUp,
        Some(it) => Next::Wait(phase(it)?),
    };
    Ok((next, moved > 0))
}

pub(super) fn give_back(db: &mut Transaction<'_>, lease: &Lease, blame: bool) -> Result<bool, Fault> {
    let sql = concat!(
        "UPDATE backup_range r
         SET state = CASE WHEN r.phase = 1 AND $6::boolean AND r.deaths + 1 >= $7::integer THEN 'aside' ELSE 'open' END,
             deaths = r.deaths + CASE WHEN $6::boolean THEN 1 ELSE 0 END, worker = NULL
         WHERE ",
        is_ours!(),
        " AND r.state = 'claimed'"
    );
    let (phase, Lease { shared, worker, number, token, .. }) = (lease.phase.number(), lease);
    Ok(db.execute(sql, &[shared, &phase, number, worker, token, &blame, &DEATHS])? > 0)
}

/// The same done twice counts once: the answer to the first may have been lost.
pub(super) fn finish(db: &mut Transaction<'_>, lease: &Lease, result: &RangeResult) -> Result<(), Fault> {
    durable(db)?;
    let sql =
        concat!("UPDATE backup_range r SET state = 'done', result = $6 WHERE ", is_ours!(), " AND r.state = 'claimed'");
    let (phase, Lease { shared, worker, number, token, .. }) = (lease.phase.number(), lease);
    if db.execute(sql, &[shared, &phase, number, worker, token, &result.text])? == 0 {
        let sql = concat!("SELECT FROM backup_range r WHERE ", is_ours!(), " AND r.state = 'done'");
        return match db.query_opt(sql, &[shared, &phase, number, worker, token])? {
            Some(_) => Ok(()),
            None => Err(lost(lease)),
        };
    }
    match lease.phase {
        Phase::Plan => db.execute("UPDATE backup_shared SET plan = $2 WHERE number = $1", &[shared, &result.text])?,
        Phase::Work => {
            let (files, bytes) = (as_column(result.files), as_column(result.bytes));
            db.execute(
                "UPDATE backup_worker SET ranges = ranges + 1, files = files + $2, bytes = bytes + $3 WHERE id = $1",
                &[worker, &files, &bytes],
            )?
        }
        Phase::Close => {
            let sql = "UPDATE backup_shared SET total = $2, phase = 3, ended = now() WHERE number = $1";
            db.execute(sql, &[shared, &result.text])?;
            db.execute("DELETE FROM backup_range WHERE shared = $1 AND phase = 1", &[shared])?
        }
    };
    Ok(())
}

fn as_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn lease_ms(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn clear_plan(db: &mut Transaction<'_>, plan: &Lease) -> Result<(), Fault> {
    db.execute("DELETE FROM backup_range WHERE shared = $1 AND phase = 1", &[&plan.shared])?;
    Ok(())
}

/// The same done twice is done once.
pub(super) fn add_ranges(db: &mut Transaction<'_>, plan: &Lease, ranges: &[WorkRange]) -> Result<(), Fault> {
    let numbers: Vec<i32> = ranges.iter().map(|it| it.number).collect();
    let files: Vec<i64> = ranges.iter().map(|it| as_column(it.files)).collect();
    let work: Vec<&[u8]> = ranges.iter().map(|it| it.work.as_slice()).collect();
    db.execute(
        "INSERT INTO backup_range (shared, phase, number, state, files, work)
         SELECT $1, 1, w.number, 'open', w.files, w.work
         FROM unnest($2::integer[], $3::bigint[], $4::bytea[]) AS w (number, files, work) ON CONFLICT DO NOTHING",
        &[&plan.shared, &numbers, &files, &work],
    )?;
    Ok(())
}

pub(super) fn plan(db: &mut Transaction<'_>, run: &SharedRun) -> Result<Option<String>, Fault> {
    let row = db.query_opt("SELECT plan FROM backup_shared WHERE number = $1", &[&run.number])?;
    Ok(row.map(|it| it.try_get(0)).transpose()?.flatten())
}

pub(super) fn total(db: &mut Transaction<'_>, run: &SharedRun) -> Result<Option<String>, Fault> {
    let row = db.query_opt("SELECT total FROM backup_shared WHERE number = $1", &[&run.number])?;
    Ok(row.map(|it| it.try_get(0)).transpose()?.flatten())
}

pub(super) fn results(db: &mut Transaction<'_>, run: &SharedRun, after: i32) -> Result<Vec<RangeEnd>, Fault> {
    let rows = db.query(
        "SELECT number, files, CASE WHEN state = 'done' THEN result END FROM backup_range
         WHERE shared = $1 AND phase = 1 AND number > $2 ORDER BY number LIMIT $3",
        &[&run.number, &after, &PAGE],
    )?;
    let end = |row: &Row| -> Result<RangeEnd, Fault> {
        Ok(RangeEnd { number: row.try_get(0)?, files: count(row.try_get(1)?), result: row.try_get(2)? })
    };
    rows.iter().map(end).collect()
}

pub(super) fn status(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<Vec<SharedStatus>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let sql = concat!(
        "SELECT s.number, s.run, s.command, s.phase, ",
        time!("s.began"),
        ", s.lease_ms, count(r.number), count(r.number) FILTER (WHERE r.state = 'done'),
           count(r.number) FILTER (WHERE r.state = 'aside')
         FROM backup_shared s LEFT JOIN backup_range r ON r.shared = s.number AND r.phase = 1
         WHERE s.destination = $1 AND s.phase < 3 GROUP BY s.number ORDER BY s.number"
    );
    let mut all = Vec::new();
    for row in db.query(sql, &[&destination])? {
        let number: i32 = row.try_get(0)?;
        all.push(SharedStatus {
            run: RunId(row.try_get(1)?),
            command: row.try_get(2)?,
            phase: phase(row.try_get(3)?)?,
            began: row.try_get(4)?,
            lease: Duration::from_millis(count(row.try_get(5)?)),
            ranges: count(row.try_get(6)?),
            done: count(row.try_get(7)?),
            aside: count(row.try_get(8)?),
            workers: workers(db, number)?,
        });
    }
    Ok(all)
}

fn workers(db: &mut Transaction<'_>, shared: i32) -> Result<Vec<Worker>, Fault> {
    let sql = concat!(
        "SELECT w.host, w.pid, ",
        time!("w.joined"),
        ", ",
        time!("w.seen"),
        ", (1000 * extract(epoch FROM clock_timestamp() - w.seen))::bigint, w.left_at IS NOT NULL, w.ranges, w.files, w.bytes
         FROM backup_worker w WHERE w.shared = $1 ORDER BY w.joined, w.id"
    );
    let worker = |row: &Row| -> Result<Worker, Fault> {
        Ok(Worker {
            host: row.try_get(0)?,
            pid: u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0),
            joined: row.try_get(2)?,
            seen: row.try_get(3)?,
            silent: Duration::from_millis(count(row.try_get(4)?)),
            has_left: row.try_get(5)?,
            ranges: count(row.try_get(6)?),
            files: count(row.try_get(7)?),
            bytes: count(row.try_get(8)?),
        })
    };
    db.query(sql, &[&shared])?.iter().map(worker).collect()
}
