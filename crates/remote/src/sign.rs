//! Signed addresses, as Dataverse makes and checks them (`UrlSignerUtil.signUrl`, dataverse.md 2.7).

use jiff::ToSpan as _;
use jiff::civil::DateTime;
use sha2::{Digest as _, Sha512};

/// How long an address is good: what Dataverse takes where nothing else is set (`url-expiration-minutes`).
const MINUTES: i64 = 60;

/// The address with the time until which it is good, and the proof that it comes from who knows the key.
pub(crate) fn signed(url: &str, now: DateTime, key: &str) -> String {
    let until = now.saturating_add(MINUTES.minutes()).strftime("%Y-%m-%dT%H:%M:%S.%3f");
    let first = if url.contains('?') { '&' } else { '?' };
    let to_prove = format!("{url}{first}until={until}&method=GET&token=");
    let digest = Sha512::digest(format!("{to_prove}{key}"));
    to_prove + &dvb_fixity::hex(&digest)
}

/// The query of an address without an earlier signature.
pub(crate) fn unsigned(query: &str) -> String {
    let ours = |it: &&str| !["until=", "method=", "token="].iter().any(|name| it.starts_with(name));
    query.split('&').filter(ours).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_signature_is_that_of_dataverse() {
        let now = "2026-01-02T03:04:05.006".parse().unwrap();
        let url = signed("https://h.example.org/d/a.csv", now, "secret");
        // printf '%s' 'https://h.example.org/d/a.csv?until=2026-01-02T04:04:05.006&method=GET&token=secret' | sha512sum
        assert_eq!(
            url,
            concat!(
                "https://h.example.org/d/a.csv?until=2026-01-02T04:04:05.006&method=GET&token=",
                "26abeb1461e2a6ca92044c0f87531f8dd17c0572f713c5368606f0a58873497b",
                "866e96a96da98f97dc5a86ac5ea362e8055b61389b755dc41c25facb75ed2eaf"
            )
        );
        let further = signed("https://h.example.org/d?x=1", now, "k");
        assert!(further.starts_with("https://h.example.org/d?x=1&until=2026-01-02T04:04:05.006&method=GET&token="));
    }

    #[test]
    fn a_signature_is_taken_off_and_nothing_else() {
        assert_eq!(unsigned("a=1&until=2&method=GET&token=3"), "a=1");
        assert_eq!(unsigned("until=2&method=GET&token=3"), "");
        assert_eq!(unsigned("a=until=2"), "a=until=2");
    }
}
