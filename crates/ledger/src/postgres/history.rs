//! All that is known of one data file.

use dvb_model::DvObjectId;
use postgres::{Row, Transaction};

use super::Fault;
use super::read::{by_index, raw_copy, time};
use crate::Custody;
use crate::decode::RawDetail;
use crate::history::{RawCustody, copy_in_custody};

const STATES: &str = concat!(
    "SELECT d.id, d.name, s.id, s.dataset, s.storage_identifier, s.label, s.status, s.basis, s.reason, s.provisional, ",
    time!("s.gone_since"),
    ", ",
    time!("s.recorded_at"),
    ", (SELECT count(*) FROM backup_copy c
        WHERE c.destination = s.destination AND c.id = s.id AND c.state = 'proved'),
       (SELECT count(*) FROM backup_destination e
        WHERE EXISTS (SELECT FROM backup_state o WHERE o.destination = e.id AND o.id = s.id AND o.status = 'OK')
           OR EXISTS (SELECT FROM backup_copy m WHERE m.destination = e.id AND m.id = s.id
                        AND m.role = 'main' AND m.state = 'proved')), s.method, ",
    time!("s.first_seen"),
    ", ",
    time!("s.last_backup"),
    ", s.run, s.fingerprint FROM backup_destination d JOIN backup_state s ON s.destination = d.id AND s.id = $1 ORDER BY d.id"
);
const COPIES: &str = concat!(
    "SELECT id, role, version, key, state, size, sha256, evidence, ",
    time!("proved_at"),
    ", ",
    time!("first_seen"),
    ", adopted, md5, sha1, sha512 FROM backup_copy WHERE destination = $1 AND id = $2"
);

pub(super) fn history(db: &mut Transaction<'_>, id: DvObjectId) -> Result<Vec<Custody>, Fault> {
    by_index(db)?;
    let mut found = Vec::new();
    for state in db.query(STATES, &[&id.0])? {
        let destination: i32 = state.try_get(0)?;
        let mut mine = Vec::new();
        for row in db.query(COPIES, &[&destination, &id.0])? {
            mine.push(copy_in_custody(raw_copy(&row)?, row.try_get(9)?, row.try_get(10)?)?);
        }
        found.push(raw_custody(&state)?.read(mine)?);
    }
    Ok(found)
}

fn raw_custody(row: &Row) -> Result<RawCustody, postgres::Error> {
    let detail = RawDetail {
        id: row.try_get(2)?,
        dataset: row.try_get(3)?,
        storage_identifier: row.try_get(4)?,
        label: row.try_get(5)?,
        status: row.try_get(6)?,
        basis: row.try_get(7)?,
        reason: row.try_get(8)?,
        provisional: row.try_get(9)?,
        gone_since: row.try_get(10)?,
        recorded_at: row.try_get(11)?,
        copies: row.try_get(12)?,
        destinations: row.try_get(13)?,
    };
    Ok(RawCustody {
        destination: row.try_get(1)?,
        detail,
        method: row.try_get(14)?,
        first_seen: row.try_get(15)?,
        last_backup: row.try_get(16)?,
        run: row.try_get(17)?,
        fingerprint: row.try_get(18)?,
    })
}
