//! Packages: a folder with a manifest whose digest Dataverse recorded (dataverse.md 2.8).

use std::collections::BTreeMap;
use std::io::Read as _;

use dvb_fixity::{Algorithm, Digest, Measured};
use dvb_storage::{Cause, SourceError};

use crate::source::list_objects::Object;

/// The default of `FileRecordWriter`.
const USUAL: &str = "files.sha";
/// A manifest of a million members is about 100 MB.
const LONGEST: u64 = 256 << 20;

/// What a package's manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Where the package's folder is, for messages.
    folder: String,
    /// Path of the manifest among the members, and what was read of it; `None` where there is none.
    file: Option<(String, Measured)>,
    digests: BTreeMap<String, Digest>,
}

impl Manifest {
    pub(crate) fn none(folder: String) -> Self {
        Self { folder, file: None, digests: BTreeMap::new() }
    }

    /// Where the package's folder is, for messages.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    /// Its path among the members.
    pub(crate) fn path(&self) -> Option<&str> {
        self.file.as_ref().map(|it| it.0.as_str())
    }

    /// The manifest among the members: `files.sha`, else the only `*.sha` at the top.
    pub(crate) fn name_among(members: &[String]) -> Option<&str> {
        let mut candidates = members.iter().filter(|it| !it.contains('/') && it.ends_with(".sha"));
        if let Some(usual) = candidates.clone().find(|it| *it == USUAL) {
            return Some(usual);
        }
        candidates.next().filter(|_| candidates.next().is_none()).map(String::as_str)
    }

    pub(crate) fn read(folder: String, path: &str, object: &Object) -> Result<Self, SourceError> {
        let stored = object.source.open(&object.at)?;
        let mut text = Vec::new();
        stored.body.take(LONGEST).read_to_end(&mut text).map_err(|error| {
            SourceError::because(Cause::Io, format!("cannot read the manifest {path} of a package"), error)
        })?;
        let digests = parse(&String::from_utf8_lossy(&text));
        Ok(Self { folder, file: Some((path.to_owned(), Measured::of(&text, &[]))), digests })
    }

    /// The digest of a member by its path; `None` for the manifest itself and for what it does not list.
    pub(crate) fn digest_of(&self, path: &str) -> Option<&Digest> {
        self.digests.get(path)
    }

    /// Paths that are listed and not among these, which are in order.
    pub(crate) fn missing<'a>(&'a self, members: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.digests.keys().map(String::as_str).filter(|it| members.binary_search(it).is_err())
    }

    /// Whether these are the bytes that the digests were read from.
    pub(crate) fn is_still(&self, copied: &Measured) -> bool {
        let read = self.file.as_ref().and_then(|it| it.1.digest(Algorithm::Sha256));
        read.is_some_and(|it| copied.matches(it) == Some(true))
    }
}

/// Lines of `<hex digest> <path>`, as `sha1sum` writes them; others are none of a manifest.
fn parse(text: &str) -> BTreeMap<String, Digest> {
    let line = |line: &str| {
        let (hex, path) = line.split_once([' ', '\t'])?;
        let path = path.trim_start_matches([' ', '\t', '*']);
        let path = path.strip_prefix("./").unwrap_or(path);
        Some((path.to_owned(), hex.parse::<Digest>().ok()?)).filter(|it| !it.0.is_empty())
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_manifest_are_read_as_sha1sum_writes_them() {
        let hex = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let text = format!("{hex} ./a b.txt\n{hex}  sub/c\n{hex} *d\n\nno digest here\n{hex}\n");
        assert_eq!(parse(&text).keys().collect::<Vec<_>>(), ["a b.txt", "d", "sub/c"]);
    }

    #[test]
    fn the_manifest_is_the_usual_one_or_the_only_one() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            Manifest::name_among(&names).map(str::to_owned)
        };
        assert_eq!(named(&["a", "files.sha", "other.sha"]).as_deref(), Some("files.sha"));
        assert_eq!(named(&["a", "checksums.sha"]).as_deref(), Some("checksums.sha"));
        assert_eq!(named(&["a.sha", "b.sha"]), None);
        assert_eq!(named(&["sub/files.sha"]), None);
    }
}
