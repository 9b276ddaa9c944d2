//! `rebuild`: a lost ledger again, from what lies at the destination.

use std::fmt::Write as _;

use dvb_build as build;
use dvb_build::{BuildError, CatalogueReader};
use dvb_engine::{
    CancelToken, ClaimCounts, ExitStatus, RebuildOptions, RebuildSetup, RebuildSummary, new_run_id, rebuild,
};
use dvb_ledger::Ledger;

use super::destination_args::DestinationArgs;
use super::{Context, from_snapshot, init};
use crate::exit::CommandFailure;
use crate::outcome::{Counted, InWords, Outcome, Outcomes};
use crate::output::plain;
use crate::progress::Progress;
use crate::report::{self, data_files};
use crate::signals;
use dvb_config::Destination;

/// Make a lost ledger again from the destination
///
/// Takes over what the newest whole snapshot at the destination says, and looks whether each object that it names is
/// there with its size. Dataverse's database is not needed. The tables of the ledger are made where they are missing.
///
/// Nothing is OK by that: `status` shows all data files as PENDING. The next `run` proves the copies where they lie, by
/// their digests, and sends nothing again; `verify` proves them without Dataverse.
///
/// A destination that the ledger knows already is refused (exit code 7). A rebuild that was interrupted is called again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Exit codes of rebuild:
    0  every object that the snapshot names is there, to be proved
    4  some are missing or have another size, or there is no snapshot that is whole
    5  no connection to the destination or the ledger
    7  the ledger knows the destination already, or it holds the copies of another Dataverse
  128+N  ended by signal N; call it again")]
pub(crate) struct Args {
    #[command(flatten)]
    destinations: DestinationArgs,

    /// This snapshot instead of the newest: its name at the destination, or a file that was fetched before
    #[arg(long, value_name = "X")]
    snapshot: Option<String>,

    /// Take over the snapshot of another Dataverse too: otherwise one that has hardly a data file in common with this
    /// configuration's catalogue is refused (exit code 7), and so are snapshots of several installations
    #[arg(long)]
    accept_other_dataverse: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    from_snapshot::check(&from_snapshot::which(args.snapshot.as_deref()), &destinations)?;
    let stop = signals::stop(None)?;
    init::make_folder(&context.config)?;
    let ledger = build::ledger(&context.config, 1, &stop)?;
    ledger.migrate()?;
    let again = |destination: &Destination| make_again(args, context, destination, ledger.as_ref(), &stop);
    let one = |destination: &&Destination| Outcome::new(&destination.name, again(destination), &stop);
    let outcomes = Outcomes(destinations.iter().map(one).collect());
    outcomes.answer(&context.screen, "runs")?;
    Ok(outcomes.ending())
}

fn make_again(
    args: &Args,
    context: &Context,
    destination: &Destination,
    ledger: &dyn Ledger,
    stop: &CancelToken,
) -> Result<RebuildSummary, CommandFailure> {
    let sink = build::sink(destination)?;
    let progress = Progress::alone(&context.screen, Some(&destination.name));
    progress.begin("reading the snapshot");
    let catalogue = match build::catalogue(&context.config) {
        Ok(reader) => Some(reader),
        Err(BuildError::NoDatabase { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let setup = RebuildSetup {
        ledger,
        destination: &destination.name,
        sink: sink.as_ref(),
        catalogue: catalogue.as_ref().map(CatalogueReader::as_catalog),
        accept_other: args.accept_other_dataverse,
        observer: &progress,
        stop,
    };
    let options = RebuildOptions {
        run: new_run_id(),
        agent: build::agent(),
        which: from_snapshot::which(args.snapshot.as_deref()),
        auxiliary_objects: context.config.repository.auxiliary_objects,
        spool_folder: build::spool_folder(&context.config),
    };
    let done = rebuild(&setup, &options);
    progress.finish();
    Ok(done?)
}

impl InWords for RebuildSummary {
    fn ending(&self) -> ExitStatus {
        self.ending
    }

    fn text(&self) -> String {
        let ClaimCounts { files, gone, copies, missing, damaged, .. } = self.claimed;
        let mut text = format!(
            "destination {}: the ledger was made again from {}, the catalogue of {}\n  {}; {copies} copies are there, none \
         of them proved yet",
            self.destination,
            self.snapshot.name,
            self.made,
            data_files(files),
        );
        for (count, what) in [
            (gone, "had left Dataverse before; their copies are kept"),
            (missing, "copies are missing or have another size"),
            (damaged, "copies were known to be bad"),
        ] {
            if count > 0 {
                let _ = write!(text, "\n  {count} {what}");
            }
        }
        text + "\n  next: dataverse-backup run, which proves them where they lie, or dataverse-backup verify"
    }

    fn trouble(&self, limit: usize) -> String {
        let mut lines: Vec<String> =
            self.notes.iter().map(|note| report::of_destination(&self.destination, &plain(note))).collect();
        lines.extend(
            self.aborted.iter().map(|why| format!("destination {}: stopped early: {}", self.destination, plain(why))),
        );
        for missing in self.missing.iter().take(limit) {
            let id = missing.data_file_id.map(|it| format!("file {it}"));
            let parts =
                [id.as_deref(), missing.dataset.as_deref(), missing.name.as_deref(), Some(missing.key.as_str())];
            let parts: Vec<_> = parts.into_iter().flatten().map(plain).collect();
            lines.push(format!("  {}: {}", parts.join(", "), missing.reason));
        }
        let rest = self.claimed.missing.saturating_sub(self.missing.len().min(limit) as u64);
        if rest > 0 {
            lines.push(format!("  and {rest} more; see --json, or dataverse-backup status --failed"));
        }
        lines.join("\n")
    }

    fn found(&self) -> Vec<Counted> {
        vec![(self.claimed.missing, "missing copy", "missing copies")]
    }
}
