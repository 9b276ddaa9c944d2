//! The end of a batch: each job's verdict, recorded with its proofs in one transaction, then counted and shown.

use dvb_ledger::{Basis, CopyState, EntryKind, Finding, ObjectProof, Record, Verdict};
use dvb_model::{DestinationName, DvObjectId, ObjectRole, Status};

use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::session::Interrupted;
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, JobStage, ObjectError, ObjectState, ObjectTask, Settled};
use crate::run::counts::{Counts, FileOutcome};
use crate::run::destination_run::DestinationRun;
use crate::source::incident;
use crate::source::judge::Judgement;
use crate::source::on_record::OnRecord;
use crate::source::stores::Scope;

/// What a job has come to.
struct Outcome {
    fate: FileOutcome,
    status: Status,
    /// Why it is not safe, or what is to be known all the same.
    reason: Option<String>,
    /// What is recorded; `None` where what is recorded already stands.
    verdict: Option<Verdict>,
    /// Something is missing or damaged at the source.
    source_damaged: bool,
    /// Its store cannot be used: how the run ends therefore.
    unusable: Option<ExitStatus>,
    /// The destination is full.
    full: bool,
    /// Bytes sent and proved.
    bytes: u64,
}

impl Outcome {
    fn new(fate: FileOutcome, status: Status) -> Self {
        Self { fate, status, reason: None, verdict: None, source_damaged: false, unusable: None, full: false, bytes: 0 }
    }
}

impl DestinationRun<'_> {
    /// Records and counts what a batch has come to.
    pub(crate) fn settle(&self, batch: &Batch) -> Result<(), Interrupted> {
        let outcomes: Vec<Outcome> =
            batch.jobs().iter().map(|job| self.acknowledged(job, outcome(job, self.setup.destination))).collect();
        let records: Vec<Record> =
            batch.jobs().iter().zip(&outcomes).filter_map(|(job, it)| self.record(job, it)).collect();
        if !records.is_empty() {
            self.setup.ledger.record(self.setup.destination, &self.options.run, &records)?;
        }
        let changed: Vec<DvObjectId> = batch
            .jobs()
            .iter()
            .zip(&outcomes)
            .filter(|(job, outcome)| self.ends_acknowledgement(job, outcome))
            .map(|it| it.0.due.id())
            .collect();
        if !changed.is_empty() {
            self.setup.ledger.end_acknowledgements(self.setup.destination, &changed)?;
        }
        let mut counts = self.tally.lock();
        for (job, outcome) in batch.jobs().iter().zip(&outcomes) {
            count(&mut counts, job, outcome);
        }
        drop(counts);
        for (job, outcome) in batch.jobs().iter().zip(&outcomes) {
            self.show(job, outcome);
        }
        Ok(())
    }

    /// A failure that the administrator has acknowledged raises no alarm, as long as nothing about it has changed.
    fn acknowledged(&self, job: &Job, outcome: Outcome) -> Outcome {
        let holds = outcome.fate == FileOutcome::Failed
            && job.due.is_data_file()
            && self.acknowledged.holds(job.due.id(), outcome.status, &job.due.fingerprint, proved_copies(job));
        if holds { Outcome { fate: FileOutcome::Acknowledged, source_damaged: false, ..outcome } } else { outcome }
    }

    /// What has become of a data file is not what was acknowledged.
    fn ends_acknowledgement(&self, job: &Job, outcome: &Outcome) -> bool {
        let is_settled = match outcome.fate {
            FileOutcome::Unchanged
            | FileOutcome::Copied
            | FileOutcome::Adopted
            | FileOutcome::NotCovered
            | FileOutcome::Purged => true,
            // An outage changes nothing about the file.
            FileOutcome::Failed => outcome.unusable.is_none(),
            FileOutcome::Acknowledged | FileOutcome::Pending | FileOutcome::NotRechecked => false,
        };
        is_settled && job.due.is_data_file() && self.acknowledged.has(job.due.id())
    }

    fn record(&self, job: &Job, outcome: &Outcome) -> Option<Record> {
        let verdict = outcome.verdict.clone()?;
        let directory = |it: &dvb_model::Dataset| it.storage_pids.first().map(dvb_model::StoragePid::directory);
        let (kind, dataset, storage_identifier, label) = match &job.due.subject {
            Subject::DataFile(it) => {
                (EntryKind::DataFile, it.dataset.as_ref(), it.storage_identifier.clone(), it.label())
            }
            Subject::Dataset(it) => (EntryKind::Dataset, Some(it), it.storage_identifier.clone(), None),
        };
        Some(Record {
            id: job.due.id(),
            kind,
            dataset: dataset.map(|it| it.pid.clone()),
            dataset_identifier: job.directory.clone().or_else(|| dataset.and_then(directory)),
            storage_identifier,
            label,
            fingerprint: job.due.fingerprint.clone(),
            method: self.setup.sink.method(),
            verdict,
            found: job.found.iter().cloned().chain(self.at_source(job, outcome)).collect(),
            read_from: job.place.as_ref().filter(|_| job.is_carried()).map(|it| it.driver.0.clone()),
        })
    }

    /// What of a data file was found to be missing or damaged in its store.
    fn at_source(&self, job: &Job, outcome: &Outcome) -> Vec<Finding> {
        let Subject::DataFile(file) = &job.due.subject else { return Vec::new() };
        if !outcome.source_damaged {
            return Vec::new();
        }
        let driver = match (&job.place, self.setup.stores.scope(file)) {
            (Some(it), _) => &it.driver,
            (None, Scope::Covered(it)) => &it.driver.clone(),
            (
                None,
                Scope::NotCovered(_) | Scope::Refused(_) | Scope::Garbled(_) | Scope::Orphaned | Scope::Unavailable(..),
            ) => return Vec::new(),
        };
        let objects: Vec<_> = job.items.iter().map(|it| (&it.object, it.seen())).collect();
        let found = incident::Discovery { command: "run", detail: outcome.reason.as_deref().unwrap_or_default() };
        incident::at_source(found, file, driver, job.judgement.as_ref(), &objects)
    }

    fn show(&self, job: &Job, outcome: &Outcome) {
        let Subject::DataFile(file) = &job.due.subject else { return };
        let label = file.label();
        let name = label.as_deref().or(file.storage_identifier.as_deref()).unwrap_or("");
        self.setup.observer.event(&Event::Judged {
            id: file.id,
            dataset: file.dataset.as_ref().map(|it| it.pid.as_str()),
            name,
            status: outcome.status,
            reason: outcome.reason.as_deref(),
        });
    }
}

fn count(counts: &mut Counts, job: &Job, outcome: &Outcome) {
    if job.due.is_data_file() {
        counts.count(outcome.fate);
    }
    counts.bytes_copied += outcome.bytes;
    counts.changed |= is_news(job, outcome);
    counts.source_damaged |= outcome.source_damaged;
    ExitStatus::worsen(&mut counts.unusable, outcome.unusable);
    let is_known = outcome.fate == FileOutcome::Acknowledged;
    counts.destination_damaged |= !is_known && (!job.damaged.is_empty() || outcome.status == Status::FailVerify);
    counts.not_safe |= outcome.fate == FileOutcome::Failed || job.is_later();
    let Some(reason) = &outcome.reason else { return };
    match outcome.fate {
        FileOutcome::Failed => counts.fail(&job.due.subject, outcome.status, reason, outcome.full),
        FileOutcome::Pending if job.is_later() => counts.note(&job.due.subject, outcome.status, reason),
        FileOutcome::Unchanged | FileOutcome::Copied | FileOutcome::Adopted => {
            counts.note(&job.due.subject, outcome.status, reason)
        }
        FileOutcome::NotCovered
        | FileOutcome::Purged
        | FileOutcome::Acknowledged
        | FileOutcome::Pending
        | FileOutcome::NotRechecked => {}
    }
}

/// Whether the destination, or what is known of it, is not what it was; a failure that repeats is no news.
fn is_news(job: &Job, outcome: &Outcome) -> bool {
    let is_proved = |it: &ObjectTask| matches!(it.progress, ObjectState::Proved { .. });
    let is_other = job.due.was != Some(outcome.status);
    outcome.verdict.is_some() && (is_other || !job.damaged.is_empty() || job.items.iter().any(is_proved))
}

fn outcome(job: &Job, destination: &DestinationName) -> Outcome {
    match &job.stage {
        JobStage::Claimed(basis) => claimed(job, *basis),
        JobStage::Unchanged => Outcome::new(FileOutcome::Unchanged, Status::Ok),
        JobStage::Recheck | JobStage::List => pending(job, None),
        JobStage::Settled(Settled::NotCovered(why)) => Outcome {
            reason: Some(why.clone()),
            verdict: Some(Verdict::NotCovered { reason: why.clone() }),
            ..Outcome::new(FileOutcome::NotCovered, Status::NotCovered)
        },
        JobStage::Settled(Settled::Unread { why, lost: true }) => {
            let why = format!("{why}; {}", job.on_record(destination).where_it_is(None));
            Outcome { source_damaged: true, ..failed(job, Status::FailRead, why) }
        }
        JobStage::Settled(Settled::Unread { why, lost: false }) => unread(job, why, None),
        JobStage::Settled(Settled::NoStore { why, ending }) => unread(job, why, Some(*ending)),
        JobStage::Carry => carried(job, destination),
    }
}

/// Nothing was read at the source: its row is the one that the proved bytes were `OK` for.
fn claimed(job: &Job, basis: Basis) -> Outcome {
    let before = |it: &dvb_ledger::CopyRecord| ObjectProof::Before { role: it.role.clone(), version: it.version };
    let objects = job.newest_proved().map(before).collect();
    Outcome {
        verdict: Some(Verdict::Safe { basis, objects, provisional: false, note: None }),
        ..Outcome::new(FileOutcome::Adopted, Status::Ok)
    }
}

/// Not looked at to its end. What is recorded of it stands; what is not known yet is recorded as pending.
fn pending(job: &Job, why: Option<String>) -> Outcome {
    let has_copy = job.copies.iter().any(|it| it.state == CopyState::Proved);
    // What is claimed is proved by the next run.
    let is_claimed = job.copies.iter().any(|it| it.state == CopyState::Claimed);
    let is_news = job.due.is_data_file() && !has_copy && !is_claimed && (!job.due.known || why.is_some());
    Outcome {
        reason: why,
        verdict: is_news.then_some(Verdict::Pending),
        ..Outcome::new(FileOutcome::Pending, Status::Pending)
    }
}

/// Copies that are proved when the batch has come to its end.
fn proved_copies(job: &Job) -> u64 {
    let is_damaged = |copy: &dvb_ledger::CopyRecord| job.damaged.contains(&(copy.role.clone(), copy.version));
    let before = job.copies.iter().filter(|copy| copy.state == CopyState::Proved && !is_damaged(copy)).count();
    let now = job.items.iter().filter(|task| matches!(task.progress, ObjectState::Proved { .. })).count();
    (before + now) as u64
}

fn proofs(job: &Job) -> Vec<ObjectProof> {
    job.items.iter().filter_map(ObjectTask::proof).collect()
}

/// Copies found bad that this run did not make good again.
fn still_damaged(job: &Job) -> Vec<(ObjectRole, u32)> {
    let mended = |role: &ObjectRole, version: u32| {
        let again = |it: &&ObjectTask| it.object.role == *role && it.version == version;
        job.items.iter().find(again).is_some_and(|it| matches!(it.progress, ObjectState::Proved { .. }))
    };
    job.damaged.iter().filter(|(role, version)| !mended(role, *version)).cloned().collect()
}

fn failed(job: &Job, status: Status, reason: String) -> Outcome {
    let reason = job.notes.iter().cloned().fold(reason, |all, note| format!("{all}; {note}"));
    let verdict = Verdict::Failed { status, reason: reason.clone(), objects: proofs(job), damaged: still_damaged(job) };
    Outcome {
        reason: Some(reason),
        verdict: Some(verdict),
        bytes: bytes_sent(job),
        ..Outcome::new(FileOutcome::Failed, status)
    }
}

/// What could not be read says nothing of the bytes. A verdict that is known stands until they are read again: an outage
/// takes none away, and damage that was found is not undone by an account that may not read any more.
fn unread(job: &Job, why: &str, of_all: Option<ExitStatus>) -> Outcome {
    let stands = match job.due.was {
        Some(Status::FailChecksum | Status::FailVerify) => true,
        Some(Status::Ok | Status::FailRead | Status::FailWrite) => of_all.is_some(),
        Some(Status::Pending | Status::NotCovered | Status::Purged) | None => false,
    };
    let found = match job.due.was {
        _ if !job.damaged.is_empty() => failed(job, Status::FailVerify, why.to_owned()),
        Some(was) if stands => {
            let reason = format!("{why}; what was found before stands ({was})");
            let status = if was == Status::Ok { Status::FailRead } else { was };
            Outcome { reason: Some(reason), bytes: bytes_sent(job), ..Outcome::new(FileOutcome::Failed, status) }
        }
        Some(_) | None => failed(job, Status::FailRead, why.to_owned()),
    };
    Outcome { unusable: of_all, source_damaged: found.status == Status::FailChecksum, ..found }
}

fn bytes_sent(job: &Job) -> u64 {
    let sent = |item: &ObjectTask| match &item.progress {
        ObjectState::Proved { proof, adopted: false } => proof.measured().size,
        _ => 0,
    };
    job.items.iter().map(sent).sum()
}

fn carried(job: &Job, destination: &DestinationName) -> Outcome {
    let is_stopped = |item: &ObjectTask| {
        matches!(
            item.progress,
            ObjectState::Compare
                | ObjectState::Todo
                | ObjectState::Staged(_)
                | ObjectState::Failed(ObjectError::Stopped)
        )
    };
    if job.items.iter().any(is_stopped) {
        return pending(job, None);
    }
    let known = job.on_record(destination);
    match &job.judgement {
        Some(Judgement::Damaged(why)) => {
            Outcome { source_damaged: true, ..failed(job, Status::FailChecksum, why.clone()) }
        }
        Some(Judgement::Missing { what, why }) => {
            let copy = known.where_it_is(Some(what));
            Outcome { source_damaged: true, ..failed(job, Status::FailRead, format!("missing: {why}; {copy}")) }
        }
        Some(Judgement::Unread(why)) => unread(job, why, job.cut_off()),
        Some(Judgement::Later(why)) => pending(job, Some(why.clone())),
        Some(Judgement::Good { basis, notes }) => match job.items.iter().find_map(|it| trouble(it, &known)) {
            Some(Found { status: Status::FailRead, why, source_damaged: false, .. }) => {
                unread(job, &why, job.cut_off())
            }
            Some(Found { status, why, source_damaged, full }) => {
                Outcome { source_damaged, full, ..failed(job, status, why) }
            }
            None => safe(job, *basis, notes),
        },
        Some(Judgement::TryOriginal) | None => {
            let found = job.items.iter().find_map(|it| trouble(it, &known));
            // Nothing else leaves a job without a judgement.
            let Found { status, why, source_damaged, full } = found.unwrap_or_else(|| Found {
                status: Status::FailRead,
                why: "it could not be judged".into(),
                source_damaged: false,
                full: false,
            });
            Outcome { source_damaged, full, ..failed(job, status, why) }
        }
    }
}

struct Found {
    status: Status,
    why: String,
    source_damaged: bool,
    full: bool,
}

/// What is wrong with one object, beyond the judgement on its data file.
fn trouble(item: &ObjectTask, known: &OnRecord) -> Option<Found> {
    let found = |status, why: &str, source_damaged| {
        let why = match &item.object.role {
            ObjectRole::Main => why.to_owned(),
            role => format!("{role}: {why}"),
        };
        Some(Found { status, why, source_damaged, full: false })
    };
    if item.is_unexpected() {
        return found(Status::FailChecksum, "its digest does not match the one Dataverse recorded", true);
    }
    // The judgement has taken account of those that it is about.
    let is_judged = matches!(item.object.role, ObjectRole::Main | ObjectRole::Original | ObjectRole::Member(_));
    match &item.progress {
        ObjectState::Failed(ObjectError::Missing(_) | ObjectError::Read(..)) if is_judged => None,
        ObjectState::Failed(ObjectError::Missing(at)) => {
            let why = format!("missing: it is not at {at}; {}", known.where_it_is(Some(&item.object.role)));
            found(Status::FailRead, &why, true)
        }
        ObjectState::Failed(ObjectError::Read(why, _)) => found(Status::FailRead, why, false),
        ObjectState::Failed(ObjectError::Write(why)) => found(Status::FailWrite, why, false),
        ObjectState::Failed(ObjectError::Full(why)) => {
            Some(Found { status: Status::FailWrite, why: why.clone(), source_damaged: false, full: true })
        }
        ObjectState::Failed(ObjectError::Verify(why)) => found(Status::FailVerify, why, false),
        ObjectState::Compare
        | ObjectState::Todo
        | ObjectState::Staged(_)
        | ObjectState::Held { .. }
        | ObjectState::Kept { .. }
        | ObjectState::Proved { .. }
        | ObjectState::Dropped(_)
        | ObjectState::Absent(_)
        | ObjectState::Failed(ObjectError::Stopped) => None,
    }
}

fn safe(job: &Job, basis: Basis, judged: &[String]) -> Outcome {
    let mut notes: Vec<String> = job.notes.iter().chain(judged).cloned().collect();
    notes.extend(job.items.iter().filter_map(placed_beside));
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let provisional = matches!(&job.due.subject, Subject::DataFile(it) if it.is_being_ingested());
    let is = |adopted: bool| move |it: &ObjectTask| matches!(&it.progress, ObjectState::Proved { adopted: is, .. } if *is == adopted);
    let fate = if job.items.iter().any(is(true)) {
        FileOutcome::Adopted
    } else if job.items.iter().any(is(false)) {
        FileOutcome::Copied
    } else {
        FileOutcome::Unchanged
    };
    let verdict = Verdict::Safe { basis, objects: proofs(job), provisional, note: note.clone() };
    Outcome { reason: note, verdict: Some(verdict), bytes: bytes_sent(job), ..Outcome::new(fate, Status::Ok) }
}

/// A note on an object that does not lie where Dataverse's own key says.
fn placed_beside(item: &ObjectTask) -> Option<String> {
    if !matches!(item.progress, ObjectState::Proved { .. }) || item.key == item.object.key || item.replace {
        return None;
    }
    if item.version > 1 {
        return Some(format!(
            "other bytes lay at {}: the new ones were kept beside them, at {}",
            item.base_key(),
            item.key
        ));
    }
    Some(format!("another data file has the key {}: this one is at {}", item.object.key, item.key))
}
