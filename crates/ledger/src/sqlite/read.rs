//! What is asked of the file.

use std::collections::HashSet;

use dvb_fixity::Digest;
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId, Status};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Fault;
use crate::decode::{self, RawCopy, RawDetail, RawRun, RawState};
use crate::original::spellings;
use crate::{Candidate, CopyRecord, EntryKind, Run, RunSummary, State, StateDetail, pages};

pub(super) fn destination_id(db: &Connection, destination: &DestinationName) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM backup_destination WHERE name = ?1")?
        .query_row([&destination.0], |row| row.get(0))
        .optional()
}

pub(super) fn knows_run(db: &Connection, destination: &DestinationName, run: &RunId) -> Result<bool, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(false) };
    let sql = "SELECT EXISTS (SELECT 1 FROM backup_run WHERE id = ?1 AND destination = ?2)";
    Ok(db.prepare_cached(sql)?.query_row(params![run.0, destination], |row| row.get(0))?)
}

/// A column of text, where it lies.
fn text<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a str>> {
    let value = row.get_ref(column)?;
    let wrong = |it: FromSqlError| rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(it));
    value.as_str_or_null().map_err(wrong)
}

pub(super) fn states(
    db: &Connection,
    destination: &DestinationName,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<State>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    // The kind stands in the text: only so can the partial index of the datasets be used.
    let sql = format!(
        "SELECT id, status, fingerprint, provisional, gone_since IS NOT NULL, reason, basis, dataset, audited_at
         FROM backup_state
         WHERE destination = ?1 AND kind = '{}' AND id > ?2 ORDER BY id LIMIT ?3",
        kind.name()
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![destination, after, pages::STATES])?;
    let mut states = Vec::new();
    while let Some(row) = rows.next()? {
        let raw = RawState {
            id: row.get(0)?,
            status: text(row, 1)?.unwrap_or_default(),
            fingerprint: row.get(2)?,
            provisional: row.get(3)?,
            gone: row.get(4)?,
            reason: row.get(5)?,
            basis: text(row, 6)?,
            dataset: row.get(7)?,
            audited_at: row.get(8)?,
        };
        states.push(raw.read()?);
    }
    Ok(states)
}

pub(super) const COPY: &str =
    "SELECT id, role, version, key, state, size, sha256, evidence, proved_at, md5, sha1, sha512 FROM backup_copy";

pub(super) fn raw_copy(row: &Row<'_>) -> rusqlite::Result<RawCopy> {
    Ok(RawCopy {
        id: row.get(0)?,
        role: row.get(1)?,
        version: row.get(2)?,
        key: row.get(3)?,
        state: row.get(4)?,
        size: row.get(5)?,
        sha256: row.get(6)?,
        others: [row.get("md5")?, row.get("sha1")?, row.get("sha512")?],
        evidence: row.get(7)?,
        proved_at: row.get(8)?,
    })
}

pub(super) fn copies(
    db: &Connection,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<Vec<CopyRecord>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let mut statement = db.prepare_cached(&format!("{COPY} WHERE destination = ?1 AND id = ?2"))?;
    let mut copies = Vec::with_capacity(ids.len());
    for id in ids {
        for row in statement.query_map(params![destination, id.0], raw_copy)? {
            copies.push(row?.read()?);
        }
    }
    decode::sort(&mut copies);
    Ok(copies)
}

pub(super) fn digests(
    db: &Connection,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<Vec<(DvObjectId, Digest)>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT sha256, md5, sha1, sha512 FROM backup_copy WHERE destination = ?1 AND id = ?2 AND state = 'proved'",
    )?;
    let mut digests = Vec::new();
    for id in ids {
        let mut rows = statement.query(params![destination, id.0])?;
        while let Some(row) = rows.next()? {
            for column in 0..4 {
                let bytes: Option<Vec<u8>> = row.get(column)?;
                if let Some(bytes) = bytes {
                    digests.push((*id, decode::digest(&bytes, id.0)?));
                }
            }
        }
    }
    Ok(digests)
}

pub(super) fn known_keys(
    db: &Connection,
    destination: &DestinationName,
    keys: &[&str],
) -> Result<HashSet<String>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(HashSet::new()) };
    let mut statement = db.prepare_cached("SELECT 1 FROM backup_copy WHERE destination = ?1 AND key = ?2")?;
    let mut known = HashSet::new();
    for key in keys {
        if statement.exists(params![destination, key])? {
            known.insert((*key).to_owned());
        }
    }
    Ok(known)
}

pub(super) fn copy_at(
    db: &Connection,
    destination: &DestinationName,
    key: &ObjectKey,
) -> Result<Option<CopyRecord>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(None) };
    let mut statement = db.prepare_cached(&format!("{COPY} WHERE destination = ?1 AND key = ?2"))?;
    let found = statement.query_row(params![destination, key.as_str()], raw_copy).optional()?;
    Ok(found.map(RawCopy::read).transpose()?)
}

pub(super) fn candidates(db: &Connection, wanted: &[(String, String)]) -> Result<Vec<Candidate>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT datasetidentifier, storageidentifier FROM datafilestatus_original
         WHERE storageidentifier = ?2 AND datasetidentifier = ?1 AND status = 'OK'",
    )?;
    let mut found = Vec::new();
    for (dataset, identifier) in wanted {
        for spelling in spellings(identifier) {
            let rows = statement.query_map([dataset, &spelling], |row| {
                Ok(Candidate { dataset_identifier: row.get(0)?, storage_identifier: row.get(1)? })
            })?;
            found.extend(rows.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(found)
}

pub(super) fn counts(db: &Connection, destination: &DestinationName) -> Result<(Vec<(Status, u64)>, u64), Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok((Vec::new(), 0)) };
    let mut statement = db.prepare_cached(
        "SELECT status, sum(gone_since IS NULL OR status = 'PURGED'), sum(gone_since IS NOT NULL AND status <> 'PURGED') FROM backup_state
         WHERE destination = ?1 AND kind = 'file' GROUP BY status",
    )?;
    let rows = statement.query_map([destination], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(decode::counts(rows.collect::<Result<_, _>>()?)?)
}

/// Each destination is looked up by itself: a planner that joins them may read all states for each.
pub(super) const DETAILS: &str =
    "SELECT id, dataset, storage_identifier, label, status, basis, reason, provisional, gone_since, recorded_at,
            (SELECT count(*) FROM backup_copy c
             WHERE c.destination = s.destination AND c.id = s.id AND c.state = 'proved'),
            (SELECT count(*) FROM backup_destination d
             WHERE EXISTS (SELECT 1 FROM backup_state o
                           WHERE o.destination = d.id AND o.id = s.id AND o.status = 'OK')
                OR EXISTS (SELECT 1 FROM backup_copy m WHERE m.destination = d.id AND m.id = s.id
                             AND m.role = 'main' AND m.state = 'proved'))
     FROM backup_state s
     WHERE destination = ?1 AND kind = 'file' AND id > ?2
       AND (?3 IS NULL OR dataset = ?3) AND (NOT ?4 OR status <> 'OK')
     ORDER BY id LIMIT ?5";

pub(super) fn details(
    db: &Connection,
    destination: &DestinationName,
    dataset: Option<&str>,
    failed_only: bool,
    after: i64,
) -> Result<Vec<StateDetail>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(DETAILS)?;
    let rows = statement.query_map(params![destination, after, dataset, failed_only, pages::DETAILS], raw_detail)?;
    rows.map(|row| Ok(row?.read()?)).collect()
}

pub(super) fn raw_detail(row: &Row<'_>) -> rusqlite::Result<RawDetail> {
    Ok(RawDetail {
        id: row.get(0)?,
        dataset: row.get(1)?,
        storage_identifier: row.get(2)?,
        label: row.get(3)?,
        status: row.get(4)?,
        basis: row.get(5)?,
        reason: row.get(6)?,
        provisional: row.get(7)?,
        gone_since: row.get(8)?,
        recorded_at: row.get(9)?,
        copies: row.get(10)?,
        destinations: row.get(11)?,
    })
}

pub(super) fn oldest_proof(db: &Connection, destination: &DestinationName) -> Result<Option<String>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(None) };
    let mut statement = db.prepare_cached(
        // In the order of the index: it ends at the first one, and does not read all copies for the smallest.
        "SELECT c.proved_at FROM backup_copy c
         CROSS JOIN backup_state s ON s.destination = c.destination AND s.id = c.id
         WHERE c.destination = ?1 AND c.state = 'proved' AND s.gone_since IS NULL
         ORDER BY c.proved_at LIMIT 1",
    )?;
    Ok(statement.query_row([destination], |row| row.get(0)).optional()?)
}

pub(super) fn runs(
    db: &Connection,
    destination: &DestinationName,
    limit: u32,
) -> Result<Vec<(Run, Option<RunSummary>)>, Fault> {
    let Some(id) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT id, started, host, pid, finished, catalogued, exit_code, summary FROM backup_run
         WHERE destination = ?1 ORDER BY started DESC, id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![id, limit], |row| {
        Ok(RawRun {
            id: row.get(0)?,
            started: row.get(1)?,
            host: row.get(2)?,
            pid: row.get(3)?,
            finished: row.get(4)?,
            catalogued: row.get(5)?,
            exit_code: row.get(6)?,
            summary: row.get(7)?,
        })
    })?;
    rows.map(|row| Ok(row?.read(destination)?)).collect()
}
