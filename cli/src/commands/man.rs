//! `man`: the manual page, made from the command line's own definition.

use std::io;

use clap::CommandFactory as _;
use clap_mangen::Man;
use dvb_engine::ExitStatus;

use crate::args::{Arguments, EXIT_CODES};
use crate::exit::CommandFailure;
use crate::output::Screen;

/// Print the manual page
///
/// All commands are on one page, in roff: `dataverse-backup man > /usr/local/share/man/man1/dataverse-backup.1`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, screen: &Screen) -> Result<ExitStatus, CommandFailure> {
    let page = page().map_err(CommandFailure::Output)?;
    screen.print_exactly(String::from_utf8_lossy(&page).trim_end())?;
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
    page.extend_from_slice(exit_status().as_bytes());
    for (heading, entries) in [("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXAMPLES", EXAMPLES)] {
        page.extend_from_slice(section(heading, entries).as_bytes());
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

const FILES: &[(&str, &str)] = &[
    (
        "/etc/dataverse-backup/config.ini",
        "The configuration, where neither --config nor DATAVERSE_BACKUP_CONFIG names another one and there is no \
         config.ini in the current folder. With secrets in it, nobody else may read it (mode 600).",
    ),
    (
        "/var/lib/dataverse-backup/ledger.db",
        "The ledger (what is known of each copy), where [Database] BackupDatabase names no other one.",
    ),
    (
        "DESTINATION/.dataverse-backup/tombstone-PURGE.json",
        "Which data files were deleted there by law, without names. It keeps them from being copied or restored again: \
         do not remove it.",
    ),
    (
        "DESTINATION/.dataverse-backup/catalogue-RUN.jsonl.zst",
        "What the destination says of itself, after each run: which data files it holds, under which keys, with which \
         checksums. restore --from-snapshot and rebuild need nothing else; zstdcat and jq read it.",
    ),
    ("~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts", "The host keys that are trusted, without SshKnownHosts."),
    ("~/.aws/credentials, ~/.aws/config", "Keys and regions of S3, where the configuration has none."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("DATAVERSE_BACKUP_CONFIG", "The configuration file."),
    ("TMPDIR", "Folder for the list of work of a run, and for the files of a drill; /tmp without it."),
    ("NO_COLOR", "If it is set and not empty, no colours."),
    ("SSH_AUTH_SOCK", "The agent that is asked for keys, without SshKeyFile."),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_REGION, \
         AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE",
        "Keys and regions of S3, as Amazon's own programs have them.",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("dataverse-backup init && dataverse-backup check", "Make the ledger and the destinations, then try everything."),
    ("dataverse-backup run --time-budget 5h", "Copy what is not yet safe, and begin nothing more after five hours."),
    ("dataverse-backup status --failed", "Name each data file that is not safe, and why."),
    ("dataverse-backup verify --older-than 30d", "Read again the copies whose last proof is older than 30 days."),
    ("dataverse-backup restore --dataset doi:10.5072/FK2/ABC --to /tmp/back", "Give the files of a dataset back."),
    ("dataverse-backup restore --missing --in-place", "Put back into the stores what they have lost."),
    ("15 1 * * *  dataverse-backup run", "A line of a crontab: silent while all is well."),
];

/// A section of terms and what is to be said of each.
fn section(heading: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!(".SH {heading}\n");
    for (term, description) in entries {
        text += &format!(".TP\n\\fB{}\\fR\n{}\n", quoted(term), quoted(description));
    }
    text
}

/// The exit codes as `--help` lists them: lines of code and meaning below a heading, then a sentence.
fn exit_status() -> String {
    let mut text = ".SH EXIT STATUS\n".to_owned();
    for line in EXIT_CODES.lines().skip(1) {
        text += &match line.strip_prefix("  ").and_then(|it| it.trim_start().split_once("  ")) {
            Some((code, meaning)) => format!(".TP\n\\fB{}\\fR\n{}\n", quoted(code), quoted(meaning)),
            None => format!(".PP\n{}\n", quoted(line)),
        };
    }
    text
}

/// As roff wants it: a hyphen that is typed is `\-`, and a line does not begin with a dot.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// A command with a heading of its own, and those beneath it.
fn describe(command: &clap::Command, parent: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{parent} {}", command.get_name());
    page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
    let mut body = Vec::new();
    let own =
        command.clone().mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
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
