//! `report`: what the ledger can show of the copies, for whoever has to prove that they are there.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvb_build as build;
use dvb_config::{
    Config, Destination, DestinationKind, ObjectLock, ObjectLockMode, S3Target, SshTarget, SwiftTarget, Verify,
};
use dvb_engine::ExitStatus;
use dvb_report::{DestinationFacts, Facts, LockFacts, Report, StoreFacts};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::Context;
use crate::args;
use crate::exit::CommandFailure;

/// Report what the ledger can show of the copies: for auditors, and for yourself
///
/// One page on the screen; the whole of it in files. It states facts of the ledger and of the configuration: how many
/// copies are proved and how long ago, what was damaged and repaired, who did what, and which promises are not met. It
/// reads no store and no destination. The exit code is 0 whatever the report says; `status` tells what has to be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the whole report to FILE as a page for a browser and for paper: one file, without scripts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write the whole report to FILE as JSON; without FILE, print it on stdout
    #[arg(long = "json", id = args::JSON, value_name = "FILE", num_args = 0..=1, default_missing_value = args::STDOUT)]
    json: Option<PathBuf>,

    /// Write events and the objects they are about to FILE as PREMIS 3 (XML)
    #[arg(long, value_name = "FILE")]
    premis: Option<PathBuf>,

    /// Begin the period on this day (UTC), such as 2026-01-31; without it: a year ago
    ///
    /// Drills, overrides, purges and the counts of commands and checks are those of the period. Incidents and losses are
    /// listed whenever they were.
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,

    /// Leave out names of files, hosts, stores, destinations and people, and what people wrote
    #[arg(long)]
    public: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let ledger = build::ledger(&context.config, 1, &dvb_engine::CancelToken::new())?;
    let facts = facts(args, &context.config, ledger.describe())?;
    let report = dvb_report::gather(ledger.as_ref(), &facts)?;
    if context.screen.json {
        context.screen.print_json(&report)?;
    }
    let json = args.json.as_ref().filter(|_| !context.screen.json);
    let write_json =
        |report: &Report| serde_json::to_string_pretty(report).map(|it| it + "\n").map_err(io::Error::from);
    write(args.html.as_deref(), args, || Ok(dvb_report::html(&report)))?;
    write(json.map(PathBuf::as_path), args, || write_json(&report))?;
    write(args.premis.as_deref(), args, || Ok(dvb_report::premis(&report)))?;
    let written: Vec<_> = [args.html.as_ref(), json, args.premis.as_ref()].into_iter().flatten().collect();
    if written.is_empty() && !context.screen.json {
        context.screen.print(&dvb_report::text(&report))?;
    } else if context.screen.is_chatty() {
        written.iter().for_each(|path| context.screen.say(&format!("written: {}", path.display())));
    }
    Ok(ExitStatus::Safe)
}

/// What is public may be read by everybody, the rest names drafts and restricted files.
fn write(path: Option<&Path>, args: &Args, text: impl FnOnce() -> io::Result<String>) -> Result<(), CommandFailure> {
    let Some(path) = path else { return Ok(()) };
    let mode = if args.public { 0o644 } else { 0o600 };
    let written = dvb_build::replace_file(path, mode, |file| file.write_all(text()?.as_bytes()));
    written.map_err(|source| CommandFailure::File {
        doing: "write the report",
        path: path.to_owned(),
        remedy: "check the directory, its permissions and the free space",
        source,
    })
}

fn facts(args: &Args, config: &Config, ledger: String) -> Result<Facts, CommandFailure> {
    let as_of = Timestamp::now();
    let today = TimeZone::UTC.to_datetime(as_of).date();
    let since = args.since.unwrap_or_else(|| today.saturating_sub(1.year()));
    let since = TimeZone::UTC.to_timestamp(since.at(0, 0, 0, 0));
    let since = since.ok().filter(|since| *since <= as_of);
    let since = since.ok_or_else(|| CommandFailure::Usage("--since is a day in the future".to_owned()))?;
    let stores = build::store_table_or_none(config)?;
    Ok(Facts {
        as_of,
        since,
        public: args.public,
        agent: build::agent(),
        ledger,
        stores: stores
            .rows
            .iter()
            .map(|(id, row)| StoreFacts { id: id.0.clone(), kind: row.type_name.clone() })
            .collect(),
        policy: policy(config),
        audit_every: config.repository.audit_every,
        destinations: config.destinations.iter().map(destination).collect(),
    })
}

/// The keys that decide what is copied and checked, with the values that are in force.
fn policy(config: &Config) -> Vec<(String, String)> {
    let repository = &config.repository;
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let every = |it: Option<Duration>| it.map_or("never by itself".to_owned(), dvb_report::interval);
    let share = |it: f64| format!("{} %", it * 100.0);
    let mut lines = vec![
        ("AuxiliaryObjects".to_owned(), yes(repository.auxiliary_objects)),
        ("CachedExports".to_owned(), yes(repository.cached_exports)),
        ("PresenceCheck".to_owned(), yes(repository.presence_check)),
        ("AuditEvery".to_owned(), every(repository.audit_every)),
        ("MaxDisappearance".to_owned(), share(repository.max_disappearance)),
        ("MaxChange".to_owned(), share(repository.max_change)),
    ];
    let several = config.destinations.len() > 1;
    for (index, destination) in config.destinations.iter().enumerate() {
        let of = |key: &str| if several { format!("{key} of destination {}", index + 1) } else { key.to_owned() };
        lines.push((of("Verify"), demanded(destination).to_owned()));
        lines.push((of("VerifyEvery"), every(destination.verify_every)));
    }
    lines
}

fn demanded(destination: &Destination) -> &'static str {
    match destination.verify {
        Verify::Auto => "auto",
        Verify::RemoteHash => "remote-hash",
        Verify::ReadBack => "read-back",
    }
}

fn lock_facts(ObjectLock { mode, days }: ObjectLock) -> LockFacts {
    let mode = match mode {
        ObjectLockMode::Governance => "governance",
        ObjectLockMode::Compliance => "compliance",
    };
    LockFacts { kind: format!("S3 object lock ({mode})"), days }
}

fn destination(it: &Destination) -> DestinationFacts {
    let (protocol, location, lock) = match &it.kind {
        DestinationKind::Ssh(SshTarget { host, port, directory, .. }) => {
            let port = if *port == 22 { String::new() } else { format!(", port {port}") };
            ("SFTP", format!("{host}:{directory}{port}"), None)
        }
        DestinationKind::Swift(SwiftTarget { auth_url, container, .. }) => {
            ("Swift", format!("container {container} at {}", build::shown_url(auth_url)), None)
        }
        DestinationKind::S3(S3Target { bucket, prefix, endpoint_url, object_lock, .. }) => {
            let at = endpoint_url.as_deref().map_or("Amazon".to_owned(), build::shown_url);
            let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
            ("S3", format!("bucket {bucket}{prefix} at {at}"), *object_lock)
        }
        DestinationKind::Directory(path) => ("directory", path.display().to_string(), None),
    };
    let stated = it.stated.clone();
    DestinationFacts {
        name: it.name.clone(),
        protocol,
        location,
        place: stated.place,
        medium: stated.medium,
        region: stated.region,
        administrator: stated.administrator,
        lock: lock.map(lock_facts),
        evidence: demanded(it),
        verify_every: it.verify_every,
    }
}
