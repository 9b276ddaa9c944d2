//! OpenStack Keystone (Identity version 3) of its own for tests, on SQLite, with what a Swift needs in its catalogue.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::spawn::{Daemon, Port, mortal, program};
use crate::temp;

const PACKAGES: &str = "python3-keystone python3-keystonemiddleware";

/// A running Keystone. User [`Server::user`] of project [`Server::project`], both in the domain `Default`, may use
/// the Swift that is started with it. That is the public object store of [`Server::region`]; the catalogue also has a
/// region `AAA`, and other interfaces, at whose addresses nothing listens.
pub struct Server {
    /// Without a version: `http://127.0.0.1:PORT`.
    pub url: String,
    /// The region of the Swift.
    pub region: String,
    /// Who may use it.
    pub user: String,
    /// The password of the account.
    pub password: String,
    /// Name of the project that the account belongs to.
    pub project: String,
    /// Id of the project that the account belongs to.
    pub project_id: String,
    /// Id and secret of an application credential of the user.
    pub application_credential: (String, String),
    keys: (String, String),
    port: Port,
    /// The port that the catalogue names for Swift.
    pub(crate) swift: Port,
    _daemon: Daemon, // before `dir`: the server ends before its folder goes
    _dir: TempDir,
}

impl Server {
    /// Starts one whose tokens live for an hour.
    ///
    /// # Panics
    /// When Keystone is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(3600)
    }

    /// Starts one whose tokens live for so many seconds.
    ///
    /// # Panics
    /// When Keystone is not installed, or does not start.
    #[must_use]
    pub fn start_with(token_life: u32) -> Self {
        assert!(
            PathBuf::from("/usr/lib/python3/dist-packages/keystone/server").exists(),
            "Keystone is not installed: apt-get install {PACKAGES}"
        );
        let dir = temp::folder("keystone");
        let port = Port::free();
        let swift = Port::free();
        let url = format!("http://127.0.0.1:{}", port.number);
        fs::write(dir.path().join("keystone.conf"), settings(dir.path(), &url, token_life)).expect("write settings");
        fs::write(dir.path().join("launcher.py"), include_str!("launcher.py")).expect("write the launcher");
        let mut command = mortal("KILL", None, program(&["/usr/bin/python3"], PACKAGES));
        command.args(["-W", "ignore"]).arg(dir.path().join("launcher.py")).arg(dir.path());
        command.arg(port.number.to_string()).arg(swift.number.to_string()).current_dir(dir.path());
        let mut daemon = Daemon::start("keystone", command, &dir.path().join("server.log"), Signal::KILL);
        let made = daemon.wait(|| fs::read(dir.path().join("made.json")).ok());
        let made: Value = serde_json::from_slice(&made.unwrap_or_else(|error| panic!("{error}"))).expect("JSON");
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        Self {
            url,
            region: "RegionOne".into(),
            user: "demo".into(),
            password: "secret".into(),
            project: "demo".into(),
            project_id: text("project_id"),
            application_credential: (text("application_credential_id"), text("application_credential_secret")),
            keys: (text("access"), text("secret")),
            port,
            swift,
            _daemon: daemon,
            _dir: dir,
        }
    }

    /// Access and secret key of the user, for Swift's S3 interface.
    #[must_use]
    pub fn s3_keys(&self) -> (String, String) {
        self.keys.clone()
    }

    /// A token of the user for the project.
    ///
    /// # Panics
    /// When Keystone gives none.
    #[must_use]
    pub fn token(&self) -> String {
        let domain = json!({"id": "default"});
        let user = json!({"name": self.user, "domain": domain, "password": self.password});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": self.project, "domain": domain}},
        }});
        let headers = [("Content-Type", "application/json")];
        let answer = http::request(self.port.number, "POST", "/v3/auth/tokens", &headers, body.to_string().as_bytes());
        answer.header("x-subject-token").unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
    }
}

fn settings(dir: &Path, url: &str, token_life: u32) -> String {
    let dir = dir.display();
    format!(
        "[DEFAULT]
public_endpoint = {url}/
log_file = {dir}/keystone.log
[database]
connection = sqlite:///{dir}/keystone.db
sqlite_synchronous = false
[cache]
enabled = true
backend = dogpile.cache.memory_pickle
[token]
expiration = {token_life}
[fernet_tokens]
key_repository = {dir}/fernet
[fernet_receipts]
key_repository = {dir}/fernet
[credential]
key_repository = {dir}/credential
[identity]
password_hash_rounds = 4
"
    )
}
