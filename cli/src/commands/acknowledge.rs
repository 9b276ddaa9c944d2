//! `acknowledge`: losses that are known for good.

use std::fmt::Write as _;

use dvb_build as build;
use dvb_engine::{
    AcknowledgeOptions, AcknowledgeSetup, AcknowledgeSummary, AcknowledgedFile, ExitStatus, acknowledge, new_run_id,
};
use dvb_model::{DestinationName, DvObjectId};

use super::Context;
use super::destination_args::DestinationArgs;
use crate::exit::CommandFailure;
use crate::monitor;
use crate::output::plain;

/// Accept that a data file is lost or damaged for good
///
/// It stops raising the alarm: `run`, `audit`, `verify` and `status` count it apart and do not end with 3 or 4 because of it,
/// and no mail is sent and no ping withheld for it. It stays in every report, with the reason and with who accepted it. When
/// anything about it changes (its verdict, its row in Dataverse, the number of its proved copies), it counts again by itself.
/// Only what a run has found missing or damaged can be acknowledged; nothing is deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of the data file in Dataverse's database; repeatable
    #[arg(long, value_name = "ID", required = true)]
    file: Vec<i64>,

    /// Why it is lost, in your words
    #[arg(long, value_name = "TEXT", required_unless_present = "withdraw", conflicts_with = "withdraw")]
    reason: Option<String>,

    /// Take the acknowledgement back: the data file counts again
    #[arg(long)]
    withdraw: bool,

    #[command(flatten)]
    destinations: DestinationArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    if args.reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(CommandFailure::Usage("--reason is empty: say why the data file is lost".to_owned()));
    }
    let destinations = context.destinations(&args.destinations.names)?;
    let names: Vec<DestinationName> = destinations.iter().map(|it| it.name.clone()).collect();
    let ledger = build::ledger(&context.config, 1, &dvb_engine::CancelToken::new())?;
    let setup = AcknowledgeSetup { ledger: ledger.as_ref(), destinations: &names };
    let options = AcknowledgeOptions {
        run: new_run_id(),
        agent: build::agent(),
        files: args.file.iter().copied().map(DvObjectId).collect(),
        reason: args.reason.clone(),
    };
    let summary = acknowledge(&setup, &options)?;
    if context.screen.json {
        context.screen.print_json(&summary)?;
    } else {
        context.screen.print(&text(&summary))?;
    }
    monitor::write(context, &[], None);
    Ok(summary.ending)
}

fn text(summary: &AcknowledgeSummary) -> String {
    let mut text = String::new();
    for AcknowledgedFile { data_file_id, destination, dataset, name, status, why_not, .. } in &summary.files {
        let parts: Vec<_> = [dataset.as_deref(), name.as_deref()].into_iter().flatten().map(plain).collect();
        let done = match why_not {
            None => "acknowledged".to_owned(),
            Some(why) => format!("not acknowledged: {why}"),
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "destination {destination}: file {data_file_id}, {} ({status}): {done}", parts.join(", "));
    }
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "stopped early: {}", plain(why));
    }
    text.trim_end().to_owned()
}
