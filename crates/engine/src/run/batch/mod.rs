//! The way of a batch: its objects are compared with what is there, reserved, staged, judged, committed.
//!
//! Every step takes the items that are ready for it and leaves the others alone, so that after a lost session, or for
//! an item that is tried again, the steps are simply gone through once more.

mod adopt_legacy;
mod commit;
mod compare;
pub(crate) mod job;
pub(crate) mod keys;
mod list;
mod prove_claimed;
mod quarantine;
mod record;
mod stage;

use std::time::{Duration, Instant};

use dvb_ledger::CopyRecord;
use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::copies::compare::{Bad, sentence};
use crate::copies::incident::of_copy;
use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, JobStage, ObjectError, ObjectState, ObjectTask};
use crate::run::batch::keys::note_names;
use crate::run::destination_run::DestinationRun;
use crate::run::shared_read::Share;
use crate::source::incident;

/// How often one object is tried before what goes wrong with it is its verdict.
const TRIES: u32 = 3;
/// Sessions that one batch may use up before what is left of it is not stored.
const SESSIONS: u32 = 3;
/// Versions of one object; more than this is no history but a loop.
const VERSIONS: u32 = 10_000;

impl DestinationRun<'_> {
    /// Carries a batch as far as it goes. Afterwards every item has come to its end, or the run has.
    pub(crate) fn carry(
        &self,
        batch: &mut Batch,
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        for session in 1..=SESSIONS {
            let began = Instant::now();
            let carried = self.carry_once(batch, connection, share);
            let objects = batch.jobs().iter().map(|job| job.items.len()).sum::<usize>();
            let (ms, ok) = (began.elapsed().as_millis(), carried.is_ok());
            tracing::debug!(
                destination = self.setup.destination.0,
                files = batch.jobs().len(),
                objects,
                session,
                ms,
                ok,
                "batch"
            );
            match carried {
                // To do it again would be to begin it.
                Err(Interrupted::Session(_)) if !self.setup.stop.may_begin() => return Err(Interrupted::Stopped),
                Err(Interrupted::Session(error)) if session < SESSIONS => {
                    let text = format!("{}; its batch is done again", error.chain());
                    self.setup.observer.event(&crate::command::observer::Event::Warning(&text));
                    forget_staged(batch, &ObjectState::Todo);
                }
                Err(Interrupted::Session(error)) => {
                    let why = self.trouble(&error);
                    forget_staged(batch, &ObjectState::Failed(why));
                    return Ok(());
                }
                other => return other,
            }
        }
        Ok(())
    }

    pub(crate) fn carry_once(
        &self,
        batch: &mut Batch,
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        self.prove_claimed(batch, connection)?;
        self.recheck(batch, connection)?;
        self.list(batch)?;
        self.compare(batch)?;
        self.read_what_was_damaged(batch)?;
        loop {
            self.reserve(batch)?;
            self.adopt(batch, connection)?;
            self.check_existing(batch, connection)?;
            self.stage(batch, connection, share)?;
            self.judge(batch)?;
            self.commit(batch, connection)?;
            let on_its_way = |it: &ObjectTask| matches!(it.progress, ObjectState::Todo | ObjectState::Staged(_));
            if !batch.tasks().any(on_its_way) {
                note_names(batch);
                return Ok(());
            }
        }
    }

    /// Looks whether copies that are recorded as proved are still there with their size (`--rerun`).
    pub(crate) fn recheck(&self, batch: &mut Batch, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let mut wanted: Vec<(usize, CopyRecord)> = Vec::new();
        for (n, job) in batch.jobs().iter().enumerate() {
            let to_look = matches!(job.stage, JobStage::Recheck)
                || (self.options.looks_again() && matches!(job.stage, JobStage::List));
            if to_look {
                wanted.extend(job.newest_proved().map(|it| (n, it.clone())));
            }
        }
        if !wanted.is_empty() {
            let keys: Vec<ObjectKey> = wanted.iter().map(|it| it.1.key.clone()).collect();
            let found = connection.with(|it| it.stat(&keys))?;
            for ((n, copy), found) in wanted.into_iter().zip(found) {
                let bad = match found {
                    Ok(Some(it)) if Some(it.size) == copy.size => continue,
                    Ok(Some(it)) => Bad::Size(it.size, None),
                    Ok(None) => Bad::Missing,
                    Err(error) if error.cause == Cause::Broken => Bad::of(error),
                    // What cannot be looked at is not shown to be bad: its job is looked at in full.
                    Err(error) => {
                        let job = &mut batch.jobs_mut()[n];
                        job.notes.push(error.chain());
                        job.stage = JobStage::List;
                        continue;
                    }
                };
                self.take_bad(&mut batch.jobs_mut()[n], &copy, &bad);
            }
        }
        for job in batch.jobs_mut().iter_mut().filter(|it| matches!(it.stage, JobStage::Recheck)) {
            // A dataset may have got a logo since.
            job.stage = if job.due.is_data_file() { JobStage::Unchanged } else { JobStage::List };
        }
        Ok(())
    }

    /// A copy that was recorded as proved is none any more.
    pub(crate) fn take_bad(&self, job: &mut Job, copy: &CopyRecord, bad: &Bad) {
        let (dataset, label) = job.people();
        let detail = sentence(copy, dataset.as_deref(), label.as_deref(), bad);
        let found = incident::Discovery { command: "run", detail: &detail };
        job.found.push(of_copy(found, self.setup.destination, copy, bad));
        job.notes.push(format!("the copy at {} was missing or had another size", copy.key));
        job.damaged.push((copy.role.clone(), copy.version));
        job.stage = JobStage::List;
    }

    pub(crate) fn may_try_again(&self, item: &mut ObjectTask, cause: Cause) -> bool {
        let may = cause == Cause::Transient && item.tries + 1 < TRIES && self.setup.stop.may_begin();
        if may {
            item.tries += 1;
            self.setup.stop.pause(Duration::from_secs(item.tries.into()));
        }
        may
    }

    pub(crate) fn unwritten(&self, item: &mut ObjectTask, error: &SinkError) -> ObjectState {
        if self.may_try_again(item, error.cause) {
            ObjectState::Todo
        } else if self.setup.stop.is_no_verdict(error.cause) {
            ObjectState::Failed(ObjectError::Stopped)
        } else {
            ObjectState::Failed(self.trouble(error))
        }
    }

    /// What a failure of the destination means to an object. A full one is said in the same words for all.
    pub(crate) fn trouble(&self, error: &SinkError) -> ObjectError {
        match error.cause {
            Cause::Full => ObjectError::Full(no_space(&self.setup.sink.describe(), error)),
            Cause::Missing
            | Cause::Forbidden
            | Cause::Refused
            | Cause::Transient
            | Cause::Unavailable
            | Cause::Misconfigured
            | Cause::Absent
            | Cause::Untrusted
            | Cause::Exists
            | Cause::Broken
            | Cause::Unnameable
            | Cause::Io => ObjectError::Write(error.chain()),
        }
    }
}

pub(crate) fn forget_staged(batch: &mut Batch, instead: &ObjectState) {
    for item in batch.tasks_mut() {
        if matches!(item.progress, ObjectState::Staged(_) | ObjectState::Todo) {
            item.progress = match instead {
                ObjectState::Failed(trouble) => ObjectState::Failed(trouble.clone()),
                _ => ObjectState::Todo,
            };
        }
    }
}

/// What is said of a place that is full, whichever object found it out.
pub(crate) fn no_space(place: &str, error: &SinkError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    format!("no space left at {place}; make room there ({deepest})")
}
