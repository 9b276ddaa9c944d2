//! How long ago things were checked.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::facts::Facts;
use crate::model::{AgeBin, Checks, Fixity};
use crate::words::share;

/// At most so many bars.
const BINS: u64 = 20;

/// What was last checked on one day.
pub(super) struct CheckedOnDay {
    /// `2026-01-31`, in UTC; empty where nothing was ever checked.
    pub(super) day: String,
    pub(super) overdue: bool,
    pub(super) count: u64,
}

/// Dates of checks as ages.
pub(super) struct Ages {
    total: u64,
    in_period: u64,
    never: u64,
    overdue: u64,
    promised: Option<Duration>,
    oldest_day: Option<String>,
    /// Days ago, overdue, how many; the youngest first.
    ages: Vec<(u64, bool, u64)>,
}

impl Ages {
    pub(super) fn of(facts: &Facts, dated: Vec<CheckedOnDay>, promised: Option<Duration>) -> Self {
        let today = TimeZone::UTC.to_datetime(facts.as_of).date();
        // By whole days: the day on which the period began is in it.
        let first_day = TimeZone::UTC.to_datetime(facts.since).date().to_string();
        let mut all =
            Self { total: 0, in_period: 0, never: 0, overdue: 0, promised, oldest_day: None, ages: Vec::new() };
        for CheckedOnDay { day, overdue, count } in dated {
            all.total += count;
            all.overdue += if overdue { count } else { 0 };
            let Some(days) = days_between(&day, today) else {
                all.never += count;
                continue;
            };
            all.in_period += if day >= first_day { count } else { 0 };
            if all.oldest_day.as_ref().is_none_or(|oldest| day < *oldest) {
                all.oldest_day = Some(day);
            }
            all.ages.push((days, overdue, count));
        }
        all.ages.sort_unstable();
        all
    }

    pub(super) fn fixity(self, side: &'static str, place: &str, unit: &'static str, checks: Checks) -> Fixity {
        Fixity {
            side,
            place: place.to_owned(),
            unit,
            total: self.total,
            checked_in_period: self.in_period,
            never: self.never,
            promised_seconds: self.promised.map(|it| it.as_secs()),
            overdue: self.promised.map(|_| self.overdue),
            share_within_promise: self.promised.map(|_| share(self.total - self.overdue, self.total)),
            oldest_days: self.ages.last().map(|it| it.0),
            median_days: self.median(),
            ages: self.bins(),
            oldest_day: self.oldest_day,
            checks,
        }
    }

    /// `None` where half of all was never checked.
    fn median(&self) -> Option<u64> {
        let mut seen = 0;
        self.ages.iter().find_map(|(days, _, count)| {
            seen += count;
            (seen * 2 >= self.total).then_some(*days)
        })
    }

    fn bins(&self) -> Vec<AgeBin> {
        let Some((oldest, ..)) = self.ages.last() else { return Vec::new() };
        let promised = self.promised.map_or(0, |it| it.as_secs().div_ceil(86_400));
        let width = ((*oldest).max(promised) + 1).div_ceil(BINS);
        let bins = (*oldest).max(promised) / width + 1;
        let mut all: Vec<AgeBin> = (0..bins)
            .map(|index| AgeBin { from_days: index * width, to_days: (index + 1) * width, count: 0, overdue: 0 })
            .collect();
        for (days, overdue, count) in &self.ages {
            if let Some(bin) = all.iter_mut().find(|it| *days < it.to_days) {
                bin.count += count;
                bin.overdue += if *overdue { *count } else { 0 };
            }
        }
        all
    }
}

/// `None` for what is no day. A clock that was wrong may leave one in the future, which counts as today.
fn days_between(day: &str, today: Date) -> Option<u64> {
    let day: Date = day.parse().ok()?;
    let days = today.duration_since(day).as_hours() / 24;
    Some(u64::try_from(days).unwrap_or(0))
}
