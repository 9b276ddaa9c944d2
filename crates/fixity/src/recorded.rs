//! What Dataverse recorded as a file's checksum, which may be a digest or junk (dataverse.md R7, 1.3).

use crate::{Algorithm, Digest, Measured};

/// `datafile.checksumtype` and `checksumvalue`, read with care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedChecksum {
    /// A digest. Where type and length disagree, the length tells the algorithm.
    Digest(Digest),
    /// Empty, "Unknown", "Not available in Dataverse" or other text: nothing to compare with.
    Unusable(String),
}

impl RecordedChecksum {
    /// Reads the value as it stands in the database: either case, blanks around it allowed.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        value.trim().parse().map_or_else(|_| Self::Unusable(value.to_owned()), Self::Digest)
    }

    /// The digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(it) => Some(it),
            Self::Unusable(_) => None,
        }
    }

    /// The algorithm to hash with, so that the comparison is possible.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.digest().map(Digest::algorithm)
    }

    /// Whether these bytes are the recorded ones; `None` when there is nothing to compare with.
    #[must_use]
    pub fn describes(&self, measured: &Measured) -> Option<bool> {
        self.digest().and_then(|it| measured.matches(it))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn digests_are_read_in_either_case_and_junk_is_told_apart() {
        let md5 = "D41D8CD98F00B204E9800998ECF8427E";
        for text in [md5.to_owned(), md5.to_lowercase(), format!(" {md5}\n")] {
            let recorded = RecordedChecksum::parse(&text);
            assert_eq!(recorded.describes(&Measured::of(b"", &[Algorithm::Md5])), Some(true), "{text:?}");
            assert_eq!(recorded.describes(&Measured::of(b"x", &[Algorithm::Md5])), Some(false), "{text:?}");
        }
        for text in
            ["", " ", "Unknown", "unknown", "Not available in Dataverse", "d41d8cd9", "é", "zz".repeat(16).as_str()]
        {
            assert!(RecordedChecksum::parse(text).digest().is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_length_tells_the_algorithm() {
        for algorithm in Algorithm::ALL {
            let digest = Measured::of(b"abc", &[algorithm]).digest(algorithm).unwrap().hex();
            assert_eq!(RecordedChecksum::parse(&digest).algorithm(), Some(algorithm));
        }
    }
}
