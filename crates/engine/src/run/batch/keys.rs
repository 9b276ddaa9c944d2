//! The key that each object gets at the destination, and what lies there already.

use std::sync::atomic::Ordering;

use dvb_fixity::{Algorithm, Evidence, Measured, Observed, Proved};
use dvb_ledger::Reservation;
use dvb_model::{DvObjectId, ObjectKey};
use dvb_storage::{PayloadError, SinkError};

use crate::copies::compare::Bad;
use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::VERSIONS;
use crate::run::batch::compare::recorded_algorithm;
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, ObjectError, ObjectState, ObjectTask};
use crate::run::destination_run::DestinationRun;

impl DestinationRun<'_> {
    /// Reserves a key for everything that is to be stored, so that no two data files ever share one.
    pub(crate) fn reserve(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        for _ in 0..2 {
            let mut wishes = Vec::new();
            for job in batch.jobs().iter().filter(|it| it.is_carried()) {
                let new = job.items.iter().filter(|it| !it.reserved && matches!(it.progress, ObjectState::Todo));
                wishes.extend(new.map(|item| Reservation {
                    id: job.due.id(),
                    role: item.object.role.clone(),
                    version: item.version,
                    key: item.key.clone(),
                }));
            }
            if wishes.is_empty() {
                return Ok(());
            }
            let owners = self.setup.ledger.reserve(self.setup.destination, &wishes)?;
            let mut owners = owners.into_iter();
            for job in batch.carried_mut() {
                let id = job.due.id();
                for item in job.items.iter_mut().filter(|it| !it.reserved && matches!(it.progress, ObjectState::Todo)) {
                    let owner: Option<DvObjectId> = owners.next();
                    item.reserved = owner == Some(id);
                    if !item.reserved {
                        // Another data file's object lies, or will lie, there (design.md 5).
                        item.key = item.key.apart_for(id);
                    }
                }
            }
        }
        for item in batch.carried_mut().flat_map(|it| &mut it.items) {
            if !item.reserved && matches!(item.progress, ObjectState::Todo) {
                item.progress =
                    ObjectState::Failed(ObjectError::Write(format!("no key is free for it, not even {}", item.key)));
            }
        }
        Ok(())
    }

    /// Where objects of unknown origin were met at the destination: looks before it sends (a lost ledger).
    pub(crate) fn check_existing(&self, batch: &mut Batch, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        if !self.met_strangers.load(Ordering::Relaxed) {
            return Ok(());
        }
        let is_new =
            |_: &Job, task: &ObjectTask| matches!(task.progress, ObjectState::Todo) && !task.replace && task.tries == 0;
        let wanted = batch.ready(is_new);
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = wanted.iter().map(|&at| batch.task(at).key.clone()).collect();
        let found = connection.with(|it| it.stat(&keys))?;
        for ((at, key), found) in wanted.into_iter().zip(keys).zip(found) {
            if !matches!(found, Ok(Some(_))) {
                continue;
            }
            let recorded = recorded_algorithm(&batch.job(at).due.subject);
            let item = batch.task_mut(at);
            match self.payload(item, &item.algorithms(recorded)).measure() {
                Ok(measured) => self.adopt_or_version(item, key, measured, connection)?,
                Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                // It fails again where it is staged, and is judged there.
                Err(PayloadError::Source(_)) => {}
            }
        }
        Ok(())
    }

    /// Something is at the key that the ledger does not know: the same bytes are adopted, others left alone.
    pub(crate) fn adopt_or_version(
        &self,
        item: &mut ObjectTask,
        key: ObjectKey,
        measured: Measured,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        self.met_strangers.store(true, Ordering::Relaxed);
        let (held, evidence) = connection.with(|it| Ok((it.measure(&[key], &[])?.pop(), it.measure_evidence())))?;
        let same = match held {
            Some(Ok(held)) => observed(&held, evidence).and_then(|it| Proved::by(measured, &it).ok()),
            Some(Err(error)) if item.is_originals && Bad::is_told_by(&error) => None,
            Some(Err(error)) => {
                item.progress = ObjectState::Failed(self.trouble(&error));
                return Ok(());
            }
            None => None,
        };
        match same {
            Some(proof) => item.progress = ObjectState::Proved { proof, adopted: true },
            // Somebody else's bytes are left where they are, not what was to be a copy of this and is none.
            None if item.is_originals => item.take_the_place(),
            None if item.version >= VERSIONS => {
                let why = format!("every key from {} on is taken by other bytes", item.base_key());
                item.progress = ObjectState::Failed(ObjectError::Write(why));
            }
            None => item.make_new_version(),
        }
        Ok(())
    }
}

/// A medium that cannot have a name (exFAT, SMB) gets the object under another one, once.
pub(crate) fn name_otherwise(item: &mut ObjectTask, error: &SinkError) {
    let other = item.key.for_any_medium();
    if item.named_otherwise.is_some() || other == item.key {
        item.progress = ObjectState::Failed(ObjectError::Write(error.chain()));
    } else {
        (item.key, item.reserved, item.named_otherwise) = (other, false, Some(error.chain()));
    }
}

/// Says where the copies are that have another name than their objects.
pub(crate) fn note_names(batch: &mut Batch) {
    for job in batch.jobs_mut() {
        let stored = job.items.iter().filter(|it| matches!(it.progress, ObjectState::Proved { .. }));
        let note = |item: &ObjectTask| {
            let why = item.named_otherwise.as_ref()?;
            Some(format!("{why}: the copy of {} is at {}", item.object.key, item.key))
        };
        let notes: Vec<String> = stored.filter_map(note).collect();
        job.notes.extend(notes);
    }
}

pub(crate) fn observed(held: &Measured, evidence: Evidence) -> Option<Observed> {
    let digest = held.digest(Algorithm::Sha256)?.clone();
    Some(Observed { digest, size: Some(held.size), evidence })
}
