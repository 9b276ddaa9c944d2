//! The HTTP client below stores and destinations: time limits, trust, hosts looked up once for many requests, no
//! redirects, nothing from the environment.

mod hosts;
mod interrupt;
mod steady;

use std::time::Duration;

use thiserror::Error;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::DefaultConnector;

use hosts::Hosts;

pub use interrupt::Interrupt;
pub use steady::Steady;

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For its address, and for a connection.
    pub connect: Duration,
    /// Without a byte in either direction, and twice that for the head of an answer. The whole body may take any time, as
    /// it may have any size; that it comes at a pace is seen by [`Steady`].
    pub idle: Duration,
}

/// A file of certificates that is none.
#[derive(Debug, Error)]
pub enum NotTrusted {
    /// It has a certificate that cannot be read.
    #[error("a certificate cannot be read")]
    Unreadable(#[from] ureq::Error),
    /// It has none.
    #[error("there is no certificate in PEM")]
    None,
}

/// The certificates of a file in PEM, to be trusted instead of those that the system trusts.
///
/// # Errors
/// [`NotTrusted`], when there are none to be read.
pub fn trusted(pem: &[u8]) -> Result<RootCerts, NotTrusted> {
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(it) = item? {
            found.push(it);
        }
    }
    if found.is_empty() { Err(NotTrusted::None) } else { Ok(RootCerts::new_with_certs(&found)) }
}

/// A client for one service; cheap to clone, its connections are shared. Every status is an answer. `more` is what this
/// service wants beside.
#[must_use]
pub fn agent(
    roots: RootCerts,
    limits: Limits,
    more: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
) -> Agent {
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(roots).build())
        // The default would be read from the environment.
        .proxy(None)
        .http_status_as_error(false)
        // What is signed or has a token must not follow to wherever an answer points.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_per_read(Some(limits.idle))
        .timeout_per_write(Some(limits.idle))
        .timeout_recv_response(Some(limits.idle * 2))
        .user_agent(concat!("dataverse-backup/", env!("CARGO_PKG_VERSION")));
    Agent::with_parts(more(config).build(), DefaultConnector::default(), <Hosts>::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_not_taken_for_trust_in_nobody() {
        assert!(matches!(trusted(b"nothing"), Err(NotTrusted::None)));
        let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(trusted(broken), Err(NotTrusted::Unreadable(_) | NotTrusted::None)));
    }
}
