//! One pass over bytes, all digests at once.

use sha2::Digest as _;

use crate::hash_thread::HashThread;
use crate::{Algorithm, Digest};

/// From this many bytes on, SHA-256 and the other algorithms have a processor each: MD5 alone is slower than a fast
/// line. Below, a thread costs more than it saves.
const LARGE: u64 = 8 * 1024 * 1024;

/// Hashes a stream of bytes for several algorithms in one pass. SHA-256 is always among them.
pub struct Hasher {
    size: u64,
    sha256: sha2::Sha256,
    others: HashedAt,
}

/// Where the other algorithms are computed.
enum HashedAt {
    Here(Box<Others>),
    Thread(HashThread),
}

/// The state of all algorithms but SHA-256.
#[derive(Default)]
pub(crate) struct Others {
    md5: Option<md5::Md5>,
    sha1: Option<sha1::Sha1>,
    sha512: Option<sha2::Sha512>,
}

impl Hasher {
    /// A hasher for SHA-256 and whatever else is `wanted`.
    #[must_use]
    pub fn new(wanted: &[Algorithm]) -> Self {
        let wants = |it| wanted.contains(&it);
        let others = Box::new(Others {
            md5: wants(Algorithm::Md5).then(md5::Md5::new),
            sha1: wants(Algorithm::Sha1).then(sha1::Sha1::new),
            sha512: wants(Algorithm::Sha512).then(sha2::Sha512::new),
        });
        Self { size: 0, sha256: sha2::Sha256::new(), others: HashedAt::Here(others) }
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        let small = self.size < LARGE;
        self.size += bytes.len() as u64;
        if small && self.size >= LARGE {
            self.part();
        }
        match &mut self.others {
            HashedAt::Here(others) => others.update(bytes),
            HashedAt::Thread(thread) => thread.update(bytes),
        }
        self.sha256.update(bytes);
    }

    /// Gives the other algorithms a thread, where there are any and the machine has a processor for it.
    fn part(&mut self) {
        let HashedAt::Here(others) = &mut self.others else { return };
        if others.any() && std::thread::available_parallelism().is_ok_and(|it| it.get() > 1) {
            let others = std::mem::take(others);
            self.others = match HashThread::start(others) {
                Ok(thread) => HashedAt::Thread(thread),
                Err(others) => HashedAt::Here(others),
            };
        }
    }

    /// Size and digests of all that was taken.
    #[must_use]
    pub fn finish(self) -> Measured {
        let others = match self.others {
            HashedAt::Here(others) => others,
            HashedAt::Thread(thread) => thread.finish(),
        };
        let digests = [
            others.md5.map(|it| it.finalize().to_vec()),
            others.sha1.map(|it| it.finalize().to_vec()),
            Some(self.sha256.finalize().to_vec()),
            others.sha512.map(|it| it.finalize().to_vec()),
        ];
        Measured {
            size: self.size,
            digests: digests.into_iter().flatten().filter_map(|it| Digest::from_bytes(&it)).collect(),
        }
    }
}

impl Others {
    fn any(&self) -> bool {
        self.md5.is_some() || self.sha1.is_some() || self.sha512.is_some()
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
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
}

/// What reading an object through gave: its size in bytes and its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Number of bytes that were hashed.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_thread_of_its_own_changes_no_digest() {
        let large = usize::try_from(LARGE).unwrap();
        let bytes: Vec<u8> = (0..large + 1_000_000).map(|it| (it % 251) as u8).collect();
        for (len, step) in
            [(large - 1, large), (large, 4096), (large + 1, 100_003), (bytes.len(), 7), (bytes.len(), large)]
        {
            let mut hasher = Hasher::new(&Algorithm::ALL);
            for piece in bytes[..len].chunks(step) {
                hasher.update(piece);
            }
            assert_eq!(matches!(hasher.others, HashedAt::Thread(_)), len >= large, "{len}");
            let measured = hasher.finish();
            let mut others = Hasher::new(&Algorithm::ALL).others;
            let HashedAt::Here(here) = &mut others else { unreachable!() };
            here.update(&bytes[..len]);
            let expected = Hasher { size: len as u64, sha256: sha2::Sha256::new_with_prefix(&bytes[..len]), others };
            assert_eq!(measured, expected.finish(), "{len} by {step}");
        }
        let mut only = Hasher::new(&[]);
        only.update(&bytes);
        assert!(matches!(only.others, HashedAt::Here(_)), "a thread for nothing");
    }

    #[test]
    fn a_hasher_that_is_not_finished_leaves_no_thread_waiting() {
        let mut hasher = Hasher::new(&Algorithm::ALL);
        for _ in 0..20 {
            hasher.update(&vec![1; 1 << 20]);
        }
        let HashedAt::Thread(thread) = hasher.others else { panic!("no thread") };
        let thread = thread.abandon();
        thread.join().unwrap();
    }
}
