//! A PostgreSQL server of its own for tests.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use ::postgres::{Client, Config, NoTls};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::spawn::{Daemon, Port, User, clean, is_root, mortal, started};
use crate::tls::Certificate;
use crate::{cache, procfs, temp};

/// The password of every role; `postgres` is let in without asking.
pub const PASSWORD: &str = "secret";

/// A cluster in a temporary folder. Roles, all superusers: `postgres` (trusted), `scram` (asked for [`PASSWORD`]),
/// `tls` (asked too, and refused without TLS). TLS is offered to everybody.
pub struct Server {
    /// Always 127.0.0.1; `localhost` is in the certificate too.
    pub host: String,
    /// The port on 127.0.0.1 where it listens.
    pub port: u16,
    /// The certificate of the server, which is its own CA: a `SslRootCert`.
    pub ca: PathBuf,
    daemon: Option<Daemon>, // before `dir`: the server ends before its folder goes
    dir: TempDir,
    claim: Port,
}

/// A database in a [`Server`], and a role that may enter it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The address where it listens: 127.0.0.1.
    pub host: String,
    /// The port where the server listens.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// The role.
    pub user: String,
    /// The password of the role.
    pub password: String,
}

/// The one server of this process, which ends with the process. Make a database of your own in it.
#[must_use]
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

/// A [`Server`] that is stopped; it goes on when this is dropped.
pub struct Frozen(Vec<u32>);

impl Frozen {
    fn signal(&self, signal: Signal) {
        for pid in self.0.iter().filter_map(|it| Pid::from_raw(i32::try_from(*it).ok()?)) {
            // A session may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

impl Server {
    /// Starts one.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        started(Self::try_start)
    }

    fn try_start() -> Result<Self, String> {
        let dir = temp::folder("pg");
        let data = dir.path().join("data");
        cache::copy_of(&template_name(), &data, make_cluster);
        let certificate = Certificate::make(dir.path());
        own(&certificate.key);
        let claim = Port::free();
        configure(&data, &certificate, claim.number);
        let mut server = Self {
            host: "127.0.0.1".into(),
            port: claim.number,
            ca: certificate.certificate,
            daemon: None,
            dir,
            claim,
        };
        server.launch()?;
        Ok(server)
    }

    fn launch(&mut self) -> Result<(), String> {
        // SIGQUIT ends it at once, but not before it has given back its shared memory, which SIGKILL would leave.
        let mut command = mortal("QUIT", user(), binaries().join("postgres"));
        command.arg("-D").arg(self.dir.path().join("data")).current_dir(self.dir.path());
        let log = self.dir.path().join("server.log");
        let mut daemon = Daemon::start("postgres", command, &log, Signal::QUIT);
        let claim = &self.claim;
        let config = self.maintenance().config();
        daemon.wait(|| claim.answers().then(|| config.connect(NoTls).ok()).flatten())?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends the server as a crash would; [`Server::start_again`] brings it back with its databases.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Starts it again, at the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.stop();
        self.launch().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Cuts every connection; new ones are accepted.
    ///
    /// # Panics
    /// When the server is not running.
    pub fn cut_connections(&self) {
        self.maintenance().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        );
    }

    /// Stops the server and its sessions as a hung machine does: connections are accepted and bytes acknowledged by the
    /// system, and nobody answers. What is given back lets it go on when it is dropped.
    ///
    /// # Panics
    /// When the server is not running.
    #[must_use]
    pub fn freeze(&self) -> Frozen {
        let server = self.daemon.as_ref().expect("it runs").pid();
        let frozen = Frozen(std::iter::once(server).chain(procfs::descendants(server)).collect());
        frozen.signal(Signal::STOP);
        frozen
    }

    /// A new empty database, entered as `postgres`, with a name of its own that begins with `prefix`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create_database(&self, prefix: &str) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        let prefix: String = prefix.chars().map(plain).collect();
        let name = format!("{prefix}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.maintenance().execute(&format!("CREATE DATABASE {name}"));
        Database { name, ..self.maintenance() }
    }

    /// The same in an encoding of its own, for example `SQL_ASCII`.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn create_encoded(&self, prefix: &str, encoding: &str) -> Database {
        let database = self.create_database(prefix);
        let name = &database.name;
        self.maintenance().execute(&format!("DROP DATABASE {name}"));
        let options = format!("ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
        self.maintenance().execute(&format!("CREATE DATABASE {name} {options}"));
        database
    }

    /// The database `postgres`, for roles and the like.
    #[must_use]
    pub fn maintenance(&self) -> Database {
        Database {
            host: self.host.clone(),
            port: self.port,
            name: "postgres".into(),
            user: "postgres".into(),
            password: PASSWORD.into(),
        }
    }

    /// The same database, by the server's Unix socket.
    #[must_use]
    pub fn by_socket(&self, database: &Database) -> Database {
        Database { host: self.dir.path().join("data").display().to_string(), ..database.clone() }
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("server.log")).unwrap_or_default()).into_owned()
    }
}

impl Database {
    /// The same database, entered as somebody else with [`PASSWORD`].
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self { user: user.into(), ..self.clone() }
    }

    /// How the `postgres` crate is told to connect.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).dbname(&self.name).user(&self.user).password(&self.password);
        config
    }

    /// A connection without TLS.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn client(&self) -> Client {
        self.config().connect(NoTls).unwrap_or_else(|error| panic!("connect to database {}: {error:?}", self.name))
    }

    /// Runs statements, separated by semicolons, in one transaction.
    ///
    /// # Panics
    /// When one fails.
    pub fn execute(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap_or_else(|error| panic!("{error:?} in: {}", excerpt(sql)));
    }
}

fn excerpt(sql: &str) -> String {
    sql.chars().take(2000).collect()
}

/// The newest PostgreSQL of Debian's folders.
fn binaries() -> PathBuf {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok())
        .filter(|it| Path::new(&format!("/usr/lib/postgresql/{it}/bin/postgres")).exists())
        .max()
        .expect("PostgreSQL is not installed: apt-get install postgresql");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

/// PostgreSQL refuses to run as root.
pub(crate) fn user() -> Option<User> {
    is_root().then(|| User::named("postgres").expect("there is no user postgres: apt-get install postgresql"))
}

fn own(path: &Path) {
    if let Some(User { uid, gid }) = user() {
        chown(path, Some(uid), Some(gid)).expect("chown to postgres");
    }
}

fn template_name() -> String {
    let version = binaries().parent().and_then(Path::file_name).and_then(|it| it.to_str().map(str::to_owned));
    format!("postgresql-{}-1", version.unwrap_or_default())
}

fn make_cluster(data: &Path) {
    own(data);
    let mut initdb = mortal("KILL", user(), binaries().join("initdb"));
    initdb.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
    initdb.args(["--no-sync", "--wal-segsize=1"]).current_dir("/");
    must(initdb, "initdb");
    let roles = data.with_file_name("roles.sql");
    // In single-user mode a line is a statement.
    let sql = ["scram", "tls"].map(|it| format!("CREATE ROLE {it} LOGIN SUPERUSER PASSWORD '{PASSWORD}';\n")).concat();
    fs::write(&roles, sql + &format!("ALTER ROLE postgres PASSWORD '{PASSWORD}';\n")).expect("write a script");
    let mut single = mortal("KILL", user(), binaries().join("postgres"));
    single.arg("--single").arg("-F").arg("-D").arg(data).arg("postgres").current_dir("/");
    single.stdin(fs::File::open(&roles).expect("open a script"));
    must(single, "postgres --single");
    fs::remove_file(&roles).expect("remove a script");
}

fn must(mut command: Command, name: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn configure(data: &Path, certificate: &Certificate, port: u16) {
    let hba = "hostnossl all tls all reject
host all scram,tls 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
local all postgres trust
local all all scram-sha-256
";
    fs::write(data.join("pg_hba.conf"), hba).expect("write pg_hba.conf");
    let settings = format!(
        "listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{}'
ssl = on
ssl_cert_file = '{}'
ssl_key_file = '{}'
fsync = off
full_page_writes = off
autovacuum = off
shared_buffers = 32MB
max_connections = 100
",
        data.display(),
        certificate.certificate.display(),
        certificate.key.display(),
    );
    let path = data.join("postgresql.conf");
    let before = fs::read_to_string(&path).expect("read postgresql.conf");
    fs::write(&path, before + &settings).expect("write postgresql.conf");
}

/// `psql`, told to enter `database`; add statements with `-c`.
#[must_use]
pub fn psql(database: &Database) -> Command {
    let mut command = clean(binaries().join("psql"));
    command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).env("PGPASSWORD", &database.password);
    command.env("PGHOST", &database.host).env("PGPORT", database.port.to_string());
    command.env("PGUSER", &database.user).env("PGDATABASE", &database.name);
    command
}
