//! Where a database is, and as whom to enter it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use postgres::Config;

use crate::SslMode;

/// What the server shows for our sessions in `pg_stat_activity`.
const APPLICATION_NAME: &str = "dataverse-backup";

/// A host that is gone is noticed within a minute, instead of after TCP's hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// A database and a login. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresTarget {
    /// A name, an address, or the folder of a Unix socket (it begins with `/`), where `ssl_mode` means nothing.
    pub host: String,
    /// Usually 5432; it is in the name of a Unix socket too.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// The role that logs in.
    pub username: String,
    /// Its password; `None` where the server does not ask.
    pub password: Option<String>,
    /// Whether the connection is encrypted and the server checked.
    pub ssl_mode: SslMode,
    /// PEM file with the certificates of the CAs that are trusted, and no others; see [`SslMode`].
    pub ssl_root_cert: Option<PathBuf>,
    /// How long each address of the host may take to answer; login included, a connection takes at most twice that.
    pub connect_timeout: Duration,
}

impl PostgresTarget {
    /// Host, port and database, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { host, port, database, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}/{database}") } else { format!("{host}:{port}/{database}") }
    }

    /// The folder of a Unix socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = self.config_without_host();
        config.host(&self.host);
        config
    }

    pub(crate) fn config_without_host(&self) -> Config {
        let mut config = Config::new();
        config.port(self.port).dbname(&self.database).user(&self.username);
        if let Some(password) = &self.password {
            config.password(password);
        }
        config.application_name(APPLICATION_NAME);
        config.connect_timeout(self.connect_timeout).tcp_user_timeout(UNACKNOWLEDGED);
        config.keepalives(true).keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(KEEPALIVE_INTERVAL).keepalives_retries(KEEPALIVE_RETRIES);
        config
    }
}

impl fmt::Debug for PostgresTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTarget")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("ssl_mode", &self.ssl_mode)
            .field("ssl_root_cert", &self.ssl_root_cert)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}
