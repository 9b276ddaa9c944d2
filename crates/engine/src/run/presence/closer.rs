//! A closer look at some data files of a run, as an audit looks: they are read, judged, and what is lost is recorded.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dvb_fixity::RecordedChecksum;
use dvb_ledger::{SourceDamage, State};
use dvb_model::{DataFile, DvObjectId, ObjectRole, Status};
use dvb_storage::chain;

use crate::catalogue::spool::{Line, Subject};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::hand::{self, Giver};
use crate::command::pool;
use crate::run::Setup;
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::summary::Finding;
use crate::source::examine::{ExamineSetup, Examiner, Known, ToRecord};
use crate::source::findings::{AuditCounts, AuditFinding, Condition, Found, Subjected};
use crate::source::fingerprint;
use crate::source::payload::Reading;

/// Data files that are looked at before what was found is recorded.
const BATCH: usize = 32;

/// Why a data file is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// For which destinations its verdict stands: one bit each.
    pub(crate) dests: u64,
    /// Nothing but its saved original is suspected.
    pub(crate) only_original: bool,
}

impl Wanted {
    fn is_of(self, dest: &DestinationRun<'_>) -> bool {
        self.dests & bit(dest.number) != 0
    }
}

/// A destination of a run.
pub(crate) fn bit(dest: usize) -> u64 {
    u32::try_from(dest).ok().and_then(|it| 1_u64.checked_shl(it)).unwrap_or(0)
}

/// How many were looked at, and how many of them are not safe.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked {
    pub(crate) files: u64,
    pub(crate) bad: u64,
}

pub(crate) struct Closer<'a> {
    pub(crate) dests: &'a [&'a DestinationRun<'a>],
    pub(crate) options: &'a Options,
    pub(crate) deadline: Instant,
    /// What is good is recorded as audited.
    pub(crate) marks_good: bool,
}

type Batch = Vec<(DataFile, Wanted)>;

impl Closer<'_> {
    fn goes_on(&self) -> bool {
        Instant::now() < self.deadline && self.dests.iter().any(|it| it.goes_on())
    }

    /// Looks at those of the entries that are wanted.
    pub(crate) fn look(
        &self,
        wanted: &BTreeMap<DvObjectId, Wanted>,
        entries: impl Iterator<Item = io::Result<Subject>>,
    ) -> Result<Looked, RunError> {
        // The one that has most time.
        let first = self.dests.iter().max_by_key(|it| it.setup.stop.latest());
        let Some(first) = first else { return Ok(Looked::default()) };
        let Setup { stores, observer, stop, .. } = *first.setup;
        let setup = ExamineSetup { stores, observer, stop, auxiliary_objects: self.options.auxiliary_objects };
        let (files, bad) = (AtomicU64::new(0), AtomicU64::new(0));
        // One read for all of them, as slow as the slowest line wants it.
        let reading = Reading::at_the_lowest_rate(self.dests.iter().map(|it| &it.reading), stop);
        let (giver, taker) = hand::over(1);
        let worker = || {
            let found = Mutex::new(Found::default());
            let examiner = Examiner::new(setup, &found, "run").at_rate_of(reading.clone());
            while let Some(batch) = taker.take() {
                match self.take(&examiner, &found, batch) {
                    Ok(looked) => {
                        files.fetch_add(looked.files, Ordering::Relaxed);
                        bad.fetch_add(looked.bad, Ordering::Relaxed);
                    }
                    Err(error) => self.abort(ExitStatus::from(&error), &chain(&error)),
                }
            }
        };
        let broke = |why: String| self.abort(ExitStatus::NotSafe, &why);
        let hand_out = |is_busy: &dyn Fn() -> bool| self.hand_out(wanted, entries, giver, is_busy);
        pool::work(self.options.jobs, worker, broke, hand_out).1?;
        Ok(Looked { files: files.into_inner(), bad: bad.into_inner() })
    }

    fn abort(&self, ending: ExitStatus, why: &str) {
        self.dests.iter().for_each(|it| it.tally.abort(ending, why.to_owned()));
    }

    fn hand_out(
        &self,
        wanted: &BTreeMap<DvObjectId, Wanted>,
        entries: impl Iterator<Item = io::Result<Subject>>,
        giver: Giver<Batch>,
        is_busy: &dyn Fn() -> bool,
    ) -> Result<(), RunError> {
        let (mut batch, mut left) = (Batch::new(), wanted.len());
        for entry in entries {
            let failed = |source| RunError::Spool { folder: self.options.spool_folder.clone(), source };
            let Subject::DataFile(file) = entry.map_err(failed)? else { continue };
            let Some(why) = wanted.get(&file.id) else { continue };
            batch.push((file, *why));
            left -= 1;
            if (batch.len() == BATCH || left == 0)
                && (!self.goes_on() || !giver.give(std::mem::take(&mut batch), is_busy))
            {
                return Ok(());
            }
            if left == 0 {
                return Ok(());
            }
        }
        giver.give(batch, is_busy);
        Ok(())
    }

    fn take(&self, examiner: &Examiner<'_>, found: &Mutex<Found>, batch: Batch) -> Result<Looked, RunError> {
        let ids: Vec<DvObjectId> = batch.iter().map(|it| it.0.id).collect();
        let mut known = Known::default();
        for dest in self.dests.iter().filter(|_| !ids.is_empty()) {
            known.add(dest.setup.destination, dest.setup.ledger.copies(dest.setup.destination, &ids)?);
        }
        let mut looked = Looked::default();
        let mut outcomes = Vec::new();
        for (file, wanted) in batch {
            if !self.goes_on() {
                break;
            }
            if wanted.only_original && !needs_original(&file, &known) {
                looked.files += 1;
                continue;
            }
            let subject = subject(file, self.options.auxiliary_objects);
            let to_record = examiner.look_at(&subject, &known);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let all = std::mem::take(&mut *found);
            drop(found);
            if all.files == AuditCounts::default() {
                // It was told to stop.
                break;
            }
            looked.files += 1;
            let findings: Vec<AuditFinding> = all.findings.into_iter().filter(|it| it.what.is_bad()).collect();
            let Subject::DataFile(file) = subject.line.subject else { continue };
            looked.bad += u64::from(!findings.is_empty());
            let unusable = all.unusable;
            outcomes.push(Outcome { file, wanted, to_record, findings, unusable });
        }
        self.record(&outcomes)?;
        outcomes.iter().for_each(|it| self.enter(it));
        Ok(looked)
    }

    fn record(&self, outcomes: &[Outcome]) -> Result<(), RunError> {
        let incidents: Vec<_> = outcomes.iter().flat_map(|it| it.to_record.found.iter().cloned()).collect();
        if let Some(dest) = self.dests.first().filter(|_| !incidents.is_empty()) {
            dest.setup.ledger.record_incidents(&dest.options.run, &incidents, &[])?;
        }
        for dest in self.dests {
            let mine = || outcomes.iter().filter(|it| it.wanted.is_of(dest));
            let (ledger, destination) = (dest.setup.ledger, dest.setup.destination);
            let damage: Vec<SourceDamage> = mine().filter_map(|it| it.to_record.damage.clone()).collect();
            if !damage.is_empty() {
                ledger.record_source_damage(destination, &dest.options.run, &damage)?;
                // The snapshot is to say so too.
                dest.tally.lock().changed = true;
            }
            let good: Vec<DvObjectId> =
                mine().filter(|it| it.to_record.good && self.marks_good).map(|it| it.file.id).collect();
            if !good.is_empty() {
                ledger.record_audited(destination, &good)?;
            }
        }
        Ok(())
    }

    fn enter(&self, outcome: &Outcome) {
        let Outcome { file, wanted, to_record, findings, unusable, .. } = outcome;
        let Some(first) = findings.first() else { return };
        let reason = findings.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>().join("; ");
        let is_damaged = findings.iter().any(|it| it.what.is_damage());
        let status = match (&to_record.damage, first.what) {
            (Some(damage), _) => damage.status,
            (None, Condition::Damaged | Condition::ChecksumChanged) => Status::FailChecksum,
            (None, _) => Status::FailRead,
        };
        for dest in self.dests.iter().filter(|it| wanted.is_of(it)) {
            let mut counts = dest.tally.lock();
            // What cannot be read now is as safe as it was.
            if is_damaged {
                counts.files.unchanged = counts.files.unchanged.saturating_sub(1);
                counts.files.failed += 1;
            }
            counts.source_damaged |= is_damaged;
            ExitStatus::worsen(&mut counts.unusable, *unusable);
            counts.not_safe = true;
            counts.failures.push(Finding {
                data_file_id: Some(file.id),
                dataset: file.dataset.as_ref().map(|it| it.pid.clone()),
                storage_identifier: file.storage_identifier.clone(),
                name: file.label(),
                status,
                reason: reason.clone(),
            });
        }
    }
}

/// What came of one data file.
struct Outcome {
    file: DataFile,
    wanted: Wanted,
    to_record: ToRecord,
    findings: Vec<AuditFinding>,
    unusable: Option<ExitStatus>,
}

/// The saved original of a data file that is not tabular was copied because the checksum was its own, or the data file was
/// tabular then: only the first one must still be there.
fn needs_original(file: &DataFile, known: &Known) -> bool {
    let checksum = RecordedChecksum::parse(&file.checksum_value);
    file.tabular.is_some() || known.of(file.id).owner_of(&checksum) == Some(ObjectRole::Original)
}

/// Its verdict stands: so the ledger has this very row.
fn subject(file: DataFile, auxiliary_objects: bool) -> Subjected {
    let fingerprint = fingerprint::of_data_file(&file, auxiliary_objects);
    let state = State {
        id: file.id,
        status: Status::Ok,
        fingerprint: fingerprint.clone(),
        provisional: false,
        gone: false,
        reason: None,
        basis: None,
        dataset: file.dataset.as_ref().map(|it| it.pid.clone()),
        audited_at: String::new(),
    };
    Subjected {
        acknowledged: None,
        line: Line { subject: Subject::DataFile(file), fingerprint, dests: Vec::new() },
        states: vec![state],
    }
}
