//! `snapshots`: what each destination has of them.

use std::collections::BTreeSet;

use dvb_build as build;
use dvb_engine::{CancelToken, ExitStatus, NullObserver, RebuildSetup, SnapshotRow, list_snapshots, new_run_id};
use dvb_model::DestinationName;
use serde_json::{Value, json};

use super::destination_args::DestinationArgs;
use super::{Context, from_snapshot};
use crate::exit::CommandFailure;
use crate::output::plain;
use crate::report::{bytes, data_files, of_destination};
use crate::signals;
use dvb_config::Destination;

/// List the snapshots of the catalogue at each destination
///
/// The newest first, with its name as `--from-snapshot` and `rebuild --snapshot` take it, the run that left it, the time
/// of its catalogue, its data files and its size. Each is read to its end, which shows that it is whole. Neither a
/// database nor a ledger is needed: a configuration that has only the [Backup] section is enough.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    destinations: DestinationArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    let stop = signals::stop(None)?;
    let (mut ending, mut objects) = (ExitStatus::Safe, Vec::new());
    for destination in destinations {
        let name = &destination.name;
        match list(destination, &stop) {
            Ok(rows) => {
                if rows.iter().any(|it| it.problem.is_some()) {
                    ending = ending.min(ExitStatus::DestinationDamaged);
                }
                if !context.screen.json {
                    context.screen.print(&text(name, &rows))?;
                }
                objects.push(json!({ "destination": name, "snapshots": rows }));
            }
            Err(failure) => {
                ending = ending.min(failure.ending());
                context.screen.warn(&of_destination(name, &failure.text()));
                objects.push(json!({ "destination": name, "snapshots": Value::Null, "error": failure.text() }));
            }
        }
    }
    if context.screen.json {
        context.screen.print_json(&json!({ "destinations": objects, "exit_code": ending.code() }))?;
    }
    Ok(ending)
}

fn list(destination: &Destination, stop: &CancelToken) -> Result<Vec<SnapshotRow>, CommandFailure> {
    let folder = from_snapshot::scratch_folder()?;
    let ledger = build::passing_ledger(folder.path())?;
    let sink = build::sink(destination)?;
    let setup = RebuildSetup {
        // They are listed, whosever they are.
        catalogue: None,
        accept_other: false,
        ledger: ledger.as_ref(),
        destination: &destination.name,
        sink: sink.as_ref(),
        observer: &NullObserver,
        stop,
    };
    Ok(list_snapshots(&setup, &new_run_id(), folder.path())?)
}

fn text(destination: &DestinationName, rows: &[SnapshotRow]) -> String {
    if rows.is_empty() {
        return format!("destination {destination}: no snapshot; a run that changes something leaves one");
    }
    let mut lines = vec![format!("destination {destination}")];
    // Whose they are matters where they are not all of one.
    let several = rows.iter().map(|it| &it.installation).collect::<BTreeSet<_>>().len() > 1;
    lines.extend(rows.iter().map(|row| {
        let size = row.size.map(|it| format!(", {}", bytes(it))).unwrap_or_default();
        let newest = if row.newest { " (newest)" } else { "" };
        match (&row.problem, row.data_files) {
            (None, Some(files)) => {
                let made = row.made.as_deref().unwrap_or_default();
                let run = row.run.as_ref().map(|it| format!(", run {it}")).unwrap_or_default();
                let whose = match &row.installation {
                    Some(id) if several => format!(", installation {}", plain(id)),
                    None if several => ", of no installation that is told".to_owned(),
                    Some(_) | None => String::new(),
                };
                format!("  {}{newest}: catalogue of {made}, {}{size}{run}{whose}", plain(&row.name), data_files(files))
            }
            (why, _) => {
                format!("  {}: cannot be used: {}", plain(&row.name), plain(why.as_deref().unwrap_or_default()))
            }
        }
    }));
    lines.join("\n")
}
