//! `init`: makes the ledger, or brings it up to date, and the destinations.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::Duration;

use dvb_build::{self as build, BuildError};
use dvb_engine::{
    CancelToken, ExitStatus, PrepareOptions, PrepareSetup, Prepared, RunError, Samples, new_run_id, prepare,
};
use dvb_ledger::{Ledger, Migration};
use dvb_model::DestinationName;
use dvb_storage::Sink;
use serde::Serialize;

use super::Context;
use crate::exit::CommandFailure;
use crate::output::{Verbosity, plain};
use dvb_config::{Config, LedgerTarget};

/// How long a store is searched for each destination.
const PATIENCE: Duration = Duration::from_secs(20);

/// Make the ledger and the destinations, or bring the ledger up to date
///
/// Makes the tables of the backup database that [Database] BackupDatabase names, or brings them up to date. A table
/// `datafilestatus` of Dataverse's original script that is found there is adopted: its files are proved where they
/// lie, and not sent again. Calling it once more changes nothing.
///
/// Then it goes to each destination: makes its folder or container where that is missing, proves with an object of a random
/// name that it is no store and no other destination, and leaves this installation's id there.
///
/// A PostgreSQL database has to be there already (`createdb`). For a ledger in a file, the folder of the file is made
/// if only that one is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Destinations become this installation's, whosever they were
    ///
    /// A destination carries the id of the installation that stores there; another one's is refused (exit code 7).
    #[arg(long)]
    take_over: bool,
}

#[derive(Serialize)]
struct Done {
    ledger: String,
    from: u32,
    to: u32,
    adopted: Option<u64>,
    destinations: Vec<Destination>,
    exit_code: u8,
}

#[derive(Serialize)]
struct Destination {
    destination: DestinationName,
    place: Option<String>,
    #[serde(flatten)]
    prepared: Option<Prepared>,
    error: Option<String>,
    #[serde(skip)]
    ending: ExitStatus,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    make_folder(&context.config)?;
    let ledger = build::ledger(&context.config, 1, &CancelToken::new())?;
    let Migration { from, to, adopted } = ledger.migrate()?;
    let destinations = destinations(args, context, ledger.as_ref())?;
    let ending = destinations.iter().map(|it| it.ending).min().unwrap_or(ExitStatus::Safe);
    let done = Done { ledger: ledger.describe(), from, to, adopted, destinations, exit_code: ending.code() };
    let screen = &context.screen;
    for it in &done.destinations {
        if let (Some(Prepared { made: true, .. }), Some(place)) = (&it.prepared, &it.place) {
            screen.say(&format!("destination {} is new: made {}", it.destination, plain(place)));
        }
        if let Some(error) = &it.error {
            screen.fail(error);
        }
    }
    if screen.json {
        screen.print_json(&done)?;
    } else if screen.verbosity != Verbosity::Quiet {
        screen.print(&text(&done))?;
    }
    Ok(ending)
}

/// Each destination, ready for the first run; one that is not does not keep the others from it.
fn destinations(args: &Args, context: &Context, ledger: &dyn Ledger) -> Result<Vec<Destination>, CommandFailure> {
    let config = &context.config;
    let table = build::store_table_or_none(config)?;
    let stores = table.into_stores();
    let catalogue = match build::catalogue(config) {
        Ok(it) => Some(it),
        // Nothing is configured: it is asked for where it is needed.
        Err(BuildError::NoDatabase { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let samples = match catalogue.as_ref().map(|it| Samples::of(it.as_catalog(), &stores)) {
        Some(Ok(samples)) => samples,
        Some(Err(error)) => {
            context.screen.warn(&format!(
                "the catalogue could not be read ({}): the buckets and containers that its data files name were not searched \
                 for what was just stored at the destinations; the first run does that",
                CommandFailure::from(error).text()
            ));
            Samples::default()
        }
        None => Samples::default(),
    };
    let sinks: Vec<_> = config.destinations.iter().map(build::sink).collect();
    let named = config.destinations.iter().zip(&sinks);
    let usable: Vec<(&DestinationName, &dyn Sink)> =
        named.filter_map(|(it, sink)| Some((&it.name, sink.as_ref().ok()?.as_ref()))).collect();
    let setup = PrepareSetup { stores: &stores, samples: &samples, ledger, destinations: &usable };
    let options = PrepareOptions {
        run: new_run_id(),
        host: build::host_name(),
        catalogue: catalogue.map_or_else(|| "?".to_owned(), |it| it.as_catalog().describe()),
        take_over: args.take_over,
        patience: PATIENCE,
    };
    let places: Vec<String> = usable.iter().map(|it| it.1.describe()).collect();
    let mut done = prepare(&setup, &options).into_iter().zip(places);
    let one = |(destination, sink): (&dvb_config::Destination, Result<Box<dyn Sink>, _>)| {
        let (prepared, place) = match sink {
            Err(error) => (Err(CommandFailure::from(error)), None),
            // One answer a destination that can be had.
            Ok(_) => done.next().map_or((Err(RunError::NothingSelected.into()), None), |(it, place)| {
                (it.map_err(CommandFailure::from), Some(place))
            }),
        };
        let ending = prepared.as_ref().map_or_else(CommandFailure::ending, |_| ExitStatus::Safe);
        let (prepared, error) = match prepared {
            Ok(it) => (Some(it), None),
            Err(failure) => (None, Some(failure.text())),
        };
        Destination { destination: destination.name.clone(), place, prepared, error, ending }
    };
    Ok(config.destinations.iter().zip(sinks).map(one).collect())
}

fn text(done: &Done) -> String {
    let Done { ledger, from, to, adopted, .. } = done;
    let mut text = match (from, to) {
        (0, to) => format!("ledger {ledger}: made, version {to}"),
        (from, to) if from == to => format!("ledger {ledger}: up to date already, version {to}"),
        (from, to) => format!("ledger {ledger}: brought from version {from} to version {to}"),
    };
    if let Some(rows) = adopted {
        text += &format!(
            "\nadopted {rows} rows of the original's datafilestatus that are OK: the next run proves these files where \
             they lie. The table is now datafilestatus_original; a view takes its place"
        );
    }
    for Destination { destination, prepared, .. } in &done.destinations {
        let Some(Prepared { marked, notes, .. }) = prepared else { continue };
        let what = if *marked { "carries this installation's id from now on" } else { "is ready already" };
        text += &format!("\ndestination {destination}: {what}");
        notes.iter().for_each(|it| text += &format!("; {}", plain(it)));
    }
    text
}

/// The folder of a ledger in a file. More than the last folder missing is more likely a mistyped path, or a disk that is
/// not mounted.
pub(super) fn make_folder(config: &Config) -> Result<(), CommandFailure> {
    let LedgerTarget::Sqlite(ledger) = &config.database.ledger else { return Ok(()) };
    let Some(folder) = ledger.parent() else { return Ok(()) };
    let made = match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), |it| fs::File::open(it)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    let remedy = "create it, or correct the path in [Database] BackupDatabase";
    made.map_err(|source| CommandFailure::File {
        doing: "make the ledger's folder",
        path: folder.to_owned(),
        remedy,
        source,
    })
}
