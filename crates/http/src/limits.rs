//! How long to wait for a server, and how often to ask it.

use std::time::Duration;

use jiff::Timestamp;
use ureq::http::HeaderMap;

/// Time limits and retries of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// For the host's address, and for a connection with TLS.
    pub connect: Duration,
    /// Without a byte in either direction, and twice that for the head of an answer. The whole body may take any time, as
    /// it may have any size; [`Steady`](crate::Steady) sees to its pace.
    pub idle: Duration,
    /// Requests of one kind in all, where the server is busy or a connection breaks; also breaks of a download without
    /// progress between them. At least 1.
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one. A server's `Retry-After` comes first.
    pub first_pause: Duration,
    /// No pause is longer, whatever the server says.
    pub longest_pause: Duration,
}

impl TimeLimits {
    /// How long to wait after attempt number `attempt` (from 1 on), where the server `asked` for a pause or did not.
    pub(crate) fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let backoff = || {
            let doubled = self.first_pause.saturating_mul(1 << (attempt.max(1) - 1).min(16));
            // Threads that were refused together must not come back together.
            doubled.mul_f64(0.75 + fastrand::f64() / 2.0)
        };
        asked.unwrap_or_else(backoff).min(self.longest_pause)
    }
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date. A date that has passed asks for nothing.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(then.duration_since(Timestamp::now())).ok()
}

/// Statuses that another attempt can turn into success: a time-out, a rate limit (Swift's `ratelimit` answers 498, some
/// S3 services 509), a service that is down for now, a proxy that cannot get at it (520 to 530, Cloudflare). 501 and
/// 505 are decisions.
#[must_use]
pub fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 498 | 500 | 502..=504 | 509 | 520..=530)
}

/// An error of the configuration (a bad address, a certificate that is not trusted): another attempt changes nothing.
#[must_use]
pub fn is_lasting(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::BadUri(_)
            | ureq::Error::Http(_)
            | ureq::Error::Tls(_)
            | ureq::Error::NativeTls(_)
            | ureq::Error::Der(_)
            | ureq::Error::TlsRequired
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pause_that_is_asked_for_is_read_in_both_forms() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert!(read("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|it| it.as_secs() > 1_000_000));
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let limits = TimeLimits {
            connect: Duration::ZERO,
            idle: Duration::ZERO,
            attempts: 9,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(1),
        };
        for (attempt, least, most) in [(1, 75, 125), (2, 150, 250), (3, 300, 500), (9, 1000, 1000), (99, 1000, 1000)] {
            let pause = limits.pause(attempt, None).as_millis();
            assert!((least..=most).contains(&pause), "{attempt}: {pause} ms");
        }
        assert_eq!(limits.pause(1, Some(Duration::from_secs(60))), Duration::from_secs(1));
        assert_eq!(limits.pause(9, Some(Duration::ZERO)), Duration::ZERO);
    }
}
