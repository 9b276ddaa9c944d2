//! What is asked of the database.

use std::collections::HashSet;

use dvb_fixity::Digest;
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId, Status};
use postgres::{Row, Transaction};

use super::Fault;
use crate::decode::{self, RawCopy, RawDetail, RawRun, RawState};
use crate::original::spellings;
use crate::{Candidate, CopyRecord, EntryKind, Run, RunSummary, State, StateDetail, pages};

/// The rows that a statement brings as arrays, as the table `w`: with the destination `$1` as a column of theirs. Joined on all
/// columns of a unique index, each is looked up there, whatever the statistics say. With a condition on the destination alone,
/// a planner without statistics takes a destination for a two-hundredth of its table, and reads all of it for each batch.
/// `OFFSET 0` keeps it from making that condition by itself.
macro_rules! wanted {
    ($arrays:literal, $columns:literal) => {
        concat!(
            "(SELECT $1::integer AS destination, w.* FROM unnest(",
            $arrays,
            ") AS w (",
            $columns,
            ") OFFSET 0) AS w"
        )
    };
}
pub(super) use wanted;

/// A column of times as the interface gives it.
macro_rules! time {
    ($column:literal) => {
        concat!("to_char(", $column, " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
    };
}
pub(super) use time;

pub(super) fn destination_id(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
) -> Result<Option<i32>, postgres::Error> {
    let row = db.query_opt("SELECT id FROM backup_destination WHERE name = $1", &[&destination.0])?;
    row.map(|it| it.try_get(0)).transpose()
}

/// Has the planner go by the indexes in this transaction. Without statistics, which a ledger lacks while it fills for the first
/// time, it takes a destination for a two-hundredth of a table, and sorts or hashes all of it for each page or batch.
pub(super) fn by_index(db: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    db.batch_execute(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;
         SET LOCAL enable_mergejoin = off; SET LOCAL jit = off",
    )
}

pub(super) fn knows_run(db: &mut Transaction<'_>, destination: &DestinationName, run: &RunId) -> Result<bool, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(false) };
    // Of a host that shares a run, its own row decides: the first one has the run's name. It is over when it has left, or
    // its run has ended, or when it is silent and its ranges were given to others. Silence alone is no death: such a host may
    // still hold a range, and stage for it.
    let sql = "SELECT coalesce(
                   (SELECT s.phase >= 3 OR w.left_at IS NOT NULL
                           OR (w.seen <= clock_timestamp() - s.lease_ms * interval '1 millisecond'
                               AND NOT EXISTS (SELECT FROM backup_range r
                                               WHERE r.shared = s.number AND r.worker = w.id AND r.state = 'claimed'))
                    FROM backup_worker w JOIN backup_shared s ON s.number = w.shared
                    WHERE w.id = $1 AND s.destination = $2),
                   EXISTS (SELECT FROM backup_run WHERE id = $1 AND destination = $2))";
    Ok(db.query_one(sql, &[&run.0, &destination])?.try_get(0)?)
}

/// When the objects of a data file were last read in their store; empty where that is not known.
pub(super) const AUDITED_AT: &str = "CASE WHEN audited_at = '-infinity' THEN ''
          ELSE to_char(audited_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') END";

pub(super) fn states(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    kind: EntryKind,
    after: i64,
) -> Result<Vec<State>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    // The kind stands in the text: only so can the partial index of the datasets be used.
    let sql = format!(
        "SELECT id, status, fingerprint, provisional, gone_since IS NOT NULL, reason, basis, dataset, {AUDITED_AT}
         FROM backup_state
         WHERE destination = $1 AND kind = '{}' AND id > $2 ORDER BY id LIMIT $3",
        kind.name()
    );
    let rows = db.query(&sql, &[&destination, &after, &pages::STATES])?;
    rows.iter()
        .map(|row| {
            let raw = RawState {
                id: row.try_get(0)?,
                status: row.try_get(1)?,
                fingerprint: row.try_get(2)?,
                provisional: row.try_get(3)?,
                gone: row.try_get(4)?,
                reason: row.try_get(5)?,
                basis: row.try_get(6)?,
                dataset: row.try_get(7)?,
                audited_at: row.try_get(8)?,
            };
            Ok(raw.read()?)
        })
        .collect()
}

pub(super) const COPY: &str = concat!(
    "SELECT c.id, c.role, c.version, c.key, c.state, c.size, c.sha256, c.evidence, ",
    time!("c.proved_at"),
    ", c.md5, c.sha1, c.sha512 FROM backup_copy c"
);

const COPIES: &str =
    concat!(" JOIN ", wanted!("$2::bigint[]", "id"), " ON c.destination = w.destination AND c.id = w.id");

/// Each id once, for a join.
pub(super) fn ids_once(ids: &[DvObjectId]) -> Vec<i64> {
    let mut ids: Vec<i64> = ids.iter().map(|it| it.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

pub(super) fn copy(row: &Row) -> Result<CopyRecord, Fault> {
    Ok(raw_copy(row)?.read()?)
}

pub(super) fn raw_copy(row: &Row) -> Result<RawCopy, postgres::Error> {
    Ok(RawCopy {
        id: row.try_get(0)?,
        role: row.try_get(1)?,
        version: row.try_get(2)?,
        key: row.try_get(3)?,
        state: row.try_get(4)?,
        size: row.try_get(5)?,
        sha256: row.try_get(6)?,
        others: [row.try_get("md5")?, row.try_get("sha1")?, row.try_get("sha512")?],
        evidence: row.try_get(7)?,
        proved_at: row.try_get(8)?,
    })
}

pub(super) fn copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<Vec<CopyRecord>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let rows = db.query(&format!("{COPY}{COPIES}"), &[&destination, &ids_once(ids)])?;
    let mut copies = rows.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
    decode::sort(&mut copies);
    Ok(copies)
}

pub(super) fn digests(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<Vec<(DvObjectId, Digest)>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    // A condition on the state would make the index of the proved ones look better, which is in the order of time.
    let sql = format!("SELECT c.id, c.state = 'proved', c.sha256, c.md5, c.sha1, c.sha512 FROM backup_copy c{COPIES}");
    let mut digests = Vec::new();
    for row in db.query(&sql, &[&destination, &ids_once(ids)])? {
        let id: i64 = row.try_get(0)?;
        if !row.try_get(1)? {
            continue;
        }
        for column in 2..=5 {
            let bytes: Option<&[u8]> = row.try_get(column)?;
            if let Some(bytes) = bytes {
                digests.push((DvObjectId(id), decode::digest(bytes, id)?));
            }
        }
    }
    Ok(digests)
}

/// Keys may be given twice: what is at one comes as often.
pub(super) const AT_KEYS: &str =
    concat!(" JOIN ", wanted!("$2::text[]", "key"), " ON c.destination = w.destination AND c.key = w.key");

pub(super) fn known_keys(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    keys: &[&str],
) -> Result<HashSet<String>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(HashSet::new()) };
    by_index(db)?;
    // PostgreSQL's text cannot hold NUL: no row has such a key.
    let keys: Vec<&str> = keys.iter().copied().filter(|it| !it.contains('\0')).collect();
    let rows = db.query(&format!("SELECT c.key FROM backup_copy c{AT_KEYS}"), &[&destination, &keys])?;
    Ok(rows.iter().map(|it| it.try_get(0)).collect::<Result<_, _>>()?)
}

pub(super) fn copy_at(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    key: &ObjectKey,
) -> Result<Option<CopyRecord>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(None) };
    let sql = format!("{COPY} WHERE c.destination = $1 AND c.key = $2");
    let row = db.query_opt(&sql, &[&destination, &key.as_str()])?;
    row.as_ref().map(copy).transpose()
}

pub(super) fn candidates(db: &mut Transaction<'_>, wanted: &[(String, String)]) -> Result<Vec<Candidate>, Fault> {
    let pairs = wanted.iter().flat_map(|(dataset, it)| spellings(it).into_iter().map(move |it| (dataset.as_str(), it)));
    let (datasets, identifiers): (Vec<&str>, Vec<String>) = pairs.unzip();
    let rows = db.query(
        "SELECT o.datasetidentifier::text, o.storageidentifier::text
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (dataset, identifier, n)
         JOIN datafilestatus_original o ON o.storageidentifier = w.identifier AND o.datasetidentifier = w.dataset
         WHERE o.status = 'OK' ORDER BY w.n",
        &[&datasets, &identifiers],
    )?;
    let candidate = |row: &Row| -> Result<_, postgres::Error> {
        Ok(Candidate { dataset_identifier: row.try_get(0)?, storage_identifier: row.try_get(1)? })
    };
    Ok(rows.iter().map(candidate).collect::<Result<_, _>>()?)
}

pub(super) fn counts(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
) -> Result<(Vec<(Status, u64)>, u64), Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok((Vec::new(), 0)) };
    let rows = db.query(
        "SELECT status, count(*) FILTER (WHERE gone_since IS NULL OR status = 'PURGED'),
                count(gone_since) FILTER (WHERE status <> 'PURGED') FROM backup_state
         WHERE destination = $1 AND kind = 'file' GROUP BY status",
        &[&destination],
    )?;
    let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    Ok(decode::counts(rows.collect::<Result<_, postgres::Error>>()?)?)
}

/// Each destination is looked up by itself: a planner that joins them may read all states for each.
const DETAILS: &str = concat!(
    "SELECT id, dataset, storage_identifier, label, status, basis, reason, provisional, ",
    time!("gone_since"),
    ", ",
    time!("recorded_at"),
    ", (SELECT count(*) FROM backup_copy c WHERE c.destination = s.destination AND c.id = s.id AND c.state = 'proved'),
       (SELECT count(*) FROM backup_destination d
        WHERE EXISTS (SELECT FROM backup_state o WHERE o.destination = d.id AND o.id = s.id AND o.status = 'OK' OFFSET 0)
           OR EXISTS (SELECT FROM backup_copy m WHERE m.destination = d.id AND m.id = s.id
                        AND m.role = 'main' AND m.state = 'proved' OFFSET 0))
     FROM backup_state s
     WHERE destination = $1 AND kind = 'file' AND id > $2
       AND ($3::text IS NULL OR dataset = $3) AND (NOT $4::boolean OR status <> 'OK')
     ORDER BY id LIMIT $5"
);

pub(super) fn details(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    dataset: Option<&str>,
    failed_only: bool,
    after: i64,
) -> Result<Vec<StateDetail>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let rows = db.query(DETAILS, &[&destination, &after, &dataset, &failed_only, &pages::DETAILS])?;
    rows.iter().map(|row| Ok(raw_detail(row)?.read()?)).collect()
}

pub(super) fn raw_detail(row: &Row) -> Result<RawDetail, postgres::Error> {
    Ok(RawDetail {
        id: row.try_get(0)?,
        dataset: row.try_get(1)?,
        storage_identifier: row.try_get(2)?,
        label: row.try_get(3)?,
        status: row.try_get(4)?,
        basis: row.try_get(5)?,
        reason: row.try_get(6)?,
        provisional: row.try_get(7)?,
        gone_since: row.try_get(8)?,
        recorded_at: row.try_get(9)?,
        copies: row.try_get(10)?,
        destinations: row.try_get(11)?,
    })
}

const OLDEST: &str = concat!(
    "SELECT ",
    time!("c.proved_at"),
    " FROM backup_copy c JOIN backup_state s ON s.destination = c.destination AND s.id = c.id
     WHERE c.destination = $1 AND c.state = 'proved' AND s.gone_since IS NULL ORDER BY c.proved_at LIMIT 1"
);

pub(super) fn oldest_proof(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<Option<String>, Fault> {
    let Some(destination) = destination_id(db, destination)? else { return Ok(None) };
    // In the order of the index: it ends at the first one, and does not read all copies for the smallest.
    by_index(db)?;
    Ok(db.query_opt(OLDEST, &[&destination])?.map(|row| row.try_get(0)).transpose()?)
}

const RUNS: &str = concat!(
    "SELECT id, ",
    time!("started"),
    ", host, pid, ",
    time!("finished"),
    ", catalogued, exit_code, summary FROM backup_run
     WHERE destination = $1 ORDER BY started DESC, id COLLATE \"C\" DESC LIMIT $2"
);

pub(super) fn runs(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    limit: u32,
) -> Result<Vec<(Run, Option<RunSummary>)>, Fault> {
    let Some(id) = destination_id(db, destination)? else { return Ok(Vec::new()) };
    let rows = db.query(RUNS, &[&id, &i64::from(limit)])?;
    rows.iter()
        .map(|row| {
            let raw = RawRun {
                id: row.try_get(0)?,
                started: row.try_get(1)?,
                host: row.try_get(2)?,
                pid: row.try_get(3)?,
                finished: row.try_get(4)?,
                catalogued: row.try_get(5)?,
                exit_code: row.try_get(6)?,
                summary: row.try_get(7)?,
            };
            Ok(raw.read(destination)?)
        })
        .collect()
}
