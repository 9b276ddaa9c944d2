//! `completions`: what a shell needs to complete the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;
use dvb_engine::ExitStatus;

use crate::args::Arguments;
use crate::exit::CommandFailure;
use crate::output::Screen;

/// Print the completions for a shell
///
/// For example, for bash: `dataverse-backup completions bash > /etc/bash_completion.d/dataverse-backup`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> Result<ExitStatus, CommandFailure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "dataverse-backup", &mut script);
    let script = one_name(&String::from_utf8_lossy(&script));
    screen.print_exactly(script.trim_end())?;
    Ok(ExitStatus::Safe)
}

/// In the script for bash, clap_complete 4.6 spells a hyphen of the program's name in two ways: where the state is set,
/// and where it is asked for. Then nothing is completed after a command. This makes them one.
fn one_name(script: &str) -> String {
    script.replace("dataverse__subcmd__backup", "dataverse__backup")
}
