//! What libpq's `sslmode` asks of TLS.

use std::fmt;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use postgres_openssl::MakeTlsConnector;

use crate::{PgError, PostgresTarget};

/// libpq's `sslmode`, with its meaning; `allow`, which protects nothing, is left out.
///
/// Where libpq would look for `~/.postgresql/root.crt`, nothing is looked for: the root certificate is given or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SslMode {
    /// Never encrypted, also where the server offers it.
    Disable,
    /// Encrypted where that works, else not. The server is not checked.
    #[default]
    Prefer,
    /// Encrypted or not at all. The server is checked as by `VerifyCa` if there is a root certificate, else not.
    Require,
    /// Also: one of the root certificates stands behind the server's. Its name is not checked. Without a root
    /// certificate an error, for any public CA would do.
    VerifyCa,
    /// Also: the certificate is made out to the host's name or address. Without a root certificate, or with `system`
    /// in its place, the CAs that the operating system trusts count.
    VerifyFull,
}

impl fmt::Display for SslMode {
    /// As libpq and the configuration spell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

enum Trust<'a> {
    Nobody,
    System,
    File(&'a Path),
}

/// What is checked of the server.
struct Demand<'a> {
    trust: Option<Trust<'a>>,
    name: bool,
}

impl<'a> Demand<'a> {
    fn of(target: &'a PostgresTarget) -> Result<Self, PgError> {
        let given = target.ssl_root_cert.as_deref();
        let system = given.is_some_and(|it| it == Path::new("system"));
        let trust = match (target.ssl_mode, given) {
            (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => None,
            (SslMode::VerifyFull, None) => Some(Trust::System),
            (SslMode::VerifyFull, Some(_)) if system => Some(Trust::System),
            // As libpq: with every public CA trusted, a certificate proves nothing without its name.
            (SslMode::Require | SslMode::VerifyCa, Some(_)) if system => Some(Trust::Nobody),
            (SslMode::VerifyCa, None) => Some(Trust::Nobody),
            (SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull, Some(file)) => Some(Trust::File(file)),
        };
        if matches!(trust, Some(Trust::Nobody)) {
            return Err(PgError::NoRootCert { mode: target.ssl_mode });
        }
        Ok(Self { trust, name: target.ssl_mode == SslMode::VerifyFull })
    }
}

/// How connections to `target` are encrypted.
///
/// # Errors
/// [`PgError::NoRootCert`], [`PgError::RootCert`].
pub fn connector(target: &PostgresTarget) -> Result<MakeTlsConnector, PgError> {
    let Demand { trust, name } = Demand::of(target)?;
    let unusable = |error: ErrorStack| PgError::Tls { target: target.describe(), source: error.into() };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
    match trust {
        // The builder has loaded the system's CAs.
        Some(Trust::System | Trust::Nobody) => {}
        Some(Trust::File(path)) => builder.set_cert_store(store(path)?),
        None => builder.set_verify(SslVerifyMode::NONE),
    }
    let mut connector = MakeTlsConnector::new(builder.build());
    connector.set_callback(move |tls, _| {
        tls.set_verify_hostname(name);
        Ok(())
    });
    Ok(connector)
}

/// The certificates of a file and no others.
fn store(path: &Path) -> Result<X509Store, PgError> {
    let failed = |source| PgError::RootCert { path: path.to_owned(), source };
    let pem = std::fs::read(path).map_err(|it| failed(it.into()))?;
    let certificates = X509::stack_from_pem(&pem).map_err(|it| failed(it.into()))?;
    if certificates.is_empty() {
        return Err(failed("it holds no certificate in PEM".into()));
    }
    let mut store = X509StoreBuilder::new().map_err(|it| failed(it.into()))?;
    for certificate in certificates {
        store.add_cert(certificate).map_err(|it| failed(it.into()))?;
    }
    Ok(store.build())
}
