//! `audit`: are Dataverse's own stores still what Dataverse recorded?

use std::fmt::Write as _;

use dvb_build as build;
use dvb_config::Destination;
use dvb_engine::{
    AuditCounts, AuditFinding, AuditOptions, AuditSetup, AuditSummary, Condition, ExitStatus, Names, RunError, Share,
    audit, audit_shared, new_run_id,
};
use dvb_model::DestinationName;
use serde_json::json;

use super::Context;
use super::selection_args;
use super::verify_args::VerifyArgs;
use crate::exit::CommandFailure;
use crate::notice::{self, Ended, Notice, Reach, found};
use crate::output::plain;
use crate::progress::Progress;
use crate::{report, signals};

/// How many findings are named on stderr.
const NAMED: usize = 20;
/// Without Jobs of any destination.
const JOBS: u32 = 4;

/// Read Dataverse's own stores: are the files still what Dataverse recorded?
///
/// Reads every data file in the stores and compares it with Dataverse's checksum and with the SHA-256 that the ledger has
/// of the bytes first seen. So it finds what no run looks for: bytes that changed or vanished behind Dataverse's back,
/// a checksum that was rewritten in the database, a damaged .tab, of which Dataverse has no checksum. It also tells of
/// files that came back.
///
/// Nothing is copied, and nothing is changed in Dataverse. A data file that was OK and is missing or damaged becomes
/// FAIL_READ or FAIL_CHECKSUM in the ledger, so that `status` shows it, the next `run` checks it, and `repair` knows
/// what to repair. The exit code is 3 where something is missing or damaged, 1 where something
/// cannot be read, 5 where the program cannot connect to a store. What can fail for now is tried again and never called damaged.
///
/// Those come first that were looked at longest ago, by a run's copying, by `audit`, or by AuditEvery, as the ledger knows of
/// the destinations that are meant; so calls with --time-budget or --sample walk through everything. What could not be read
/// comes first again. A data file that no run has recorded yet keeps no such time.
///
/// What it finds is mailed, and written for monitoring, as after a run ([Notifications] in the configuration).
///
/// Without options, all data files. A signal (Ctrl-C) ends it in order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: VerifyArgs,
}

/// The summary, and this host's part in it where several share it.
type Done = (AuditSummary, Option<Share>);

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.which.destinations.names)?;
    let reach = Reach { is_whole: args.which.selection.is_everything(), is_recorded: true };
    notice::conclude(context, "audit", &destinations, reach, look(args, context, &destinations))
}

fn look(args: &Args, context: &Context, destinations: &[&Destination]) -> Result<Notice, CommandFailure> {
    let VerifyArgs { jobs, older_than, sample, time_budget, ref join, .. } = args.which;
    let config = &context.config;
    let jobs = jobs.or(destinations.iter().map(|it| it.jobs).max()).unwrap_or(JOBS);
    let stop = signals::stop(args.which.time_budget)?;
    let stores = build::store_table(config)?.into_stores();
    let catalogue = build::catalogue(config)?;
    let ledger = build::ledger(config, jobs + u32::from(join.join), &stop)?;
    let names: Vec<DestinationName> = destinations.iter().map(|it| it.name.clone()).collect();
    let show = Progress::alone(&context.screen, None);
    let setup = AuditSetup {
        catalog: catalogue.as_catalog(),
        stores: &stores,
        ledger: ledger.as_ref(),
        destinations: &names,
        observer: &show,
        stop: &stop,
    };
    let asked = args.which.selection.asked();
    let selection =
        selection_args::resolve(&asked, context, &[Names::Catalog(setup.catalog)], &stores.default.0, &stop)?;
    let options = AuditOptions {
        run: new_run_id(),
        agent: build::agent(),
        selection,
        older_than,
        sample,
        jobs: jobs as usize,
        time_budget,
        auxiliary_objects: config.repository.auxiliary_objects,
        spool_folder: build::spool_folder(config),
    };
    let done: Result<Done, RunError> = if join.join {
        audit_shared(&setup, &options, join.lease()).map(|it| (it.summary, Some(it.share)))
    } else {
        audit(&setup, &options).map(|summary| (summary, None))
    };
    show.finish();
    let (summary, share) = done?;
    tell(context, &summary, share.as_ref())?;
    Ok(Notice { is_mailed: share.is_none_or(|it| it.tells), ..notice(&summary, &names) })
}

/// The result on stdout, what is wrong on stderr.
fn tell(context: &Context, summary: &AuditSummary, share: Option<&Share>) -> Result<(), CommandFailure> {
    let screen = &context.screen;
    if screen.json {
        let mut object = json!(summary);
        if let Some(share) = share {
            object["share"] = json!(share);
        }
        screen.print_json(&object)?;
    } else if screen.is_chatty() {
        let share = share.map(|it| format!("\n{}", report::share(it, &report::data_files(it.files), "read")));
        screen.print(&(text(summary, NAMED) + share.as_deref().unwrap_or_default().trim_end()))?;
    }
    let trouble = trouble(summary, NAMED);
    if !trouble.is_empty() {
        screen.alarm(&trouble);
    }
    Ok(())
}

/// What others hear of it: the stores are one, whatever the destinations.
fn notice(summary: &AuditSummary, names: &[DestinationName]) -> Notice {
    let ended = names.iter().map(|name| Ended::new(name, summary.ending)).collect();
    let AuditCounts { damaged, missing, unreadable, .. } = summary.files;
    let counts = [
        (damaged, "damaged file", "damaged files"),
        (missing, "missing file", "missing files"),
        (unreadable, "unreadable file", "unreadable files"),
    ];
    let outcome = format!("{} in Dataverse's stores", found(&counts, None, summary.ending));
    let section = format!("{}\n{}\n", text(summary, usize::MAX), trouble(summary, usize::MAX));
    Notice::new("audit", ended, vec![outcome], vec![section])
}

fn text(summary: &AuditSummary, limit: usize) -> String {
    let AuditCounts { catalogued, good, damaged, missing, unreadable, not_covered, left, acknowledged } = summary.files;
    let mut text = format!(
        "Dataverse's stores: {}\n  in scope:    {}: {good} good, {damaged} damaged, {missing} missing, {unreadable} \
         unreadable, {not_covered} not covered, {left} left\n  read:        {}\n",
        summary.ending.text(),
        report::data_files(catalogued),
        report::bytes(summary.bytes)
    );
    if acknowledged > 0 {
        let _ = writeln!(text, "  known:       {} lost or damaged, and acknowledged", report::data_files(acknowledged));
    }
    list(&mut text, "to be noted:", summary.findings.iter().filter(|it| !is_bad(it.what)), limit);
    for note in &summary.notes {
        let _ = writeln!(text, "  {}", plain(note));
    }
    text.trim_end().to_owned()
}

/// What is wrong, for stderr; empty where all is well.
fn trouble(summary: &AuditSummary, limit: usize) -> String {
    if summary.ending == ExitStatus::Safe {
        return String::new();
    }
    let mut text = format!("Dataverse's stores: {} (exit code {})\n", summary.ending.text(), summary.exit_code);
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "  stopped early: {}", plain(why));
    }
    let AuditCounts { catalogued, damaged, missing, unreadable, left, .. } = summary.files;
    let files = report::data_files(catalogued);
    let _ = writeln!(text, "  of {files}: {damaged} damaged, {missing} missing, {unreadable} unreadable, {left} left");
    list(&mut text, "found:", summary.findings.iter().filter(|it| is_bad(it.what)), limit);
    text.trim_end().to_owned()
}

fn list<'a>(text: &mut String, title: &str, found: impl Iterator<Item = &'a AuditFinding>, limit: usize) {
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {title}");
    for it in found.iter().take(limit) {
        let AuditFinding { data_file_id, dataset, storage_identifier, name, what, reason } = it;
        let name = name.as_deref().or(storage_identifier.as_deref());
        let parts: Vec<_> = [dataset.as_deref(), name].into_iter().flatten().map(plain).collect();
        let what = word(*what);
        let _ = writeln!(text, "    {what:<16} file {data_file_id}, {}: {}", parts.join(", "), plain(reason));
    }
    if found.len() > limit {
        let _ = writeln!(text, "    and {} more; see --json", found.len() - limit);
    }
}

fn is_bad(what: Condition) -> bool {
    match what {
        Condition::Missing
        | Condition::Unreadable
        | Condition::Damaged
        | Condition::ChecksumChanged
        | Condition::Orphaned => true,
        Condition::Changed | Condition::SwappedPair | Condition::CameBack => false,
    }
}

fn word(what: Condition) -> &'static str {
    match what {
        Condition::Missing => "MISSING",
        Condition::Unreadable => "UNREADABLE",
        Condition::Damaged => "DAMAGED",
        Condition::ChecksumChanged => "CHECKSUM CHANGED",
        Condition::Changed => "changed",
        Condition::SwappedPair => "swapped pair",
        Condition::CameBack => "came back",
        Condition::Orphaned => "ORPHANED",
    }
}
