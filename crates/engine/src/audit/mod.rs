//! `audit`: are Dataverse's own stores still what Dataverse recorded, and what was first seen? It changes nothing there,
//! nor at a destination. What is missing or damaged is recorded, so that the next run looks at it, and `repair` knows.

mod join;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dvb_catalog::{Catalog, Detail, Entry};
use dvb_ledger::{Agent, EntryKind, Ledger, LedgerError, State};
use dvb_model::{DataFile, DestinationName, DvObjectId, RunId};
use dvb_storage::chain;
use serde::{Deserialize, Serialize};

use crate::catalogue::in_step::InStep;
use crate::catalogue::sorted::Sorted;
use crate::catalogue::spool::{Line, Spool, Subject};
use crate::command::acknowledged::Acknowledged;
use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::command::pool;
use crate::command::purged::Buried;
use crate::command::recorded::{Intent, Recorded, Report, gives_up, unsaid};
use crate::command::selection::Selection;
use crate::command::time::{ago, now};
use crate::source::examine::{ExamineSetup, Examiner, Known, is_bad};
use crate::source::findings::{AuditCounts, AuditFinding, Found, Subjected};
use crate::source::fingerprint;
use crate::source::stores::Stores;
pub use join::audit_shared;

/// Data files in one batch: each asks the ledger once.
const BATCH_FILES: usize = 64;
/// Bytes in one batch, unless one data file alone has more.
const BATCH_BYTES: u64 = 64 << 20;

/// How long to wait for a worker that takes the next batch, before another look.
const PAUSE: Duration = Duration::from_millis(2);

/// What `audit` works with.
#[derive(Clone, Copy)]
pub struct AuditSetup<'a> {
    /// What should exist: Dataverse's database, or a snapshot of it.
    pub catalog: &'a dyn Catalog,
    /// Where its bytes are.
    pub stores: &'a Stores,
    /// The digests that were first seen.
    pub ledger: &'a dyn Ledger,
    /// Destinations whose copies give these digests.
    pub destinations: &'a [DestinationName],
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

/// How it goes about its work. There are no defaults: the caller says the limits.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// Name of this run.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Only these data files; with an empty selection, all.
    pub selection: Selection,
    /// Only those that were not looked at for so long, or that were damaged, missing or unreadable at the last look.
    pub older_than: Option<Duration>,
    /// Only this share of them, those that were looked at longest ago: 0.05 for 5 %.
    pub sample: Option<f64>,
    /// Workers; at least 1.
    pub jobs: usize,
    /// Begin no more work after this long.
    pub time_budget: Option<Duration>,
    /// Look at auxiliary files and provenance too.
    pub auxiliary_objects: bool,
    /// A folder with room for two lists of the data files (about 200 bytes each).
    pub spool_folder: PathBuf,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSummary {
    /// The command that this is the report of: `audit`.
    #[serde(skip_deserializing, default = "command")]
    pub command: &'static str,
    /// Name of the run.
    pub run_id: RunId,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Data files in scope.
    pub files: AuditCounts,
    /// Bytes that were read in the stores.
    pub bytes: u64,
    /// The first findings, up to [`LISTED`](crate::LISTED) of them.
    pub findings: Vec<AuditFinding>,
    /// How many findings there are; `findings` has the first of them.
    pub findings_total: u64,
    /// What the stores have met that belongs to no data file.
    pub notes: Vec<String>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip, default = "unsaid")]
    pub ending: ExitStatus,
}

fn command() -> &'static str {
    "audit"
}

/// Reads every data file in scope in Dataverse's own stores and compares it with Dataverse's checksum and with the digest
/// that was first seen; those first that were looked at longest ago, by what the ledger says of these destinations. Nothing
/// is copied. A data file that was safe and is missing or damaged is recorded as not safe.
///
/// # Errors
/// [`RunError`], when no data file was looked at. What goes wrong later is in the [`AuditSummary`].
pub fn audit(setup: &AuditSetup<'_>, options: &AuditOptions) -> Result<AuditSummary, RunError> {
    let stop = setup.stop.within(options.time_budget);
    let setup = AuditSetup { stop: &stop, ..*setup };
    watched(cuts(&setup), || {
        let started = now();
        begin_event(&setup, options, &started)?.finish(audit_stores(&setup, options, started))
    })
}

fn cuts<'a>(setup: &'a AuditSetup<'_>) -> Vec<Cut<'a>> {
    let databases = Cut::databases(setup.stop, Some(setup.catalog), setup.ledger);
    vec![Cut::new(setup.stop, || setup.stores.interrupt()), databases]
}

fn begin_event<'a>(setup: &AuditSetup<'a>, options: &AuditOptions, started: &str) -> Result<Recorded<'a>, LedgerError> {
    let AuditOptions { run, agent, selection, .. } = options;
    let destinations = setup.destinations.to_vec();
    let intent = Intent { command: "audit", run, agent, selection, destinations, overrides: Vec::new() };
    Recorded::begin(setup.ledger, &intent, started)
}

impl Report for AuditSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.files.catalogued
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({ "files": self.files, "bytes": self.bytes, "findings": self.findings_total })
    }
}

fn audit_stores(setup: &AuditSetup<'_>, options: &AuditOptions, started: String) -> Result<AuditSummary, RunError> {
    let mut plan = plan(setup, options, &mut |_| {})?;
    setup.observer.event(&Event::Planned { files: plan.files, bytes: plan.bytes });
    let files = usize::try_from(plan.files).unwrap_or(usize::MAX);
    let turn = plan.turn.read().map_err(|source| spool_error(options, source))?.take(files);
    let found = Mutex::new(Found::default());
    let pass = Pass { setup, options, found: &found };
    if let Err(error) = pass.work(turn.map(|next| next.map(|(_, entry)| entry))) {
        lock(&found).abort.get_or_insert((ExitStatus::from(&error), chain(&error)));
    }
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner).of(plan.files);
    Ok(summary(setup, options, started, found))
}

fn summary(setup: &AuditSetup<'_>, options: &AuditOptions, started: String, found: Found) -> AuditSummary {
    let ending = found.ending(setup.stop.signalled().and_then(|it| u8::try_from(it).ok()));
    AuditSummary {
        command: command(),
        run_id: options.run.clone(),
        started,
        finished: now(),
        files: found.files,
        bytes: found.bytes,
        findings: found.findings,
        findings_total: found.findings_total,
        notes: setup.stores.notes(),
        aborted: found.abort.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    }
}

struct Plan {
    /// Those that are looked at, and more, by when they were looked at last.
    turn: Sorted,
    /// Data files that are looked at.
    files: u64,
    bytes: u64,
}

/// Reads the catalogue to its end before any store, so that its transaction is short; then puts it in order by what the
/// ledger knows. Every data file of the selection is shown to `meet`.
fn plan(setup: &AuditSetup<'_>, options: &AuditOptions, meet: &mut dyn FnMut(&DataFile)) -> Result<Plan, RunError> {
    let (mut spool, seen) = selected(setup, options, meet)?;
    if seen == 0 && !options.selection.is_everything() {
        return Err(RunError::NothingSelected);
    }
    let mut plan = Plan { turn: Sorted::new(&options.spool_folder), files: 0, bytes: 0 };
    let before = options.older_than.map(ago);
    let AuditSetup { ledger, destinations, .. } = setup;
    let mut all_states: Vec<InStep<'_, State>> =
        destinations.iter().map(|it| InStep::states(*ledger, it, EntryKind::DataFile)).collect();
    let acknowledged_at: Vec<Acknowledged> =
        destinations.iter().map(|destination| Acknowledged::at(*ledger, destination)).collect::<Result<_, _>>()?;
    for line in spool.read().map_err(|source| spool_error(options, source))? {
        let line = line.map_err(|source| spool_error(options, source))?;
        let id = line.subject.id();
        let (mut states, mut acknowledged) = (Vec::new(), None);
        for (of_destination, known) in all_states.iter_mut().zip(&acknowledged_at) {
            let Some(state) = of_destination.find(id)? else { continue };
            if known.holds_at_source(id, state.status, &line.fingerprint) {
                acknowledged = Some(state.status);
            }
            states.push(state);
        }
        let last_look = states.iter().map(|it| it.audited_at.as_str()).max().unwrap_or_default().to_owned();
        let was_bad = states.iter().any(|it| is_bad(it.status));
        if before.as_ref().is_some_and(|it| last_look >= *it) && !was_bad {
            continue;
        }
        plan.files += 1;
        plan.bytes += line.subject.bytes();
        // Never is the empty string, which comes first.
        let key = format!("{last_look} {:020}", id.0);
        plan.turn
            .push(key, &Subjected { acknowledged, line, states })
            .map_err(|source| spool_error(options, source))?;
    }
    if let Some(sample) = options.sample {
        // Casts of a share: what is lost above 2^52 files does no harm.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let part = |it: u64| ((it as f64 * sample).ceil() as u64).min(it);
        (plan.files, plan.bytes) = (part(plan.files), part(plan.bytes));
    }
    Ok(plan)
}

/// The data files of the selection, in the order of the catalogue, and their number.
fn selected(
    setup: &AuditSetup<'_>,
    options: &AuditOptions,
    meet: &mut dyn FnMut(&DataFile),
) -> Result<(Spool<Line>, u64), RunError> {
    let mut spool = Spool::create(&options.spool_folder).map_err(|source| spool_error(options, source))?;
    let (mut seen, mut failure) = (0, None);
    let buried = Buried::known(setup.ledger)?;
    setup.catalog.read(Detail::Full, &mut |entry| {
        let Entry::DataFile(file) = entry else { return ControlFlow::Continue(()) };
        if !options.selection.has(&file, &setup.stores.default.0) {
            return ControlFlow::Continue(());
        }
        seen += 1;
        // Nobody asks any more whether its bytes are what they were.
        if buried.has(file.id) {
            return ControlFlow::Continue(());
        }
        meet(&file);
        let fingerprint = fingerprint::of_data_file(&file, options.auxiliary_objects);
        let pushed = spool.push(&Line { subject: Subject::DataFile(file), fingerprint, dests: Vec::new() });
        match pushed {
            // All of them are counted, also where there is no time left to read any.
            Ok(()) if !setup.stop.may_go_on() => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok((spool, seen)), |it| Err(spool_error(options, it)))
}

fn spool_error(options: &AuditOptions, source: std::io::Error) -> RunError {
    RunError::Spool { folder: options.spool_folder.clone(), source }
}

struct Pass<'a> {
    setup: &'a AuditSetup<'a>,
    options: &'a AuditOptions,
    found: &'a Mutex<Found>,
}

fn lock(found: &Mutex<Found>) -> std::sync::MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pass<'_> {
    fn goes_on(&self) -> bool {
        self.setup.stop.may_begin() && lock(self.found).abort.is_none()
    }

    fn examiner(&self) -> Examiner<'_> {
        let AuditSetup { stores, observer, stop, .. } = *self.setup;
        let setup = ExamineSetup { stores, observer, stop, auxiliary_objects: self.options.auxiliary_objects };
        Examiner::new(setup, self.found, command())
    }

    /// One thread walks the list, the others read what it hands out.
    fn work(&self, turn: impl Iterator<Item = std::io::Result<Subjected>>) -> Result<(), RunError> {
        let (sender, receiver) = sync_channel(1);
        let receiver = Mutex::new(receiver);
        let examiner = self.examiner();
        let worker = || {
            // What was handed out already and comes too late is left, like the rest.
            while let Some(batch) = next(&receiver).filter(|_| self.goes_on()) {
                if let Err(error) = self.take(&examiner, batch) {
                    self.abort(ExitStatus::from(&error), chain(&error));
                }
            }
        };
        let broke = |why| self.abort(ExitStatus::NotSafe, why);
        let (_, handed_out) = pool::work(self.options.jobs, worker, broke, |_| self.hand_out(turn, sender));
        handed_out
    }

    fn abort(&self, ending: ExitStatus, why: String) {
        lock(self.found).abort.get_or_insert((ending, why));
    }

    fn take(&self, examiner: &Examiner<'_>, batch: Vec<Subjected>) -> Result<(), LedgerError> {
        let ids: Vec<DvObjectId> = batch.iter().filter_map(|it| it.states.first()).map(|it| it.id).collect();
        let mut known = Known::default();
        for destination in self.setup.destinations {
            if !ids.is_empty() {
                known.add(destination, self.setup.ledger.copies(destination, &ids)?);
            }
        }
        let looked = batch.iter().take_while(|_| self.goes_on());
        let (mut damage, mut found, mut looked_at) = (Vec::new(), Vec::new(), Vec::new());
        for looked in looked {
            let to_record = examiner.look_at(looked, &known);
            looked_at.extend(looked.states.first().filter(|_| to_record.looked_at).map(|it| it.id));
            damage.extend(to_record.damage);
            found.extend(to_record.found);
        }
        if !found.is_empty() {
            self.setup.ledger.record_incidents(&self.options.run, &found, &[])?;
        }
        if !damage.is_empty() {
            for destination in self.setup.destinations {
                self.setup.ledger.record_source_damage(destination, &self.options.run, &damage)?;
            }
        }
        // Whatever was found: what is bad must not come first again before all others had their turn.
        for destination in self.setup.destinations.iter().filter(|_| !looked_at.is_empty()) {
            self.setup.ledger.record_audited(destination, &looked_at)?;
        }
        Ok(())
    }

    fn hand_out(
        &self,
        turn: impl Iterator<Item = std::io::Result<Subjected>>,
        sender: SyncSender<Vec<Subjected>>,
    ) -> Result<(), RunError> {
        for batch in (Batches { turn, files: BATCH_FILES, bytes: BATCH_BYTES }) {
            let batch = batch.map_err(|source| spool_error(self.options, source))?;
            if !self.hand(&sender, batch) {
                break;
            }
        }
        Ok(())
    }

    /// Hands a batch to a worker, unless it is over: then nobody may be left to take it.
    fn hand(&self, sender: &SyncSender<Vec<Subjected>>, mut batch: Vec<Subjected>) -> bool {
        while self.goes_on() {
            batch = match sender.try_send(batch) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(it)) => it,
            };
            thread::sleep(PAUSE);
        }
        false
    }
}

/// What comes one after the other, some together: so many data files, or until there are more bytes.
struct Batches<I> {
    turn: I,
    files: usize,
    bytes: u64,
}

impl<I: Iterator<Item = std::io::Result<Subjected>>> Iterator for Batches<I> {
    type Item = std::io::Result<Vec<Subjected>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        while batch.len() < self.files && bytes <= self.bytes {
            match self.turn.next() {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(subject)) => {
                    bytes = bytes.saturating_add(subject.line.subject.bytes());
                    batch.push(subject);
                }
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}

fn next(receiver: &Mutex<Receiver<Vec<Subjected>>>) -> Option<Vec<Subjected>> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
