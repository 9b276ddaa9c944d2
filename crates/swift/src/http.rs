//! The HTTP client of an account.

use std::fs;

use dvb_http::{Answer, Interrupt, Service};
use ureq::tls::RootCerts;

use crate::config::SwiftAccount;
use crate::error::SwiftFailure;

/// Connections that stay open for the next request.
const IDLE_CONNECTIONS: usize = 64;

/// A client for one account.
pub(crate) fn service(account: &SwiftAccount, interrupt: Interrupt) -> Result<Service, SwiftFailure> {
    Ok(Service::new(roots(account)?, account.limits, interrupt, |config| {
        config
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .output_buffer_size(256 << 10)
            .input_buffer_size(256 << 10)
    }))
}

fn roots(account: &SwiftAccount) -> Result<RootCerts, SwiftFailure> {
    let Some(file) = &account.ca else { return Ok(RootCerts::PlatformVerifier) };
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        SwiftFailure::Setting(format!("cannot {what} the certificates in {}", file.display()), error)
    };
    let text = fs::read(file).map_err(|it| failed("read", it.into()))?;
    dvb_http::trusted(&text).map_err(|it| failed("use", it.into()))
}

/// Bytes of the object that was asked for.
pub(crate) fn length(answer: &Answer) -> Result<u64, SwiftFailure> {
    answer.length().ok_or_else(|| SwiftFailure::Protocol("the server does not report the size of an object".to_owned()))
}
