//! What an sshd finds in its folder: configuration, `known_hosts`, the accounts' folders.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use rustix::process::{getegid, geteuid};

use super::{Jail, Kind, Server};
use crate::spawn::{is_root, program};

const EXTENSIONS: &str = "posix-rename,statvfs,fstatvfs,hardlink,fsync,lsetstat,limits,expand-path,copy-data,\
                          home-directory,users-groups-by-id";

impl Server {
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join("keys").join(name)
    }

    pub(super) fn external_log_file(&self) -> PathBuf {
        self.dir.path().join("home/external.log")
    }

    /// Who the files of an account belong to.
    pub(super) fn owner(&self) -> (u32, u32) {
        self.jail.map_or_else(|| (geteuid().as_raw(), getegid().as_raw()), |_| (Jail::UID, Jail::UID))
    }

    pub(super) fn make_folders(&self) {
        let (uid, gid) = self.owner();
        let kinds = self.ports.iter().map(|(kind, _)| kind.folder()).filter(|it| *it != Kind::FullDisk.folder());
        for name in kinds.map(|it| format!("chroot/{it}")).chain(["home".to_owned()]) {
            let folder = self.dir.path().join(name);
            fs::create_dir_all(&folder).expect("make an account's folder");
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).expect("chown to the account's user");
        }
    }

    /// An account's folder as its client and as this process sees it.
    pub(super) fn folder(&self, kind: Kind) -> (String, PathBuf) {
        let local = self.dir.path().join("chroot").join(kind.folder());
        match (kind, self.jail) {
            (Kind::FullDisk, _) => {
                let sshd = self.listener().unwrap_or_default();
                ("/up".into(), PathBuf::from(format!("/proc/{sshd}/root{}/up", Jail::SMALL_DISK)))
            }
            (Kind::SftpOnly, Some(_)) => (format!("/{}", kind.folder()), local),
            _ => (local.display().to_string(), local),
        }
    }

    pub(super) fn write_known_hosts(&self) {
        let lines = |prefix: &str| {
            let mut text = String::new();
            for name in ["host_ed25519", "host_rsa"] {
                let public = fs::read_to_string(self.key(&format!("{prefix}{name}.pub"))).expect("read a public key");
                let key: Vec<&str> = public.split_whitespace().take(2).collect();
                for (_, port) in &self.ports {
                    writeln!(text, "[127.0.0.1]:{} {}", port.number, key.join(" ")).expect("write to a string");
                }
            }
            text
        };
        fs::write(self.known_hosts(), lines("")).expect("write known_hosts");
        fs::write(self.known_hosts_of_another(), lines("other_")).expect("write known_hosts");
        fs::write(self.known_hosts_empty(), "").expect("write known_hosts");
    }

    pub(super) fn sshd_config(&self) -> String {
        let mut text = String::new();
        for (_, port) in &self.ports {
            writeln!(text, "ListenAddress 127.0.0.1:{}", port.number).expect("write to a string");
        }
        for name in ["host_ed25519", "host_rsa"] {
            writeln!(text, "HostKey {}", self.key(name).display()).expect("write to a string");
        }
        writeln!(text, "AuthorizedKeysFile {}", self.key("authorized_keys").display()).expect("write to a string");
        // Logins are many and at once, from below a temporary folder that anybody may write to.
        text += "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 MaxStartups 1000\nMaxSessions 100\nMaxAuthTries 20\nUseDNS no\nSubsystem sftp internal-sftp\n";
        if self.jail.is_none() && is_root() {
            text += "PermitRootLogin prohibit-password\n";
        }
        if openssh() >= (9, 8) {
            text += "PerSourcePenalties no\n";
        }
        text += &self.options.lines;
        for (kind, port) in &self.ports {
            text += &self.rules(*kind, port.number);
        }
        text
    }

    fn rules(&self, kind: Kind, port: u16) -> String {
        let chroot = |to: &str| if self.jail.is_some() { format!("  ChrootDirectory {to}\n") } else { String::new() };
        let (root, _) = match kind {
            Kind::FullDisk => ("/up".to_owned(), PathBuf::new()), // not there yet
            _ => self.folder(kind),
        };
        let (chroot, forced) = match kind {
            Kind::Shell => return String::new(),
            Kind::SftpOnly => (chroot(Jail::CHROOT), format!("internal-sftp -d {root}")),
            Kind::FullDisk => (chroot(Jail::SMALL_DISK), format!("internal-sftp -d {root}")),
            Kind::ReadOnly => (String::new(), format!("internal-sftp -R -d {root}")),
            Kind::Bare => (String::new(), format!("internal-sftp -d {root} -P {EXTENSIONS}")),
            Kind::External => {
                let server = program(
                    &["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"],
                    "openssh-sftp-server",
                );
                let log = self.external_log_file();
                (String::new(), format!("{} -e -l VERBOSE -d {root} 2>>{}", server.display(), log.display()))
            }
        };
        format!("Match LocalPort {port}\n{chroot}  ForceCommand {forced}\n")
    }
}

/// Major and minor version, by the client, which comes from the same source.
fn openssh() -> (u32, u32) {
    let output = crate::spawn::clean("ssh").arg("-V").output().expect("start ssh: apt-get install openssh-client");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.strip_prefix("OpenSSH_").unwrap_or_default();
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|it| it.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
