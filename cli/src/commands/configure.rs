//! `configure`: a configuration to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use dvb_build as build;
use dvb_config::{Address, Proposal, ProposalSources, propose};
use dvb_engine::ExitStatus;
use serde_json::json;

use crate::exit::CommandFailure;
use crate::output::{Screen, plain};

/// Write a commented config.ini from what can be found
///
/// Looks for Payara's domain.xml at its usual places, and at the environment of this process, which may be a container's.
/// What is found there is filled in: Dataverse's database and its stores. What cannot be found stands in the file as a
/// comment, and is listed. The file is new, and can be read by its owner only; one that is there is never overwritten.
///
/// For example: `dataverse-backup configure --to ssh://backup@backup.example.edu/srv/copies --email admin@example.edu`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "config.ini")]
    output: PathBuf,

    /// Payara's domain.xml, if it is not at its usual place
    #[arg(long, value_name = "FILE", conflicts_with = "environment")]
    domain_xml: Option<PathBuf>,

    /// The environment file of the container that Dataverse runs in
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,

    /// Where the copies go: /FOLDER, ssh://USER@HOST[:PORT]/FOLDER, s3://BUCKET[/PREFIX] or swift://CONTAINER
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: Option<Address>,

    /// Who gets mail when something is not safe; several with commas
    #[arg(long, value_name = "ADDRESS", value_parser = email)]
    email: Option<String>,
}

fn address(text: &str) -> Result<Address, String> {
    dvb_config::address(text).map_err(|it| format!("expected {}", it.accepted))
}

fn email(text: &str) -> Result<String, String> {
    dvb_config::mail_addresses(text).map_err(|it| format!("{:?} is not {}", it.value, it.accepted))
}

pub(crate) fn run(args: &Args, screen: &Screen) -> Result<ExitStatus, CommandFailure> {
    let process = build::process();
    let absolute = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let domain_xml = args.domain_xml.as_ref().map(absolute);
    let sources = ProposalSources {
        domain_xml: domain_xml.or_else(|| if args.environment.is_some() { None } else { usual_domain() }),
        environment: args.environment.as_ref().map(absolute),
        destination: args.to.clone(),
        email: args.email.clone(),
    };
    let proposal = propose(&sources, &process)?;
    write(&args.output, &proposal.text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CommandFailure::Usage(format!(
            "{} is there already, and is not overwritten; name another file with --output",
            args.output.display()
        )),
        _ => CommandFailure::Usage(format!("cannot write {}: {error}", args.output.display())),
    })?;
    tell(&args.output, &proposal, screen)?;
    Ok(ExitStatus::Safe)
}

/// A new file that nobody else may read: it may hold a password. Where root writes it, it is for whoever the folder is of:
/// the account that the program runs as.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if rustix::process::geteuid().is_root() {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn tell(path: &Path, proposal: &Proposal, screen: &Screen) -> Result<(), CommandFailure> {
    let Proposal { found, missing, .. } = proposal;
    if screen.json {
        let object = json!({ "written": path, "found": found, "missing": missing, "exit_code": 0 });
        return screen.print_json(&object);
    }
    let mut text = format!("written: {}\n", path.display());
    for it in found {
        text += &format!("  found:     {}\n", plain(it));
    }
    for it in missing {
        text += &format!("  missing:   {}\n", plain(it));
    }
    let config = format!("dataverse-backup --config {}", path.display());
    text += &match missing.is_empty() {
        true => format!("Next: {config} check"),
        false => format!("Next: fill in what is missing, then: {config} check"),
    };
    screen.print(&text)
}

/// `domain.xml` of the first Payara (before 5: GlassFish) at a usual place that has one; the newest name first.
fn usual_domain() -> Option<PathBuf> {
    let of = |parent: &Path| {
        // A folder that is not there, or cannot be read, has none to offer.
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let is_payara = |name: &str| name.starts_with("payara") || name.starts_with("glassfish");
        let mut servers: Vec<_> = entries.map(|it| it.path()).collect();
        servers.retain(|it| it.file_name().and_then(|it| it.to_str()).is_some_and(is_payara));
        servers.sort_by(|one, other| other.cmp(one));
        servers
    };
    let servers = ["/usr/local", "/opt"].into_iter().flat_map(|it| of(Path::new(it)));
    let servers = servers.flat_map(|it| [it.clone(), it.join("appserver")]);
    servers.map(|it| it.join("glassfish/domains/domain1/config/domain.xml")).find(|it| it.is_file())
}
