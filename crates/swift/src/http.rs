//! The HTTP client below, and what it answers.

use std::fs;
use std::io::Read;
use std::time::Duration;

use dvb_http::Steady;
use ureq::http::HeaderMap;
use ureq::tls::RootCerts;
use ureq::{Agent, Body};

use crate::config::SwiftAccount;
use crate::error::Failure;

/// Connections that stay open for the next request.
const IDLE_CONNECTIONS: usize = 64;
/// What is read of a body that only says why, or is a small document.
const SMALL: u64 = 16 << 20;

/// Over so much waiting, the pace of such a body is taken.
const SLOW: Duration = Duration::from_secs(60);

/// A client for one account.
pub(crate) fn agent(account: &SwiftAccount) -> Result<Agent, Failure> {
    let patience = &account.patience;
    let limits = dvb_http::Limits { connect: patience.connect, idle: patience.idle };
    Ok(dvb_http::agent(roots(account)?, limits, |it| {
        it.max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .output_buffer_size(256 << 10)
            .input_buffer_size(256 << 10)
    }))
}

fn roots(account: &SwiftAccount) -> Result<RootCerts, Failure> {
    let Some(file) = &account.ca else { return Ok(RootCerts::PlatformVerifier) };
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::Setting(format!("cannot {what} the certificates in {}", file.display()), error)
    };
    let text = fs::read(file).map_err(|it| failed("read", it.into()))?;
    dvb_http::trusted(&text).map_err(|it| failed("use", it.into()))
}

/// An answer whose status was looked at.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn new(response: ureq::http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }

    /// The etag without the quotes that large objects, and some servers, put around it.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.header("etag").map(|it| it.trim_matches('"'))
    }

    /// Bytes of the object that was asked for.
    pub(crate) fn length(&self) -> Result<u64, Failure> {
        let length = self.header("content-length").and_then(|it| it.parse().ok());
        length.ok_or_else(|| Failure::Protocol("the server tells no size of an object".to_owned()))
    }

    /// Seconds to wait, where the server says so.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.header("retry-after").and_then(|it| it.trim().parse().ok())
    }

    /// The body of a small document.
    pub(crate) fn small_body(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Steady::new(self.body.as_reader().take(SMALL), SLOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a body that nobody wants, so that the connection can be used again; says what it says where that is for people.
    pub(crate) fn why(&mut self) -> String {
        let reason = ureq::http::StatusCode::from_u16(self.status).ok().and_then(|it| it.canonical_reason());
        let plain = self.header("content-type").is_some_and(|it| it.starts_with("text/plain"));
        let body = self.small_body().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = reason.unwrap_or_default();
        if plain && !said.is_empty() && said != reason {
            format!("{reason}: {}", said.chars().take(300).collect::<String>())
        } else {
            reason.to_owned()
        }
    }
}
