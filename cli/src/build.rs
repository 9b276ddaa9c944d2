//! From the configuration to databases, stores and destinations: with `cloud`, the only place that names what there is
//! of each, and that looks into the environment and the home folder.

mod cloud;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog};
use dvb_engine::{Access, CancelToken, NoStore, StoreWriters, Stores, asking, writer_run};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore, FileStoreWriter, FolderWriter, OwnershipPolicy};
use dvb_ledger::{Agent, Ledger, LedgerError, PostgresLedger, SqliteLedger};
use dvb_model::{DriverId, RunId, StoreKind};
use dvb_pg::Interrupt;
use dvb_remote::{Layout, RemoteConfig, RemoteStore, Signing};
use dvb_s3::{S3Store, S3StoreConfig, S3StoreWriter};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink};
use dvb_storage::{Cause, Demand, Folder, Sink, SinkError, StoreWriter, chain};
use dvb_swift::{SwiftStore, SwiftStoreWriter};
use jiff::ZonedDateTime;
use thiserror::Error;

use self::cloud::{CloudError, S3StoreKeys};
use dvb_config::{
    CatalogueSource, Config, ConfigError, Destination, DestinationKind, DomainStore, FoundStore, Giver, LedgerTarget,
    Policy, ProcessContext, Secret, SshLibrary, SshTarget, StoreType, Verify,
};
/// What this program writes on its own machine is replaced as a whole.
pub(crate) use dvb_fs::replace_file;

/// What the configuration describes cannot be had from this version, or is not enough.
#[derive(Debug, Error)]
pub(crate) enum BuildError {
    /// Nothing to copy from.
    #[error(
        "{}: it names no store. Add FileSystemDirectory (the folder of Dataverse's files), DomainXml (Payara's \
         domain.xml) or Environment (that of a container) to [Repository], or a [Store ID] section for each storage driver",
        path.display()
    )]
    NoStore { path: PathBuf },
    /// Nothing to read the catalogue from.
    #[error("{}: there is no [Database] section: it says how to read Dataverse's PostgreSQL", path.display())]
    NoDatabase { path: PathBuf },
    /// Identifiers without a prefix would be looked for in another store.
    #[error(
        "which store identifiers without a prefix mean cannot be told: {why}. Name it: DefaultStore in [Repository]"
    )]
    NoDefaultStore { why: String },
    /// Stores that would be missing silently.
    #[error(transparent)]
    DomainXml(#[from] ConfigError),
    /// A destination that makes no sense as it is described.
    #[error("destination {destination} cannot be used as [Backup] describes it")]
    Destination {
        destination: String,
        /// What is wrong.
        #[source]
        source: CloudError,
    },
    /// A library that is not built in, or an algorithm that it does not know.
    #[error("destination {destination} cannot be used")]
    Ssh {
        destination: String,
        /// Which one.
        #[source]
        source: SinkError,
    },
    /// A key that could never let anybody in, or that others can read.
    #[error("destination {destination} cannot be used; see SshKeyFile and SshKeyPassphrase")]
    SshKey {
        destination: String,
        /// What is wrong with the file.
        #[source]
        source: SinkError,
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

pub(crate) fn catalogue(config: &Config) -> Result<CatalogueReader, BuildError> {
    Ok(match &config.database.catalogue {
        CatalogueSource::Postgres(target) => CatalogueReader::Database(PostgresCatalog::new(target.clone())),
        CatalogueSource::File(path) => CatalogueReader::Snapshot(SnapshotCatalog::new(path)),
        CatalogueSource::Unknown => return Err(BuildError::NoDatabase { path: config.path.clone() }),
    })
}

/// The ledger, for this many workers; a server that does not answer is waited for no longer than `stop` allows.
pub(crate) fn ledger(config: &Config, workers: u32, stop: &CancelToken) -> Result<Box<dyn Ledger>, LedgerError> {
    match &config.database.ledger {
        LedgerTarget::Postgres(target) => {
            let (name, interrupt) = (format!("the backup database {}", target.describe()), Interrupt::new());
            // One more plans while the others record.
            let open = || PostgresLedger::open_interruptible(target.clone(), workers + 1, interrupt.clone());
            Ok(Box::new(asking(stop, &name, || interrupt.interrupt(), open)?))
        }
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

/// Every store that is known of, and which of them is meant where none is named.
pub(crate) struct StoreTable {
    /// The store of identifiers without a prefix.
    pub(crate) default: DriverId,
    pub(crate) rows: BTreeMap<DriverId, StoreRow>,
}

/// One of Dataverse's stores.
pub(crate) struct StoreRow {
    /// Its type, as it was written.
    pub(crate) type_name: String,
    pub(crate) origin: Origin,
    /// Where its bytes are, as far as that is known.
    pub(crate) place: String,
    store: dvb_engine::Store,
    /// What it is; `None` where it could not be described.
    described: Option<StoreType>,
}

impl StoreRow {
    pub(crate) fn access(&self) -> &Access {
        &self.store.access
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.store.kind == StoreKind::File
    }

    fn new(origin: Origin, store: &StoreType) -> Self {
        let kind = store.kind();
        Self {
            type_name: type_name(kind).to_owned(),
            origin,
            place: place(store),
            store: dvb_engine::Store { kind, access: access(store) },
            described: Some(store.clone()),
        }
    }

    /// A store that cannot be described stays in the table: its files are not safe, and not left out either.
    fn undescribed(origin: Origin, type_name: &str, why: String) -> Self {
        Self {
            type_name: if type_name.is_empty() { "?" } else { type_name }.to_owned(),
            origin,
            place: "?".to_owned(),
            store: dvb_engine::Store {
                kind: StoreKind::File,
                access: Access::Unavailable(NoStore::misconfigured(why)),
            },
            described: None,
        }
    }
}

/// What described a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `FileSystemDirectory`.
    Repository,
    /// A `[Store ID]` section.
    Section,
    /// A container's environment, with who gave it.
    Environment(Giver),
    /// `DomainXml`.
    DomainXml,
}

/// Every store, as `config.ini` describes it, else `domain.xml`. One that cannot be opened is among them, with the reason.
pub(crate) fn store_table(config: &Config) -> Result<StoreTable, BuildError> {
    let mut rows = BTreeMap::new();
    let mut default = Ok(None);
    if let Some(path) = &config.repository.domain_xml {
        let domain = dvb_config::read_domain_xml(path, &process())?;
        default = domain.default_store;
        for found in domain.stores {
            // Not opened where it would not be used.
            if !is_described(config, &found.id) {
                rows.insert(found.id.clone(), found_row(Origin::DomainXml, found));
            }
        }
    }
    for FoundStore { store, giver } in &config.environment_stores {
        if !is_described_here(config, &store.id) {
            rows.insert(store.id.clone(), found_row(Origin::Environment(*giver), store.clone()));
        }
    }
    if let Some(directory) = &config.repository.file_system_directory {
        let store =
            StoreType::File { directory: directory.clone(), extra_roots: config.repository.extra_roots.clone() };
        rows.insert(file_store(), StoreRow::new(Origin::Repository, &store));
    }
    for store in &config.stores {
        rows.insert(store.id.clone(), StoreRow::new(Origin::Section, &store.kind));
    }
    if rows.is_empty() {
        return Err(BuildError::NoStore { path: config.path.clone() });
    }
    Ok(StoreTable { default: default_or(config, default)?, rows })
}

/// As [`store_table`], for what can do without any store.
pub(crate) fn store_table_or_none(config: &Config) -> Result<StoreTable, BuildError> {
    match store_table(config) {
        Err(BuildError::NoStore { .. }) => {
            Ok(StoreTable { default: default_or(config, Ok(None))?, rows: BTreeMap::new() })
        }
        table => table,
    }
}

/// What is left of the stores where they cannot be described.
pub(crate) fn no_stores() -> Stores {
    Stores { default: file_store(), by_id: BTreeMap::new() }
}

/// The store of identifiers without a prefix, for commands that open none: `domain.xml` is read only where it matters.
pub(crate) fn default_store(config: &Config, matters: bool) -> Result<DriverId, BuildError> {
    let of_domain = match &config.repository.domain_xml {
        Some(path) if matters && config.repository.default_store.is_none() => {
            dvb_config::read_domain_xml(path, &process())?.default_store
        }
        Some(_) | None => Ok(None),
    };
    default_or(config, of_domain)
}

fn default_or(config: &Config, of_domain: Result<Option<DriverId>, String>) -> Result<DriverId, BuildError> {
    if let Some(named) = &config.repository.default_store {
        return Ok(named.clone());
    }
    let of_environment = config.environment.as_ref().map_or(Ok(None), dvb_config::Environment::default_store);
    let told = of_environment.and_then(|it| it.map_or(of_domain, |it| Ok(Some(it))));
    Ok(told.map_err(|why| BuildError::NoDefaultStore { why })?.unwrap_or_else(file_store))
}

fn found_row(origin: Origin, found: DomainStore) -> StoreRow {
    match found.described {
        Ok(store) => StoreRow::new(origin, &store),
        Err(why) => StoreRow::undescribed(origin, &found.type_name, why),
    }
}

/// Whether something that goes before `domain.xml` describes the store.
fn is_described(config: &Config, id: &DriverId) -> bool {
    is_described_here(config, id) || config.environment_stores.iter().any(|it| it.store.id == *id)
}

/// Whether `config.ini` itself does.
fn is_described_here(config: &Config, id: &DriverId) -> bool {
    config.stores.iter().any(|it| it.id == *id)
        || (*id == file_store() && config.repository.file_system_directory.is_some())
}

fn file_store() -> DriverId {
    DriverId("file".to_owned())
}

impl StoreTable {
    /// The stores as the engine takes them; the table stays.
    pub(crate) fn stores(&self) -> Stores {
        let by_id = self.rows.iter().map(|(id, row)| (id.clone(), row.store.clone())).collect();
        Stores { default: self.default.clone(), by_id }
    }

    /// The stores as the engine takes them.
    pub(crate) fn into_stores(self) -> Stores {
        Stores { default: self.default, by_id: self.rows.into_iter().map(|(id, row)| (id, row.store)).collect() }
    }

    /// The stores that files can be given back to, in place.
    pub(crate) fn writers(&self, run: &RunId) -> StoreWriters {
        let writer = |row: &StoreRow| match (&row.described, row.access()) {
            (Some(store), _) => writer(store, run),
            (None, Access::Unavailable(why)) => Err(why.clone()),
            (None, Access::Readable(_) | Access::Reference(_)) => Err(NoStore::misconfigured("nothing describes it")),
        };
        self.rows.iter().map(|(id, row)| (id.clone(), writer(row))).collect()
    }
}

fn writer(store: &StoreType, run: &RunId) -> Result<Box<dyn StoreWriter>, NoStore> {
    let unusable = |it: SinkError| NoStore { cause: it.cause, why: it.chain() };
    match store {
        StoreType::File { directory, extra_roots } => {
            Ok(Box::new(FileStoreWriter::open(directory, extra_roots, run).map_err(unusable)?))
        }
        StoreType::S3 { .. } => {
            let config = s3_config(store).map_err(|it| NoStore::misconfigured(chain(&it)))?;
            Ok(Box::new(S3StoreWriter::new(config, writer_run(run))))
        }
        StoreType::Swift { default_endpoint, endpoints } => {
            let config = cloud::swift_store(default_endpoint.as_deref(), endpoints);
            Ok(Box::new(SwiftStoreWriter::new(config, writer_run(run))))
        }
        StoreType::Remote { .. } | StoreType::Globus { .. } => {
            let why =
                "its bytes are elsewhere, and nothing is written there; restore into a folder with --to".to_owned();
            Err(NoStore { cause: Cause::Refused, why })
        }
    }
}

fn access(store: &StoreType) -> Access {
    match store {
        StoreType::File { directory, extra_roots } => open_folder(directory, extra_roots),
        StoreType::S3 { .. } => {
            let made = s3_config(store).and_then(|it| Ok(S3Store::new(&it)?));
            let unusable = |it| Access::Unavailable(NoStore::misconfigured(chain(&it)));
            made.map_or_else(unusable, |it| Access::Readable(Arc::new(it)))
        }
        StoreType::Swift { default_endpoint, endpoints } => {
            let config = cloud::swift_store(default_endpoint.as_deref(), endpoints);
            Access::Readable(Arc::new(SwiftStore::new(config)))
        }
        StoreType::Remote { base_url: Some(url), secret_key, policy: Policy::Copy } => {
            remote(url, secret_key.as_ref(), Layout::Remote)
        }
        StoreType::Globus { base_url: Some(url), secret_key, policy: Policy::Copy } => {
            remote(url, secret_key.as_ref(), Layout::Globus)
        }
        StoreType::Remote { .. } | StoreType::Globus { .. } => {
            Access::Reference("its bytes are elsewhere, and only recorded (Policy: reference)".to_owned())
        }
    }
}

/// What is known of a store of type `s3`.
fn s3_config(store: &StoreType) -> Result<S3StoreConfig, CloudError> {
    let StoreType::S3 { bucket_name, profile, custom_endpoint_url, custom_endpoint_region, path_style_access, keys } =
        store
    else {
        return Err(CloudError::Kind(type_name(store.kind())));
    };
    cloud::s3_store(&S3StoreKeys {
        bucket: bucket_name.as_deref(),
        profile: profile.as_deref(),
        endpoint_url: custom_endpoint_url.as_deref(),
        region: custom_endpoint_region.as_deref(),
        path_style: *path_style_access,
        keys: keys.as_ref(),
    })
}

fn remote(base_url: &str, secret_key: Option<&Secret>, layout: Layout) -> Access {
    // The server compares the time in a signature with its own, in its own zone, as Dataverse does.
    let clock = Arc::new(|| ZonedDateTime::now().datetime());
    let config = RemoteConfig {
        base_url: base_url.to_owned(),
        layout,
        signing: secret_key.map(|it| Signing { key: it.expose().to_owned(), clock }),
        limits: RemoteConfig::LIMITS,
    };
    match RemoteStore::new(&config) {
        Ok(store) => Access::Readable(Arc::new(store)),
        Err(error) => Access::Unavailable(NoStore::of(&error)),
    }
}

fn type_name(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::File => "file",
        StoreKind::S3 => "s3",
        StoreKind::Swift => "swift",
        StoreKind::Remote => "remote",
        StoreKind::Globus => "globus",
    }
}

/// Where the bytes of a store are, for people.
fn place(store: &StoreType) -> String {
    match store {
        StoreType::File { directory, .. } => directory.display().to_string(),
        StoreType::S3 { bucket_name, custom_endpoint_url, .. } => {
            let bucket =
                bucket_name.as_ref().map_or("the bucket of each identifier".to_owned(), |it| format!("bucket {it}"));
            format!("{bucket} at {}", custom_endpoint_url.as_deref().map_or("Amazon".to_owned(), shown_url))
        }
        StoreType::Swift { endpoints, .. } => {
            let shown = |it: &dvb_config::SwiftEndpoint| {
                format!("{} at {}", it.name, shown_url(it.endpoint.as_deref().unwrap_or(&it.auth_url)))
            };
            endpoints.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        StoreType::Remote { base_url, policy, .. } | StoreType::Globus { base_url, policy, .. } => {
            let address = base_url.as_deref().map_or("elsewhere".to_owned(), shown_url);
            match policy {
                Policy::Copy => address,
                Policy::Reference => format!("{address} (only recorded)"),
            }
        }
    }
}

/// An address without a user, password or query, which can all be secrets.
pub(crate) fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let host = host.rsplit_once('@').map_or(host, |it| it.1);
    format!("{scheme}://{host}{path}")
}

fn open_folder(directory: &Path, extra_roots: &[PathBuf]) -> Access {
    match FileStore::with_extra_roots(directory, extra_roots) {
        Ok(store) => Access::Readable(Arc::new(store)),
        Err(error) => Access::Unavailable(NoStore::of(&error)),
    }
}

/// A folder that files are given back to.
pub(crate) fn restore_folder(folder: &Path, run: &RunId) -> Result<Box<dyn Folder>, SinkError> {
    Ok(Box::new(FolderWriter::open(folder, run, OwnershipPolicy::Own)?))
}

/// A destination; nothing is contacted yet.
pub(crate) fn sink(destination: &Destination) -> Result<Box<dyn Sink>, BuildError> {
    let demand = match destination.verify {
        Verify::Auto => Demand::Auto,
        Verify::RemoteHash => Demand::RemoteHash,
        Verify::ReadBack => Demand::ReadBack,
    };
    let unusable = |source| BuildError::Destination { destination: destination.name.0.clone(), source };
    match &destination.kind {
        DestinationKind::Ssh(target) => {
            let config = sftp(target, demand);
            config.check().map_err(|source| BuildError::Ssh { destination: destination.name.0.clone(), source })?;
            // The one that was named; of the usual ones, any may do.
            if target.key_file.is_some() {
                let wrong = |source| BuildError::SshKey { destination: destination.name.0.clone(), source };
                config.keys.iter().try_for_each(|it| it.check().map_err(wrong))?;
            }
            Ok(Box::new(SftpSink::new(config)))
        }
        DestinationKind::Directory(root) => {
            Ok(Box::new(DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand })))
        }
        DestinationKind::S3(target) => Ok(Box::new(cloud::s3_sink(target, demand).map_err(unusable)?)),
        DestinationKind::Swift(target) => Ok(Box::new(cloud::swift_sink(target, demand))),
    }
}

/// What ssh(1) would look up by itself is looked up here.
fn sftp(target: &SshTarget, demand: Demand) -> SftpConfig {
    let home = home();
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
        library: match target.library {
            SshLibrary::Russh => dvb_sftp::SshLibrary::Russh,
            SshLibrary::Libssh2 => dvb_sftp::SshLibrary::Libssh2,
        },
        host: target.host.clone(),
        port: target.port,
        username: target.username.clone(),
        root: target.directory.clone(),
        keys: keys.into_iter().map(|path| KeyFile { path, passphrase: passphrase.clone() }).collect(),
        agent,
        known_hosts,
        ciphers: target.ciphers.clone(),
        exchanges: target.exchanges.clone(),
        macs: target.macs.clone(),
        host_key_types: target.host_key_types.clone(),
        open_files: target.open_files.and_then(|it| usize::try_from(it).ok()),
        demand,
        connect_timeout: target.connect_timeout,
        idle_timeout: target.idle_timeout,
    }
}

/// The name of this host, for locks and reports.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who gives the commands of this process.
pub(crate) fn agent() -> Agent {
    let user = whoami::username().unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    Agent { user, host: host_name(), program: env!("CARGO_PKG_VERSION").to_owned() }
}

/// The configuration file, wherever it is.
pub(crate) fn config(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let process = process();
    dvb_config::load(&dvb_config::find(explicit, &process)?, &process)
}

/// The same, for what does without any database.
pub(crate) fn config_without_database(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let process = process();
    dvb_config::load_without_database(&dvb_config::find(explicit, &process)?, &process)
}

/// What this process has around it: the one place that a configuration gets it from.
pub(crate) fn process() -> ProcessContext {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    ProcessContext {
        variables: std::env::vars_os().filter_map(text).collect(),
        home: home(),
        // Where it was removed, only a path from the root on can be meant.
        current_folder: std::env::current_dir().ok(),
    }
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|it| !it.as_os_str().is_empty())
}

/// A ledger that lasts as long as the folder.
pub(crate) fn passing_ledger(folder: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let ledger = SqliteLedger::temporary(folder.join("ledger.db"), std::env::temp_dir());
    ledger.migrate()?;
    Ok(Box::new(ledger))
}
