//! `purge`: delete by law, with every copy, what may not be kept.

mod text;

use std::time::Duration;

use dvb_build::{self as build, PurgeOpener};
use dvb_config::{Config, PurgeApproval};
use dvb_engine::{
    ApproveOptions, CancelToken, ExecuteOptions, ExitStatus, HoldOptions, Names, PurgeDestination, PurgeSetup,
    RequestOptions, approve_purge, execute_purges, list_purges, new_run_id, place_hold, release_hold, request_purge,
    withdraw_purge,
};
use dvb_model::DestinationName;
use dvb_storage::Sink;
use serde_json::json;

use super::Context;
use super::selection_args::{self, SelectionArgs};
use crate::exit::CommandFailure;
use crate::output::plain;
use crate::progress::Progress;
use crate::{monitor, signals};

/// Delete data files by law, with every copy: request, approve, execute
///
/// For personal data that was published by mistake, a takedown, a retention period that ended. `purge request` prints the exact
/// list of what is to go; another person approves that list by its digest; `purge execute` deletes it at every destination,
/// leaves a tombstone there, and proves by listings that nothing is left. What is locked, or at a destination that is away,
/// waits: call `purge execute` again, from a crontab for example. docs/purge.md says what is deleted and what stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Request(Box<RequestArgs>),
    Approve(ApproveArgs),
    Execute(ExecuteArgs),
    List(ListArgs),
    Withdraw(WithdrawArgs),
    Hold(HoldArgs),
    Release(ReleaseArgs),
}

/// Print the exact list of what is to go, and record the request
///
/// Nothing is deleted. The list has every object at every destination: all versions, copies that were set aside as damaged,
/// parts of large objects, versions and delete markers that the destination keeps. Refused for what Dataverse still has, above
/// --cap, under a hold, and where a destination cannot be listed now.
#[derive(Debug, clap::Args)]
struct RequestArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// On which legal basis, in a word: gdpr-17, takedown, retention
    #[arg(long, value_name = "WORD")]
    basis: String,

    /// The number of the case, or the letter that it rests on; without personal data, for it is kept
    #[arg(long, value_name = "TEXT")]
    reference: String,

    /// The most data files that this purge may be about
    #[arg(long, value_name = "N", default_value_t = 100)]
    cap: u64,

    /// Also what Dataverse still has; no run copies it again
    #[arg(long)]
    even_if_in_dataverse: bool,
}

/// Approve a purge, as another person than who requested it
///
/// The approval is for the list with this digest and no other one: what comes to it later is not deleted, but refused. Not
/// before its grace is over (PurgeGrace). With `PurgeApproval: none` the requester may approve it.
#[derive(Debug, clap::Args)]
struct ApproveArgs {
    /// Number of the purge, as `purge request` and `purge list` show it
    id: u64,

    /// The digest of its list, or its first 16 digits at least
    digest: String,
}

/// Delete what is approved, at every destination
///
/// It may be called as often as you like: what is done stays done, and what waits is tried again. Ends with 0 when nothing is
/// left of any approved purge, 1 while something is locked, 5 while a destination is away.
#[derive(Debug, clap::Args)]
struct ExecuteArgs {
    /// Only this purge
    id: Option<u64>,
}

/// List the purges and the holds, with what each is waiting for
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only what is still open
    #[arg(long)]
    open: bool,
}

/// Give up a purge before anything was deleted
#[derive(Debug, clap::Args)]
struct WithdrawArgs {
    /// Number of the purge
    id: u64,
}

/// Say that data files or datasets may not be purged, whoever asks
///
/// A dataset is held with all data files that it has or will have.
#[derive(Debug, clap::Args)]
struct HoldArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// The number of the case, or why
    #[arg(long, value_name = "TEXT")]
    reference: String,
}

/// Release a hold
#[derive(Debug, clap::Args)]
struct ReleaseArgs {
    /// Number of the hold, as `purge list` shows it
    id: u64,

    /// The number of the case, or why
    #[arg(long, value_name = "TEXT")]
    reference: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let done = match &args.command {
        Action::Request(args) => request(args, context),
        Action::Approve(args) => approve(args, context),
        Action::Execute(args) => execute(args, context),
        Action::List(args) => list(args, context),
        Action::Withdraw(args) => withdraw(args, context),
        Action::Hold(args) => hold(args, context),
        Action::Release(args) => release(args, context),
    };
    if !matches!(args.command, Action::List(_)) {
        monitor::write(context, &[], None);
    }
    done
}

/// Every destination of the configuration, with what deletes there.
struct Sites {
    names: Vec<DestinationName>,
    sinks: Vec<Box<dyn Sink>>,
    openers: Vec<PurgeOpener>,
}

impl Sites {
    fn open(config: &Config) -> Result<Self, CommandFailure> {
        let (mut sinks, mut openers) = (Vec::new(), Vec::new());
        for destination in &config.destinations {
            sinks.push(build::sink(destination)?);
            openers.push(build::purger(destination)?);
        }
        let names = config.destinations.iter().map(|it| it.name.clone()).collect();
        Ok(Self { names, sinks, openers })
    }

    fn all(&self) -> Vec<PurgeDestination<'_>> {
        let parts = self.names.iter().zip(&self.sinks).zip(&self.openers);
        parts.map(|((name, sink), purger)| PurgeDestination { name, sink: sink.as_ref(), purger }).collect()
    }
}

fn request(args: &RequestArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let config = &context.config;
    let stop = signals::stop(None)?;
    let ledger = build::ledger(config, 2, &stop)?;
    let catalogue = build::catalogue(config)?;
    let sites = Sites::open(config)?;
    let default_store = build::default_store(config, true)?;
    // What has left Dataverse is known to the ledger alone.
    let mut names: Vec<Names<'_>> = sites.names.iter().map(|it| Names::Ledger(ledger.as_ref(), it)).collect();
    names.push(Names::Catalog(catalogue.as_catalog()));
    let selection = selection_args::resolve(&args.selection.asked(), context, &names, &default_store.0, &stop)?;
    let progress = Progress::alone(&context.screen, None);
    let destinations = sites.all();
    let setup = PurgeSetup { ledger: ledger.as_ref(), destinations: &destinations, observer: &progress, stop: &stop };
    let options = RequestOptions {
        run: new_run_id(),
        agent: build::agent(),
        person: build::person(),
        selection,
        default_store,
        basis: args.basis.clone(),
        reference: args.reference.clone(),
        cap: args.cap,
        even_if_in_dataverse: args.even_if_in_dataverse,
        grace: config.repository.purge_grace,
    };
    let done = request_purge(&setup, catalogue.as_catalog(), &options);
    progress.finish();
    let summary = done?;
    summary.notes.iter().for_each(|it| context.screen.warn(it));
    if context.screen.json {
        context.screen.print_json(&text::request_object(&summary))?;
    } else {
        context.screen.print(&text::request(&summary))?;
    }
    Ok(summary.ending)
}

fn approve(args: &ApproveArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &CancelToken::new())?;
    let purge = approve_purge(ledger.as_ref(), &approve_options(context), args.id, &args.digest)?;
    if context.screen.json {
        context.screen.print_json(&json!({ "purge": purge, "exit_code": ExitStatus::Safe.code() }))?;
    } else {
        let by = purge.approved.as_ref().map(|it| it.user.clone()).unwrap_or_default();
        let text = format!("purge {} is approved by {}; purge execute deletes it", purge.number, plain(&by));
        context.screen.print(&text)?;
    }
    Ok(ExitStatus::Safe)
}

fn approve_options(context: &Context) -> ApproveOptions {
    ApproveOptions {
        run: new_run_id(),
        agent: build::agent(),
        person: build::person(),
        two_persons: context.config.repository.purge_approval == PurgeApproval::TwoPerson,
    }
}

fn withdraw(args: &WithdrawArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &CancelToken::new())?;
    let purge = withdraw_purge(ledger.as_ref(), &approve_options(context), args.id)?;
    if context.screen.json {
        context.screen.print_json(&json!({ "purge": purge, "exit_code": ExitStatus::Safe.code() }))?;
    } else {
        context.screen.print(&format!("purge {} is withdrawn; nothing was deleted", purge.number))?;
    }
    Ok(ExitStatus::Safe)
}

fn execute(args: &ExecuteArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let config = &context.config;
    let stop = signals::stop(None)?;
    let ledger = build::ledger(config, 2, &stop)?;
    let catalogue = build::catalogue(config)?;
    let sites = Sites::open(config)?;
    let progress = Progress::alone(&context.screen, None);
    let destinations = sites.all();
    let setup = PurgeSetup { ledger: ledger.as_ref(), destinations: &destinations, observer: &progress, stop: &stop };
    let options = ExecuteOptions {
        run: new_run_id(),
        agent: build::agent(),
        person: build::person(),
        number: args.id,
        spool_folder: build::spool_folder(config),
    };
    let done = execute_purges(&setup, catalogue.as_catalog(), &options);
    progress.finish();
    let summary = done?;
    if context.screen.json {
        context.screen.print_json(&summary)?;
    } else {
        context.screen.print(&text::executed(&summary))?;
    }
    Ok(summary.ending)
}

fn list(args: &ListArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &CancelToken::new())?;
    let mut purges = list_purges(ledger.as_ref())?;
    let mut holds = ledger.holds()?;
    if args.open {
        purges.retain(|it| it.purge.state.is_open());
        holds.retain(|it| it.released.is_none());
    }
    let waiting = purges.iter().filter(|it| it.purge.state.is_open()).count();
    let ending = if waiting == 0 { ExitStatus::Safe } else { ExitStatus::NotSafe };
    if context.screen.json {
        let holds: Vec<_> = holds.iter().map(text::hold_object).collect();
        let object = json!({ "purges": purges, "holds": holds, "waiting": waiting, "exit_code": ending.code() });
        context.screen.print_json(&object)?;
    } else {
        context.screen.print(&text::listed(&purges, &holds))?;
    }
    Ok(ending)
}

fn hold(args: &HoldArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let config = &context.config;
    let stop = signals::stop(Some(Duration::from_secs(600)))?;
    let ledger = build::ledger(config, 1, &stop)?;
    let names: Vec<&DestinationName> = config.destinations.iter().map(|it| &it.name).collect();
    let asked = args.selection.asked();
    let catalogue = || Ok(build::catalogue(config)?);
    let selection = selection_args::resolve_by_ledger(&asked, context, ledger.as_ref(), &names, catalogue, &stop)?;
    let hold = place_hold(ledger.as_ref(), &hold_options(&args.reference), &selection)?;
    if context.screen.json {
        let object = json!({ "hold": text::hold_object(&hold), "exit_code": ExitStatus::Safe.code() });
        context.screen.print_json(&object)?;
    } else {
        context.screen.print(&format!("hold {} is placed on {}", hold.number, plain(&hold.scope)))?;
    }
    Ok(ExitStatus::Safe)
}

fn hold_options(reference: &str) -> HoldOptions {
    HoldOptions { run: new_run_id(), agent: build::agent(), person: build::person(), reference: reference.to_owned() }
}

fn release(args: &ReleaseArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &CancelToken::new())?;
    let hold = release_hold(ledger.as_ref(), &hold_options(&args.reference), args.id)?;
    if context.screen.json {
        let object = json!({ "hold": text::hold_object(&hold), "exit_code": ExitStatus::Safe.code() });
        context.screen.print_json(&object)?;
    } else {
        context.screen.print(&format!("hold {} is released", hold.number))?;
    }
    Ok(ExitStatus::Safe)
}
