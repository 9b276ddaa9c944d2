//! One pass over bytes, all digests at once.

use sha2::Digest as _;

use crate::{Algorithm, Digest};

/// Hashes a stream of bytes for several algorithms in one pass. SHA-256 is always among them.
pub struct Hasher {
    size: u64,
    md5: Option<md5::Md5>,
    sha1: Option<sha1::Sha1>,
    sha256: sha2::Sha256,
    sha512: Option<sha2::Sha512>,
}

impl Hasher {
    /// A hasher for SHA-256 and whatever else is `wanted`.
    #[must_use]
    pub fn new(wanted: &[Algorithm]) -> Self {
        let wants = |it| wanted.contains(&it);
        Self {
            size: 0,
            md5: wants(Algorithm::Md5).then(md5::Md5::new),
            sha1: wants(Algorithm::Sha1).then(sha1::Sha1::new),
            sha256: sha2::Sha256::new(),
            sha512: wants(Algorithm::Sha512).then(sha2::Sha512::new),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(it) = &mut self.md5 {
            it.update(bytes);
        }
        if let Some(it) = &mut self.sha1 {
            it.update(bytes);
        }
        if let Some(it) = &mut self.sha512 {
            it.update(bytes);
        }
    }

    /// Size and digests of all that was taken.
    #[must_use]
    pub fn finish(self) -> Measured {
        let digests = [
            self.md5.map(|it| it.finalize().to_vec()),
            self.sha1.map(|it| it.finalize().to_vec()),
            Some(self.sha256.finalize().to_vec()),
            self.sha512.map(|it| it.finalize().to_vec()),
        ];
        Measured {
            size: self.size,
            digests: digests.into_iter().flatten().filter_map(|it| Digest::from_bytes(&it)).collect(),
        }
    }
}

/// What reading an object through gave: its size in bytes and its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes read.
    pub size: u64,
    /// At most one digest an algorithm.
    pub digests: Vec<Digest>,
}

impl Measured {
    /// Of bytes at hand.
    #[must_use]
    pub fn of(bytes: &[u8], wanted: &[Algorithm]) -> Self {
        let mut hasher = Hasher::new(wanted);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest by `algorithm`, if it was computed.
    #[must_use]
    pub fn digest(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.digests.iter().find(|it| it.algorithm() == algorithm)
    }

    /// Whether `digest` is one of these; `None` when its algorithm was not computed.
    #[must_use]
    pub fn matches(&self, digest: &Digest) -> Option<bool> {
        self.digest(digest.algorithm()).map(|it| it == digest)
    }
}
