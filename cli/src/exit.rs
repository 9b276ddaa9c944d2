//! Why a command gave up, and the exit code that says so: the one place that knows.

use std::io;
use std::path::PathBuf;

use dvb_catalog::CatalogError;
use dvb_engine::{ExitStatus, Hint, PurgeError, RestoreError, RunError};
use dvb_ledger::LedgerError;
use dvb_storage::{Cause, SinkError, SourceError, chain};
use thiserror::Error;

use crate::hint;
use dvb_build::BuildError;
use dvb_config::ConfigError;

/// A command gave up.
#[derive(Debug, Error)]
pub(crate) enum CommandFailure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What the configuration describes cannot be had.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The call makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The ledger could not be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The catalogue could not be read, or its snapshot not be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A run did not take place.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A restore did not take place.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A step of a purge was refused.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// A store cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A destination cannot be used.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A file or folder of this machine.
    #[error("cannot {doing} {}; {remedy}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        /// What to look at.
        remedy: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program is at fault; what it was is told already.
    #[error("internal error (please report)")]
    Mistake,
    /// Signals cannot be caught.
    #[error("cannot install signal handlers; a run could not be stopped cleanly")]
    Signals(#[source] io::Error),
    /// Nothing can be printed.
    #[error("cannot print the result on stdout")]
    Output(#[source] io::Error),
}

impl CommandFailure {
    /// How a command ends that gave up so.
    pub(crate) fn ending(&self) -> ExitStatus {
        match self {
            Self::Config(ConfigError::Exposed { .. }) => ExitStatus::Refused,
            Self::Build(BuildError::SshKey { source, .. }) if source.cause == Cause::Untrusted => ExitStatus::Refused,
            Self::Config(
                ConfigError::NotFound { .. }
                | ConfigError::Unreadable { .. }
                | ConfigError::NotText { .. }
                | ConfigError::Invalid { .. }
                | ConfigError::DomainXmlUnreadable { .. }
                | ConfigError::DomainXmlBroken { .. }
                | ConfigError::DomainXmlNoStore { .. },
            )
            | Self::Build(_)
            | Self::Usage(_) => ExitStatus::Usage,
            Self::File { source, .. } => match ExitStatus::of_io(source) {
                full @ ExitStatus::NoSpace => full,
                // A path that was given, or what it may be used for.
                _ => ExitStatus::Usage,
            },
            Self::Ledger(it) => it.into(),
            Self::Catalog(it) => it.into(),
            Self::Run(it) => it.into(),
            Self::Restore(it) => it.into(),
            Self::Purge(it) => it.into(),
            Self::Source(it) => ExitStatus::of_cause(it.cause),
            Self::Sink(it) => ExitStatus::of_cause(it.cause),
            Self::Mistake => ExitStatus::NotSafe,
            Self::Signals(it) | Self::Output(it) => ExitStatus::of_io(it),
        }
    }

    /// The whole of it, with every cause.
    pub(crate) fn text(&self) -> String {
        let text = chain(self);
        match self {
            Self::Config(ConfigError::NotFound { .. }) => text + ", or name it with --config",
            Self::Ledger(it) => hint::with(text, it.hint().map(Hint::Ledger).as_ref()),
            Self::Catalog(it) => hint::with(text, it.hint().map(Hint::Catalog).as_ref()),
            Self::Run(it) => hint::with(text, it.hint().as_ref()),
            Self::Restore(it) => hint::with(text, it.hint().as_ref()),
            Self::Purge(it) => hint::with(text, it.hint().as_ref()),
            _ => text,
        }
    }
}
