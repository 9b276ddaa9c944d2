//! What can go wrong between this program and a Swift, and what it means to the engine.

use std::io;

use dvb_storage::{Cause, SinkError, SourceError};
use thiserror::Error;

/// A request did not do what it should.
#[derive(Debug, Error)]
pub(crate) enum SwiftFailure {
    /// The server answered, and the answer is no.
    #[error("the server answered {status} {text}")]
    Refused {
        status: u16,
        text: String,
        /// An earlier try may have been carried out although its answer was lost.
        in_doubt: bool,
    },
    /// The connection broke while a body that cannot be sent twice was under way.
    #[error("the connection broke")]
    Broken(#[source] Box<ureq::Error>),
    /// No try got an answer.
    #[error("no answer from {host} in {tries} tries")]
    Unreachable { host: String, tries: u32, source: Box<ureq::Error> },
    /// Nobody waits for an answer any more.
    #[error(transparent)]
    Interrupted(#[from] dvb_http::Interrupted),
    /// The login was refused.
    #[error("{url} refuses the login ({status}); check user, password, tenant and domains")]
    LoginRefused { url: String, status: u16 },
    /// The login cannot succeed as configured.
    #[error("{0}")]
    Login(String),
    /// The server does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
    /// An answer that could not be read, or is not what it should be.
    #[error("{0}")]
    Unread(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Randomness, certificates, addresses: something of our own is not as it should be.
    #[error("{0}")]
    Setting(String, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The answer that a status stands for.
pub(crate) fn status(failure: &SwiftFailure) -> Option<u16> {
    match failure {
        SwiftFailure::Refused { status, .. } => Some(*status),
        _ => None,
    }
}

impl SwiftFailure {
    /// `Unavailable` and `Misconfigured` mean that the next object will fail in the same way.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Refused { status, .. } => match status {
                404 | 410 => Cause::Missing,
                401 | 403 => Cause::Forbidden,
                412 => Cause::Exists,
                413 | 507 => Cause::Full,
                // The body was damaged on its way: nothing was stored.
                422 => Cause::Transient,
                other if dvb_http::is_transient(*other) => Cause::Transient,
                _ => Cause::Io,
            },
            Self::Broken(_) => Cause::Transient,
            Self::Unreachable { .. } | Self::Interrupted(_) | Self::Unread(..) => Cause::Unavailable,
            Self::LoginRefused { .. } | Self::Login(_) | Self::Setting(..) => Cause::Misconfigured,
            Self::Protocol(_) => Cause::Io,
        }
    }

    pub(crate) fn into_sink(self, attempt: impl Into<String>) -> SinkError {
        let advice = match self.cause() {
            Cause::Full => "; the account or container is full, or the object larger than the server takes",
            Cause::Forbidden => "; give this user the right to it",
            _ => "",
        };
        SinkError::because(self.cause(), attempt.into() + advice, self)
    }

    pub(crate) fn into_source(self, what: &str) -> SourceError {
        let attempt = match self.cause() {
            Cause::Missing => format!("{what} is missing"),
            Cause::Forbidden => format!("{what} may not be read; give this user the right to read it"),
            _ => format!("cannot read {what}"),
        };
        // `Exists` is a broken condition, `Full` a limit: neither means anything where nothing is written.
        let cause = match self.cause() {
            Cause::Exists | Cause::Full => Cause::Io,
            other => other,
        };
        SourceError::because(cause, attempt, self)
    }

    /// As a reader tells it: the kind is what the engine goes by.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.cause() {
            Cause::Missing => io::ErrorKind::NotFound,
            Cause::Forbidden => io::ErrorKind::PermissionDenied,
            Cause::Transient | Cause::Unavailable | Cause::Misconfigured => io::ErrorKind::TimedOut,
            Cause::Exists => io::ErrorKind::StaleNetworkFileHandle,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}
