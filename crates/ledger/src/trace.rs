//! What the ledger is asked, for those who follow a trace.

use std::time::Instant;

use crate::LedgerError;

/// Does the work of one transaction, and traces how it ended.
pub(crate) fn transaction<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let began = Instant::now();
    let done = work();
    let ms = began.elapsed().as_millis();
    match &done {
        Ok(_) => tracing::debug!(what, ms, "transaction in the ledger"),
        Err(error) => tracing::debug!(what, ms, %error, "transaction in the ledger"),
    }
    done
}
