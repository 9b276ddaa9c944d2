//! Pictures, as SVG in the page. Each says in a sentence what it shows, for those who do not see it.

use std::fmt::Write as _;

use super::escape::Escaped;
use crate::model::{CopiesLevel, Fixity, IncidentsOfMonth, Month};
use crate::words::{bytes, number, percent};

/// Units across; the page draws them as wide as it is, up to twice that.
const WIDTH: f64 = 360.0;

/// A picture with its caption.
fn figure(page: &mut String, height: f64, label: &str, caption: &str, draw: impl FnOnce(&mut String)) {
    let _ = write!(
        page,
        "<figure><svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        Escaped(label)
    );
    draw(page);
    let _ = writeln!(page, "</svg><figcaption>{}</figcaption></figure>", Escaped(caption));
}

/// A part of a whole as a length.
fn length(part: u64, of: u64, room: f64) -> f64 {
    if of == 0 { 0.0 } else { crate::words::share(part, of) * room }
}

/// What is there is seen, however small it is.
fn visible(part: u64, of: u64, room: f64) -> f64 {
    let length = length(part, of, room);
    if part > 0 { length.max(1.5) } else { length }
}

/// Data files by the number of their proved copies.
pub(super) fn copies(page: &mut String, levels: &[CopiesLevel]) {
    let most = levels.iter().map(|it| it.files).max().unwrap_or(0);
    let said: Vec<String> = levels.iter().map(|it| format!("{}: {}", level(it), number(it.files))).collect();
    let label = format!("Data files by number of proved copies: {}", said.join(", "));
    let height = 26.0 * f64::from(u32::try_from(levels.len()).unwrap_or(0)) + 4.0;
    figure(page, height, &label, "Data files by the number of destinations with a proved copy", |page| {
        let mut y = 4.0;
        for it in levels {
            let class = if it.copies == 0 { "bad" } else { "good" };
            let (middle, wide) = (y + 14.0, visible(it.files, most, 175.0));
            let _ = write!(page, "<text x=\"0\" y=\"{middle}\">{}</text>", level(it));
            let _ = write!(page, "<rect class=\"{class}\" x=\"92\" y=\"{y}\" width=\"{wide:.1}\" height=\"18\"/>");
            let _ = write!(page, "<text x=\"{:.1}\" y=\"{middle}\">{}</text>", 98.0 + wide, number(it.files));
            y += 26.0;
        }
    });
}

fn level(it: &CopiesLevel) -> String {
    match (it.copies, it.or_more) {
        (copies, true) => format!("{copies} or more"),
        (0, _) => "no copy".to_owned(),
        (1, _) => "1 copy".to_owned(),
        (copies, _) => format!("{copies} copies"),
    }
}

/// How long ago things were checked, beside the promise.
pub(super) fn ages(page: &mut String, it: &Fixity) {
    let Some(last) = it.ages.last() else { return };
    let most = it.ages.iter().map(|bin| bin.count).max().unwrap_or(0);
    let promised = it.promised_seconds.map(|seconds| seconds.div_ceil(86_400));
    let overdue =
        it.overdue.map(|count| format!(", {} later than the promised {} days", number(count), promised.unwrap_or(0)));
    let label = format!("Ages of the last check of {} {}{}", number(it.total), it.unit, overdue.unwrap_or_default());
    let caption = match promised {
        Some(days) => {
            format!("{}: days since the last good check. The dashed line is the promise, {days} days", it.place)
        }
        None => format!("{}: days since the last good check. No interval is promised", it.place),
    };
    figure(page, 118.0, &label, &caption, |page| {
        let (left, room, floor, tall) = (4.0, WIDTH - 8.0, 96.0, 78.0);
        let at = |days: u64| left + length(days, last.to_days, room);
        for bin in &it.ages {
            let (x, wide) = (at(bin.from_days), (at(bin.to_days) - at(bin.from_days) - 1.0).max(1.0));
            let bad = visible(bin.overdue, most, tall);
            let good = visible(bin.count - bin.overdue, most, tall);
            for (class, from, height) in [("good", floor, good), ("bad", floor - good, bad)] {
                if height > 0.0 {
                    let y = from - height;
                    let _ = write!(
                        page,
                        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\"/>"
                    );
                }
            }
        }
        let _ = write!(page, "<line class=\"axis\" x1=\"0\" y1=\"{floor}\" x2=\"{WIDTH}\" y2=\"{floor}\"/>");
        if let Some(days) = promised {
            let x = at(days);
            let _ = write!(page, "<line class=\"promise\" x1=\"{x:.1}\" y1=\"6\" x2=\"{x:.1}\" y2=\"{floor}\"/>");
        }
        let _ = write!(page, "<text class=\"faint\" x=\"{left}\" y=\"110\">today</text>");
        let end = WIDTH - left;
        let _ = write!(
            page,
            "<text class=\"faint\" x=\"{end}\" y=\"110\" text-anchor=\"end\">{} days ago</text>",
            number(last.to_days)
        );
        let _ = write!(page, "<text class=\"faint\" x=\"{left}\" y=\"12\">highest bar: {}</text>", number(most));
    });
}

/// Incidents by the month in which they were found.
pub(super) fn incidents(page: &mut String, months: &[IncidentsOfMonth]) {
    let most = months.iter().map(|it| it.open + it.repaired).max().unwrap_or(0);
    let all: u64 = months.iter().map(|it| it.open + it.repaired).sum();
    let label = format!(
        "{} incidents found in the last {} months, at most {} in one month",
        number(all),
        months.len(),
        number(most)
    );
    figure(
        page,
        118.0,
        &label,
        "Incidents by the month in which they were found: blue are repaired, red are open",
        |page| {
            let (floor, tall, step) = (96.0, 78.0, WIDTH / f64::from(u32::try_from(months.len().max(1)).unwrap_or(1)));
            let mut x = 2.0;
            for (index, it) in months.iter().enumerate() {
                let repaired = visible(it.repaired, most, tall);
                let open = visible(it.open, most, tall);
                for (class, from, height) in [("good", floor, repaired), ("bad", floor - repaired, open)] {
                    if height > 0.0 {
                        let (y, wide) = (from - height, step - 4.0);
                        let _ = write!(
                            page,
                            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\"/>"
                        );
                    }
                }
                month(page, index, months.len(), x - 2.0, step, &it.month);
                x += step;
            }
            let _ = write!(page, "<line class=\"axis\" x1=\"0\" y1=\"{floor}\" x2=\"{WIDTH}\" y2=\"{floor}\"/>");
            let _ = write!(page, "<text class=\"faint\" x=\"4\" y=\"12\">highest bar: {}</text>", number(most));
        },
    );
}

/// The first month, the last one, and the one between them.
fn month(page: &mut String, index: usize, of: usize, x: f64, step: f64, name: &str) {
    let (x, anchor) = match index {
        0 => (x, "start"),
        _ if index + 1 == of => (x + step, "end"),
        _ if index * 2 + 1 == of => (x + step / 2.0, "middle"),
        _ => return,
    };
    let _ =
        write!(page, "<text class=\"faint\" x=\"{x:.1}\" y=\"110\" text-anchor=\"{anchor}\">{}</text>", Escaped(name));
}

/// Data files, bytes and coverage over the months.
pub(super) fn course(page: &mut String, months: &[Month]) {
    let files: Vec<Option<u64>> = months.iter().map(|it| it.files).collect();
    line(page, months, "Data files in Dataverse", &files, number);
    let held: Vec<Option<u64>> = months.iter().map(|it| Some(it.bytes)).collect();
    line(page, months, "Bytes in proved copies, all destinations", &held, bytes);
    // In millionths, so that one drawing serves all.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
    let coverage: Vec<Option<u64>> =
        months.iter().map(|it| it.coverage.map(|share| (share.clamp(0.0, 1.0) * 1e6) as u64)).collect();
    line(page, months, "Coverage: safe data files, of those that are covered", &coverage, |millionths| {
        percent(crate::words::share(millionths, 1_000_000))
    });
}

fn line(page: &mut String, months: &[Month], what: &str, values: &[Option<u64>], shown: impl Fn(u64) -> String) {
    let known = || values.iter().flatten().copied();
    let (Some(lowest), Some(highest)) = (known().min(), known().max()) else {
        let _ = writeln!(page, "<p class=\"fine\">{}: nothing is on record.</p>", Escaped(what));
        return;
    };
    let last = known().next_back().unwrap_or(highest);
    let label =
        format!("{what}: from {} to {} in 13 months, {} at the end", shown(lowest), shown(highest), shown(last));
    figure(page, 100.0, &label, what, |page| {
        let (top, floor, left, right) = (24.0, 78.0, 6.0, WIDTH - 6.0);
        let step = (right - left) / f64::from(u32::try_from(values.len().max(2) - 1).unwrap_or(1));
        let y = |value: u64| match highest - lowest {
            0 => (top + floor) / 2.0,
            range => floor - length(value - lowest, range, floor - top),
        };
        let mut points = String::new();
        let mut x = left;
        for (index, value) in values.iter().enumerate() {
            if let Some(value) = value {
                let _ = write!(points, "{x:.1},{:.1} ", y(*value));
                let _ = write!(page, "<circle class=\"good\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2.5\"/>", y(*value));
            }
            let name = months.get(index).map_or("", |it| it.month.as_str());
            let (at, wide) = if index == 0 { (x - left, 0.0) } else { (x + left - step, step) };
            month_below(page, index, values.len(), at, wide, name);
            x += step;
        }
        let _ = write!(page, "<polyline class=\"course\" points=\"{}\"/>", points.trim_end());
        let _ = write!(page, "<line class=\"axis\" x1=\"0\" y1=\"84\" x2=\"{WIDTH}\" y2=\"84\"/>");
        let _ = write!(
            page,
            "<text class=\"faint\" x=\"0\" y=\"12\">{}–{}</text>",
            Escaped(&shown(lowest)),
            Escaped(&shown(highest))
        );
        let _ = write!(page, "<text x=\"{WIDTH}\" y=\"12\" text-anchor=\"end\">now {}</text>", Escaped(&shown(last)));
    });
}

/// The first and the last month.
fn month_below(page: &mut String, index: usize, of: usize, x: f64, wide: f64, name: &str) {
    if index == 0 {
        let _ = write!(page, "<text class=\"faint\" x=\"{x:.1}\" y=\"97\">{}</text>", Escaped(name));
    } else if index + 1 == of {
        let x = x + wide;
        let _ =
            write!(page, "<text class=\"faint\" x=\"{x:.1}\" y=\"97\" text-anchor=\"end\">{}</text>", Escaped(name));
    }
}
