//! `orphans`: what lies at the destinations that the ledger does not name.

use dvb_build as build;
use dvb_engine::{
    CancelToken, ExitStatus, KnownBy, MissingObject, Orphan, OrphansOptions, OrphansSetup, OrphansSummary, new_run_id,
    orphans,
};
use dvb_ledger::Ledger;
use dvb_model::DestinationName;
use serde_json::json;

use super::Context;
use super::destination_args::DestinationArgs;
use crate::exit::CommandFailure;
use crate::output::{Screen, plain};
use crate::progress::Progress;
use crate::{outcome, report, signals};
use dvb_config::Destination;

/// Missing objects that are held in memory at once: some 50 MB.
const HELD: usize = 100_000;

/// List what lies at the destinations that the ledger does not name
///
/// Lists every object at the destination, less those that a copy of the ledger, or a reservation for one, has the key of.
/// What the backup keeps for itself (.dataverse-backup) is left out. The rest is compared with what is missing: data
/// files of the catalogue without a proved copy there, and copies that `verify` found missing or changed. Only objects
/// of equal size are measured, by the server's own digest or by reading them back, and named where the digest is equal
/// to Dataverse's checksum or to what was first seen.
///
/// Nothing is deleted, moved or adopted. To take one up by hand, move it to where the missing copy belongs: `verify`
/// proves it there.
///
/// The exit code is 0 whatever was found, 1 where something could not be listed or compared, 5 where the program
/// cannot connect to the destination or a database. With --json, one object; it is written as it is found, so it may be long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    destinations: DestinationArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    let stop = signals::stop(None)?;
    let ledger = build::ledger(&context.config, 2, &stop)?;
    let listing = Listing { context, ledger: ledger.as_ref(), stop: &stop };
    let mut page = OrphanPrinter::new(&context.screen);
    page.begin()?;
    let mut ending = ExitStatus::Safe;
    for destination in destinations {
        ending = ending.min(listing.of(destination, &mut page)?);
    }
    page.end(ending)?;
    Ok(ending)
}

struct Listing<'a> {
    context: &'a Context,
    ledger: &'a dyn Ledger,
    stop: &'a CancelToken,
}

impl Listing<'_> {
    fn of(&self, destination: &Destination, page: &mut OrphanPrinter<'_>) -> Result<ExitStatus, CommandFailure> {
        let screen = &self.context.screen;
        let mut printed = Ok(());
        let done = self.list(destination, &mut |orphan| {
            if printed.is_ok() {
                printed = page.orphan(orphan);
            }
        });
        printed?;
        match done {
            Ok(summary) => {
                page.summary(&summary)?;
                let trouble = trouble(&summary);
                if !trouble.is_empty() {
                    screen.alarm(&trouble);
                }
                Ok(summary.ending)
            }
            Err(failure) => {
                page.failure(&destination.name, &failure)?;
                Ok(outcome::ending(Err(&failure), self.stop))
            }
        }
    }

    fn list(&self, destination: &Destination, show: &mut dyn FnMut(&Orphan)) -> Result<OrphansSummary, CommandFailure> {
        let Context { config, screen, .. } = self.context;
        let sink = build::sink(destination)?;
        let catalogue = build::catalogue(config)?;
        let names = config.destinations.iter().map(|it| it.name.clone());
        let others: Vec<DestinationName> = names.filter(|it| *it != destination.name).collect();
        let progress = Progress::alone(screen, Some(&destination.name));
        progress.begin("listing");
        let setup = OrphansSetup {
            catalog: catalogue.as_catalog(),
            ledger: self.ledger,
            destination: &destination.name,
            others: &others,
            sink: sink.as_ref(),
            observer: &progress,
            stop: self.stop,
        };
        let options = OrphansOptions { run: new_run_id(), spool_folder: build::spool_folder(config), held: HELD };
        let done = orphans(&setup, &options, show);
        progress.finish().iter().for_each(|it| screen.warn(it));
        Ok(done?)
    }
}

/// What is printed, as it is found: lines, or the parts of one JSON object.
struct OrphanPrinter<'a> {
    screen: &'a Screen,
    /// Destinations before this one.
    destinations: u32,
    /// Orphans of this destination so far.
    orphans: u64,
}

impl<'a> OrphanPrinter<'a> {
    fn new(screen: &'a Screen) -> Self {
        Self { screen, destinations: 0, orphans: 0 }
    }

    fn begin(&self) -> Result<(), CommandFailure> {
        if self.screen.json { self.screen.print("{\"destinations\":[") } else { Ok(()) }
    }

    fn separator(&self) -> &'static str {
        if self.destinations > 0 { "," } else { "" }
    }

    fn orphan(&mut self, orphan: &Orphan) -> Result<(), CommandFailure> {
        let is_first = self.orphans == 0;
        self.orphans += 1;
        if !self.screen.json {
            return self.screen.print(&text(orphan));
        }
        let begin = if is_first { format!("{}{{\"orphans\":[", self.separator()) } else { ",".to_owned() };
        self.screen.print(&begin)?;
        self.screen.print_json(orphan)
    }

    fn summary(&mut self, summary: &OrphansSummary) -> Result<(), CommandFailure> {
        if self.screen.json {
            if self.orphans == 0 {
                self.screen.print(&format!("{}{{\"orphans\":[", self.separator()))?;
            }
            let rest = serde_json::to_string(summary).map_err(|it| CommandFailure::Output(it.into()))?;
            self.screen.print(&format!("],{}", rest.trim_start_matches('{')))?;
        } else {
            self.screen.print(&summary_text(summary))?;
        }
        (self.destinations, self.orphans) = (self.destinations + 1, 0);
        Ok(())
    }

    fn failure(&mut self, destination: &DestinationName, failure: &CommandFailure) -> Result<(), CommandFailure> {
        let text = failure.text();
        self.screen.fail(&report::of_destination(destination, &text));
        if self.screen.json {
            let object = json!({ "destination": destination, "exit_code": failure.ending().code(), "error": text });
            self.screen.print(&format!("{}{object}", self.separator()))?;
        }
        self.destinations += 1;
        Ok(())
    }

    fn end(&self, ending: ExitStatus) -> Result<(), CommandFailure> {
        if self.screen.json { self.screen.print(&format!("],\"exit_code\":{}}}", ending.code())) } else { Ok(()) }
    }
}

fn text(orphan: &Orphan) -> String {
    let mut text = format!("{}  {}", plain(&orphan.key), report::bytes(orphan.size));
    for it in &orphan.is {
        text += &format!("\n    this object is {}", owner(it));
    }
    if let Some(why) = &orphan.unreadable {
        text += &format!("\n    could not be compared: {}", plain(why));
    }
    text
}

/// Whose object it is: `data file 11's river.csv (doi:…, main), by Dataverse's MD5`.
fn owner(it: &MissingObject) -> String {
    let MissingObject { data_file_id, dataset, storage_identifier, name, object, key, digest, known_by } = it;
    let name = name.as_deref().or(storage_identifier.as_deref()).map(plain);
    let whose = match (data_file_id, name) {
        (Some(id), Some(name)) => format!("data file {id}'s {name}"),
        (Some(id), None) => format!("data file {id}'s"),
        (None, _) => "a dataset's own".to_owned(),
    };
    let dataset = dataset.as_deref().map(|it| format!("{}, ", plain(it))).unwrap_or_default();
    let who = match known_by {
        KnownBy::Dataverse => "Dataverse's",
        KnownBy::Ledger => "the ledger's",
    };
    let place = key.as_ref().map(|it| format!("; its copy belongs at {}", plain(it.as_str()))).unwrap_or_default();
    format!("{whose} ({dataset}{object}), by {who} {}{place}", digest.algorithm())
}

fn summary_text(it: &OrphansSummary) -> String {
    let OrphansSummary { listed, orphans_total: orphans, bytes, matched, missing_files, destination, .. } = it;
    let objects = if *listed == 1 { "object" } else { "objects" };
    let mut text = format!(
        "destination {destination}: {listed} {objects}, {orphans} of them unknown to the ledger ({})",
        report::bytes(*bytes)
    );
    if *orphans > 0 {
        text += &format!("; {matched} recognised; {} without a good copy here", report::data_files(*missing_files));
    }
    text
}

/// What is wrong, for stderr; empty where all is well.
fn trouble(summary: &OrphansSummary) -> String {
    let mut lines = Vec::new();
    if let Some(why) = &summary.aborted {
        let why = report::below_headline(&summary.destination, why);
        lines.push(format!("destination {}: not compared with what is missing: {}", summary.destination, plain(why)));
    }
    lines.extend(summary.unlisted.iter().map(|why| report::of_destination(&summary.destination, &plain(why))));
    let rest = summary.unlisted_total.saturating_sub(summary.unlisted.len() as u64);
    if rest > 0 {
        lines.push(format!("destination {}: {rest} more folders could not be listed", summary.destination));
    }
    if summary.unreadable > 0 {
        lines.push(format!(
            "destination {}: {} could not be compared; see above",
            summary.destination, summary.unreadable
        ));
    }
    lines.join("\n")
}
