//! The report on one page of the screen. The whole of it is in the other forms.

use std::fmt::Write as _;

use dvb_model::plain;

use crate::model::{Fixity, IncidentReport, PromiseState, Report};
use crate::words::{bytes, counted, data_files, day, days_ago, interval, minute, number, percent};

/// Open incidents that are named.
const NAMED: usize = 5;
/// Other lines of a list.
const LISTED: usize = 5;

/// The report as a page of text, without a line end after the last line.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut page = String::new();
    head(&mut page, report);
    promises(&mut page, report);
    holdings(&mut page, report);
    destinations(&mut page, report);
    fixity(&mut page, report);
    incidents(&mut page, report);
    rest(&mut page, report);
    page.trim_end().to_owned()
}

/// Writing to a `String` cannot fail.
macro_rules! line {
    ($page:expr, $($what:tt)*) => {{ let _ = writeln!($page, $($what)*); }};
}

fn head(page: &mut String, report: &Report) {
    let head = &report.head;
    line!(page, "custody report as of {} UTC, period since {}", minute(&report.as_of), day(&report.since));
    let installation = head.installation.as_deref().unwrap_or("none yet: no run has begun");
    line!(page, "  installation {}, dataverse-backup {}", plain(installation), plain(&head.program));
    for it in &head.snapshots {
        line!(page, "  newest snapshot at {}: {}", plain(&it.destination), plain(&it.name));
        line!(page, "    SHA-256 {}", plain(&it.sha256));
    }
}

fn promises(page: &mut String, report: &Report) {
    line!(page, "promises");
    for it in &report.promises {
        let state = match it.state {
            PromiseState::Met => "met",
            PromiseState::NotMet => "NOT MET",
            PromiseState::NotPromised => "none",
        };
        line!(page, "  {state:<8} {}: {}", plain(&it.promise), plain(&it.figures));
    }
}

fn holdings(page: &mut String, report: &Report) {
    let it = &report.holdings;
    line!(page, "holdings: {}, {}", data_files(it.files), bytes(it.bytes));
    for level in &it.by_copies {
        let copies = format!("{}{}", level.copies, if level.or_more { " or more" } else { "" });
        let word = if level.copies == 1 { "proved copy" } else { "proved copies" };
        let size = if level.copies == 0 { String::new() } else { bytes(level.bytes) };
        line!(page, "  {:<26} {:>14}  {size:>12}", format!("{copies} {word}"), number(level.files));
    }
    if it.not_covered > 0 {
        line!(page, "  {:<26} {:>14}  no bytes that a backup can read", "not covered", number(it.not_covered));
    }
}

fn destinations(page: &mut String, report: &Report) {
    line!(page, "destinations");
    for it in &report.destinations {
        let stated = [("place", &it.place), ("region", &it.region), ("medium", &it.medium), ("by", &it.administrator)];
        let stated: String = stated
            .into_iter()
            .filter_map(|(what, said)| Some(format!(", {what} {}", plain(said.as_deref()?))))
            .collect();
        line!(
            page,
            "  {}: {}, {}, {}{stated}",
            plain(&it.name),
            it.protocol,
            counted(it.copies, "copy", "copies"),
            bytes(it.bytes)
        );
        let locked = it.immutability.as_deref().unwrap_or("nothing configured keeps copies from being deleted");
        line!(page, "    {locked}");
        if it.damaged_copies + it.claimed_copies > 0 {
            let (damaged, claimed) = (number(it.damaged_copies), number(it.claimed_copies));
            line!(page, "    {damaged} damaged or missing, {claimed} not proved since the ledger was lost");
        }
    }
}

fn fixity(page: &mut String, report: &Report) {
    line!(page, "fixity");
    for it in &report.fixity {
        line!(page, "  {}: {}", plain(&it.place), checked(it));
        line!(page, "    {}", ages(it));
    }
}

fn checked(it: &Fixity) -> String {
    let checks = &it.checks;
    format!(
        "{} of {} {} found good in the period; {} made, {} bad",
        number(it.checked_in_period),
        number(it.total),
        it.unit,
        counted(checks.checked, "comparison", "comparisons"),
        number(checks.bad)
    )
}

/// The sentence on ages that all forms share.
pub(crate) fn ages(it: &Fixity) -> String {
    let mut text = match (it.promised_seconds, it.share_within_promise) {
        (Some(seconds), Some(share)) => {
            let promised = interval(std::time::Duration::from_secs(seconds));
            format!("{} within the promised {promised}", percent(share))
        }
        _ => "no interval is promised".to_owned(),
    };
    if let (Some(day), Some(days)) = (&it.oldest_day, it.oldest_days) {
        let _ = write!(text, "; oldest {day} ({})", days_ago(days));
    }
    if let Some(days) = it.median_days {
        let _ = write!(text, "; median {}", days_ago(days));
    }
    if it.never > 0 {
        let _ = write!(text, "; never {}", number(it.never));
    }
    text
}

fn incidents(page: &mut String, report: &Report) {
    let it = &report.incidents;
    line!(
        page,
        "incidents: {} open, {} on record, {} found and {} repaired in the period",
        number(it.open),
        number(it.total),
        number(it.found_in_period),
        number(it.repaired_in_period)
    );
    let open = it.all.iter().filter(|it| it.open);
    open.clone().take(NAMED).for_each(|it| line!(page, "  {}", incident(it)));
    let more = open.count().saturating_sub(NAMED);
    if more > 0 {
        line!(page, "  and {more} more that are open");
    }
}

fn incident(incident: &IncidentReport) -> String {
    let place = incident.place.as_deref().map(|it| format!(" {}", plain(it))).unwrap_or_default();
    let note = incident.note.as_ref().and_then(|it| it.text.as_deref()).map(|it| format!(": {}", plain(it)));
    let acknowledged = if incident.acknowledged { ", acknowledged" } else { "" };
    format!(
        "{} open since {}{acknowledged}: {} of file {} {} in {}{place}{}",
        incident.number,
        day(&incident.found_at),
        plain(&incident.object),
        incident.dvobject_id,
        plain(&incident.found),
        incident.side,
        note.unwrap_or_default()
    )
}

fn rest(page: &mut String, report: &Report) {
    let losses = report.acknowledged.iter().filter(|it| it.ended_at.is_none()).count();
    line!(page, "acknowledged losses: {losses}");
    match report.drills.last() {
        None => line!(page, "drills: none in the period"),
        Some(it) => line!(
            page,
            "drills: {} in the period; the last {}: {}, {} good, {} failed",
            report.drills.len(),
            day(&it.started),
            it.outcome.words,
            it.good.map_or("?".to_owned(), number),
            it.failed.map_or("?".to_owned(), number)
        ),
    }
    line!(page, "purges: {}", report.purges.commands);
    line!(page, "overrides: {}", report.overrides.len());
    for it in report.overrides.iter().rev().take(LISTED) {
        let by = it.by.as_deref().map(|it| format!(" by {}", plain(it))).unwrap_or_default();
        let given: String =
            it.overrides.iter().map(|it| format!(" --{}", plain(it.trim_start_matches("--")))).collect();
        line!(page, "  {}: {}{given}{by}: {}", minute(&it.started), plain(&it.command), it.outcome.words);
    }
    line!(page, "not shown here: PostgreSQL, formats, policy; the page has them");
}
