//! `status`: what the ledger knows, without a look at anything else.

mod history;
mod require;
mod text;

use dvb_build as build;
use dvb_engine::{
    Asked, CancelToken, DestinationStatus, ExitStatus, FileHistory, FileStatus, Selection, StatusSetup,
    count_waiting_purges, gone_files, list_files, shortfall, status,
};
use dvb_ledger::Ledger;
use dvb_model::DestinationName;
use serde_json::{Map, Value, json};

pub(super) use history::incident_text;
use require::{Demand, lines, object};

use super::Context;
use super::destination_args::DestinationArgs;
use super::selection_args;
use crate::exit::CommandFailure;
use crate::output::{Screen, plain};

/// Say what is safe, and what is not and why
///
/// Asks the ledger alone; nothing is read or verified. The exit code says what would have to be done: 0 if nothing
/// failed and nothing is pending, 4 with a FAIL_VERIFY, 3 with a FAIL_CHECKSUM, else 1; also 1 as long as no run of
/// everything has ended for a destination. With --dataset or --file it is about these data files only, and a file or dataset that no
/// run has checked counts as pending. Where the last run was refused or could not work (7, 5, 2), its exit code counts
/// too: the numbers are those that it left. With several destinations, each data file is shown with how many of them have a
/// proved copy of it, also one from before it failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A line for each data file that is not safe: failed or pending
    ///
    /// With --json: JSON Lines, one object for each data file, and nothing else.
    #[arg(long)]
    failed: bool,

    /// The data files that have left Dataverse's database: since when, and where their copies lie
    ///
    /// Their copies are kept. With --dataset or --file, these alone. With --json: JSON Lines, as for --failed.
    #[arg(long, conflicts_with = "failed")]
    gone: bool,

    /// A line for each data file of this dataset, by any of its names; repeatable
    ///
    /// Its PID with or without `doi:` or `hdl:`, in any case, one that it had before, or an address: of doi.org,
    /// hdl.handle.net, or of its page in Dataverse.
    #[arg(long, value_name = "PID")]
    dataset: Vec<String>,

    /// Everything that is known of the data file with this id in Dataverse's database; repeatable
    ///
    /// Its copies, when each was first seen and last proved and by which evidence, and what was repaired of it. Its own
    /// PID and the address of its page are taken too.
    #[arg(long, value_name = "ID")]
    file: Vec<String>,

    #[command(flatten)]
    destinations: DestinationArgs,

    /// End with 1 unless this holds, and name what falls short: `copies=2,verified=90d,audited=1y`
    ///
    /// `copies`: each data file has a proved copy at so many destinations. `verified`: each copy was verified within this time.
    /// `audited`: each data file that is safe was read in its store within it. Each part may stand alone. Losses that were
    /// acknowledged are left out. The usual exit codes apply too.
    #[arg(long, value_name = "WHAT")]
    require: Option<Demand>,
}

impl Args {
    fn lists(&self) -> bool {
        !self.gone && (self.failed || self.selects())
    }

    fn selects(&self) -> bool {
        !self.gone && (!self.dataset.is_empty() || !self.file.is_empty())
    }

    /// Whether each data file is an object of its own with --json.
    fn is_lines(&self) -> bool {
        self.failed || self.gone
    }

    fn asked(&self) -> Asked {
        Asked { datasets: self.dataset.clone(), files: self.file.clone(), ..Asked::default() }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.destinations.names)?;
    let stop = CancelToken::new();
    let ledger = build::ledger(&context.config, 1, &stop)?;
    let several = context.config.destinations.len() > 1;
    let names: Vec<&DestinationName> = destinations.iter().map(|destination| &destination.name).collect();
    let catalogue = || Ok(build::catalogue(&context.config)?);
    let selection =
        selection_args::resolve_by_ledger(&args.asked(), context, ledger.as_ref(), &names, catalogue, &stop)?;
    let host = build::host_name();
    let teller = Teller { args, selection, screen: &context.screen, ledger: ledger.as_ref(), host: &host, several };
    let (mut ending, mut objects) = (ExitStatus::Safe, Vec::new());
    for name in &names {
        let (object, ends) = teller.destination(name)?;
        ending = ending.min(ends);
        objects.push(object);
    }
    let demanded = args.require.as_ref();
    let shortfall = demanded.map(|demanded| shortfall(ledger.as_ref(), &names, &demanded.0)).transpose()?;
    ending = shortfall.iter().fold(ending, |ending, shortfall| ending.min(shortfall.ending()));
    let spread = ledger.spread()?;
    let incidents = teller.incidents()?;
    let purges_waiting = count_waiting_purges(ledger.as_ref())?;
    let not_met = shortfall.as_ref().map(lines).unwrap_or_default();
    if context.screen.json && !args.is_lines() {
        let copies: Map<String, Value> =
            spread.iter().map(|(copies, files)| (copies.to_string(), (*files).into())).collect();
        let mut all = json!({
            "destinations": objects,
            "copies": copies,
            "purges_waiting": purges_waiting,
            "exit_code": ending.code(),
        });
        if let Some(incidents) = incidents {
            all["incidents"] = incidents;
        }
        if let Some(shortfall) = &shortfall {
            all["require"] = object(shortfall, &not_met);
        }
        context.screen.print_json(&all)?;
    } else if !context.screen.json && several {
        context.screen.print(&text::spread(&spread))?;
    }
    if purges_waiting > 0 && !context.screen.json {
        context
            .screen
            .say(&format!("lawful purges that are not done: {purges_waiting}; `dataverse-backup purge list` says why"));
    }
    for line in not_met {
        context.screen.say(&format!("not met: {line}"));
    }
    Ok(ending)
}

/// Prints what is known, destination by destination, or makes its objects.
struct Teller<'a> {
    args: &'a Args,
    selection: Selection,
    screen: &'a Screen,
    ledger: &'a dyn Ledger,
    host: &'a str,
    /// There are several destinations, so a data file may have several copies.
    several: bool,
}

impl Teller<'_> {
    /// What was mended of the data files that are asked for by their ids: printed, or by id.
    fn incidents(&self) -> Result<Option<Value>, CommandFailure> {
        let mut objects = Map::new();
        for id in self.selection.files.iter().chain(&self.selection.named_files).copied() {
            let incidents = FileHistory::of(self.ledger, id)?.incidents;
            if !self.screen.json && !incidents.is_empty() {
                let text: String = incidents.iter().map(incident_text).collect();
                self.screen.print(&format!("file {id}\n{}", text.trim_end()))?;
            }
            objects.insert(id.to_string(), json!(incidents));
        }
        Ok((!objects.is_empty()).then_some(objects.into()))
    }

    /// Prints the text of one destination, or makes its object; and what its state comes to.
    fn destination(&self, destination: &DestinationName) -> Result<(Value, ExitStatus), CommandFailure> {
        let Self { args, screen, .. } = self;
        let setup = StatusSetup { ledger: self.ledger, destination, host: self.host };
        let state = status(&setup, &self.selection)?;
        if !screen.json {
            screen.print(&text::overview(screen, &state))?;
        }
        for line in text::reservations(&state) {
            screen.say(&format!("destination {destination}: {line}"));
        }
        if args.gone {
            gone_files(&setup, &self.selection, |file| -> Result<(), CommandFailure> {
                if screen.json { screen.print_json(&file) } else { screen.print(&text::gone(&file)) }
            })?;
        }
        let (files, listed) = if args.lists() { self.files(&setup, &state)? } else { (None, ExitStatus::Safe) };
        self.show_datasets(&state)?;
        let mut object = json!(state);
        if let Some(files) = files {
            object["data_files"] = json!(files);
        }
        let ending = if args.selects() { listed.min(state.of_datasets()) } else { state.ending() };
        Ok((object, ending))
    }

    fn show_datasets(&self, state: &DestinationStatus) -> Result<(), CommandFailure> {
        let Self { args, screen, .. } = self;
        let datasets = &state.datasets;
        match (screen.json, args.lists()) {
            (true, _) if args.failed => datasets.iter().try_for_each(|dataset| screen.print_json(dataset)),
            (true, _) => Ok(()),
            (false, true) => datasets.iter().try_for_each(|dataset| screen.print(&text::dataset(dataset))),
            (false, false) if datasets.is_empty() => Ok(()),
            (false, false) => screen.print(&text::number_of_datasets(datasets.len())),
        }
    }

    /// Prints or gathers the data files that are asked for, and what they come to.
    fn files(
        &self,
        setup: &StatusSetup<'_>,
        state: &DestinationStatus,
    ) -> Result<(Option<Vec<FileStatus>>, ExitStatus), CommandFailure> {
        let Self { args, screen, selection, several, .. } = self;
        let destination = setup.destination;
        let mut gathered = Vec::new();
        let listed = list_files(setup, selection, state, args.failed, |file| -> Result<(), CommandFailure> {
            match (screen.json, args.failed) {
                (false, _) => return screen.print(&text::file(&file, *several)),
                (true, true) => return screen.print_json(&file),
                (true, false) => gathered.push(file),
            }
            Ok(())
        })?;
        if listed.is_unknown {
            let pids: Vec<_> = selection.datasets.iter().map(|pid| plain(pid)).collect();
            let pids = pids.join(", ");
            screen.say(&format!("destination {destination}: no run has checked a data file of dataset {pids} yet"));
        }
        for id in listed.unchecked {
            screen.say(&format!("destination {destination}: no run has checked data file {id} yet"));
        }
        Ok(((screen.json && !args.failed).then_some(gathered), listed.ending))
    }
}
