//! What the ledger knows, in words.

use dvb_engine::{
    DatasetStatus, DestinationStatus, ExitStatus, FileStatus, GoneFile, LastRun, LockStatus, NotBegun, RunEnd,
    RunStatus, SharedRunStatus, ending_of,
};
use dvb_ledger::CopyState;
use dvb_model::Status;
use jiff::Timestamp;

use super::history;
use crate::output::{Screen, Tint, plain};
use crate::report;

/// Verdicts, shared work and the last runs of a destination.
pub(super) fn overview(screen: &Screen, state: &DestinationStatus) -> String {
    let mut lines = vec![format!("destination {}", state.destination)];
    for (status, count) in &state.counts {
        if *count > 0 || *status == Status::Ok {
            let name = screen.tinted(tint(*status), &format!("{:<13}", status.name()));
            lines.push(format!("  {name} {count:>10}  {}", meaning(*status)));
        }
    }
    let others = [
        ("acknowledged", state.acknowledged, "of these are known to be lost or damaged, and raise no alarm"),
        ("gone", state.gone, "left Dataverse; their copies are kept"),
        ("claimed", state.claimed_copies, "copies by a snapshot, not proved yet: the next run or verify does that"),
    ];
    let others = others.into_iter().filter(|(_, count, _)| *count > 0);
    lines.extend(others.map(|(name, count, meaning)| format!("  {name:<13} {count:>10}  {meaning}")));
    if let Some(at) = &state.oldest_proof {
        lines.push(format!("  oldest proof: {at}{}", age(at).map(|age| format!(", {age}")).unwrap_or_default()));
    }
    if let Some(LockStatus { earliest, unlocked }) = &state.locks {
        let rest = match unlocked {
            0 => String::new(),
            1 => "; of 1 copy no lock is known".to_owned(),
            many => format!("; of {many} copies no lock is known"),
        };
        let left = to_go(earliest).map(|left| format!(", {left}")).unwrap_or_default();
        lines.push(format!("  first lock ends: {earliest}{left}{rest}"));
    }
    lines.extend(state.runs.iter().map(|run| format!("  {} {}", run.command, run_text(run))));
    lines.extend(state.shared_runs.iter().map(shared_run));
    lines.join("\n")
}

/// Who works on what, where several hosts share a run.
fn shared_run(shared: &SharedRunStatus) -> String {
    let aside =
        if shared.ranges_set_aside > 0 { format!(", {} set aside", shared.ranges_set_aside) } else { String::new() };
    let mut lines = vec![format!(
        "  shared {:<6} {} since {}, {}: {} of {} ranges of work done{aside}",
        plain(&shared.command),
        plain(&shared.run_id.0),
        shared.started,
        shared.phase,
        shared.ranges_done,
        shared.ranges
    )];
    let (what, done) = match shared.command.as_str() {
        "verify" => ("copies", "compared"),
        "audit" => ("data files", "read"),
        _ => ("data files", "sent"),
    };
    lines.extend(shared.hosts.iter().map(|host| {
        format!(
            "    {} ({}): {} ranges, {} {what}, {} {done}; last sign {} ({})",
            plain(&host.host),
            host.pid,
            host.ranges,
            host.files,
            report::bytes(host.bytes),
            host.last_sign,
            host.state.text()
        )
    }));
    lines.join("\n")
}

/// What is to be known of the numbers, and what to do.
pub(super) fn reservations(state: &DestinationStatus) -> impl Iterator<Item = String> {
    let not_begun = state.not_begun.map(|why| before_the_first(why).to_owned());
    not_begun.into_iter().chain(state.did_nothing.as_ref().map(did_nothing))
}

/// Why the numbers are not all that there is, and what to do.
fn before_the_first(why: NotBegun) -> &'static str {
    match why {
        NotBegun::Never => "no run has ended yet; begin with dataverse-backup run",
        NotBegun::UnderWay => "no run has ended yet; one is under way, and what it has not checked is not counted here",
        NotBegun::Cut => {
            "no run has ended yet, and what no run has checked is not counted here; continue with dataverse-backup run"
        }
        NotBegun::Partly => {
            "no run that checked everything has ended yet, and the rest is not counted here; continue with dataverse-backup run"
        }
    }
}

fn did_nothing(last: &LastRun) -> String {
    let LastRun { ending, finished, exit_code, why } = last;
    let what = if *ending == ExitStatus::Refused { "was refused" } else { "could not work" };
    let why = why.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    format!(
        "the last run, which ended {finished}, {what} (exit code {exit_code}); the numbers are those that it left{why}"
    )
}

/// How many data files have how many copies, over all destinations.
pub(super) fn spread(spread: &[(u64, u64)]) -> String {
    let lines: String =
        spread.iter().map(|(copies, files)| format!("\n  {:<13} {files:>10}", number_of_copies(*copies))).collect();
    format!("all destinations: data files by their proved copies{lines}")
}

fn number_of_copies(count: u64) -> String {
    format!("{count} {}", if count == 1 { "copy" } else { "copies" })
}

/// One dataset whose own objects are not safe.
pub(super) fn dataset(of: &DatasetStatus) -> String {
    format!("  {}", report::line(None, of.dataset.as_deref(), Some("its own objects"), of.status, of.reason.as_deref()))
}

pub(super) fn number_of_datasets(count: usize) -> String {
    format!("  {:<13} {count:>10}  with objects of their own (logos) that are not safe", "datasets")
}

/// One data file, with its history where that was asked for.
pub(super) fn file(file: &FileStatus, several: bool) -> String {
    let id = Some(file.data_file_id);
    let line = report::line(id, file.dataset.as_deref(), file.known_as(), file.status, file.reason.as_deref());
    let mut text = format!("  {line}");
    if several {
        text += &format!(" ({} proved)", number_of_copies(file.copies));
    }
    if file.provisional {
        text += " (provisional: an ingest was under way)";
    }
    if let Some(since) = &file.gone_since {
        text += &format!(" (left Dataverse: {since})");
    }
    text + &file.custody.as_ref().map(|custody| history::text(file, custody)).unwrap_or_default()
}

/// One data file that has left the catalogue, with its copies.
pub(super) fn gone(file: &GoneFile) -> String {
    let name = file.name.as_deref().or(file.storage_identifier.as_deref());
    let parts: Vec<_> = [file.dataset.as_deref(), name].into_iter().flatten().map(plain).collect();
    let since = file.gone_since.as_deref().unwrap_or_default();
    let mut text = format!("  file {}, {}: left Dataverse {since}", file.data_file_id, parts.join(", "));
    for copy in &file.copies {
        let proved = copy.proved_at.as_deref().unwrap_or_default();
        let state = if copy.state == CopyState::Damaged { "DAMAGED, was last good on" } else { "proved" };
        let size = report::bytes(copy.size.unwrap_or(0));
        text += &format!("\n    {}  {}, {size}, {state} {proved}", plain(copy.key.as_str()), plain(&copy.object));
    }
    if file.copies.is_empty() {
        text += "\n    no copy was ever proved";
    }
    text
}

fn meaning(status: Status) -> &'static str {
    match status {
        Status::Ok => "at the destination, and proved",
        Status::Pending => "known, not copied yet",
        Status::FailRead => "the source could not be read",
        Status::FailChecksum => "the source is not what Dataverse recorded: damaged there",
        Status::FailWrite => "could not be stored at the destination",
        Status::FailVerify => "the copy is missing, or the destination holds other bytes",
        Status::NotCovered => "no bytes that a backup could read, by rule",
        Status::Purged => "deleted by law, and not copied again",
    }
}

fn tint(status: Status) -> Tint {
    match ending_of(status) {
        ExitStatus::Safe if status == Status::Ok => Tint::Good,
        ExitStatus::Safe => Tint::Doubtful,
        _ => Tint::Bad,
    }
}

fn run_text(run: &RunStatus) -> String {
    let RunStatus { started, host, finished, exit_code, end, .. } = run;
    match end {
        RunEnd::Recorded => {
            let finished = finished.as_deref().unwrap_or_default();
            format!("{started} to {finished} on {host}: exit code {}", exit_code.unwrap_or_default())
        }
        RunEnd::UnderWay => format!("{started} on {host}: under way"),
        RunEnd::Lost => format!("{started} on {host}: ended without a result (killed, or a power failure)"),
    }
}

fn to_go(until: &str) -> Option<String> {
    let until: Timestamp = until.parse().ok()?;
    let hours = until.duration_since(Timestamp::now()).as_hours();
    Some(match hours {
        ..0 => "over".to_owned(),
        0..48 => format!("in {hours} hours"),
        _ => format!("in {} days", hours / 24),
    })
}

fn age(at: &str) -> Option<String> {
    let at: Timestamp = at.parse().ok()?;
    let hours = Timestamp::now().duration_since(at).as_hours();
    Some(if hours < 48 { format!("{hours} hours ago") } else { format!("{} days ago", hours / 24) })
}
