//! OpenStack Swift of its own for tests: the real proxy, account, container and object servers in one process, the real
//! memcached, TempAuth or Keystone; also an S3 server.

mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer, quote};
use crate::spawn::{Daemon, Port, User, answers, is_root, mortal, program};
use crate::tls::Certificate;
use crate::{keystone, temp};

const PACKAGES: &str = "swift-proxy swift-account swift-container swift-object memcached";

/// What can be chosen.
pub struct Options {
    /// Seconds that a token of TempAuth lives.
    pub token_life: u32,
    /// Bytes of one object at most, as `/info` says.
    pub max_file_size: u64,
    /// Segments of a static large object at most, as `/info` says.
    pub max_segments: u32,
    /// Rows of a page of a container's listing.
    pub listing_limit: u32,
    /// Bytes of a part of a multipart upload through S3 at least, the last one aside.
    pub s3_min_part: u64,
    /// Who says who is who; `None` for TempAuth.
    pub keystone: Option<keystone::Server>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token_life: 86_400,
            max_file_size: 5_368_709_122,
            max_segments: 1000,
            listing_limit: 10_000,
            s3_min_part: 5 << 20,
            keystone: None,
        }
    }
}

/// A Swift server that ends when this is dropped.
pub struct Server {
    /// Where it answers without TLS: also the endpoint of S3 (path style, any region).
    pub url: String,
    /// Where it answers with TLS.
    pub tls_url: String,
    /// The certificate of [`Server::tls_url`], which is its own CA.
    pub ca: PathBuf,
    /// Where TempAuth (version 1) gives tokens.
    pub auth_url: String,
    /// A user of TempAuth, and the S3 access key; with Keystone, only the latter.
    pub user: String,
    /// Its password, and the S3 secret key; with Keystone, only the latter.
    pub key: String,
    swift: Option<Daemon>, // before `dir`: the servers end before their folder goes
    memcached: Option<Daemon>,
    dir: TempDir,
    memcached_port: Port,
    port: u16,
    others: Vec<Port>,
    options: Options,
}

/// The one TempAuth server of this process, which ends with the process. Use a container of your own in it.
#[must_use]
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

/// A name for a container that no other test has.
#[must_use]
pub fn container(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Server {
    /// Starts one with TempAuth.
    ///
    /// # Panics
    /// When Swift or memcached is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// When Swift or memcached is not installed, or does not start.
    #[must_use]
    pub fn start_with(mut options: Options) -> Self {
        let mut failure = String::new();
        // A port that was free may be taken before the server gets it.
        for _ in 0..3 {
            match Self::try_start(options) {
                Ok(server) => return server,
                Err((error, given_back)) => (failure, options) = (error, *given_back),
            }
        }
        panic!("{failure}");
    }

    fn try_start(options: Options) -> Result<Self, (String, Box<Options>)> {
        let dir = temp::folder("swift");
        let certificate = Certificate::make(dir.path());
        let (port, memcached_port, tls) = (Port::free(), Port::free(), Port::free());
        let named = options.keystone.as_ref().map_or(port.number, |it| it.swift.number);
        let url = format!("http://127.0.0.1:{named}");
        let mut server = Self {
            tls_url: format!("https://127.0.0.1:{}", tls.number),
            ca: certificate.certificate,
            auth_url: format!("{url}/auth/v1.0"),
            url,
            user: "test:tester".into(),
            key: "testing".into(),
            swift: None,
            memcached: None,
            dir,
            memcached_port,
            port: named,
            others: vec![port],
            options,
        };
        if let Some(keystone) = &server.options.keystone {
            let keys = keystone.s3_keys();
            (server.user, server.key) = keys;
        }
        match server.launch(tls) {
            Ok(()) => Ok(server),
            Err(error) => {
                drop((server.swift.take(), server.memcached.take()));
                Err((error, Box::new(server.options)))
            }
        }
    }

    fn launch(&mut self, tls: Port) -> Result<(), String> {
        let dir = self.dir.path().to_owned();
        for folder in ["devices/d1", "cache"] {
            fs::create_dir_all(dir.join(folder)).expect("make a folder");
        }
        let [account, container, object] = [(); 3].map(|()| Port::free());
        let ports = settings::Ports {
            account: account.number,
            container: container.number,
            object: object.number,
            proxy: self.port,
            memcached: self.memcached_port.number,
        };
        let identity = self.options.keystone.as_ref().map(|it| it.url.clone());
        for (name, text) in settings::files(&dir, &ports, &self.options, identity.as_deref()) {
            fs::write(dir.join(name), text).expect("write a configuration file");
        }
        self.launch_memcached()?;
        fs::write(dir.join("launcher.py"), include_str!("launcher.py")).expect("write the launcher");
        assert!(
            PathBuf::from("/usr/lib/python3/dist-packages/swift/proxy").exists(),
            "Swift is not installed: apt-get install {PACKAGES}"
        );
        let mut command = mortal("KILL", None, program(&["/usr/bin/python3"], PACKAGES));
        command.args(["-W", "ignore"]).arg(dir.join("launcher.py")).arg(&dir);
        command.arg(self.port.to_string()).arg(tls.number.to_string()).current_dir(&dir);
        let mut daemon = Daemon::start("swift", command, &dir.join("swift.log"), Signal::KILL);
        daemon.wait(|| (answers(self.port) && tls.answers()).then_some(()))?;
        self.swift = Some(daemon);
        self.others.extend([account, container, object, tls]);
        Ok(())
    }

    /// TempAuth keeps its tokens there, `authtoken` what Keystone said of them.
    fn launch_memcached(&mut self) -> Result<(), String> {
        // It refuses to run as root. Its own `-u` would not do: who changes the user is forgotten as somebody's heir,
        // and would outlive us.
        let nobody = User::named("nobody").filter(|_| is_root());
        let mut command = mortal("KILL", nobody, program(&["/usr/bin/memcached"], PACKAGES));
        let port = self.memcached_port.number.to_string();
        command.args(["-l", "127.0.0.1", "-U", "0", "-m", "16", "-p", &port]);
        let mut daemon = Daemon::start("memcached", command, &self.dir.path().join("memcached.log"), Signal::KILL);
        daemon.wait(|| self.memcached_port.answers().then_some(()))?;
        self.memcached = Some(daemon);
        Ok(())
    }

    /// Makes every token that TempAuth gave worthless at once, as a restart of memcached does, but without the errors
    /// that Swift would count against the connections it had.
    ///
    /// # Panics
    /// When memcached does not answer.
    pub fn expire_tokens(&self) {
        let mut memcached = TcpStream::connect(("127.0.0.1", self.memcached_port.number)).expect("reach memcached");
        memcached.set_read_timeout(Some(Duration::from_secs(10))).expect("set a time limit");
        memcached.write_all(b"flush_all\r\n").expect("tell memcached");
        let mut answer = [0; 4];
        memcached.read_exact(&mut answer).expect("hear memcached");
        assert_eq!(&answer, b"OK\r\n");
    }

    /// Where it answers without TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every port of 127.0.0.1 that something listens at.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let others = self.others.iter().map(|it| it.number);
        let all: BTreeSet<u16> = others.chain([self.port, self.memcached_port.number]).collect();
        all.into_iter().filter(|it| answers(*it)).collect()
    }

    /// The Keystone that it was started with.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn keystone(&self) -> &keystone::Server {
        self.options.keystone.as_ref().expect("this Swift has TempAuth")
    }

    /// The storage address of [`Server::user`], without TLS, and a token for it.
    ///
    /// # Panics
    /// When the server gives none.
    #[must_use]
    pub fn login(&self) -> (String, String) {
        if let Some(keystone) = &self.options.keystone {
            return (format!("{}/v1/AUTH_{}", self.url, keystone.project_id), keystone.token());
        }
        let headers = [("X-Auth-User", self.user.as_str()), ("X-Auth-Key", &self.key)];
        let answer = http::request(self.port, "GET", "/auth/v1.0", &headers, b"");
        let header = |name| answer.header(name).expect("a login's headers").to_owned();
        (header("x-storage-url"), header("x-auth-token"))
    }

    /// Sends any request about a container or an object (`path` is `container/object`, not yet quoted, then perhaps `?…`).
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (storage, token) = self.login();
        let account = storage.strip_prefix(&self.url).expect("the server's own address");
        let mut all = vec![("X-Auth-Token", token.as_str())];
        all.extend(headers);
        http::request(self.port, method, &format!("{account}/{}{query}", quote(path)), &all, body)
    }

    /// The bytes of an object; `None` where there is none.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn get(&self, container: &str, object: &str) -> Option<Vec<u8>> {
        let answer = self.request("GET", &format!("{container}/{object}"), "", &[], b"");
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            other => panic!("GET {container}/{object}: {other}"),
        }
    }

    /// Makes a container.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn make_container(&self, container: &str) {
        let answer = self.request("PUT", container, "", &[], b"");
        assert!(answer.status < 300, "PUT {container}: {}", answer.status);
    }

    /// Stores an object in a container that is there.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put(&self, container: &str, object: &str, bytes: &[u8]) {
        let answer = self.request("PUT", &format!("{container}/{object}"), "", &[], bytes);
        assert_eq!(answer.status, 201, "PUT {container}/{object}");
    }

    /// Removes an object.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn delete(&self, container: &str, object: &str) {
        let answer = self.request("DELETE", &format!("{container}/{object}"), "", &[], b"");
        assert_eq!(answer.status, 204, "DELETE {container}/{object}");
    }

    /// The names in a container, in order; empty where there is none.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn list(&self, container: &str) -> Vec<String> {
        let answer = self.request("GET", container, "?format=json", &[], b"");
        if answer.status == 404 {
            return Vec::new();
        }
        let rows: Value = serde_json::from_slice(&answer.body).expect("a listing");
        let names = rows.as_array().expect("a list").iter().map(|it| it["name"].as_str().expect("a name"));
        names.map(str::to_owned).collect()
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.swift.as_ref().map(Daemon::log).unwrap_or_default()
    }
}
