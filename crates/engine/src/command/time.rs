//! The time, as the ledger and the reports have it.

use std::time::Duration;

use dvb_model::RunId;

/// A name for a run that begins now: sorted by time, unique among all hosts.
#[must_use]
pub fn new_run_id() -> RunId {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    RunId(format!("{now}-{:08x}", fastrand::u32(..)))
}

/// Now, RFC 3339 UTC with milliseconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A time as the ledger has it.
pub(crate) fn written(at: std::time::SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The time that was so long ago.
pub(crate) fn ago(age: Duration) -> String {
    let then = jiff::SignedDuration::try_from(age).ok().and_then(|it| jiff::Timestamp::now().checked_sub(it).ok());
    then.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
