//! All that is known of one data file.

use dvb_model::DvObjectId;
use rusqlite::{Connection, Row, params};

use super::Fault;
use super::read::raw_copy;
use crate::Custody;
use crate::decode::RawDetail;
use crate::history::{RawCustody, copy_in_custody};

pub(super) fn history(db: &Connection, id: DvObjectId) -> Result<Vec<Custody>, Fault> {
    let mut states = db.prepare_cached(
        "SELECT d.id, d.name, s.id, s.dataset, s.storage_identifier, s.label, s.status, s.basis, s.reason,
                s.provisional, s.gone_since, s.recorded_at,
                (SELECT count(*) FROM backup_copy c
                 WHERE c.destination = s.destination AND c.id = s.id AND c.state = 'proved'),
                (SELECT count(*) FROM backup_destination e
                 WHERE EXISTS (SELECT 1 FROM backup_state o
                               WHERE o.destination = e.id AND o.id = s.id AND o.status = 'OK')
                    OR EXISTS (SELECT 1 FROM backup_copy m WHERE m.destination = e.id AND m.id = s.id
                                 AND m.role = 'main' AND m.state = 'proved')),
                s.method, s.first_seen, s.last_backup, s.run, s.fingerprint
         FROM backup_destination d JOIN backup_state s ON s.destination = d.id AND s.id = ?1 ORDER BY d.id",
    )?;
    let rows = states.query_map([id.0], |row| Ok((row.get::<_, i64>(0)?, raw_custody(row)?)))?;
    let mut copies = db.prepare_cached(
        "SELECT id, role, version, key, state, size, sha256, evidence, proved_at, first_seen, adopted,
                md5, sha1, sha512
         FROM backup_copy WHERE destination = ?1 AND id = ?2",
    )?;
    let mut found = Vec::new();
    for row in rows {
        let (destination, raw) = row?;
        let rows =
            copies.query_map(params![destination, id.0], |row| Ok((raw_copy(row)?, row.get(9)?, row.get(10)?)))?;
        let mut mine = Vec::new();
        for row in rows {
            let (copy, first_seen, adopted) = row?;
            mine.push(copy_in_custody(copy, first_seen, adopted)?);
        }
        found.push(raw.read(mine)?);
    }
    Ok(found)
}

fn raw_custody(row: &Row<'_>) -> rusqlite::Result<RawCustody> {
    let detail = RawDetail {
        id: row.get(2)?,
        dataset: row.get(3)?,
        storage_identifier: row.get(4)?,
        label: row.get(5)?,
        status: row.get(6)?,
        basis: row.get(7)?,
        reason: row.get(8)?,
        provisional: row.get(9)?,
        gone_since: row.get(10)?,
        recorded_at: row.get(11)?,
        copies: row.get(12)?,
        destinations: row.get(13)?,
    };
    Ok(RawCustody {
        destination: row.get(1)?,
        detail,
        method: row.get(14)?,
        first_seen: row.get(15)?,
        last_backup: row.get(16)?,
        run: row.get(17)?,
        fingerprint: row.get(18)?,
    })
}
