//! Success needs a proof: a [`Proved`] exists only where two sides were compared and found equal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, Measured};

/// How the destination's bytes were observed, independently of the bytes that we sent (design.md 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// The destination computed a digest itself (a checksum command over SSH, an S3 checksum, a Swift etag).
    RemoteHash,
    /// The copy was read back and hashed here.
    ReadBack,
}

impl Evidence {
    /// As the ledger and the configuration spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RemoteHash => "remote-hash",
            Self::ReadBack => "read-back",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Evidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::RemoteHash, Self::ReadBack]
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| format!("unknown evidence {text:?}"))
    }
}

/// What a destination says of a copy: a digest, its size where it tells, and how this was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Digest of the bytes that the destination holds.
    pub digest: Digest,
    /// Their number, where the destination tells.
    pub size: Option<u64>,
    /// How they were observed.
    pub evidence: Evidence,
}

/// Two sides that should be equal are not, or could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// The destination's digest is another one than that of the bytes read.
    #[error("{} is {expected} where it was read and {found} where it lies", expected.algorithm())]
    Digest {
        /// Of the bytes read at the source.
        expected: Digest,
        /// Of the bytes at the destination.
        found: Digest,
    },
    /// The destination has more or fewer bytes than were read.
    #[error("{expected} bytes where it was read and {found} where it lies")]
    Size {
        /// Bytes read at the source.
        expected: u64,
        /// Bytes at the destination.
        found: u64,
    },
    /// The source was not hashed by the destination's algorithm: a mistake of the caller.
    #[error("nothing to compare {found:?} with")]
    Incomparable {
        /// The digest that has no counterpart.
        found: Digest,
    },
}

/// A copy that was compared with what was read, and found equal. Only [`Proved::by`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    measured: Measured,
    evidence: Evidence,
}

impl Proved {
    /// Compares what was read with what the destination says.
    ///
    /// # Errors
    /// [`Mismatch`], when they are not equal or cannot be compared.
    pub fn by(measured: Measured, observed: &Observed) -> Result<Self, Mismatch> {
        let found = observed.digest.clone();
        let Some(expected) = measured.digest(found.algorithm()) else {
            return Err(Mismatch::Incomparable { found });
        };
        if *expected != found {
            return Err(Mismatch::Digest { expected: expected.clone(), found });
        }
        match observed.size {
            Some(size) if size != measured.size => Err(Mismatch::Size { expected: measured.size, found: size }),
            _ => Ok(Self { measured, evidence: observed.evidence }),
        }
    }

    /// Compares what a destination holds with the digest that Dataverse recorded for the object: proof of a copy that was not sent by us.
    ///
    /// # Errors
    /// [`Mismatch`], when they are not equal or `held` was not hashed by the recorded algorithm.
    pub fn recorded(recorded: &Digest, held: Measured, evidence: Evidence) -> Result<Self, Mismatch> {
        match held.digest(recorded.algorithm()) {
            None => Err(Mismatch::Incomparable { found: recorded.clone() }),
            Some(found) if found != recorded => {
                Err(Mismatch::Digest { expected: recorded.clone(), found: found.clone() })
            }
            Some(_) => Ok(Self { measured: held, evidence }),
        }
    }

    /// Size and digests, the same on both sides.
    #[must_use]
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// How the destination's side was observed.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::Algorithm;

    fn observed(bytes: &[u8], algorithm: Algorithm, size: Option<u64>) -> Observed {
        let digest = Measured::of(bytes, &[algorithm]).digest(algorithm).unwrap().clone();
        Observed { digest, size, evidence: Evidence::RemoteHash }
    }

    #[test]
    fn there_is_no_proof_of_what_cannot_be_compared() {
        let read = Measured::of(b"x", &[]);
        let found = observed(b"x", Algorithm::Md5, None);
        assert_eq!(Proved::by(read, &found), Err(Mismatch::Incomparable { found: found.digest.clone() }));
    }

    #[test]
    fn a_size_that_differs_is_no_proof_whatever_the_digest() {
        let refused = Proved::by(Measured::of(b"x", &[]), &observed(b"x", Algorithm::Sha256, Some(2)));
        assert_eq!(refused, Err(Mismatch::Size { expected: 1, found: 2 }));
    }

    proptest! {
        #[test]
        fn proof_means_the_same_bytes(read: Vec<u8>, held: Vec<u8>, n in 0_usize..4) {
            let algorithm = Algorithm::ALL[n];
            let proof = Proved::by(Measured::of(&read, &[algorithm]), &observed(&held, algorithm, None));
            prop_assert_eq!(proof.is_ok(), read == held);
            let same = Proved::by(Measured::of(&read, &[algorithm]), &observed(&read, algorithm, Some(read.len() as u64)));
            prop_assert!(same.is_ok());
        }
    }
}
