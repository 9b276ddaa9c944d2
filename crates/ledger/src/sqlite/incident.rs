//! Incidents: opened, closed, listed.

use dvb_fixity::Evidence;
use dvb_model::{DvObjectId, RunId};
use rusqlite::{Connection, Row, params};

use super::{Fault, write};
use crate::check::Checks;
use crate::decode::version_column;
use crate::incident::{BY_ITSELF, FindingRow, IncidentRow, size_column};
use crate::validate::Changes;
use crate::{Finding, Incident, Mending};

/// Opens one for each finding, unless one is open.
pub(super) fn open<'a>(
    db: &Connection,
    run: &RunId,
    found: impl IntoIterator<Item = &'a Finding>,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&format!(
        "INSERT INTO backup_incident (id, role, version, side, place, key, found, detail, command, found_by, found_at,
                                      expected_size, expected, actual_size, actual)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, {}, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING",
        write::NOW
    ))?;
    for it in found {
        let it = FindingRow::of(it);
        statement.execute(params![
            it.id,
            it.role,
            it.version,
            it.side,
            it.place,
            it.key,
            it.found,
            it.detail,
            it.command,
            run.0,
            it.expected_size,
            it.expected,
            it.actual_size,
            it.actual
        ])?;
    }
    Ok(())
}

pub(super) fn record(db: &Connection, run: &RunId, found: &[Finding], mended: &[Mending]) -> Result<(), Fault> {
    open(db, run, found)?;
    open(db, run, mended.iter().map(|it| &it.of))?;
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_incident SET mended_at = {}, mended_by = ?6, mended_from = ?7, evidence = ?8, size = ?9,
                sha256 = ?10, kept = ?11
         WHERE id = ?1 AND role = ?2 AND version = ?3 AND side = ?4 AND place = ?5 AND mended_at IS NULL",
        write::NOW
    ))?;
    for it in mended {
        statement.execute(params![
            it.of.id.0,
            it.of.role.to_string(),
            version_column(it.of.version),
            it.of.side.name(),
            it.of.place,
            run.0,
            it.from,
            it.evidence.map(Evidence::name),
            size_column(it.size),
            it.sha256.as_bytes(),
            it.kept
        ])?;
    }
    Ok(())
}

/// The newest proved copy of an incident's object at a destination, as it is on record now.
macro_rules! newest {
    ($column:literal) => {
        concat!(
            "(SELECT c.",
            $column,
            " FROM backup_copy c WHERE c.destination = ?1 AND c.id = backup_incident.id
                AND c.role = backup_incident.role AND c.state = 'proved' ORDER BY c.version DESC LIMIT 1)"
        )
    };
}

fn is_any_open(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM backup_incident WHERE mended_at IS NULL)";
    db.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// After a look at copies: what is good has no open incident any more.
pub(super) fn close_checked(
    db: &Connection,
    destination: i64,
    name: &str,
    run: &RunId,
    checks: &Checks<'_>,
) -> rusqlite::Result<()> {
    if checks.good.is_empty() || !is_any_open(db)? {
        return Ok(());
    }
    let mut statement = db.prepare_cached(&format!(
        "UPDATE backup_incident SET mended_at = {}, mended_by = ?2, mended_from = ?3, kept = ?4, evidence = ?5,
                size = {}, sha256 = ?6
         WHERE side = 'destination' AND place = ?7 AND id = ?8 AND role = ?9 AND version = ?10 AND mended_at IS NULL",
        write::NOW,
        newest!("size")
    ))?;
    for row in &checks.good {
        let (id, role, version) = &row.place;
        statement.execute(params![
            destination,
            run.0,
            row.from,
            row.kept,
            row.evidence,
            row.sha256,
            name,
            id.0,
            role,
            version_column(*version)
        ])?;
    }
    Ok(())
}

/// After verdicts were recorded: what was proved just now, and all of what is safe, has no open incident any more.
pub(super) fn close_settled(
    db: &Connection,
    destination: i64,
    name: &str,
    run: &RunId,
    changes: &Changes<'_>,
) -> rusqlite::Result<()> {
    if (changes.proofs.is_empty() && changes.safe.is_empty()) || !is_any_open(db)? {
        return Ok(());
    }
    let close = format!(
        "UPDATE backup_incident SET mended_at = {}, mended_by = ?2, mended_from = ?3, evidence = {}, size = {},
                sha256 = {}
         WHERE mended_at IS NULL AND id = ?4 AND side = ?5 AND (place = ?6 OR ?5 = 'store')
           AND (?7 IS NULL OR role = ?7)",
        write::NOW,
        newest!("evidence"),
        newest!("size"),
        newest!("sha256")
    );
    let mut statement = db.prepare_cached(&close)?;
    for row in &changes.proofs {
        let from = source(row.read_from);
        statement.execute(params![destination, run.0, from, row.place.0.0, "destination", name, row.place.1])?;
    }
    for (id, read_from) in &changes.safe {
        let none: Option<&str> = None;
        statement.execute(params![destination, run.0, source(*read_from), id, "destination", name, none])?;
        if read_from.is_some() {
            statement.execute(params![destination, run.0, BY_ITSELF, id, "store", name, none])?;
        }
    }
    Ok(())
}

fn source(read_from: Option<&str>) -> String {
    read_from.map_or_else(|| BY_ITSELF.to_owned(), |it| format!("store {it}"))
}

const COLUMNS: &str = "number, id, role, version, side, place, key, found, detail, command, found_by, found_at, expected_size,
    expected, actual_size, actual, mended_at, mended_by, mended_from, evidence, size, sha256, kept, note, note_by, note_at";

pub(super) fn of(db: &Connection, id: DvObjectId) -> Result<Vec<Incident>, Fault> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM backup_incident WHERE id = ?1 ORDER BY number"))?;
    let rows = statement.query_map([id.0], row)?;
    rows.map(|it| Ok(it?.read()?)).collect()
}

pub(super) fn page(db: &Connection, after: u64, open: bool, limit: u32) -> Result<Vec<Incident>, Fault> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM backup_incident WHERE number > ?1 AND (mended_at IS NULL OR NOT ?2) ORDER BY number LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![after, open, limit], row)?;
    rows.map(|it| Ok(it?.read()?)).collect()
}

pub(super) fn count_open(db: &Connection) -> Result<u64, Fault> {
    let sql = "SELECT count(*) FROM backup_incident WHERE mended_at IS NULL";
    let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn note(db: &Connection, number: u64, note: &str, by: &str) -> Result<bool, Fault> {
    let number = i64::try_from(number).unwrap_or(-1);
    let sql = format!("UPDATE backup_incident SET note = ?2, note_by = ?3, note_at = {} WHERE number = ?1", write::NOW);
    Ok(db.execute(&sql, params![number, note, by])? > 0)
}

/// Takes over incidents of a ledger that was lost, unless they are here already.
pub(super) fn take_over(db: &Connection, incidents: &[Incident]) -> Result<(), Fault> {
    let mut statement = db.prepare_cached(
        "INSERT INTO backup_incident (id, role, version, side, place, key, found, detail, command, found_by, found_at,
                                      expected_size, expected, actual_size, actual, mended_at, mended_by, mended_from,
                                      evidence, size, sha256, kept, note, note_by, note_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
                ?24, ?25
         WHERE NOT EXISTS (SELECT 1 FROM backup_incident WHERE id = ?1 AND role = ?2 AND version = ?3 AND side = ?4
                             AND place = ?5 AND found_at = ?11)
         ON CONFLICT DO NOTHING",
    )?;
    for it in incidents {
        let row = IncidentRow::of(it);
        statement.execute(params![
            row.id,
            row.role,
            row.version,
            row.side,
            row.place,
            row.key,
            row.found,
            row.detail,
            row.command,
            row.found_by,
            row.found_at,
            row.expected_size,
            row.expected,
            row.actual_size,
            row.actual,
            row.mended_at,
            row.mended_by,
            row.mended_from,
            row.evidence,
            row.size,
            row.sha256,
            row.kept,
            row.note,
            row.note_by,
            row.note_at
        ])?;
    }
    Ok(())
}

fn row(row: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    Ok(IncidentRow {
        number: row.get(0)?,
        id: row.get(1)?,
        role: row.get(2)?,
        version: row.get(3)?,
        side: row.get(4)?,
        place: row.get(5)?,
        key: row.get(6)?,
        found: row.get(7)?,
        detail: row.get(8)?,
        command: row.get(9)?,
        found_by: row.get(10)?,
        found_at: row.get(11)?,
        expected_size: row.get(12)?,
        expected: row.get(13)?,
        actual_size: row.get(14)?,
        actual: row.get(15)?,
        mended_at: row.get(16)?,
        mended_by: row.get(17)?,
        mended_from: row.get(18)?,
        evidence: row.get(19)?,
        size: row.get(20)?,
        sha256: row.get(21)?,
        kept: row.get(22)?,
        note: row.get(23)?,
        note_by: row.get(24)?,
        note_at: row.get(25)?,
    })
}
