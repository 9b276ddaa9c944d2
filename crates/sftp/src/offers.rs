//! Which algorithms of SSH are offered: a choice of our own, or what the administrator says, in OpenSSH's words.

use std::borrow::Cow;

use dvb_storage::{Cause, SinkError};
use russh::keys::{Algorithm as KeyType, HashAlg};
use russh::{AlgorithmKind, Preferred, cipher, kex, mac};

use crate::config::SftpConfig;
use crate::hostkey::KnownKeys;

/// AES in Galois/counter mode is the fastest by far where the processor computes it, and slower than the other without.
const CIPHERS: [&str; 6] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
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
/// Not a method, but what is understood beside: EXT_INFO (RFC 8308), and strict exchange against Terrapin.
const BESIDE: [kex::Name; 4] = [
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
/// For ciphers that do not authenticate by themselves. SHA-1 is not among them.
const MACS: [&str; 4] =
    ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];
/// What a certificate's algorithm is called beyond that of its key.
const CERTIFICATE: &str = "-cert-v01@openssh.com";
/// SHA-1 signatures of RSA keys.
const SHA1_SIGNATURES: KeyType = KeyType::Rsa { hash: None };

/// What is offered to a server, in order of preference.
#[derive(Debug, Clone)]
pub(crate) struct Offers {
    ciphers: Vec<cipher::Name>,
    exchanges: Vec<kex::Name>,
    macs: Vec<mac::Name>,
    /// Host keys, and those that come in a certificate; `None` for what is known of the host.
    keys: Option<(Vec<KeyType>, Vec<KeyType>)>,
}

impl Offers {
    /// Understands what the administrator chose.
    ///
    /// # Errors
    /// [`SinkError`] that names the key and the word that nobody knows.
    pub(crate) fn of(config: &SftpConfig) -> Result<Self, SinkError> {
        let ciphers = chosen("SshCiphers", config.ciphers.as_deref(), &CIPHERS, cipher_named)?;
        let mut exchanges = chosen("SshKexAlgorithms", config.exchanges.as_deref(), &EXCHANGES, exchange_named)?;
        exchanges.extend(BESIDE);
        let macs = chosen("SshMacs", config.macs.as_deref(), &MACS, mac_named)?;
        let keys = match config.host_key_types.as_deref() {
            None => None,
            Some(words) => {
                let defaults: Vec<String> = KnownKeys::all_types().map(|it| it.to_string()).collect();
                let defaults: Vec<&str> = defaults.iter().map(String::as_str).collect();
                let all = chosen("SshHostKeyAlgorithms", Some(words), &defaults, key_named)?;
                let (certified, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.1);
                let types = |it: Vec<(KeyType, bool)>| it.into_iter().map(|it| it.0).collect();
                Some((types(plain), types(certified)))
            }
        };
        Ok(Self { ciphers, exchanges, macs, keys })
    }

    /// For a host of which this is known.
    pub(crate) fn preferred(&self, known: &KnownKeys) -> Preferred {
        let (plain, certified) = match &self.keys {
            Some(it) => it.clone(),
            None if known.has_authority() => (known.preference(), KnownKeys::all_types().collect()),
            None => (known.preference(), Vec::new()),
        };
        Preferred {
            kex: Cow::Owned(self.exchanges.clone()),
            key: Cow::Owned(plain),
            host_key_certificates: Cow::Owned(certified),
            cipher: Cow::Owned(self.ciphers.clone()),
            mac: Cow::Owned(self.macs.clone()),
            ..Preferred::default()
        }
    }

    /// Whether the administrator has agreed to signatures by SHA-1.
    pub(crate) fn allow_sha1(&self) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|(plain, certified)| plain.iter().chain(certified).any(|it| *it == SHA1_SIGNATURES))
    }
}

/// What to do where both sides have nothing in common.
pub(crate) fn remedy(kind: &AlgorithmKind, theirs: &[String]) -> String {
    let (what, key) = match kind {
        AlgorithmKind::Kex => ("no key exchange", "SshKexAlgorithms"),
        AlgorithmKind::Key => ("no type of host key", "SshHostKeyAlgorithms"),
        AlgorithmKind::Cipher => ("no cipher", "SshCiphers"),
        AlgorithmKind::Mac => ("no MAC", "SshMacs"),
        AlgorithmKind::Compression => ("no compression", ""),
    };
    let offers: Vec<&str> = theirs.iter().map(String::as_str).filter(|it| !is_beside(it)).collect();
    let offers = offers.join(",");
    if key.is_empty() {
        return format!("{what} is shared: the server offers {offers}");
    }
    format!(
        "{what} is shared: the server offers {offers}. Bring the server up to date, or, if it must be, allow one of them in \
         the configuration: {key}: +NAME"
    )
}

/// Whether it is no method, but something said beside.
fn is_beside(name: &str) -> bool {
    kex::Name::try_from(name).is_ok_and(|it| BESIDE.contains(&it))
}

/// A list by comma: of its own, or with `+` added to the usual ones, with `^` put before them, with `-` taken from them.
fn chosen<T>(
    key: &str,
    words: Option<&str>,
    usual: &[&str],
    named: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, SinkError> {
    let words = words.unwrap_or_default().trim();
    let (sign, list) = match words.chars().next() {
        Some(sign @ ('+' | '-' | '^')) => (Some(sign), &words[1..]),
        Some(_) | None => (None, words),
    };
    let mut list: Vec<&str> = list.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let wrong = |text: String| SinkError::new(Cause::Misconfigured, format!("{key}: {text}"));
    if let Some(unknown) = list.iter().find(|it| named(it).is_none()) {
        let text = format!("{unknown:?} is not known here; the usual ones are {}", usual.join(","));
        return Err(wrong(text));
    }
    let others = |list: &[&str]| usual.iter().copied().filter(|it| !list.contains(it)).collect::<Vec<_>>();
    let all = match sign {
        Some('+') => usual.iter().copied().chain(list.drain(..).filter(|it| !usual.contains(it))).collect(),
        Some('-') => others(&list),
        Some(_) => list.iter().copied().chain(others(&list)).collect(),
        None if words.is_empty() => usual.to_vec(),
        None => list,
    };
    let all: Vec<T> = all.into_iter().filter_map(named).collect();
    if all.is_empty() { Err(wrong("nothing is left to offer".to_owned())) } else { Ok(all) }
}

/// A cipher that hides something: the library knows one that does not.
fn cipher_named(name: &str) -> Option<cipher::Name> {
    cipher::Name::try_from(name).ok().filter(|it| *it != cipher::CLEAR && *it != cipher::NONE)
}

fn exchange_named(name: &str) -> Option<kex::Name> {
    kex::Name::try_from(name).ok().filter(|it| *it != kex::NONE && !BESIDE.contains(it))
}

fn mac_named(name: &str) -> Option<mac::Name> {
    mac::Name::try_from(name).ok().filter(|it| *it != mac::NONE)
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
        let all = chosen("SshMacs", Some(words), &MACS, |it| mac_named(it).map(|_| it.to_owned()));
        all.map(|it| it.join(" ")).map_err(|it| it.attempt)
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
            assert!(macs(wrong).unwrap_err().contains("SshMacs"), "{wrong}");
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
