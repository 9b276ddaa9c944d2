//! Copies that the original script made: proved by checksum where they lie, renamed where it had other names.

use dvb_fixity::{Digest, Proved, RecordedChecksum};
use dvb_ledger::{Candidate, CopyState};
use dvb_model::{ObjectKey, ObjectRole};
use dvb_storage::Cause;

use crate::catalogue::spool::Subject;
use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, ObjectState};
use crate::run::destination_run::DestinationRun;

/// A copy that may be one of ours.
struct Find {
    job: usize,
    /// The object that the original compared with the recorded checksum, where it is to be stored and there is one.
    object: Option<(usize, Digest)>,
    /// Where the original put it.
    from: ObjectKey,
}

impl DestinationRun<'_> {
    /// Adopts what it can of a batch; everything else stays to be copied. What the original called OK was never proved:
    /// where it turns out to be something else, it gives its name up to a good copy, as any bad one does.
    pub(crate) fn adopt(&self, batch: &mut Batch, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let finds = self.finds(batch)?;
        for find in &finds {
            // What another data file has reserved is not at this one's key.
            let named = batch.jobs_mut()[find.job].items.iter_mut().filter(|it| it.key == find.from && it.version == 1);
            named.for_each(|it| it.is_originals = true);
        }
        let provable: Vec<(Find, usize, Digest)> =
            finds.into_iter().filter_map(|mut it| it.object.take().map(|(item, digest)| (it, item, digest))).collect();
        if provable.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = provable.iter().map(|it| it.0.from.clone()).collect();
        let mut algorithms: Vec<_> = provable.iter().map(|it| it.2.algorithm()).collect();
        algorithms.sort();
        algorithms.dedup();
        let (held, evidence) = connection.with(|it| Ok((it.measure(&keys, &algorithms)?, it.measure_evidence())))?;
        for ((Find { job, from, .. }, item, recorded), held) in provable.into_iter().zip(held) {
            let job = &mut batch.jobs_mut()[job];
            let proof = match held.map(|it| Proved::recorded(&recorded, it, evidence)) {
                Ok(Ok(proof)) => proof,
                Ok(Err(_)) => {
                    let item = &mut job.items[item];
                    item.replace = item.is_originals;
                    job.notes.push(format!(
                        "the original script's copy at {from} is not what Dataverse recorded; a new one is made"
                    ));
                    continue;
                }
                // It is gone: then it is copied as if it had never been.
                Err(error) if error.cause == Cause::Missing => continue,
                Err(error) => {
                    job.notes.push(format!(
                        "the original script's copy at {from} cannot be used ({}); a new one is made",
                        error.chain()
                    ));
                    continue;
                }
            };
            if from == job.items[item].key {
                job.items[item].progress = ObjectState::Proved { proof, adopted: true };
                continue;
            }
            let owner = self.setup.ledger.copy_at(self.setup.destination, &from)?.map(|it| it.id);
            if owner.is_some_and(|it| it != job.due.id()) {
                // Two rows of Dataverse name one object: this one gets a copy of its own.
                continue;
            }
            let to = job.items[item].key.clone();
            match connection.with(|it| Ok(it.rename(&from, &to)))? {
                Ok(()) => job.items[item].progress = ObjectState::Proved { proof, adopted: true },
                Err(error) => job.notes.push(format!(
                    "the original script's copy at {from} could not be renamed ({}); a new one is made",
                    error.chain()
                )),
            }
        }
        Ok(())
    }

    fn finds(&self, batch: &Batch) -> Result<Vec<Find>, Interrupted> {
        let mut wanted: Vec<(String, String)> = Vec::new();
        for job in batch.jobs().iter().filter(|it| it.is_carried() && is_new(it)) {
            let Some(identifier) = storage_identifier(job) else { continue };
            wanted.extend(directories(job).into_iter().map(|it| (it, identifier.to_owned())));
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = self.setup.ledger.candidates(&wanted)?;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        Ok(batch.jobs().iter().enumerate().filter_map(|(n, job)| find(n, job, &candidates)).collect())
    }
}

/// Nothing of it is on its way yet, and no copy of it is known; keys that a run has reserved are none.
fn is_new(job: &Job) -> bool {
    let untouched = |it: &crate::run::batch::job::ObjectTask| {
        matches!(it.progress, ObjectState::Todo) && it.tries == 0 && it.version == 1
    };
    let unproved = job.copies.iter().all(|it| it.state == CopyState::Reserved);
    unproved && job.items.iter().any(untouched) && job.judgement.is_none()
}

fn storage_identifier(job: &Job) -> Option<&str> {
    match &job.due.subject {
        Subject::DataFile(file) => file.storage_identifier.as_deref(),
        Subject::Dataset(_) => None,
    }
}

/// The original knew no alternative PIDs: it went by the dataset's own.
fn directories(job: &Job) -> Vec<String> {
    let Subject::DataFile(file) = &job.due.subject else { return Vec::new() };
    let own = file.dataset.as_ref().and_then(|it| it.pid.split_once(':')).map(|it| it.1.to_owned());
    let mut all: Vec<String> = job.directory.iter().cloned().chain(own).collect();
    all.dedup();
    all
}

fn find(n: usize, job: &Job, candidates: &[Candidate]) -> Option<Find> {
    if !job.is_carried() || !is_new(job) {
        return None;
    }
    let Subject::DataFile(file) = &job.due.subject else { return None };
    let bare = |it: &str| it.strip_prefix("file://").unwrap_or(it).to_owned();
    let (directories, identifier) = (directories(job), bare(storage_identifier(job)?));
    let candidate = candidates
        .iter()
        .find(|it| directories.contains(&it.dataset_identifier) && bare(&it.storage_identifier) == identifier)?;
    // It saved the original of a tabular file under the bare name, and compared it with the recorded checksum.
    let role = if file.tabular.is_some() { ObjectRole::Original } else { ObjectRole::Main };
    let item = job.items.iter().position(|it| it.object.role == role && matches!(it.progress, ObjectState::Todo));
    let from =
        ObjectKey::new(&format!("{}/{}", candidate.dataset_identifier, bare_name(&candidate.storage_identifier)))
            .ok()?;
    Some(Find { job: n, object: item.zip(RecordedChecksum::parse(&file.checksum_value).digest().cloned()), from })
}

/// What the original called a copy: what follows the last `:`, and `//`.
fn bare_name(storage_identifier: &str) -> &str {
    let name = storage_identifier.rsplit_once(':').map_or(storage_identifier, |it| it.1);
    name.strip_prefix("//").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::bare_name;

    #[test]
    fn copies_go_by_the_names_that_the_original_gave_them() {
        for (identifier, name) in
            [("15b2-9f", "15b2-9f"), ("file://15b2-9f", "15b2-9f"), ("s3://bucket:15b2-9f", "15b2-9f")]
        {
            assert_eq!(bare_name(identifier), name);
        }
    }
}
