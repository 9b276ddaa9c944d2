//! What the configuration describes and cannot be had.

use std::path::PathBuf;

use dvb_config::ConfigError;
use dvb_storage::SinkError;
use thiserror::Error;

use crate::cloud::CloudError;

/// What the configuration describes cannot be had from this version, or is not enough.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Nothing to copy from.
    #[error(
        "{}: it names no store. Add FileSystemDirectory (the folder of Dataverse's files), DomainXml (Payara's \
         domain.xml) or Environment (that of a container) to [Repository], or a [Store ID] section for each storage driver",
        path.display()
    )]
    NoStore {
        /// The configuration file that names no store.
        path: PathBuf,
    },
    /// Nothing to read the catalogue from.
    #[error("{}: there is no [Database] section: it says how to read Dataverse's PostgreSQL", path.display())]
    NoDatabase {
        /// The configuration file that lacks the section.
        path: PathBuf,
    },
    /// Identifiers without a prefix would be looked for in another store.
    #[error(
        "which store identifiers without a prefix mean cannot be told: {why}. Name it: DefaultStore in [Repository]"
    )]
    NoDefaultStore {
        /// What is wrong with the option that names it.
        why: String,
    },
    /// Stores that would be missing silently.
    #[error(transparent)]
    DomainXml(#[from] ConfigError),
    /// A destination that makes no sense as it is described.
    #[error("destination {destination} cannot be used as [Backup] describes it")]
    Destination {
        /// Name of the destination.
        destination: String,
        /// What is wrong with its description.
        #[source]
        source: CloudError,
    },
    /// A library that is not built in, or an algorithm that it does not know.
    #[error("destination {destination} cannot be used")]
    Ssh {
        /// Name of the destination.
        destination: String,
        /// Which library or algorithm that is.
        #[source]
        source: SinkError,
    },
    /// A key that could never let anybody in, or that others can read.
    #[error("destination {destination} cannot be used; see SshKeyFile and SshKeyPassphrase")]
    SshKey {
        /// Name of the destination.
        destination: String,
        /// What is wrong with the file.
        #[source]
        source: SinkError,
    },
    /// The account that deletes cannot log in for whoever started the program.
    #[error("[Purge] of destination {destination} cannot be used: {why}. Purge as a user who may read these secrets")]
    PurgeLogin {
        /// Name of the destination.
        destination: String,
        /// Which secrets cannot be read, and why.
        why: String,
    },
}
