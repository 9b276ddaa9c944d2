//! Destinations before the first run: `init` makes and marks them, `check` looks what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dvb_ledger::Ledger;
use dvb_model::{DestinationName, DriverId, RunId};
use dvb_storage::{Cause, Sink, SinkError, SinkSession};
use serde::Serialize;

use super::token::{Beyond, prove_apart};
use super::{Claimant, Identity, Samples, Standing, identity};
use crate::command::error::RunError;
use crate::source::stores::Stores;

/// What destinations are looked at with.
#[derive(Clone, Copy)]
pub struct PrepareSetup<'a> {
    /// Where the source's bytes are: a destination must not be there.
    pub stores: &'a Stores,
    /// Objects of the stores, as far as the catalogue could be read.
    pub samples: &'a Samples,
    /// What knows the destinations, or is to.
    pub ledger: &'a dyn Ledger,
    /// All destinations of the configuration.
    pub destinations: &'a [(&'a DestinationName, &'a dyn Sink)],
}

/// How. There are no defaults.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// Names the temporaries that are made for the proof.
    pub run: RunId,
    /// Name of this host.
    pub host: String,
    /// Where the catalogue is read from, for people who find the destination.
    pub catalogue: String,
    /// Destinations of other installations, and those that nobody knows whose they are, become this one's.
    pub take_over: bool,
    /// How long stores are searched for each destination.
    pub patience: Duration,
}

/// A destination that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// The folder or container was made.
    pub made: bool,
    /// It carries the installation's id from now on.
    pub marked: bool,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The folder or container is not there: [`prepare`], or the first run, makes it.
    pub is_new: bool,
    /// Its id, where it carries one.
    pub owner: Option<crate::command::owner::Owner>,
    /// Stores that could not be searched to their end, with the reason.
    pub unfinished: BTreeMap<DriverId, String>,
}

static NONE: BTreeSet<DriverId> = BTreeSet::new();

/// One that somebody went to.
struct Ground {
    session: Box<dyn SinkSession>,
    standing: Standing,
    made: bool,
}

/// All other destinations that somebody went to.
type Others<'a, 'b> = Vec<(&'a DestinationName, &'b mut dyn SinkSession)>;

/// Makes each destination that is not there, proves that it is a place of its own, and leaves the installation's id in it.
/// Calling it once more changes nothing. The n-th answer is the n-th destination's.
pub fn prepare(setup: &PrepareSetup<'_>, options: &PrepareOptions) -> Vec<Result<Prepared, RunError>> {
    let enter = |(name, sink): &(&DestinationName, &dyn Sink)| {
        let absent = match visit(setup, options, name, *sink)? {
            Ok(ground) => return Ok(Some(ground)),
            Err(absent) => absent,
        };
        identity::may_be_made(setup.ledger, name, &absent)?;
        sink.make().map_err(|it| RunError::unusable(name, &it))?;
        let visited = visit(setup, options, name, *sink)?;
        Ok(Some(Ground { made: true, ..visited.map_err(|it| RunError::unusable(name, &it))? }))
    };
    each(setup, options, enter, |name, ground, others| match ground {
        Some(ground) => settle(setup, options, name, ground, others),
        None => Ok(Prepared { made: false, marked: false, notes: Vec::new() }),
    })
}

/// Looks what each destination is, and proves that it is a place of its own. Nothing that stays is stored there.
pub fn examine(setup: &PrepareSetup<'_>, options: &PrepareOptions) -> Vec<Result<Examined, RunError>> {
    let enter = |(name, sink): &(&DestinationName, &dyn Sink)| match visit(setup, options, name, *sink)? {
        Ok(ground) => Ok(Some(ground)),
        Err(absent) => identity::may_be_made(setup.ledger, name, &absent).map(|()| None),
    };
    each(setup, options, enter, |name, ground, others| {
        let Some(Ground { session, .. }) = ground else {
            return Ok(Examined { is_new: true, owner: None, unfinished: BTreeMap::new() });
        };
        let failed = |error: SinkError| RunError::unusable(name, &error);
        let mut beyond = beyond(setup, options);
        prove_apart(session.as_mut(), name, &mut beyond, others).map_err(failed)??;
        let owner = match super::look_at_identity(session.as_mut()).map_err(failed)? {
            Identity::Of(owner) => Some(owner),
            Identity::None | Identity::Hidden | Identity::Unreadable(_) => None,
        };
        Ok(Examined { is_new: false, owner, unfinished: beyond.unfinished })
    })
}

/// Goes to all destinations, and then does something with each beside the others.
fn each<T>(
    setup: &PrepareSetup<'_>,
    options: &PrepareOptions,
    enter: impl Fn(&(&DestinationName, &dyn Sink)) -> Result<Option<Ground>, RunError>,
    work: impl Fn(&DestinationName, Option<&mut Ground>, &mut Others<'_, '_>) -> Result<T, RunError>,
) -> Vec<Result<T, RunError>> {
    let mut grounds: Vec<Result<Option<Ground>, RunError>> = setup.destinations.iter().map(enter).collect();
    let mut done = Vec::with_capacity(grounds.len());
    for (n, (name, _)) in setup.destinations.iter().enumerate() {
        let mut mine = None;
        let mut others: Others<'_, '_> = Vec::new();
        for ((m, ground), (other, _)) in grounds.iter_mut().enumerate().zip(setup.destinations) {
            if m == n {
                mine = Some(ground);
            } else if let Ok(Some(it)) = ground {
                others.push((other, it.session.as_mut()));
            }
        }
        let result = match mine {
            Some(Ok(ground)) => work(name, ground.as_mut(), &mut others),
            Some(failed @ Err(_)) => match std::mem::replace(failed, Ok(None)) {
                Err(error) => Err(error),
                Ok(_) => Err(RunError::NothingSelected),
            },
            None => Err(RunError::NothingSelected),
        };
        done.push(result);
    }
    for ((ground, (name, sink)), done) in grounds.into_iter().zip(setup.destinations).zip(&mut done) {
        let Ok(Some(Ground { mut session, made, .. })) = ground else { continue };
        // What is left is an empty folder, which is swept by a run.
        let _ = session.sweep(&|run| *run == options.run);
        drop(session);
        // It was made for nothing.
        if made
            && done.is_err()
            && let Err(refused) = done
            && let Err(left) = sink.unmake()
        {
            *done = Err(refused.beside(name, &left));
        }
    }
    done
}

fn beyond<'a>(setup: &PrepareSetup<'a>, options: &PrepareOptions) -> Beyond<'a> {
    let until = Instant::now() + options.patience;
    let unfinished = BTreeMap::new();
    Beyond { stores: setup.stores, passed_over: &NONE, samples: setup.samples, until, unfinished, own: None }
}

fn claimant<'a>(setup: &PrepareSetup<'a>, options: &'a PrepareOptions, name: &'a DestinationName) -> Claimant<'a> {
    Claimant {
        ledger: setup.ledger,
        destination: name,
        catalogue: options.catalogue.clone(),
        host: &options.host,
        take_over: options.take_over,
    }
}

/// Inner error: the place itself is not there.
fn visit(
    setup: &PrepareSetup<'_>,
    options: &PrepareOptions,
    name: &DestinationName,
    sink: &dyn Sink,
) -> Result<Result<Ground, SinkError>, RunError> {
    let failed = |error: SinkError| RunError::unusable(name, &error);
    let mut session = match sink.connect(&options.run) {
        Err(error) if error.cause == Cause::Absent => return Ok(Err(error)),
        connected => connected.map_err(failed)?,
    };
    let look = |session: &mut dyn SinkSession| -> Result<Standing, RunError> {
        let claimant = claimant(setup, options, name);
        let standing = super::standing(session, &claimant).map_err(failed)??;
        if standing != Standing::Ours {
            super::find_any(session, claimant.ledger, claimant.destination).map_err(failed)??;
        }
        Ok(standing)
    };
    match look(session.as_mut()) {
        Ok(standing) => Ok(Ok(Ground { session, standing, made: false })),
        Err(error) => {
            // The refusal says more than what is left of the session, which is an empty folder.
            let _ = session.sweep(&|run| *run == options.run);
            Err(error)
        }
    }
}

fn settle(
    setup: &PrepareSetup<'_>,
    options: &PrepareOptions,
    name: &DestinationName,
    ground: &mut Ground,
    others: &mut Others<'_, '_>,
) -> Result<Prepared, RunError> {
    let failed = |error: SinkError| RunError::unusable(name, &error);
    let mut beyond = beyond(setup, options);
    prove_apart(ground.session.as_mut(), name, &mut beyond, others).map_err(failed)??;
    let mut notes: Vec<String> = beyond.unfinished.iter().map(|(store, why)| unsearched(store, why)).collect();
    let marked = match &ground.standing {
        Standing::Ours => false,
        Standing::ToMark { before, replace } => {
            let left = super::leave(ground.session.as_mut(), &claimant(setup, options, name), before.clone(), *replace);
            notes.extend(left.map_err(failed)??);
            true
        }
    };
    Ok(Prepared { made: ground.made, marked, notes })
}

/// A place that was not searched may still be the same one.
fn unsearched(store: &DriverId, why: &str) -> String {
    format!("store {store} was not searched to its end for what was just stored there: {why}")
}
