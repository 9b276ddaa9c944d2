//! The lock on a destination: an advisory lock of a connection of its own, which ends with that connection.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_fixity::{Algorithm, Measured};
use dvb_model::{DestinationName, RunId};
use dvb_pg::PostgresTarget;
use postgres::Client;

use super::{Fault, open};
use crate::{Holder, LedgerError, Lock};

/// A holder writes its name right after it got the lock: how often the other one looks for it, 10 ms apart.
const LOOKS: u32 = 20;

/// Whether the lock `$1` is held by `k`'s session.
macro_rules! holds {
    () => {
        "k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
         AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND ((k.classid::bigint << 32) | k.objid::bigint) = $1"
    };
}

const HOLDER: &str = concat!(
    "SELECT h.holder FROM backup_lock h JOIN pg_locks k ON k.pid = h.backend_pid AND ",
    holds!(),
    " WHERE h.destination = $2"
);

const IS_HELD: &str =
    concat!("SELECT EXISTS (SELECT FROM pg_locks k WHERE k.pid = pg_backend_pid() AND ", holds!(), ")");

/// The server finds out within a minute that the holder's host is gone, and never ends the session for being idle.
const SETTINGS: &str = "
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout';";

pub(super) struct SessionLock {
    client: Mutex<Client>,
    key: i64,
    destination: String,
}

impl SessionLock {
    pub(super) fn take(
        target: &PostgresTarget,
        destination: &DestinationName,
        holder: &Holder,
    ) -> Result<Self, LedgerError> {
        let client = open::connect(target)?;
        attempt(client, destination, holder).map_err(|it| match it {
            Fault::Sql(error) => open::error(target, "lock the destination", error),
            Fault::Ledger(error) => error,
        })
    }
}

fn attempt(mut client: Client, destination: &DestinationName, holder: &Holder) -> Result<SessionLock, Fault> {
    client.batch_execute(SETTINGS)?;
    let key = key(&mut client, destination)?;
    for _ in 0..LOOKS {
        if client.query_one("SELECT pg_try_advisory_lock($1)", &[&key])?.try_get(0)? {
            sign(&mut client, destination, holder)?;
            return Ok(SessionLock { client: Mutex::new(client), key, destination: destination.0.clone() });
        }
        if let Some(row) = client.query_opt(HOLDER, &[&key, &destination.0])? {
            let text: String = row.try_get(0)?;
            return Err(locked(destination, serde_json::from_str(&text).unwrap_or_else(|_| unknown())).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(locked(destination, unknown()).into())
}

fn sign(client: &mut Client, destination: &DestinationName, holder: &Holder) -> Result<(), Fault> {
    let bad = |_| LedgerError::BadRow { what: "holder of the lock".into(), value: holder.to_string() };
    let text = serde_json::to_string(holder).map_err(bad)?;
    client.execute(
        "INSERT INTO backup_lock (destination, backend_pid, holder) VALUES ($1, pg_backend_pid(), $2)
         ON CONFLICT (destination) DO UPDATE SET backend_pid = excluded.backend_pid, holder = excluded.holder",
        &[&destination.0, &text],
    )?;
    Ok(())
}

/// Advisory locks are of a database: several ledgers in one are told apart by their schema.
fn key(client: &mut Client, destination: &DestinationName) -> Result<i64, postgres::Error> {
    let schema: Option<String> = client.query_one("SELECT current_schema()::text", &[])?.try_get(0)?;
    let name = format!("dataverse-backup\0{}\0{destination}", schema.unwrap_or_default());
    let measured = Measured::of(name.as_bytes(), &[]);
    let digest = measured.digest(Algorithm::Sha256).and_then(|it| it.as_bytes().first_chunk::<8>().copied());
    Ok(i64::from_be_bytes(digest.unwrap_or_default()))
}

fn locked(destination: &DestinationName, holder: Holder) -> LedgerError {
    LedgerError::Locked { destination: destination.0.clone(), holder }
}

fn unknown() -> Holder {
    Holder { host: "an unknown host".into(), pid: 0, run: RunId("unknown".into()), since: "unknown".into() }
}

impl Lock for SessionLock {
    fn is_held(&self) -> bool {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.query_one(IS_HELD, &[&self.key]).and_then(|it| it.try_get(0)).unwrap_or(false)
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        let client = self.client.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The server would find out from the closed connection too, but later than whoever waits for this one to end.
        let _ = client.execute(
            "DELETE FROM backup_lock WHERE destination = $1 AND backend_pid = pg_backend_pid()",
            &[&self.destination],
        );
        let _ = client.execute("SELECT pg_advisory_unlock($1)", &[&self.key]);
    }
}
