//! `DomainXml`: the stores as Payara's `domain.xml` describes them, in `dataverse.files.*` options of the JVM.
//!
//! What Payara alone can resolve, or what is not said there, makes a store one that cannot be described: it stays in
//! the list with the reason, so that its files are never uncovered silently.

mod elements;
mod references;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dvb_model::DriverId;

use self::elements::Domain;
use self::references::Resolver;
use super::fields::{Fields, Findings, Surroundings};
use super::lines::{Entry, Section};
use super::{ConfigError, ProcessContext, Secret, StoreType, keys, store, value};

const PREFIX: &str = "dataverse.files.";

/// The names of a store `s3` before Dataverse 4.20, with those of today.
const OLD_S3: [(&str, &str); 4] = [
    ("s3-bucket-name", "bucket-name"),
    ("s3-custom-endpoint-url", "custom-endpoint-url"),
    ("s3-custom-endpoint-region", "custom-endpoint-region"),
    ("s3-path-style-access", "path-style-access"),
];

/// What `domain.xml` says of stores.
#[derive(Debug, Clone)]
pub struct DomainXml {
    /// The store of identifiers without a prefix; `None` where the file does not say. Error: why the one that is named cannot be
    /// told.
    pub default_store: Result<Option<DriverId>, String>,
    /// Every store that an option names, by id.
    pub stores: Vec<DomainStore>,
    /// Dataverse's database by the keys of `[Database]`, as far as options name it (`dataverse.db.*`), or why a value
    /// cannot be told.
    pub database: BTreeMap<&'static str, Result<Secret, String>>,
}

/// One store of `domain.xml`.
#[derive(Debug, Clone)]
pub struct DomainStore {
    /// The driver id, which stands before `://` in storage identifiers.
    pub id: DriverId,
    /// Its type as it is written there; empty where it is not.
    pub type_name: String,
    /// What it is, or why that cannot be told.
    pub described: Result<StoreType, String>,
}

/// Names the store of identifiers without a prefix.
pub(super) const DEFAULT_STORE: &str = "dataverse.files.storage-driver-id";

/// Reads the file. Its permissions are Payara's affair.
///
/// # Errors
/// A [`ConfigError`] that begins with `DomainXml`, when it cannot be read or says nothing of stores. A store that it does not describe fully is no
/// error.
pub fn read(path: &Path, process: &ProcessContext) -> Result<DomainXml, ConfigError> {
    let bytes = fs::read(path).map_err(|source| ConfigError::DomainXmlUnreadable { path: path.to_owned(), source })?;
    let domain = elements::read(&bytes).map_err(|(at, what)| {
        let line = 1 + bytes.iter().take(at).filter(|it| **it == b'\n').count();
        ConfigError::DomainXmlBroken { path: path.to_owned(), line, what }
    })?;
    let options = Options::of(&domain);
    if options.stores.is_empty() {
        return Err(ConfigError::DomainXmlNoStore { path: path.to_owned() });
    }
    let resolver = Resolver { process, properties: &domain.properties, instance_root: instance_root(path) };
    let default_store = options.default_store().map(|it| resolver.resolve(&it.value)).transpose();
    let default_store = default_store.map_err(|why| format!("the option {DEFAULT_STORE} {why}"));
    let resolve = |option: &JvmOption| resolver.resolve(&option.value);
    // Payara runs in the folder of the file.
    let around = Surroundings { folder: path.parent().unwrap_or(Path::new("/")), process };
    let place = path.display().to_string();
    let stores = options.stores.iter().map(|(id, options)| describe(id, options, &resolve, around, &place)).collect();
    let default_store = default_store.map(|it| it.filter(|it| !it.is_empty()).map(DriverId));
    Ok(DomainXml { default_store, stores, database: database(&domain, &resolver) })
}

/// Dataverse's names for the keys of `[Database]`.
const DATABASE: [(&str, &str); 5] = [
    ("dataverse.db.host", "Host"),
    ("dataverse.db.port", "Port"),
    ("dataverse.db.name", "Database"),
    ("dataverse.db.user", "Username"),
    ("dataverse.db.password", "Password"),
];

fn database(domain: &Domain, resolver: &Resolver<'_>) -> BTreeMap<&'static str, Result<Secret, String>> {
    let options = || domain.configs.iter().rev().flat_map(|it| &it.options);
    let found = DATABASE.iter().filter_map(|(name, key)| {
        let (name, value) = options().rfind(|it| it.0 == *name)?;
        Some((*key, resolver.resolve(value).map(Secret::new).map_err(|why| format!("{name} {why}"))))
    });
    found.collect()
}

/// `domain.xml` lies in `config` of the domain's folder.
fn instance_root(path: &Path) -> Option<String> {
    path.parent().filter(|it| it.ends_with("config")).and_then(Path::parent).map(|it| it.display().to_string())
}

/// An option of the JVM.
#[derive(Debug, Clone)]
pub(super) struct JvmOption {
    /// As it is written, for messages.
    pub(super) name: String,
    pub(super) value: String,
}

/// All `dataverse.files.*`: those of a store by its id, and the others.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) stores: BTreeMap<String, BTreeMap<String, JvmOption>>,
    general: BTreeMap<String, JvmOption>,
    /// Whether a store has a type, which there is since 4.20.
    typed: bool,
}

impl Options {
    fn of(domain: &Domain) -> Self {
        let mut all = Self::default();
        for config in &domain.configs {
            let found = Self::of_config(&config.options);
            // Whole stores: those of two configurations are not to be mixed.
            for (id, options) in found.stores {
                all.stores.entry(id).or_insert(options);
            }
            for (name, option) in found.general {
                all.general.entry(name).or_insert(option);
            }
        }
        all.typed = all.stores.values().any(|it| it.contains_key("type"));
        all.add_old_names();
        all
    }

    /// Of an option that is there twice the last counts, as to the JVM.
    pub(super) fn of_config(options: &[(String, String)]) -> Self {
        let mut found = Self::default();
        for (name, value) in options {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let option = JvmOption { name: name.clone(), value: value.clone() };
            match rest.split_once('.') {
                // The id is all up to the first '.' (`DataAccess.getStorageDriversConfig`).
                Some((id, key)) if !id.is_empty() && !key.is_empty() => {
                    found.stores.entry(id.to_owned()).or_default().insert(key.to_owned(), option);
                }
                Some(_) => {}
                None => {
                    found.general.insert(rest.to_owned(), option);
                }
            }
        }
        found
    }

    /// Stores that only the names before 4.20 describe. (Since then `dataverse.files.directory` is where uploads and
    /// packages lie, and a store `file` has options of its own.)
    fn add_old_names(&mut self) {
        let of_type = |name: &str| JvmOption { name: format!("{PREFIX}{name}.type"), value: name.to_owned() };
        if let Some(directory) = self.general.get("directory").filter(|_| !self.stores.contains_key("file")) {
            let options = [("type", of_type("file")), ("directory", directory.clone())];
            self.stores.insert("file".to_owned(), options.map(|(key, it)| (key.to_owned(), it)).into());
        }
        let old = OLD_S3.iter().filter_map(|(old, new)| Some(((*new).to_owned(), self.general.get(*old)?.clone())));
        let mut old: BTreeMap<_, _> = old.collect();
        if !old.is_empty() && !self.stores.contains_key("s3") {
            old.insert("type".to_owned(), of_type("s3"));
            self.stores.insert("s3".to_owned(), old);
        }
        if let Some(swift) = self.stores.get_mut("swift").filter(|_| !self.typed) {
            swift.insert("type".to_owned(), of_type("swift"));
        }
    }

    /// Before 4.20 the option said where new files go, and identifiers without a prefix were files all the same
    /// (`DataAccess.getStorageIO` of 4.8).
    fn default_store(&self) -> Option<&JvmOption> {
        self.general.get("storage-driver-id").filter(|_| self.typed)
    }
}

/// In the words of a `[Store ID]` section, which checks it as it would check one; `place` is what described it.
pub(super) fn describe(
    id: &str,
    options: &BTreeMap<String, JvmOption>,
    resolve: &dyn Fn(&JvmOption) -> Result<String, String>,
    around: Surroundings<'_>,
    place: &str,
) -> DomainStore {
    let written = options.get("type").map(|it| resolve(it).unwrap_or_else(|_| it.value.clone()));
    let type_name = written.unwrap_or_default();
    let header = format!("Store {id}");
    let (mut entries, mut unresolved) = (Vec::new(), Vec::new());
    for (key, option) in options {
        let Some(ours) = key_of(&type_name, key) else { continue };
        match resolve(option) {
            Ok(value) => entries.push(Entry { line: 0, value: value_of(&ours, value), key: ours }),
            Err(why) => {
                unresolved.push(format!("{} {why}; a [{header}] section with {} gives it", option.name, shown(&ours)));
            }
        }
    }
    if !unresolved.is_empty() {
        return DomainStore { id: DriverId(id.to_owned()), type_name, described: Err(unresolved.join("; ")) };
    }
    // What cannot be used as an address is no reason to leave out a store that is only recorded.
    entries.retain(|it| it.key != "BaseUrl" || value::url(&it.value).is_ok());
    let section = Section { header, line: 0, entries };
    let mut findings = Findings::default();
    let id = DriverId(id.to_owned());
    let found = store::read(&id, &mut Fields::new(&section, keys::STORE, around, &mut findings));
    let described = found.filter(|_| findings.problems.is_empty()).map(|it| it.kind).ok_or_else(|| {
        let problems: Vec<_> = findings.problems.into_iter().map(|it| it.message).collect();
        format!("{place} does not describe it fully, and no [Store {id}] section does: {}", problems.join("; "))
    });
    DomainStore { id, type_name, described }
}

/// The key of a `[Store ID]` section that an option of Dataverse gives; `None` where a store of that type does not
/// need it for reading.
fn key_of(type_name: &str, key: &str) -> Option<String> {
    let (name, endpoint) = key.split_once('.').map_or((key, None), |(name, endpoint)| (name, Some(endpoint)));
    let ours = match (type_name, name) {
        (_, "type") => "Type",
        ("file", "directory") => "Directory",
        ("s3", "bucket-name") => "BucketName",
        ("s3", "profile") => "Profile",
        ("s3", "custom-endpoint-url") => "CustomEndpointUrl",
        ("s3", "custom-endpoint-region") => "CustomEndpointRegion",
        ("s3", "path-style-access") => "PathStyleAccess",
        ("s3", "access-key") => "AccessKey",
        ("s3", "secret-key") => "SecretKey",
        ("swift", "defaultEndpoint") => "DefaultEndpoint",
        ("swift", "authType") => "AuthType",
        ("swift", "authUrl") => "AuthUrl",
        ("swift", "username") => "Username",
        ("swift", "password") => "Password",
        ("swift", "tenant") => "Tenant",
        ("swift", "endpoint") => "Endpoint",
        ("remote" | "globus", "base-url" | "reference-endpoints-with-basepaths") => "BaseUrl",
        _ => return None,
    };
    Some(endpoint.map_or_else(|| ours.to_owned(), |it| format!("{ours}.{it}")))
}

/// The value as the section has it.
fn value_of(ours: &str, value: String) -> String {
    match ours.split('.').next().unwrap_or(ours) {
        // `Boolean.parseBoolean`.
        "PathStyleAccess" => if value.eq_ignore_ascii_case("true") { "yes" } else { "no" }.to_owned(),
        // `SwiftAccessIO`: whatever is not one of the two words means basic.
        "AuthType" if !matches!(value.as_str(), "keystone" | "keystone_v3") => "basic".to_owned(),
        "BaseUrl" => value.split(',').next().unwrap_or_default().trim().to_owned(),
        _ => value,
    }
}

/// A key, also in its form that names a file.
fn shown(ours: &str) -> String {
    let (name, endpoint) = ours.split_once('.').map_or((ours, String::new()), |(name, it)| (name, format!(".{it}")));
    match name {
        "SecretKey" | "Password" => format!("{ours} or {name}File{endpoint}"),
        _ => ours.to_owned(),
    }
}
