//! Numbers as people read them.

use std::time::Duration;

/// With a comma after each third digit: `1,234,567`.
pub(crate) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 copy`, `2 copies`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `1 data file`, `2 data files`.
pub(crate) fn data_files(count: u64) -> String {
    counted(count, "data file", "data files")
}

/// In binary units, with two digits behind the point: `1.50 GiB`; below 1 KiB whole bytes.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut unit = 0;
    let mut whole = count;
    while whole >= 1024 * 1024 {
        whole /= 1024;
        unit += 1;
    }
    // Below 2^20, which a float has exactly.
    let value = f64::from(u32::try_from(whole).unwrap_or(u32::MAX)) / 1024.0;
    format!("{value:.2} {}", UNITS[unit])
}

/// `99.97 %`; only what is whole is 100 %, and only nothing is 0 %.
pub(crate) fn percent(share: f64) -> String {
    let shown = (share * 10_000.0).round() / 100.0;
    if share < 1.0 && shown >= 100.0 {
        return "99.99 %".to_owned();
    }
    if share > 0.0 && shown <= 0.0 {
        return "0.01 %".to_owned();
    }
    if (shown - shown.round()).abs() < f64::EPSILON { format!("{shown:.0} %") } else { format!("{shown:.2} %") }
}

/// A share; nothing of nothing is all.
pub(crate) fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than a float has")]
    let share = part as f64 / of as f64;
    share
}

/// A duration in its largest whole unit: `30 d`, `12 h`, `90 min`.
#[must_use]
pub fn interval(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        seconds if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// How long ago that was: `today`, `1 day ago`, `3 days ago`.
pub(crate) fn days_ago(days: u64) -> String {
    match days {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{} days ago", number(days)),
    }
}

/// `2026-01-31 04:05`, of a time in RFC 3339 UTC; what is no such time stays as it is.
pub(crate) fn minute(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => time.to_owned(),
    }
}

/// The day of a time in RFC 3339 UTC.
pub(crate) fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((data_files(1).as_str(), data_files(2_000).as_str()), ("1 data file", "2,000 data files"));
    }

    #[test]
    fn bytes_have_their_unit() {
        let shown = [0, 1_023, 1_024, 1_536, 1 << 20, (1 << 30) + (1 << 29), u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "1.00 MiB", "1.50 GiB", "16.00 EiB"]);
    }

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        assert_eq!([1.0, 0.999_999, 0.5, 0.000_001, 0.0].map(percent), ["100 %", "99.99 %", "50 %", "0.01 %", "0 %"]);
        assert_eq!(percent(share(2, 3)), "66.67 %");
    }

    #[test]
    fn intervals_are_written_as_they_are_configured() {
        let shown = [2_592_000, 5_400, 7_200, 61].map(|seconds| interval(Duration::from_secs(seconds)));
        assert_eq!(shown, ["30 d", "90 min", "2 h", "61 s"]);
    }
}
