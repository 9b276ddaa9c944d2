//! What the report says, and what it leaves out.

use dvb_report::{CopiesLevel, PromiseState, Report, gather, text};

use crate::made::{NASTY, facts, ledger, with_history};

fn made(public: bool) -> Report {
    let folder = tempfile::tempdir().unwrap();
    gather(&with_history(&folder), &facts(public)).unwrap()
}

#[test]
fn holdings_are_by_copies_and_reason() {
    let holdings = made(false).holdings;
    let level = |copies, files, bytes| CopiesLevel { copies, or_more: copies == 3, files, bytes };
    assert_eq!(holdings.by_copies, [level(0, 1, 0), level(1, 4, 4_000), level(2, 6, 6_000), level(3, 0, 0)]);
    assert_eq!((holdings.files, holdings.bytes, holdings.not_covered), (11, 10_000, 1));
    assert_eq!(holdings.not_covered_by_reason[0].reason.as_deref(), Some("store remote1: it is remote"));
}

#[test]
fn promises_that_are_not_kept_are_said() {
    let report = made(false);
    let said: Vec<_> = report.promises.iter().map(|it| (it.state, it.figures.as_str())).collect();
    assert_eq!(
        said,
        [
            (PromiseState::NotMet, "1 of 11 data files are not safe; 1 acknowledged as lost"),
            (PromiseState::NotMet, "2 of 10 copies are older than the promised 30 d"),
            (PromiseState::NotMet, "no run of everything has ended in the last 13 months"),
            (PromiseState::NotPromised, "no interval is set"),
            (
                PromiseState::NotMet,
                "1 of 11 data files were last found good longer ago than the promised 90 d; 1 of them never"
            ),
        ]
    );
}

#[test]
fn fixity_has_ages_and_what_the_checks_found() {
    let report = made(false);
    let [here, there, stores] = report.fixity.as_slice() else { panic!("{:#?}", report.fixity) };
    assert_eq!((here.total, here.overdue, here.share_within_promise), (10, Some(2), Some(0.8)));
    assert_eq!(
        (here.oldest_day.as_deref(), here.oldest_days, here.median_days),
        (Some("2026-04-01"), Some(75), Some(5))
    );
    // Two nightly shares of the period, and a verify.
    assert_eq!((here.checks.commands, here.checks.checked, here.checks.good, here.checks.bad), (3, 18, 17, 1));
    assert_eq!(here.ages.iter().map(|it| it.count).sum::<u64>(), 10);
    assert_eq!(here.ages.iter().map(|it| it.overdue).sum::<u64>(), 2);
    assert!(here.ages.len() <= 20 && here.ages.last().unwrap().to_days > 75);
    assert_eq!((there.total, there.overdue, there.checks.commands), (6, None, 0));
    assert_eq!((stores.total, stores.never, stores.overdue), (11, 1, Some(1)));
    assert_eq!((stores.checks.checked, stores.checks.bad), (6, 2));
}

#[test]
fn open_incidents_come_first() {
    let incidents = made(false).incidents;
    let told: Vec<_> = incidents.all.iter().map(|it| (it.dvobject_id, it.open, it.acknowledged)).collect();
    assert_eq!(told, [(11, true, true), (3, true, false), (2, false, false), (1, false, false)]);
    assert_eq!(
        (incidents.total, incidents.open, incidents.found_in_period, incidents.repaired_in_period),
        (4, 2, 3, 1)
    );
    assert_eq!(incidents.by_month.len(), 13);
    assert_eq!(incidents.by_month.iter().map(|it| it.open + it.repaired).sum::<u64>(), 4);
    assert_eq!(incidents.all[1].note.as_ref().unwrap().text.as_deref(), Some(NASTY));
}

#[test]
fn drills_overrides_and_commands_are_of_the_period() {
    let report = made(false);
    let [drill] = report.drills.as_slice() else { panic!("{:#?}", report.drills) };
    assert_eq!(
        (drill.sample, drill.good, drill.failed, drill.milliseconds),
        (Some(20), Some(19), Some(1), Some(75_500))
    );
    assert_eq!(report.overrides[0].overrides, ["accept-disappearance"]);
    assert_eq!(report.overrides[0].by.as_deref(), Some("keeper on vault.example.org"));
    let told: Vec<_> = report.commands.iter().map(|it| (it.command.as_str(), it.times, it.without_end)).collect();
    assert_eq!(told, [("drill", 1, 0), ("run", 2, 0), ("verify", 2, 1)]);
}

#[test]
fn the_course_has_13_months() {
    let course = made(false).course;
    let told: Vec<_> = course.iter().map(|it| (it.month.as_str(), it.files, it.bytes)).collect();
    assert_eq!((course.len(), told[0].0, told[12]), (13, "2025-06", ("2026-06", Some(12), 16_000)));
    assert_eq!((told[2], told[8], told[7].1), (("2025-08", Some(5), 0), ("2026-02", Some(9), 16_000), None));
    assert!((course[12].coverage.unwrap() - 10.0 / 11.0).abs() < 1e-9);
}

#[test]
fn a_ledger_without_history_has_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let report = gather(&ledger(&folder), &facts(false)).unwrap();
    assert_eq!((report.holdings.files, report.incidents.total, report.head.snapshots.len()), (0, 0, 0));
    assert!(report.promises.iter().all(|it| !it.figures.is_empty()));
    assert!(text(&report).contains("drills: none in the period"));
}

#[test]
fn the_text_is_a_page_without_controls() {
    let text = text(&made(false));
    assert!(text.lines().count() < 60, "{text}");
    assert!(text.contains("NOT MET  each copy at default is verified every 30 d: 2 of 10 copies are older"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
    for part in
        ["SHA-256 abab", "1 proved copy", "Alex Doe", "S3 object lock", "median 5 days ago", "acknowledged losses: 1"]
    {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

/// Everything that may name something.
const NAMES: &[&str] = &[
    "secret",
    "SECRET",
    "keeper",
    "vault",
    "s3prod",
    "remote1",
    "alert",
    "Alex",
    "ledger.db",
    "default",
    "elsewhere",
    "bucket",
];

/// Fails where a form of a public report names something.
pub(crate) fn names_nothing(form: &str) {
    for name in NAMES {
        let at = form.lines().find(|line| line.contains(name) && !line.contains("default-src"));
        assert!(at.is_none(), "{name}: {at:?}");
    }
    assert!(form.contains("destination 1"), "{form}");
}

#[test]
fn a_public_report_names_nothing() {
    let report = made(true);
    names_nothing(&serde_json::to_string_pretty(&report).unwrap());
    names_nothing(&text(&report));
    assert_eq!((report.holdings.not_covered_by_reason[0].reason.clone(), report.incidents.total), (None, 4));
}
