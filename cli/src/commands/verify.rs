//! `verify`: are the copies at the destinations still what was proved?

use std::fmt::Write as _;
use std::thread;

use dvb_build as build;
use dvb_engine::{
    CancelToken, CopyCounts, Damage, ExitStatus, Selection, Share, SharedSummary, VerifyOptions, VerifySetup,
    VerifySummary, new_run_id, verify, verify_shared,
};
use dvb_ledger::Ledger;
use serde::Serialize;

use super::Context;
use super::from_snapshot::{FromSnapshot, KnownCopies};
use super::selection_args;
use super::verify_args::VerifyArgs;
use crate::exit::CommandFailure;
use crate::notice::{self, Notice, Reach};
use crate::outcome::{Counted, InWords, Outcome, Outcomes};
use crate::output::plain;
use crate::progress::{self, Progress};
use crate::{report, signals};
use dvb_config::Destination;

/// Check the copies again: are they still what was proved?
///
/// Compares every copy at the destination with the ledger's own SHA-256: by the server's own digest where it has one,
/// else by reading it back. Those that were verified longest ago come first. Dataverse's database and stores are not
/// needed.
///
/// A copy that is missing or has other bytes is named, and recorded: its data file is FAIL_VERIFY, the exit code 4, and
/// the next `run` makes the copy again. What cannot be read for now is never called damaged: the exit code is 5 (or 1),
/// and its turn comes first the next time. Where not one of the copies is to be found, nothing is recorded (exit code
/// 7): the disk may not be mounted.
///
/// What it finds is mailed, and written for monitoring, as after a run ([Notifications] in the configuration).
///
/// Without options, all copies of all destinations. A signal (Ctrl-C) ends it in order.
#[derive(Debug, clap::Args)]
#[command(mut_arg("join", |it| it.conflicts_with("from_snapshot")))]
pub(crate) struct Args {
    #[command(flatten)]
    which: VerifyArgs,

    #[command(flatten)]
    pub(crate) from_snapshot: FromSnapshot,
}

impl Args {
    fn jobs(&self, destination: &Destination) -> u32 {
        self.which.jobs.unwrap_or(destination.jobs)
    }

    fn options(
        &self,
        context: &Context,
        destination: &Destination,
        selection: Selection,
    ) -> Result<VerifyOptions, CommandFailure> {
        Ok(VerifyOptions {
            run: new_run_id(),
            agent: build::agent(),
            default_store: build::default_store(&context.config, !selection.stores.is_empty())?,
            selection,
            older_than: self.which.older_than,
            sample: self.which.sample,
            jobs: self.jobs(destination) as usize,
            time_budget: self.which.time_budget,
        })
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let destinations = context.destinations(&args.which.destinations.names)?;
    let is_recorded = !args.from_snapshot.is_asked();
    let reach = Reach { is_whole: args.which.selection.is_everything(), is_recorded };
    notice::conclude(context, "verify", &destinations, reach, look_at_all(args, context, &destinations))
}

fn look_at_all(args: &Args, context: &Context, destinations: &[&Destination]) -> Result<Notice, CommandFailure> {
    let stop = signals::stop(args.which.time_budget)?;
    let bars = progress::bars();
    let progress = Progress::new(&context.screen, &bars, None);
    progress.begin("reading what is known");
    let workers = destinations.iter().map(|it| args.jobs(it) + u32::from(args.which.join.join)).sum();
    let known = KnownCopies::open(&args.from_snapshot, context, destinations, workers, &progress, &stop);
    progress.finish();
    let mut known = known?;
    let refused = known.take_refused();
    let ledger = known.ledger();
    let names: Vec<_> = destinations.iter().map(|it| &it.name).collect();
    let asked = args.which.selection.asked();
    let selection =
        selection_args::resolve_by_ledger(&asked, context, ledger, &names, || known.catalogue(context), &stop)?;
    let (several, passes) = (destinations.len() > 1, args.from_snapshot.is_asked());
    let one = |destination: &&'_ Destination| {
        let show = Progress::new(&context.screen, &bars, several.then_some(&destination.name));
        show.begin("reading the ledger");
        let result = look(args, context, destination, ledger, &selection, &show, &stop);
        (result, show.finish())
    };
    let mut outcomes: Vec<Outcome<Verified>> = thread::scope(|scope| {
        let known =
            destinations.iter().filter(|destination| !refused.iter().any(|(name, _)| *name == destination.name));
        let threads: Vec<_> = known.map(|destination| (destination, scope.spawn(|| one(destination)))).collect();
        let joined = threads.into_iter().map(|(destination, thread)| {
            let (result, held_back) = thread.join().unwrap_or((Err(CommandFailure::Mistake), Vec::new()));
            let result = result.map(|(summary, share)| Verified { summary, share, passes });
            Outcome { held_back, ..Outcome::new(&destination.name, result, &stop) }
        });
        joined.collect()
    });
    outcomes.extend(refused.into_iter().map(|(name, failure)| Outcome::new(&name, Err(failure), &stop)));
    let outcomes = Outcomes(outcomes);
    outcomes.tell(&context.screen, "runs")?;
    let shares = || outcomes.0.iter().map(|it| it.result.as_ref().ok().and_then(|it| it.share.as_ref()));
    let is_mailed = shares().any(|share| share.is_none_or(|it| it.tells));
    Ok(Notice { is_mailed, ..outcomes.notice("verify") })
}

fn look(
    args: &Args,
    context: &Context,
    destination: &Destination,
    ledger: &dyn Ledger,
    selection: &Selection,
    show: &Progress<'_>,
    stop: &CancelToken,
) -> Result<(VerifySummary, Option<Share>), CommandFailure> {
    let sink = build::sink(destination)?;
    let setup = VerifySetup { ledger, destination: &destination.name, sink: sink.as_ref(), observer: show, stop };
    let options = args.options(context, destination, selection.clone())?;
    if args.which.join.join {
        let SharedSummary { share, summary } = verify_shared(&setup, &options, args.which.join.lease())?;
        return Ok((summary, Some(share)));
    }
    Ok((verify(&setup, &options)?, None))
}

/// What was found at one destination; `passes`: without a ledger that keeps it.
#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    summary: VerifySummary,
    /// This host's part in it, where several share it.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Share>,
    #[serde(skip)]
    passes: bool,
}

impl InWords for Verified {
    fn ending(&self) -> ExitStatus {
        self.summary.ending
    }

    fn text(&self) -> String {
        let share = self.share.as_ref().map(|it| report::share(it, &copies(it.files), "compared"));
        text(&self.summary) + &share.map(|it| format!("\n{}", it.trim_end())).unwrap_or_default()
    }

    fn trouble(&self, limit: usize) -> String {
        trouble(&self.summary, self.passes, limit)
    }

    fn found(&self) -> Vec<Counted> {
        let CopyCounts { damaged, missing, unreadable, .. } = self.summary.copies;
        vec![
            (damaged, "damaged copy", "damaged copies"),
            (missing, "missing copy", "missing copies"),
            (unreadable, "unreadable copy", "unreadable copies"),
        ]
    }
}

fn copies(count: u64) -> String {
    format!("{count} {}", if count == 1 { "copy" } else { "copies" })
}

fn text(it: &VerifySummary) -> String {
    let CopyCounts { checked, good, damaged, missing, left, .. } = it.copies;
    let mut text = format!("destination {}: {}\n", it.destination, it.ending.text());
    let _ = write!(
        text,
        "  verified:    {}: {good} good ({}), {damaged} damaged, {missing} missing; {left} left",
        copies(checked),
        report::bytes(it.bytes)
    );
    if let Some(locks) = &it.locks {
        let _ = write!(text, "\n  locks:       {}", report::locks_in_words(locks));
    }
    if let Some(oldest) = &it.oldest_unverified {
        let _ = write!(text, "\n  oldest proof now: {oldest}");
    }
    text
}

/// What is wrong, for stderr; empty where all is well.
fn trouble(summary: &VerifySummary, passes: bool, limit: usize) -> String {
    if summary.ending == ExitStatus::Safe {
        return String::new();
    }
    let mut text =
        format!("destination {}: {} (exit code {})\n", summary.destination, summary.ending.text(), summary.exit_code);
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "  stopped early: {}", plain(report::below_headline(&summary.destination, why)));
    }
    let CopyCounts { checked, damaged, missing, left, unreadable, .. } = summary.copies;
    let _ = writeln!(
        text,
        "  of {}: {damaged} damaged, {missing} missing, {left} not verified, {unreadable} of them unreadable",
        copies(checked + left)
    );
    list(&mut text, &summary.damaged, damaged + missing, limit);
    list(&mut text, &summary.unreadable, unreadable, limit);
    if damaged + missing > 0 {
        text += if passes {
            "  no ledger was there to keep that: after a rebuild, run verify again\n"
        } else {
            "  the next run makes damaged copies again, where the source is good\n"
        };
    }
    text.trim_end().to_owned()
}

fn list(text: &mut String, found: &[Damage], total: u64, limit: usize) {
    for it in found.iter().take(limit) {
        let id = it.data_file_id.map(|it| format!("file {it}, ")).unwrap_or_default();
        let what = it.what.name().replace('-', " ").to_uppercase();
        let _ = writeln!(text, "  {what:<13} {id}{}", plain(&it.reason));
    }
    let rest = total.saturating_sub(found.len().min(limit) as u64);
    if rest > 0 {
        let _ = writeln!(text, "  and {rest} more; see --json, or dataverse-backup status --failed");
    }
}
