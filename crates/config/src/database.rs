//! `[Database]`: where the catalogue comes from and where the ledger is kept.

use std::path::PathBuf;
use std::time::Duration;

use dvb_pg::{PostgresTarget, SslMode};

use super::fields::Fields;
use super::value::{self, BadValue};
use super::{Environment, Secret};

const DEFAULT_LEDGER: &str = "/var/lib/dataverse-backup/ledger.db";

/// How long each address of a database server may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The section `[Database]`: what is read, and where the results are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// What the catalogue is read from.
    pub catalogue: CatalogueSource,
    /// Where the ledger is.
    pub ledger: LedgerTarget,
}

/// What the catalogue is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueSource {
    /// Dataverse's own database, which is only read.
    Postgres(PostgresTarget),
    /// A snapshot of it.
    File(PathBuf),
    /// The file does not say; see [`load_without_database`](super::load_without_database).
    Unknown,
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerTarget {
    /// A `PostgreSQL` database, which several hosts can share.
    Postgres(PostgresTarget),
    /// An embedded database in a file.
    Sqlite(PathBuf),
}

/// Where the section is absent, and need not be there.
pub(super) fn unknown() -> Database {
    Database { catalogue: CatalogueSource::Unknown, ledger: LedgerTarget::Sqlite(PathBuf::from(DEFAULT_LEDGER)) }
}

fn ssl_mode(text: &str) -> Result<SslMode, BadValue> {
    let modes = [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];
    let named = modes.map(|it| (it.to_string(), it));
    value::choice(text, &named.each_ref().map(|(name, it)| (name.as_str(), *it)))
}

/// The five keys that say which server, each perhaps absent.
struct Server {
    host: Option<String>,
    port: Option<u16>,
    username: Option<String>,
    password: Option<Secret>,
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<PathBuf>,
}

/// What the section does not say, an environment does.
pub(super) fn read(fields: &mut Fields<'_>, environment: Option<&mut Environment>) -> Option<Database> {
    let mut main = Server {
        host: fields.text("Host"),
        port: fields.parsed("Port", value::port),
        username: fields.text("Username"),
        password: fields.secret("Password"),
        ssl_mode: fields.parsed("SslMode", ssl_mode),
        ssl_root_cert: fields.path("SslRootCert"),
    };
    let mut database = fields.text("Database");
    if let Some(environment) = environment.filter(|_| fields.text("Catalogue").is_none()) {
        complete(&mut main, &mut database, environment, fields);
    }
    let catalogue = read_catalogue(fields, &main, database);
    let ledger = read_ledger(fields, main);
    Some(Database { catalogue: catalogue?, ledger: ledger? })
}

/// From the container's own login. Its password goes with its user.
fn complete(main: &mut Server, database: &mut Option<String>, environment: &mut Environment, fields: &mut Fields<'_>) {
    let given = [main.host.is_some(), main.port.is_some(), database.is_some(), main.username.is_some()];
    let has_password = fields.has_secret("Password");
    let own_user = environment.database_user();
    let mut of = |key: &'static str, name: &str, default: Option<&str>| {
        environment.of_database(key, name, default).unwrap_or_else(|why| {
            fields.problem(key, &format!("the container's dataverse.db.{name} {why}"));
            None
        })
    };
    let is_same_user = main.username.is_none() || main.username == own_user;
    if !has_password && is_same_user {
        main.password = of("Password", "password", None).map(Secret::new);
    }
    let [host, port, name, username] = given;
    if !host {
        main.host = of("Host", "host", Some("localhost"));
    }
    if !name {
        *database = of("Database", "name", Some("dataverse"));
    }
    if !username {
        main.username = of("Username", "user", Some("dataverse"));
    }
    if !port && let Some(text) = of("Port", "port", Some("5432")) {
        match value::port(&text) {
            Ok(port) => main.port = Some(port),
            Err(bad) => fields.problem("Port", &format!("the container's dataverse.db.port: {bad}")),
        }
    }
}

fn read_catalogue(fields: &mut Fields<'_>, main: &Server, database: Option<String>) -> Option<CatalogueSource> {
    if fields.text("Catalogue").is_some() {
        let written = fields.parsed("Catalogue", |text| behind_prefix(text, "file:", "file:PATH"))?;
        return Some(CatalogueSource::File(fields.resolve(&written)));
    }
    let database = database.or_else(|| fields.required("Database"));
    let username = main.username.clone().or_else(|| fields.required("Username"));
    Some(CatalogueSource::Postgres(PostgresTarget {
        host: main.host.clone().unwrap_or_else(default_host),
        port: main.port.unwrap_or(DEFAULT_PORT),
        database: database?,
        username: username?,
        password: main.password.as_ref().map(exposed),
        ssl_mode: main.ssl_mode.unwrap_or_default(),
        ssl_root_cert: main.ssl_root_cert.clone(),
        connect_timeout: CONNECT_TIMEOUT,
    }))
}

const DEFAULT_PORT: u16 = 5432;

fn default_host() -> String {
    "localhost".to_owned()
}

fn read_ledger(fields: &mut Fields<'_>, main: Server) -> Option<LedgerTarget> {
    let own = Server {
        host: fields.text("BackupHost"),
        port: fields.parsed("BackupPort", value::port),
        username: fields.text("BackupUsername"),
        password: fields.secret("BackupPassword"),
        ssl_mode: fields.parsed("BackupSslMode", ssl_mode),
        ssl_root_cert: fields.path("BackupSslRootCert"),
    };
    let Some(database) = fields.text("BackupDatabase") else {
        if own.host.is_some() {
            // The embedded ledger in its place would hide from every other host what this one did.
            fields.problem("BackupHost", "it needs BackupDatabase, the name of the ledger's database there");
            return None;
        }
        return Some(LedgerTarget::Sqlite(PathBuf::from(DEFAULT_LEDGER)));
    };
    if database.to_ascii_lowercase().starts_with("sqlite:") {
        let written = fields.parsed("BackupDatabase", |text| behind_prefix(text, "sqlite:", LEDGERS))?;
        return Some(LedgerTarget::Sqlite(fields.resolve(&written)));
    }
    let database = fields.parsed("BackupDatabase", |text| {
        let refused = || BadValue { value: text.to_owned(), accepted: LEDGERS.to_owned() };
        if text.contains(['/', ':']) { Err(refused()) } else { Ok(text.to_owned()) }
    })?;
    // The password goes with the user: another user's is not tried.
    let inherited = if own.username.is_none() { main.password } else { None };
    let Some(username) = own.username.or(main.username) else {
        // Where the catalogue needs it too, it has been reported.
        if fields.text("Catalogue").is_some() {
            fields.missing("BackupUsername", "");
        }
        return None;
    };
    Some(LedgerTarget::Postgres(PostgresTarget {
        host: own.host.or(main.host).unwrap_or_else(default_host),
        port: own.port.or(main.port).unwrap_or(DEFAULT_PORT),
        database,
        username,
        password: own.password.or(inherited).as_ref().map(exposed),
        ssl_mode: own.ssl_mode.or(main.ssl_mode).unwrap_or_default(),
        ssl_root_cert: own.ssl_root_cert.or(main.ssl_root_cert),
        connect_timeout: CONNECT_TIMEOUT,
    }))
}

/// The target hides it too.
fn exposed(secret: &Secret) -> String {
    secret.expose().to_owned()
}

const LEDGERS: &str = "the name of a PostgreSQL database, or sqlite:PATH";

fn behind_prefix(text: &str, prefix: &str, accepted: &str) -> Result<String, BadValue> {
    let start = text.get(..prefix.len()).filter(|it| it.eq_ignore_ascii_case(prefix));
    let rest = start.and_then(|_| text.get(prefix.len()..)).map_or("", str::trim);
    if rest.is_empty() {
        return Err(BadValue { value: text.to_owned(), accepted: accepted.to_owned() });
    }
    Ok(rest.to_owned())
}
