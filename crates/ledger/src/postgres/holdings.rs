//! What is held at a destination, a page at a time.

use dvb_model::{DestinationName, DvObjectId};
use postgres::Transaction;

use super::Fault;
use super::read::{COPY, by_index, copies, copy, destination_id, raw_detail, time};
use crate::decode;
use crate::{EntryKind, Holding, StateDetail, pages};

pub(super) fn page(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<Holding>, Fault> {
    let Some(number) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let states = states(db, number, kind, after)?;
    let ids: Vec<DvObjectId> = states.iter().map(|it| it.0.id).collect();
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
    let copies = match kind {
        EntryKind::DataFile => {
            let sql = format!("{COPY} WHERE c.destination = $1 AND c.id BETWEEN $2 AND $3 ORDER BY c.id");
            let rows = db.query(&sql, &[&number, &first.0, &last.0])?;
            rows.iter().map(copy).collect::<Result<_, _>>()?
        }
        // Between two datasets there may be any number of data files.
        EntryKind::Dataset => copies(db, destination, &ids)?,
    };
    Ok(decode::holdings(states, copies))
}

const STATES: &str = concat!(
    "SELECT id, dataset, storage_identifier, label, status, basis, reason, provisional, ",
    time!("gone_since"),
    ", ",
    time!("recorded_at"),
    ", 0::bigint, 0::bigint, dataset_identifier FROM backup_state WHERE destination = $1 AND id > $2"
);

fn states(
    db: &mut Transaction<'_>,
    destination: i32,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<(StateDetail, Option<String>)>, Fault> {
    // The kind stands in the text: only so can the partial index of the datasets be used.
    let sql = format!("{STATES} AND kind = '{}' ORDER BY id LIMIT $3", kind.name());
    let rows = db.query(&sql, &[&destination, &after, &pages::DETAILS])?;
    rows.iter().map(|row| Ok((raw_detail(row)?.read()?, row.try_get(12)?))).collect()
}
