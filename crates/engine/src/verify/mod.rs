//! `verify`, from its lock to its summary: are the copies at the destination still what was proved?

mod join;

use std::sync::Arc;
use std::time::Duration;

use dvb_ledger::{Agent, CopyState, Ledger, LedgerCopy, LedgerError};
use dvb_model::{DestinationName, DriverId, ObjectKey, RunId};
use dvb_storage::Sink;
use serde::{Deserialize, Serialize};

use crate::command::acknowledged::Acknowledged;
use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::command::recorded::{Intent, LockedRun, Recorded, Report, gives_up, unsaid};
use crate::command::selection::Selection;
use crate::command::time::ago;
use crate::command::time::now;
use crate::copies::findings::{CopyCounts, Damage};
use crate::copies::list::{Copies, Wanted};
use crate::copies::locks::{LockCounts, Which, renew};
use crate::copies::pass::{Findings, Pass};
use crate::copies::probe::{PROBES, probe};
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};
use crate::guard::{self, Purpose};
pub use join::verify_shared;

/// What `verify` works with.
#[derive(Clone, Copy)]
pub struct VerifySetup<'a> {
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination.
    pub destination: &'a DestinationName,
    /// The destination itself, where sessions are opened.
    pub sink: &'a dyn Sink,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

/// How it goes about its work. There are no defaults: the caller says the limits.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Name of this run.
    pub run: RunId,
    /// Who gives the command, for the lock and the event log.
    pub agent: Agent,
    /// Only copies of these data files, as the ledger knows them; with an empty selection, all.
    pub selection: Selection,
    /// The store of identifiers without a prefix.
    pub default_store: DriverId,
    /// Only copies whose proof is older.
    pub older_than: Option<Duration>,
    /// Only this share of them, the least recently verified: 0.05 for 5 %.
    pub sample: Option<f64>,
    /// Workers, each with a session of its own; at least 1.
    pub jobs: usize,
    /// Begin no more work after this long.
    pub time_budget: Option<Duration>,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySummary {
    /// The command that this is the report of: `verify`.
    #[serde(skip_deserializing, default = "command")]
    pub command: &'static str,
    /// Name of the run.
    pub run_id: RunId,
    /// Name of the destination that it is about.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Copies in scope, by what the look at them has shown.
    pub copies: CopyCounts,
    /// Bytes of the good ones.
    pub bytes: u64,
    /// The first of those that are missing or other bytes; `copies` has their number.
    pub damaged: Vec<Damage>,
    /// The first of those that could not be read. Nothing is recorded of them.
    pub unreadable: Vec<Damage>,
    /// Locks that were due to be looked at, where the destination has locks and all copies were to be verified.
    pub locks: Option<LockCounts>,
    /// When the copy that was verified longest ago was verified; copies of what has left Dataverse aside.
    pub oldest_unverified: Option<String>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip, default = "unsaid")]
    pub ending: ExitStatus,
}

fn command() -> &'static str {
    "verify"
}

/// Compares copies at the destination with the ledger's digests, the least recently verified first, and records for each
/// that it is good, or damaged: the next run makes damaged ones again.
///
/// # Errors
/// [`RunError`], when no copy was looked at. What goes wrong later is in the [`VerifySummary`].
pub fn verify(setup: &VerifySetup<'_>, options: &VerifyOptions) -> Result<VerifySummary, RunError> {
    let stop = setup.stop.within(options.time_budget);
    let setup = VerifySetup { stop: &stop, ..*setup };
    watched(cuts(&setup), || {
        let started = now();
        begin_event(&setup, options, &started)?.finish(verify_under_lock(&setup, options, &started))
    })
}

fn cuts<'a>(setup: &'a VerifySetup<'_>) -> Vec<Cut<'a>> {
    vec![Cut::new(setup.stop, || setup.sink.interrupt()), Cut::databases(setup.stop, None, setup.ledger)]
}

fn begin_event<'a>(
    setup: &VerifySetup<'a>,
    options: &VerifyOptions,
    started: &str,
) -> Result<Recorded<'a>, LedgerError> {
    let VerifyOptions { run, agent, selection, .. } = options;
    let destinations = vec![setup.destination.clone()];
    let intent = Intent { command: "verify", run, agent, selection, destinations, overrides: Vec::new() };
    Recorded::begin(setup.ledger, &intent, started)
}

fn verify_under_lock(
    setup: &VerifySetup<'_>,
    options: &VerifyOptions,
    started: &str,
) -> Result<VerifySummary, RunError> {
    let VerifySetup { ledger, destination, .. } = *setup;
    let locked = LockedRun::lock(ledger, "verify", destination, (&options.run, &options.agent, started))?;
    locked.begin(destination, &options.agent, started)?;
    let looked = look(setup, options, locked.held());
    locked.finish(looked.and_then(|findings| Ok(summary(setup, options, started.to_owned(), findings)?)))
}

impl Report for VerifySummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.copies.checked
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({ "copies": self.copies, "bytes": self.bytes })
    }
}

fn look(setup: &VerifySetup<'_>, options: &VerifyOptions, lock: &dyn dvb_ledger::Lock) -> Result<Findings, RunError> {
    let VerifySetup { ledger, destination, sink, observer, stop } = *setup;
    let at = DestinationContext { ledger, destination, sink, observer, stop, run: &options.run };
    let filter = |it: &LedgerCopy| options.selection.has_copy(it, &options.default_store.0);
    let wanted = wanted(options, &filter);
    let contact = Contact::under_lock();
    let plan = plan(at, &contact, &wanted, options)?;
    arrive(at, &contact, &plan)?;
    if plan.count == 0 {
        return Ok(with_locks(at, &contact, lock, options, Findings::default()));
    }
    let findings = Pass::new((at, &contact, "verify"), lock, Copies::new(at, &wanted), plan.count, options.jobs)
        .knowing(Arc::new(Acknowledged::at(ledger, destination)?))
        .work();
    Ok(with_locks(at, &contact, lock, options, findings))
}

/// Sees to the locks of copies, where all of them were to be verified.
fn with_locks(
    at: DestinationContext<'_>,
    contact: &Contact,
    lock: &dyn dvb_ledger::Lock,
    options: &VerifyOptions,
    mut findings: Findings,
) -> Findings {
    if !options.selection.is_everything() || findings.abort.is_some() {
        return findings;
    }
    let mut connection = Connection::new(at, contact);
    match renew(at, &mut connection, lock, Which::All) {
        Ok(locks) => {
            if let Some(text) = locks.as_ref().and_then(LockCounts::trouble) {
                at.observer.event(&Event::Warning(&format!("destination {}: {text}", at.destination)));
            }
            findings.locks = locks;
        }
        Err(Interrupted::Stopped) => {}
        Err(Interrupted::Run(ending, why)) => findings.abort = Some((ending, why)),
        Err(Interrupted::Session(error)) => {
            findings.abort = Some((ExitStatus::of_cause(error.cause), error.chain()));
        }
    }
    connection.clean_up();
    findings
}

fn wanted<'a>(options: &VerifyOptions, filter: &'a (dyn Fn(&LedgerCopy) -> bool + Sync)) -> Wanted<'a> {
    Wanted { damaged: true, before: options.older_than.map(ago), filter }
}

/// What is to be looked at. Where there is nothing at all, that is an error.
fn plan(
    at: DestinationContext<'_>,
    contact: &Contact,
    wanted: &Wanted<'_>,
    options: &VerifyOptions,
) -> Result<Plan, RunError> {
    at.ledger.distrust(at.destination, &options.run)?;
    let plan = count(at, wanted, options.sample)?;
    if plan.count == 0 {
        let any = Wanted { damaged: true, before: None, filter: wanted.filter };
        if Copies::new(at, &any).next()?.is_none() {
            return Err(of_nothing(at, contact, options));
        }
    }
    Ok(plan)
}

/// Looks whether the destination is the right one, and the copies are there at all.
fn arrive(at: DestinationContext<'_>, contact: &Contact, plan: &Plan) -> Result<(), RunError> {
    if plan.count > 0 && at.stop.may_begin() {
        guard::refuse_other_place(at, contact, Purpose::Reading)?;
        probe(at, contact, &plan.probes)?;
    }
    at.observer.event(&Event::Planned { files: plan.count, bytes: plan.bytes });
    Ok(())
}

/// What never had a copy is not safe, whatever lies at the destination; and one that is not there is said to be that.
fn of_nothing(at: DestinationContext<'_>, contact: &Contact, options: &VerifyOptions) -> RunError {
    let destination = at.destination.0.clone();
    if !options.selection.is_everything() {
        return RunError::NoCopies { destination };
    }
    let mut connection = Connection::new(at, contact);
    match connection.with(|_| Ok(())) {
        Err(Interrupted::Run(ending, text)) => return RunError::Destination { text, ending },
        Ok(()) | Err(Interrupted::Session(_) | Interrupted::Stopped) => connection.clean_up(),
    }
    RunError::NothingToVerify { destination }
}

#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    count: u64,
    bytes: u64,
    /// Some of the copies, from anywhere in the list.
    probes: Vec<ObjectKey>,
}

/// Counts what is wanted.
fn count(at: DestinationContext<'_>, wanted: &Wanted<'_>, sample: Option<f64>) -> Result<Plan, LedgerError> {
    let mut copies = Copies::new(at, wanted);
    let mut plan = Plan { count: 0, bytes: 0, probes: Vec::new() };
    let (mut known_bad, mut bad_bytes) = (0, 0);
    while let Some(held) = copies.next()? {
        if held.copy.state == CopyState::Damaged {
            // Looked at in any case, and no sign of anything new where they are missing.
            (known_bad, bad_bytes) = (known_bad + 1, bad_bytes + held.copy.size.unwrap_or(0));
            continue;
        }
        plan.count += 1;
        plan.bytes += held.copy.size.unwrap_or(0);
        if plan.probes.len() < PROBES.into() {
            plan.probes.push(held.copy.key);
        } else {
            // Each copy of the list has the same chance to be among them.
            let n = usize::try_from(fastrand::u64(..plan.count)).unwrap_or(usize::MAX);
            if let Some(probe) = plan.probes.get_mut(n) {
                *probe = held.copy.key;
            }
        }
        if plan.count.is_multiple_of(1024) && !at.stop.may_begin() {
            break;
        }
    }
    if let Some(sample) = sample {
        // Casts of a share: what is lost above 2^52 copies does no harm.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let part = |it: u64| ((it as f64 * sample).ceil() as u64).min(it);
        (plan.count, plan.bytes) = (part(plan.count), part(plan.bytes));
    }
    (plan.count, plan.bytes) = (plan.count + known_bad, plan.bytes + bad_bytes);
    Ok(plan)
}

fn summary(
    setup: &VerifySetup<'_>,
    options: &VerifyOptions,
    started: String,
    findings: Findings,
) -> Result<VerifySummary, LedgerError> {
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok());
    let ending = findings.ending(signal);
    Ok(VerifySummary {
        command: command(),
        run_id: options.run.clone(),
        destination: setup.destination.clone(),
        started,
        finished: now(),
        copies: findings.copies,
        bytes: findings.bytes,
        damaged: findings.damaged,
        unreadable: findings.unreadable,
        locks: findings.locks,
        oldest_unverified: setup.ledger.oldest_proof(setup.destination)?,
        aborted: findings.abort.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    })
}
