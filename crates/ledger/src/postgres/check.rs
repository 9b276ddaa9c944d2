//! Copies that are looked at again.

use std::borrow::Cow;

use dvb_model::{DestinationName, RunId};
use postgres::{Row, Transaction};

use super::read::{self, by_index, wanted};
use super::write::{self, PlaceColumns};
use super::{Fault, incident};
use crate::check::{Checks, UNFOUNDED, of_other_bytes, place_of};
use crate::decode::{entry_kind, version_column};
use crate::validate::storable;
use crate::{Check, CopyRecord, LedgerCopy, SourceDamage};

pub(super) fn oldest_copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    before: Option<&str>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    let before = before.unwrap_or("infinity");
    by_index(db)?;
    let at = after.and_then(|it| it.proved_at.as_deref()).unwrap_or("-infinity");
    let (id, role, version) = place_of(after);
    let sql = format!(
        "{HELD} WHERE c.destination = $1 AND c.state = 'proved' AND c.proved_at < $2::text::timestamptz
           AND (c.proved_at, c.id, c.role, c.version) > ($3::text::timestamptz, $4::bigint, $5::text, $6::integer)
         ORDER BY c.proved_at, c.id, c.role, c.version LIMIT $7"
    );
    held(&db.query(&sql, &[&destination, &before, &at, &id, &role, &version, &i64::from(limit)])?)
}

pub(super) fn damaged_copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let (id, role, version) = place_of(after);
    let sql = format!(
        "{HELD} WHERE c.destination = $1 AND c.state = 'damaged' AND s.status <> 'OK'
           AND (c.id, c.role, c.version) > ($2::bigint, $3::text, $4::integer)
         ORDER BY c.id, c.role, c.version LIMIT $5"
    );
    held(&db.query(&sql, &[&destination, &id, &role, &version, &i64::from(limit)])?)
}

pub(super) const HELD: &str = "SELECT c.id, c.role, c.version, c.key, c.state, c.size, c.sha256, c.evidence,
                to_char(c.proved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                coalesce(s.kind, 'file'), s.dataset, s.storage_identifier, s.label, s.gone_since IS NOT NULL,
                c.md5, c.sha1, c.sha512
         FROM backup_copy c LEFT JOIN backup_state s ON s.destination = c.destination AND s.id = c.id";

pub(super) fn held(rows: &[Row]) -> Result<Vec<LedgerCopy>, Fault> {
    rows.iter()
        .map(|row| {
            let copy = read::copy(row)?;
            Ok(LedgerCopy {
                kind: entry_kind(row.try_get(9)?, copy.id.0)?,
                copy,
                dataset: row.try_get(10)?,
                storage_identifier: row.try_get(11)?,
                label: row.try_get(12)?,
                gone: row.try_get(13)?,
            })
        })
        .collect()
}

pub(super) fn count_copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    before: Option<&str>,
) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let before = before.unwrap_or("infinity");
    let row = db.query_one(
        "SELECT count(*) FROM backup_copy
         WHERE destination = $1 AND state = 'proved' AND proved_at < $2::text::timestamptz",
        &[&destination, &before],
    )?;
    let count: i64 = row.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn record_checks(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    run: &RunId,
    checks: &[Check],
) -> Result<(), Fault> {
    let (checks, name) = (Checks::of(checks)?, destination.0.as_str());
    let destination = write::destination_id(db, destination)?;
    by_index(db)?;
    record_good(db, destination, &checks)?;
    write::write_damage(db, destination, &checks.damaged)?;
    incident::open(db, run, checks.findings.iter().copied())?;
    incident::close_checked(db, destination, name, run, &checks)?;
    if !checks.reasons.is_empty() {
        let (ids, reasons): (Vec<i64>, Vec<&str>) = checks.reasons.iter().map(|it| (*it.0, it.1.as_str())).unzip();
        db.execute(
            concat!(
                "UPDATE backup_state s SET
                 reason = CASE WHEN s.status = 'FAIL_VERIFY' AND s.run = $2 THEN coalesce(s.reason || '; ', '')
                               ELSE '' END || w.reason,
                 status = 'FAIL_VERIFY', basis = NULL, run = $2, recorded_at = now()
             FROM ",
                wanted!("$3::bigint[], $4::text[]", "id, reason"),
                " WHERE s.destination = w.destination AND s.id = w.id"
            ),
            &[&destination, &run.0, &ids, &reasons],
        )?;
    }
    Ok(())
}

fn record_good(db: &mut Transaction<'_>, destination: i32, checks: &Checks<'_>) -> Result<(), Fault> {
    let rows = &checks.good;
    if rows.is_empty() {
        return Ok(());
    }
    let places: PlaceColumns<'_> = rows.iter().map(|it| &it.place).collect();
    let evidence: Vec<&str> = rows.iter().map(|it| it.evidence).collect();
    let digests: Vec<&[u8]> = rows.iter().map(|it| it.sha256).collect();
    let changed = db.query(
        concat!(
            "UPDATE backup_copy c SET state = 'proved', evidence = w.evidence, proved_at = now() FROM ",
            wanted!(
                "$2::bigint[], $3::text[], $4::integer[], $5::text[], $6::bytea[]",
                "id, role, version, evidence, sha256"
            ),
            " WHERE c.destination = w.destination AND c.id = w.id AND c.role = w.role AND c.version = w.version
                AND c.sha256 = w.sha256
              RETURNING c.id, c.role, c.version"
        ),
        &[&destination, &places.ids, &places.roles, &places.versions, &evidence, &digests],
    )?;
    let mut done = std::collections::HashSet::with_capacity(changed.len());
    for row in &changed {
        let (id, role, version): (i64, String, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        done.insert((id, role, version));
    }
    let missed = rows.iter().find(|it| {
        let (id, role, version) = &it.place;
        !done.contains(&(id.0, role.clone(), version_column(*version)))
    });
    missed.map_or(Ok(()), |it| Err(of_other_bytes(&it.place).into()))
}

pub(super) fn record_source_damage(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    run: &RunId,
    found: &[SourceDamage],
) -> Result<(), Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(()) };
    by_index(db)?;
    let ids: Vec<i64> = found.iter().map(|it| it.id.0).collect();
    let statuses: Vec<&str> = found.iter().map(|it| it.status.name()).collect();
    let reasons: Vec<Cow<'_, str>> = found.iter().map(|it| storable(&it.reason)).collect();
    let reasons: Vec<&str> = reasons.iter().map(AsRef::as_ref).collect();
    db.execute(
        concat!(
            "UPDATE backup_state s SET status = w.status, reason = w.reason, basis = NULL, run = $2, recorded_at = now() FROM ",
            wanted!("$3::bigint[], $4::text[], $5::text[]", "id, status, reason"),
            " WHERE s.destination = w.destination AND s.id = w.id AND s.kind = 'file' AND s.status = 'OK'"
        ),
        &[&destination, &run.0, &ids, &statuses, &reasons],
    )?;
    Ok(())
}

pub(super) fn distrust(db: &mut Transaction<'_>, destination: &DestinationName, run: &RunId) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    Ok(db.execute(
        "UPDATE backup_state s SET status = 'FAIL_VERIFY', reason = $2, basis = NULL, run = $3, recorded_at = now()
         WHERE s.destination = $1 AND s.kind = 'file' AND s.status = 'OK' AND NOT EXISTS (
             SELECT FROM backup_copy c WHERE c.destination = s.destination AND c.id = s.id AND c.state = 'proved')",
        &[&destination, &UNFOUNDED, &run.0],
    )?)
}
