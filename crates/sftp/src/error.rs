//! What ends a session, and how a server's refusals become causes.

use std::io;

use dvb_storage::{Cause, SinkError};
use thiserror::Error;

use crate::wire::{self, Malformed, Status};

/// The session is over.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    /// The connection below SFTP failed, as the socket or the SSH library says.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// The server closed the channel.
    #[error("the server ended the {0} channel")]
    Ended(&'static str),
    /// Answers are due, and none came.
    #[error("the server was silent for {0} seconds with answers due, or slower than 1 KiB/s")]
    Silent(u64),
    /// Not even whole packets come.
    #[error("the server sent no more than a trickle of bytes for {0} seconds with answers due")]
    Trickle(u64),
    /// The time that there was is over.
    #[error("no time was left to wait for the server")]
    Interrupted,
    /// The server does not keep to the protocol.
    #[error("the server broke the protocol")]
    Protocol(#[from] Malformed),
    /// Names were given that may not outlive a power failure.
    #[error("the server could not flush its folders to stable storage")]
    Flush(#[source] Status),
    /// Randomness or polling failed here.
    #[error("the operating system refused {0}")]
    System(&'static str, #[source] io::Error),
}

impl Fault {
    /// The failure that the engine sees.
    pub(crate) fn into_error(self, attempt: impl Into<String>) -> SinkError {
        let cause = match self {
            Self::Interrupted => Cause::Unavailable,
            Self::Lost(_) | Self::Ended(_) | Self::Silent(_) | Self::Trickle(_) => Cause::Transient,
            Self::Protocol(_) | Self::Flush(_) | Self::System(..) => Cause::Io,
        };
        SinkError::because(cause, attempt, self)
    }
}

/// The failure that a status stands for, where no more can be found out.
pub(crate) fn refusal(attempt: impl Into<String>, status: Status) -> SinkError {
    let cause = match status.code {
        wire::SSH_FX_NO_SUCH_FILE => Cause::Missing,
        wire::SSH_FX_PERMISSION_DENIED => Cause::Forbidden,
        _ => Cause::Io,
    };
    SinkError::because(cause, attempt, status)
}
