//! The HTTP client below stores and destinations: time limits, retries, downloads that are resumed, trust, hosts looked
//! up once for many requests, no redirects, nothing from the environment. Each request is traced, without its secrets.

mod answer;
mod download;
mod hosts;
mod interrupt;
mod limits;
mod service;
mod steady;

use thiserror::Error;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::typestate::AgentScope;
use ureq::unversioned::transport::DefaultConnector;

use hosts::Hosts;

pub use answer::Answer;
pub use download::{Download, Version, content_length};
pub use interrupt::Interrupt;
pub use limits::{TimeLimits, is_lasting, is_transient, retry_after};
pub use service::{Attempt, Bytes, Interrupted, Service, without_secrets};
pub use steady::Steady;

/// A file of certificates that is none.
#[derive(Debug, Error)]
pub enum NotTrusted {
    /// It has a certificate that cannot be read.
    #[error("a certificate cannot be read")]
    Unreadable(#[from] ureq::Error),
    /// The file has no certificate in PEM.
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

fn agent(
    roots: RootCerts,
    limits: &TimeLimits,
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
