//! `repair`: which side is good of what is missing or damaged, and the mending.

use std::fmt::Write as _;

use dvb_build as build;
use dvb_engine::{
    CancelToken, ExitStatus, Names, Options, Outcome, Overrides, RepairCounts, RepairItem, RepairOptions, RepairSetup,
    RepairSummary, SinkAt, new_run_id, repair,
};

use super::Context;
use super::destination_args::DestinationArgs;
use super::restore::sinks;
use super::selection_args::{self, SelectionArgs};
use crate::exit::CommandFailure;
use crate::notice::{self, Ended, Notice, Reach, found};
use crate::output::{Verbosity, plain};
use crate::progress::Progress;
use crate::{hint, signals};
use dvb_config::Destination;

/// How many objects are named without --json.
const NAMED: usize = 50;

/// Say which side is good of what is missing or damaged; with --apply, repair it
///
/// Checks what the ledger knows to be missing or damaged (found by `run`, `verify` or `audit`), a selection, or
/// everything (--all), in Dataverse's stores and at all destinations, now. For each object that is bad on one side it
/// names the sides that are good, and what it would do. Nothing is changed.
///
/// With --apply it does it: an object in a store gets the bytes of a good copy, by the rules of `restore --in-place`; a
/// copy is made again from the store, or from another destination. What was bad is kept beside, and each repaired object is
/// an incident in the ledger (status --file ID shows them). A run then records that the data files are OK.
///
/// Its outcome is then mailed, and written for monitoring, as after a run ([Notifications] in the configuration).
///
/// Where nobody can say which side is right, nothing is done, and the reason is given.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes of repair:
    0  nothing is missing or damaged any more
    1  some could not be read
    2  invalid command line, or nothing selected
    3  an object in a store is missing or damaged (without --apply: also one that could be repaired)
    4  the same of a copy at a destination
    5  no connection to a database, store or destination
    6  a run holds the lock of a destination (only with --apply)
  128+N  ended by signal N")]
pub(crate) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,

    /// Everything, not only what the ledger knows to be bad: reads all objects and all copies
    #[arg(long, help_heading = "Selection", conflicts_with_all = ["dataset", "file", "storage_identifier", "store"])]
    all: bool,

    /// Repair what can be repaired
    ///
    /// Call it as root or as the account that Dataverse runs as, so that owner and mode can be those of the other files.
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    destinations: DestinationArgs,

    /// Data files in hand at a time, instead of Jobs in the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
}

impl Args {
    fn options(&self, context: &Context, jobs: u32, bandwidth_limit: Option<u64>) -> RepairOptions {
        let repository = &context.config.repository;
        let how = Options {
            run: new_run_id(),
            agent: build::agent(),
            selection: dvb_engine::Selection::default(),
            rerun: false,
            dry_run: !self.apply,
            limit: None,
            jobs: jobs as usize,
            time_budget: None,
            verify_every: None,
            audit_every: None,
            presence_check: None,
            bandwidth_limit,
            auxiliary_objects: repository.auxiliary_objects,
            cached_exports: repository.cached_exports,
            max_disappearance: repository.max_disappearance,
            max_change: repository.max_change,
            overrides: Overrides::default(),
            spool_folder: build::spool_folder(&context.config),
        };
        RepairOptions { apply: self.apply, all: self.all, how }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    let done = perform(args, context, &destinations);
    if !args.apply {
        // A look changes nothing and records nothing: it is for who asked.
        return done.map(|it| it.ending());
    }
    let reach = Reach { is_whole: true, is_recorded: true };
    notice::conclude(context, "repair", &destinations, reach, done)
}

fn perform(args: &Args, context: &Context, destinations: &[&Destination]) -> Result<Notice, CommandFailure> {
    let stop = signals::stop(None)?;
    let mut summary = look(args, context, destinations, &stop)?;
    for run in &mut summary.runs {
        run.error = run.error.take().map(|text| hint::with(text, run.hint.as_ref()));
    }
    show(context, &summary)?;
    Ok(notice(&summary))
}

fn look(
    args: &Args,
    context: &Context,
    destinations: &[&Destination],
    stop: &CancelToken,
) -> Result<RepairSummary, CommandFailure> {
    let config = &context.config;
    let first = destinations.first();
    let jobs = args.jobs.or(first.map(|it| it.jobs)).unwrap_or(1);
    let mut options = args.options(context, jobs, first.and_then(|it| it.bandwidth_limit));
    let table = build::store_table(config)?;
    let writers = table.writers(&options.how.run);
    let stores = table.into_stores();
    let catalogue = build::catalogue(config)?;
    let ledger = build::ledger(config, jobs, stop)?;
    let asked = args.selection.asked();
    let mut names = vec![Names::Catalog(catalogue.as_catalog())];
    names.extend(destinations.iter().map(|it| Names::Ledger(ledger.as_ref(), &it.name)));
    options.how.selection = selection_args::resolve(&asked, context, &names, &stores.default.0, stop)?;
    let sinks = sinks(context, destinations)?;
    let origins: Vec<SinkAt<'_>> = sinks.iter().map(|(name, sink)| SinkAt { name, sink: sink.as_ref() }).collect();
    let progress = Progress::alone(&context.screen, None);
    let setup = RepairSetup {
        catalog: catalogue.as_catalog(),
        stores: &stores,
        writers: &writers,
        ledger: ledger.as_ref(),
        destinations: &origins,
        observer: &progress,
        stop,
    };
    let done = repair(&setup, &options);
    let held_back = progress.finish();
    if !context.screen.is_chatty() && context.screen.verbosity != Verbosity::Quiet {
        held_back.iter().for_each(|it| context.screen.warn(it));
    }
    Ok(done?)
}

fn show(context: &Context, summary: &RepairSummary) -> Result<(), CommandFailure> {
    let screen = &context.screen;
    if let Some(why) = &summary.aborted {
        screen.say(&format!("repair: stopped early: {}", plain(why)));
    }
    for run in &summary.runs {
        if let Some(error) = &run.error {
            screen.say(&format!("destination {}: the verdicts were not recorded: {}", run.destination, plain(error)));
        }
    }
    if screen.json {
        return screen.print_json(summary);
    }
    if screen.verbosity == Verbosity::Quiet && summary.ending == ExitStatus::Safe {
        return Ok(());
    }
    screen.print(&text(summary, NAMED))
}

/// What others hear of it.
fn notice(summary: &RepairSummary) -> Notice {
    let ended = summary.destinations.iter().map(|name| Ended::new(name, summary.ending)).collect();
    let RepairCounts { mended, left, failed, .. } = summary.objects;
    let counts = [
        (mended, "object that it repaired", "objects that it repaired"),
        (left, "object that it cannot repair", "objects that it cannot repair"),
        (failed, "object that it failed to repair", "objects that it failed to repair"),
    ];
    let outcome = found(&counts, None, summary.ending);
    let unrecorded = summary.runs.iter().filter_map(|run| {
        let error = run.error.as_ref()?;
        Some(format!("destination {}: the verdicts were not recorded: {}", run.destination, plain(error)))
    });
    let why = summary.aborted.iter().map(|why| format!("gave up: {}", plain(why)));
    let lines: Vec<_> = why.chain(unrecorded).chain([text(summary, usize::MAX)]).collect();
    Notice::new("repair", ended, vec![outcome], vec![lines.join("\n") + "\n"])
}

/// The result in words.
fn text(it: &RepairSummary, limit: usize) -> String {
    let RepairCounts { bad_in_stores, bad_at_destinations, unreadable, would_mend, mended, left, failed } = it.objects;
    let mut text = format!(
        "data files and datasets checked: {}; bad objects: {bad_in_stores} in stores, {bad_at_destinations} at \
         destinations; unreadable: {unreadable}\n",
        it.looked_at
    );
    let _ = match it.apply {
        true => writeln!(text, "  {mended} repaired, {left} left, {failed} failed"),
        false => writeln!(text, "  nothing was changed; {would_mend} can be repaired (--apply), {left} cannot"),
    };
    for item in it.items.iter().take(limit) {
        let RepairItem { data_file_id, dataset, name, object, bad, detail, good, outcome, action, kept, .. } = item;
        let id = data_file_id.map(|it| format!("file {it}"));
        let parts = [id.as_deref(), dataset.as_deref(), name.as_deref(), Some(object)];
        let parts: Vec<_> = parts.into_iter().flatten().map(plain).collect();
        let _ = writeln!(text, "  {:<10} {bad}: {}: {}", word(*outcome), parts.join(", "), plain(detail));
        if !good.is_empty() {
            let _ = writeln!(text, "             good: {}", good.join(", "));
        }
        let _ = writeln!(text, "             {}", plain(action));
        if let Some(kept) = kept {
            let _ = writeln!(text, "             what was bad is kept as {}", plain(kept));
        }
    }
    let all = bad_in_stores + bad_at_destinations + unreadable;
    let rest = all.saturating_sub(it.items.len().min(limit) as u64);
    if rest > 0 {
        let _ = writeln!(text, "  and {rest} more; see --json");
    }
    text.trim_end().to_owned()
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::WouldMend => "can repair",
        Outcome::Mended => "repaired",
        Outcome::Left => "LEFT",
        Outcome::Failed => "FAILED",
    }
}
