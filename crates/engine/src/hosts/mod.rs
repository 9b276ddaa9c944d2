//! A command that several hosts share: the ledger's ranges of work say who does what (design.md 8).
//!
//! Each host goes through the same loop: it asks the ledger what there is to do. One plans, all work, one closes; whoever is
//! silent for too long loses what it had claimed, and somebody else does it again. What a command does in each of these is
//! its [`Task`].

mod closer;
mod planner;
mod task;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dvb_fixity::{Algorithm, Digest, Measured};
use dvb_ledger::{Joining, Lease, Ledger, LedgerError, Next, Phase, Presence, RangeResult, SharedRuns};
use dvb_model::{DestinationName, RunId};
use dvb_storage::chain;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::cancel::CancelToken;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Observer;
use crate::command::recorded::{LockedRun, Recorded, Report};
use crate::command::selection::Selection;
pub(crate) use planner::NewRanges;
pub(crate) use task::{Range, Tallied, Task, Trouble};

/// How long it is waited before the ledger is asked again what there is to do.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// So many ranges at least, where the work suffices: there are several hosts, each with several workers.
pub(crate) const RANGES: u64 = 64;

/// What this host has done of a command that several share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name.
    pub host: String,
    /// The process's number there.
    pub pid: u32,
    /// Ranges of work that it has done.
    pub ranges: u64,
    /// Data files in them; of `verify`, copies.
    pub files: u64,
    /// Bytes that it sent and proved; of `verify` and `audit`, that were read or compared.
    pub bytes: u64,
    /// It was this host that left the summary of all, and the snapshot of a run.
    pub closed: bool,
    /// Others are to hear of it from this host: it closed, or left before the end. So all is told once.
    #[serde(skip)]
    pub tells: bool,
}

/// What a shared command has come to, and this host's part in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedSummary<S> {
    /// This host's part.
    pub share: Share,
    /// All hosts together; where this host left before the end, what it has done alone.
    #[serde(flatten)]
    pub summary: S,
}

/// What all have done, as the host that closed leaves it.
#[derive(Debug, Serialize, Deserialize)]
struct Total<S> {
    ending: ExitStatus,
    summary: S,
}

/// What has become of this host's part.
pub(crate) struct Part<T: Task> {
    share: Share,
    /// What it has done itself.
    own: T::Counts,
    /// `None`: it left before the end.
    total: Option<T::Summary>,
    /// Why it took no more part.
    trouble: Option<Trouble>,
}

impl<T: Task> Part<T> {
    /// What all have done, or, where this host left before the end, `own` of what it has done itself, and of why it left.
    pub(crate) fn summary(
        self,
        own: impl FnOnce(T::Counts, Option<Trouble>) -> Result<T::Summary, RunError>,
    ) -> Result<SharedSummary<T::Summary>, RunError> {
        let Self { mut share, own: counts, total, trouble } = self;
        share.tells = share.closed || total.is_none() || trouble.is_some();
        let summary = match (total, trouble) {
            (None, trouble) => own(counts, trouble)?,
            (Some(total), None) => total,
            (Some(mut total), Some((ending, why))) => {
                total.give_up(ending, why);
                total
            }
        };
        Ok(SharedSummary { share, summary })
    }
}

/// Who takes part, and in what.
pub(crate) struct Asking<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a CancelToken,
    pub(crate) command: &'static str,
    pub(crate) destination: &'a DestinationName,
    /// It goes on beside what has the destination.
    pub(crate) beside: bool,
    /// This process's own name.
    pub(crate) own: &'a RunId,
    pub(crate) host: &'a str,
    /// What all that take part must be asked for alike, JSON.
    pub(crate) parameters: Value,
    pub(crate) lease: Duration,
    pub(crate) jobs: usize,
}

/// A host that has joined.
pub(crate) struct Member<'a> {
    pub(crate) asking: Asking<'a>,
    pub(crate) shared: &'a dyn SharedRuns,
    pub(crate) presence: Box<dyn Presence>,
}

impl<'a> Member<'a> {
    /// # Errors
    /// [`LedgerError::OfOneHost`] and those of [`SharedRuns::join`].
    pub(crate) fn join(asking: Asking<'a>) -> Result<Self, LedgerError> {
        let of_one_host = || LedgerError::OfOneHost { target: asking.ledger.describe() };
        let shared = asking.ledger.shared_runs().ok_or_else(of_one_host)?;
        let presence = shared.join(&Joining {
            command: asking.command,
            destination: asking.destination.clone(),
            beside: asking.beside,
            id: asking.own.clone(),
            host: asking.host.to_owned(),
            pid: std::process::id(),
            parameters: asking.parameters.to_string(),
            lease: asking.lease,
        })?;
        Ok(Self { asking, shared, presence })
    }

    /// The name of what is shared, in the ledger and in the snapshot.
    pub(crate) fn run(&self) -> &RunId {
        &self.presence.run().run
    }

    /// When the first host came.
    pub(crate) fn began(&self) -> String {
        self.presence.run().began.clone()
    }

    /// The run as the ledger has it, held by this host's signs of life.
    pub(crate) fn locked<'b>(&self, ledger: &'b dyn Ledger) -> LockedRun<'b> {
        LockedRun::holding(ledger, self.asking.command, self.run(), self.presence.lock())
    }

    fn share(&self) -> Share {
        let (host, pid) = (self.asking.host.to_owned(), std::process::id());
        Share { host, pid, ranges: 0, files: 0, bytes: 0, closed: false, tells: false }
    }

    fn gone(&self, why: &str) -> RunError {
        let (command, run) = (self.asking.command, self.run());
        let text =
            format!("this host takes no part in the shared {command} {run} any more: {why}; what it recorded stays");
        RunError::Together { text, ending: ExitStatus::Locked, hint: None }
    }

    /// Hosts with several versions of the program do not understand each other.
    fn unreadable(&self, what: &str, error: &dyn std::error::Error) -> RunError {
        let (command, run) = (self.asking.command, self.run());
        let text = format!(
            "cannot read {what} of the shared {command} {run}: {error}. Use the same version of dataverse-backup on each host"
        );
        RunError::Together { text, ending: ExitStatus::Usage, hint: None }
    }

    /// Takes part until nothing is left, or this host is stopped, or cannot go on.
    ///
    /// # Errors
    /// [`RunError`], when this host has done nothing.
    pub(crate) fn take_part<T: Task>(&self, task: &T) -> Result<Part<T>, RunError> {
        let done = Mutex::new((self.share(), T::Counts::default()));
        let host = Host { member: self, task, done, trouble: Mutex::default() };
        let mut arrived = None;
        let ended = host.go_on(&mut arrived);
        if let Some(place) = arrived {
            task.leave(place);
        }
        let (share, own) = host.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let trouble = host.trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (total, error) = match ended {
            Ok(total) => (total, None),
            Err(error) if share.ranges > 0 => (None, Some((ExitStatus::from(&error), chain(&error)))),
            Err(error) => return Err(error),
        };
        Ok(Part { share, own, total, trouble: trouble.or(error) })
    }
}

/// Why a summary is of one host alone, where nothing went wrong.
pub(crate) fn left_early() -> Trouble {
    let why = "this host left before the end, and tells of its own part; the others go on, or the next time it is looked at again";
    (ExitStatus::Stopped, why.to_owned())
}

/// A selection as all hosts must have it: its words alone leave out what is too long to be said.
pub(crate) fn selected(selection: &Selection) -> Value {
    let all = format!("{selection:?}");
    let digest = Measured::of(all.as_bytes(), &[]).digest(Algorithm::Sha256).map(Digest::hex);
    json!({ "words": selection.in_words(), "digest": digest })
}

/// Records how this host's command ended, and gives that back. Where it has closed, the event has the counts of all, else
/// its part: so nothing counts twice.
pub(crate) fn finish_event<S: Report>(
    recorded: &Recorded<'_>,
    mut done: Result<SharedSummary<S>, RunError>,
    as_kept: impl FnOnce(Value) -> Value,
) -> Result<SharedSummary<S>, RunError> {
    let (ending, counts) = match &done {
        Ok(SharedSummary { share, summary }) if share.closed => (summary.ending(), summary.counts()),
        Ok(SharedSummary { share, summary }) => (summary.ending(), json!({ "share": share })),
        Err(error) => (ExitStatus::from(error), json!({ "error": chain(error) })),
    };
    if let (Err(error), Ok(done)) = (recorded.end(ending, as_kept(counts)), &mut done) {
        done.summary.give_up(ExitStatus::from(&error), chain(&error));
    }
    done
}

/// One host with its task.
struct Host<'a, T: Task> {
    member: &'a Member<'a>,
    task: &'a T,
    /// What it has done.
    done: Mutex<(Share, T::Counts)>,
    /// Why it takes no more work.
    trouble: Mutex<Option<Trouble>>,
}

impl<T: Task> Host<'_, T> {
    /// Does whatever there is to do. `None`: it was stopped, or its part came to an end before that of all.
    fn go_on(&self, arrived: &mut Option<T::Place>) -> Result<Option<T::Summary>, RunError> {
        let Member { presence, asking, .. } = self.member;
        while self.may_begin() {
            if let Some(why) = presence.is_over() {
                return Err(self.member.gone(&why));
            }
            match presence.claim()? {
                Next::Wait(_) => asking.stop.pause(ASK_AGAIN),
                Next::Done => return self.total().map(Some),
                Next::GivenUp => return Err(self.member.gone("it was given up")),
                Next::Claimed(it) if it.lease.phase == Phase::Plan => self.plan(&it.lease)?,
                Next::Claimed(it) => {
                    // It is not arrived yet, or all workers have ended: they claim for themselves.
                    let place = match arrived {
                        Some(place) => place,
                        None => match self.read_plan().and_then(|it| self.task.arrive(it)) {
                            Ok(place) => arrived.insert(place),
                            Err(error) => {
                                presence.give_back(&it.lease, false)?;
                                return Err(error);
                            }
                        },
                    };
                    if it.lease.phase == Phase::Close {
                        self.close(&it.lease, place)?;
                    } else {
                        presence.give_back(&it.lease, false)?;
                        self.work(place);
                    }
                }
            }
        }
        Ok(None)
    }

    fn may_begin(&self) -> bool {
        self.member.asking.stop.may_begin() && self.trouble().is_none()
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This host takes no more work. The first reason counts.
    fn give_up(&self, trouble: Trouble) {
        self.trouble().get_or_insert(trouble);
    }

    fn done(&self) -> MutexGuard<'_, (Share, T::Counts)> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_to_share(&self, result: &RangeResult, counts: T::Counts) {
        let mut done = self.done();
        done.0.ranges += 1;
        done.0.files += result.files;
        done.0.bytes += result.bytes;
        done.1.add(counts);
    }

    fn read_plan(&self) -> Result<T::Plan, RunError> {
        let Member { shared, presence, .. } = self.member;
        let text = shared.plan(presence.run())?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|it| self.member.unreadable("the plan", &it))
    }

    fn total(&self) -> Result<T::Summary, RunError> {
        let Member { shared, presence, .. } = self.member;
        let text = shared.total(presence.run())?.unwrap_or_default();
        let Total { ending, mut summary }: Total<T::Summary> =
            serde_json::from_str(&text).map_err(|it| self.member.unreadable("what all hosts have done", &it))?;
        summary.recall(ending);
        Ok(summary)
    }

    /// A plan, or a closing, that came to no end is somebody else's.
    fn unless_done<R>(&self, lease: &Lease, done: Result<R, RunError>) -> Result<R, RunError> {
        if done.is_err() {
            self.member.presence.give_back(lease, false)?;
        }
        done
    }
}
