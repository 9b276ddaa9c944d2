//! What has a proved copy already is read, and compared with it: the same bytes need no transfer.

use dvb_fixity::{Algorithm, Measured, RecordedChecksum};
use dvb_ledger::{CopyRecord, CopyState};
use dvb_model::Status;
use dvb_storage::{Cause, PayloadError, SourceError};

use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::copies::session::Interrupted;
use crate::run::batch::commit::judgement;
use crate::run::batch::job::Batch;
use crate::run::batch::job::{ObjectError, ObjectState, ObjectTask};
use crate::run::batch::list::add_original;
use crate::run::destination_run::DestinationRun;
use crate::source::judge::{Judgement, reason};
use crate::source::payload::ObjectPayload;

impl DestinationRun<'_> {
    /// Reads what has proved copies already: the same bytes need no transfer, others go beside them (design.md 7.6).
    pub(crate) fn compare(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        for job in batch.carried_mut() {
            let recorded = recorded_algorithm(&job.due.subject);
            for item in job.items.iter_mut().filter(|it| matches!(it.progress, ObjectState::Compare)) {
                loop {
                    match self.payload(item, &item.algorithms(recorded)).measure() {
                        Ok(measured) => settle_comparison(item, measured),
                        Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                        Err(PayloadError::Source(error)) if self.may_try_again(item, error.cause) => continue,
                        Err(PayloadError::Source(error)) if self.setup.stop.is_no_verdict(error.cause) => {
                            return Err(Interrupted::Stopped);
                        }
                        Err(PayloadError::Source(error)) => item.progress = unread(item, &error),
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads a source that was damaged at the last look before anything of it is sent: as a rule it still is, and what
    /// would be sent each night, only to be thrown away, does not even go where the account may remove nothing.
    pub(crate) fn read_what_was_damaged(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        for job in batch.jobs_mut().iter_mut().filter(|it| it.is_carried() && it.due.was == Some(Status::FailChecksum))
        {
            let recorded = recorded_algorithm(&job.due.subject);
            let mut new = Vec::new();
            // Once more with the other half of what may be a swapped pair.
            for _ in 0..2 {
                for n in 0..job.items.len() {
                    let item = &mut job.items[n];
                    if !matches!(item.progress, ObjectState::Todo) || new.contains(&n) {
                        continue;
                    }
                    new.push(n);
                    match self.payload(item, &item.algorithms(recorded)).measure() {
                        Ok(measured) => item.progress = ObjectState::Dropped(measured),
                        Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                        Err(PayloadError::Source(error)) if self.setup.stop.is_no_verdict(error.cause) => {
                            return Err(Interrupted::Stopped);
                        }
                        Err(PayloadError::Source(error)) => item.progress = unread(item, &error),
                    }
                }
                job.judgement = if job.is_read() { judgement(job) } else { None };
                if job.judgement == Some(Judgement::TryOriginal) {
                    add_original(job);
                }
            }
            if !matches!(job.judgement, Some(Judgement::Damaged(_))) {
                job.judgement = None;
                new.into_iter().for_each(|n| job.items[n].progress = ObjectState::Todo);
            }
        }
        Ok(())
    }

    pub(crate) fn payload(&self, item: &ObjectTask, algorithms: &[Algorithm]) -> ObjectPayload {
        let ObjectTask { object, .. } = item;
        let source = std::sync::Arc::clone(&object.source);
        ObjectPayload::new(source, object.at.clone(), object.size_hint, algorithms, self.reading.clone())
    }
}

pub(crate) fn settle_comparison(item: &mut ObjectTask, measured: Measured) {
    let Some(read) = measured.digest(Algorithm::Sha256) else { return };
    let same = |it: &&CopyRecord| it.sha256.as_ref() == Some(read) && it.size == Some(measured.size);
    let newest_is_bad = item.replace;
    let good = |it: &&CopyRecord| it.state == CopyState::Proved && !(newest_is_bad && it.version == item.version);
    // The newest version is what Dataverse has: bytes that came back, after others, are a version again.
    if let Some(copy) = item.known.iter().rfind(good).filter(same) {
        item.progress = ObjectState::Held { version: copy.version, measured };
    } else if newest_is_bad && item.known.iter().filter(|it| it.version == item.version).any(|it| same(&it)) {
        // The source still has what the bad copy should be.
        item.progress = ObjectState::Todo;
    } else {
        item.make_new_version();
    }
}

pub(crate) fn unread(item: &ObjectTask, error: &SourceError) -> ObjectState {
    let at = || item.object.source.place(&item.object.at);
    match error.cause {
        Cause::Missing if item.object.optional => ObjectState::Absent(at()),
        Cause::Missing => ObjectState::Failed(ObjectError::Missing(at())),
        _ => ObjectState::Failed(ObjectError::Read(reason(error), ExitStatus::of_all(error.cause))),
    }
}

pub(crate) fn recorded_algorithm(subject: &Subject) -> Option<Algorithm> {
    match subject {
        Subject::DataFile(file) => RecordedChecksum::parse(&file.checksum_value).algorithm(),
        Subject::Dataset(_) => None,
    }
}
