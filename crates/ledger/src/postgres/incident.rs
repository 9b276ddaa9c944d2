//! Incidents: opened, closed, listed.

use std::collections::HashSet;

use dvb_fixity::Evidence;
use dvb_model::{DvObjectId, RunId};
use postgres::{Row, Transaction};

use super::Fault;
use super::read::time;
use crate::check::Checks;
use crate::decode::version_column;
use crate::incident::{BY_ITSELF, FindingRow, IncidentRow, size_column};
use crate::validate::Changes;
use crate::{Finding, Incident, Mending};

/// Opens one for each finding, unless one is open.
pub(super) fn open<'a>(
    db: &mut Transaction<'_>,
    run: &RunId,
    found: impl IntoIterator<Item = &'a Finding>,
) -> Result<(), postgres::Error> {
    let mut found = found.into_iter().peekable();
    if found.peek().is_none() {
        return Ok(());
    }
    let statement = db.prepare(
        "INSERT INTO backup_incident (id, role, version, side, place, key, found, detail, command, found_by, found_at,
                                      expected_size, expected, actual_size, actual)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now(), $11, $12, $13, $14) ON CONFLICT DO NOTHING",
    )?;
    for it in found {
        let it = FindingRow::of(it);
        db.execute(
            &statement,
            &[
                &it.id,
                &it.role,
                &it.version,
                &it.side,
                &it.place,
                &it.key,
                &it.found,
                &it.detail,
                &it.command,
                &run.0,
                &it.expected_size,
                &it.expected,
                &it.actual_size,
                &it.actual,
            ],
        )?;
    }
    Ok(())
}

pub(super) fn record(
    db: &mut Transaction<'_>,
    run: &RunId,
    found: &[Finding],
    mended: &[Mending],
) -> Result<(), Fault> {
    open(db, run, found)?;
    open(db, run, mended.iter().map(|it| &it.of))?;
    let sql =
        "UPDATE backup_incident SET mended_at = now(), mended_by = $6, mended_from = $7, evidence = $8, size = $9,
                      sha256 = $10, kept = $11
               WHERE id = $1 AND role = $2 AND version = $3 AND side = $4 AND place = $5 AND mended_at IS NULL";
    for it in mended {
        db.execute(
            sql,
            &[
                &it.of.id.0,
                &it.of.role.to_string(),
                &version_column(it.of.version),
                &it.of.side.name(),
                &it.of.place,
                &run.0,
                &it.from,
                &it.evidence.map(Evidence::name),
                &size_column(it.size),
                &it.sha256.as_bytes(),
                &it.kept,
            ],
        )?;
    }
    Ok(())
}

/// The newest proved copy of an incident's object at a destination, as it is on record now.
macro_rules! newest {
    ($column:literal) => {
        concat!(
            "(SELECT c.",
            $column,
            " FROM backup_copy c WHERE c.destination = $1 AND c.id = i.id AND c.role = i.role AND c.state = 'proved'
              ORDER BY c.version DESC LIMIT 1)"
        )
    };
}

/// Which of these have one open. Few have, so that nothing is asked of all others.
fn with_open(db: &mut Transaction<'_>, ids: impl IntoIterator<Item = i64>) -> Result<HashSet<i64>, postgres::Error> {
    let ids: Vec<i64> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT DISTINCT id FROM backup_incident WHERE mended_at IS NULL AND id = ANY ($1)";
    db.query(sql, &[&ids])?.iter().map(|row| row.try_get(0)).collect()
}

/// After a look at copies: what is good has no open incident any more.
pub(super) fn close_checked(
    db: &mut Transaction<'_>,
    destination: i32,
    name: &str,
    run: &RunId,
    checks: &Checks<'_>,
) -> Result<(), postgres::Error> {
    let ids = with_open(db, checks.good.iter().map(|it| it.place.0.0))?;
    if ids.is_empty() {
        return Ok(());
    }
    let statement = db.prepare(concat!(
        "UPDATE backup_incident i SET mended_at = now(), mended_by = $2, mended_from = $3, kept = $4, evidence = $5,
                sha256 = $6, size = ",
        newest!("size"),
        " WHERE i.side = 'destination' AND i.place = $7 AND i.id = $8 AND i.role = $9 AND i.version = $10
            AND i.mended_at IS NULL"
    ))?;
    for row in checks.good.iter().filter(|it| ids.contains(&it.place.0.0)) {
        let (id, role, version) = &row.place;
        let version = version_column(*version);
        db.execute(
            &statement,
            &[&destination, &run.0, &row.from, &row.kept, &row.evidence, &row.sha256, &name, &id.0, role, &version],
        )?;
    }
    Ok(())
}

/// After verdicts were recorded: what was proved just now, and all of what is safe, has no open incident any more.
pub(super) fn close_settled(
    db: &mut Transaction<'_>,
    destination: i32,
    name: &str,
    run: &RunId,
    changes: &Changes<'_>,
) -> Result<(), postgres::Error> {
    let of_proofs = changes.proofs.iter().map(|it| it.place.0.0);
    let ids = with_open(db, of_proofs.chain(changes.safe.iter().map(|it| it.0)))?;
    if ids.is_empty() {
        return Ok(());
    }
    let statement = db.prepare(concat!(
        "UPDATE backup_incident i SET mended_at = now(), mended_by = $2, mended_from = $3, evidence = ",
        newest!("evidence"),
        ", size = ",
        newest!("size"),
        ", sha256 = ",
        newest!("sha256"),
        " WHERE i.mended_at IS NULL AND i.id = $4 AND i.side = $5::text AND (i.place = $6 OR $5::text = 'store')
            AND ($7::text IS NULL OR i.role = $7::text)"
    ))?;
    let none: Option<&str> = None;
    for row in changes.proofs.iter().filter(|it| ids.contains(&it.place.0.0)) {
        let role = Some(row.place.1.as_str());
        let from = source(row.read_from);
        db.execute(&statement, &[&destination, &run.0, &from, &row.place.0.0, &"destination", &name, &role])?;
    }
    for (id, read_from) in changes.safe.iter().filter(|it| ids.contains(&it.0)) {
        let from = source(*read_from);
        db.execute(&statement, &[&destination, &run.0, &from, id, &"destination", &name, &none])?;
        if read_from.is_some() {
            db.execute(&statement, &[&destination, &run.0, &BY_ITSELF, id, &"store", &name, &none])?;
        }
    }
    Ok(())
}

fn source(read_from: Option<&str>) -> String {
    read_from.map_or_else(|| BY_ITSELF.to_owned(), |it| format!("store {it}"))
}

macro_rules! incidents {
    ($where:literal) => {
        concat!(
            "SELECT number, id, role, version, side, place, key, found, detail, command, found_by, ",
            time!("found_at"),
            ", expected_size, expected, actual_size, actual, ",
            time!("mended_at"),
            ", mended_by, mended_from, evidence, size, sha256, kept, note, note_by, ",
            time!("note_at"),
            " FROM backup_incident WHERE ",
            $where
        )
    };
}

pub(super) fn of(db: &mut Transaction<'_>, id: DvObjectId) -> Result<Vec<Incident>, Fault> {
    db.query(incidents!("id = $1 ORDER BY number"), &[&id.0])?.iter().map(read).collect()
}

pub(super) fn page(db: &mut Transaction<'_>, after: u64, open: bool, limit: u32) -> Result<Vec<Incident>, Fault> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    db.query(
        incidents!("number > $1 AND (mended_at IS NULL OR NOT $2) ORDER BY number LIMIT $3"),
        &[&after, &open, &i64::from(limit)],
    )?
    .iter()
    .map(read)
    .collect()
}

pub(super) fn count_open(db: &mut Transaction<'_>) -> Result<u64, Fault> {
    let count: i64 = db.query_one("SELECT count(*) FROM backup_incident WHERE mended_at IS NULL", &[])?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn note(db: &mut Transaction<'_>, number: u64, note: &str, by: &str) -> Result<bool, Fault> {
    let number = i64::try_from(number).unwrap_or(-1);
    let sql = "UPDATE backup_incident SET note = $2, note_by = $3, note_at = now() WHERE number = $1";
    Ok(db.execute(sql, &[&number, &note, &by])? > 0)
}

/// Takes over incidents of a ledger that was lost, unless they are here already.
pub(super) fn take_over(db: &mut Transaction<'_>, incidents: &[Incident]) -> Result<(), Fault> {
    let statement = db.prepare(
        "INSERT INTO backup_incident (id, role, version, side, place, key, found, detail, command, found_by, found_at,
                                      expected_size, expected, actual_size, actual, mended_at, mended_by, mended_from,
                                      evidence, size, sha256, kept, note, note_by, note_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::timestamptz, $12, $13, $14, $15,
                $16::text::timestamptz, $17, $18, $19, $20, $21, $22, $23, $24, $25::text::timestamptz
         WHERE NOT EXISTS (SELECT FROM backup_incident WHERE id = $1 AND role = $2 AND version = $3 AND side = $4
                             AND place = $5 AND found_at = $11::text::timestamptz)
         ON CONFLICT DO NOTHING",
    )?;
    for it in incidents {
        let row = IncidentRow::of(it);
        db.execute(
            &statement,
            &[
                &row.id,
                &row.role,
                &row.version,
                &row.side,
                &row.place,
                &row.key,
                &row.found,
                &row.detail,
                &row.command,
                &row.found_by,
                &row.found_at,
                &row.expected_size,
                &row.expected,
                &row.actual_size,
                &row.actual,
                &row.mended_at,
                &row.mended_by,
                &row.mended_from,
                &row.evidence,
                &row.size,
                &row.sha256,
                &row.kept,
                &row.note,
                &row.note_by,
                &row.note_at,
            ],
        )?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<Incident, Fault> {
    let raw = IncidentRow {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        role: row.try_get(2)?,
        version: row.try_get(3)?,
        side: row.try_get(4)?,
        place: row.try_get(5)?,
        key: row.try_get(6)?,
        found: row.try_get(7)?,
        detail: row.try_get(8)?,
        command: row.try_get(9)?,
        found_by: row.try_get(10)?,
        found_at: row.try_get(11)?,
        expected_size: row.try_get(12)?,
        expected: row.try_get(13)?,
        actual_size: row.try_get(14)?,
        actual: row.try_get(15)?,
        mended_at: row.try_get(16)?,
        mended_by: row.try_get(17)?,
        mended_from: row.try_get(18)?,
        evidence: row.try_get(19)?,
        size: row.try_get(20)?,
        sha256: row.try_get(21)?,
        kept: row.try_get(22)?,
        note: row.try_get(23)?,
        note_by: row.try_get(24)?,
        note_at: row.try_get(25)?,
    };
    Ok(raw.read()?)
}
