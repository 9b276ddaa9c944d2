//! The four algorithms that Dataverse knows, and digests made by them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A digest algorithm of Dataverse (`DataFile.ChecksumType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5, which Dataverse takes where nothing else is configured.
    Md5,
    /// SHA-1, the default of package files.
    Sha1,
    /// SHA-256, the one that this program always computes.
    Sha256,
    /// SHA-512, which an installation may choose (`:FileFixityChecksumAlgorithm`).
    Sha512,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name as Dataverse stores it in `datafile.checksumtype`: without a hyphen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// Length of a digest in bytes.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn of_digest_len(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.digest_len() == bytes)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Text that is no digest of any of the four algorithms.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a hexadecimal MD5, SHA-1, SHA-256 or SHA-512 digest")]
pub struct DigestError(pub String);

/// A digest. Its algorithm follows from its length, which differs between the four.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: Box<[u8]>,
}

impl Digest {
    /// A digest from its raw bytes; `None` where no algorithm makes digests of that length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let algorithm = Algorithm::of_digest_len(bytes.len())?;
        Some(Self { algorithm, bytes: bytes.into() })
    }

    /// The algorithm that made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Lower-case hexadecimal, as Dataverse writes it.
    #[must_use]
    pub fn hex(&self) -> String {
        self.to_string()
    }

    /// The digest itself: as many bytes as [`Algorithm::digest_len`] says.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.bytes))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Reads hexadecimal of either case.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bad = || DigestError(text.to_owned());
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        if !digits.len().is_multiple_of(2) {
            return Err(bad());
        }
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        Self::from_bytes(&bytes).ok_or_else(bad)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
