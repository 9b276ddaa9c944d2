//! An `audit` that several hosts share.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_ledger::Ledger;
use dvb_model::{DataFile, DriverId};
use dvb_storage::chain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AuditOptions, AuditSetup, AuditSummary, BATCH_BYTES, BATCH_FILES, Batches, Pass, begin_event, command, cuts, lock,
    plan, spool_error, summary,
};
use crate::command::cut::watched;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::time::now;
use crate::guard::Samples;
use crate::hosts::{self, Asking, Member, NewRanges, RANGES, Range, SharedSummary, Tallied, Task, Trouble};
use crate::source::examine::TriedStores;
use crate::source::findings::{Found, Subjected};
use crate::source::stores::{Access, Stores};

/// Data files in one range at most.
const RANGE_FILES: usize = 256;
/// Bytes in one range at least, and at most, unless one data file alone has more.
const RANGE_BYTES: (u64, u64) = (64 << 20, 4 << 30);

/// As [`audit`](super::audit()), together with all other hosts that call this for the same destinations. The ledger must be in
/// PostgreSQL. It goes on beside a run.
///
/// A host that gives no sign of life for the time of `lease` loses what it was at; the first host's counts for all.
///
/// # Errors
/// [`RunError`], when this host looked at no data file. What goes wrong later is in the summary.
pub fn audit_shared(
    setup: &AuditSetup<'_>,
    options: &AuditOptions,
    lease: Duration,
) -> Result<SharedSummary<AuditSummary>, RunError> {
    let stop = setup.stop.within(options.time_budget);
    let setup = AuditSetup { stop: &stop, ..*setup };
    watched(cuts(&setup), || {
        let started = now();
        let recorded = begin_event(&setup, options, &started)?;
        hosts::finish_event(&recorded, take_part(&setup, options, lease, started), |counts| counts)
    })
}

fn take_part(
    setup: &AuditSetup<'_>,
    own: &AuditOptions,
    lease: Duration,
    started: String,
) -> Result<SharedSummary<AuditSummary>, RunError> {
    let AuditSetup { ledger, observer, stop, destinations, .. } = *setup;
    let Some(destination) = destinations.first() else { return Err(RunError::NothingSelected) };
    let member = Member::join(Asking {
        ledger,
        observer,
        stop,
        command: command(),
        destination,
        beside: true,
        own: &own.run,
        host: &own.agent.host,
        parameters: parameters(setup, own),
        lease,
        jobs: own.jobs,
    })?;
    let options = AuditOptions { run: member.run().clone(), ..own.clone() };
    let task = SharedAudit { setup, options: &options, member: &member };
    member.take_part(&task)?.summary(|found, trouble| {
        let files = found.looked_at();
        let abort = trouble.or_else(|| Some(hosts::left_early()));
        Ok(summary(setup, &options, started, Found { abort, ..found }.of(files)))
    })
}

fn parameters(setup: &AuditSetup<'_>, options: &AuditOptions) -> Value {
    json!({
        "destinations": setup.destinations,
        "selection": hosts::selected(&options.selection),
        "older_than": options.older_than.map(|it| it.as_secs()),
        "sample": options.sample,
        "auxiliary_objects": options.auxiliary_objects,
    })
}

/// What the host that planned leaves to the others.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Data files that are looked at, and their bytes.
    files: u64,
    bytes: u64,
    /// Some of them, by which each host looks whether its stores are the right ones.
    samples: Vec<DataFile>,
    /// Stores that the host that planned could not use.
    out_of_reach: BTreeSet<DriverId>,
}

/// What one host works with, in an audit that several share.
struct SharedAudit<'a> {
    setup: &'a AuditSetup<'a>,
    /// The options as all hosts have them: the run's name is the shared one.
    options: &'a AuditOptions,
    member: &'a Member<'a>,
}

impl SharedAudit<'_> {
    /// A mount that is missing on one host alone is not a thousand missing files.
    fn refuse_other_stores(&self, samples: &Samples) -> Result<(), RunError> {
        let all = samples.stores().cloned().collect();
        let broke = |text| RunError::Together { text, ending: ExitStatus::NotSafe, hint: None };
        let doubts = samples.doubts(self.setup.stores, &all).map_err(broke)?;
        doubts.into_values().next().map_or(Ok(()), Err)
    }
}

/// Stores of which, from here, nothing can be read at all.
fn out_of_reach(stores: &Stores, samples: &Samples) -> BTreeSet<DriverId> {
    let is_out_of_reach = |driver: &&DriverId| match stores.by_id.get(*driver).map(|it| &it.access) {
        Some(Access::Readable(source)) => source.check().is_err(),
        Some(Access::Unavailable(_)) => true,
        Some(Access::Reference(_)) | None => false,
    };
    samples.stores().filter(is_out_of_reach).cloned().collect()
}

impl Task for SharedAudit<'_> {
    type Counts = Found;
    type Plan = Note;
    type Item = Subjected;
    type Place = TriedStores;
    type Hand = ();
    type Summary = AuditSummary;

    fn plan(&self, ledger: &dyn Ledger, ranges: &mut NewRanges<'_>) -> Result<Note, RunError> {
        let setup = AuditSetup { ledger, ..*self.setup };
        let mut samples = Samples::default();
        let mut plan = plan(&setup, self.options, &mut |file| samples.enter(file, setup.stores))?;
        self.refuse_other_stores(&samples)?;
        let failed = |source| spool_error(self.options, source);
        let files = usize::try_from(plan.files).unwrap_or(usize::MAX);
        let turn = plan.turn.read().map_err(failed)?.take(files).map(|it| it.map(|it| it.1));
        let of_range = usize::try_from(plan.files / RANGES).unwrap_or(usize::MAX).clamp(1, RANGE_FILES);
        let bytes = (plan.bytes / RANGES).clamp(RANGE_BYTES.0, RANGE_BYTES.1);
        for range in (Batches { turn, files: of_range, bytes }) {
            let range = range.map_err(failed)?;
            ranges.add(range.len(), &range)?;
        }
        Ok(Note {
            files: plan.files,
            bytes: plan.bytes,
            out_of_reach: out_of_reach(setup.stores, &samples),
            samples: samples.files().cloned().collect(),
        })
    }

    fn arrive(&self, plan: Note) -> Result<TriedStores, RunError> {
        let AuditSetup { stores, observer, .. } = *self.setup;
        let mut samples = Samples::default();
        plan.samples.iter().for_each(|it| samples.enter(it, stores));
        self.refuse_other_stores(&samples)?;
        // What only this host cannot read, the others can.
        if let Some(driver) = out_of_reach(stores, &samples).difference(&plan.out_of_reach).next() {
            let text = format!("the store {driver} cannot be used from this host, but from the one that planned");
            return Err(RunError::Together { text, ending: ExitStatus::Unreachable, hint: None });
        }
        observer.event(&Event::Planned { files: plan.files, bytes: plan.bytes });
        Ok(TriedStores::default())
    }

    fn work_on(&self, stores: &TriedStores, range: Range<'_, Subjected>, (): &mut ()) -> Found {
        let setup = AuditSetup { ledger: range.ledger, ..*self.setup };
        let (found, files) = (Mutex::default(), range.items.len() as u64);
        let pass = Pass { setup: &setup, options: self.options, found: &found };
        let examiner = pass.examiner().knowing(stores);
        let turn = range.items.into_iter().map(Ok);
        for batch in (Batches { turn, files: BATCH_FILES, bytes: BATCH_BYTES }) {
            if !pass.goes_on() {
                break;
            }
            if !self.member.presence.lock().is_held() {
                let why = "the connection to the backup database was lost".to_owned();
                lock(&found).abort.get_or_insert((ExitStatus::Unreachable, why));
                break;
            }
            if let Err(error) = pass.take(&examiner, batch.unwrap_or_default()) {
                lock(&found).abort.get_or_insert((ExitStatus::from(&error), chain(&error)));
            }
        }
        drop(examiner);
        found.into_inner().unwrap_or_else(PoisonError::into_inner).of(files)
    }

    fn close(&self, _: &TriedStores, ledger: &dyn Ledger, plan: Note, done: Found) -> Result<AuditSummary, RunError> {
        let setup = AuditSetup { ledger, ..*self.setup };
        Ok(summary(&setup, self.options, self.member.began(), done.of(plan.files)))
    }

    fn set_aside(&self, counts: &mut Found, _: u64, why: String) {
        counts.abort = Some((ExitStatus::NotSafe, why));
    }

    fn leave(&self, _: TriedStores) {}
}

impl Tallied for Found {
    fn of_trouble(trouble: Trouble) -> Self {
        Self { abort: Some(trouble), ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.add_part(other);
    }

    fn trouble(&self) -> Option<Trouble> {
        self.abort.clone()
    }

    fn is_cut(&self) -> bool {
        self.files.left > 0
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
