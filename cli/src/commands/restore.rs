//! `restore`: gives files back, into a folder or where Dataverse expects them.

use std::path::PathBuf;

use dvb_build as build;
use dvb_engine::{
    CancelToken, ExitStatus, Goal, Layout, Names, RestoreOptions, RestoreSetup, RestoreSummary, SinkAt, StoreWriters,
    new_run_id, restore,
};
use dvb_model::DestinationName;
use dvb_storage::{Folder, Sink, chain};

use super::Context;
use super::from_snapshot::{FromSnapshot, KnownCopies};
use super::selection_args::{self, SelectionArgs};
use crate::args;
use crate::exit::CommandFailure;
use crate::hint;
use crate::monitor;
use crate::output::{Verbosity, plain};
use crate::progress::Progress;
use crate::report::{self, bytes, data_files};
use crate::signals;
use dvb_config::Destination;

/// How many objects are named on stderr.
const NAMED: usize = 20;

/// Give files back, proved on the way
///
/// Reads proved copies at the destination and puts them into a folder (--to), or exactly where Dataverse expects them
/// (--in-place). Every byte is compared with what is on record before a file gets its name. A good file is never
/// touched: what is there is read and compared first, and only what is proved damaged is replaced, with the damaged
/// bytes kept beside it. Dataverse's database is only read.
///
/// May be interrupted (Ctrl-C) and called again: what is there and good is not fetched again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes of restore:
    0  everything that was asked for is there and good
    1  some could not be given back; the reasons are listed
    2  invalid command line, or nothing selected
    4  a copy at a destination is missing or damaged; it was not given back
    5  no connection to a database, store or destination
  128+N  ended by signal N")]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["dataset", "file", "storage_identifier", "store", "missing", "all"]))]
#[command(group = clap::ArgGroup::new("where").required(true).args(["to", "in_place"]))]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) from_snapshot: FromSnapshot,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Only what the source lacks or has damaged
    ///
    /// Reads everything in scope that is there and compares it with what is on record. With --quick, it goes by presence
    /// and size.
    #[arg(long, help_heading = "Selection")]
    missing: bool,

    /// With --missing: do not read what is there with its size and was OK at the last run
    ///
    /// For files that a mistake has deleted: they come back at once. Damage that kept a file's size stays unseen.
    #[arg(long, requires = "missing", help_heading = "Selection")]
    quick: bool,

    /// Everything that the catalogue has
    #[arg(long, help_heading = "Selection", conflicts_with_all = ["dataset", "file", "storage_identifier", "store", "missing"])]
    all: bool,

    /// Into this folder, in Dataverse's own layout: <authority>/<identifier>/<name>
    ///
    /// It is made where it does not exist. What is in it is left alone.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    /// Into the stores, exactly where Dataverse expects each object
    ///
    /// Owner and mode are those of the other files there, so call it as root or as the account that Dataverse runs as.
    /// A file that is damaged is kept as <name>.damaged-<run>.
    #[arg(long)]
    in_place: bool,

    /// Only from this destination: NAME of [Backup NAME], or `default` for [Backup]
    ///
    /// Without it: from the first one of the configuration that has a proved copy, and where that copy is bad from the
    /// next one that has the same bytes.
    #[arg(long, value_name = "NAME", value_parser = args::destination)]
    destination: Option<DestinationName>,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Lay datasets out as people see them: folders and labels
    ///
    /// Of the newest released version, or of the draft where none was released. With one --dataset its files lie in DIR
    /// itself, else each dataset has a folder. A table comes as stored (.tab) and as uploaded.
    #[arg(long, requires = "to", conflicts_with = "in_place")]
    names: bool,

    /// The version of the dataset that --names shows: 2.0, or draft
    #[arg(long, value_name = "V", requires = "names")]
    version: Option<String>,

    /// Files in flight, instead of Jobs in the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
}

impl Args {
    fn options(&self, context: &Context, jobs: u32, bandwidth_limit: Option<u64>) -> RestoreOptions {
        let layout = match (self.names, &self.version) {
            (false, _) => Layout::Keys,
            (true, None) => Layout::NewestNames,
            (true, Some(version)) => Layout::NamesOf(version.clone()),
        };
        RestoreOptions {
            run: new_run_id(),
            agent: build::agent(),
            selection: dvb_engine::Selection::default(),
            missing: self.missing,
            quick: self.quick,
            layout,
            dry_run: self.dry_run,
            jobs: jobs as usize,
            bandwidth_limit,
            auxiliary_objects: context.config.repository.auxiliary_objects,
            // Where the ledger lies there may be nothing any more.
            spool_folder: if self.from_snapshot.is_asked() {
                std::env::temp_dir()
            } else {
                build::spool_folder(&context.config)
            },
        }
    }
}

/// Where it goes, held open.
enum RestorePlace {
    Folder(Box<dyn Folder>),
    Stores(StoreWriters),
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let names: Vec<_> = args.destination.iter().cloned().collect();
    let destinations = context.destinations(&names)?;
    let stop = signals::stop(None)?;
    let summary = give_back(args, context, &destinations, &stop)?;
    show(context, &summary)?;
    if args.in_place && !args.dry_run && !args.from_snapshot.is_asked() {
        monitor::write(context, &[], None);
    }
    Ok(summary.ending)
}

fn give_back(
    args: &Args,
    context: &Context,
    destinations: &[&Destination],
    stop: &CancelToken,
) -> Result<RestoreSummary, CommandFailure> {
    let config = &context.config;
    let first = destinations.first();
    let jobs = args.jobs.or(first.map(|it| it.jobs)).unwrap_or(1);
    let mut options = args.options(context, jobs, first.and_then(|it| it.bandwidth_limit));
    let progress = Progress::alone(&context.screen, None);
    let asked = &args.from_snapshot;
    // What goes into a folder needs no store.
    let needs_stores = args.in_place || !asked.is_asked();
    let table = if needs_stores { build::store_table(config)? } else { build::store_table_or_none(config)? };
    let mut known = KnownCopies::open(asked, context, destinations, jobs, &progress, stop)?;
    for (name, failure) in known.take_refused() {
        context.screen.warn(&report::of_destination(&name, &failure.text()));
    }
    let catalogue = known.catalogue(context)?;
    let mut names = vec![Names::Catalog(catalogue.as_catalog())];
    names.extend(destinations.iter().map(|it| Names::Ledger(known.ledger(), &it.name)));
    let default_store = table.default.0.clone();
    options.selection = selection_args::resolve(&args.selection.asked(), context, &names, &default_store, stop)?;
    let sinks = sinks(context, destinations)?;
    let from: Vec<SinkAt<'_>> = sinks.iter().map(|(name, sink)| SinkAt { name, sink: sink.as_ref() }).collect();
    let place = match &args.to {
        Some(folder) => RestorePlace::Folder(build::restore_folder(folder, &options.run)?),
        None => RestorePlace::Stores(table.writers(&options.run)),
    };
    let stores = table.into_stores();
    let setup = RestoreSetup {
        catalog: catalogue.as_catalog(),
        stores: &stores,
        ledger: known.ledger(),
        from: &from,
        to: match &place {
            RestorePlace::Folder(it) => Goal::Folder(it.as_ref()),
            RestorePlace::Stores(it) => Goal::InPlace(it),
        },
        observer: &progress,
        stop,
    };
    let done = restore(&setup, &options).map(in_words);
    let held_back = progress.finish();
    if !context.screen.is_chatty() && context.screen.verbosity != Verbosity::Quiet {
        held_back.iter().for_each(|it| context.screen.warn(it));
    }
    Ok(done?)
}

/// What was left out is among the notes, with the commands that show it.
fn in_words(mut summary: RestoreSummary) -> RestoreSummary {
    let left_out = std::mem::take(&mut summary.left_out);
    summary.notes.extend(left_out.into_iter().map(|(text, hint)| hint::with(text, Some(&hint))));
    summary
}

pub(super) type NamedSink<'a> = (&'a DestinationName, Box<dyn Sink>);

/// A destination that this version cannot read does not keep the others from helping.
pub(super) fn sinks<'a>(
    context: &Context,
    destinations: &[&'a Destination],
) -> Result<Vec<NamedSink<'a>>, CommandFailure> {
    let mut sinks = Vec::new();
    let mut refused = None;
    for destination in destinations {
        match build::sink(destination) {
            Ok(sink) => sinks.push((&destination.name, sink)),
            Err(error) => {
                if destinations.len() > 1 {
                    context.screen.warn(&chain(&error));
                }
                refused = Some(error);
            }
        }
    }
    match refused {
        Some(error) if sinks.is_empty() => Err(error.into()),
        _ => Ok(sinks),
    }
}

fn show(context: &Context, summary: &RestoreSummary) -> Result<(), CommandFailure> {
    let screen = &context.screen;
    let trouble = trouble(summary);
    if !trouble.is_empty() {
        screen.alarm(&trouble);
    }
    if screen.json {
        return screen.print_json(summary);
    }
    if screen.verbosity == Verbosity::Quiet {
        return Ok(());
    }
    screen.print(&text(summary))
}

fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The result in words.
fn text(summary: &RestoreSummary) -> String {
    let objects = summary.objects;
    let to = summary.to.as_deref().unwrap_or("the stores");
    let would = if summary.dry_run { "dry run, nothing was changed; would restore" } else { "restored" };
    let mut lines = vec![format!(
        "{would} {} of {}, {}, to {to}",
        count(objects.restored, "object"),
        data_files(summary.files),
        bytes(summary.bytes)
    )];
    let mut line = |count: u64, text: &str| {
        if count > 0 {
            lines.push(format!("  {count} {text}"));
        }
    };
    line(
        objects.replaced,
        if summary.dry_run { "of them in the place of damaged ones" } else { "of them took the place of damaged ones" },
    );
    line(objects.already_good, "already present, read and found good");
    line(objects.present, "already present; presence and size were checked");
    if summary.not_covered > 0 {
        lines.push(format!("  {} not covered by the backup, by rule", data_files(summary.not_covered)));
    }
    if summary.restricted_total > 0 {
        let ids: Vec<String> = summary.restricted.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if summary.restricted_total > NAMED as u64 { ", …" } else { "" };
        let total = data_files(summary.restricted_total);
        lines.push(format!("  restricted or embargoed, not for everybody: {total}: {}{more}", ids.join(", ")));
    }
    let verb = if summary.dry_run { "would be kept as" } else { "damaged bytes are kept as" };
    lines.extend(summary.kept.iter().take(NAMED).map(|it| format!("  {verb} {}", plain(it))));
    lines.extend(summary.notes.iter().map(|it| format!("  {}", plain(it))));
    lines.join("\n")
}

/// What is not there, for stderr; empty where all is well.
fn trouble(summary: &RestoreSummary) -> String {
    if summary.ending == ExitStatus::Safe {
        return String::new();
    }
    let what = match summary.ending {
        ExitStatus::DestinationDamaged => "copies at a destination are missing or damaged",
        ExitStatus::NotSafe => "some could not be given back",
        ExitStatus::Signalled(_) => "ended by a signal; run it again to continue",
        ExitStatus::Refused
        | ExitStatus::Unreachable
        | ExitStatus::NoSpace
        | ExitStatus::Locked
        | ExitStatus::Usage
        | ExitStatus::SourceDamaged
        | ExitStatus::Stopped
        | ExitStatus::Safe => summary.ending.text(),
    };
    let mut lines = vec![format!("restore: {what} (exit code {})", summary.exit_code)];
    lines.extend(summary.aborted.iter().map(|it| format!("  stopped early: {}", plain(it))));
    if summary.pending > 0 {
        lines.push(format!("  {} not checked", data_files(summary.pending)));
    }
    let findings = summary.damaged_copies.iter().chain(&summary.failures);
    for finding in findings.take(NAMED) {
        let id = finding.data_file_id.map(|it| format!("file {it}"));
        let name = finding.name.as_deref().or(finding.storage_identifier.as_deref());
        let parts = [id.as_deref(), finding.dataset.as_deref(), name, finding.key.as_deref()];
        let parts: Vec<_> = parts.into_iter().flatten().map(plain).collect();
        lines.push(format!("  {}: {}", parts.join(", "), plain(&finding.reason)));
    }
    let all = summary.objects.damaged_copies + summary.failures_total;
    if all > NAMED as u64 {
        lines.push(format!("  and {} more; see --json", all - NAMED as u64));
    }
    lines.join("\n")
}
