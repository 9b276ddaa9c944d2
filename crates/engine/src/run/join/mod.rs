//! A run that several hosts share: the ledger's ranges of work say who does what (design.md 8).
//!
//! Each host goes through the same loop: it asks the ledger what there is to do. One plans, all work, one closes; whoever is
//! silent for too long loses what it had claimed, and somebody else does it again.

mod closer;
mod planner;
mod worker;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dvb_ledger::{Joining, Ledger, LedgerError, Next, Phase, Presence, SharedRuns};
use dvb_model::{DataFile, DriverId, RunId};
use dvb_storage::chain;
use serde::{Deserialize, Serialize};

use crate::command::acknowledged::Acknowledged;
use crate::command::cut::watched;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::recorded::LockedRun;
use crate::command::time::now;
use crate::guard::Samples;
use crate::run::counts::{Counts, Tally};
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::summary::Summary;
use crate::run::{self, Entry, Setup};

/// How long it is waited before the ledger is asked again what there is to do.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What this host has done of a shared run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name.
    pub host: String,
    /// The process's number there.
    pub pid: u32,
    /// Ranges of work that it has done.
    pub ranges: u64,
    /// Data files in them.
    pub files: u64,
    /// Bytes that it sent and proved.
    pub bytes_copied: u64,
    /// It was this host that left the snapshot, and the summary of all.
    pub closed: bool,
}

/// What a shared run has come to, and this host's part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedSummary {
    /// This host's part.
    pub share: Share,
    /// All hosts together; where this host left before the end, what it has done alone.
    #[serde(flatten)]
    pub summary: Summary,
}

/// What the host that planned leaves to the others.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// What stands, and what is due.
    counts: Counts,
    /// Data files by which each host looks whether its stores are the right ones.
    samples: Vec<DataFile>,
    /// Stores of which something is to be read.
    due: BTreeSet<DriverId>,
    /// Stores that are left alone for safety.
    doubtful: BTreeSet<DriverId>,
}

/// What all have done, as the host that closed leaves it.
#[derive(Debug, Serialize, Deserialize)]
struct Total {
    ending: ExitStatus,
    summary: Summary,
}

/// As [`run`](crate::run()) for one destination, together with all other hosts that call this for it: until nothing is left, or this
/// host is stopped. The ledger must be in PostgreSQL.
///
/// A host that gives no sign of life for the time of `lease` loses what it was at; the first host's counts for all.
///
/// # Errors
/// [`RunError`], when this host looked at no data file. What goes wrong later is in the summary.
pub fn run_shared(setup: &Setup<'_>, options: &Options, lease: Duration) -> Result<SharedSummary, RunError> {
    let (began, started) = (Instant::now(), now());
    let stop = setup.stop.until(options.time_budget.map(|it| began + it));
    let setup = Setup { stop: &stop, ..*setup };
    let destinations = [(setup, options)];
    watched(run::cuts(&destinations), || {
        let recorded = run::begin_event(&destinations, &started)?;
        let (share, result) = match take_part(&setup, options, lease, &started) {
            Ok(SharedSummary { share, summary }) => (Some(share), Ok(summary)),
            Err(error) => (None, Err(error)),
        };
        let mut results = [result];
        if let Some(recorded) = recorded {
            run::finish_event(&recorded, &destinations, &mut results);
        }
        let [result] = results;
        let summary = result?;
        let share = share.unwrap_or_else(|| Share::of(options));
        Ok(SharedSummary { share, summary })
    })
}

impl Share {
    fn of(options: &Options) -> Self {
        let (host, pid) = (options.agent.host.clone(), std::process::id());
        Self { host, pid, ranges: 0, files: 0, bytes_copied: 0, closed: false }
    }
}

/// What the hosts that share a run must be asked for alike. What they may differ in is how fast each is, and for how long.
fn parameters(options: &Options) -> String {
    let Options { selection, rerun, overrides, auxiliary_objects, cached_exports, .. } = options;
    serde_json::json!({
        "selection": selection.in_words(),
        "rerun": rerun,
        "overrides": overrides.names(),
        "auxiliary_objects": auxiliary_objects,
        "cached_exports": cached_exports,
    })
    .to_string()
}

fn take_part(setup: &Setup<'_>, options: &Options, lease: Duration, started: &str) -> Result<SharedSummary, RunError> {
    let of_one_host = || LedgerError::OfOneHost { target: setup.ledger.describe() };
    let shared = setup.ledger.shared_runs().ok_or_else(of_one_host)?;
    let presence = shared.join(&Joining {
        command: "run",
        destination: setup.destination.clone(),
        id: options.run.clone(),
        host: options.agent.host.clone(),
        pid: std::process::id(),
        parameters: parameters(options),
        lease,
    })?;
    let own = options;
    // By the shared run's name in the ledger and in the snapshot; a range is one batch, so one worker does it.
    let options = Options { run: presence.run().run.clone(), jobs: 1, ..own.clone() };
    let host = Host {
        setup,
        options: &options,
        own,
        shared,
        presence: presence.as_ref(),
        started,
        share: std::sync::Mutex::new((Share::of(own), Counts::default())),
    };
    host.take_part()
}

/// One host of a shared run.
struct Host<'a> {
    setup: &'a Setup<'a>,
    /// Those of the shared run.
    options: &'a Options,
    /// Those of this host.
    own: &'a Options,
    shared: &'a dyn SharedRuns,
    presence: &'a dyn Presence,
    started: &'a str,
    /// What it has done.
    share: std::sync::Mutex<(Share, Counts)>,
}

impl<'a> Host<'a> {
    fn take_part(&self) -> Result<SharedSummary, RunError> {
        let mut arrived: Option<DestinationRun<'a>> = None;
        let ended = self.go_on(&mut arrived);
        if let Some(dest) = &arrived {
            dest.clean_up();
        }
        let aborted = arrived.and_then(|it| it.end().0.abort);
        match ended {
            Ok(Some(Total { ending, mut summary })) => {
                summary.ending = ending;
                summary.overrides = self.own.overrides.names();
                if let Some((ending, why)) = aborted {
                    run::give_up(&mut summary, ending, why);
                }
                Ok(SharedSummary { share: self.take_share().0, summary })
            }
            Ok(None) => Ok(self.leave_early(aborted)),
            Err(error) => {
                let has_worked = self.share.lock().is_ok_and(|it| it.0.ranges > 0);
                if has_worked {
                    return Ok(self.leave_early(Some((ExitStatus::from(&error), chain(&error)))));
                }
                Err(error)
            }
        }
    }

    /// What this host has done, where it does not see the end of the run.
    fn leave_early(&self, aborted: Option<(ExitStatus, String)>) -> SharedSummary {
        let (share, mut counts) = self.take_share();
        counts.cut_short = true;
        counts.abort = aborted;
        let summary = run::summary(self.setup, self.options, self.started.to_owned(), counts);
        SharedSummary { share, summary }
    }

    fn take_share(&self) -> (Share, Counts) {
        let mut share = self.share.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let counts = std::mem::take(&mut share.1);
        (share.0.clone(), counts)
    }

    /// Does whatever there is to do. `None`: it was stopped, or its part came to an end before the run's.
    fn go_on(&self, arrived: &mut Option<DestinationRun<'a>>) -> Result<Option<Total>, RunError> {
        let is_broken = |arrived: &Option<DestinationRun<'_>>| arrived.as_ref().is_some_and(|it| it.tally.is_aborted());
        while self.setup.stop.may_begin() && !is_broken(arrived) {
            self.is_still_in()?;
            match self.presence.claim()? {
                Next::Wait(_) => self.setup.stop.pause(ASK_AGAIN),
                Next::Done => return self.total().map(Some),
                Next::GivenUp => return Err(self.gone("it was given up")),
                Next::Claimed(it) if it.lease.phase == Phase::Plan => self.plan(&it.lease)?,
                Next::Claimed(it) => {
                    // It is not arrived yet, or all workers have ended: they claim for themselves.
                    let dest = match arrived {
                        Some(dest) => dest,
                        None => match self.arrive() {
                            Ok(dest) => arrived.insert(dest),
                            Err(error) => {
                                self.presence.give_back(&it.lease, false)?;
                                return Err(error);
                            }
                        },
                    };
                    if it.lease.phase == Phase::Close {
                        self.close(&it.lease)?;
                    } else {
                        self.presence.give_back(&it.lease, false)?;
                        self.work(dest);
                    }
                }
            }
        }
        Ok(None)
    }

    fn is_still_in(&self) -> Result<(), RunError> {
        self.presence.is_over().map_or(Ok(()), |why| Err(self.gone(&why)))
    }

    fn gone(&self, why: &str) -> RunError {
        let run = &self.options.run;
        let text = format!("this host takes no part in the shared run {run} any more: {why}; what it recorded stays");
        RunError::Together { text, ending: ExitStatus::Locked, hint: None }
    }

    fn total(&self) -> Result<Total, RunError> {
        let text = self.shared.total(self.presence.run())?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|it| self.unreadable("what all hosts have done", &it))
    }

    fn note(&self) -> Result<Note, RunError> {
        let text = self.shared.plan(self.presence.run())?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|it| self.unreadable("the plan", &it))
    }

    /// Hosts with several versions of the program do not understand each other.
    fn unreadable(&self, what: &str, error: &dyn std::error::Error) -> RunError {
        let run = &self.options.run;
        let text = format!(
            "cannot read {what} of the shared run {run}: {error}. Use the same version of dataverse-backup on each host"
        );
        RunError::Together { text, ending: ExitStatus::Usage, hint: None }
    }

    /// The run as the ledger has it, held by this host's signs of life.
    fn locked<'b>(&self, ledger: &'b dyn Ledger) -> LockedRun<'b> {
        LockedRun::holding(ledger, "run", &self.options.run, self.presence.lock())
    }

    /// The name of this host's temporaries.
    fn staging(&self) -> RunId {
        self.own.run.clone()
    }

    /// Looks whether the destination and the stores are, from this host, those that the run is about.
    fn arrive(&self) -> Result<DestinationRun<'a>, RunError> {
        let Note { counts, samples: chosen, due, doubtful } = self.note()?;
        let Setup { stores, observer, .. } = *self.setup;
        let mut samples = Samples::default();
        chosen.iter().for_each(|it| samples.enter(it, stores));
        let known = Counts { due: counts.due, ..Counts::default() };
        observer.event(&Event::Planned { files: counts.due.files, bytes: counts.due.bytes });
        let mut dest =
            DestinationRun::new(0, self.setup, self.options, Tally::of(known), self.locked(self.setup.ledger));
        dest.acknowledged = std::sync::Arc::new(Acknowledged::at(self.setup.ledger, self.setup.destination)?);
        dest.staging = self.staging();
        let mut entry = Entry::joined(self.setup, self.options, self.started);
        let mut active = [Some(dest)];
        let standings = run::arrive(&mut [&mut entry], &mut active);
        run::doubt(&mut active, stores, &samples, &due);
        run::take_ground(&mut [&mut entry], &mut active, standings, &samples);
        let [dest] = active;
        let Some(mut dest) = dest else { return Err(entry.refused()) };
        let aborted = dest.tally.lock().abort.clone();
        if let Some((ending, text)) = aborted {
            dest.clean_up();
            return Err(RunError::Together { text, ending, hint: None });
        }
        // What only this host cannot read, the others can.
        if !dest.doubtful.is_subset(&doubtful) {
            let text = dest.tally.lock().doubts.join("; ");
            dest.clean_up();
            return Err(RunError::Together { text, ending: ExitStatus::Refused, hint: None });
        }
        dest.doubtful = doubtful;
        Ok(dest)
    }
}
