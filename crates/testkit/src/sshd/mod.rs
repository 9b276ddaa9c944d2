//! An OpenSSH server of its own for tests, with the kinds of account that backup servers offer.
//!
//! As root, where mount namespaces may be made, the server has a user of its own, chroots and a disk that fills up, all
//! within a namespace: nothing on the machine changes. Otherwise (an ordinary user, a container without the right to
//! mount) everybody logs in as the calling user, without chroot, and there is no full disk.

mod jail;
pub(crate) mod keys;
mod setup;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::spawn::{Daemon, Port, clean, mortal, program, run, started};
use crate::{procfs, temp};

use jail::Jail;
pub use keys::PASSPHRASE;

/// What a login may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything: a shell, commands, SFTP.
    Shell,
    /// SFTP in a chroot and nothing else: a command prints a refusal and ends with 1.
    SftpOnly,
    /// The separate program `sftp-server` as a forced command: *any* command ends with 0 and prints nothing.
    External,
    /// SFTP that refuses to write.
    ReadOnly,
    /// SFTP without a single extension: no `fsync`, no `posix-rename`, no `statvfs`.
    Bare,
    /// Like [`Kind::SftpOnly`], on a file system of [`Options::small_disk`].
    FullDisk,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Shell, Self::SftpOnly, Self::External, Self::ReadOnly, Self::Bare, Self::FullDisk];

    fn folder(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::SftpOnly => "sftp-only",
            Self::External => "external",
            Self::ReadOnly => "read-only",
            Self::Bare => "bare",
            Self::FullDisk => "full-disk",
        }
    }
}

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of the file system of [`Kind::FullDisk`], as `mount -t tmpfs -o size=` takes it.
    pub small_disk: String,
    /// Lines for the head of `sshd_config`.
    pub lines: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { small_disk: "1M".into(), lines: String::new() }
    }
}

/// How a client gets in, and where its files are.
#[derive(Debug, Clone)]
pub struct Account {
    /// The address where it listens: 127.0.0.1.
    pub host: String,
    /// A port for each kind of account.
    pub port: u16,
    /// The account that logs in.
    pub user: String,
    /// A folder for the client to use, as the client sees it over SFTP.
    pub root: String,
    /// The same folder, as this process sees it.
    pub local: PathBuf,
    /// The private key, without a passphrase.
    pub key: PathBuf,
    /// A `known_hosts` file with the server's keys.
    pub known_hosts: PathBuf,
    /// User and group id that its files belong to.
    pub owner: (u32, u32),
}

impl Account {
    /// The same account with a new empty folder of its own.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn fresh(&self, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let local = self.local.join(&name);
        fs::create_dir(&local).unwrap_or_else(|error| panic!("make {}: {error}", local.display()));
        self.hand_over(&local);
        Self { root: format!("{}/{name}", self.root), local, ..self.clone() }
    }

    /// Makes the account the owner of something that the test put there.
    ///
    /// # Panics
    /// When that is not possible.
    pub fn hand_over(&self, path: &Path) {
        let (uid, gid) = self.owner;
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)).expect("chown to the account's user");
    }
}

/// An sshd that ends when this is dropped.
pub struct Server {
    daemon: Option<Daemon>, // before `dir`: the server ends before its folder goes
    agent: OnceLock<Daemon>,
    dir: TempDir,
    ports: Vec<(Kind, Port)>,
    jail: Option<Jail>,
    options: Options,
    user: String,
}

impl Server {
    /// Starts one with a small disk of 1 MiB.
    ///
    /// # Panics
    /// When OpenSSH is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// When OpenSSH is not installed, or does not start.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        started(|| Self::try_start(options.clone()))
    }

    fn try_start(options: Options) -> Result<Self, String> {
        let dir = temp::folder("sshd");
        keys::lay_out(&dir.path().join("keys"));
        let jail = Jail::possible();
        let user = jail.map_or_else(|| run("id", &["-un"], "coreutils").trim().to_owned(), |it| it.user().to_owned());
        let kinds = Kind::ALL.into_iter().filter(|it| jail.is_some() || *it != Kind::FullDisk);
        let ports = kinds.map(|kind| (kind, Port::free())).collect();
        let mut server = Self { daemon: None, agent: OnceLock::new(), dir, ports, jail, options, user };
        server.make_folders();
        server.write_known_hosts();
        server.launch()?;
        Ok(server)
    }

    fn launch(&mut self) -> Result<(), String> {
        let config = self.dir.path().join("sshd_config");
        fs::write(&config, self.sshd_config()).expect("write sshd_config");
        let sshd = program(&["/usr/sbin/sshd", "/usr/local/sbin/sshd"], "openssh-server");
        let command = match &self.jail {
            Some(jail) => jail.command(self.dir.path(), &sshd, &config, &self.options.small_disk),
            None => {
                let mut command = mortal("KILL", None, sshd);
                command.args(["-D", "-e", "-f"]).arg(&config);
                command
            }
        };
        // The signal of the one that unshares is SIGKILL: its child, the namespace's first process, gets it too.
        let mut daemon = Daemon::start("sshd", command, &self.dir.path().join("sshd.log"), Signal::KILL);
        daemon.wait(|| self.ports.iter().all(|(_, port)| port.answers()).then_some(()))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// How to get into an account of this kind.
    ///
    /// # Panics
    /// For [`Kind::FullDisk`] where that needs rights that we lack; see [`Server::has_full_disk`].
    #[must_use]
    pub fn account(&self, kind: Kind) -> Account {
        let port = self.ports.iter().find(|(it, _)| *it == kind).map(|(_, port)| port.number);
        let (root, local) = self.folder(kind);
        Account {
            host: "127.0.0.1".into(),
            port: port.expect("a full disk needs root and the right to mount"),
            user: self.user.clone(),
            root,
            local,
            key: self.key("key"),
            known_hosts: self.known_hosts(),
            owner: self.owner(),
        }
    }

    /// A login with everything.
    #[must_use]
    pub fn shell(&self) -> Account {
        self.account(Kind::Shell)
    }

    /// A login with SFTP only.
    #[must_use]
    pub fn sftp_only(&self) -> Account {
        self.account(Kind::SftpOnly)
    }

    /// Whether there is an account of [`Kind::FullDisk`]: true for root, outside of containers without the right to mount.
    #[must_use]
    pub fn has_full_disk(&self) -> bool {
        self.jail.is_some()
    }

    /// A private key that opens every account and is encrypted with [`PASSPHRASE`].
    #[must_use]
    pub fn key_with_passphrase(&self) -> PathBuf {
        self.key("key_pw")
    }

    /// A private key that opens nothing.
    #[must_use]
    pub fn stranger_key(&self) -> PathBuf {
        self.key("stranger")
    }

    /// The socket of an ssh-agent that holds the key of [`Server::key_with_passphrase`]; started when first asked for.
    ///
    /// # Panics
    /// When the agent does not start.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        let socket = self.dir.path().join("agent.sock");
        self.agent.get_or_init(|| {
            // Debian's ssh-agent is set-group-ID, and the kernel frees such a one from dying with its parent (prctl(2),
            // PR_SET_PDEATHSIG), unless it gains nothing by it.
            let mut command = mortal("KILL", None, program(&["/usr/bin/setpriv", "/bin/setpriv"], "util-linux"));
            command.arg("--no-new-privs").arg("--").arg(program(&["/usr/bin/ssh-agent"], "openssh-client"));
            command.arg("-D").arg("-a").arg(&socket);
            let mut agent = Daemon::start("ssh-agent", command, &self.dir.path().join("agent.log"), Signal::TERM);
            // The socket's file is there from bind() on, but nothing is accepted before listen().
            agent.wait(|| UnixStream::connect(&socket).ok().map(drop)).unwrap_or_else(|error| panic!("{error}"));
            let added = clean("ssh-add").arg("-q").arg(self.key("key_pw_open")).env("SSH_AUTH_SOCK", &socket).output();
            let added = added.expect("start ssh-add: apt-get install openssh-client");
            assert!(added.status.success(), "ssh-add: {}", String::from_utf8_lossy(&added.stderr));
            agent
        });
        socket
    }

    /// A `known_hosts` file with the server's keys for all its ports.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// One that knows other keys for the same ports: the server is not who it was.
    #[must_use]
    pub fn known_hosts_of_another(&self) -> PathBuf {
        self.dir.path().join("known_hosts_of_another")
    }

    /// One without a line.
    #[must_use]
    pub fn known_hosts_empty(&self) -> PathBuf {
        self.dir.path().join("known_hosts_empty")
    }

    /// Cuts every connection under way; new ones are accepted.
    ///
    /// # Panics
    /// When `/proc` cannot be read.
    pub fn kill_sessions(&self) {
        if let Some(sshd) = self.listener() {
            procfs::descendants(sshd).into_iter().for_each(procfs::kill);
        }
    }

    /// Ends the server with all its sessions; its ports refuse connections.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Starts it again with the same keys and files; a full disk is empty again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.stop();
        self.launch().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts it again with other host keys. The `known_hosts` files stay as they are, so [`Server::known_hosts`]
    /// is wrong from now on, and [`Server::known_hosts_of_another`] right.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_with_other_host_keys(&mut self) {
        let keys = self.dir.path().join("keys");
        for name in ["host_ed25519", "host_rsa"] {
            fs::copy(keys.join(format!("other_{name}")), keys.join(name)).expect("change a host key");
        }
        self.start_again();
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::log).unwrap_or_default()
    }

    /// What the separate program of [`Kind::External`] did for its clients, a line each, in order.
    #[must_use]
    pub fn external_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.external_log_file()).unwrap_or_default()).into_owned()
    }

    /// The process that listens: our child, or that one's child at the head of the namespace.
    fn listener(&self) -> Option<u32> {
        let daemon = self.daemon.as_ref()?;
        match self.jail {
            Some(_) => procfs::descendants(daemon.pid()).first().copied(),
            None => Some(daemon.pid()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
