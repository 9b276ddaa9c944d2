//! Dataverse's stores: what describes each, and how it is opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvb_config::{Config, DomainStore, FoundStore, Giver, Policy, Secret, StoreType};
use dvb_engine::{Access, NoStore, StoreWriters, Stores, writer_run};
use dvb_fs::{FileStore, FileStoreWriter};
use dvb_model::{DriverId, RunId, StoreKind};
use dvb_remote::{Layout, RemoteConfig, RemoteStore, Signing};
use dvb_s3::{S3Store, S3StoreConfig, S3StoreWriter};
use dvb_storage::{Cause, SinkError, StoreWriter, chain};
use dvb_swift::{SwiftStore, SwiftStoreWriter};
use jiff::ZonedDateTime;

use crate::cloud::{self, CloudError, S3StoreKeys};
use crate::error::BuildError;
use crate::process::process;

/// Every store that is known of, and which of them is meant where none is named.
pub struct StoreTable {
    /// The store of identifiers without a prefix.
    pub default: DriverId,
    /// Each store, by its driver id.
    pub rows: BTreeMap<DriverId, StoreRow>,
}

/// One of Dataverse's stores.
pub struct StoreRow {
    /// Its type, as it was written.
    pub type_name: String,
    /// What described it; where several did, the one that counts.
    pub origin: Origin,
    /// Where its bytes are, as far as that is known.
    pub place: String,
    store: dvb_engine::Store,
    /// What it is; `None` where it could not be described.
    described: Option<StoreType>,
}

impl StoreRow {
    /// How it is read, or why it is not.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.store.access
    }

    /// Whether its objects are files of this machine.
    #[must_use]
    pub fn is_folder(&self) -> bool {
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
pub enum Origin {
    /// The key `FileSystemDirectory` of `[Repository]`.
    Repository,
    /// A `[Store ID]` section.
    Section,
    /// A container's environment, with who gave it.
    Environment(Giver),
    /// Payara's `domain.xml`, which the key `DomainXml` names.
    DomainXml,
}

/// Every store, as `config.ini` describes it, else `domain.xml`. One that cannot be opened is among them, with the reason.
///
/// # Errors
/// [`BuildError`].
pub fn store_table(config: &Config) -> Result<StoreTable, BuildError> {
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
///
/// # Errors
/// [`BuildError`].
pub fn store_table_or_none(config: &Config) -> Result<StoreTable, BuildError> {
    match store_table(config) {
        Err(BuildError::NoStore { .. }) => {
            Ok(StoreTable { default: default_or(config, Ok(None))?, rows: BTreeMap::new() })
        }
        table => table,
    }
}

/// What is left of the stores where they cannot be described.
#[must_use]
pub fn no_stores() -> Stores {
    Stores { default: file_store(), by_id: BTreeMap::new() }
}

/// The store of identifiers without a prefix, for commands that open none: `domain.xml` is read only where it matters.
///
/// # Errors
/// [`BuildError`].
pub fn default_store(config: &Config, matters: bool) -> Result<DriverId, BuildError> {
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
    #[must_use]
    pub fn stores(&self) -> Stores {
        let by_id = self.rows.iter().map(|(id, row)| (id.clone(), row.store.clone())).collect();
        Stores { default: self.default.clone(), by_id }
    }

    /// The stores as the engine takes them.
    #[must_use]
    pub fn into_stores(self) -> Stores {
        Stores { default: self.default, by_id: self.rows.into_iter().map(|(id, row)| (id, row.store)).collect() }
    }

    /// The stores that files can be given back to, in place.
    #[must_use]
    pub fn writers(&self, run: &RunId) -> StoreWriters {
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
            let shown = |endpoint: &dvb_config::SwiftEndpoint| {
                format!(
                    "{} at {}",
                    endpoint.name,
                    shown_url(endpoint.endpoint.as_deref().unwrap_or(&endpoint.auth_url))
                )
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
#[must_use]
pub fn shown_url(url: &str) -> String {
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
