//! An SFTP server of its own for tests that is not OpenSSH: asyncssh, with quirks to choose from.
//!
//! It comes with `pip install asyncssh`, in the environment that `$WEED` lies in, or one that `$PATH` leads to.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::spawn::{Daemon, Port, clean, mortal};
use crate::sshd::{Account, keys};
use crate::temp;

const PROGRAM: &str = include_str!("server.py");

/// A running server: chrooted, SFTP version 3, no shell, all requests worked on side by side.
pub struct Server {
    dir: TempDir,
    port: Port,
    _daemon: Daemon,
}

impl Server {
    /// Starts one with these quirks, which `server.py` explains: `handles=1`, `no-remove`, `idle-rename`, ….
    ///
    /// # Panics
    /// When asyncssh is not installed, or does not start.
    #[must_use]
    pub fn start(quirks: &[&str]) -> Self {
        let mut failure = String::new();
        for _ in 0..3 {
            match Self::try_start(quirks) {
                Ok(server) => return server,
                Err(error) => failure = error,
            }
        }
        panic!("{failure}");
    }

    fn try_start(quirks: &[&str]) -> Result<Self, String> {
        let dir = temp::folder("asyncssh");
        let (root, own) = (dir.path().join("root"), dir.path().join("keys"));
        fs::create_dir(&root).expect("make a folder");
        keys::lay_out(&own);
        fs::write(dir.path().join("server.py"), PROGRAM).expect("write the server's program");
        let port = Port::free();
        fs::write(dir.path().join("known_hosts"), keys::known(&own, &[port.number])).expect("write known_hosts");
        let mut command = mortal("KILL", None, python());
        command.arg("-B").arg(dir.path().join("server.py")).arg(port.number.to_string());
        command.arg(&root).arg(&own).args(quirks);
        let mut daemon = Daemon::start("asyncssh", command, &dir.path().join("log"), Signal::KILL);
        daemon.wait(|| port.answers().then_some(()))?;
        Ok(Self { dir, port, _daemon: daemon })
    }

    /// The one account.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            host: "127.0.0.1".into(),
            port: self.port.number,
            user: "keeper".into(),
            root: String::new(),
            local: self.dir.path().join("root"),
            key: self.dir.path().join("keys/key"),
            known_hosts: self.dir.path().join("known_hosts"),
            owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        }
    }
}

/// A Python that knows asyncssh.
fn python() -> PathBuf {
    let beside_weed = std::env::var_os("WEED").map(PathBuf::from).and_then(|it| Some(it.parent()?.join("python3")));
    let tools = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools/bin/python3"));
    let knows = |it: &PathBuf| clean(it).args(["-c", "import asyncssh"]).output().is_ok_and(|it| it.status.success());
    let mut all = beside_weed.into_iter().chain([tools, "/usr/bin/python3".into()]);
    all.find(knows).unwrap_or_else(|| panic!("asyncssh is not installed: ./.ci/packages test"))
}
