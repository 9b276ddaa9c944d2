//! `man`: the manual page, made from the command line's own definition.

use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;
use dvb_engine::ExitStatus;

use crate::args::Arguments;
use crate::exit::Failure;
use crate::output::Screen;

/// Print the manual page
///
/// All commands are on one page, in roff: `dataverse-backup man > /usr/local/share/man/man1/dataverse-backup.1`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, screen: &Screen) -> Result<ExitStatus, Failure> {
    let page = page().map_err(Failure::Output)?;
    screen.print(String::from_utf8_lossy(&page).trim_end())?;
    Ok(ExitStatus::Safe)
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command();
    // Options that all commands share are listed once.
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for section in command.get_subcommands().filter(|it| it.get_name() != "help") {
        describe(section, "dataverse-backup", &mut page)?;
    }
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A command with a heading of its own, and those beneath it.
fn describe(command: &clap::Command, parent: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{parent} {}", command.get_name());
    page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
    let mut body = Vec::new();
    let own = command.clone().mut_args(|it| if it.is_global_set() { it.hide(true) } else { it });
    let man = Man::new(own);
    man.render_synopsis_section(&mut body)?;
    man.render_description_section(&mut body)?;
    man.render_options_section(&mut body)?;
    // Beneath the command's heading, its parts are subsections.
    page.extend_from_slice(String::from_utf8_lossy(&body).replace("\n.SH ", "\n.SS ").as_bytes());
    for inner in command.get_subcommands().filter(|it| it.get_name() != "help") {
        describe(inner, &name, page)?;
    }
    Ok(())
}
