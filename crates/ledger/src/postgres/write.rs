//! What changes the database; each function within one transaction, a statement for all rows.

use std::collections::HashMap;

use dvb_fixity::Algorithm;
use dvb_model::{DestinationName, DvObjectId, RunId};
use postgres::{Row, Transaction};

use super::read::{AT_KEYS, by_index, ids_once, wanted};
use super::{Fault, incident};
use crate::decode::{self, version_column};
use crate::reserve::KeyAllocator;
use crate::validate::{self, Changes, Known, Place};
use crate::{Record, Reservation, Run, RunSummary};

/// First half of the advisory lock under which keys of a destination are reserved; the second half is its id.
const RESERVE_LOCK: i32 = 0x0dfb_0002;

/// Every change begins here. It also keeps a server's or role's `synchronous_commit = off` from this transaction: what was
/// recorded must survive a loss of power (promise 1 of the design).
pub(super) fn destination_id(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<i32, postgres::Error> {
    let sql = "SELECT id, CASE current_setting('synchronous_commit')
                          WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
               FROM backup_destination WHERE name = $1";
    if let Some(row) = db.query_opt(sql, &[&destination.0])? {
        return row.try_get(0);
    }
    db.execute("INSERT INTO backup_destination (name) VALUES ($1) ON CONFLICT DO NOTHING", &[&destination.0])?;
    db.query_one(sql, &[&destination.0])?.try_get(0)
}

/// Every change that begins with no destination begins here.
pub(super) fn durable(db: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    db.execute(
        "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        &[],
    )?;
    Ok(())
}

pub(super) fn begin_run(db: &mut Transaction<'_>, run: &Run) -> Result<(), Fault> {
    let destination = destination_id(db, &run.destination)?;
    db.execute(
        "INSERT INTO backup_run (id, destination, started, host, pid)
         VALUES ($1, $2, $3::text::timestamptz, $4, $5) ON CONFLICT DO NOTHING",
        &[&run.id.0, &destination, &run.started, &run.host, &i64::from(run.pid)],
    )?;
    Ok(())
}

pub(super) fn finish_run(db: &mut Transaction<'_>, run: &RunId, summary: &RunSummary) -> Result<bool, Fault> {
    let catalogued = i64::try_from(summary.catalogued).unwrap_or(i64::MAX);
    let changed = db.execute(
        "UPDATE backup_run SET finished = $2::text::timestamptz, catalogued = $3, exit_code = $4, summary = $5
         WHERE id = $1",
        &[&run.0, &summary.finished, &catalogued, &i16::from(summary.exit_code), &summary.json],
    )?;
    Ok(changed > 0)
}

pub(super) fn mark_gone(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    ids: &[DvObjectId],
) -> Result<(), Fault> {
    let destination = destination_id(db, destination)?;
    by_index(db)?;
    db.execute(
        concat!(
            "UPDATE backup_state s SET gone_since = now() FROM ",
            wanted!("$2::bigint[]", "id"),
            " WHERE s.destination = w.destination AND s.id = w.id AND s.gone_since IS NULL"
        ),
        &[&destination, &ids_once(ids)],
    )?;
    Ok(())
}

pub(super) fn record_pids(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    pids: &[(DvObjectId, &str)],
) -> Result<(), Fault> {
    let destination = destination_id(db, destination)?;
    by_index(db)?;
    let (ids, pids): (Vec<i64>, Vec<&str>) = pids.iter().map(|(id, pid)| (id.0, *pid)).unzip();
    db.execute(
        concat!(
            "UPDATE backup_state s SET dataset = w.pid FROM ",
            wanted!("$2::bigint[], $3::text[]", "id, pid"),
            " WHERE s.destination = w.destination AND s.id = w.id"
        ),
        &[&destination, &ids, &pids],
    )?;
    Ok(())
}

/// Places as columns, the way `unnest` takes them.
#[derive(Default)]
pub(super) struct PlaceColumns<'a> {
    pub(super) ids: Vec<i64>,
    pub(super) roles: Vec<&'a str>,
    pub(super) versions: Vec<i32>,
}

impl<'a> FromIterator<&'a Place> for PlaceColumns<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Place>>(places: I) -> Self {
        let mut columns = Self::default();
        for (id, role, version) in places {
            columns.ids.push(id.0);
            columns.roles.push(role);
            columns.versions.push(version_column(*version));
        }
        columns
    }
}

/// A query for the columns that [`known`] reads, in their order: id, role, version, key, state.
macro_rules! known_columns {
    () => {
        "SELECT c.id, c.role, c.version, c.key,
                CASE WHEN c.state = 'reserved' AND c.sha256 IS NOT NULL THEN 'claimed' ELSE c.state END
         FROM backup_copy c"
    };
}

/// All columns of the table's key.
macro_rules! at_place {
    () => {
        "c.destination = w.destination AND c.id = w.id AND c.role = w.role AND c.version = w.version"
    };
}

fn known(row: &Row) -> Result<(Place, Known), Fault> {
    let state: &str = row.try_get(4)?;
    Ok(decode::known(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, state)?)
}

/// The copies at these places, which nobody else can change before the transaction ends.
fn known_at(db: &mut Transaction<'_>, destination: i32, places: &[Place]) -> Result<HashMap<Place, Known>, Fault> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let places: PlaceColumns<'_> = places.iter().collect();
    let rows = db.query(
        concat!(
            known_columns!(),
            " JOIN ",
            wanted!("$2::bigint[], $3::text[], $4::integer[]", "id, role, version"),
            " ON ",
            at_place!(),
            " ORDER BY c.id, c.role, c.version FOR UPDATE OF c"
        ),
        &[&destination, &places.ids, &places.roles, &places.versions],
    )?;
    rows.iter().map(known).collect()
}

pub(super) fn reserve(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    wishes: &[Reservation],
) -> Result<Vec<DvObjectId>, Fault> {
    let destination = destination_id(db, destination)?;
    by_index(db)?;
    // One call at a time for a destination: what is read here stays true until the commit.
    db.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&RESERVE_LOCK, &destination])?;
    let places: Vec<Place> = wishes.iter().map(|it| (it.id, it.role.to_string(), it.version)).collect();
    let keys: Vec<&str> = wishes.iter().map(|it| it.key.as_str()).collect();
    let at_keys = db.query(&format!("{}{AT_KEYS}", known_columns!()), &[&destination, &keys])?;
    let mut board = KeyAllocator::default();
    for row in &at_keys {
        let (place, known) = known(row)?;
        board.enter(place, known);
    }
    known_at(db, destination, &places)?.into_iter().for_each(|(place, known)| board.enter(place, known));
    let allotment = board.allot(wishes)?;
    delete_reservations(db, destination, &allotment.deletes)?;
    insert_reservations(db, destination, &allotment.inserts)?;
    Ok(allotment.owners)
}

fn delete_reservations(db: &mut Transaction<'_>, destination: i32, places: &[Place]) -> Result<(), Fault> {
    if places.is_empty() {
        return Ok(());
    }
    let places: PlaceColumns<'_> = places.iter().collect();
    db.execute(
        concat!(
            "DELETE FROM backup_copy c USING ",
            wanted!("$2::bigint[], $3::text[], $4::integer[]", "id, role, version"),
            " WHERE ",
            at_place!(),
            " AND c.state = 'reserved' AND c.sha256 IS NULL"
        ),
        &[&destination, &places.ids, &places.roles, &places.versions],
    )?;
    Ok(())
}

fn insert_reservations(db: &mut Transaction<'_>, destination: i32, rows: &[(Place, String)]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let places: PlaceColumns<'_> = rows.iter().map(|it| &it.0).collect();
    let keys: Vec<&str> = rows.iter().map(|it| it.1.as_str()).collect();
    db.execute(
        "INSERT INTO backup_copy (destination, id, role, version, key, state, first_seen)
         SELECT $1::integer, w.*, 'reserved', now() FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[]) AS w",
        &[&destination, &places.ids, &places.roles, &places.versions, &keys],
    )?;
    Ok(())
}

pub(super) fn record(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    run: &RunId,
    records: &[Record],
) -> Result<(), Fault> {
    let (destination, name) = (destination_id(db, destination)?, destination.0.as_str());
    by_index(db)?;
    for part in validate::parts(records) {
        let on_record = known_at(db, destination, &validate::places(part))?;
        let changes = validate::validate(part, &on_record)?;
        write_proofs(db, destination, &changes)?;
        write_damage(db, destination, &changes.damaged)?;
        write_states(db, destination, run, &changes)?;
        incident::open(db, run, changes.findings.iter().copied())?;
        incident::close_settled(db, destination, name, run, &changes)?;
    }
    Ok(())
}

fn write_proofs(db: &mut Transaction<'_>, destination: i32, changes: &Changes<'_>) -> Result<(), postgres::Error> {
    let rows = &changes.proofs;
    if rows.is_empty() {
        return Ok(());
    }
    let places: PlaceColumns<'_> = rows.iter().map(|it| &it.place).collect();
    let sizes: Vec<i64> = rows.iter().map(validate::ProofRow::size).collect();
    let digests = |algorithm| -> Vec<Option<&[u8]>> { rows.iter().map(|it| it.digest(algorithm)).collect() };
    let evidence: Vec<&str> = rows.iter().map(|it| it.proof.evidence().name()).collect();
    let adopted: Vec<bool> = rows.iter().map(|it| it.adopted).collect();
    db.execute(
        concat!(
            "UPDATE backup_copy c SET state = 'proved', size = w.size, sha256 = w.sha256, md5 = w.md5, sha1 = w.sha1,
                    sha512 = w.sha512, evidence = w.evidence, proved_at = now(), locked_until = NULL,
                    adopted = w.adopted OR (c.state = 'proved' AND c.adopted)
             FROM ",
            wanted!(
                "$2::bigint[], $3::text[], $4::integer[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bytea[],
                 $9::bytea[], $10::text[], $11::boolean[]",
                "id, role, version, size, sha256, md5, sha1, sha512, evidence, adopted"
            ),
            " WHERE ",
            at_place!()
        ),
        &[
            &destination,
            &places.ids,
            &places.roles,
            &places.versions,
            &sizes,
            &digests(Algorithm::Sha256),
            &digests(Algorithm::Md5),
            &digests(Algorithm::Sha1),
            &digests(Algorithm::Sha512),
            &evidence,
            &adopted,
        ],
    )?;
    Ok(())
}

pub(super) fn write_damage(
    db: &mut Transaction<'_>,
    destination: i32,
    damaged: &[Place],
) -> Result<(), postgres::Error> {
    if damaged.is_empty() {
        return Ok(());
    }
    let places: PlaceColumns<'_> = damaged.iter().collect();
    db.execute(
        concat!(
            "UPDATE backup_copy c SET state = 'damaged' FROM ",
            wanted!("$2::bigint[], $3::text[], $4::integer[]", "id, role, version"),
            " WHERE ",
            at_place!(),
            " AND (c.state = 'proved' OR c.sha256 IS NOT NULL)"
        ),
        &[&destination, &places.ids, &places.roles, &places.versions],
    )?;
    Ok(())
}

const STATES: &str = "
    INSERT INTO backup_state AS s (
        destination, id, kind, status, fingerprint, reason, basis, provisional, dataset, dataset_identifier,
        storage_identifier, label, method, run, last_backup, first_seen, recorded_at, audited_at)
    SELECT $1::integer, w.id, w.kind, w.status, w.fingerprint, w.reason, w.basis, w.provisional, w.dataset,
           w.dataset_identifier, w.storage_identifier, w.label, w.method, $2::text,
           CASE WHEN w.backed_up THEN now() END, now(), now(),
           CASE WHEN w.audited THEN now() ELSE '-infinity' END
    FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[], $10::text[],
                $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[], $16::boolean[])
         AS w (id, kind, status, fingerprint, reason, basis, provisional, dataset, dataset_identifier,
               storage_identifier, label, method, backed_up, audited)
    ORDER BY w.id
    ON CONFLICT (destination, id) DO UPDATE SET
        kind = excluded.kind, status = excluded.status, fingerprint = excluded.fingerprint,
        reason = excluded.reason, basis = excluded.basis, provisional = excluded.provisional,
        dataset = coalesce(excluded.dataset, s.dataset),
        dataset_identifier = coalesce(excluded.dataset_identifier, s.dataset_identifier),
        storage_identifier = coalesce(excluded.storage_identifier, s.storage_identifier),
        label = coalesce(excluded.label, s.label),
        method = excluded.method, run = excluded.run,
        last_backup = coalesce(excluded.last_backup, s.last_backup),
        gone_since = NULL, recorded_at = excluded.recorded_at,
        audited_at = greatest(excluded.audited_at, s.audited_at)
    WHERE s.status <> 'PURGED'";

fn write_states(
    db: &mut Transaction<'_>,
    destination: i32,
    run: &RunId,
    changes: &Changes<'_>,
) -> Result<(), postgres::Error> {
    let rows = &changes.states;
    // Each list is one column, its n-th entry the n-th row's.
    macro_rules! column {
        ($row:ident => $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    db.execute(
        STATES,
        &[
            &destination,
            &run.0,
            &column!(it => it.id),
            &column!(it => it.kind),
            &column!(it => it.status),
            &column!(it => it.fingerprint),
            &column!(it => it.reason.as_deref()),
            &column!(it => it.basis),
            &column!(it => it.provisional),
            &column!(it => it.dataset.as_deref()),
            &column!(it => it.dataset_identifier.as_deref()),
            &column!(it => it.storage_identifier.as_deref()),
            &column!(it => it.label.as_deref()),
            &column!(it => it.method),
            &column!(it => it.backed_up),
            &column!(it => it.audited),
        ],
    )?;
    Ok(())
}
