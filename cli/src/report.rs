//! A run in words: for a terminal, for the one who reads cron's mail, and for the report that is mailed.

use std::fmt::Write as _;
use std::time::Duration;

use dvb_engine::{
    AuditedCounts, CopyCounts, ExitStatus, FileCounts, Finding, LockCounts, PresenceCounts, Share, Summary,
};
use dvb_model::{DestinationName, DvObjectId, Status};
use jiff::Timestamp;

use crate::exit::CommandFailure;
use crate::notice::{Ended, Notice, did_not_end_well};
use crate::output::{plain, plain_lines};

/// How many data files that are not safe are named on stderr.
const NAMED: usize = 20;

/// What became of a destination's run.
pub(crate) struct RunOutcome {
    pub(crate) destination: DestinationName,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    /// A failure: there was no run.
    pub(crate) result: Result<Summary, CommandFailure>,
    /// Room at the destination afterwards, in words, where somebody watches and the destination tells.
    pub(crate) room: Option<String>,
    /// This host's part in it, where several share it.
    pub(crate) share: Option<Share>,
    pub(crate) ending: ExitStatus,
}

impl RunOutcome {
    /// Drivers that nobody configured: their files are not covered, most likely by an oversight.
    pub(crate) fn unconfigured(&self) -> impl Iterator<Item = &Finding> {
        let notes = self.result.as_ref().map(|it| it.notes.as_slice()).unwrap_or_default();
        notes.iter().filter(|it| it.status == Status::NotCovered && it.data_file_id.is_none() && it.dataset.is_none())
    }
}

/// What this host has done of what several share: so many data files, and what was done with their bytes.
pub(crate) fn share(it: &Share, files: &str, verb: &str) -> String {
    let Share { host, pid, ranges, bytes: done, closed, .. } = it;
    let closed = if *closed { ", and left the summary of all" } else { "" };
    format!("  this host:   {} ({pid}): {ranges} ranges, {files}, {} {verb}{closed}\n", plain(host), bytes(*done))
}

/// The same of a run.
pub(crate) fn share_of_run(it: &Share) -> String {
    share(it, &data_files(it.files), "sent")
}

/// One data file in one line.
pub(crate) fn line(
    id: Option<DvObjectId>,
    dataset: Option<&str>,
    name: Option<&str>,
    status: Status,
    reason: Option<&str>,
) -> String {
    let mut text = format!("{:<13} {}", status.name(), names(id, dataset, name));
    if let Some(reason) = reason {
        let _ = write!(text, ": {}", plain(reason));
    }
    text
}

/// Which data file, in the words that there are.
fn names(id: Option<DvObjectId>, dataset: Option<&str>, name: Option<&str>) -> String {
    let id = id.map(|it| format!("file {it}"));
    let parts = [id.as_deref(), dataset, name];
    parts.into_iter().flatten().map(plain).collect::<Vec<_>>().join(", ")
}

fn who(it: &Finding) -> String {
    names(it.data_file_id, it.dataset.as_deref(), it.name.as_deref().or(it.storage_identifier.as_deref()))
}

fn finding(it: &Finding) -> String {
    let name = it.name.as_deref().or(it.storage_identifier.as_deref());
    line(it.data_file_id, it.dataset.as_deref(), name, it.status, Some(&it.reason))
}

/// The findings, at most `limit`, and how many more there are.
fn list(findings: &[Finding], total: u64, limit: usize, more: &str) -> String {
    let mut text: String = findings.iter().take(limit).map(|it| format!("  {}\n", finding(it))).collect();
    let rest = total.saturating_sub(findings.len().min(limit) as u64);
    if rest > 0 {
        let _ = writeln!(text, "  and {rest} more{more}");
    }
    text
}

/// What is not safe: a line for each data file, and one for all that have the same reason.
fn failures(summary: &Summary, limit: usize) -> String {
    let many: Vec<_> = summary.reasons.iter().filter(|it| it.files > 1).collect();
    let is_among =
        |finding: &&Finding| many.iter().any(|it| it.status == finding.status && it.reason == finding.reason);
    let mut text = String::new();
    for reason in many.iter().take(limit) {
        let _ = write!(text, "  {:<13} {}: {}", reason.status.name(), data_files(reason.files), plain(&reason.reason));
        let first = summary.failures.iter().find(|it| it.status == reason.status && it.reason == reason.reason);
        let _ = writeln!(text, "{}", first.map(|it| format!("; the first is {}", who(it))).unwrap_or_default());
    }
    let single: Vec<_> = summary.failures.iter().filter(|it| !is_among(it)).cloned().collect();
    let rest = summary.failures_total.saturating_sub(many.iter().map(|it| it.files).sum());
    text + &list(&single, rest, limit, "; see dataverse-backup status --failed")
}

/// `1 data file`, `2 data files`.
pub(crate) fn data_files(count: u64) -> String {
    format!("{count} data file{}", if count == 1 { "" } else { "s" })
}

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// What --rerun did not come to, a line of its own.
fn not_rechecked(it: &Summary) -> String {
    let what = "safe according to the ledger, but not checked again";
    if it.not_rechecked > 0 { format!("  {what}: {}\n", data_files(it.not_rechecked)) } else { String::new() }
}

/// `what: text`, where the text does not begin with what it is about by itself.
pub(crate) fn about(what: &str, text: &str) -> String {
    let says_it = text.strip_prefix(what).is_some_and(|rest| rest.starts_with([':', ' ']));
    if says_it { text.to_owned() } else { format!("{what}: {text}") }
}

/// The same of a destination.
pub(crate) fn of_destination(destination: &DestinationName, text: &str) -> String {
    about(&format!("destination {destination}"), text)
}

/// The text below a headline that names the destination.
pub(crate) fn below_headline<'a>(destination: &DestinationName, text: &'a str) -> &'a str {
    text.strip_prefix(&format!("destination {destination}: ")).unwrap_or(text)
}

/// `12.3 s`, `4 min 5 s`, `3 h 12 min`: as precise as somebody cares.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What was sent, in which time, and how fast that is.
fn sent(count: u64, took: Duration) -> String {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = match count {
        0 => String::new(),
        _ => format!(", {} a second", bytes(count.saturating_mul(1000) / milliseconds)),
    };
    format!("{} in {}{rate}", bytes(count), span(took))
}

/// A short summary of a run that took so long, for a terminal, without the line end of its last line.
pub(crate) fn summary(summary: &Summary, took: Duration, room: Option<&str>) -> String {
    let FileCounts { catalogued, unchanged, copied, adopted, not_covered, failed, acknowledged, pending, purged } =
        summary.files;
    let mut text = format!("destination {}: {}\n", summary.destination, summary.headline());
    if summary.dry_run {
        text = format!("destination {}: dry run, nothing was changed\n", summary.destination);
        let _ = writeln!(text, "  to check:    {}, {}", data_files(summary.due.files), bytes(summary.due.bytes));
        if let Some(free) = summary.free_bytes {
            let short = if free < summary.due.bytes { ": NOT ENOUGH for what is due" } else { "" };
            let _ = writeln!(text, "  room:        {} free at the destination{short}", bytes(free));
        }
    }
    let _ = write!(
        text,
        "  in scope:    {}: {unchanged} unchanged, {copied} copied, {adopted} adopted, {not_covered} not covered, \
         {failed} failed, {pending} pending\n  sent:        {}\n",
        data_files(catalogued),
        sent(summary.bytes_copied, took)
    );
    if let Some(room) = room {
        let _ = writeln!(text, "  room:        {room}");
    }
    text += &not_rechecked(summary);
    if acknowledged > 0 {
        let _ = writeln!(text, "  known:       {} lost or damaged, and acknowledged", data_files(acknowledged));
    }
    if purged > 0 {
        let _ = writeln!(text, "  purged:      {} deleted by law, and not copied again", data_files(purged));
    }
    if summary.gone > 0 {
        let _ = writeln!(text, "  gone:        {} left Dataverse; their copies are kept", data_files(summary.gone));
    }
    if let Some(CopyCounts { checked, good, damaged, missing, .. }) = summary.verified {
        let _ = writeln!(text, "  verified:    {checked} copies: {good} good, {damaged} damaged, {missing} missing");
    }
    if let Some(PresenceCounts { data_files, not_safe, complete }) = summary.presence {
        let rest = if complete { "" } else { "; the next run goes on" };
        let _ = writeln!(
            text,
            "  in the store: {data_files} safe data files looked for, {not_safe} not as they were{rest}"
        );
    }
    if let Some(AuditedCounts { data_files, not_safe }) = summary.audited {
        let _ = writeln!(
            text,
            "  audited:     {data_files} data files read again in their stores, {not_safe} not as they were"
        );
    }
    if let Some(locks) = &summary.locks {
        let _ = writeln!(text, "  locks:       {}", locks_in_words(locks));
    }
    if summary.notes_total > 0 {
        let _ = write!(text, "  to be noted:\n{}", list(&summary.notes, summary.notes_total, NAMED, "; see --json"));
    }
    text.trim_end().to_owned()
}

/// What became of the locks of copies.
pub(crate) fn locks_in_words(locks: &LockCounts) -> String {
    let LockCounts { looked_at, failed, complete, earliest, unlocked, .. } = locks;
    let copies = if *looked_at == 1 { "1 copy" } else { &format!("{looked_at} copies") };
    let first = earliest.as_ref().map_or("no copy is locked".to_owned(), |it| format!("the first one ends {it}"));
    let mut text = format!("{copies} looked at, {failed} not locked as configured; {first}");
    if *unlocked > 0 {
        let _ = write!(text, "; of {unlocked} no lock is known");
    }
    if !complete {
        text += "; the next run goes on";
    }
    text
}

/// What is not safe, for stderr; empty where all is well.
pub(crate) fn trouble(summary: &Summary) -> String {
    if summary.ending == ExitStatus::Safe {
        return String::new();
    }
    let mut text =
        format!("destination {}: {} (exit code {})\n", summary.destination, summary.headline(), summary.exit_code);
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "  stopped early: {}", plain(below_headline(&summary.destination, why)));
    }
    let FileCounts { catalogued, failed, pending, .. } = summary.files;
    let _ = writeln!(text, "  of {}: {failed} failed, {pending} pending", data_files(catalogued));
    text += &not_rechecked(summary);
    text += &failures(summary, NAMED);
    text.trim_end().to_owned()
}

/// The report of all runs of this call.
pub(crate) fn notice(outcomes: &[RunOutcome]) -> Notice {
    let total = outcomes.iter().filter_map(|it| it.result.as_ref().ok()).map(|it| it.files);
    let total = total.fold(FileCounts::default(), |sum, it| FileCounts {
        catalogued: sum.catalogued + it.catalogued,
        unchanged: sum.unchanged + it.unchanged,
        copied: sum.copied + it.copied,
        adopted: sum.adopted + it.adopted,
        not_covered: sum.not_covered + it.not_covered,
        purged: sum.purged + it.purged,
        failed: sum.failed + it.failed,
        acknowledged: sum.acknowledged + it.acknowledged,
        pending: sum.pending + it.pending,
    });
    let ended = outcomes.iter().map(|it| Ended::new(&it.destination, it.ending)).collect();
    let sections = outcomes.iter().map(section).collect();
    Notice {
        lead: Some(first_line(&total)),
        has_warnings: outcomes.iter().any(|it| it.unconfigured().next().is_some()),
        ..Notice::new("run", ended, in_short(outcomes), sections)
    }
}

/// The outcomes in a subject: those that are not well, each.
fn in_short(outcomes: &[RunOutcome]) -> Vec<String> {
    let one = |outcome: &RunOutcome| match &outcome.result {
        Ok(Summary { files, .. }) if files.failed > 0 => {
            let are = if files.failed == 1 { "is" } else { "are" };
            format!("{} {are} not safe at {}", data_files(files.failed), plain(&outcome.destination.0))
        }
        _ => did_not_end_well(Some(&outcome.destination), outcome.ending),
    };
    let bad: Vec<_> = outcomes.iter().filter(|it| it.ending != ExitStatus::Safe).map(one).collect();
    if bad.is_empty() { vec!["everything in scope is safe".to_owned()] } else { bad }
}

/// The original script's words, in its order.
fn first_line(files: &FileCounts) -> String {
    format!(
        "{} files processed, {} skipped, {} success, {} failed",
        files.catalogued.saturating_sub(files.pending),
        files.unchanged + files.not_covered,
        files.copied + files.adopted,
        files.failed
    )
}

fn section(outcome: &RunOutcome) -> String {
    let RunOutcome { destination, started, finished, result, room: _, share, ending } = outcome;
    let headline = result.as_ref().map_or_else(|_| ending.text().to_owned(), Summary::headline);
    let mut text = format!(
        "Destination {destination}: {headline} (exit code {})\nFrom {} to {}\n",
        ending.code(),
        time(*started),
        time(*finished)
    );
    match result {
        Ok(summary) => text += &counts(summary),
        Err(failure) => {
            let _ = writeln!(text, "There was no run: {}", plain_lines(&failure.text()));
        }
    }
    text + &share.as_ref().map(share_of_run).unwrap_or_default()
}

fn counts(summary: &Summary) -> String {
    let FileCounts { catalogued, unchanged, copied, adopted, not_covered, failed, acknowledged, pending, purged } =
        summary.files;
    let mut text = format!("Run {}\n", summary.run_id);
    if let Some(why) = &summary.aborted {
        let _ = writeln!(text, "It stopped early: {}", plain(why));
    }
    let lines = [
        ("in scope", catalogued),
        ("safe already", unchanged),
        ("of these not checked again, as --rerun should", summary.not_rechecked),
        ("copied and proved", copied),
        ("found at the destination and proved", adopted),
        ("not covered", not_covered),
        ("of those that no copy is kept of, deleted by law", purged),
        ("not safe", failed),
        ("of those lost or damaged as was acknowledged", acknowledged),
        ("pending", pending),
        ("gone from Dataverse, copies kept", summary.gone),
    ];
    text.push('\n');
    for (what, count) in lines.into_iter().filter(|it| it.1 > 0 || !it.0.starts_with("of th")) {
        let _ = writeln!(text, "{count:>12}  data files {what}");
    }
    let _ = writeln!(text, "{:>12}  sent", bytes(summary.bytes_copied));
    if let Some(CopyCounts { checked, damaged, missing, .. }) = summary.verified {
        let _ = writeln!(text, "{checked:>12}  copies verified again: {damaged} damaged, {missing} missing");
    }
    if let Some(AuditedCounts { data_files, not_safe }) = summary.audited {
        let _ = writeln!(text, "{data_files:>12}  data files read again in their stores: {not_safe} not as they were");
    }
    if let Some(locks) = &summary.locks {
        let _ = writeln!(text, "{:>12}  locks: {}", "", locks_in_words(locks));
    }
    if let Some(PresenceCounts { data_files, not_safe, complete }) = summary.presence {
        let rest = if complete { "" } else { " (the next run goes on)" };
        let _ = writeln!(
            text,
            "{data_files:>12}  safe data files looked for in their stores{rest}: {not_safe} not as they were"
        );
    }
    if summary.failures_total > 0 {
        let _ = write!(text, "\nNot safe:\n{}", failures(summary, usize::MAX));
    }
    if summary.notes_total > 0 {
        let _ = write!(text, "\nTo be noted:\n{}", list(&summary.notes, summary.notes_total, usize::MAX, ""));
    }
    text
}

/// A time in RFC 3339 UTC, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_there_is() {
        let id = Some(DvObjectId(17));
        assert_eq!(
            line(id, Some("doi:10.5072/FK2/ABC"), Some("a\nb.tab"), Status::FailRead, Some("missing")),
            "FAIL_READ     file 17, doi:10.5072/FK2/ABC, a\\nb.tab: missing"
        );
        assert_eq!(line(id, None, None, Status::Ok, None), "OK            file 17");
    }

    #[test]
    fn what_was_sent_has_its_time_and_rate() {
        assert_eq!(sent(0, Duration::from_millis(1240)), "0 B in 1.2 s");
        assert_eq!(sent(3 << 20, Duration::from_secs(2)), "3.00 MiB in 2.0 s, 1.50 MiB a second");
        assert_eq!(sent(1, Duration::ZERO), "1 B in 0.0 s, 1000 B a second");
        assert_eq!(span(Duration::from_millis(59_940)), "59.9 s");
        assert_eq!(span(Duration::from_secs(245)), "4 min 5 s");
        assert_eq!(span(Duration::from_secs(11_520)), "3 h 12 min");
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let one = Finding {
            data_file_id: Some(DvObjectId(1)),
            dataset: None,
            storage_identifier: Some("file://x".to_owned()),
            name: None,
            status: Status::FailRead,
            reason: "missing".to_owned(),
        };
        let all = vec![one; 3];
        assert_eq!(list(&all, 3, 20, "").lines().count(), 3);
        assert!(list(&all, 3, 2, "; see x").ends_with("  and 1 more; see x\n"));
        assert!(list(&all, 1003, 20, "").ends_with("  and 1000 more\n"));
    }
}
