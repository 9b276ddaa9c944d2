//! From the configuration to databases, stores and destinations: the only place that names what there is of each, and
//! that looks into the environment and the home folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog};
use dvb_engine::{Access, Menders, Stores};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore, FolderWriter, Manner};
use dvb_ledger::{Ledger, LedgerError, PostgresLedger, SqliteLedger};
use dvb_model::{DriverId, RunId, StoreKind};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink};
use dvb_storage::{Demand, Mender, Sink, SinkError, Target};
use thiserror::Error;

use crate::config::{
    self, CatalogueSource, Config, ConfigError, Destination, DestinationKind, LedgerTarget, Policy, SshTarget,
    StoreType, Verify,
};

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
    /// A kind of destination that is not there yet.
    #[error("destination {destination}: this version cannot copy to {kind} yet; use StorageType ssh or directory")]
    Destination {
        /// Its name.
        destination: String,
        /// Its kind.
        kind: &'static str,
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
    match (store, cannot_read_yet(store)) {
        (_, Some(why)) => Access::Reference(why.to_owned()),
        (StoreType::File { directory }, None) => open_folder(directory),
        (
            StoreType::S3 { .. } | StoreType::Swift { .. } | StoreType::Remote { .. } | StoreType::Globus { .. },
            None,
        ) => Access::Reference("its bytes are elsewhere, and only recorded (Policy: reference)".to_owned()),
    }
}

/// Why a store that holds bytes for us to copy cannot be read by this version.
pub(crate) fn cannot_read_yet(store: &StoreType) -> Option<&'static str> {
    match store {
        StoreType::File { .. }
        | StoreType::Remote { policy: Policy::Reference, .. }
        | StoreType::Globus { policy: Policy::Reference, .. } => None,
        StoreType::S3 { .. } => Some("this version cannot read S3 stores yet"),
        StoreType::Swift { .. } => Some("this version cannot read Swift stores yet"),
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

/// The stores that files can be given back to, in place.
pub(crate) fn menders(config: &Config, run: &RunId) -> Menders {
    let open = |directory: &Path| -> Result<Box<dyn Mender>, String> {
        let writer = FolderWriter::open(directory, run, Manner::AsNeighbours).map_err(|it| it.chain())?;
        Ok(Box::new(writer))
    };
    let mut by_id = Menders::new();
    if let Some(directory) = &config.repository.file_system_directory {
        by_id.insert(DriverId("file".to_owned()), open(directory));
    }
    for store in &config.stores {
        let mender = match &store.kind {
            StoreType::File { directory } => open(directory),
            StoreType::S3 { .. } | StoreType::Swift { .. } | StoreType::Remote { .. } | StoreType::Globus { .. } => {
                Err("this version writes to stores of type file only; restore into a folder with --to".to_owned())
            }
        };
        by_id.insert(store.id.clone(), mender);
    }
    by_id
}

/// A folder that files are given back to.
pub(crate) fn restore_folder(folder: &Path, run: &RunId) -> Result<Box<dyn Target>, SinkError> {
    Ok(Box::new(FolderWriter::open(folder, run, Manner::Own)?))
}

/// A destination; nothing is contacted yet.
pub(crate) fn sink(destination: &Destination) -> Result<Box<dyn Sink>, WiringError> {
    let demand = match destination.verify {
        Verify::Auto => Demand::Auto,
        Verify::RemoteHash => Demand::RemoteHash,
        Verify::ReadBack => Demand::ReadBack,
    };
    let not_yet = |kind| WiringError::Destination { destination: destination.name.0.clone(), kind };
    match &destination.kind {
        DestinationKind::Ssh(target) => Ok(Box::new(SftpSink::new(sftp(target, demand)))),
        DestinationKind::Directory(root) => {
            Ok(Box::new(DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand })))
        }
        DestinationKind::S3(_) => Err(not_yet("S3")),
        DestinationKind::Swift(_) => Err(not_yet("Swift")),
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
