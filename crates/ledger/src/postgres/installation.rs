//! Who this installation is.

use dvb_model::DestinationName;
use postgres::Transaction;

use super::Fault;
use super::read::{self, time};
use super::write;

pub(super) fn installation(db: &mut Transaction<'_>, fresh: &str) -> Result<String, Fault> {
    let sql = "INSERT INTO backup_installation (one, id, made) VALUES (1, $1, now()) ON CONFLICT DO NOTHING";
    db.execute(sql, &[&fresh])?;
    Ok(db.query_one("SELECT id FROM backup_installation", &[])?.try_get(0)?)
}

pub(super) fn become_installation(db: &mut Transaction<'_>, id: &str) -> Result<bool, Fault> {
    // Nobody marks a destination meanwhile.
    db.execute("LOCK TABLE backup_installation, backup_destination IN SHARE ROW EXCLUSIVE MODE", &[])?;
    let sql = "SELECT NOT EXISTS (SELECT FROM backup_destination WHERE marked_at IS NOT NULL)";
    let is_free: bool = db.query_one(sql, &[])?.try_get(0)?;
    if is_free {
        db.execute("DELETE FROM backup_installation", &[])?;
    }
    Ok(installation(db, id)? == id)
}

pub(super) fn marked_at(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<Option<String>, Fault> {
    let Some(destination) = read::destination_id(db, destination)? else { return Ok(None) };
    Ok(db.query_one(MARKED, &[&destination])?.try_get(0)?)
}

const MARKED: &str = concat!("SELECT ", time!("marked_at"), " FROM backup_destination WHERE id = $1");

pub(super) fn mark(db: &mut Transaction<'_>, destination: &DestinationName) -> Result<(), Fault> {
    let destination = write::destination_id(db, destination)?;
    let sql = "UPDATE backup_destination SET marked_at = coalesce(marked_at, now()) WHERE id = $1";
    db.execute(sql, &[&destination])?;
    Ok(())
}
