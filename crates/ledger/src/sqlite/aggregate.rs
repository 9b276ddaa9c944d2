//! What the file adds up for reports.

use dvb_model::DestinationName;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Fault, read};
use crate::aggregate::sum;
use crate::{AuditDay, CopiesOfMonth, FilesByCopies, OF_ONE_FILE, ProofDay, UnprovedCopies};

pub(super) fn installation_id(db: &Connection) -> Result<Option<String>, Fault> {
    Ok(db.query_row("SELECT id FROM backup_installation", [], |row| row.get(0)).optional()?)
}

/// Both tables are read in the order of their primary keys, so each state finds its copies beside it.
pub(super) fn files_by_copies(db: &Connection) -> Result<Vec<FilesByCopies>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT copies, count(*), sum(bytes)
         FROM (SELECT sum(status = 'OK' OR main) AS copies, max(bytes) AS bytes
               FROM (SELECT s.id, s.status, coalesce(max(c.role = 'main'), 0) AS main, coalesce(sum(c.size), 0) AS bytes
                     FROM backup_state s LEFT JOIN backup_copy c
                       ON c.destination = s.destination AND c.id = s.id AND c.state = 'proved'
                     WHERE s.kind = 'file' AND s.gone_since IS NULL
                     GROUP BY s.destination, s.id)
               GROUP BY id HAVING sum(status NOT IN ('NOT_COVERED', 'PURGED')) > 0)
         GROUP BY copies ORDER BY copies",
    )?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(FilesByCopies { copies: sum(row.get(0)?)?, files: sum(row.get(1)?)?, bytes: sum(row.get(2)?)? });
    }
    Ok(all)
}

/// `CROSS JOIN` holds the order: each destination is asked for its row of the data file. A planner that turns it round reads
/// all states for each data file that is not covered.
pub(super) fn not_covered(db: &Connection, limit: u32) -> Result<(Vec<(String, u64)>, u64), Fault> {
    let mut statement = db.prepare_cached(
        "SELECT coalesce(reason, ''), count(*), sum(count(*)) OVER ()
         FROM (SELECT min(CASE instr(reason, ?2) WHEN 0 THEN reason ELSE substr(reason, 1, instr(reason, ?2) - 1) END)
                      AS reason
               FROM backup_state s
               WHERE kind = 'file' AND gone_since IS NULL AND status = 'NOT_COVERED'
                 AND NOT EXISTS (SELECT 1 FROM backup_destination d CROSS JOIN backup_state o
                                 WHERE o.destination = d.id AND o.id = s.id
                                   AND o.gone_since IS NULL AND o.status <> 'NOT_COVERED')
               GROUP BY id)
         GROUP BY reason ORDER BY count(*) DESC, reason LIMIT ?1",
    )?;
    let mut rows = statement.query(params![limit, OF_ONE_FILE])?;
    let (mut all, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        all.push((row.get(0)?, sum(row.get(1)?)?));
        total = sum(row.get(2)?)?;
    }
    Ok((all, total))
}

pub(super) fn proofs_by_day(
    db: &Connection,
    destination: &DestinationName,
    overdue_before: Option<&str>,
) -> Result<Vec<ProofDay>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    // As below: all copies of a destination are wanted, and are read once in the order of the primary key.
    let mut statement = db.prepare_cached(
        "SELECT substr(proved_at, 1, 10) AS day, evidence,
                coalesce(proved_at < strftime('%Y-%m-%dT%H:%M:%fZ', ?2), 0) AS overdue, count(*), sum(size)
         FROM backup_copy WHERE destination = ?1 AND +state = 'proved'
         GROUP BY day, evidence, overdue ORDER BY day, evidence, overdue DESC",
    )?;
    let mut rows = statement.query(params![destination, overdue_before])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(ProofDay {
            day: row.get(0)?,
            evidence: row.get(1)?,
            overdue: row.get(2)?,
            copies: sum(row.get(3)?)?,
            bytes: sum(row.get(4)?)?,
        });
    }
    Ok(all)
}

pub(super) fn unproved_copies(db: &Connection, destination: &DestinationName) -> Result<UnprovedCopies, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(UnprovedCopies::default()) };
    let count = |condition: &str| -> Result<u64, Fault> {
        let sql = format!("SELECT count(*) FROM backup_copy WHERE destination = ?1 AND {condition}");
        Ok(sum(db.prepare_cached(&sql)?.query_row([destination], |row| row.get(0))?)?)
    };
    Ok(UnprovedCopies {
        damaged: count("state = 'damaged'")?,
        claimed: count("state = 'reserved' AND sha256 IS NOT NULL")?,
    })
}

pub(super) fn audits_by_day(db: &Connection, overdue_before: Option<&str>) -> Result<Vec<AuditDay>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT substr(audited_at, 1, 10) AS day,
                coalesce(audited_at < strftime('%Y-%m-%dT%H:%M:%fZ', ?1), 0) AS overdue, count(*)
         FROM (SELECT max(audited_at) AS audited_at FROM backup_state
               WHERE kind = 'file' AND gone_since IS NULL AND status NOT IN ('NOT_COVERED', 'PURGED') GROUP BY id)
         GROUP BY day, overdue ORDER BY day, overdue DESC",
    )?;
    let mut rows = statement.query([overdue_before])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(AuditDay { day: row.get(0)?, overdue: row.get(1)?, files: sum(row.get(2)?)? });
    }
    Ok(all)
}

pub(super) fn copies_by_month(db: &Connection) -> Result<Vec<CopiesOfMonth>, Fault> {
    // The sign keeps the planner from the index of proofs, by which each copy would be looked up.
    let mut statement = db.prepare_cached(
        "SELECT substr(first_seen, 1, 7) AS month, count(*), sum(size)
         FROM backup_copy WHERE +state = 'proved' GROUP BY month ORDER BY month",
    )?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(CopiesOfMonth { month: row.get(0)?, copies: sum(row.get(1)?)?, bytes: sum(row.get(2)?)? });
    }
    Ok(all)
}
