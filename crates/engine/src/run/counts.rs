//! What a run has found so far, counted by all workers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dvb_catalog::SnapshotLink;
use dvb_model::{DataFile, Dataset, DestinationName, DriverId, Status};
use serde::{Deserialize, Serialize};

use crate::catalogue::spool::Subject;
use crate::command::LISTED;
use crate::command::exit_status::ExitStatus;
use crate::run::summary::{Due, FileCounts, Finding, ReasonCount};

/// How many reasons are counted: where each data file has one of its own, counting says nothing.
const REASONS: usize = 100;

/// What became of one data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileOutcome {
    Unchanged,
    Copied,
    Adopted,
    NotCovered,
    Purged,
    Failed,
    /// Failed as the administrator knows.
    Acknowledged,
    Pending,
    /// Safe by the ledger; it was to be looked at again, and was not reached.
    NotRechecked,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) listed: Vec<Finding>,
    pub(crate) total: u64,
    /// In the order in which they were met.
    pub(crate) reasons: Vec<ReasonCount>,
}

impl Findings {
    /// Counts it among those with the same reason.
    fn count_reason(&mut self, status: Status, reason: &str, full: bool) {
        let same = |it: &&mut ReasonCount| it.status == status && it.reason == reason;
        // Where each has a reason of its own, the newest is looked for first, and few are kept.
        let has_room = self.reasons.len() < REASONS || full;
        match self.reasons.iter_mut().rev().find(same) {
            Some(it) => it.files += 1,
            None if has_room => {
                self.reasons.push(ReasonCount { status, reason: reason.to_owned(), files: 1, no_space: full });
            }
            None => {}
        }
    }

    /// Adds those of another part of the run.
    fn add(&mut self, other: Self) {
        let more = other.total - other.listed.len() as u64;
        other.listed.into_iter().for_each(|it| self.push(it));
        self.total += more;
        for it in other.reasons {
            let same = |one: &&mut ReasonCount| one.status == it.status && one.reason == it.reason;
            let has_room = self.reasons.len() < REASONS || it.no_space;
            match self.reasons.iter_mut().rev().find(same) {
                Some(one) => one.files += it.files,
                None if has_room => self.reasons.push(it),
                None => {}
            }
        }
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        self.total += 1;
        if self.listed.len() < LISTED {
            self.listed.push(finding);
        }
    }
}

/// Numbers and findings of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) files: FileCounts,
    pub(crate) due: Due,
    /// Of `due`, those that are safe by the ledger.
    pub(crate) due_again: u64,
    /// Of `files.unchanged`, those that were to be looked at again and were not reached.
    pub(crate) not_rechecked: u64,
    pub(crate) bytes_copied: u64,
    pub(crate) gone: u64,
    /// Copies that were looked at again after copying.
    #[serde(skip)]
    pub(crate) verified: Option<crate::copies::findings::CopyCounts>,
    /// Data files that were looked for in their stores.
    #[serde(skip)]
    pub(crate) presence: Option<crate::run::summary::PresenceCounts>,
    /// Data files that were read again in their stores.
    #[serde(skip)]
    pub(crate) audited: Option<crate::run::summary::AuditedCounts>,
    /// What became of the locks against deletion that copies are to have.
    #[serde(skip)]
    pub(crate) locks: Option<crate::copies::locks::LockCounts>,
    pub(crate) failures: Findings,
    pub(crate) notes: Findings,
    /// Data files by driver ids that nobody configured.
    pub(crate) unknown_drivers: BTreeMap<DriverId, u64>,
    /// The destination, or what is known of it, is not what it was before the run.
    pub(crate) changed: bool,
    /// The newest snapshot at the destination, if it describes what the run left.
    #[serde(skip)]
    pub(crate) snapshot: Option<SnapshotLink>,
    /// Of the catalogue that it describes.
    #[serde(skip)]
    pub(crate) catalogue_digest: Option<String>,
    /// Why the run gave up, and how it ends therefore.
    #[serde(skip)]
    pub(crate) abort: Option<(ExitStatus, String)>,
    /// What was read at the source is missing or not what was recorded.
    pub(crate) source_damaged: bool,
    /// A proved copy was found missing or changed, or the destination kept other bytes than were sent.
    pub(crate) destination_damaged: bool,
    /// There was no time for something that is to be done besides the files.
    pub(crate) cut_short: bool,
    /// A store could not be used, or what the run leaves at the destination not be left: how it ends therefore.
    pub(crate) unusable: Option<ExitStatus>,
    /// Stores that were left alone for safety, with the reason.
    pub(crate) doubts: Vec<String>,
    /// Something in scope is not safe for whatever reason.
    pub(crate) not_safe: bool,
}

/// [`Counts`] behind a lock.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    pub(crate) fn of(counts: Counts) -> Self {
        Self(Mutex::new(counts))
    }

    pub(crate) fn end(self) -> Counts {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Counts> {
        // A worker that panicked left whole numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every worker stop. The first reason counts.
    pub(crate) fn abort(&self, ending: ExitStatus, why: String) {
        self.lock().abort.get_or_insert((ending, why));
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.lock().abort.is_some()
    }
}

impl Counts {
    /// Counts a data file; its place in `catalogued` included.
    pub(crate) fn count(&mut self, fate: FileOutcome) {
        let files = &mut self.files;
        files.catalogued += 1;
        self.not_rechecked += u64::from(fate == FileOutcome::NotRechecked);
        let of_fate = match fate {
            FileOutcome::Unchanged | FileOutcome::NotRechecked => &mut files.unchanged,
            FileOutcome::Copied => &mut files.copied,
            FileOutcome::Adopted => &mut files.adopted,
            FileOutcome::NotCovered => &mut files.not_covered,
            FileOutcome::Purged => &mut files.purged,
            FileOutcome::Failed => &mut files.failed,
            FileOutcome::Acknowledged => &mut files.acknowledged,
            FileOutcome::Pending => &mut files.pending,
        };
        *of_fate += 1;
    }

    /// Adds what was found in another part of the same run: what the plan says stays.
    pub(crate) fn add(&mut self, other: Self) {
        let (files, more) = (&mut self.files, other.files);
        files.catalogued += more.catalogued;
        files.unchanged += more.unchanged;
        files.copied += more.copied;
        files.adopted += more.adopted;
        files.not_covered += more.not_covered;
        files.purged += more.purged;
        files.failed += more.failed;
        files.acknowledged += more.acknowledged;
        files.pending += more.pending;
        self.not_rechecked += other.not_rechecked;
        self.bytes_copied += other.bytes_copied;
        self.failures.add(other.failures);
        self.notes.add(other.notes);
        self.changed |= other.changed;
        self.source_damaged |= other.source_damaged;
        self.destination_damaged |= other.destination_damaged;
        self.cut_short |= other.cut_short;
        self.not_safe |= other.not_safe;
        ExitStatus::worsen(&mut self.unusable, other.unusable);
        for why in other.doubts {
            if !self.doubts.contains(&why) {
                self.doubts.push(why);
            }
        }
    }

    pub(crate) fn fail(&mut self, subject: &Subject, status: Status, reason: &str, full: bool) {
        self.failures.count_reason(status, reason, full);
        self.failures.push(finding(subject, status, reason));
    }

    pub(crate) fn note(&mut self, subject: &Subject, status: Status, reason: &str) {
        self.notes.push(finding(subject, status, reason));
    }

    /// Of a dataset as a whole.
    pub(crate) fn note_dataset(&mut self, pid: String, status: Status, reason: String) {
        let (data_file_id, storage_identifier, name) = (None, None, None);
        self.notes.push(Finding { data_file_id, dataset: Some(pid), storage_identifier, name, status, reason });
    }

    /// Of a whole store or destination.
    pub(crate) fn note_global(&mut self, about: About<'_>, status: Status, reason: String) {
        let (storage_identifier, name) = match about {
            About::Store(driver) => (Some(format!("{driver}://")), None),
            About::Destination(it) => (None, Some(format!("destination {it}"))),
        };
        self.notes.push(Finding { data_file_id: None, dataset: None, storage_identifier, name, status, reason });
    }

    /// How the run ended, by all that was found (design.md 4).
    pub(crate) fn ending(&self, signalled: Option<u8>) -> ExitStatus {
        let found = [
            (!self.doubts.is_empty(), ExitStatus::Refused),
            (self.destination_damaged, ExitStatus::DestinationDamaged),
            (self.source_damaged, ExitStatus::SourceDamaged),
            (self.not_safe || self.files.failed > 0, ExitStatus::NotSafe),
            (self.files.pending > 0 || self.not_rechecked > 0 || self.cut_short, ExitStatus::Stopped),
        ];
        let aborted = self.abort.as_ref().map(|it| it.0);
        ExitStatus::of_found(&found, [self.unusable, signalled.map(ExitStatus::Signalled), aborted])
    }
}

/// What a note is about that concerns no data file or dataset of its own.
pub(crate) enum About<'a> {
    Store(&'a DriverId),
    Destination(&'a DestinationName),
}

fn finding(subject: &Subject, status: Status, reason: &str) -> Finding {
    let (id, dataset, storage_identifier, name) = match subject {
        Subject::DataFile(it @ DataFile { id, dataset, storage_identifier, .. }) => {
            (Some(*id), dataset.as_ref().map(|it| it.pid.clone()), storage_identifier.clone(), it.label())
        }
        Subject::Dataset(Dataset { pid, storage_identifier, .. }) => {
            (None, Some(pid.clone()), storage_identifier.clone(), None)
        }
    };
    Finding { data_file_id: id, dataset, storage_identifier, name, status, reason: reason.to_owned() }
}
