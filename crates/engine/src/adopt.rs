//! Copies that the original script made: proved by checksum where they lie, renamed where it had other names.

use dvb_fixity::{Digest, Proved, RecordedChecksum};
use dvb_ledger::Candidate;
use dvb_model::{ObjectKey, ObjectRole};

use crate::connection::{Connection, Lost};
use crate::item::{Job, Progress};
use crate::lane::Lane;
use crate::spool::Subject;

/// A copy that may be one of ours.
struct Find {
    job: usize,
    item: usize,
    /// Where the original put it.
    from: ObjectKey,
    recorded: Digest,
}

impl Lane<'_> {
    /// Adopts what it can of a batch; everything else stays to be copied.
    pub(crate) fn adopt(&self, jobs: &mut [Job], connection: &mut Connection<'_>) -> Result<(), Lost> {
        let finds = self.finds(jobs)?;
        if finds.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = finds.iter().map(|it| it.from.clone()).collect();
        let mut algorithms: Vec<_> = finds.iter().map(|it| it.recorded.algorithm()).collect();
        algorithms.sort();
        algorithms.dedup();
        let (held, evidence) = connection.with(|it| Ok((it.measure(&keys, &algorithms)?, it.measures_by())))?;
        for (find, held) in finds.into_iter().zip(held) {
            let Find { job, item, from, recorded } = find;
            let job = &mut jobs[job];
            let proof = match held.map(|it| Proved::recorded(&recorded, it, evidence)) {
                Ok(Ok(proof)) => proof,
                Ok(Err(_)) => {
                    job.notes.push(format!(
                        "the original script's copy at {from} is not what Dataverse recorded; a new one is made"
                    ));
                    continue;
                }
                // It is gone, or cannot be read: then it is copied as if it had never been.
                Err(_) => continue,
            };
            let item = &mut job.items[item];
            let is_named = from == item.key || connection.with(|it| Ok(it.rename(&from, &item.key).is_ok()))?;
            if is_named {
                item.progress = Progress::Proved { proof, adopted: true };
            }
        }
        Ok(())
    }

    fn finds(&self, jobs: &[Job]) -> Result<Vec<Find>, Lost> {
        let mut wanted: Vec<(String, String)> = Vec::new();
        for job in jobs.iter().filter(|it| it.is_carried() && is_new(it)) {
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
        Ok(jobs.iter().enumerate().filter_map(|(n, job)| find(n, job, &candidates)).collect())
    }
}

/// Nothing of it is on its way yet, and no copy of it is known.
fn is_new(job: &Job) -> bool {
    let untouched = |it: &crate::item::Item| matches!(it.progress, Progress::Todo) && it.tries == 0 && it.version == 1;
    job.copies.is_empty() && job.items.iter().any(untouched) && job.judgement.is_none()
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
    let recorded = RecordedChecksum::parse(&file.checksum_value).digest()?.clone();
    let bare = |it: &str| it.strip_prefix("file://").unwrap_or(it).to_owned();
    let (directories, identifier) = (directories(job), bare(storage_identifier(job)?));
    let candidate = candidates
        .iter()
        .find(|it| directories.contains(&it.dataset_identifier) && bare(&it.storage_identifier) == identifier)?;
    // It saved the original of a tabular file under the bare name, and compared it with the recorded checksum.
    let role = if file.tabular.is_some() { ObjectRole::Original } else { ObjectRole::Main };
    let item = job.items.iter().position(|it| it.object.role == role && matches!(it.progress, Progress::Todo))?;
    let from =
        ObjectKey::new(&format!("{}/{}", candidate.dataset_identifier, bare_name(&candidate.storage_identifier)))
            .ok()?;
    Some(Find { job: n, item, from, recorded })
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
