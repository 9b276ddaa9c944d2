//! Is this the host that was agreed on? OpenSSH's `known_hosts` (sshd(8)), read as ssh(1) reads it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use dvb_fixity::{Algorithm, Measured};
use dvb_storage::{Cause, SinkError};
use hmac::{Hmac, KeyInit as _, Mac as _};
#[cfg(feature = "libssh2")]
use russh::keys::ssh_key::Error;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm as KeyType, Certificate, EcdsaCurve, HashAlg, PublicKey};
use sha1::Sha1;

#[cfg(feature = "libssh2")]
use crate::offers::CERTIFICATE;
use crate::offers::is_sha1;

/// Key types, each with the signature algorithms that prove it, in OpenSSH's order of preference.
const TYPES: [(&str, &[KeyType]); 5] = [
    ("ssh-ed25519", &[KeyType::Ed25519]),
    ("ecdsa-sha2-nistp256", &[KeyType::Ecdsa { curve: EcdsaCurve::NistP256 }]),
    ("ecdsa-sha2-nistp384", &[KeyType::Ecdsa { curve: EcdsaCurve::NistP384 }]),
    ("ecdsa-sha2-nistp521", &[KeyType::Ecdsa { curve: EcdsaCurve::NistP521 }]),
    ("ssh-rsa", &[KeyType::Rsa { hash: Some(HashAlg::Sha512) }, KeyType::Rsa { hash: Some(HashAlg::Sha256) }]),
];

/// What the files say of one host.
pub(crate) struct KnownKeys {
    /// Its bare name, in lower case, as certificates have it.
    name: String,
    host: String,
    files: Vec<PathBuf>,
    known: Vec<KnownKey>,
}

struct KnownKey {
    file: PathBuf,
    line: usize,
    mark: Mark,
    kind: String,
    /// In base64, as it stands in the file.
    key: String,
}

/// What a line says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// It is the host's.
    Host,
    /// It signs for hosts.
    Authority,
    /// It is not to be trusted any more.
    Revoked,
}

impl KnownKeys {
    /// Reads every line that names the host, by `[host]:port` where the port is not 22. A file that is missing knows
    /// nobody.
    ///
    /// # Errors
    /// [`SinkError`] with [`Cause::Untrusted`], when a file cannot be read.
    pub(crate) fn read(host: &str, port: u16, files: &[PathBuf]) -> Result<Self, SinkError> {
        let name = host.to_lowercase();
        let host = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        let mut known = Vec::new();
        for file in files {
            let bytes = match std::fs::read(file) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    let attempt = format!("cannot read the known hosts in {}", file.display());
                    return Err(SinkError::because(Cause::Untrusted, attempt, error));
                }
                Ok(bytes) => bytes,
            };
            let text = String::from_utf8_lossy(&bytes);
            for (n, line) in text.lines().enumerate() {
                if let Some((mark, kind, key)) = entry_for(&host, &name, line) {
                    known.push(KnownKey { file: file.clone(), line: n + 1, mark, kind, key });
                }
            }
        }
        Ok(Self { name, host, files: files.to_vec(), known })
    }

    /// Signature algorithms that are offered unless somebody says otherwise, in order.
    pub(crate) fn all_types() -> impl Iterator<Item = KeyType> {
        TYPES.iter().flat_map(|(_, algorithms)| algorithms.iter().cloned())
    }

    /// Whether a certificate may speak for the host.
    pub(crate) fn has_authority(&self) -> bool {
        self.known.iter().any(|it| it.mark == Mark::Authority)
    }

    /// Signature algorithms for the key exchange: those first whose keys are known, as ssh(1) does, so that a server
    /// with several keys shows the one that can be checked.
    pub(crate) fn preference(&self) -> Vec<KeyType> {
        let is_known = |kind: &str| self.known.iter().any(|it| it.mark == Mark::Host && it.kind == kind);
        let (first, rest): (Vec<_>, Vec<_>) = TYPES.iter().partition(|(kind, _)| is_known(kind));
        first.iter().chain(&rest).flat_map(|(_, algorithms)| algorithms.iter().cloned()).collect()
    }

    /// Whether the key that the server showed and proved is a known one.
    ///
    /// # Errors
    /// [`SinkError`] with [`Cause::Untrusted`], saying what to do.
    pub(crate) fn check(&self, shown: &[u8]) -> Result<(), SinkError> {
        let (kind, encoded) = (kind_of(shown), STANDARD.encode(shown));
        let untrusted = |text: String| Err(SinkError::new(Cause::Untrusted, text));
        self.refuse_revoked(shown, "host key")?;
        if self.known.iter().any(|it| it.mark == Mark::Host && it.key == encoded) {
            return Ok(());
        }
        if let Some(it) = self.known.iter().find(|it| it.mark == Mark::Host && it.kind == kind) {
            let old = STANDARD.decode(&it.key).map_or_else(|_| "unreadable".to_owned(), |it| fingerprint(&it));
            return untrusted(format!(
                "THE HOST KEY OF {} HAS CHANGED: it was {old} ({}, line {}), now it is {} ({kind}). Somebody may be \
                 attacking the connection, or the server was set up anew. Ask its administrator for the fingerprint; \
                 only if it is the new one, replace that line by: {} {kind} {encoded}",
                self.host,
                it.file.display(),
                it.line,
                fingerprint(shown),
                self.host,
            ));
        }
        let file = self.files.first().map_or_else(|| "the known hosts file".into(), |it| it.display().to_string());
        untrusted(format!(
            "the host key of {} is unknown: {} ({kind}). Compare the fingerprint with what the server's administrator \
             says; if it is the same, add this line to {file}: {} {kind} {encoded}",
            self.host,
            fingerprint(shown),
            self.host,
        ))
    }
}

impl KnownKeys {
    /// Whether what a server showed and proved, a key or a certificate, is to be trusted, where a library tells only its
    /// bytes.
    ///
    /// # Errors
    /// As [`KnownKeys::check`] and [`KnownKeys::check_certificate`].
    #[cfg(feature = "libssh2")]
    pub(crate) fn check_shown(&self, shown: &[u8]) -> Result<(), SinkError> {
        if !kind_of(shown).ends_with(CERTIFICATE) {
            return self.check(shown);
        }
        let broken = |error: Error| {
            let attempt = format!("cannot read the certificate that {} showed", self.host);
            SinkError::because(Cause::Untrusted, attempt, error)
        };
        let certificate = Certificate::from_bytes(shown).map_err(broken)?;
        let key = PublicKey::new(certificate.public_key().clone(), "").to_bytes().map_err(broken)?;
        self.check_certificate(&certificate, &key)
    }

    fn refuse_revoked(&self, shown: &[u8], what: &str) -> Result<(), SinkError> {
        let encoded = STANDARD.encode(shown);
        let Some(it) = self.known.iter().find(|it| it.mark == Mark::Revoked && it.key == encoded) else {
            return Ok(());
        };
        let attempt = format!(
            "the {what} of {} ({}) is marked as revoked in {}, line {}; do not use this server",
            self.host,
            fingerprint(shown),
            it.file.display(),
            it.line
        );
        Err(SinkError::new(Cause::Untrusted, attempt))
    }

    /// Whether a certificate that the server showed, and whose key it proved, was made for this host by an authority that
    /// is trusted here. One of another authority is taken for the bare key in it, as ssh(1) does.
    ///
    /// # Errors
    /// [`SinkError`] with [`Cause::Untrusted`], saying what is wrong with it.
    pub(crate) fn check_certificate(&self, shown: &Certificate, key: &[u8]) -> Result<(), SinkError> {
        let authority = PublicKey::new(shown.signature_key().clone(), "").to_bytes().unwrap_or_default();
        let encoded = STANDARD.encode(&authority);
        let Some(line) = self.known.iter().find(|it| it.mark == Mark::Authority && it.key == encoded) else {
            return self.check(key);
        };
        self.refuse_revoked(key, "host key")?;
        self.refuse_revoked(&authority, "certificate authority")?;
        let wrong = self.wrong_with(shown).map_or(Ok(()), Err);
        wrong.map_err(|why| {
            let attempt = format!(
                "the certificate {:?} of {} is not accepted: {why}. It was signed by the authority in {}, line {}; ask the \
                 server's administrator for a new one",
                shown.key_id(),
                self.host,
                line.file.display(),
                line.line
            );
            SinkError::new(Cause::Untrusted, attempt)
        })
    }

    /// What is wrong with a certificate of an authority that is trusted.
    fn wrong_with(&self, shown: &Certificate) -> Option<String> {
        let authority = PublicKey::new(shown.signature_key().clone(), "").fingerprint(HashAlg::Sha256);
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.as_secs());
        if shown.cert_type() != CertType::Host {
            return Some("it is for a user, not for a host".into());
        }
        if now < shown.valid_after() {
            return Some("it is not valid yet; is the clock here right?".into());
        }
        if now >= shown.valid_before() {
            return Some("it has expired".into());
        }
        let principals = shown.valid_principals();
        if !principals.is_empty() && !principals.iter().any(|it| it.to_lowercase() == self.name) {
            return Some(format!("it is for {}, not for {}", principals.join(", "), self.name));
        }
        // What is critical must be understood, and for hosts nothing is defined.
        if let Some((name, _)) = shown.critical_options().iter().next() {
            return Some(format!("it has the critical option {name:?}, which this program does not know"));
        }
        if is_sha1(&shown.signature().algorithm()) {
            return Some("it is signed by SHA-1".into());
        }
        // The signature comes last, so that the other texts say what is wrong with a good one.
        shown.validate_at(now, [&authority]).err().map(|it| format!("its signature is wrong ({it})"))
    }
}

/// As ssh-keygen prints it: `SHA256:` and base64 without padding.
fn fingerprint(key: &[u8]) -> String {
    let measured = Measured::of(key, &[]);
    let digest = measured.digest(Algorithm::Sha256).map(|it| STANDARD_NO_PAD.encode(it.as_bytes()));
    format!("SHA256:{}", digest.unwrap_or_default())
}

/// A public key begins with the name of its type (RFC 4253, section 6.6).
pub(crate) fn kind_of(key: &[u8]) -> String {
    let len = key.get(..4).map_or(0, |it| it.iter().fold(0_usize, |sum, b| sum << 8 | usize::from(*b)));
    key.get(4..4 + len.min(64)).map_or_else(String::new, |it| String::from_utf8_lossy(it).into_owned())
}

/// Marker, type and key of a line that names the host. An authority is for a host whatever its port is.
fn entry_for(host: &str, name: &str, line: &str) -> Option<(Mark, String, String)> {
    let mut words = line.split_whitespace();
    let mut first = words.next().filter(|it| !it.starts_with('#'))?;
    let mark = match first {
        "@revoked" => Mark::Revoked,
        "@cert-authority" => Mark::Authority,
        _ if first.starts_with('@') => return None,
        _ => Mark::Host,
    };
    if mark != Mark::Host {
        first = words.next()?;
    }
    let (kind, key) = (words.next()?, words.next()?);
    let is_named = |host: &str| if first.starts_with('|') { is_hashed(host, first) } else { is_listed(host, first) };
    // Who revokes a key or trusts an authority hardly thinks of ports.
    let named = is_named(host) || (mark != Mark::Host && is_named(name));
    named.then(|| (mark, kind.to_owned(), key.to_owned()))
}

/// Whether a hashed name is this host's: `|1|`, a salt, `|`, and the HMAC-SHA-1 of the name by that salt (sshd(8)).
fn is_hashed(host: &str, hashed: &str) -> bool {
    let Some((salt, hash)) = hashed.strip_prefix("|1|").and_then(|it| it.split_once('|')) else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
    let Ok(mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.chain_update(host.to_lowercase()).verify_slice(&hash).is_ok()
}

/// Whether a list of patterns names the host: `*`, `?`, and `!` for exceptions (ssh_config(5), PATTERNS).
fn is_listed(host: &str, patterns: &str) -> bool {
    let host = host.to_lowercase();
    let mut named = false;
    for pattern in patterns.split(',') {
        let (excepts, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |it| (true, it));
        if matches(pattern.to_lowercase().as_bytes(), host.as_bytes()) {
            if excepts {
                return false;
            }
            named = true;
        }
    }
    named
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => matches(rest, text) || (!text.is_empty() && matches(pattern, &text[1..])),
        (Some((b'?', rest)), Some((_, after))) => matches(rest, after),
        (Some((a, rest)), Some((b, after))) => a == b && matches(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_are_openssh_s() {
        assert!(is_listed("a.example.org", "b,*.example.org"));
        assert!(!is_listed("a.example.org", "*.example.org,!a.*"));
        assert!(is_listed("[h]:22022", "[h]:22022"));
        assert!(!is_listed("[h]:22022", "h"));
        assert!(is_listed("Host", "hos?"));
    }

    #[test]
    fn hashed_names_are_found() {
        // Made by: ssh-keygen -H, from the name "[127.0.0.1]:2222".
        let salted = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=";
        // From sshd(8)'s own example, the host name is 192.168.1.61.
        assert!(is_hashed("192.168.1.61", salted));
        assert!(!is_hashed("192.168.1.62", salted));
    }

    #[test]
    fn known_types_come_first() {
        let known = |kind: &str| KnownKeys {
            name: "h".into(),
            host: "h".into(),
            files: vec![],
            known: vec![KnownKey {
                file: "f".into(),
                line: 1,
                mark: Mark::Host,
                kind: kind.into(),
                key: String::new(),
            }],
        };
        let names = |kind| known(kind).preference().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert!(names("ssh-rsa").starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"));
        assert!(names("other").starts_with("ssh-ed25519,"));
    }
}
