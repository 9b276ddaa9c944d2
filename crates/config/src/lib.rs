//! `config.ini`: found, read, checked as a whole, and handed on as plain typed structs.
//!
//! [`find`] says which file, [`load`] reads it. All that is wrong with a file is reported at once, each with its
//! line. Nothing here connects to anything: whether a store or a destination can be used is the caller's to find out.
//! Nothing here reads the environment either: what there is of it is in a [`ProcessContext`].

mod backup;
mod database;
mod document;
mod domain_xml;
mod environment;
mod error;
mod fields;
mod find;
mod keys;
mod lines;
mod notifications;
mod process;
mod propose;
mod purge;
mod repository;
mod secret;
mod store;
mod value;

use std::path::{Path, PathBuf};

pub use backup::{
    Destination, DestinationKind, ObjectLock, ObjectLockMode, S3Target, SshLibrary, SshTarget, Stated, SwiftAuth,
    SwiftAuthVersion, SwiftTarget, Verify,
};
pub use database::{CatalogueSource, Database, LedgerTarget};
pub use domain_xml::{DomainStore, DomainXml, read as read_domain_xml};
pub use environment::{Environment, FoundStore, Giver};
pub use error::{ConfigError, Exposed, Problem};
pub use find::find;
pub use notifications::{EmailWhen, Notifications, Smtp, SmtpTls, is_mail_address};
pub use process::ProcessContext;
pub use propose::{Address, Proposal, ProposalSources, address, mail_addresses, propose};
pub use purge::{PurgeApproval, PurgeLogin};
pub use repository::Repository;
pub use secret::Secret;
pub use store::{AccessKeyPair, Policy, Store, StoreType, SwiftAuthType, SwiftEndpoint};
pub use value::{BadValue, boolean, duration, percent, rate, size};

/// All that a configuration file says.
#[derive(Debug, Clone)]
pub struct Config {
    /// Absolute path of the file that was read.
    pub path: PathBuf,
    /// What the section `[Database]` says.
    pub database: Database,
    /// What the section `[Repository]` says.
    pub repository: Repository,
    /// Every `[Store ID]`, in the file's order.
    pub stores: Vec<Store>,
    /// `[Backup]` and every `[Backup NAME]`, in the file's order; never empty.
    pub destinations: Vec<Destination>,
    /// What the section `[Notifications]` says.
    pub notifications: Notifications,
    /// The environment of a container that Dataverse runs in, where there is one.
    pub environment: Option<Environment>,
    /// The stores that it describes.
    pub environment_stores: Vec<FoundStore>,
}

/// Reads and checks a configuration file.
///
/// Relative paths in it are taken from the folder that it lies in; secrets are fetched from where it points to. What the
/// file does not say is taken from the variables of the process, if they speak of a Dataverse.
///
/// # Errors
/// [`ConfigError::Exposed`] when others could read its secrets, else [`ConfigError::Invalid`] with every problem
/// that was found, or that it cannot be read.
pub fn load(path: &Path, process: &ProcessContext) -> Result<Config, ConfigError> {
    document::load(path, process, true)
}

/// As [`load`], for what does without any database: `[Database]` may be absent.
///
/// # Errors
/// As [`load`].
pub fn load_without_database(path: &Path, process: &ProcessContext) -> Result<Config, ConfigError> {
    document::load(path, process, false)
}
