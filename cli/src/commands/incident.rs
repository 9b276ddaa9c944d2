//! `incident`: damage and loss that was found, and what the administrator says of it.

use dvb_build as build;
use dvb_engine::{ExitStatus, IncidentStatus};
use serde_json::json;

use super::Context;
use super::status::incident_text;
use crate::exit::CommandFailure;

/// List damage and loss that was found, and add its cause in your words
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    List(ListArgs),
    Note(NoteArgs),
}

/// List the incidents, the first one first
///
/// An incident is damage or loss of one object on one side. It is opened when any command finds it, and closed when the object
/// is good again. Damage that is found again while it is open is the same incident. Ends with 1 while any is open.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those that are still open
    #[arg(long)]
    open: bool,
}

/// Say what caused an incident; your words replace those before
#[derive(Debug, clap::Args)]
struct NoteArgs {
    /// Number of the incident, as `incident list` shows it
    number: u64,

    /// The cause, in your words
    text: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    match &args.command {
        Action::List(args) => list(args, context),
        Action::Note(args) => note(args, context),
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &dvb_engine::CancelToken::new())?;
    let open = ledger.count_open_incidents()?;
    let ending = if open == 0 { ExitStatus::Safe } else { ExitStatus::NotSafe };
    let mut all = Vec::new();
    ledger.visit_incidents(args.open, &mut |incident| all.push((incident.id, IncidentStatus::of(incident))))?;
    if context.screen.json {
        let incidents: Vec<_> = all.iter().map(|(_, incident)| incident).collect();
        let object = json!({ "incidents": incidents, "open": open, "exit_code": ending.code() });
        context.screen.print_json(&object)?;
        return Ok(ending);
    }
    for (id, incident) in &all {
        context.screen.print(&format!("file {id}\n{}", incident_text(incident).trim_end()))?;
    }
    context.screen.print(&format!("{} incidents, {open} of all open", all.len()))?;
    Ok(ending)
}

fn note(args: &NoteArgs, context: &Context) -> Result<ExitStatus, CommandFailure> {
    if args.text.trim().is_empty() {
        return Err(CommandFailure::Usage("the note is empty: say what caused the incident".to_owned()));
    }
    let ledger = build::ledger(&context.config, 1, &dvb_engine::CancelToken::new())?;
    if !ledger.note_incident(args.number, &args.text, &build::agent().user)? {
        let text = format!("there is no incident {}; incident list shows those that there are", args.number);
        return Err(CommandFailure::Usage(text));
    }
    if context.screen.json {
        let code = ExitStatus::Safe.code();
        context.screen.print_json(&json!({ "incident": args.number, "note": args.text, "exit_code": code }))?;
    } else {
        context.screen.print(&format!("incident {}: the note is recorded", args.number))?;
    }
    Ok(ExitStatus::Safe)
}
