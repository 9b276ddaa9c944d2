//! The command line: what is common to all commands.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use dvb_engine::ExitStatus;
use dvb_model::DestinationName;

use crate::commands::Command;
use crate::output;

const GLOBAL: &str = "Options of every command";

/// What `--version` says; `-V` says the version alone.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), "\ncommit ", env!("BUILD_COMMIT"), "\nbuild ", env!("BUILD_KIND"));

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  everything in scope is safe
    1  finished, but some data files are not safe
    2  invalid command line or configuration (also a login that is refused, a folder that is missing)
    3  finished, and damage was found at the source
    4  finished, and damage was found at the destination
    5  no connection to a database, store or destination: try again later
    6  another run holds the lock
    7  refused for safety: host key, permissions, mass disappearance
    8  stopped at its time budget or limit, the rest is pending
  128+N  ended by signal N
Where several apply, the first of 7, 5, 2, 4, 3, 1, 8 counts. Unknown codes mean failure.";

/// Proved backup of the data files of a Dataverse.
///
/// Makes sure that every data file that Dataverse's database names is, byte for byte, on a second storage system;
/// proves it by checksum, remembers the proof, and says plainly what is not safe.
///
/// Begin with a config.ini, then `dataverse-backup check`, `dataverse-backup init` and `dataverse-backup run`.
#[derive(Debug, Parser)]
#[command(name = "dataverse-backup", version, long_version = VERSION, after_long_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The configuration file
    ///
    /// Without it: the file that $DATAVERSE_BACKUP_CONFIG names, else ./config.ini, else
    /// /etc/dataverse-backup/config.ini.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Say only what is wrong, even on a terminal
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: a line for each data file, and a summary even where stderr is no terminal
    ///
    /// Twice (-vv), show on stderr what is done with servers, databases and folders: each request, session, transaction
    /// and batch with what it took. No password, key, token or signature is shown.
    #[arg(short, long, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print the result as one JSON object on stdout, and nothing else there
    ///
    /// `status --failed` and `status --gone` print JSON Lines instead: one object for each data file. Messages stay on
    /// stderr. docs/json.md has the keys of each command.
    #[arg(long, id = JSON, global = true, help_heading = GLOBAL, num_args = 0, default_missing_value = STDOUT)]
    json: Option<PathBuf>,

    /// Whether to use colours
    ///
    /// `auto` uses them on a terminal, unless the environment variable NO_COLOR is set.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,

    /// Show no progress bar, even where stderr is a terminal
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) no_progress: bool,

    /// Write all that is said to the end of this file too, with time and level
    ///
    /// Also what is not shown where nobody watches: the beginning, each data file that is not safe, the summary. With -vv,
    /// the trace. A new file can be read by its owner only. Where stderr goes to journald, the levels are told there.
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The name of `--json`. `report` takes a file with it, and so defines it anew, as the same value; everywhere else it has none.
pub(crate) const JSON: &str = "json";
/// Its value where no file is named: stdout.
pub(crate) const STDOUT: &str = "-";

impl Arguments {
    /// Whether the result is to be one JSON object on stdout.
    pub(crate) fn is_json(&self) -> bool {
        self.json.as_deref().is_some_and(|it| it == Path::new(STDOUT))
    }
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl When {
    pub(crate) fn applies(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Reads the command line. Where it asks for help or makes no sense, says so and gives the exit code.
pub(crate) fn parse(words: &[OsString]) -> Result<Arguments, u8> {
    let command = Arguments::command().color(help_color(words));
    let parsed = command.try_get_matches_from(words).and_then(|it| Arguments::from_arg_matches(&it));
    parsed.map_err(|error| {
        // Help goes to stdout, a complaint to stderr; if nobody listens there is nobody to tell.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitStatus::Safe.code(),
            _ => {
                let code = ExitStatus::Usage.code();
                if words.iter().any(|it| it == "--json") {
                    output::print_error_object(&error.render().to_string(), code);
                }
                code
            }
        }
    })
}

/// The colours of help and complaints have to be known before the command line is understood.
fn help_color(words: &[OsString]) -> ColorChoice {
    let given = |choice: &str| {
        words.iter().any(|it| it.to_str() == Some(&format!("--color={choice}")))
            || words.windows(2).any(|it| it[0] == "--color" && it[1] == choice)
    };
    if given("always") {
        ColorChoice::Always
    } else if given("never") || !When::Auto.applies(std::io::stderr().is_terminal()) {
        ColorChoice::Never
    } else {
        ColorChoice::Auto
    }
}

/// A duration as the configuration file has it.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    dvb_config::duration(text).map_err(|it| it.accepted)
}

/// A share as the configuration file has it.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    dvb_config::percent(text).map_err(|it| it.accepted)
}

/// The name of a destination.
pub(crate) fn destination(text: &str) -> Result<DestinationName, std::convert::Infallible> {
    Ok(DestinationName(text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_option_has_its_help() {
        fn look(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(look);
        }
        look(&Arguments::command());
    }
}
