//! `run`: copies what is not yet proved, to all destinations at once, and tells everybody who waits for it.

use std::time::Duration;

use dvb_build as build;
use dvb_engine::{
    CancelToken, ExitStatus, Names, Options, Overrides, RunError, Selection, Setup, Share, Summary, new_run_id,
    run_shared, run_together,
};
use dvb_notify::{self as notify, Change, Metrics, Work};
use dvb_storage::{Sink, chain};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use super::destination_args::DestinationArgs;
use super::join_args::JoinArgs;
use super::selection_args::{self, SelectionArgs};
use crate::args;
use crate::exit::CommandFailure;
use crate::notice::Notice;
use crate::outcome::{self, one_shape};
use crate::output::{Level, Verbosity, plain};
use crate::progress::{self, Progress};
use crate::report::{self, RunOutcome};
use crate::{hint, signals};
use dvb_config::{Config, Destination};

/// How long a run lists the stores at most.
const PRESENCE_CHECK: Duration = Duration::from_secs(600);

/// What a run has come to, and this host's part in it where several share it.
type Done = (Summary, Option<Share>);

/// Copy what is not yet safe
///
/// Copies every data file of the catalogue that has no proved copy at the destination yet, and proves it there.
/// Files that failed before are tried again. Without options it does what a crontab wants: all destinations of the
/// configuration at once; what several of them need is read once. Such a run also looks, by listings of the stores and
/// for ten minutes at most, whether everything that is safe is still there with its size; the next one goes on where it
/// stopped (PresenceCheck in the configuration).
///
/// A signal (Ctrl-C) ends it in order: what was proved is recorded. A second one ends it at once; that loses nothing
/// either.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Check everything: also whether copies that were proved are still there
    ///
    /// Without it, a data file whose copy is proved is only checked again when Dataverse's database says something
    /// else of it.
    #[arg(long)]
    rerun: bool,

    /// Only count what there is to do
    #[arg(long, conflicts_with = "join")]
    dry_run: bool,

    #[command(flatten)]
    destinations: DestinationArgs,

    #[command(flatten)]
    join: JoinArgs,

    /// Files in flight, instead of Jobs in the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,

    /// Begin no more work after this long (45s, 90m, 5h, 1h30m), instead of TimeBudget in the configuration
    ///
    /// What is in flight then has ended within 30 seconds, whoever hangs. What is left is pending, and the exit code 8.
    /// It counts for each destination.
    #[arg(long, value_name = "D", value_parser = args::duration)]
    time_budget: Option<Duration>,

    /// Stop after this many data files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "join")]
    limit: Option<u64>,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Go on although more data files than MaxDisappearance have left Dataverse's database
    ///
    /// Such a run is refused (exit code 7), for it may be the wrong database, or an empty one. Copies are kept in any
    /// case.
    #[arg(long)]
    accept_disappearance: bool,

    /// Go on although more of the known files than MaxChange have other bytes and other checksums
    ///
    /// Such a run is refused (exit code 7), for files in Dataverse do not change: they may have been encrypted. Copies are
    /// kept in any case; the changed bytes go beside them.
    #[arg(long)]
    accept_changes: bool,

    /// All copies at the destination are lost: check everything, and copy again what is missing
    ///
    /// A run that finds none of the copies that it looks for first is refused (exit code 7), for the disk may not be
    /// mounted, or it may be the wrong folder.
    #[arg(long)]
    copies_lost: bool,

    /// The destination becomes this installation's, whosever it was
    ///
    /// A destination carries the id of the installation that stores there; another one's is refused (exit code 7). After
    /// this, the other one is refused there. Copies are taken over where their checksums fit, and none is removed. Where a
    /// ledger was lost, `rebuild` is better.
    #[arg(long)]
    take_over: bool,
}

/// How a run goes that only counts what is due.
pub(super) fn dry_options(config: &Config) -> Options {
    let repository = &config.repository;
    Options {
        run: new_run_id(),
        agent: build::agent(),
        selection: Selection::default(),
        rerun: false,
        dry_run: true,
        limit: None,
        jobs: 1,
        time_budget: None,
        verify_every: None,
        presence_check: None,
        audit_every: None,
        bandwidth_limit: None,
        auxiliary_objects: repository.auxiliary_objects,
        cached_exports: repository.cached_exports,
        max_disappearance: repository.max_disappearance,
        max_change: repository.max_change,
        overrides: Overrides::default(),
        spool_folder: build::spool_folder(config),
    }
}

impl Args {
    fn options(&self, context: &Context, destination: &Destination, selection: Selection) -> Options {
        let repository = &context.config.repository;
        Options {
            run: new_run_id(),
            agent: build::agent(),
            selection,
            rerun: self.rerun,
            dry_run: self.dry_run,
            limit: self.limit,
            jobs: self.jobs(destination) as usize,
            time_budget: self.time_budget.or(destination.time_budget),
            verify_every: destination.verify_every,
            audit_every: repository.audit_every,
            presence_check: repository.presence_check.then_some(PRESENCE_CHECK),
            bandwidth_limit: destination.bandwidth_limit,
            auxiliary_objects: repository.auxiliary_objects,
            cached_exports: repository.cached_exports,
            max_disappearance: repository.max_disappearance,
            max_change: repository.max_change,
            overrides: Overrides {
                disappearance: self.accept_disappearance,
                changes: self.accept_changes,
                copies_lost: self.copies_lost,
                take_over: self.take_over,
            },
            spool_folder: build::spool_folder(&context.config),
        }
    }

    fn jobs(&self, destination: &Destination) -> u32 {
        self.jobs.unwrap_or(destination.jobs)
    }

    /// Whether monitoring should hear of it: a look at a part says nothing of the whole.
    fn is_whole(&self) -> bool {
        !self.dry_run && self.selection.is_everything()
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    // The longest one: where one has none, the command has none.
    let budgets: Option<Vec<Duration>> = destinations.iter().map(|it| args.time_budget.or(it.time_budget)).collect();
    let budget = budgets.and_then(|it| it.into_iter().max());
    let stop = signals::stop(budget)?;
    let outcomes = copy(args, context, &destinations, &stop);
    let ending = outcomes.iter().map(|it| it.ending).min().unwrap_or(ExitStatus::Safe);
    show(context, &outcomes, ending);
    if !args.dry_run {
        let is_whole = args.is_whole();
        let metrics = if is_whole { outcomes.iter().flat_map(metrics).collect() } else { Vec::new() };
        let is_mailed = outcomes.iter().any(|it| it.share.as_ref().is_none_or(|share| share.tells));
        Notice { metrics, is_whole, is_mailed, ..report::notice(&outcomes) }.tell(context);
    }
    if args.is_whole() && ending == ExitStatus::Safe {
        ping(context);
    }
    Ok(ending)
}

/// What came of one destination's run.
struct Ran {
    result: Result<Summary, CommandFailure>,
    /// The room there afterwards, in words.
    room: Option<String>,
    /// This host's part in it, where several share it.
    share: Option<Share>,
}

impl Ran {
    fn refused(failure: CommandFailure) -> Self {
        Self { result: Err(failure), room: None, share: None }
    }
}

/// All destinations at once, from the beginning to what is said of each at once.
fn copy(args: &Args, context: &Context, destinations: &[&Destination], stop: &CancelToken) -> Vec<RunOutcome> {
    let started = Timestamp::now();
    let bars = progress::bars();
    let several = destinations.len() > 1;
    let name = |it: &'_ Destination| several.then(|| it.name.clone());
    let shows: Vec<_> =
        destinations.iter().map(|it| Progress::new(&context.screen, &bars, name(it).as_ref())).collect();
    let results = match run_all(args, context, destinations, &shows, stop) {
        Ok(results) => results,
        Err(failure) => refused(failure, destinations.len()),
    };
    let outcomes = destinations.iter().zip(shows).zip(results).map(|((destination, show), ran)| {
        let Ran { result, room, share } = ran;
        let ending = outcome::ending(result.as_ref().map(|summary| summary.ending), stop);
        let finished = Timestamp::now();
        let outcome =
            RunOutcome { destination: destination.name.clone(), started, finished, result, room, share, ending };
        warn_late(context, &outcome, &show.finish());
        outcome
    });
    outcomes.collect()
}

/// What keeps one destination from its run keeps the others too; each says so.
fn refused(failure: CommandFailure, count: usize) -> Vec<Ran> {
    let (text, ending) = (failure.text(), failure.ending());
    let mut results = vec![Ran::refused(failure)];
    let again = || Ran::refused(RunError::Together { text: text.clone(), ending, hint: None }.into());
    results.extend(std::iter::repeat_with(again).take(count.saturating_sub(1)));
    results
}

/// Says what was held back while nothing was to be said, where there is a reason now.
fn warn_late(context: &Context, outcome: &RunOutcome, held_back: &[String]) {
    if context.screen.is_chatty() {
        return;
    }
    let always: Vec<_> = outcome.unconfigured().map(|it| plain(&it.reason).into_owned()).collect();
    let now = held_back.iter().filter(|it| outcome.ending != ExitStatus::Safe || always.contains(it));
    now.for_each(|it| context.screen.warn(it));
}

fn run_all(
    args: &Args,
    context: &Context,
    destinations: &[&Destination],
    shows: &[Progress<'_>],
    stop: &CancelToken,
) -> Result<Vec<Ran>, CommandFailure> {
    let config = &context.config;
    let stores = build::store_table(config)?.into_stores();
    let catalogue = build::catalogue(config)?;
    let asked = args.selection.asked();
    let selection =
        selection_args::resolve(&asked, context, &[Names::Catalog(catalogue.as_catalog())], &stores.default.0, stop)?;
    let jobs: u32 = destinations.iter().map(|it| args.jobs(it)).sum();
    let ledger = build::ledger(config, jobs + u32::from(args.join.join), stop)?;
    // A destination that cannot be had as it is described does not stop the others.
    let sinks: Vec<_> = destinations.iter().map(|it| build::sink(it)).collect();
    let mut setups = Vec::with_capacity(destinations.len());
    for ((destination, sink), show) in destinations.iter().zip(&sinks).zip(shows) {
        let Ok(sink) = sink else { continue };
        let setup = Setup {
            catalog: catalogue.as_catalog(),
            stores: &stores,
            ledger: ledger.as_ref(),
            destination: &destination.name,
            sink: sink.as_ref(),
            observer: show,
            stop,
        };
        setups.push((setup, args.options(context, destination, selection.clone())));
    }
    let mut done = if args.join.join { share_each(args, &setups) } else { all_at_once(&setups) }.into_iter();
    let is_asked = |summary: &Summary| {
        let is_cut = matches!(summary.ending, ExitStatus::Signalled(_) | ExitStatus::Stopped | ExitStatus::Unreachable);
        context.screen.is_chatty() && !args.dry_run && !is_cut
    };
    let results = sinks.into_iter().map(|sink| match sink {
        Err(error) => Ran::refused(error.into()),
        Ok(sink) => {
            // One result a setup, so there is one.
            let (result, share) = match done.next().unwrap_or(Err(RunError::NothingSelected)) {
                Ok((summary, share)) => (Ok(in_words(summary)), share),
                Err(error) => (Err(CommandFailure::from(error)), None),
            };
            let room = result.as_ref().ok().filter(|it| is_asked(it)).and_then(|_| room(sink.as_ref()));
            Ran { result, room, share }
        }
    });
    Ok(results.collect())
}

/// The room at a destination after a run, where it tells. That it cannot be asked is said too: it was there just before.
fn room(sink: &dyn Sink) -> Option<String> {
    match sink.room() {
        Ok(room) => room.map(|it| format!("{} free at the destination", report::bytes(it.free))),
        Err(error) => Some(format!("not known: {}", plain(&chain(&error)))),
    }
}

fn all_at_once(setups: &[(Setup<'_>, Options)]) -> Vec<Result<Done, RunError>> {
    run_together(setups).into_iter().map(|it| it.map(|summary| (summary, None))).collect()
}

/// Shared with other hosts, one destination after the other.
fn share_each(args: &Args, setups: &[(Setup<'_>, Options)]) -> Vec<Result<Done, RunError>> {
    let lease = args.join.lease();
    let shared = |(setup, options): &(Setup<'_>, Options)| {
        run_shared(setup, options, lease).map(|it| (it.summary, Some(it.share)))
    };
    setups.iter().map(shared).collect()
}

/// Why a run gave up, with what can be done about it.
fn in_words(mut summary: Summary) -> Summary {
    summary.aborted = summary.aborted.map(|text| hint::with(text, summary.hint.as_ref()));
    summary
}

/// The result on stdout, what is wrong on stderr.
fn show(context: &Context, outcomes: &[RunOutcome], ending: ExitStatus) {
    let screen = &context.screen;
    for outcome in outcomes {
        match &outcome.result {
            Ok(summary) => {
                // What a dry run counts is its result, also where nobody watches.
                let is_asked = screen.is_chatty() || (summary.dry_run && screen.verbosity != Verbosity::Quiet);
                let took = outcome.finished.duration_since(outcome.started).unsigned_abs();
                let text = report::summary(summary, took, outcome.room.as_deref());
                if !screen.json && is_asked {
                    // The runs have ended as they have; the exit code says it too.
                    let share = outcome.share.as_ref().map(report::share_of_run).unwrap_or_default();
                    let _ = screen.print(&(text + &share));
                } else {
                    screen.record(Level::Info, &text);
                }
                let trouble = report::trouble(summary);
                if !trouble.is_empty() {
                    screen.alarm(&trouble);
                }
            }
            Err(failure) => {
                let text = report::of_destination(&outcome.destination, &failure.text());
                screen.fail(&text);
            }
        }
    }
    if screen.json
        && let Err(failure) = screen.print_json(&object(outcomes, ending))
    {
        screen.fail(&failure.text());
    }
}

fn object(outcomes: &[RunOutcome], ending: ExitStatus) -> Value {
    let runs = outcomes.iter().map(|outcome| match &outcome.result {
        Ok(summary) => {
            let mut object = json!(summary);
            if let Some(share) = &outcome.share {
                object["share"] = json!(share);
            }
            object
        }
        Err(failure) => json!({
            "destination": outcome.destination, "exit_code": outcome.ending.code(), "error": failure.text()
        }),
    });
    one_shape("runs", runs.collect(), ending)
}

fn ping(context: &Context) {
    if let Some(url) = &context.config.notifications.ping_url
        && let Err(error) = notify::ping(url)
    {
        context.screen.warn(&chain(&error));
    }
}

/// What monitoring hears of a run.
fn metrics(outcome: &RunOutcome) -> Vec<Change> {
    let work = outcome.result.as_ref().ok().map(|it| Work { files: it.files, bytes_copied: it.bytes_copied });
    let metrics = Metrics {
        destination: outcome.destination.0.clone(),
        started: outcome.started.as_second(),
        finished: outcome.finished.as_second(),
        exit_code: outcome.ending.code(),
        work,
    };
    metrics.changes()
}
