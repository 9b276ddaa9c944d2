//! A purge at one destination: under its lock, in an order that a crash at any moment does no harm to.
//!
//! 1. the ledger's tombstones, so that no run copies it again; 2. the tombstones at the destination, so that no other ledger
//!    does; 3. the objects; 4. snapshots and temporaries; 5. a listing that shows nothing; 6. the proof, there and in the
//!    ledger, and the names go.

use std::collections::HashSet;

use dvb_catalog::SnapshotLink;
use dvb_ledger::{Buried, Purge, PurgeTarget, TargetState, Tombstone, digest_of};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId};
use dvb_storage::{Cause, Held, HeldKind, Purger, SinkError, Unstaged};

use super::execute::{ExecuteOptions, PurgedAt, PurgedDestination};
use super::list::{self, KeyOf};
use super::wait::Wait;
use super::{PurgeDestination, PurgeError, PurgeSetup};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::LockedRun;
use crate::command::time::{new_run_id, now};
use crate::copies::session::{Connection, Contact, DestinationContext};
use crate::copies::tombstones::{self, TombstoneFile};
use crate::guard::{self, Purpose};

/// To delete one thing may bring another one forward, and that one another one.
const ROUNDS: usize = 20;
/// Numbers of targets that are no part of the list begin here, apart for each destination: two may be worked at at once.
const UNLISTED: u64 = 1 << 40;

/// Whose things are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The data files': what their listing does not show is gone.
    DataFiles,
    /// The backup's own.
    Ours,
}

/// A thing at the destination, and what it is there for.
pub(super) struct Thing {
    pub(super) id: Option<DvObjectId>,
    pub(super) of: KeyOf,
    pub(super) held: Held,
}

/// Lists things at a destination.
pub(super) type ListThings<'a> = &'a mut dyn FnMut(&mut dyn Purger) -> Result<Vec<Thing>, SinkError>;

/// A destination that is locked and was looked at.
pub(super) struct Site<'a> {
    pub(super) setup: &'a PurgeSetup<'a>,
    pub(super) options: &'a ExecuteOptions,
    pub(super) destination: PurgeDestination<'a>,
    pub(super) run: RunId,
    pub(super) locked: LockedRun<'a>,
    pub(super) contact: Contact,
    pub(super) purger: Box<dyn Purger>,
    number: u64,
    keys: Vec<KeyOf>,
    /// Of this destination.
    targets: Vec<PurgeTarget>,
    next: u64,
    /// Of them, those that were gone when this call began.
    gone_before: u64,
    /// The tombstones that the ledger has of this purge here.
    buried: Vec<Tombstone>,
    pub(super) notes: Vec<String>,
    pub(super) snapshots_rewritten: u64,
    pub(super) snapshot: Option<SnapshotLink>,
}

/// What there is to be done at a destination.
pub(super) enum Opened<'a> {
    /// Nothing: it is proved.
    Done,
    /// Nothing can be done now.
    Waiting(Box<PurgedDestination>),
    Site(Box<Site<'a>>),
}

impl<'a> Site<'a> {
    /// Locks the destination, and looks at all that is there of the purge. Nothing is deleted.
    ///
    /// # Errors
    /// [`PurgeError::NotListed`], where there is more than was approved and nothing was deleted yet.
    pub(super) fn open(
        setup: &'a PurgeSetup<'a>,
        options: &'a ExecuteOptions,
        purge: &Purge,
        (index, name): (usize, &DestinationName),
    ) -> Result<Opened<'a>, PurgeError> {
        let buried: Vec<Tombstone> = setup
            .ledger
            .tombstones()?
            .into_iter()
            .filter(|it| it.purge == purge.run && it.destination == *name)
            .collect();
        if buried.len() == purge.files.len() && buried.iter().all(|it| it.proved_at.is_some()) {
            return Ok(Opened::Done);
        }
        let waiting = |wait: Wait| {
            let waiting = PurgedDestination::waiting(name, purge.number, wait.reason, wait.ending);
            Ok(Opened::Waiting(Box::new(waiting)))
        };
        let Some(destination) = setup.destinations.iter().find(|it| it.name == name).copied() else {
            let reason =
                "this destination is not in the configuration any more; what is there is still there".to_owned();
            return waiting(Wait { reason, ending: ExitStatus::NotSafe });
        };
        let (run, started) = (new_run_id(), now());
        let locked = LockedRun::lock(setup.ledger, "purge", destination.name, (&run, &options.agent, &started));
        let locked = match locked.and_then(|it| it.begin(destination.name, &options.agent, &started).map(|()| it)) {
            Ok(it) => it,
            Err(error) => return waiting(error.into()),
        };
        let end = |locked: LockedRun<'_>, wait: Wait| {
            let done = PurgedDestination::waiting(name, purge.number, wait.reason, wait.ending);
            let done = PurgedDestination { run_id: run.clone(), ..done };
            // It is a row in the log; what it says is in the summary as well.
            let done = locked.finish::<_, RunError>(Ok(done))?;
            Ok(Opened::Waiting(Box::new(done)))
        };
        let at = DestinationContext {
            ledger: setup.ledger,
            destination: destination.name,
            sink: destination.sink,
            observer: setup.observer,
            stop: setup.stop,
            run: &run,
        };
        let contact = Contact::under_lock();
        if let Err(error) = guard::refuse_other_place(at, &contact, Purpose::Storing) {
            return end(locked, error.into());
        }
        let mut purger = match (destination.purger)(&run) {
            Ok(it) => it,
            Err(error) => return end(locked, error.into()),
        };
        let all = setup.ledger.purge_targets(purge.number)?;
        let targets: Vec<PurgeTarget> = all.into_iter().filter(|it| it.destination == *name).collect();
        let keys = [list::keys_at(setup.ledger, name, &purge.files)?, list::keys_of(&targets)];
        let mut keys = unique(keys.concat());
        for n in (0..keys.len()).rev() {
            let owner = setup.ledger.copy_at(name, &keys[n].key)?;
            // A key that has changed hands since is another data file's.
            if owner.is_some_and(|it| !purge.files.iter().any(|file| file.id == it.id)) {
                keys.swap_remove(n);
            }
        }
        let found = match list::gather(purger.as_mut(), name, &keys, 0) {
            Ok(it) => it,
            Err(error) => return end(locked, error.into()),
        };
        if buried.is_empty() {
            let is_listed = |it: &PurgeTarget| {
                let same =
                    |one: &PurgeTarget| (&one.name, &one.version, &one.kind) == (&it.name, &it.version, &it.kind);
                !it.listed || targets.iter().any(|one| one.listed && same(one) && one.size == it.size)
            };
            let strange: Vec<&PurgeTarget> = found.iter().filter(|it| !is_listed(it)).collect();
            if let Some(first) = strange.first() {
                let refused = PurgeError::NotListed {
                    number: purge.number,
                    destination: name.clone(),
                    first: describe(first),
                    more: strange.len() as u64 - 1,
                };
                return locked.finish::<PurgedDestination, _>(Err(refused)).map(|_| Opened::Done);
            }
        }
        let base = UNLISTED * (index as u64 + 1);
        let next = targets.iter().map(|it| it.number).filter(|it| *it > base).max().unwrap_or(base) + 1;
        let number = purge.number;
        Ok(Opened::Site(Box::new(Site {
            setup,
            options,
            destination,
            run,
            locked,
            contact,
            purger,
            number,
            keys,
            gone_before: targets.iter().filter(|it| matches!(it.state, TargetState::Gone(_))).count() as u64,
            targets,
            next,
            buried,
            notes: Vec::new(),
            snapshots_rewritten: 0,
            snapshot: None,
        })))
    }

    pub(super) fn at(&self) -> DestinationContext<'_> {
        DestinationContext {
            ledger: self.setup.ledger,
            destination: self.destination.name,
            sink: self.destination.sink,
            observer: self.setup.observer,
            stop: self.setup.stop,
            run: &self.run,
        }
    }

    /// Deletes, and says what is left.
    pub(super) fn purge(mut self, purge: &Purge) -> PurgedDestination {
        let wait = self.work(purge).err();
        let at = self.at();
        Connection::new(at, &self.contact).clean_up();
        let left: Vec<&PurgeTarget> =
            self.targets.iter().filter(|it| !matches!(it.state, TargetState::Gone(_))).collect();
        let locks = || {
            left.iter().filter_map(|it| match &it.state {
                TargetState::Locked(until) => Some(until.clone()),
                TargetState::Pending | TargetState::Gone(_) => None,
            })
        };
        let gone = || self.targets.iter().filter(|it| matches!(it.state, TargetState::Gone(_)));
        let (state, reason, ending) = match wait {
            None => (PurgedAt::Done, None, ExitStatus::Safe),
            Some(Wait { reason, ending }) => (PurgedAt::Waiting, Some(reason), ending),
        };
        let done = PurgedDestination {
            command: "purge",
            run_id: self.run.clone(),
            destination: self.destination.name.clone(),
            purge: purge.number,
            state,
            reason,
            deleted: gone().count() as u64,
            // What was gone may show again.
            deleted_now: (gone().count() as u64).saturating_sub(self.gone_before),
            bytes: gone().map(|it| it.size).sum(),
            left: left.len() as u64,
            locked: locks().count() as u64,
            locked_until: locks().flatten().min(),
            snapshots_rewritten: self.snapshots_rewritten,
            snapshot: self.snapshot.clone(),
            notes: std::mem::take(&mut self.notes),
            aborted: None,
            exit_code: ending.code(),
            ending,
        };
        let unrecorded = done.clone();
        self.locked.finish::<_, RunError>(Ok(done)).unwrap_or(unrecorded)
    }

    fn work(&mut self, purge: &Purge) -> Result<(), Wait> {
        self.bury(purge, None)?;
        let keys = std::mem::take(&mut self.keys);
        let deleted = self.delete_rounds(Of::DataFiles, &mut |purger| {
            let mut things = Vec::new();
            for of in &keys {
                let held = purger.held(&of.key)?;
                things.extend(held.into_iter().map(|held| Thing { id: Some(of.id), of: of.clone(), held }));
            }
            Ok(things)
        });
        self.keys = keys;
        // What a lock keeps, or an account may not delete, does not keep the names in snapshots.
        let rewritten = self.rewrite_snapshots(purge);
        let rest = self.delete_temporaries();
        deleted?;
        rewritten?;
        rest?;
        self.prove(purge)
    }

    /// Leaves the tombstones, first in the ledger, then at the destination; with the time of the proof, that too.
    fn bury(&mut self, purge: &Purge, proved_at: Option<&str>) -> Result<(), Wait> {
        let name = self.destination.name;
        let executed = purge.executed.clone();
        let executed = executed.unwrap_or_else(|| self.options.person.sign(&self.options.agent));
        let tombstones: Vec<Tombstone> = purge
            .files
            .iter()
            .map(|file| Tombstone {
                id: file.id,
                kind: file.kind,
                purge: purge.run.clone(),
                destination: name.clone(),
                basis: purge.basis.clone(),
                reference: purge.reference.clone(),
                list: purge.digest.clone(),
                requested: purge.requested.clone(),
                approved: purge.approved.clone(),
                executed: executed.clone(),
                objects: self.targets.iter().filter(|it| it.id == Some(file.id)).map(buried).collect(),
                proved_at: proved_at.map(str::to_owned),
            })
            .collect();
        if proved_at.is_none() && self.buried.len() < tombstones.len() {
            self.setup.ledger.bury(name, &self.run, &tombstones)?;
            self.buried.clone_from(&tombstones);
        }
        let key = if proved_at.is_some() { tombstones::proof_of(&purge.run) } else { tombstones::key_of(&purge.run) };
        let key = key.map_err(|error| SinkError::because(Cause::Refused, "cannot name the tombstone", error))?;
        self.store(&key, &TombstoneFile::new(tombstones.clone()).bytes()?)?;
        if proved_at.is_some() {
            self.setup.ledger.bury(name, &self.run, &tombstones)?;
        }
        Ok(())
    }

    /// Stores a tombstone; one that an earlier call has left there stays.
    fn store(&self, key: &ObjectKey, bytes: &[u8]) -> Result<(), Wait> {
        let mut connection = Connection::new(self.at(), &self.contact);
        if !self.locked.held().is_held() {
            let reason = "the lock on the destination was lost with the connection to the backup database".to_owned();
            return Err(Wait { reason, ending: ExitStatus::Unreachable });
        }
        match connection.with(|session| guard::put_own(session, key, bytes.to_vec(), false))? {
            Ok(()) => Ok(()),
            Err(Unstaged::Sink(error)) if error.cause == Cause::Exists => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what `list` shows, and lists again until it shows nothing more, or nothing that could be deleted.
    pub(super) fn delete_rounds(&mut self, of: Of, list: ListThings<'_>) -> Result<(), Wait> {
        let mut of_these: Vec<u64> = Vec::new();
        let mut refused: Option<SinkError> = None;
        for _ in 0..ROUNDS {
            if !self.locked.held().is_held() {
                let reason = "the lock on the destination was lost with the connection to the backup database";
                return Err(Wait { reason: reason.to_owned(), ending: ExitStatus::Unreachable });
            }
            let things = list(self.purger.as_mut())?;
            let seen: Vec<u64> = things.iter().map(|it| self.enter(it)).collect();
            of_these.extend(&seen);
            self.mark_gone(of, &things, &of_these)?;
            if things.is_empty() {
                return Ok(());
            }
            let mut deleted = 0;
            refused = None;
            let locked: HashSet<&str> =
                things.iter().filter(|it| it.held.lock.is_some()).map(|it| it.held.name.as_str()).collect();
            // Without its marker, a locked version would show again.
            let may_go = |it: &&Thing| {
                it.held.lock.is_none() && !(it.held.kind == HeldKind::Marker && locked.contains(it.held.name.as_str()))
            };
            for it in things.iter().filter(may_go) {
                if !self.setup.stop.may_begin() {
                    return Err(Wait::stopped());
                }
                match self.purger.delete(&it.held) {
                    Ok(()) => deleted += 1,
                    Err(error) if error.cause == Cause::Unavailable => return Err(error.into()),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            if deleted == 0 {
                break;
            }
        }
        Err(self.why_left(refused))
    }

    /// What keeps what is left.
    fn why_left(&self, refused: Option<SinkError>) -> Wait {
        if let Some(error) = refused {
            return error.into();
        }
        let locks: Vec<&Option<String>> = self
            .targets
            .iter()
            .filter_map(|it| match &it.state {
                TargetState::Locked(until) => Some(until),
                TargetState::Pending | TargetState::Gone(_) => None,
            })
            .collect();
        let reason = match locks.iter().filter_map(|it| it.as_ref()).max() {
            Some(until) => format!("waiting for the lock until {until}: {} things are locked", locks.len()),
            None if !locks.is_empty() => {
                format!("waiting until somebody lifts the legal hold on {} things", locks.len())
            }
            None => "deleting does not come to an end: something shows there again and again".to_owned(),
        };
        Wait { reason, ending: ExitStatus::NotSafe }
    }

    /// The target that a thing is, with the state that it has now.
    fn enter(&mut self, thing: &Thing) -> u64 {
        let state = list::state(thing.held.lock);
        if let Some(known) = self.targets.iter_mut().find(|it| list::is_it(it, &thing.held)) {
            known.state = state;
            return known.number;
        }
        let number = self.next;
        self.next += 1;
        let target = list::target(self.destination.name, thing.id, &thing.of, &thing.held);
        self.targets.push(PurgeTarget { number, listed: false, ..target });
        number
    }

    /// What a listing does not show any more is gone. All that has changed is recorded.
    fn mark_gone(&mut self, of: Of, things: &[Thing], of_these: &[u64]) -> Result<(), Wait> {
        let at = now();
        for target in &mut self.targets {
            let is_meant = of_these.contains(&target.number) || (of == Of::DataFiles && target.id.is_some());
            let is_there = things.iter().any(|it| list::is_it(target, &it.held));
            if is_meant && !is_there && !matches!(target.state, TargetState::Gone(_)) {
                target.state = TargetState::Gone(at.clone());
            }
        }
        self.setup.ledger.record_purge_targets(self.number, &self.targets)?;
        Ok(())
    }

    /// A last listing, and what proves that nothing is left.
    fn prove(&mut self, purge: &Purge) -> Result<(), Wait> {
        for of in &self.keys {
            if let Some(held) = self.purger.held(&of.key)?.first() {
                let reason = format!("{} shows again after everything was deleted", held.name);
                return Err(Wait { reason, ending: ExitStatus::NotSafe });
            }
        }
        let at = now();
        self.bury(purge, Some(&at))?;
        let ids: Vec<DvObjectId> = purge.files.iter().map(|it| it.id).collect();
        self.setup.ledger.free_keys(self.destination.name, &ids)?;
        for target in &mut self.targets {
            *target = target.without_names();
        }
        self.setup.ledger.record_purge_targets(self.number, &self.targets)?;
        Ok(())
    }

    /// Names and keys that other texts may have.
    pub(super) fn names(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|it| it.key.as_str());
        keys.flat_map(|key| [Some(key), key.rsplit('/').next()]).flatten().map(str::to_owned).collect()
    }
}

fn unique(keys: Vec<KeyOf>) -> Vec<KeyOf> {
    let mut seen = std::collections::BTreeSet::new();
    keys.into_iter().filter(|it| seen.insert(it.key.clone())).collect()
}

fn describe(target: &PurgeTarget) -> String {
    let version = target.version.as_ref().map(|it| format!(", version {it}")).unwrap_or_default();
    format!("{} ({}, {} bytes{version})", target.name, target.kind, target.size)
}

/// What a tombstone says of a thing.
fn buried(target: &PurgeTarget) -> Buried {
    let without = target.without_names();
    let key_sha256 = without.name.split_once(':').map_or_else(|| digest_of(&target.name), |it| it.1.to_owned());
    Buried { key_sha256, kind: target.kind.clone(), size: target.size, sha256: target.sha256.clone() }
}
