//! What can go wrong at a store or at a destination, and whether a retry can help.

use thiserror::Error;

/// The kind of a failure, on which the engine decides: retry, verdict, or give up the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There is no such object.
    Missing,
    /// The account may not.
    Forbidden,
    /// The name must not be used: it climbs, is absolute, or leads out of the root through a symbolic link.
    Refused,
    /// The connection or the service failed for now; trying again can help.
    Transient,
    /// The whole store or destination cannot be reached or is not usable; other objects will fail the same way.
    Unavailable,
    /// As `Unavailable`, by what the configuration says or the server lacks: a login that is refused, a bucket or folder
    /// that does not exist. It does not pass by itself.
    Misconfigured,
    /// The place itself, folder or container, is not there: nothing was stored there yet, it is not mounted, or its name is
    /// wrong.
    Absent,
    /// The destination is not the one that was agreed on (host key changed or unknown).
    Untrusted,
    /// No room is left.
    Full,
    /// Something is there already that must not be replaced.
    Exists,
    /// What is there is no object any more: a folder, a link or a pipe of that name, or parts of it are lost. It does
    /// not pass by itself.
    Broken,
    /// The destination's medium cannot have such a name; another key may do.
    Unnameable,
    /// Anything else: I/O error, protocol violation.
    Io,
}

impl Cause {
    /// Whether the store or destination failed as a whole: it says nothing of the object that was asked for, and others
    /// fail the same way.
    #[must_use]
    pub fn is_of_all(self) -> bool {
        match self {
            Self::Transient | Self::Unavailable | Self::Misconfigured | Self::Absent => true,
            Self::Missing
            | Self::Forbidden
            | Self::Refused
            | Self::Untrusted
            | Self::Full
            | Self::Exists
            | Self::Broken
            | Self::Unnameable
            | Self::Io => false,
        }
    }
}

/// A store could not be read.
#[derive(Debug, Error)]
#[error("{attempt}")]
pub struct SourceError {
    /// The kind of failure.
    pub cause: Cause,
    /// What was attempted, on what, and what to do: a sentence.
    pub attempt: String,
    /// What lies behind it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A destination could not do what was asked.
#[derive(Debug, Error)]
#[error("{attempt}")]
pub struct SinkError {
    /// The kind of failure.
    pub cause: Cause,
    /// What was attempted, on what (key, host), and what to do: a sentence.
    pub attempt: String,
    /// What lies behind it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($name:ident) => {
        impl $name {
            /// A failure that nothing else lies behind.
            #[must_use]
            pub fn new(cause: Cause, attempt: impl Into<String>) -> Self {
                Self { cause, attempt: attempt.into(), source: None }
            }

            /// A failure with the error that caused it.
            #[must_use]
            pub fn because(
                cause: Cause,
                attempt: impl Into<String>,
                source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
            ) -> Self {
                Self { cause, attempt: attempt.into(), source: Some(source.into()) }
            }

            /// The whole chain in one line: what was attempted, then each cause behind it.
            #[must_use]
            pub fn chain(&self) -> String {
                chain(self)
            }
        }
    };
}
constructors!(SourceError);
constructors!(SinkError);

/// An error with the causes behind it, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        // Some drivers paste the cause into their own text.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}
