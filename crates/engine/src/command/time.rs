//! The time, as the ledger and the reports have it.

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
