//! Locks of copies, where the destination has them: looked at and renewed in time, by the ledger's list and not by listings.

use std::time::SystemTime;

use dvb_ledger::{LedgerError, Lock, LockedCopy};
use dvb_model::ObjectKey;
use dvb_storage::Cause;
use serde::{Deserialize, Serialize};

use crate::command::time::written;
use crate::copies::session::{Connection, DestinationContext, Interrupted};
use crate::copies::snapshot_names;

/// Copies that are asked for at once.
const PAGE: u32 = 500;

/// What became of the locks of copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockCounts {
    /// Copies whose lock was looked at, for less than half of it was left, or it was not known; it was renewed where needed.
    pub looked_at: u64,
    /// Those of them that are not locked as they should be.
    pub failed: u64,
    /// Why the first of them is not.
    pub reason: Option<String>,
    /// All that was due was looked at.
    pub complete: bool,
    /// When the first lock of a copy ends, by what is known now; RFC 3339 UTC.
    pub earliest: Option<String>,
    /// Proved copies of which no lock is known.
    pub unlocked: u64,
}

/// Which locks are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that would end: they go before new copies.
    Ending,
    /// Those, what has none as far as is known, and what the backup itself needs.
    All,
}

impl LockCounts {
    /// What is not as it should be, in a sentence.
    pub(crate) fn trouble(&self) -> Option<String> {
        let why = self.reason.as_ref()?;
        let first = match &self.earliest {
            Some(until) => format!("the first lock ends {until}"),
            None => "no copy is locked".to_owned(),
        };
        let objects = if self.failed == 1 { "1 object is" } else { &format!("{} objects are", self.failed) };
        Some(format!("{objects} not locked as configured, {first}: {why}"))
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.reason.get_or_insert(why);
    }
}

/// Looks at what is due at a destination, as long as there is time; `None` where it has no locks. What could not be asked
/// because the session is lost is left for the next time.
pub(crate) fn renew(
    at: DestinationContext<'_>,
    connection: &mut Connection<'_>,
    lock: &dyn Lock,
    which: Which,
) -> Result<Option<LockCounts>, Interrupted> {
    let Some(length) = at.sink.locks_for() else { return Ok(None) };
    let before = written(SystemTime::now() + length / 2);
    let (mut counts, mut after) = (LockCounts::default(), None::<LockedCopy>);
    loop {
        if !at.stop.may_begin() || !lock.is_held() {
            break;
        }
        let unlocked = which == Which::All;
        let page = at.ledger.locks_due(at.destination, &before, unlocked, after.as_ref(), PAGE)?;
        let Some(last) = page.last().cloned() else {
            counts.complete = true;
            break;
        };
        let keys: Vec<ObjectKey> = page.into_iter().map(|it| it.copy.key).collect();
        if !look_at(at, connection, &keys, &mut counts)? {
            // What all of a page lack, the next page lacks too.
            break;
        }
        after = Some(last);
    }
    if counts.complete && which == Which::All {
        look_at_records(connection, &mut counts)?;
    }
    tell(at, &mut counts)?;
    Ok(Some(counts))
}

/// Of the snapshots, the newest: the others go as time goes by.
fn look_at_records(connection: &mut Connection<'_>, counts: &mut LockCounts) -> Result<(), Interrupted> {
    let listed = connection.with(|session| match session.list_own("") {
        // It leaves the session well.
        Err(error) if error.cause == Cause::Forbidden => Ok(Err(error)),
        listed => listed.map(Ok),
    })?;
    let own = match listed {
        Ok(own) => own,
        Err(error) => {
            counts.fail(format!("the locks of snapshots cannot be renewed: {}", error.chain()));
            return Ok(());
        }
    };
    let newest = snapshot_names::newest(&own, snapshot_names::now());
    let is_older = |name: &str| {
        name.starts_with(snapshot_names::BEFORE) && newest.is_some_and(|newest| !name.starts_with(newest.as_str()))
    };
    let keys = own.iter().filter(|name| !is_older(name)).filter_map(|name| ObjectKey::own(name).ok());
    let keys: Vec<ObjectKey> = keys.filter(ObjectKey::is_record).collect();
    for answer in connection.with(|session| session.lock(&keys))? {
        answer.map_or_else(|error| counts.fail(error.chain()), drop);
    }
    Ok(())
}

/// Whether any of them is locked as it should be.
fn look_at(
    at: DestinationContext<'_>,
    connection: &mut Connection<'_>,
    keys: &[ObjectKey],
    counts: &mut LockCounts,
) -> Result<bool, Interrupted> {
    let answers = connection.with(|session| session.lock(keys))?;
    let mut locks = Vec::with_capacity(keys.len());
    for (key, answer) in keys.iter().zip(answers) {
        counts.looked_at += 1;
        match answer {
            Ok(until) => locks.push((key.clone(), written(until))),
            Err(error) => counts.fail(error.chain()),
        }
    }
    at.ledger.record_locks(at.destination, &locks)?;
    Ok(!locks.is_empty())
}

/// Until when copies are locked, by what is known now.
fn tell(at: DestinationContext<'_>, counts: &mut LockCounts) -> Result<(), LedgerError> {
    match at.ledger.retention(at.destination)? {
        Some(known) => (counts.earliest, counts.unlocked) = (Some(known.earliest), known.unlocked),
        None => counts.unlocked = at.ledger.count_copies(at.destination, None)?,
    }
    Ok(())
}
