//! Which snapshots may go: the newest of each day stays for a month, the newest of each month for ever.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};

use crate::copies::spelling;

/// Days on which each has its snapshot.
const DAYS: i32 = 31;

/// What comes before the run in a snapshot's name.
pub(crate) const BEFORE: &str = "catalogue-";
const BEHIND: &str = ".jsonl.zst";
/// Between the run and how often the snapshot was written again.
const AGAIN: &str = "-p";
/// And behind that, for its SHA-256.
const DIGEST: &str = ".sha256";

/// The name of the snapshot that a run leaves.
pub(crate) fn name_of(run: &str) -> String {
    format!("{BEFORE}{run}{BEHIND}")
}

/// The names of snapshots as this program spells them, which is how they are asked for: some destinations list them in small
/// letters.
pub(crate) fn as_spelled(names: Vec<String>) -> Vec<String> {
    let spelled = |name: String| match name.strip_prefix(BEFORE) {
        Some(run) => format!("{BEFORE}{}", spelling::of_run(run)),
        None => name,
    };
    names.into_iter().map(spelled).collect()
}

/// The run that left a snapshot of this name, if it is one of ours; also where it was written again since.
pub(crate) fn run_of(name: &str) -> Option<&str> {
    let (run, _) = run_and_times(name)?;
    began(run).map(|_| run)
}

/// The run in a name, and how often the snapshot was written again.
fn run_and_times(name: &str) -> Option<(&str, u32)> {
    let run = name.strip_prefix(BEFORE)?.strip_suffix(BEHIND)?;
    let again = run.rsplit_once(AGAIN).and_then(|(run, times)| Some((run, times.parse().ok()?)));
    Some(again.unwrap_or((run, 0)))
}

/// The name of a snapshot when it is written again, without what was purged.
pub(crate) fn written_again(name: &str) -> Option<String> {
    let (run, times) = run_and_times(name)?;
    Some(name_of(&format!("{run}{AGAIN}{}", times + 1)))
}

/// When a run began, by its name: `20260102T030405Z-…`.
fn began(run: &str) -> Option<DateTime> {
    let (time, rest) = run.split_once('-')?;
    let began = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    let is_ours = began.strftime("%Y%m%dT%H%M%SZ").to_string() == time;
    let is_word = !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
    (is_ours && is_word).then_some(began)
}

/// When the run of a snapshot of ours began. Of two in one second, their names do not tell which came first.
pub(crate) fn time_of(name: &str) -> Option<DateTime> {
    began(run_of(name)?)
}

/// The time of now, as names have it.
pub(crate) fn now() -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now())
}

/// Whether a snapshot of ours is of a time that has not come, by its name: some clock was wrong when it was made, so its
/// place among the others is not known.
pub(crate) fn is_ahead(name: &str, now: DateTime) -> bool {
    time_of(name).is_some_and(|it| is_later(it, now))
}

/// By more than hosts and zones differ.
fn is_later(time: DateTime, now: DateTime) -> bool {
    now.checked_add(1.day()).is_ok_and(|it| time > it)
}

/// The snapshots of ours among these names, the newest first; those that are ahead come last.
pub(crate) fn newest_first(names: &[String], now: DateTime) -> Vec<&String> {
    let mut ours: Vec<&String> = names.iter().filter(|it| run_of(it).is_some()).collect();
    ours.sort_unstable_by(|a, b| is_ahead(a, now).cmp(&is_ahead(b, now)).then(b.cmp(a)));
    ours
}

/// The newest snapshot of ours among these names.
pub(crate) fn newest(names: &[String], now: DateTime) -> Option<&String> {
    newest_first(names, now).first().copied()
}

/// Those of these names that may go, now that `latest` was written. What is no snapshot of ours by its name never does, nor
/// does `latest`, whatever the clocks of other hosts say. One that is ahead stays, and takes the place of no other.
pub(crate) fn superfluous<'a>(names: &'a [String], latest: &str, now: DateTime) -> Vec<&'a String> {
    let today = now.date();
    let dated = || {
        let all = names.iter().filter_map(|name| Some((time_of(name)?, *name == latest, name)));
        all.filter(|it| it.1 || !is_later(it.0, now))
    };
    let mut of_day = BTreeMap::new();
    let mut of_month = BTreeMap::new();
    for it in dated() {
        let date = it.0.date();
        of_day.entry(date).and_modify(|newest| *newest = it.max(*newest)).or_insert(it);
        of_month.entry(date.first_of_month()).and_modify(|newest| *newest = it.max(*newest)).or_insert(it);
    }
    let is_young = |date: Date| date.until(today).map_or(true, |it| it.get_days() < DAYS);
    let stays = |snapshot: &(DateTime, bool, &String)| {
        let (time, is_latest, _) = snapshot;
        let date = time.date();
        let is_of_day = is_young(date) && of_day.get(&date) == Some(snapshot);
        *is_latest || is_of_day || of_month.get(&date.first_of_month()) == Some(snapshot)
    };
    dated().filter(|it| !stays(it)).map(|it| it.2).collect()
}

/// What may go with the snapshots: those themselves, and the digests of snapshots that are not there.
pub(crate) fn to_be_removed<'a>(names: &'a [String], latest: &str, now: DateTime) -> Vec<&'a String> {
    let gone = superfluous(names, latest, now);
    let stays = |snapshot: &str| names.iter().any(|it| it == snapshot && !gone.contains(&it));
    let digests = names.iter().filter(|name| {
        let of = name.strip_suffix(DIGEST).filter(|it| run_of(it).is_some());
        of.is_some_and(|it| !stays(it))
    });
    gone.iter().copied().chain(digests).collect()
}

/// The run that left a snapshot of ours, by its name or by that of what holds its SHA-256.
pub(crate) fn run_of_either(name: &str) -> Option<&str> {
    run_of(snapshot_of_either(name))
}

/// The snapshot itself, by its name or by that of what holds its SHA-256.
pub(crate) fn snapshot_of_either(name: &str) -> &str {
    name.strip_suffix(DIGEST).unwrap_or(name)
}

/// The name of what holds a snapshot's SHA-256.
pub(crate) fn digest_of(snapshot: &str) -> String {
    format!("{snapshot}{DIGEST}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn night_of(day: Date) -> DateTime {
        day.at(23, 59, 59, 0)
    }

    fn at(day: i32, second: i32) -> String {
        let time = date(2026, 1, 1).at(0, 0, 0, 0) + day.days() + second.seconds();
        name_of(&format!("{}-0badcafe", time.strftime("%Y%m%dT%H%M%SZ")))
    }

    #[test]
    fn only_names_of_ours_are_taken_apart() {
        assert_eq!(run_of("catalogue-20260102T030405Z-0badcafe.jsonl.zst"), Some("20260102T030405Z-0badcafe"));
        for other in [
            "catalogue-.jsonl.zst",
            "catalogue-20260102T030405Z.jsonl.zst",
            "catalogue-20260102T030405Z-.jsonl.zst",
            "catalogue-20260102T030405Z-a/b.jsonl.zst",
            "catalogue-20261302T030405Z-a.jsonl.zst",
            "catalogue-2026012T030405Z-a.jsonl.zst",
            "catalogue-20260102T030405Z-a.jsonl",
            "catalogue-20260102T030405Z-a.jsonl.zst.old",
            "my-catalogue-20260102T030405Z-a.jsonl.zst",
        ] {
            assert_eq!(run_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_written_again_keeps_its_run_and_its_place() {
        let name = name_of("20260102T030405Z-0badcafe");
        let once = written_again(&name).unwrap();
        assert_eq!(once, "catalogue-20260102T030405Z-0badcafe-p1.jsonl.zst");
        let twice = written_again(&once).unwrap();
        assert_eq!(twice, "catalogue-20260102T030405Z-0badcafe-p2.jsonl.zst");
        assert_eq!((run_of(&once), run_of(&twice)), (run_of(&name), run_of(&name)));
        assert_eq!((time_of(&twice), run_of_either(&digest_of(&twice))), (time_of(&name), run_of(&name)));
        assert_eq!(newest(&[twice.clone(), at(0, 0)], night_of(date(2026, 1, 3))), Some(&twice));
        assert_eq!(written_again("catalogue.zst"), None);
    }

    #[test]
    fn a_month_of_days_and_then_the_newest_of_each_month_stay() {
        let names: Vec<String> = (0..100).flat_map(|day| [at(day, 10), at(day, 20)]).collect();
        let today = date(2026, 1, 1) + 99.days();
        let gone: BTreeSet<&String> = superfluous(&names, &at(99, 20), night_of(today)).into_iter().collect();
        let left: Vec<&String> = names.iter().filter(|it| !gone.contains(it)).collect();
        // 2026-04-10 and the 30 days before it; the last days of January and February before those.
        let days: Vec<i32> = [30, 58].into_iter().chain(69..100).collect();
        assert!(left.into_iter().eq(days.iter().map(|day| at(*day, 20)).collect::<Vec<_>>().iter()), "{days:?}");
    }

    #[test]
    fn the_one_that_was_just_written_stays() {
        let name = |it: &str| format!("catalogue-20260102T030405Z-{it}.jsonl.zst");
        let names = [name("b"), name("a"), at(3, 0)];
        assert_eq!(superfluous(&names[..2], &name("a"), night_of(date(2026, 1, 2))), [&name("b")]);
        // Another host's clock is fast.
        assert_eq!(superfluous(&names, &name("a"), night_of(date(2026, 1, 2))), [&name("b")]);
    }

    #[test]
    fn what_is_ahead_comes_last_and_takes_no_place() {
        let today = date(2026, 1, 11);
        // The 9th to the 11th, twice each; and what a clock left that was 15 days, or a year, fast.
        let mut names: Vec<String> = (8..11).flat_map(|day| [at(day, 10), at(day, 20)]).collect();
        names.extend([at(25, 0), at(375, 0)]);
        let now = night_of(today);
        assert_eq!(newest(&names, now), Some(&at(10, 20)));
        let order: Vec<&String> = newest_first(&names, now);
        assert_eq!(order[5..], [&at(8, 10), &at(375, 0), &at(25, 0)]);
        assert_eq!(superfluous(&names, &at(10, 20), now), [&at(8, 10), &at(9, 10), &at(10, 10)]);
        // The one ahead is of the same month, and is not kept instead of it when both are old.
        let alone = [at(10, 0), at(25, 0)];
        assert_eq!(superfluous(&alone, "", now), [""; 0]);
        assert!(!is_ahead(&at(11, 0), now), "less than a day");
        assert_eq!(newest(&[at(25, 0)], now), Some(&at(25, 0)), "better than none");
    }

    proptest! {
        #[test]
        fn what_is_thinned_again_and_again_keeps_what_thinning_once_keeps(
            times in proptest::collection::btree_set((0_i32..400, 0_i32..5), 0..120),
            strange in proptest::collection::vec("(catalogue-)?[0-9TZ-]{0,18}(.jsonl.zst)?", 0..4),
        ) {
            let strange: Vec<String> = strange.into_iter().filter(|it| run_of(it).is_none()).collect();
            let all: Vec<String> = times.iter().map(|(day, n)| at(*day, *n)).chain(strange.iter().cloned()).collect();
            let today = date(2026, 1, 1) + 400.days();
            let thinned = |names: &[String], today: Date| -> Vec<String> {
                let gone = superfluous(names, newest(names, night_of(today)).map_or("", |it| it.as_str()), night_of(today));
                names.iter().filter(|it| !gone.contains(it)).cloned().collect()
            };
            // Every night, as runs do it.
            let mut nightly: Vec<String> = strange.clone();
            for day in 0..=400 {
                nightly.extend(times.iter().filter(|it| it.0 == day).map(|(day, n)| at(*day, *n)));
                nightly = thinned(&nightly, date(2026, 1, 1) + day.days());
            }
            let once = thinned(&all, today);
            let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(sorted(&nightly), sorted(&once));
            prop_assert_eq!(newest(&all, night_of(today)), newest(&once, night_of(today)));
            prop_assert!(strange.iter().all(|it| once.contains(it)));
            // Each month that had one has its newest, and each of the last days too.
            let date_of = |name: &str| began(run_of(name).unwrap()).unwrap().date();
            let ours = |names: &[String]| names.iter().filter(|it| run_of(it).is_some()).cloned().collect::<Vec<_>>();
            for name in ours(&all) {
                let date = date_of(&name);
                let month = ours(&once).into_iter().any(|it| it >= name && date_of(&it).first_of_month() == date.first_of_month());
                prop_assert!(month, "{}", name);
                if date.until(today).unwrap().get_days() < DAYS {
                    prop_assert!(ours(&once).into_iter().any(|it| it >= name && date_of(&it) == date), "{}", name);
                }
            }
        }
    }
}
