//! Everything that is to be stored goes to the destination, under temporary names.

use dvb_storage::{Cause, Payload, PayloadError, StageRequest, Unstaged};

use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::commit::unverified;
use crate::run::batch::compare::recorded_algorithm;
use crate::run::batch::compare::unread;
use crate::run::batch::job::Batch;
use crate::run::batch::job::TaskAt;
use crate::run::batch::job::{Job, ObjectError, ObjectState, ObjectTask};
use crate::run::batch::keys::name_otherwise;
use crate::run::destination_run::DestinationRun;
use crate::run::shared_read::{Share, Wanted};
use crate::source::list_objects::Object;

impl DestinationRun<'_> {
    pub(crate) fn stage(
        &self,
        batch: &mut Batch,
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        // A look at the destination may just have turned an item to another version, whose key is to be reserved first.
        let at = batch.ready(|_, task| task.reserved && matches!(task.progress, ObjectState::Todo));
        if at.is_empty() {
            return Ok(());
        }
        // The session is there before the other destinations are kept waiting.
        let sinks = connection.with(|it| Ok(it.algorithms().to_vec()))?;
        let algorithms = |job: &Job, item: &ObjectTask| {
            let mut all = item.algorithms(recorded_algorithm(&job.due.subject));
            all.extend(&sinks);
            all
        };
        if let Some(share) = share {
            let want = |at: &TaskAt| {
                let (job, item) = (batch.job(*at), batch.task(*at));
                (Wanted::new(&item.object.source, &item.object.at), algorithms(job, item))
            };
            share.say(self.number, at.iter().map(want).collect());
        }
        let request = |at: &TaskAt| {
            let (job, item) = (batch.job(*at), batch.task(*at));
            let Object { source, at, size_hint, .. } = &item.object;
            let shared = share.and_then(|it| it.payload(self.number, source, at, *size_hint, &self.reading));
            let payload: Box<dyn Payload> = match shared {
                Some(it) => Box::new(it),
                None => Box::new(self.payload(item, &algorithms(job, item))),
            };
            StageRequest { key: item.key.clone(), payload }
        };
        let requests = at.iter().map(request).collect();
        let answers = connection.with(|session| session.stage(requests))?;
        for (at, answer) in at.into_iter().zip(answers) {
            if let Err(Unstaged::Sink(error)) = &answer
                && error.cause == Cause::Unnameable
            {
                name_otherwise(batch.task_mut(at), error);
                continue;
            }
            let item = batch.task_mut(at);
            item.progress = match answer {
                Ok(staged) => ObjectState::Staged(staged),
                Err(Unstaged::Payload(PayloadError::Stopped)) => ObjectState::Failed(ObjectError::Stopped),
                Err(Unstaged::Payload(PayloadError::Source(error))) => {
                    if self.may_try_again(item, error.cause) {
                        ObjectState::Todo
                    } else if self.setup.stop.is_no_verdict(error.cause) {
                        ObjectState::Failed(ObjectError::Stopped)
                    } else {
                        unread(item, &error)
                    }
                }
                Err(Unstaged::Sink(error)) => self.unwritten(item, &error),
                Err(Unstaged::Verify(mismatch)) => unverified(item, mismatch.to_string()),
            };
        }
        Ok(())
    }
}
