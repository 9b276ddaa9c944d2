//! Where the server is and how to log in: everything is told by the caller.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use dvb_storage::{Cause, Demand, SinkError};
use openssl::pkey::PKey;
use russh::keys::{self, PrivateKey};

use crate::offers::Offers;
use crate::openssh_key;

/// A library that speaks SSH. What is above it, SFTP, login and host keys, is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SshLibrary {
    /// russh, in Rust: the default, memory-safe where it faces the network.
    #[default]
    Russh,
    /// libssh2, in C, as a second opinion; only with this crate's feature `libssh2`.
    Libssh2,
}

impl fmt::Display for SshLibrary {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Russh => "russh",
            Self::Libssh2 => "libssh2",
        })
    }
}

/// What is said where libssh2 is chosen and not there.
#[cfg(not(feature = "libssh2"))]
pub(crate) fn not_built_in() -> SinkError {
    SinkError::new(
        Cause::Misconfigured,
        format!(
            "{0}: libssh2 is not built into this program; build it with the feature libssh2 (cargo build --release, \
             without --no-default-features), or set {0}: russh",
            dvb_storage::Setting::SshLibrary
        ),
    )
}

/// A destination on an SSH server. Nothing is looked up in the environment or in a home folder.
#[derive(Debug, Clone)]
pub struct SftpConfig {
    /// Which library speaks SSH.
    pub library: SshLibrary,
    /// Name or address of the server.
    pub host: String,
    /// 22 as a rule.
    pub port: u16,
    /// The account that logs in.
    pub username: String,
    /// Folder of the copies (`BackupDirectory`), absolute or relative to where the login starts. Made if only it is missing.
    pub root: String,
    /// Private keys, tried first, in order.
    pub keys: Vec<KeyFile>,
    /// The socket of an ssh-agent, whose keys are tried next.
    pub agent: Option<PathBuf>,
    /// Files of trusted host keys in OpenSSH's format (sshd(8)); one that is missing counts as empty.
    pub known_hosts: Vec<PathBuf>,
    /// Ciphers in order of preference, as `Ciphers` of ssh_config(5) has them; `None` for what is fastest.
    pub ciphers: Option<String>,
    /// Key exchanges, as `KexAlgorithms` there; `None` for what is safe.
    pub exchanges: Option<String>,
    /// Message authentication codes, as `MACs` there; `None` for what is safe.
    pub macs: Option<String>,
    /// Types and signatures of the host key, as `HostKeyAlgorithms` there; `None` for what is known of the host.
    pub host_key_types: Option<String>,
    /// Files that the server lets be open at once; `None` where it is to be found out.
    pub open_files: Option<usize>,
    /// Which evidence is demanded.
    pub demand: Demand,
    /// Limit for each step of connecting: TCP, key exchange, login, start of SFTP.
    pub connect_timeout: Duration,
    /// How long a server may be silent, with answers due, until it counts as lost.
    pub idle_timeout: Duration,
}

impl SftpConfig {
    /// Whether the library is built in and knows the algorithms. No server is asked.
    ///
    /// # Errors
    /// [`SinkError`] that names what is not.
    pub fn check(&self) -> Result<(), SinkError> {
        Offers::of(self).map(drop)
    }

    /// Host and port, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// User, host and folder, for messages.
    pub(crate) fn describe(&self) -> String {
        let port = if self.port == 22 { String::new() } else { format!(":{}", self.port) };
        format!("{}@{}{port}:{}", self.username, self.host, self.root)
    }
}

/// A private key on disk.
#[derive(Clone)]
pub struct KeyFile {
    /// Path of the file that it is about.
    pub path: PathBuf,
    /// What it is encrypted with.
    pub passphrase: Option<String>,
}

impl KeyFile {
    /// Whether there is a key that this passphrase opens. No server is asked.
    ///
    /// # Errors
    /// [`SinkError`] with what is wrong with the file.
    pub fn check(&self) -> Result<(), SinkError> {
        let path = self.path.display();
        if let Err(error) = File::open(&self.path) {
            let cause = match error.kind() {
                ErrorKind::NotFound => Cause::Missing,
                ErrorKind::PermissionDenied => Cause::Forbidden,
                _ => Cause::Io,
            };
            return Err(SinkError::because(cause, format!("the private key {path} cannot be read"), error));
        }
        if let Some(mode) = self.open_to_others() {
            let attempt = format!(
                "the private key {path} is not encrypted, and open to group or others (mode {mode:04o}): chmod 600 {path}"
            );
            return Err(SinkError::new(Cause::Untrusted, attempt));
        }
        self.load().map(drop).map_err(|error| {
            let hint = if self.passphrase.is_some() { "the passphrase is wrong" } else { "it needs a passphrase" };
            let text = format!("the private key {path} cannot be opened: {hint}, or it is not a private key");
            SinkError::because(Cause::Forbidden, text, error)
        })
    }

    /// The permission bits of a key that needs no passphrase, where others than its owner can do something with it.
    pub(crate) fn open_to_others(&self) -> Option<u32> {
        let mode = fs::metadata(&self.path).ok()?.permissions().mode() & 0o7777;
        let open = Self { path: self.path.clone(), passphrase: None };
        (mode & 0o077 != 0 && open.load().is_ok()).then_some(mode)
    }

    /// The key.
    ///
    /// # Errors
    /// Whatever is wrong with the file or the passphrase.
    pub(crate) fn load(&self) -> Result<PrivateKey, Box<dyn Error + Send + Sync>> {
        let mut text = fs::read_to_string(&self.path)?;
        if let Some(passphrase) = self.passphrase.as_ref().filter(|_| text.contains(PEM_ENCRYPTED)) {
            let key = PKey::private_key_from_pem_passphrase(text.as_bytes(), passphrase.as_bytes())?;
            text = String::from_utf8(key.private_key_to_pem_pkcs8()?)?;
        }
        // A passphrase that a key does not need is no fault.
        let key = keys::decode_secret_key(&text, self.passphrase.as_deref())
            .or_else(|error| keys::decode_secret_key(&text, None).map_err(|_| error))
            .or_else(|error| match openssh_key::to_pkcs8(&text, self.passphrase.as_deref()) {
                Some(text) => keys::decode_secret_key(&text, None),
                None => Err(error),
            })?;
        if key.is_encrypted() { Err(keys::Error::KeyIsEncrypted.into()) } else { Ok(key) }
    }
}

/// PEM's own encryption (RFC 1421), of which russh knows one cipher, and that for RSA only: OpenSSL knows them all.
const PEM_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";

impl fmt::Debug for KeyFile {
    /// Never shows the passphrase.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.path.display())
    }
}

#[cfg(all(test, not(feature = "libssh2")))]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_built_in_is_refused_with_how_to_have_it() {
        let error = not_built_in();
        assert_eq!(error.cause, Cause::Misconfigured);
        assert!(error.attempt.contains("--no-default-features"), "{error}");
        let refused = crate::transport::abilities(SshLibrary::Libssh2).map(drop);
        assert_eq!(refused.err().map(|error| error.attempt), Some(not_built_in().attempt));
    }
}
