//! A host's part in a shared run: a connection and a thread of its own that say that it lives.
//!
//! The same connection holds the destination's lock, shared with the others, so that nobody has the destination alone meanwhile.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dvb_pg::{Patience, PostgresTarget};
use postgres::{Client, Transaction};

use super::read::time;
use super::{Fault, PostgresLedger, lock, open, shared};
use crate::shared::{Claimed, Joining, Lease, Next, Presence, RangeResult, SharedRun};
use crate::{LedgerError, Lock};

/// First half of the advisory lock under which hosts join a destination; the second half is its id.
const JOIN_LOCK: i32 = 0x0dfb_0003;
/// Signs of life in the time of a lease.
const SIGNS: u32 = 6;
/// Of a session that has no other lock.
const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";
/// Shared runs that are kept on record at a destination, for what their hosts have left there.
const KEPT: i64 = 20;

pub(super) struct HostPresence {
    ledger: PostgresLedger,
    life: Arc<Life>,
    thread: Option<JoinHandle<()>>,
    held: Mutex<Held>,
}

/// What this host has claimed. Behind one lock with the claiming itself, so that it is whole whenever it is looked at.
#[derive(Default)]
struct Held {
    leases: HashSet<(i16, i32, i64)>,
    /// Where the next open range is looked for first.
    from: i32,
}

/// What the thread and the others share.
struct Life {
    run: SharedRun,
    worker: String,
    last_sign: Mutex<Instant>,
    /// Why it takes no part any more.
    over: Mutex<Option<String>>,
    ends: Mutex<bool>,
    wakes: Condvar,
}

/// Whoever panics with one of these leaves it whole.
fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostPresence {
    pub(super) fn join(ledger: PostgresLedger, joining: &Joining) -> Result<Self, LedgerError> {
        let target = ledger.target.clone();
        let mut client = open::connect(&target, &ledger.patience)?;
        let key = lock::prepare(&mut client, &joining.destination, joining.beside)
            .map_err(|it| ledger.error("join a run", it.into()))?;
        let run = match enter(&mut client, joining, key) {
            Ok(it) => it,
            Err(fault) => {
                // The server ends a session some time after its client has gone.
                drop(client.batch_execute(UNLOCK));
                return Err(ledger.error("join a run", fault));
            }
        };
        if dvb_pg::is_pooled(&target, &mut client, &ledger.patience).map_err(|it| open::no_connection(&target, it))? {
            return Err(open::pooled(&target));
        }
        let life = Arc::new(Life {
            run,
            worker: joining.id.0.clone(),
            last_sign: Mutex::new(Instant::now()),
            over: Mutex::default(),
            ends: Mutex::new(false),
            wakes: Condvar::new(),
        });
        let patience = Patience { silence: life.run.lease / 2, ..ledger.patience.clone() };
        let heart = Heart { life: Arc::clone(&life), target: target.clone(), patience, key, client: Some(client) };
        let spawned = std::thread::Builder::new().name("sign-of-life".into()).spawn(move || heart.beat());
        let thread = spawned.map_err(|it| LedgerError::Unreachable { target: target.describe(), source: it.into() })?;
        Ok(Self { ledger, life, thread: Some(thread), held: Mutex::default() })
    }

    fn claim_from(&self, from: i32) -> Result<Option<Claimed>, LedgerError> {
        let Life { run, worker, .. } = &*self.life;
        self.ledger.transact("claim work", |db| shared::claim(db, run, worker, from))
    }
}

/// Joins the run that is shared, or begins one, and holds the destination's lock with the others.
fn enter(client: &mut Client, joining: &Joining, key: i64) -> Result<SharedRun, Fault> {
    let mut db = client.transaction()?;
    let destination = super::write::destination_id(&mut db, &joining.destination)?;
    // One after the other: who finds nobody is the first one.
    db.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&JOIN_LOCK, &destination])?;
    let is_alone: bool = db.query_one("SELECT pg_try_advisory_lock($1)", &[&key])?.try_get(0)?;
    if is_alone {
        abandon(&mut db, destination, joining.beside)?;
    }
    let is_in: bool = db.query_one("SELECT pg_try_advisory_lock_shared($1)", &[&key])?.try_get(0)?;
    if !is_in {
        drop(db);
        return Err(lock::held_by_another(client, &joining.destination, key)?.into());
    }
    if is_alone {
        db.execute("SELECT pg_advisory_unlock($1)", &[&key])?;
    }
    let run = match open_run(&mut db, destination, joining.beside)? {
        Some((run, command, parameters)) => {
            if command != joining.command || parameters != joining.parameters {
                return Err(LedgerError::OtherParameters {
                    destination: joining.destination.0.clone(),
                    run: run.run,
                    theirs: format!("{command} {parameters}"),
                    ours: format!("{} {}", joining.command, joining.parameters),
                }
                .into());
            }
            run
        }
        None => begin(&mut db, destination, joining)?,
    };
    db.execute(
        "INSERT INTO backup_worker (id, shared, host, pid, backend, joined, seen)
         VALUES ($1, $2, $3, $4, pg_backend_pid(), clock_timestamp(), clock_timestamp())",
        &[&joining.id.0, &run.number, &joining.host, &i64::from(joining.pid)],
    )?;
    db.commit()?;
    Ok(run)
}

/// Nobody works on it any more: what was recorded stays, and the next run begins with that.
pub(super) fn abandon(db: &mut Transaction<'_>, destination: i32, beside: bool) -> Result<(), postgres::Error> {
    db.execute(
        "UPDATE backup_shared SET phase = 4, ended = now() WHERE destination = $1 AND beside = $2 AND phase < 3",
        &[&destination, &beside],
    )?;
    db.execute(
        "DELETE FROM backup_range WHERE shared IN (SELECT number FROM backup_shared WHERE destination = $1 AND phase >= 3)",
        &[&destination],
    )?;
    db.execute(
        "DELETE FROM backup_shared WHERE destination = $1 AND phase >= 3 AND number NOT IN (
             SELECT number FROM backup_shared WHERE destination = $1 ORDER BY number DESC LIMIT $2)",
        &[&destination, &KEPT],
    )?;
    Ok(())
}

fn open_run(
    db: &mut Transaction<'_>,
    destination: i32,
    beside: bool,
) -> Result<Option<(SharedRun, String, String)>, postgres::Error> {
    let sql = concat!(
        "SELECT number, run, ",
        time!("began"),
        ", lease_ms, command, parameters FROM backup_shared WHERE destination = $1 AND beside = $2 AND phase < 3"
    );
    let Some(row) = db.query_opt(sql, &[&destination, &beside])? else { return Ok(None) };
    let lease = Duration::from_millis(u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or(0));
    let run =
        SharedRun { number: row.try_get(0)?, run: dvb_model::RunId(row.try_get(1)?), began: row.try_get(2)?, lease };
    Ok(Some((run, row.try_get(4)?, row.try_get(5)?)))
}

fn begin(db: &mut Transaction<'_>, destination: i32, joining: &Joining) -> Result<SharedRun, Fault> {
    let sql = concat!(
        "INSERT INTO backup_shared (destination, command, run, parameters, lease_ms, beside, phase, began)
         VALUES ($1, $2, $3, $4, $5, $6, 0, now()) RETURNING number, ",
        time!("began")
    );
    let lease = shared::lease_ms(joining.lease);
    let row = db.query_one(
        sql,
        &[&destination, &joining.command, &joining.id.0, &joining.parameters, &lease, &joining.beside],
    )?;
    let number: i32 = row.try_get(0)?;
    db.execute(
        "INSERT INTO backup_range (shared, phase, number, state, files) VALUES ($1, 0, 0, 'open', 0), ($1, 2, 0, 'open', 0)",
        &[&number],
    )?;
    Ok(SharedRun { number, run: joining.id.clone(), began: row.try_get(1)?, lease: joining.lease })
}

/// The thread that says that the host lives.
struct Heart {
    life: Arc<Life>,
    target: PostgresTarget,
    patience: Patience,
    key: i64,
    client: Option<Client>,
}

impl Heart {
    fn beat(mut self) {
        let every = self.life.run.lease / SIGNS;
        loop {
            let ends = whole(&self.life.ends);
            let (ends, _) =
                self.life.wakes.wait_timeout_while(ends, every, |it| !*it).unwrap_or_else(PoisonError::into_inner);
            if *ends {
                break;
            }
            drop(ends);
            let began = Instant::now();
            match self.sign() {
                Ok(None) => *whole(&self.life.last_sign) = began,
                Ok(Some(why)) => {
                    whole(&self.life.over).get_or_insert(why);
                    break;
                }
                Err(why) => {
                    tracing::debug!(why, "no sign of life could be given");
                    self.client = None;
                }
            }
        }
        self.leave();
    }

    /// Gives a sign of life; says why there is no run any more to live for, if so.
    fn sign(&mut self) -> Result<Option<String>, String> {
        let mut client = match self.client.take() {
            Some(it) => it,
            None => match self.come_back()? {
                Some(it) => it,
                None => return Ok(Some("another run has locked the destination meanwhile".to_owned())),
            },
        };
        let sql = "UPDATE backup_worker w SET seen = clock_timestamp(), backend = pg_backend_pid() FROM backup_shared s
                   WHERE w.id = $1 AND w.left_at IS NULL AND s.number = w.shared AND s.phase < 4";
        let signed = client.execute(sql, &[&self.life.worker]).map_err(|it| it.to_string())?;
        self.client = Some(client);
        Ok((signed == 0).then(|| "the shared run was given up".to_owned()))
    }

    /// A new connection, with the destination's lock; `None` where another one has it alone.
    fn come_back(&self) -> Result<Option<Client>, String> {
        let told = |it: &dyn std::error::Error| it.to_string();
        let mut client = open::connect(&self.target, &self.patience).map_err(|it| told(&it))?;
        client.batch_execute(lock::SETTINGS).map_err(|it| told(&it))?;
        let row = client.query_one("SELECT pg_try_advisory_lock_shared($1)", &[&self.key]).map_err(|it| told(&it))?;
        let is_in: bool = row.try_get(0).map_err(|it| told(&it))?;
        Ok(is_in.then_some(client))
    }

    /// The others need not wait until the lease has run out.
    fn leave(&mut self) {
        if let Some(client) = &mut self.client {
            let sql = "UPDATE backup_worker SET left_at = clock_timestamp() WHERE id = $1";
            let told = client.execute(sql, &[&self.life.worker]).and_then(|_| client.batch_execute(UNLOCK));
            if let Err(error) = told {
                tracing::debug!(%error, "the others could not be told that this host leaves");
            }
        }
    }
}

impl Drop for HostPresence {
    fn drop(&mut self) {
        *whole(&self.life.ends) = true;
        self.life.wakes.notify_all();
        // A thread that panicked has ended too.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

impl Presence for HostPresence {
    fn run(&self) -> &SharedRun {
        &self.life.run
    }

    fn lock(&self) -> Box<dyn Lock> {
        Box::new(SignOfLife(Arc::clone(&self.life)))
    }

    fn is_over(&self) -> Option<String> {
        whole(&self.life.over).clone()
    }

    fn claim(&self) -> Result<Next, LedgerError> {
        let Life { run, worker, .. } = &*self.life;
        let mut held = whole(&self.held);
        let mut claimed = self.claim_from(held.from)?;
        if claimed.is_none() {
            let known: Vec<(i16, i32, i64)> = held.leases.iter().copied().collect();
            self.ledger.transact("give back work", |db| {
                shared::rescue(db, run)?;
                shared::give_back_unknown(db, run, worker, &known)
            })?;
            claimed = self.claim_from(0)?;
        }
        let claimed = match claimed {
            Some(it) => it,
            None => {
                let (next, moved) = self.ledger.transact("look how far the run is", |db| shared::advance(db, run))?;
                match if moved { self.claim_from(0)? } else { None } {
                    Some(it) => it,
                    None => return Ok(next),
                }
            }
        };
        let Lease { phase, number, token, .. } = &claimed.lease;
        held.from = *number;
        held.leases.insert((phase.number(), *number, *token));
        Ok(Next::Claimed(claimed))
    }

    fn give_back(&self, lease: &Lease, blame: bool) -> Result<bool, LedgerError> {
        self.forget(lease);
        self.ledger.transact("give back work", |db| shared::give_back(db, lease, blame))
    }

    fn finish(&self, lease: &Lease, result: &RangeResult) -> Result<(), LedgerError> {
        let done = self.ledger.transact("record the end of a range", |db| shared::finish(db, lease, result));
        if done.is_ok() || matches!(done, Err(LedgerError::LostLease { .. })) {
            self.forget(lease);
        }
        done
    }
}

impl HostPresence {
    fn forget(&self, lease: &Lease) {
        whole(&self.held).leases.remove(&(lease.phase.number(), lease.number, lease.token));
    }
}

/// Held as long as the others have no reason to take this host for dead.
struct SignOfLife(Arc<Life>);

impl Lock for SignOfLife {
    fn is_held(&self) -> bool {
        whole(&self.0.over).is_none() && whole(&self.0.last_sign).elapsed() < self.0.run.lease
    }
}
