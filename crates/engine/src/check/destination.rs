//! A destination: whose it is, what it is able to do, and whether there is room for what is due.

use std::time::Duration;

use dvb_catalog::Catalog;
use dvb_fixity::Evidence;
use dvb_ledger::Ledger;
use dvb_model::{DestinationName, ObjectKey};
use dvb_storage::{Cause, LockTrial, Sink, SinkError, SinkSession, Unstaged};

use super::check_run;
use crate::command::cancel::CancelToken;
use crate::command::error::RunError;
use crate::command::observer::NullObserver;
use crate::guard::{Examined, PrepareOptions, PrepareSetup, Samples, examine, put_own};
use crate::run::options::Options;
use crate::run::summary::{Due, Summary};
use crate::run::{Setup, run_together};
use crate::source::stores::Stores;

/// Size of what is written to a destination and removed again, in bytes.
const PROBE: usize = 100_000;
/// How its name begins.
const PROBE_NAME: &str = "check-";

/// What destinations are checked with.
#[derive(Clone, Copy)]
pub struct CheckSetup<'a> {
    /// What should exist; `None` where it cannot be read: then nobody knows what is due.
    pub catalog: Option<&'a dyn Catalog>,
    /// Where its bytes are: a destination must not be there.
    pub stores: &'a Stores,
    /// Objects of the stores, of [`check_catalogue`](super::check_catalogue).
    pub samples: &'a Samples,
    /// What knows the destinations.
    pub ledger: &'a dyn Ledger,
    /// It is the ledger of the configuration, or as new as that one. One that only stands in for a ledger that cannot be used
    /// cannot tell whose a destination is, nor what is due: the place is proved all the same.
    pub is_known: bool,
    /// All destinations of the configuration.
    pub destinations: &'a [(&'a DestinationName, &'a dyn Sink)],
}

/// How. There are no defaults.
#[derive(Clone)]
pub struct CheckOptions {
    /// Name of this host.
    pub host: String,
    /// How long stores are searched for each destination.
    pub patience: Duration,
    /// Those of a run, to find out what is due; its `dry_run` is set, whatever it says.
    pub run: Options,
}

/// What a destination is, and what it is able to do.
#[derive(Debug)]
pub struct DestinationCheck {
    /// Whose it is, and that it is a place of its own.
    pub examined: Examined,
    /// What a probe has shown; `None` where the folder or container is not there: it would be made.
    pub probed: Option<Probed>,
    /// Bytes that are free there, where it tells.
    pub free: Option<u64>,
    /// Why that could not be asked, where it tells and an error came instead.
    pub unmeasured: Option<String>,
    /// What a run would have to do, where that can be found out.
    pub due: Option<Due>,
}

impl DestinationCheck {
    /// There is known to be less room than what is due.
    #[must_use]
    pub fn is_too_small(&self) -> bool {
        matches!((self.free, self.due), (Some(free), Some(due)) if free < due.bytes)
    }
}

/// What a probe has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// How copies are proved there.
    pub evidence: Evidence,
    /// The probe's key, where the account may remove nothing (append-only, which copies do not need).
    pub left: Option<ObjectKey>,
    /// Whether the lock that copies are to have there holds; `None` where they are to have none.
    pub lock: Option<LockTrial>,
    /// Why what dead runs have left is not looked for, where the account may list nothing (which copies do not need).
    pub unlisted: Option<String>,
}

/// Checks each destination when its turn comes: proves that it is a place of its own and this installation's, writes,
/// proves, renames and removes a probe, and asks how much room there is. The n-th answer is the n-th destination's.
///
/// Errors of an answer: [`RunError`], when no run could store anything there.
pub fn check_destinations<'a>(
    setup: &CheckSetup<'a>,
    options: &CheckOptions,
) -> impl Iterator<Item = Result<DestinationCheck, RunError>> + use<'a> {
    let CheckSetup { stores, samples, ledger, destinations, .. } = *setup;
    let examining = examining(options, setup.is_known);
    let mut examined = examine(&PrepareSetup { stores, samples, ledger, destinations }, &examining).into_iter();
    let mut planned = plan(setup, options).into_iter();
    destinations.iter().map(move |(_, sink)| {
        // One answer a destination.
        let examined = examined.next().unwrap_or(Err(RunError::NothingSelected))?;
        let planned = planned.next().flatten();
        let probed = probe_destination(*sink)?;
        let due = planned.transpose()?.map(|it| it.due);
        let room = probed.as_ref().map_or(Ok(None), |_| sink.room());
        let (free, unmeasured) = match room {
            Ok(room) => (room.map(|it| it.free), None),
            Err(error) => (None, Some(error.chain())),
        };
        Ok(DestinationCheck { examined, probed, free, unmeasured, due })
    })
}

fn examining(options: &CheckOptions, is_known: bool) -> PrepareOptions {
    PrepareOptions {
        run: check_run(),
        host: options.host.clone(),
        // Nothing is left there, so nobody reads what it was read from.
        catalogue: String::new(),
        // Nobody can tell that it is another installation's.
        take_over: !is_known,
        patience: options.patience,
    }
}

/// What a run would have to look at, for each destination, or why there would be none; nothing where that cannot be said.
fn plan(setup: &CheckSetup<'_>, options: &CheckOptions) -> Vec<Option<Result<Summary, RunError>>> {
    let (Some(catalog), ledger) = (setup.catalog.filter(|_| setup.is_known), setup.ledger) else { return Vec::new() };
    let (stores, stop) = (setup.stores, CancelToken::new());
    let runs: Vec<_> = setup
        .destinations
        .iter()
        .map(|(destination, sink)| {
            let observer = &NullObserver;
            let setup = Setup { catalog, stores, ledger, destination, sink: *sink, observer, stop: &stop };
            (setup, Options { dry_run: true, ..options.run.clone() })
        })
        .collect();
    run_together(&runs).into_iter().map(would_run).collect()
}

/// A run that its own brakes would stop is none.
fn would_run(planned: Result<Summary, RunError>) -> Option<Result<Summary, RunError>> {
    match planned {
        // A Dataverse without data files is no mistake.
        Err(RunError::NothingSelected) => None,
        Ok(Summary { aborted: Some(text), ending, hint, .. }) => Some(Err(RunError::Together { text, ending, hint })),
        planned => Some(planned),
    }
}

/// Writes, proves, renames and removes an object in the folder that is the backup's own; `None` where the destination is not
/// there.
///
/// # Errors
/// [`RunError::Probe`].
pub fn probe_destination(sink: &dyn Sink) -> Result<Option<Probed>, RunError> {
    let run = check_run();
    let mut session = match sink.connect(&run) {
        Err(error) if error.cause == Cause::Absent => return Ok(None),
        connected => connected.map_err(failed)?,
    };
    // One that could not be removed is used again. Where the account may list nothing, nobody knows of one.
    let left = match session.list_own(PROBE_NAME) {
        Err(error) if error.cause == Cause::Forbidden => None,
        listed => listed.map_err(failed)?.into_iter().next(),
    };
    let key = own(left.as_deref().unwrap_or(&format!("{PROBE_NAME}{run}")))?;
    let renamed = own(&format!("{PROBE_NAME}{run}-renamed"))?;
    let done = pass_through(session.as_mut(), &key, &renamed, left.is_some());
    if done.is_err() {
        // What is left of it: where it cannot be removed, the error at hand says more.
        let _ = session.remove_own(&key);
        let _ = session.remove_own(&renamed);
    }
    let lock = if done.is_ok() { session.try_lock() } else { Ok(None) };
    let swept = session.sweep(&|it| *it == run);
    let evidence = session.evidence();
    let removed = done?;
    let unlisted = match swept {
        Err(error) if error.cause == Cause::Forbidden => Some(error.chain()),
        swept => swept.map(|_| None).map_err(failed)?,
    };
    Ok(Some(Probed { evidence, left: (!removed).then_some(renamed), lock: lock.map_err(failed)?, unlisted }))
}

fn failed(error: SinkError) -> RunError {
    Unstaged::from(error).into()
}

fn own(name: &str) -> Result<ObjectKey, RunError> {
    let refused = |it| failed(SinkError::because(Cause::Refused, format!("cannot name a probe {name:?}"), it));
    ObjectKey::own(name).map_err(refused)
}

/// Whether it could be removed in the end.
fn pass_through(
    session: &mut dyn SinkSession,
    key: &ObjectKey,
    renamed: &ObjectKey,
    replace: bool,
) -> Result<bool, RunError> {
    let bytes = std::iter::repeat_with(|| fastrand::u8(..)).take(PROBE).collect();
    put_own(session, key, bytes, replace).map_err(failed)??;
    session.rename(key, renamed).map_err(failed)?;
    match session.remove_own(renamed) {
        Ok(()) => Ok(true),
        Err(error) if error.cause == Cause::Forbidden => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
