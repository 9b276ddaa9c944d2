//! A run that several hosts share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dvb_ledger::Ledger;
use dvb_model::{DataFile, DriverId, RunId, Status};
use dvb_storage::{SinkSession, chain};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::spool::{Due, Line};
use crate::command::acknowledged::Acknowledged;
use crate::command::cut::watched;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::pool;
use crate::command::time::now;
use crate::copies::locks::Which;
use crate::guard::Samples;
use crate::hosts::{self, Asking, Member, NewRanges, RANGES, Range, SharedSummary, Tallied, Task, Trouble};
use crate::run::counts::{About, Counts, Tally};
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::plan::{self, Plan};
use crate::run::summary::Summary;
use crate::run::workers::{DueList, Most, Queue};
use crate::run::{self, Entry, Setup, presence, reread, snapshot};

/// As [`run`](crate::run()) for one destination, together with all other hosts that call this for it: until nothing is left, or this
/// host is stopped. The ledger must be in PostgreSQL.
///
/// A host that gives no sign of life for the time of `lease` loses what it was at; the first host's counts for all.
///
/// # Errors
/// [`RunError`], when this host looked at no data file. What goes wrong later is in the summary.
pub fn run_shared(setup: &Setup<'_>, options: &Options, lease: Duration) -> Result<SharedSummary<Summary>, RunError> {
    let (began, started) = (Instant::now(), now());
    let stop = setup.stop.until(options.time_budget.map(|it| began + it));
    let setup = Setup { stop: &stop, ..*setup };
    let destinations = [(setup, options)];
    watched(run::cuts(&destinations), || {
        let recorded = run::begin_event(&destinations, &started)?;
        let done = take_part(&setup, options, lease, &started);
        match recorded {
            Some(it) => hosts::finish_event(&it, done, |counts| json!({ &setup.destination.0: counts })),
            None => done,
        }
    })
}

fn take_part(
    setup: &Setup<'_>,
    options: &Options,
    lease: Duration,
    started: &str,
) -> Result<SharedSummary<Summary>, RunError> {
    let own = options;
    let Setup { ledger, observer, stop, destination, .. } = *setup;
    let member = Member::join(Asking {
        ledger,
        observer,
        stop,
        command: "run",
        destination,
        beside: false,
        own: &own.run,
        host: &own.agent.host,
        parameters: parameters(own),
        lease,
        jobs: own.jobs,
    })?;
    // By the shared run's name in the ledger and in the snapshot; a range is one batch, so one worker does it.
    let options = Options { run: member.run().clone(), jobs: 1, ..own.clone() };
    let task = SharedRun { setup, options: &options, own, member: &member, started };
    let alone = |counts, abort| {
        let counts = Counts { cut_short: true, abort, ..counts };
        Ok(run::summary(setup, &options, started.to_owned(), counts))
    };
    let mut done = member.take_part(&task)?.summary(alone)?;
    done.summary.overrides = own.overrides.names();
    Ok(done)
}

/// What the hosts that share a run must be asked for alike. What they may differ in is how fast each is, and for how long.
fn parameters(options: &Options) -> Value {
    let Options { selection, rerun, overrides, auxiliary_objects, cached_exports, .. } = options;
    json!({
        "selection": hosts::selected(selection),
        "rerun": rerun,
        "overrides": overrides.names(),
        "auxiliary_objects": auxiliary_objects,
        "cached_exports": cached_exports,
    })
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

/// One host's part in a run.
struct SharedRun<'a> {
    setup: &'a Setup<'a>,
    /// Those of the shared run.
    options: &'a Options,
    /// Those of this host.
    own: &'a Options,
    member: &'a Member<'a>,
    started: &'a str,
}

impl SharedRun<'_> {
    /// The name of this host's temporaries.
    fn staging(&self) -> RunId {
        self.own.run.clone()
    }

    fn unreadable_list(&self, source: std::io::Error) -> RunError {
        RunError::Spool { folder: self.options.spool_folder.clone(), source }
    }

    fn add_ranges(
        &self,
        ranges: &mut NewRanges<'_>,
        list: DueList<'_>,
        due: run::summary::Due,
    ) -> Result<(), RunError> {
        let mut queue = Queue::of(list);
        let most = Most::of_range(due, RANGES);
        loop {
            let lines = queue.take(&most).map_err(|it| self.unreadable_list(it))?;
            if lines.is_empty() {
                return Ok(());
            }
            ranges.add(lines.iter().filter(|it| it.subject.is_data_file()).count(), &lines)?;
        }
    }
}

impl<'a> Task for SharedRun<'a> {
    type Counts = Counts;
    type Plan = Note;
    type Item = Line;
    type Place = DestinationRun<'a>;
    type Hand = Option<Box<dyn SinkSession>>;
    type Summary = Summary;

    fn plan(&self, ledger: &dyn Ledger, ranges: &mut NewRanges<'_>) -> Result<Note, RunError> {
        let setup = Setup { ledger, ..*self.setup };
        let mut entry = Entry::joined(&setup, self.options, self.started);
        entry.begin_under(self.member.locked(ledger))?;
        let Plan { mut spool, standing, mut dests, samples, mut due, .. } = plan::make(&[(&setup, self.options)])?;
        let Some(of_dest) = dests.pop() else { return Err(RunError::NothingSelected) };
        let mut active = [run::start(0, &mut entry, of_dest)];
        active.iter_mut().flatten().for_each(|it| it.staging = self.staging());
        let standings = run::arrive(&mut [&mut entry], &mut active);
        if standing.is_some() {
            due.extend(samples.stores().cloned());
        }
        run::doubt(&mut active, setup.stores, &samples, &due);
        run::take_ground(&mut [&mut entry], &mut active, standings, &samples);
        let [dest] = active;
        let Some(dest) = dest else { return Err(entry.refused()) };
        run::record_pids(&dest);
        dest.clean_up();
        let doubtful = dest.doubtful.clone();
        let counts = dest.end().0;
        if let Some((ending, text)) = counts.abort {
            return Err(RunError::Together { text, ending, hint: None });
        }
        let list = spool.read().map_err(|it| self.unreadable_list(it))?;
        self.add_ranges(ranges, Box::new(list), counts.due)?;
        Ok(Note { counts, samples: samples.files().cloned().collect(), due, doubtful })
    }

    /// Looks whether the destination and the stores are, from this host, those that the run is about.
    fn arrive(&self, plan: Note) -> Result<DestinationRun<'a>, RunError> {
        let Note { counts, samples: chosen, due, doubtful } = plan;
        let Setup { stores, observer, ledger, destination, .. } = *self.setup;
        let mut samples = Samples::default();
        chosen.iter().for_each(|it| samples.enter(it, stores));
        let known = Counts { due: counts.due, ..Counts::default() };
        observer.event(&Event::Planned { files: counts.due.files, bytes: counts.due.bytes });
        let mut dest = DestinationRun::new(0, self.setup, self.options, Tally::of(known), self.member.locked(ledger));
        dest.acknowledged = Arc::new(Acknowledged::at(ledger, destination)?);
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

    /// Carries a range, batch by batch.
    fn work_on(&self, dest: &DestinationRun<'a>, range: Range<'_, Line>, session: &mut Self::Hand) -> Counts {
        let setup = Setup { ledger: range.ledger, ..*self.setup };
        let of_range = dest.of_range(&setup, self.options, self.member.locked(range.ledger), session.take());
        let mut left = range.items.iter().filter(|it| it.subject.is_data_file()).count() as u64;
        let mut queue = Queue::of(Box::new(range.items.into_iter().map(Ok)));
        let mut connection = of_range.connection();
        while of_range.goes_on() {
            let lines = queue.take(&Most::of_batch()).unwrap_or_default();
            if lines.is_empty() {
                break;
            }
            let mut batch: Vec<Due> = lines.iter().filter_map(|it| it.due(0)).collect();
            batch.iter_mut().for_each(|it| it.known |= range.again);
            if let Err(error) = of_range.reserve_main(&mut batch) {
                of_range.tally.abort(ExitStatus::from(&error), chain(&error));
                break;
            }
            left = left.saturating_sub(batch.iter().filter(|it| it.is_data_file()).count() as u64);
            of_range.take(batch, &mut connection, None);
        }
        *session = connection.into_session();
        let mut counts = of_range.end().0;
        // What was not reached is for whoever has the range next.
        counts.files.pending += left;
        counts.files.catalogued += left;
        counts
    }

    /// Leaves the snapshot, looks after what is due besides the files, and records the end of the run.
    fn close(
        &self,
        place: &DestinationRun<'a>,
        ledger: &dyn Ledger,
        plan: Note,
        done: Counts,
    ) -> Result<Summary, RunError> {
        let setup = Setup { ledger, ..*self.setup };
        let options = Options { jobs: self.own.jobs, ..self.options.clone() };
        let Note { mut counts, doubtful, .. } = plan;
        counts.add(done);
        // Before anything: another host may get at the destination where this one does not.
        place.sweep_again()?;
        // The snapshot is of the catalogue. The host that planned may be gone, and its list with it.
        let Plan { mut catalogue, standing, .. } = plan::make(&[(&setup, &options)])?;
        let mut dest = DestinationRun::new(0, &setup, &options, Tally::of(counts), self.member.locked(ledger));
        dest.staging = self.staging();
        dest.settled = AtomicBool::new(true);
        dest.acknowledged = Arc::new(Acknowledged::at(setup.ledger, setup.destination)?);
        dest.doubtful = doubtful;
        let broke = |done: Result<(), String>| done.unwrap_or_else(|why| dest.tally.abort(ExitStatus::NotSafe, why));
        let looking = standing.zip(options.presence_check).filter(|_| dest.doubtful.is_empty());
        if let Some((standing, bound)) = looking {
            broke(pool::guarded(|| presence::look(&[&dest], bound, standing, &mut catalogue)));
        }
        snapshot::leave(&[&dest], &mut catalogue);
        broke(pool::guarded(|| dest.renew_locks(Which::All)));
        dest.clean_up();
        broke(pool::guarded(|| dest.verify_share()));
        broke(pool::guarded(|| reread::share_of_run(&[&dest], &mut catalogue)));
        if !setup.stop.may_go_on() {
            return Err(RunError::Stopped);
        }
        let (counts, lock) = dest.end();
        lock.finish(Ok(run::summary(&setup, &options, self.member.began(), counts)))
    }

    fn set_aside(&self, counts: &mut Counts, files: u64, why: String) {
        counts.files.pending += files;
        counts.files.catalogued += files;
        counts.note_global(About::Destination(self.setup.destination), Status::Pending, why);
    }

    fn put_away(&self, dest: &DestinationRun<'a>, session: Self::Hand) {
        if let Some(session) = session {
            dest.leave_session(session);
        }
    }

    fn show(&self, dest: &DestinationRun<'a>) {
        dest.tell_bytes();
    }

    fn leave(&self, dest: DestinationRun<'a>) {
        dest.clean_up();
    }
}

impl Tallied for Counts {
    fn of_trouble(trouble: Trouble) -> Self {
        Self { abort: Some(trouble), ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        Self::add(self, other);
    }

    fn trouble(&self) -> Option<Trouble> {
        self.abort.clone()
    }

    fn is_cut(&self) -> bool {
        self.files.pending + self.not_rechecked > 0
    }

    fn bytes(&self) -> u64 {
        self.bytes_copied
    }
}
