//! The commands, one a file: what each takes, and what it does.

mod acknowledge;
mod audit;
mod catalogue;
mod check;
mod completions;
mod configure;
mod destination_args;
mod drill;
mod from_snapshot;
mod incident;
mod init;
mod join_args;
mod man;
mod orphans;
mod purge;
mod rebuild;
mod repair;
mod report;
mod restore;
mod run;
mod selection_args;
mod snapshots;
mod status;
mod verify;
mod verify_args;

use clap::Subcommand;
use dvb_build as build;
use dvb_engine::ExitStatus;

use crate::args::Arguments;
use crate::exit::CommandFailure;
use crate::last_resort;
use crate::output::{self, Level, Screen};
use crate::trace;
use dvb_config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Configure(configure::Args),
    Init(init::Args),
    Run(Box<run::Args>),
    Check(check::Args),
    Status(status::Args),
    Verify(Box<verify::Args>),
    Audit(Box<audit::Args>),
    Restore(Box<restore::Args>),
    Drill(drill::Args),
    Orphans(orphans::Args),
    Rebuild(rebuild::Args),
    Snapshots(snapshots::Args),
    Repair(Box<repair::Args>),
    Incident(incident::Args),
    Acknowledge(acknowledge::Args),
    Purge(purge::Args),
    Report(report::Args),
    Catalogue(catalogue::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// What a command works with.
pub(crate) struct Context {
    pub(crate) screen: Screen,
    pub(crate) config: Config,
}

/// Does what was asked, and says why where it cannot.
pub(crate) fn perform(arguments: Arguments) -> ExitStatus {
    let screen = Screen::new(&arguments);
    last_resort::prepare(screen);
    let ending = begin(&arguments, screen).and_then(|()| dispatch(arguments, screen)).unwrap_or_else(|failure| {
        let (text, ending) = (failure.text(), failure.ending());
        screen.fail(&text);
        if screen.json {
            last_resort::result_is_coming();
            output::print_error_object(&text, ending.code());
        }
        ending
    });
    screen.record(Level::Info, &format!("ended with exit code {}: {}", ending.code(), ending.text()));
    ending
}

/// Opens the log and the trace, where they are wanted.
fn begin(arguments: &Arguments, screen: Screen) -> Result<(), CommandFailure> {
    if let Some(path) = &arguments.log {
        output::open_log(path)
            .map_err(|error| CommandFailure::Usage(format!("cannot write the log {}: {error}", path.display())))?;
        let words: Vec<_> = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned()).collect();
        screen.record(Level::Info, &format!("began, version {}: {}", env!("CARGO_PKG_VERSION"), words.join(" ")));
    }
    if arguments.verbose > 1
        && let Err(error) = trace::show(screen)
    {
        screen.warn(&format!("cannot show the trace: {error}"));
    }
    Ok(())
}

fn dispatch(arguments: Arguments, screen: Screen) -> Result<ExitStatus, CommandFailure> {
    let context = || -> Result<Context, CommandFailure> {
        Ok(Context { screen, config: build::config(arguments.config.as_deref())? })
    };
    let without_database = || -> Result<Context, CommandFailure> {
        Ok(Context { screen, config: build::config_without_database(arguments.config.as_deref())? })
    };
    match arguments.command {
        Command::Restore(args) if args.from_snapshot.is_asked() => restore::run(&args, &without_database()?),
        Command::Verify(args) if args.from_snapshot.is_asked() => verify::run(&args, &without_database()?),
        Command::Drill(args) if args.from_snapshot.is_asked() => drill::run(&args, &without_database()?),
        Command::Snapshots(args) => snapshots::run(&args, &without_database()?),
        Command::Rebuild(args) => rebuild::run(&args, &without_database()?),
        Command::Init(args) => init::run(&args, &context()?),
        Command::Run(args) => run::run(&args, &context()?),
        Command::Check(args) => check::run(&args, &context()?),
        Command::Status(args) => status::run(&args, &context()?),
        Command::Verify(args) => verify::run(&args, &context()?),
        Command::Audit(args) => audit::run(&args, &context()?),
        Command::Restore(args) => restore::run(&args, &context()?),
        Command::Drill(args) => drill::run(&args, &context()?),
        Command::Orphans(args) => orphans::run(&args, &context()?),
        Command::Repair(args) => repair::run(&args, &context()?),
        Command::Incident(args) => incident::run(&args, &context()?),
        Command::Acknowledge(args) => acknowledge::run(&args, &context()?),
        Command::Purge(args) => purge::run(&args, &context()?),
        Command::Report(args) => report::run(&args, &context()?),
        Command::Catalogue(args) => catalogue::run(&args, &context()?),
        Command::Configure(args) => configure::run(&args, &screen),
        Command::Completions(args) => completions::run(&args, &screen),
        Command::Man(args) => man::run(&args, &screen),
    }
}

impl Context {
    /// The destinations of these names in the order of the file; without names, all.
    fn destinations(
        &self,
        names: &[dvb_model::DestinationName],
    ) -> Result<Vec<&dvb_config::Destination>, CommandFailure> {
        let all = &self.config.destinations;
        if let Some(unknown) = names.iter().find(|name| !all.iter().any(|it| it.name == **name)) {
            let known: Vec<_> = all.iter().map(|it| it.name.0.as_str()).collect();
            let path = self.config.path.display();
            let text = format!("{path} has no destination {:?}; it has {}", unknown.0, known.join(", "));
            return Err(CommandFailure::Usage(text));
        }
        Ok(all.iter().filter(|it| names.is_empty() || names.contains(&it.name)).collect())
    }
}
