//! From the configuration to databases, stores and destinations: with `cloud`, the only place that names what there is
//! of each, and that looks into the environment and the home folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog};
use dvb_engine::{Access, Stores};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore};
use dvb_ledger::{Ledger, LedgerError, PostgresLedger, SqliteLedger};
use dvb_model::{DriverId, StoreKind};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink};
use dvb_storage::{Demand, Sink};
use thiserror::Error;

use crate::cloud::{self, CloudError, S3StoreKeys};
use crate::config::{
    self, CatalogueSource, Config, ConfigError, Destination, DestinationKind, LedgerTarget, Policy, SshTarget,
    StoreType, Verify,
};
use crate::exit::chain;

/// What the configuration describes cannot be had from this version, or is not enough.
#[derive(Debug, Error)]
pub(crate) enum WiringError {
    /// Nothing to copy from.
    #[error(
        "{}: it names no store. Add FileSystemDirectory (the folder of Dataverse's files) to [Repository], or a \
         [Store ID] section for each storage driver",
        path.display()
    )]
    NoStore {
        /// The configuration file.
        path: PathBuf,
    },
    /// Stores that would be missing silently.
    #[error(
        "{}: this version cannot read stores from DomainXml yet; take the key away and add a [Store ID] section for \
         each storage driver",
        path.display()
    )]
    DomainXml {
        /// The configuration file.
        path: PathBuf,
    },
    /// A destination that makes no sense as it is described.
    #[error("destination {destination} cannot be used as [Backup] describes it")]
    Destination {
        /// Its name.
        destination: String,
        /// What is wrong.
        #[source]
        source: CloudError,
    },
}

/// What the catalogue is read from.
pub(crate) enum CatalogueReader {
    Database(PostgresCatalog),
    Snapshot(SnapshotCatalog),
}

impl CatalogueReader {
    pub(crate) fn as_catalog(&self) -> &dyn Catalog {
        match self {
            Self::Database(it) => it,
            Self::Snapshot(it) => it,
        }
    }
}

pub(crate) fn catalogue(config: &Config) -> CatalogueReader {
    match &config.database.catalogue {
        CatalogueSource::Postgres(target) => CatalogueReader::Database(PostgresCatalog::new(target.clone())),
        CatalogueSource::File(path) => CatalogueReader::Snapshot(SnapshotCatalog::new(path)),
    }
}

/// The ledger, for this many workers.
pub(crate) fn ledger(config: &Config, workers: u32) -> Result<Box<dyn Ledger>, LedgerError> {
    match &config.database.ledger {
        // One more plans while the others record.
        LedgerTarget::Postgres(target) => Ok(Box::new(PostgresLedger::open(target.clone(), workers + 1)?)),
        LedgerTarget::Sqlite(path) => Ok(Box::new(SqliteLedger::new(path))),
    }
}

/// Where a run keeps its list of what is due: beside the ledger, which has room to grow, else where temporary files are.
pub(crate) fn spool_folder(config: &Config) -> PathBuf {
    match &config.database.ledger {
        LedgerTarget::Postgres(_) => std::env::temp_dir(),
        LedgerTarget::Sqlite(path) => path.parent().unwrap_or(Path::new("/")).to_owned(),
    }
}

/// Every store that the configuration names. One that cannot be opened is among them, with the reason.
pub(crate) fn stores(config: &Config) -> Result<Stores, WiringError> {
    let path = || config.path.clone();
    if config.repository.domain_xml.is_some() {
        return Err(WiringError::DomainXml { path: path() });
    }
    let mut by_id = BTreeMap::new();
    if let Some(directory) = &config.repository.file_system_directory {
        let store = dvb_engine::Store { kind: StoreKind::File, access: open_folder(directory) };
        by_id.insert(DriverId("file".to_owned()), store);
    }
    for store in &config.stores {
        by_id.insert(store.id.clone(), dvb_engine::Store { kind: store.kind.kind(), access: access(&store.kind) });
    }
    if by_id.is_empty() {
        return Err(WiringError::NoStore { path: path() });
    }
    Ok(Stores { default: config.repository.default_store.clone(), by_id })
}

fn access(store: &StoreType) -> Access {
    if let Some(why) = cannot_read_yet(store) {
        return Access::Reference(why.to_owned());
    }
    match store {
        StoreType::File { directory } => open_folder(directory),
        StoreType::S3 {
            bucket_name,
            profile,
            custom_endpoint_url,
            custom_endpoint_region,
            path_style_access,
            keys,
        } => {
            let made = cloud::s3_store(&S3StoreKeys {
                bucket: bucket_name.as_deref(),
                profile: profile.as_deref(),
                endpoint_url: custom_endpoint_url.as_deref(),
                region: custom_endpoint_region.as_deref(),
                path_style: *path_style_access,
                keys: keys.as_ref(),
            });
            made.map_or_else(|it| Access::Unavailable(chain(&it)), |it| Access::Readable(Arc::new(it)))
        }
        StoreType::Swift { default_endpoint, endpoints } => {
            Access::Readable(Arc::new(cloud::swift_store(default_endpoint.as_deref(), endpoints)))
        }
        StoreType::Remote { .. } | StoreType::Globus { .. } => {
            Access::Reference("its bytes are elsewhere, and only recorded (Policy: reference)".to_owned())
        }
    }
}

/// Why a store that holds bytes for us to copy cannot be read by this version.
pub(crate) fn cannot_read_yet(store: &StoreType) -> Option<&'static str> {
    match store {
        StoreType::File { .. }
        | StoreType::S3 { .. }
        | StoreType::Swift { .. }
        | StoreType::Remote { policy: Policy::Reference, .. }
        | StoreType::Globus { policy: Policy::Reference, .. } => None,
        StoreType::Remote { policy: Policy::Copy, .. } => Some("this version cannot copy from remote stores yet"),
        StoreType::Globus { policy: Policy::Copy, .. } => Some("this version cannot copy from Globus stores yet"),
    }
}

fn open_folder(directory: &Path) -> Access {
    match FileStore::open(directory) {
        Ok(store) => Access::Readable(Arc::new(store)),
        Err(error) => Access::Unavailable(error.chain()),
    }
}

/// A destination; nothing is contacted yet.
pub(crate) fn sink(destination: &Destination) -> Result<Box<dyn Sink>, WiringError> {
    let demand = match destination.verify {
        Verify::Auto => Demand::Auto,
        Verify::RemoteHash => Demand::RemoteHash,
        Verify::ReadBack => Demand::ReadBack,
    };
    let unusable = |source| WiringError::Destination { destination: destination.name.0.clone(), source };
    match &destination.kind {
        DestinationKind::Ssh(target) => Ok(Box::new(SftpSink::new(sftp(target, demand)))),
        DestinationKind::Directory(root) => {
            Ok(Box::new(DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand })))
        }
        DestinationKind::S3(target) => Ok(Box::new(cloud::s3_sink(target, demand).map_err(unusable)?)),
        DestinationKind::Swift(target) => Ok(Box::new(cloud::swift_sink(target, demand))),
    }
}

/// What ssh(1) would look up by itself is looked up here.
fn sftp(target: &SshTarget, demand: Demand) -> SftpConfig {
    let home = std::env::home_dir().filter(|it| !it.as_os_str().is_empty());
    let usual = |name: &str| home.as_ref().map(|it| it.join(".ssh").join(name));
    let known_hosts = match &target.known_hosts {
        Some(file) => vec![file.clone()],
        None => usual("known_hosts").into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect(),
    };
    let (keys, agent) = match &target.key_file {
        Some(file) => (vec![file.clone()], None),
        None => {
            let usual = ["id_ed25519", "id_ecdsa", "id_rsa"].into_iter().filter_map(usual).filter(|it| it.is_file());
            (usual.collect(), std::env::var_os("SSH_AUTH_SOCK").filter(|it| !it.is_empty()).map(PathBuf::from))
        }
    };
    let passphrase = target.key_passphrase.as_ref().map(|it| it.expose().to_owned());
    SftpConfig {
        host: target.host.clone(),
        port: target.port,
        username: target.username.clone(),
        root: target.directory.clone(),
        keys: keys.into_iter().map(|path| KeyFile { path, passphrase: passphrase.clone() }).collect(),
        agent,
        known_hosts,
        ciphers: target.ciphers.clone(),
        demand,
        connect_timeout: target.connect_timeout,
        idle_timeout: target.idle_timeout,
    }
}

/// The name of this host, for locks and reports.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The configuration file, wherever it is.
pub(crate) fn config(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let env = |name: &str| std::env::var(name).ok();
    config::load(&config::find(explicit, &env)?, &env)
}
