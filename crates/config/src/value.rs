//! Values as people write them: durations, sizes, rates, shares, yes and no.

use std::time::Duration;

use thiserror::Error;

/// A value that cannot be used where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot use {value:?}; accepted: {accepted}")]
pub struct BadValue {
    /// The value as it stands in the file.
    pub value: String,
    /// What could stand there instead.
    pub accepted: String,
}

fn bad(value: &str, accepted: &str) -> BadValue {
    BadValue { value: value.to_owned(), accepted: accepted.to_owned() }
}

/// A duration such as `90m`, `5h`, `30d` or `1h30m`, with the units s, m (minutes), h, d and w.
///
/// # Errors
/// [`BadValue`], also for zero and for a number without a unit.
pub fn duration(text: &str) -> Result<Duration, BadValue> {
    let refused = || bad(text, "a duration such as 45s, 90m, 5h, 30d, 2w or 1h30m");
    let mut seconds = 0_u64;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (digits, behind) = split(rest, |it| it.is_ascii_digit());
        let (unit, behind) = split(behind.trim_start(), |it| it.is_ascii_alphabetic());
        let each = match unit.to_ascii_lowercase().as_str() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(refused()),
        };
        let count: u64 = digits.parse().map_err(|_| refused())?;
        let more = count.checked_mul(each).ok_or_else(refused)?;
        seconds = seconds.checked_add(more).ok_or_else(refused)?;
        rest = behind.trim_start();
    }
    if seconds == 0 { Err(refused()) } else { Ok(Duration::from_secs(seconds)) }
}

/// A number of bytes, such as `64MiB`, `1 GiB`, `100 MB` or `4096`. `K`, `M`, `G`, `T` alone count in 1024s.
///
/// # Errors
/// [`BadValue`], also for zero.
pub fn size(text: &str) -> Result<u64, BadValue> {
    bytes(text).ok_or_else(|| bad(text, "a size such as 64MiB, 1 GiB, 100MB or a number of bytes"))
}

/// Bytes a second, such as `40MiB/s`; the `/s` may be left out.
///
/// # Errors
/// [`BadValue`], also for zero.
pub fn rate(text: &str) -> Result<u64, BadValue> {
    let trimmed = text.trim();
    let amount = trimmed.strip_suffix("/s").or_else(|| trimmed.strip_suffix("/S")).unwrap_or(trimmed);
    bytes(amount).ok_or_else(|| bad(text, "a rate in bytes such as 40MiB/s or 500 kB/s"))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim(), |it| it.is_ascii_digit() || it == '.');
    let each: u128 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = format!("{whole}{fraction}").parse::<u128>().ok()?.checked_mul(each)?;
    u64::try_from(scaled / scale).ok().filter(|it| *it > 0)
}

/// A share such as `5%` or `0.5 %`, as a fraction: 0.05, 0.005.
///
/// # Errors
/// [`BadValue`], also above 100 % and without the sign.
pub fn percent(text: &str) -> Result<f64, BadValue> {
    let refused = || bad(text, "a share from 0% to 100%, such as 5%");
    let number = text.trim().strip_suffix('%').ok_or_else(refused)?.trim_end();
    if !number.bytes().all(|it| it.is_ascii_digit() || it == b'.') {
        return Err(refused());
    }
    let percent: f64 = number.parse().map_err(|_| refused())?;
    if percent <= 100.0 { Ok(percent / 100.0) } else { Err(refused()) }
}

/// `yes`, `true`, `on`, `1` or `no`, `false`, `off`, `0`.
///
/// # Errors
/// [`BadValue`].
pub fn boolean(text: &str) -> Result<bool, BadValue> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err(bad(text, "yes or no (also true, false, on, off, 1, 0)")),
    }
}

pub(super) fn port(text: &str) -> Result<u16, BadValue> {
    text.parse().ok().filter(|it| *it > 0).ok_or_else(|| bad(text, "a port from 1 to 65535"))
}

pub(super) fn number(text: &str, from: u32, to: u32) -> Result<u32, BadValue> {
    let number = text.parse().ok().filter(|it| (from..=to).contains(it));
    number.ok_or_else(|| bad(text, &format!("a whole number from {from} to {to}")))
}

/// One of a few words, whatever their case.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, BadValue> {
    let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found
        .map(|(_, it)| *it)
        .ok_or_else(|| bad(text, &choices.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")))
}

/// An address that begins with `http://` or `https://`. It is not shown when bad: it may hold a password or a token.
pub(super) fn url(text: &str) -> Result<String, BadValue> {
    let scheme_end = text.find("://").map_or(0, |it| it + 3);
    let scheme = text[..scheme_end].to_ascii_lowercase();
    let host = text[scheme_end..].split(['/', '?', '#']).next().unwrap_or("");
    let fits =
        matches!(scheme.as_str(), "http://" | "https://") && !host.is_empty() && !text.contains(char::is_whitespace);
    if fits { Ok(text.to_owned()) } else { Err(bad("…", "an address that begins with https:// or http://")) }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|it| !belongs(it)).unwrap_or(text.len()))
}
