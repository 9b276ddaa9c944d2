//! `completions`: what a shell needs to complete the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;
use dvb_engine::ExitStatus;

use crate::args::Arguments;
use crate::exit::Failure;
use crate::output::Screen;

/// Print the completions for a shell
///
/// For example, for bash: `dataverse-backup completions bash > /etc/bash_completion.d/dataverse-backup`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, screen: &Screen) -> Result<ExitStatus, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "dataverse-backup", &mut script);
    screen.print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitStatus::Safe)
}
