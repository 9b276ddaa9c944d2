//! What the database adds up for reports.

use dvb_model::DestinationName;
use postgres::{Row, Transaction};

use super::{Fault, read};
use crate::aggregate::sum;
use crate::{AuditDay, CopiesOfMonth, FilesByCopies, OF_ONE_FILE, ProofDay, UnprovedCopies};

pub(super) fn installation_id(db: &mut Transaction<'_>) -> Result<Option<String>, Fault> {
    Ok(db.query_opt("SELECT id FROM backup_installation", &[])?.map(|row| row.try_get(0)).transpose()?)
}

fn column(row: &Row, number: usize) -> Result<u64, Fault> {
    Ok(sum(row.try_get(number)?)?)
}

pub(super) fn files_by_copies(db: &mut Transaction<'_>) -> Result<Vec<FilesByCopies>, Fault> {
    let rows = db.query(
        "SELECT copies, count(*), sum(bytes)::bigint
         FROM (SELECT count(*) FILTER (WHERE s.status = 'OK' OR c.main) AS copies, coalesce(max(c.bytes), 0) AS bytes
               FROM backup_state s LEFT JOIN
                    (SELECT destination, id, bool_or(role = 'main') AS main, sum(size) AS bytes
                     FROM backup_copy WHERE state = 'proved' GROUP BY destination, id) c
                 ON c.destination = s.destination AND c.id = s.id
               WHERE s.kind = 'file' AND s.gone_since IS NULL
               GROUP BY s.id HAVING bool_or(s.status NOT IN ('NOT_COVERED', 'PURGED'))) AS spread
         GROUP BY copies ORDER BY copies",
        &[],
    )?;
    let one = |row: &Row| -> Result<FilesByCopies, Fault> {
        Ok(FilesByCopies { copies: column(row, 0)?, files: column(row, 1)?, bytes: column(row, 2)? })
    };
    rows.iter().map(one).collect()
}

pub(super) fn not_covered(db: &mut Transaction<'_>, limit: u32) -> Result<(Vec<(String, u64)>, u64), Fault> {
    let rows = db.query(
        "SELECT reason, count(*), (sum(count(*)) OVER ())::bigint
         FROM (SELECT min(split_part(coalesce(reason, ''), $2, 1) COLLATE \"C\") AS reason FROM backup_state
               WHERE kind = 'file' AND gone_since IS NULL
               GROUP BY id HAVING bool_and(status = 'NOT_COVERED')) AS uncovered
         GROUP BY reason ORDER BY count(*) DESC, reason COLLATE \"C\" LIMIT $1",
        &[&i64::from(limit), &OF_ONE_FILE],
    )?;
    let total = rows.first().map_or(Ok(0), |row| column(row, 2))?;
    let one = |row: &Row| -> Result<(String, u64), Fault> { Ok((row.try_get(0)?, column(row, 1)?)) };
    Ok((rows.iter().map(one).collect::<Result<_, _>>()?, total))
}

pub(super) fn proofs_by_day(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    overdue_before: Option<&str>,
) -> Result<Vec<ProofDay>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let rows = db.query(
        "SELECT to_char(proved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, evidence,
                coalesce(proved_at < $2::text::timestamptz, false) AS overdue, count(*), sum(size)::bigint
         FROM backup_copy WHERE destination = $1 AND state = 'proved'
         GROUP BY day, evidence, overdue ORDER BY day, evidence COLLATE \"C\", overdue DESC",
        &[&destination, &overdue_before],
    )?;
    let one = |row: &Row| -> Result<ProofDay, Fault> {
        let (day, evidence, overdue) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(ProofDay { day, evidence, overdue, copies: column(row, 3)?, bytes: column(row, 4)? })
    };
    rows.iter().map(one).collect()
}

pub(super) fn unproved_copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
) -> Result<UnprovedCopies, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(UnprovedCopies::default()) };
    let row = db.query_one(
        "SELECT count(*) FILTER (WHERE state = 'damaged'),
                count(*) FILTER (WHERE state = 'reserved' AND sha256 IS NOT NULL)
         FROM backup_copy WHERE destination = $1 AND state <> 'proved'",
        &[&destination],
    )?;
    Ok(UnprovedCopies { damaged: column(&row, 0)?, claimed: column(&row, 1)? })
}

pub(super) fn audits_by_day(db: &mut Transaction<'_>, overdue_before: Option<&str>) -> Result<Vec<AuditDay>, Fault> {
    let rows = db.query(
        "SELECT coalesce(to_char(nullif(audited_at, '-infinity') AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '') AS day,
                coalesce(audited_at < $1::text::timestamptz, false) AS overdue, count(*)
         FROM (SELECT max(audited_at) AS audited_at FROM backup_state
               WHERE kind = 'file' AND gone_since IS NULL AND status NOT IN ('NOT_COVERED', 'PURGED') GROUP BY id) AS audited
         GROUP BY day, overdue ORDER BY day, overdue DESC",
        &[&overdue_before],
    )?;
    let one = |row: &Row| -> Result<AuditDay, Fault> {
        Ok(AuditDay { day: row.try_get(0)?, overdue: row.try_get(1)?, files: column(row, 2)? })
    };
    rows.iter().map(one).collect()
}

pub(super) fn copies_by_month(db: &mut Transaction<'_>) -> Result<Vec<CopiesOfMonth>, Fault> {
    let rows = db.query(
        "SELECT to_char(first_seen AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*), sum(size)::bigint
         FROM backup_copy WHERE state = 'proved' GROUP BY month ORDER BY month",
        &[],
    )?;
    let one = |row: &Row| -> Result<CopiesOfMonth, Fault> {
        Ok(CopiesOfMonth { month: row.try_get(0)?, copies: column(row, 1)?, bytes: column(row, 2)? })
    };
    rows.iter().map(one).collect()
}
