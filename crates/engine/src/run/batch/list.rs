//! Which objects a data file or dataset has in its store.

use dvb_ledger::CopyState;
use dvb_model::ObjectRole;
use dvb_storage::{Cause, SourceError};

use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::copies::session::Interrupted;
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, JobStage, ObjectState, Settled};
use crate::run::destination_run::DestinationRun;
use crate::source::judge::{Judgement, reason};
use crate::source::list_objects::{self, Unlisted};
use crate::source::stores::{NoStore, Scope};

impl DestinationRun<'_> {
    /// Lists the objects of each job that is to be looked at.
    pub(crate) fn list(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        for job in batch.jobs_mut().iter_mut().filter(|it| matches!(it.stage, JobStage::List)) {
            if !self.setup.stop.may_begin() {
                return Err(Interrupted::Stopped);
            }
            job.stage = match &job.due.subject {
                Subject::DataFile(_) => self.list_data_file(job),
                Subject::Dataset(_) => self.list_dataset(job),
            };
        }
        Ok(())
    }

    pub(crate) fn list_data_file(&self, job: &mut Job) -> JobStage {
        let Subject::DataFile(file) = &job.due.subject else { return JobStage::Unchanged };
        let place = match self.setup.stores.scope(file) {
            Scope::Covered(place) => place,
            Scope::NotCovered(why) => return JobStage::Settled(Settled::NotCovered(why.reason(file))),
            Scope::Refused(why) => {
                let why = format!("{why}, so it leads nowhere in the store and is not followed");
                return JobStage::Settled(Settled::Unread { why, lost: false });
            }
            Scope::Garbled(why) => return JobStage::Settled(Settled::Unread { why, lost: false }),
            Scope::Orphaned => {
                let why = "orphaned: the data file has no dataset (owner_id is NULL or leads nowhere), so nothing says where \
                           its bytes are; earlier copies are kept. Dataverse 5.11 left such rows: see its 5.11.1 release notes";
                return JobStage::Settled(Settled::Unread { why: why.into(), lost: false });
            }
            // It stays due, and what was known of it stays known.
            Scope::Unavailable(driver, _) if self.doubtful.contains(&driver) => return JobStage::List,
            Scope::Unavailable(driver, NoStore { cause, why }) => {
                let why = format!("store {driver}: {why}");
                return JobStage::Settled(Settled::NoStore { why, ending: ExitStatus::of_cause(cause) });
            }
        };
        if self.doubtful.contains(&place.driver) {
            // It stays due, and what was known of it stays known.
            return JobStage::List;
        }
        if let Err(NoStore { cause, why }) = self.store_is_there(&place.driver, place.source.as_ref()) {
            let why = format!("store {}: {why}", place.driver);
            return JobStage::Settled(Settled::NoStore { why, ending: ExitStatus::of_cause(cause) });
        }
        match list_objects::of_data_file(
            file,
            &job.on_record(self.setup.destination),
            &place,
            self.options.auxiliary_objects,
        ) {
            Ok(listed) => {
                if listed.ambiguous {
                    job.notes.push(format!(
                        "its dataset has several alternative PIDs that designate its storage; {} was used",
                        listed.directory
                    ));
                }
                job.place = Some(place);
                job.package = listed.package;
                job.directory = Some(listed.directory);
                listed.objects.into_iter().for_each(|it| job.add(it));
                JobStage::Carry
            }
            Err(Unlisted::Source(error)) => unlisted(&error),
            Err(Unlisted::Name(why)) => JobStage::Settled(Settled::Unread { why: why.to_string(), lost: false }),
        }
    }

    pub(crate) fn list_dataset(&self, job: &mut Job) -> JobStage {
        let Subject::Dataset(dataset) = &job.due.subject else { return JobStage::Unchanged };
        let options = self.options;
        if let Some(why) = dataset.unknown_place() {
            return JobStage::Settled(Settled::Unread { lost: false, why });
        }
        if self.setup.stores.of_dataset(dataset).is_some_and(|(driver, _)| self.doubtful.contains(driver)) {
            return JobStage::List;
        }
        match list_objects::of_dataset(dataset, self.setup.stores, options.auxiliary_objects, options.cached_exports) {
            Ok(found) => {
                found.into_iter().for_each(|it| job.add(it));
                for item in &mut job.items {
                    // Read at every run, they would cost more than all that is due: a size that is the same stands.
                    let copy = item.known.iter().rfind(|it| it.state == CopyState::Proved);
                    if let Some(copy) = copy.filter(|it| it.size == Some(item.object.size_hint) && !item.replace) {
                        item.progress = ObjectState::Kept { version: copy.version };
                    }
                }
                let idle = job.items.iter().all(|it| matches!(it.progress, ObjectState::Kept { .. }));
                match job.due.claimed {
                    Some(basis) if idle && job.damaged.is_empty() => JobStage::Claimed(basis),
                    None if idle && job.damaged.is_empty() => JobStage::Unchanged,
                    Some(_) | None => JobStage::Carry,
                }
            }
            Err(Unlisted::Source(error)) => match unlisted(&error) {
                JobStage::Settled(Settled::Unread { why, .. }) => {
                    JobStage::Settled(Settled::Unread { why, lost: false })
                }
                other => other,
            },
            // A name that could be none has no object.
            Err(Unlisted::Name(_)) => JobStage::Unchanged,
        }
    }
}

/// Why the objects of a data file or dataset could not be listed.
pub(crate) fn unlisted(error: &SourceError) -> JobStage {
    let why = reason(error);
    JobStage::Settled(match ExitStatus::of_all(error.cause) {
        Some(ending) => Settled::NoStore { why, ending },
        None => Settled::Unread { lost: error.cause == Cause::Missing, why },
    })
}

pub(crate) fn add_original(job: &mut Job) {
    let Subject::DataFile(file) = &job.due.subject else { return };
    let main = job.item(&ObjectRole::Main).map(|it| &it.object);
    let Some((main, place)) = main.zip(job.place.as_ref()) else { return };
    match list_objects::original(file, main, place) {
        Ok(original) => job.add(original),
        Err(Unlisted::Source(error)) => job.judgement = Some(Judgement::Unread(reason(&error))),
        Err(Unlisted::Name(why)) => job.judgement = Some(Judgement::Unread(why.to_string())),
    }
}
