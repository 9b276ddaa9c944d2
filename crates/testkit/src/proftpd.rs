//! ProFTPD of its own for tests: an SFTP server in C that shares no line with OpenSSH.
//!
//! As root it runs as a user without a name; chrooted, without a shell, and what it may not do is chosen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::sftp_server::{Server, caller};
use crate::spawn::{is_root, mortal, program};
use crate::sshd::keys;

/// Its user and group, as root starts it.
const UID: u32 = 60_992;

/// Starts one with one account, chrooted; `lines` end its configuration.
///
/// # Panics
/// When ProFTPD is not installed, or does not start.
#[must_use]
pub fn start(lines: &str) -> Server {
    let (uid, gid) = if is_root() { (UID, UID) } else { caller() };
    Server::start("proftpd", (uid, gid), Signal::TERM, |dir, port| {
        let users = dir.join("passwd");
        fs::write(&users, format!("keeper:*:{uid}:{gid}::{}:/bin/false\n", dir.join("root").display()))
            .expect("write a file");
        fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("chmod a file");
        fs::write(dir.join("authorized"), keys::rfc4716(&dir.join("keys/key.pub"))).expect("write a file");
        let config = dir.join("proftpd.conf");
        fs::write(&config, configuration(dir, port, lines)).expect("write the configuration");
        let mut command = mortal("KILL", None, program(&["/usr/sbin/proftpd"], "proftpd-core proftpd-mod-crypto"));
        command.args(["--nodaemon", "--quiet", "--config"]).arg(&config);
        command
    })
}

fn configuration(dir: &Path, port: u16, lines: &str) -> String {
    let at = dir.display();
    format!(
        "LoadModule mod_sftp.c\nServerName test\nServerType standalone\nDefaultAddress 127.0.0.1\nSocketBindTight on\n\
         Port {port}\nUseIPv6 off\nUseReverseDNS off\nRequireValidShell off\nMaxInstances 100\nPidFile {at}/pid\n\
         ScoreboardFile {at}/scoreboard\nWtmpLog off\nTransferLog none\nDelayEngine off\nAuthOrder mod_auth_file.c\n\
         AuthUserFile {at}/passwd\nDefaultRoot ~\nSFTPEngine on\nSFTPHostKey {at}/keys/host_ed25519\n\
         SFTPHostKey {at}/keys/host_rsa\nSFTPAuthorizedUserKeys file:{at}/authorized\nSFTPLog {at}/sftp.log\n\
         AllowOverwrite on\nUmask 027\n{lines}\n"
    )
}
