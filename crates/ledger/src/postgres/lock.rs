//! The lock on a destination: an advisory lock of a connection of its own, which ends with that connection.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_fixity::{Algorithm, Measured};
use dvb_model::{DestinationName, RunId};
use dvb_pg::{Patience, PostgresTarget};
use postgres::Client;
use serde::{Deserialize, Serialize};

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

/// When the session of a row of `pg_stat_activity` began.
macro_rules! began {
    ($row:literal) => {
        concat!("to_char(", $row, ".backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    };
}

/// Who has signed for the lock `$1` on the destination `$2`; a process of the server that began later than the one that
/// signed has only its number. Sessions of other roles do not show their beginning.
const HOLDER: &str = concat!(
    "SELECT h.holder, h.backend_pid, ",
    began!("a"),
    " FROM backup_lock h JOIN pg_locks k ON k.pid = h.backend_pid AND ",
    holds!(),
    " LEFT JOIN pg_stat_activity a ON a.pid = k.pid WHERE h.destination = $2"
);

/// Whether the process `$2` is ours, has the lock `$1`, and `$4` stands signed for the destination `$3`.
const IS_HELD: &str = concat!(
    "SELECT pg_backend_pid() = $2 AND EXISTS (SELECT FROM pg_locks k WHERE k.pid = $2 AND ",
    holds!(),
    ") AND EXISTS (SELECT FROM backup_lock WHERE destination = $3 AND backend_pid = $2 AND holder = $4)"
);

/// The first of the hosts that share the lock `$1`.
const HOSTS: &str = concat!(
    "SELECT w.host, w.pid, s.run, ",
    super::read::time!("w.joined"),
    " FROM backup_worker w JOIN backup_shared s ON s.number = w.shared JOIN pg_locks k ON k.pid = w.backend AND ",
    holds!(),
    " WHERE w.left_at IS NULL ORDER BY w.joined LIMIT 1"
);

const OURSELVES: &str =
    concat!("SELECT pg_backend_pid(), ", began!("a"), " FROM pg_stat_activity a WHERE a.pid = pg_backend_pid()");

/// Of a run that is over a lock is held for a moment more.
const IS_OVER: &str =
    "SELECT EXISTS (SELECT FROM backup_run WHERE id = $1 AND finished < now() - interval '10 minutes')";

/// The server finds out within a minute that the holder's host is gone, and never ends the session for being idle.
pub(super) const SETTINGS: &str = "
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout';";

pub(super) struct SessionLock {
    client: Mutex<Client>,
    key: i64,
    destination: String,
    backend: i32,
    signature: String,
}

/// What is written beside a lock: its holder, and which session of the server is meant, for numbers of processes come back.
#[derive(Serialize, Deserialize)]
struct Signature {
    #[serde(flatten)]
    holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_began: Option<String>,
}

impl SessionLock {
    pub(super) fn take(
        target: &PostgresTarget,
        patience: &Patience,
        destination: &DestinationName,
        holder: &Holder,
    ) -> Result<Self, LedgerError> {
        let client = open::connect(target, patience)?;
        let lock = attempt(client, target, destination, holder).map_err(|it| match it {
            Fault::Sql(error) => open::error(target, "lock the destination", error),
            Fault::Ledger(error) => error,
        })?;
        // In another transaction, which a pooler may have given to another session.
        if lock.is_held() { Ok(lock) } else { Err(open::pooled(target)) }
    }
}

fn attempt(
    mut client: Client,
    target: &PostgresTarget,
    destination: &DestinationName,
    holder: &Holder,
) -> Result<SessionLock, Fault> {
    let key = prepare(&mut client, destination, false)?;
    for _ in 0..LOOKS {
        if client.query_one("SELECT pg_try_advisory_lock($1)", &[&key])?.try_get(0)? {
            abandon_shared(&mut client, destination)?;
            let (backend, signature) = sign(&mut client, destination, holder)?;
            let destination = destination.0.clone();
            return Ok(SessionLock { client: Mutex::new(client), key, destination, backend, signature });
        }
        if client.query_opt(HOSTS, &[&key])?.is_some() {
            break;
        }
        if let Some((other, backend)) = holder_of(&mut client, key, destination)? {
            let over: bool = client.query_one(IS_OVER, &[&other.run.0])?.try_get(0)?;
            return Err(
                if over { left_over(target, destination, other, backend) } else { locked(destination, other) }.into()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(held_by_hosts(&mut client, key, destination)?.into())
}

/// A session for a lock, and the number of the lock on a destination, or of what goes on beside it.
pub(super) fn prepare(
    client: &mut Client,
    destination: &DestinationName,
    beside: bool,
) -> Result<i64, postgres::Error> {
    client.batch_execute(SETTINGS)?;
    key(client, destination, if beside { "\0beside" } else { "" })
}

/// What whoever wants to share the destination is told, where another run has it alone.
pub(super) fn held_by_another(
    client: &mut Client,
    destination: &DestinationName,
    key: i64,
) -> Result<LedgerError, postgres::Error> {
    let holder = holder_of(client, key, destination)?.map(|it| it.0);
    Ok(locked(destination, holder.unwrap_or_else(unknown)))
}

/// The same where several hosts share it.
fn held_by_hosts(client: &mut Client, key: i64, destination: &DestinationName) -> Result<LedgerError, postgres::Error> {
    let row = client.query_opt(HOSTS, &[&key])?;
    let holder = row.map(|row| -> Result<Holder, postgres::Error> {
        let pid = u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        Ok(Holder { host: row.try_get(0)?, pid, run: RunId(row.try_get(2)?), since: row.try_get(3)? })
    });
    Ok(locked(destination, holder.transpose()?.unwrap_or_else(unknown)))
}

/// What hosts have shared is nobody's now: whoever has the destination alone begins with what is recorded.
fn abandon_shared(client: &mut Client, destination: &DestinationName) -> Result<(), postgres::Error> {
    let mut db = client.transaction()?;
    if let Some(row) = db.query_opt("SELECT id FROM backup_destination WHERE name = $1", &[&destination.0])? {
        super::presence::abandon(&mut db, row.try_get(0)?, false)?;
    }
    db.commit()
}

/// Who holds the lock, and by which process of the server; `None` as long as nobody has signed for it.
fn holder_of(
    client: &mut Client,
    key: i64,
    destination: &DestinationName,
) -> Result<Option<(Holder, i32)>, postgres::Error> {
    let Some(row) = client.query_opt(HOLDER, &[&key, &destination.0])? else { return Ok(None) };
    let (text, backend, began): (String, i32, Option<String>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let Ok(Signature { holder, session_began }) = serde_json::from_str(&text) else {
        return Ok(Some((unknown(), backend)));
    };
    let is_another = session_began.zip(began).is_some_and(|(signed, there)| signed != there);
    Ok((!is_another).then_some((holder, backend)))
}

fn sign(client: &mut Client, destination: &DestinationName, holder: &Holder) -> Result<(i32, String), Fault> {
    let row = client.query_one(OURSELVES, &[])?;
    let (backend, session_began): (i32, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    let bad = |_| LedgerError::BadRow { what: "holder of the lock".into(), value: holder.to_string() };
    let text = serde_json::to_string(&Signature { holder: holder.clone(), session_began }).map_err(bad)?;
    client.execute(
        "INSERT INTO backup_lock (destination, backend_pid, holder) VALUES ($1, $2, $3)
         ON CONFLICT (destination) DO UPDATE SET backend_pid = excluded.backend_pid, holder = excluded.holder",
        &[&destination.0, &backend, &text],
    )?;
    Ok((backend, text))
}

/// Advisory locks are of a database: several ledgers in one are told apart by their schema.
fn key(client: &mut Client, destination: &DestinationName, what: &str) -> Result<i64, postgres::Error> {
    let schema: Option<String> = client.query_one("SELECT current_schema()::text", &[])?.try_get(0)?;
    let name = format!("dataverse-backup\0{}\0{destination}{what}", schema.unwrap_or_default());
    let measured = Measured::of(name.as_bytes(), &[]);
    let digest = measured.digest(Algorithm::Sha256).and_then(|it| it.as_bytes().first_chunk::<8>().copied());
    Ok(i64::from_be_bytes(digest.unwrap_or_default()))
}

fn locked(destination: &DestinationName, holder: Holder) -> LedgerError {
    LedgerError::Locked { destination: destination.0.clone(), holder }
}

fn left_over(target: &PostgresTarget, destination: &DestinationName, holder: Holder, backend: i32) -> LedgerError {
    let (destination, database) = (destination.0.clone(), target.database.clone());
    LedgerError::LeftOver { destination, holder: Box::new(holder), database, backend }
}

fn unknown() -> Holder {
    Holder { host: "an unknown host".into(), pid: 0, run: RunId("unknown".into()), since: "unknown".into() }
}

impl Lock for SessionLock {
    fn is_held(&self) -> bool {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = client.query_one(IS_HELD, &[&self.key, &self.backend, &self.destination, &self.signature]);
        // What cannot be asked is not known to be held.
        ours.and_then(|it| it.try_get(0)).unwrap_or(false)
    }
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        let client = self.client.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The server would find out from the closed connection too, but later than whoever waits for this one to end.
        let _ = client.execute(
            "DELETE FROM backup_lock WHERE destination = $1 AND backend_pid = $2 AND holder = $3",
            &[&self.destination, &self.backend, &self.signature],
        );
        let _ = client.execute("SELECT pg_advisory_unlock($1)", &[&self.key]);
    }
}
