//! The dead-man's ping: a service that is called after each good run, and raises the alarm when the calls stop.

use std::time::Duration;

use thiserror::Error;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// How long the whole call may take: nothing waits for its answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The ping did not arrive. The run's own result is not touched by it.
#[derive(Debug, Error)]
#[error("cannot call PingUrl at {host}; try it by hand")]
pub struct PingError {
    /// The server; the rest of the address is as good as a password.
    pub host: String,
    /// The error of the library or system behind it.
    #[source]
    pub source: Box<ureq::Error>,
}

/// Calls the address once, by GET.
///
/// # Errors
/// [`PingError`], also when the server answers with an error.
pub fn ping(url: &str) -> Result<(), PingError> {
    // What the system trusts, as everywhere in this program.
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
    let agent: Agent = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("dataverse-backup/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    match agent.get(url).call() {
        Ok(_) => Ok(()),
        Err(source) => Err(PingError { host: host(url), source: Box::new(source) }),
    }
}

fn host(url: &str) -> String {
    let behind = url.split_once("://").map_or(url, |it| it.1);
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |it| it.1).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_shown() {
        assert_eq!(host("https://u:p@hc.example.org:8443/token?x"), "hc.example.org:8443");
        assert_eq!(host("http://hc.example.org"), "hc.example.org");
    }
}
