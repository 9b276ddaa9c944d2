//! What a snapshot says, where the ledger was lost.

use dvb_model::{DestinationName, RunId};
use postgres::Transaction;

use super::Fault;
use super::check::{HELD, held};
use super::read::{self, by_index};
use super::write;
use crate::check::place_of;
use crate::claim::{copies, status};
use crate::validate::storable;
use crate::{Basis, Claim, CopyRecord, LedgerCopy};

pub(super) fn is_blank(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<bool, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(true) };
    let sql = "SELECT NOT EXISTS (SELECT FROM backup_state WHERE destination = $1 AND status NOT IN ('PENDING', 'NOT_COVERED', 'PURGED'))
                  AND NOT EXISTS (SELECT FROM backup_copy WHERE destination = $1 AND state = 'proved')";
    Ok(db.query_one(sql, &[&destination])?.try_get(0)?)
}

pub(super) fn claim(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    run: &RunId,
    claims: &[Claim],
) -> Result<(), Fault> {
    let copies = copies(claims)?;
    let destination = write::destination_id(db, destination)?;
    // Each list is one column, its n-th entry the n-th row's.
    macro_rules! column {
        ($rows:ident, $row:ident => $value:expr) => {
            $rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    db.execute(
        "INSERT INTO backup_state (
             destination, id, kind, status, fingerprint, reason, basis, provisional, dataset, dataset_identifier,
             storage_identifier, label, method, run, gone_since, first_seen, recorded_at)
         SELECT $1::integer, w.id, w.kind, w.status, w.fingerprint, w.reason, w.basis, false, w.dataset,
                w.dataset_identifier, w.storage_identifier, w.label, w.method, $2::text, w.gone_since::timestamptz,
                now(), now()
         FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                     $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
              AS w (id, kind, fingerprint, reason, basis, dataset, dataset_identifier, storage_identifier, label,
                    method, gone_since, status)
         ON CONFLICT DO NOTHING",
        &[
            &destination,
            &run.0,
            &column!(claims, it => it.id.0),
            &column!(claims, it => it.kind.name()),
            &column!(claims, it => it.fingerprint.as_str()),
            &column!(claims, it => storable(&it.reason)),
            &column!(claims, it => it.basis.map(Basis::name)),
            &column!(claims, it => it.dataset.as_deref().map(storable)),
            &column!(claims, it => it.dataset_identifier.as_deref().map(storable)),
            &column!(claims, it => it.storage_identifier.as_deref().map(storable)),
            &column!(claims, it => it.label.as_deref().map(storable)),
            &column!(claims, it => it.method),
            &column!(claims, it => it.gone_since.as_deref()),
            &column!(claims, it => status(it)),
        ],
    )?;
    db.execute(
        "INSERT INTO backup_copy (
             destination, id, role, version, key, state, size, sha256, evidence, proved_at, first_seen, adopted)
         SELECT $1::integer, w.id, w.role, w.version, w.key, w.state, w.size, w.sha256, w.evidence,
                w.proved_at::timestamptz, now(), true
         FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::bigint[], $8::bytea[],
                     $9::text[], $10::text[])
              AS w (id, role, version, key, state, size, sha256, evidence, proved_at)
         WHERE NOT EXISTS (SELECT FROM backup_tombstone t WHERE t.id = w.id)
         ON CONFLICT DO NOTHING",
        &[
            &destination,
            &column!(copies, it => it.id),
            &column!(copies, it => it.role.as_str()),
            &column!(copies, it => it.version),
            &column!(copies, it => it.key),
            &column!(copies, it => it.state),
            &column!(copies, it => it.size),
            &column!(copies, it => it.sha256),
            &column!(copies, it => it.evidence),
            &column!(copies, it => it.proved_at),
        ],
    )?;
    Ok(())
}

const CLAIMED: &str = "c.destination = $1 AND c.state = 'reserved' AND c.sha256 IS NOT NULL";

pub(super) fn claimed_copies(
    db: &mut Transaction<'_>,
    destination: &DestinationName,
    after: Option<&CopyRecord>,
    limit: u32,
) -> Result<Vec<LedgerCopy>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(Vec::new()) };
    by_index(db)?;
    let (id, role, version) = place_of(after);
    let sql = format!(
        "{HELD} WHERE {CLAIMED} AND (c.id, c.role, c.version) > ($2::bigint, $3::text, $4::integer)
         ORDER BY c.id, c.role, c.version LIMIT $5"
    );
    held(&db.query(&sql, &[&destination, &id, &role, &version, &i64::from(limit)])?)
}

pub(super) fn count_claimed(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<u64, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(0) };
    let sql = format!("SELECT count(*) FROM backup_copy c WHERE {CLAIMED}");
    let count: i64 = db.query_one(&sql, &[&destination])?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}
