//! `drill`: does what was backed up come back?

use std::fmt::Write as _;
use std::fs;

use dvb_build as build;
use dvb_config::Destination;
use dvb_engine::{CancelToken, DrillOptions, DrillSetup, DrillSummary, ExitStatus, Names, SinkAt, drill, new_run_id};

use super::Context;
use super::destination_args::DestinationArgs;
use super::from_snapshot::{self, FromSnapshot, KnownCopies};
use super::selection_args::{self, SelectionArgs};
use crate::exit::CommandFailure;
use crate::notice::{self, Notice, Reach};
use crate::outcome::{Counted, InWords, Outcome, Outcomes};
use crate::output::plain;
use crate::progress::Progress;
use crate::report::{bytes, data_files};
use crate::signals;

/// Restore a random sample from a destination, compare it, and record that
///
/// The sample goes into a temporary folder (where TMPDIR is), from each destination alone: neither the stores nor another
/// destination helps. Every byte is compared with the ledger's SHA-256 and with the checksum that Dataverse recorded, and the
/// folder is removed. Sample, bytes, duration and result become a row of the event log. The exit code is 0 where everything
/// came back as it was, 4 where a copy is missing or damaged.
///
/// What it finds is mailed, and written for monitoring, as after a run ([Notifications] in the configuration).
///
/// With --from-snapshot no database is needed: what the destination tells of itself is all that is used; such a drill is not
/// recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many data files, by chance
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    pub(crate) from_snapshot: FromSnapshot,

    #[command(flatten)]
    destinations: DestinationArgs,

    /// Files in flight, instead of Jobs in the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    // Always of a part.
    let reach = Reach { is_whole: true, is_recorded: !args.from_snapshot.is_asked() };
    notice::conclude(context, "drill", &destinations, reach, perform(args, context, &destinations))
}

fn perform(args: &Args, context: &Context, destinations: &[&Destination]) -> Result<Notice, CommandFailure> {
    let stop = signals::stop(None)?;
    let one =
        |destination: &&Destination| Outcome::new(&destination.name, one(args, context, destination, &stop), &stop);
    let outcomes = Outcomes(destinations.iter().map(one).collect());
    outcomes.tell(&context.screen, "destinations")?;
    Ok(outcomes.notice("drill"))
}

fn one(
    args: &Args,
    context: &Context,
    destination: &Destination,
    stop: &CancelToken,
) -> Result<DrillSummary, CommandFailure> {
    let config = &context.config;
    let progress = Progress::alone(&context.screen, Some(&destination.name));
    let jobs = args.jobs.unwrap_or(destination.jobs);
    let known = KnownCopies::open(&args.from_snapshot, context, &[destination], jobs, &progress, stop)?;
    let catalogue = known.catalogue(context)?;
    let table = build::store_table_or_none(config)?;
    let names = [Names::Catalog(catalogue.as_catalog()), Names::Ledger(known.ledger(), &destination.name)];
    let default_store = table.default.0.clone();
    let selection = selection_args::resolve(&args.selection.asked(), context, &names, &default_store, stop)?;
    let sink = build::sink(destination)?;
    let scratch = from_snapshot::scratch_folder()?;
    let folder = scratch.path().join("drill");
    let options = DrillOptions {
        run: new_run_id(),
        agent: build::agent(),
        selection,
        sample: Some(args.sample as usize),
        jobs: jobs as usize,
        bandwidth_limit: destination.bandwidth_limit,
        auxiliary_objects: config.repository.auxiliary_objects,
        spool_folder: scratch.path().to_owned(),
    };
    let to = build::restore_folder(&folder, &options.run)?;
    let stores = table.into_stores();
    let setup = DrillSetup {
        catalog: catalogue.as_catalog(),
        stores: &stores,
        ledger: known.ledger(),
        from: SinkAt { name: &destination.name, sink: sink.as_ref() },
        to: to.as_ref(),
        folder: &folder,
        observer: &progress,
        stop,
    };
    let done = drill(&setup, &options);
    progress.finish();
    drop(to);
    if folder.exists() {
        let doing = "remove";
        let remedy = "what was restored for the drill is in it: remove it";
        fs::remove_dir_all(&folder).map_err(|source| CommandFailure::File {
            doing,
            path: folder.clone(),
            remedy,
            source,
        })?;
    }
    Ok(done?)
}

impl InWords for DrillSummary {
    fn ending(&self) -> ExitStatus {
        self.ending
    }

    fn text(&self) -> String {
        let seconds = std::time::Duration::from_millis(self.milliseconds).as_secs_f64();
        format!(
            "destination {}: {} of {} came back as they were ({} of them by Dataverse's checksum), {} in {seconds:.1} s; the sample \
         is of {}",
            self.destination,
            self.good,
            data_files(self.sample),
            self.by_dataverse,
            bytes(self.bytes),
            data_files(self.population)
        )
    }

    fn trouble(&self, limit: usize) -> String {
        if self.ending == ExitStatus::Safe {
            return String::new();
        }
        let mut text =
            format!("destination {}: drill: {} (exit code {})\n", self.destination, self.ending.text(), self.exit_code);
        if let Some(why) = &self.aborted {
            let _ = writeln!(text, "  gave up: {}", plain(why));
        }
        for finding in self.failures.iter().take(limit) {
            let id = finding.data_file_id.map(|id| format!("file {id}"));
            let parts = [id.as_deref(), finding.dataset.as_deref(), finding.name.as_deref()];
            let parts: Vec<_> = parts.into_iter().flatten().map(plain).collect();
            let _ = writeln!(text, "  {}: {}", parts.join(", "), plain(&finding.reason));
        }
        text.trim_end().to_owned()
    }

    fn found(&self) -> Vec<Counted> {
        let lost = if self.aborted.is_some() { 0 } else { self.sample.saturating_sub(self.good) };
        vec![(lost, "data file that does not come back", "data files that do not come back")]
    }
}
