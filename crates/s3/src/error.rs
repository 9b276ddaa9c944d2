//! What can go wrong with a request, and what it means to the engine.

use std::io;

use dvb_storage::{Cause, Setting, SinkError, SourceError};
use thiserror::Error;

use crate::CredentialsError;

/// A request failed for good: whatever retries could do was tried.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// No answer came, or not the whole of it.
    #[error("the connection failed")]
    Transport(#[source] ureq::Error),
    /// The service answered with an error.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The service refused so many bytes at once; sent again, they come in smaller parts.
    #[error("{size} bytes at once are too large for the service, and are sent again in smaller parts")]
    TooLarge {
        size: usize,
        /// The service's answer to the request that was too large.
        #[source]
        refusal: Refusal,
    },
    /// Nobody waits for an answer any more.
    #[error(transparent)]
    Interrupted(#[from] dvb_http::Interrupted),
    /// There are no keys to sign with.
    #[error("no credentials")]
    Credentials(#[from] CredentialsError),
    /// The request cannot be put into words.
    #[error("the request cannot be made: {0}")]
    Unsendable(String),
    /// An answer is not what the S3 API says.
    #[error("the service's answer could not be read")]
    Xml(#[source] quick_xml::DeError),
    /// An object could not be read to its end.
    #[error("reading broke off")]
    Body(#[source] io::Error),
    /// Nothing says in which bucket it lies.
    #[error("no bucket is known for it: {} is not set, and its storage identifier names none", Setting::StoreBucket)]
    NoBucket,
    /// An answer lacks something.
    #[error("the service's answer has no {0}")]
    Lacking(&'static str),
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the service answered {status} {code}{}{message}", if message.is_empty() { "" } else { ": " })]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The S3 API's error code; for an answer without a body, the name of the status.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Where the bucket is, when it is not where it was looked for.
    pub(crate) region: Option<String>,
}

/// Codes that say that the keys have ended (S3 API, "List of error codes").
pub(crate) const ENDED: [&str; 4] = ["ExpiredToken", "TokenRefreshRequired", "InvalidToken", "ExpiredTokenException"];

impl Refusal {
    pub(crate) fn is_transient(&self) -> bool {
        // S3 says "your client was too slow" with 400.
        dvb_http::is_transient(self.status)
            || matches!(
                self.code.as_str(),
                "RequestTimeout" | "SlowDown" | "InternalError" | "ConditionalRequestConflict" | "OperationAborted"
            )
    }

    fn cause(&self) -> Cause {
        match self.code.as_str() {
            "NoSuchBucket" | "PermanentRedirect" | "AuthorizationHeaderMalformed" => return Cause::Misconfigured,
            "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => return Cause::Full,
            "InvalidObjectState" => return Cause::Io,
            // Amazon's and others', MinIO's.
            "KeyTooLongError" | "KeyTooLong" | "InvalidObjectName" | "XMinioInvalidObjectName" => {
                return Cause::Unnameable;
            }
            code if ENDED.contains(&code) => return Cause::Forbidden,
            _ => {}
        }
        match self.status {
            404 => Cause::Missing,
            401 | 403 => Cause::Forbidden,
            412 => Cause::Exists,
            301 | 302 | 307 | 308 => Cause::Misconfigured,
            507 => Cause::Full,
            _ if self.is_transient() => Cause::Transient,
            _ => Cause::Io,
        }
    }

    /// What an administrator does about it.
    fn remedy(&self) -> String {
        match self.code.as_str() {
            "NoSuchBucket" => "the bucket does not exist; create it, or correct its name".into(),
            "InvalidObjectState" => "it is archived: restore it from the storage class first".into(),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" => "the access key or its secret is wrong".into(),
            "RequestTimeTooSkewed" => "this machine's clock is wrong; set it".into(),
            code if ENDED.contains(&code) => "the session token has ended; get a new one".into(),
            _ => match (&self.region, self.cause()) {
                (Some(region), Cause::Misconfigured) => format!("the bucket is in region {region}; set that region"),
                (_, Cause::Forbidden) => "this account may not".into(),
                _ => String::new(),
            },
        }
    }
}

impl Fault {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Refused(it) => it.cause(),
            Self::Credentials(CredentialsError::Role(..)) => Cause::Unavailable,
            Self::Credentials(_) => Cause::Forbidden,
            Self::Interrupted(_) => Cause::Unavailable,
            Self::Transport(ureq::Error::Io(it)) if it.kind() == io::ErrorKind::InvalidData => Cause::Misconfigured,
            Self::Transport(error) if dvb_http::is_lasting(error) => Cause::Misconfigured,
            Self::Transport(_) | Self::Body(_) | Self::TooLarge { .. } => Cause::Transient,
            Self::NoBucket => Cause::Missing,
            Self::Unsendable(_) | Self::Xml(_) | Self::Lacking(_) => Cause::Io,
        }
    }

    /// The service as a whole is out of reach: other objects will fail the same way.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Transport(_) | Self::Credentials(_) | Self::Interrupted(_))
            || matches!(self, Self::Refused(it) if it.code == "NoSuchBucket" || ENDED.contains(&it.code.as_str()))
    }

    /// The body was larger than the service takes.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is_code(&["EntityTooLarge", "MaxMessageLengthExceeded"]) || self.is_status(&[413])
    }

    /// A page of a listing that the service cannot give, or gives so that nobody can read it.
    pub(crate) fn is_unlistable(&self) -> bool {
        match self {
            Self::Xml(_) | Self::Lacking(_) => true,
            Self::Refused(it) => it.status == 500,
            Self::Transport(_)
            | Self::Interrupted(_)
            | Self::TooLarge { .. }
            | Self::Credentials(_)
            | Self::Unsendable(_)
            | Self::NoBucket
            | Self::Body(_) => false,
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.cause() == Cause::Missing
    }

    pub(crate) fn is_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Refused(it) if codes.contains(&it.code.as_str()))
    }

    pub(crate) fn is_status(&self, statuses: &[u16]) -> bool {
        matches!(self, Self::Refused(it) if statuses.contains(&it.status))
    }

    fn sentence(&self, attempt: String) -> String {
        let remedy = match self {
            Self::Refused(it) => it.remedy(),
            Self::Transport(_)
            | Self::Interrupted(_)
            | Self::TooLarge { .. }
            | Self::Credentials(_)
            | Self::Unsendable(_)
            | Self::Xml(_)
            | Self::Body(_)
            | Self::NoBucket
            | Self::Lacking(_) => String::new(),
        };
        if remedy.is_empty() { attempt } else { format!("{attempt}: {remedy}") }
    }

    pub(crate) fn sink(self, attempt: impl Into<String>) -> SinkError {
        SinkError::because(self.cause(), self.sentence(attempt.into()), self)
    }

    pub(crate) fn source(self, attempt: impl Into<String>) -> SourceError {
        SourceError::because(self.cause(), self.sentence(attempt.into()), self)
    }

    /// The kind of a read error, as the seam wants it.
    pub(crate) fn io(self) -> io::Error {
        let kind = match &self {
            Self::Transport(ureq::Error::Io(it)) => it.kind(),
            Self::Transport(ureq::Error::Timeout(_)) => io::ErrorKind::TimedOut,
            Self::Transport(_) => io::ErrorKind::ConnectionAborted,
            Self::Body(it) => it.kind(),
            _ => match self.cause() {
                Cause::Missing => io::ErrorKind::NotFound,
                Cause::Forbidden => io::ErrorKind::PermissionDenied,
                Cause::Transient => io::ErrorKind::TimedOut,
                Cause::Exists => io::ErrorKind::StaleNetworkFileHandle,
                Cause::Refused
                | Cause::Unavailable
                | Cause::Misconfigured
                | Cause::Absent
                | Cause::Untrusted
                | Cause::Full
                | Cause::Broken
                | Cause::Unnameable
                | Cause::Io => io::ErrorKind::Other,
            },
        };
        io::Error::new(kind, self)
    }
}
