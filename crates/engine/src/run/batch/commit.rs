//! What was read is judged; what is good gets its name, the rest is thrown away.

use dvb_fixity::Proved;
use dvb_model::{DestinationName, ObjectRole};
use dvb_storage::{Cause, CommitRequest, Staged, Unstaged};

use crate::catalogue::spool::Subject;
use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::TRIES;
use crate::run::batch::job::Batch;
use crate::run::batch::job::TaskAt;
use crate::run::batch::job::{Job, ObjectError, ObjectState, ObjectTask};
use crate::run::batch::keys::name_otherwise;
use crate::run::batch::list::add_original;
use crate::run::destination_run::DestinationRun;
use crate::source::judge::{self, Judgement, Seen};

impl DestinationRun<'_> {
    /// Judges what was read to its end; a data file that may be half of a swapped pair gets one more object.
    pub(crate) fn judge(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        let mut is_widened = false;
        for job in batch.jobs_mut().iter_mut().filter(|it| it.is_read()) {
            job.judgement = judgement(job);
            if job.judgement == Some(Judgement::TryOriginal) {
                is_widened = true;
                add_original(job);
            }
        }
        if is_widened {
            self.compare(batch)?;
            // Its saved original may have a copy already: then there is nothing more to wait for.
            for job in
                batch.jobs_mut().iter_mut().filter(|it| it.is_read() && it.judgement == Some(Judgement::TryOriginal))
            {
                job.judgement = judgement(job);
            }
        }
        Ok(())
    }

    /// Shows what was judged good, discards the rest.
    pub(crate) fn commit(&self, batch: &mut Batch, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let is_staged = |job: &Job, task: &ObjectTask| job.is_read() && matches!(task.progress, ObjectState::Staged(_));
        let (mut good, bad): (Vec<TaskAt>, Vec<TaskAt>) = batch.ready(is_staged).into_iter().partition(|&at| {
            let may_show = match &batch.job(at).judgement {
                Some(Judgement::Good { .. } | Judgement::Unread(_) | Judgement::Missing { .. }) => true,
                Some(Judgement::Damaged(_) | Judgement::Later(_) | Judgement::TryOriginal) | None => false,
            };
            may_show && !batch.task(at).is_unexpected()
        });
        self.discard(batch, bad, connection)?;
        self.set_aside(batch, &mut good, connection)?;
        if good.is_empty() {
            return Ok(());
        }
        let request = |at: &TaskAt| match batch.task(*at) {
            ObjectTask { progress: ObjectState::Staged(staged), replace, .. } => {
                Some(CommitRequest { staged: staged.clone(), replace: *replace })
            }
            _ => None,
        };
        let requests: Vec<CommitRequest> = good.iter().filter_map(request).collect();
        let answers = connection.with(|it| it.commit(requests))?;
        for (at, answer) in good.into_iter().zip(answers) {
            self.take_commit(batch.task_mut(at), answer, connection)?;
        }
        Ok(())
    }

    pub(crate) fn take_commit(
        &self,
        item: &mut ObjectTask,
        answer: Result<Proved, Unstaged>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        item.progress = match answer {
            Ok(proof) => ObjectState::Proved { proof, adopted: false },
            Err(Unstaged::Sink(error)) if error.cause == Cause::Exists => {
                let Some(measured) = item.measured().cloned() else { return Ok(()) };
                return self.adopt_or_version(item, item.key.clone(), measured, connection);
            }
            // Some services say so only when the object gets its name: it is sent again under another one.
            Err(Unstaged::Sink(error)) if error.cause == Cause::Unnameable => {
                item.progress = ObjectState::Todo;
                name_otherwise(item, &error);
                return Ok(());
            }
            Err(Unstaged::Sink(error)) => self.unwritten(item, &error),
            Err(Unstaged::Verify(mismatch)) => unverified(item, mismatch.to_string()),
            Err(Unstaged::Payload(error)) => ObjectState::Failed(ObjectError::Read(error.to_string(), None)),
        };
        Ok(())
    }

    pub(crate) fn discard(
        &self,
        batch: &mut Batch,
        which: Vec<TaskAt>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        let mut all: Vec<Staged> = Vec::with_capacity(which.len());
        for at in which {
            let item = batch.task_mut(at);
            if let ObjectState::Staged(staged) = &item.progress {
                let staged = staged.clone();
                item.progress = ObjectState::Dropped(staged.measured.clone());
                all.push(staged);
            }
        }
        if all.is_empty() { Ok(()) } else { connection.with(|it| it.discard(all)) }
    }
}

/// `None` while something is not read for reasons that are not the source's.
pub(crate) fn judgement(job: &Job) -> Option<Judgement> {
    let Subject::DataFile(file) = &job.due.subject else {
        return Some(Judgement::Good { basis: dvb_ledger::Basis::FirstSeen, notes: Vec::new() });
    };
    // Where the copies are is no matter here.
    let known = job.on_record(&DestinationName(String::new()));
    if let Some(manifest) = &job.package {
        let mut members: Vec<(&str, Seen<'_>)> = Vec::with_capacity(job.items.len());
        for item in &job.items {
            if let ObjectRole::Member(path) = &item.object.role {
                members.push((path, item.seen()?));
            }
        }
        return Some(judge::package(file, &known, manifest, &members));
    }
    let main = job.item(&ObjectRole::Main)?.seen()?;
    let original = match job.item(&ObjectRole::Original) {
        Some(it) => Some(it.seen()?),
        None => None,
    };
    Some(judge::pair(file, &known, main, original))
}

pub(crate) fn unverified(item: &mut ObjectTask, why: String) -> ObjectState {
    item.tries += 1;
    // Once more: a memory or network error passes, a bad disk does not.
    if item.tries < TRIES - 1 { ObjectState::Todo } else { ObjectState::Failed(ObjectError::Verify(why)) }
}
