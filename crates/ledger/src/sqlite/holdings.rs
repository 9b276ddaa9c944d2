//! What is held at a destination, a page at a time.

use dvb_model::{DestinationName, DvObjectId};
use rusqlite::{Connection, params};

use super::Fault;
use super::read::{COPY, copies, destination_id, raw_copy, raw_detail};
use crate::decode;
use crate::{CopyRecord, EntryKind, Holding, StateDetail, pages};

pub(super) fn page(
    db: &Connection,
    destination: &DestinationName,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<Holding>, Fault> {
    let Some(number) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let states = states(db, number, kind, after)?;
    let ids: Vec<DvObjectId> = states.iter().map(|it| it.0.id).collect();
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
    let copies = match kind {
        EntryKind::DataFile => between(db, number, first.0, last.0)?,
        // Between two datasets there may be any number of data files.
        EntryKind::Dataset => copies(db, destination, &ids)?,
    };
    Ok(decode::holdings(states, copies))
}

fn states(
    db: &Connection,
    destination: i64,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<(StateDetail, Option<String>)>, Fault> {
    // The kind stands in the text: only so can the partial index of the datasets be used.
    let sql = format!(
        "SELECT id, dataset, storage_identifier, label, status, basis, reason, provisional, gone_since, recorded_at,
                0, 0, dataset_identifier
         FROM backup_state WHERE destination = ?1 AND kind = '{}' AND id > ?2 ORDER BY id LIMIT ?3",
        kind.name()
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params![destination, after, pages::DETAILS], |row| Ok((raw_detail(row)?, row.get(12)?)))?;
    rows.map(|row| {
        let (detail, dataset_identifier) = row?;
        Ok((detail.read()?, dataset_identifier))
    })
    .collect()
}

fn between(db: &Connection, destination: i64, first: i64, last: i64) -> Result<Vec<CopyRecord>, Fault> {
    let sql = format!("{COPY} WHERE destination = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![destination, first, last], raw_copy)?;
    rows.map(|row| Ok(row?.read()?)).collect()
}
