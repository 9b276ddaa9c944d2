//! What can go wrong between this program and a web server, and what it means to the engine.

use std::io;

use dvb_storage::{Cause, Setting, SourceError};
use thiserror::Error;

/// A request did not give what it should.
#[derive(Debug, Error)]
pub(crate) enum RemoteFailure {
    /// The server answered, and the answer is no.
    #[error("the server answered {status}")]
    Answered { status: u16 },
    /// It would lead out of the store.
    #[error("{0}")]
    Outside(String),
    /// No try got an answer.
    #[error("no answer in {tries} tries")]
    Unreached { tries: u32, source: Box<ureq::Error> },
    /// Nobody waits for an answer any more.
    #[error(transparent)]
    Interrupted(#[from] dvb_http::Interrupted),
    /// The server is not the one that it should be, or none that can be spoken to.
    #[error("no connection can be made")]
    Unusable(#[source] Box<ureq::Error>),
    /// A body broke off.
    #[error("the answer broke off")]
    Broken(#[source] io::Error),
    /// The server does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
}

impl RemoteFailure {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Answered { status: 404 | 410 } => Cause::Missing,
            Self::Answered { status: 401 | 403 } => Cause::Forbidden,
            Self::Answered { status } if dvb_http::is_transient(*status) => Cause::Transient,
            Self::Outside(_) => Cause::Refused,
            Self::Unreached { .. } | Self::Broken(_) => Cause::Transient,
            Self::Unusable(_) => Cause::Misconfigured,
            Self::Interrupted(_) => Cause::Unavailable,
            Self::Answered { .. } | Self::Protocol(_) => Cause::Io,
        }
    }

    pub(crate) fn into_source(self, what: &str) -> SourceError {
        let attempt = match self.cause() {
            Cause::Missing => format!("{what} is missing"),
            Cause::Forbidden => {
                format!(
                    "{what} may not be read; check {} of the store, and the time of both hosts",
                    Setting::SigningKey
                )
            }
            _ => format!("cannot read {what}"),
        };
        SourceError::because(self.cause(), attempt, self)
    }

    /// As a reader tells it: the kind is what the engine goes by.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.cause() {
            Cause::Missing => io::ErrorKind::NotFound,
            Cause::Forbidden => io::ErrorKind::PermissionDenied,
            Cause::Transient | Cause::Unavailable | Cause::Misconfigured => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}
