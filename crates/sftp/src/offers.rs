//! Which algorithms of SSH are offered: a choice of our own, or what the administrator says, in OpenSSH's words.

use dvb_storage::{Cause, Setting, SinkError};
use russh::keys::{Algorithm as KeyType, HashAlg};

use crate::config::{SftpConfig, SshLibrary};
use crate::hostkey::KnownKeys;
use crate::transport::{Abilities, Knows, abilities};

/// As OpenSSH's client offers by default (ssh_config(5)): the library's own lists leave out what some servers, such as
/// those held to FIPS 140, have only.
const EXCHANGES: [&str; 10] = [
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
];
/// For ciphers that do not authenticate by themselves. SHA-1 is not among them.
const MACS: [&str; 4] =
    ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];
/// What a certificate's algorithm is called beyond that of its key.
pub(crate) const CERTIFICATE: &str = "-cert-v01@openssh.com";
/// SHA-1 signatures of RSA keys.
const SHA1_SIGNATURES: KeyType = KeyType::Rsa { hash: None };

/// What is offered to a server, in order of preference, by the names that OpenSSH has for it.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    pub(crate) ciphers: Vec<String>,
    pub(crate) exchanges: Vec<String>,
    pub(crate) macs: Vec<String>,
    /// Host keys, and those that come in a certificate; `None` for what is known of the host.
    keys: Option<(Vec<KeyType>, Vec<KeyType>)>,
}

impl Offers {
    /// Understands what the administrator chose.
    ///
    /// # Errors
    /// [`SinkError`] that names the key and the word that the library does not know.
    pub(crate) fn of(config: &SftpConfig) -> Result<Self, SinkError> {
        let Abilities { ciphers, knows_cipher, knows_exchange, knows_mac, knows_host_key } = abilities(config.library)?;
        let library = config.library;
        let ciphers = chosen(library, &Setting::Ciphers, config.ciphers.as_deref(), ciphers, &knows_cipher)?;
        let exchanges =
            chosen(library, &Setting::KexAlgorithms, config.exchanges.as_deref(), &EXCHANGES, &knows_exchange)?;
        let macs = chosen(library, &Setting::Macs, config.macs.as_deref(), &MACS, &knows_mac)?;
        let keys = match config.host_key_types.as_deref() {
            None => None,
            Some(words) => {
                let defaults: Vec<String> = KnownKeys::all_types().map(|it| it.to_string()).collect();
                let defaults: Vec<&str> = defaults.iter().map(String::as_str).collect();
                let knows: Knows = Box::new(move |name| key_named(name).is_some() && knows_host_key(name));
                let all = chosen(library, &Setting::HostKeyAlgorithms, Some(words), &defaults, &knows)?;
                let all = all.iter().filter_map(|name| key_named(name));
                let (certified, plain): (Vec<_>, Vec<_>) = all.partition(|it| it.1);
                let types = |it: Vec<(KeyType, bool)>| it.into_iter().map(|it| it.0).collect();
                Some((types(plain), types(certified)))
            }
        };
        Ok(Self { ciphers, exchanges, macs, keys })
    }

    /// The types of host keys for a host of which this is known, and of those that come in a certificate.
    pub(crate) fn host_keys(&self, known: &KnownKeys) -> (Vec<KeyType>, Vec<KeyType>) {
        match &self.keys {
            Some(it) => it.clone(),
            None if known.has_authority() => (known.preference(), KnownKeys::all_types().collect()),
            None => (known.preference(), Vec::new()),
        }
    }

    /// Whether the administrator has agreed to signatures by SHA-1.
    pub(crate) fn allow_sha1(&self) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|(plain, certified)| plain.iter().chain(certified).any(|it| *it == SHA1_SIGNATURES))
    }
}

/// What to do where both sides have no `what` in common, which is chosen by `key`.
pub(crate) fn remedy(what: &str, key: Option<&Setting>, theirs: &[String]) -> String {
    // Not methods, but what is understood beside: EXT_INFO (RFC 8308), and strict exchange against Terrapin.
    let is_beside = |name: &&str| name.starts_with("ext-info-") || name.starts_with("kex-strict-");
    let theirs: Vec<&str> = theirs.iter().map(String::as_str).filter(|name| !is_beside(name)).collect();
    let theirs = theirs.join(",");
    let Some(key) = key else { return format!("no {what} is shared: the server offers {theirs}") };
    format!(
        "no {what} is shared: the server offers {theirs}. Bring the server up to date, or, if it must be, allow one of them \
         in the configuration: {key}: +NAME"
    )
}

/// A list by comma: of its own, or with `+` added to the usual ones, with `^` put before them, with `-` taken from them.
fn chosen(
    library: SshLibrary,
    key: &Setting,
    words: Option<&str>,
    usual: &[&str],
    knows: &Knows,
) -> Result<Vec<String>, SinkError> {
    let usual: Vec<&str> = usual.iter().copied().filter(|name| knows(name)).collect();
    let words = words.unwrap_or_default().trim();
    let (sign, list) = match words.chars().next() {
        Some(sign @ ('+' | '-' | '^')) => (Some(sign), &words[1..]),
        Some(_) | None => (None, words),
    };
    let mut list: Vec<&str> = list.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let wrong = |text: String| SinkError::new(Cause::Misconfigured, format!("{key}: {text}"));
    if let Some(unknown) = list.iter().find(|name| !knows(name)) {
        let text = format!(
            "{unknown:?} is not known to {library} ({}); the usual ones are {}",
            Setting::SshLibrary,
            usual.join(",")
        );
        return Err(wrong(text));
    }
    let others = |list: &[&str]| usual.iter().copied().filter(|it| !list.contains(it)).collect::<Vec<_>>();
    let all: Vec<&str> = match sign {
        Some('+') => usual.iter().copied().chain(list.drain(..).filter(|it| !usual.contains(it))).collect(),
        Some('-') => others(&list),
        Some(_) => list.iter().copied().chain(others(&list)).collect(),
        None if words.is_empty() => usual.clone(),
        None => list,
    };
    if all.is_empty() {
        Err(wrong("nothing is left to offer".to_owned()))
    } else {
        Ok(all.into_iter().map(Into::into).collect())
    }
}

/// A type of key, and whether it comes in a certificate.
fn key_named(name: &str) -> Option<(KeyType, bool)> {
    let (plain, certified) = name.strip_suffix(CERTIFICATE).map_or((name, false), |it| (it, true));
    let all = KnownKeys::all_types().chain([SHA1_SIGNATURES]);
    all.into_iter().find(|it| it.to_string() == plain).map(|it| (it, certified))
}

/// Whether a signature is by SHA-1.
pub(crate) fn is_sha1(algorithm: &KeyType) -> bool {
    matches!(algorithm, KeyType::Rsa { hash } if !matches!(hash, Some(HashAlg::Sha256 | HashAlg::Sha512)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn macs(words: &str) -> Result<String, String> {
        let knows = abilities(SshLibrary::Russh).unwrap().knows_mac;
        chosen(SshLibrary::Russh, &Setting::Macs, Some(words), &MACS, &knows)
            .map(|it| it.join(" "))
            .map_err(|it| it.attempt)
    }

    #[test]
    fn lists_are_those_of_openssh() {
        let usual = "hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com hmac-sha2-256 hmac-sha2-512";
        assert_eq!(macs("").unwrap(), usual);
        assert_eq!(macs("hmac-sha1, hmac-sha2-256").unwrap(), "hmac-sha1 hmac-sha2-256");
        assert_eq!(macs("+hmac-sha1").unwrap(), format!("{usual} hmac-sha1"));
        assert!(macs("^hmac-sha2-512").unwrap().starts_with("hmac-sha2-512 hmac-sha2-256-etm"));
        assert!(!macs("-hmac-sha2-512").unwrap().ends_with("hmac-sha2-512"));
        for wrong in ["none", "hmac-md9", "hmac-sha2-256,rot13"] {
            assert!(macs(wrong).unwrap_err().contains("MACs"), "{wrong}");
        }
    }

    #[test]
    fn sha_1_is_offered_by_nobody_who_was_not_told() {
        assert!(MACS.iter().chain(&EXCHANGES).all(|it| !it.contains("sha1")));
        assert!(KnownKeys::all_types().all(|it| !is_sha1(&it)));
        assert_eq!(key_named("ssh-rsa"), Some((SHA1_SIGNATURES, false)));
        assert_eq!(key_named("ssh-ed25519-cert-v01@openssh.com"), Some((KeyType::Ed25519, true)));
    }
}
