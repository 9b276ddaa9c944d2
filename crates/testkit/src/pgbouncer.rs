//! pgbouncer, a pooler before a PostgreSQL server of the tests.

use std::fs;

use postgres::NoTls;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::postgres::{Database, Server, user};
use crate::spawn::{Daemon, Port, mortal, program, started};
use crate::temp;

/// When a client gives its server connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// When it disconnects.
    Session,
    /// At the end of each transaction.
    Transaction,
    /// After each statement; a transaction of several is refused.
    Statement,
}

/// A pgbouncer that lets in whoever the server lets in; dropping it ends it.
pub struct Pooler {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    _daemon: Daemon, // before `_dir`: it ends before its folder goes
    _dir: TempDir,
    _claim: Port,
}

impl Pooler {
    /// Starts one before `server`, with at most `connections` connections to it for each database.
    ///
    /// # Panics
    /// When pgbouncer is not installed, or does not start.
    #[must_use]
    pub fn start(server: &Server, mode: PoolMode, connections: u32) -> Self {
        Self::with_settings(server, mode, connections, "")
    }

    /// The same, with further lines of its section `[pgbouncer]`.
    ///
    /// # Panics
    /// As [`Pooler::start`].
    #[must_use]
    pub fn with_settings(server: &Server, mode: PoolMode, connections: u32, settings: &str) -> Self {
        started(|| Self::try_start(server, mode, connections, settings))
    }

    /// The same database, entered through the pooler.
    #[must_use]
    pub fn before(&self, database: &Database) -> Database {
        Database { port: self.port, ..database.clone() }
    }

    fn try_start(server: &Server, mode: PoolMode, connections: u32, settings: &str) -> Result<Self, String> {
        let pgbouncer = program(&["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"], "pgbouncer");
        let (dir, claim) = (temp::folder("pgbouncer"), Port::free());
        let users = dir.path().join("users.txt");
        let entry = |it: &str| format!("\"{it}\" \"{}\"\n", crate::postgres::PASSWORD);
        fs::write(&users, ["postgres", "scram"].map(entry).concat()).expect("write the users");
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        let settings = format!(
            "[databases]
* = host=127.0.0.1 port={}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {}
unix_socket_dir =
auth_type = trust
auth_file = {}
pool_mode = {mode}
default_pool_size = {connections}
{settings}
",
            server.port,
            claim.number,
            users.display(),
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("write the settings");
        // It refuses to run as root, as PostgreSQL does.
        let mut command = mortal("KILL", user(), pgbouncer);
        command.arg(&file).current_dir(dir.path());
        let mut daemon = Daemon::start("pgbouncer", command, &dir.path().join("pgbouncer.log"), Signal::TERM);
        let config = Database { port: claim.number, ..server.maintenance() }.config();
        daemon.wait(|| claim.answers().then(|| config.connect(NoTls).ok()).flatten())?;
        Ok(Self { port: claim.number, _daemon: daemon, _dir: dir, _claim: claim })
    }
}
