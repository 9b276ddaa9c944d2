//! ProFTPD of its own for tests: an SFTP server in C that shares no line with OpenSSH.
//!
//! As root it runs as a user without a name; chrooted, without a shell, and what it may not do is chosen.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::spawn::{Daemon, Port, is_root, mortal, program};
use crate::sshd::{Account, keys};
use crate::temp;

/// Its user and group, as root starts it.
const UID: u32 = 60_992;

/// A running ProFTPD.
pub struct Server {
    dir: TempDir,
    port: Port,
    _daemon: Daemon,
}

impl Server {
    /// Starts one; `lines` end its configuration.
    ///
    /// # Panics
    /// When ProFTPD is not installed, or does not start.
    #[must_use]
    pub fn start(lines: &str) -> Self {
        let mut failure = String::new();
        for _ in 0..3 {
            match Self::try_start(lines) {
                Ok(server) => return server,
                Err(error) => failure = error,
            }
        }
        panic!("{failure}");
    }

    fn try_start(lines: &str) -> Result<Self, String> {
        let dir = temp::folder("proftpd");
        let (root, own) = (dir.path().join("root"), dir.path().join("keys"));
        fs::create_dir(&root).expect("make a folder");
        keys::lay_out(&own);
        let (uid, gid) = owner();
        chown(&root, Some(uid), Some(gid)).expect("chown to the account's user");
        let port = Port::free();
        fs::write(dir.path().join("known_hosts"), keys::known(&own, &[port.number])).expect("write known_hosts");
        let users = dir.path().join("passwd");
        fs::write(&users, format!("keeper:*:{uid}:{gid}::{}:/bin/false\n", root.display())).expect("write a file");
        fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("chmod a file");
        fs::write(dir.path().join("authorized"), keys::rfc4716(&own.join("key.pub"))).expect("write a file");
        let config = dir.path().join("proftpd.conf");
        fs::write(&config, configuration(&dir, port.number, lines)).expect("write the configuration");
        let mut command = mortal("KILL", None, program(&["/usr/sbin/proftpd"], "proftpd-core proftpd-mod-crypto"));
        command.args(["--nodaemon", "--quiet", "--config"]).arg(&config);
        let mut daemon = Daemon::start("proftpd", command, &dir.path().join("log"), Signal::TERM);
        daemon.wait(|| port.answers().then_some(()))?;
        Ok(Self { dir, port, _daemon: daemon })
    }

    /// The one account, chrooted.
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
            owner: owner(),
        }
    }
}

fn owner() -> (u32, u32) {
    if is_root() { (UID, UID) } else { (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()) }
}

fn configuration(dir: &TempDir, port: u16, lines: &str) -> String {
    let at = dir.path().display();
    format!(
        "LoadModule mod_sftp.c\nServerName test\nServerType standalone\nDefaultAddress 127.0.0.1\nSocketBindTight on\n\
         Port {port}\nUseIPv6 off\nUseReverseDNS off\nRequireValidShell off\nMaxInstances 100\nPidFile {at}/pid\n\
         ScoreboardFile {at}/scoreboard\nWtmpLog off\nTransferLog none\nDelayEngine off\nAuthOrder mod_auth_file.c\n\
         AuthUserFile {at}/passwd\nDefaultRoot ~\nSFTPEngine on\nSFTPHostKey {at}/keys/host_ed25519\n\
         SFTPHostKey {at}/keys/host_rsa\nSFTPAuthorizedUserKeys file:{at}/authorized\nSFTPLog {at}/sftp.log\n\
         AllowOverwrite on\nUmask 027\n{lines}\n"
    )
}
