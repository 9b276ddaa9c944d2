//! An SFTP server that is not OpenSSH, for tests: what they share is one account, its folder, its keys and its port.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::spawn::{Daemon, Port, started};
use crate::sshd::{Account, keys};
use crate::temp;

/// A running server; [`asyncssh`](crate::asyncssh) and [`proftpd`](crate::proftpd) start one.
pub struct Server {
    dir: TempDir,
    port: Port,
    owner: (u32, u32),
    _daemon: Daemon,
}

impl Server {
    /// Starts one whose files belong to `owner`. `command` is given its folder, in which `keys`, `root` and `known_hosts`
    /// are, and its port.
    pub(crate) fn start(
        name: &'static str,
        owner: (u32, u32),
        goodbye: Signal,
        command: impl Fn(&Path, u16) -> Command,
    ) -> Self {
        started(|| {
            let dir = temp::folder(name);
            let (root, own) = (dir.path().join("root"), dir.path().join("keys"));
            fs::create_dir(&root).expect("make a folder");
            chown(&root, Some(owner.0), Some(owner.1)).expect("chown to the account's user");
            keys::lay_out(&own);
            let port = Port::free();
            fs::write(dir.path().join("known_hosts"), keys::known(&own, &[port.number])).expect("write known_hosts");
            let command = command(dir.path(), port.number);
            let mut daemon = Daemon::start(name, command, &dir.path().join("log"), goodbye);
            daemon.wait(|| port.answers().then_some(()))?;
            Ok(Self { dir, port, owner, _daemon: daemon })
        })
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
            owner: self.owner,
        }
    }
}

/// The user and group of this process.
pub(crate) fn caller() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}
