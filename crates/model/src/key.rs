//! Names of objects, safe to join to a root.

use std::borrow::Cow;
use std::fmt;

use dvb_fixity::{Algorithm, Measured};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A name from the database that must not become a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing is left of it.
    #[error("the name is empty")]
    Empty,
    /// It begins with `/`.
    #[error("{0:?} is an absolute name")]
    Absolute(String),
    /// A part of it is `.`, `..` or empty.
    #[error("{0:?} has a part that is empty, '.' or '..'")]
    Traversal(String),
    /// It holds a NUL byte.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
    /// It would lie among this program's own files at the destination.
    #[error("{0:?} is reserved for the backup's own files")]
    Reserved(String),
}

/// The folder, below a destination's root, that holds what this program keeps for itself.
pub(crate) const OWN_FOLDER: &str = ".dataverse-backup";

/// How the names of records begin there.
const RECORDS: [&str; 3] = ["catalogue-", "installation.json", "tombstone-"];

fn check(text: &str) -> Result<(), KeyError> {
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    if text.contains('\0') {
        return Err(KeyError::Nul(text.to_owned()));
    }
    if text.starts_with('/') {
        return Err(KeyError::Absolute(text.to_owned()));
    }
    if !is_plain(text) {
        return Err(KeyError::Traversal(text.to_owned()));
    }
    Ok(())
}

/// A path as a file system reads it: empty parts and `.` mean nothing, and `..` takes back the part before it, so it never
/// begins or ends with `/`. What climbs out of its beginning stays in front, for `check` to refuse.
pub(crate) fn collapse(text: &str) -> Cow<'_, str> {
    // Nearly all are: a catalogue has millions.
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            (part, _) => parts.push(part),
        }
    }
    Cow::Owned(parts.join("/"))
}

/// Whether no part is empty, `.` or `..`.
fn is_plain(text: &str) -> bool {
    !text.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Whether a path leads out of where it begins.
pub(crate) fn climbs(text: &str) -> bool {
    !is_plain(text) && collapse(text).split('/').next() == Some("..")
}

/// Whether [`ObjectKey::of`] takes this folder with any name.
pub(crate) fn is_plain_folder(directory: &str) -> bool {
    check(directory).is_ok() && directory.split('/').next() != Some(OWN_FOLDER)
}

/// The name of an object within its dataset's folder: relative, never climbing, perhaps with folders of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String); // invariant: `check` holds

impl ObjectName {
    /// Takes a name as data.
    ///
    /// # Errors
    /// [`KeyError`], when it is empty, absolute, climbs, or holds NUL.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as text: parts with `/` between, never empty, never with `..`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<name>.<tag>`, as Dataverse names what belongs to a data file.
    ///
    /// # Errors
    /// [`KeyError`], when the tag climbs or holds NUL.
    pub fn with_tag(&self, tag: &str) -> Result<Self, KeyError> {
        Self::new(&format!("{}.{tag}", self.0))
    }

    /// `<name>/<path>`, a member of a package.
    ///
    /// # Errors
    /// [`KeyError`], when the path is empty, absolute, climbs, or holds NUL.
    pub fn member(&self, path: &str) -> Result<Self, KeyError> {
        check(path)?;
        Self::new(&format!("{}/{path}", self.0))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an object lies below a destination's root: `<storage authority>/<storage identifier>/<object name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String); // invariant: `check` holds

impl ObjectKey {
    /// Takes a whole key, such as one from the ledger.
    ///
    /// # Errors
    /// [`KeyError`], when it is empty, absolute, climbs, or holds NUL.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The key of an object of a dataset whose storage folder is `<authority>/<identifier>`.
    ///
    /// # Errors
    /// [`KeyError`], also when the key would fall into the backup's own folder.
    pub fn of(directory: &str, name: &ObjectName) -> Result<Self, KeyError> {
        let key =
            if directory.is_empty() { Self::new(name.as_str())? } else { Self::new(&format!("{directory}/{name}"))? };
        if key.is_own() {
            return Err(KeyError::Reserved(key.0));
        }
        Ok(key)
    }

    /// A key in the folder that the backup keeps for itself.
    ///
    /// # Errors
    /// [`KeyError`], when `name` climbs.
    pub fn own(name: &str) -> Result<Self, KeyError> {
        check(name)?;
        Self::new(&format!("{OWN_FOLDER}/{name}"))
    }

    /// Whether it lies in that folder.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.parts().next() == Some(OWN_FOLDER)
    }

    /// Whether it is one of the backup's own that have to last as the copies do, for without them nobody knows what these are:
    /// snapshots of the catalogue, the installation's id, tombstones. All others come and go.
    #[must_use]
    pub fn is_record(&self) -> bool {
        let name = self.0.strip_prefix(OWN_FOLDER).and_then(|it| it.strip_prefix('/'));
        name.is_some_and(|name| RECORDS.iter().any(|it| name.starts_with(it)))
    }

    /// The key as text: parts with `/` between, never empty, never with `..`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, between the slashes.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Everything before the last part; `None` at the root.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// The `n`-th version beside this key: `<key>.v<n>` (design.md 7.6).
    #[must_use]
    pub fn version(&self, n: u32) -> Self {
        Self(format!("{}.v{n}", self.0))
    }

    /// Where a copy at this key that was found bad in a run is set aside, out of the way of a good one.
    ///
    /// # Errors
    /// [`KeyError`], when the run's name climbs.
    pub fn set_aside(&self, run: &crate::RunId) -> Result<Self, KeyError> {
        Self::own(&format!("damaged/{run}/{}", self.0))
    }

    /// A key of its own for a second data file that would lie at this one (design.md 5).
    #[must_use]
    pub fn apart_for(&self, id: crate::DvObjectId) -> Self {
        Self(format!("{}.id{id}", self.0))
    }
}

/// Bytes in a part of a key that every medium can have, with room for what is put behind it.
const MOST: usize = 120;

/// What Windows, and with it exFAT and SMB, refuses in a name; and the sign that stands for it.
const ODD: [char; 9] = [':', '*', '?', '"', '<', '>', '|', '\\', '%'];

impl ObjectKey {
    /// A key in the place of this one that every medium can have: of simple characters, each other one as `%` and its two
    /// digits; a long part is cut, and a digest of it put behind.
    #[must_use]
    pub fn for_any_medium(&self) -> Self {
        Self(self.parts().map(simple).collect::<Vec<_>>().join("/"))
    }
}

fn simple(part: &str) -> String {
    let body = part.trim_end_matches(['.', ' ']);
    let is_odd = |it: char| it.is_control() || !it.is_ascii() || ODD.contains(&it);
    let mut text = String::new();
    for (at, it) in part.char_indices() {
        if at < body.len() && !is_odd(it) {
            text.push(it);
        } else {
            let mut bytes = [0; 4];
            text.extend(it.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    if text.len() <= MOST {
        return text;
    }
    let digest = Measured::of(part.as_bytes(), &[]).digest(Algorithm::Sha256).map(ToString::to_string);
    let digest = digest.unwrap_or_default();
    // All of it is ASCII.
    format!("{}~{}", &text[..MOST - 17], &digest[..digest.len().min(16)])
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::new(&text)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;
    use crate::DvObjectId;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (text, error) in [
            ("", KeyError::Empty),
            ("/etc/passwd", KeyError::Absolute("/etc/passwd".into())),
            ("../up", KeyError::Traversal("../up".into())),
            ("a/../../b", KeyError::Traversal("a/../../b".into())),
            ("a/./b", KeyError::Traversal("a/./b".into())),
            ("a//b", KeyError::Traversal("a//b".into())),
            ("a/", KeyError::Traversal("a/".into())),
            ("a\0b", KeyError::Nul("a\0b".into())),
        ] {
            assert_eq!(ObjectName::new(text), Err(error.clone()));
            assert_eq!(ObjectKey::new(text), Err(error));
        }
        let inside = ObjectKey::of(".dataverse-backup", &ObjectName::new("tmp").unwrap());
        assert_eq!(inside, Err(KeyError::Reserved(".dataverse-backup/tmp".into())));
    }

    /// Text with everything in it that paths and shells give a meaning to.
    fn nasty() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![Just("..".to_owned()), Just("/".into()), Just("\0".into()), "[ -~äß]{0,4}"],
            0..6,
        )
        .prop_map(|parts| parts.concat())
    }

    #[test]
    fn every_medium_has_a_key() {
        let simple = |it: &str| ObjectKey::new(it).unwrap().for_any_medium().as_str().to_owned();
        assert_eq!(simple("10.5072/FK2/ABC/18f3-a_b.orig"), "10.5072/FK2/ABC/18f3-a_b.orig");
        assert_eq!(simple("10.5072/A:B/x?.. /%"), "10.5072/A%3AB/x%3F%2E%2E%20/%25");
        assert_eq!(simple("a b/é.v2"), "a b/%C3%A9.v2");
        let long = |end: &str| simple(&format!("a/{}{end}", "x".repeat(250)));
        assert_eq!(long("").len(), 2 + MOST);
        assert_ne!(long("1"), long("2"));
        assert_eq!(simple(&long("1")), long("1"));
    }

    proptest! {
        #[test]
        fn the_short_way_says_what_the_long_way_says(text in nasty(), name in nasty()) {
            // A part in front that means nothing takes the long way.
            let long = format!("./{text}");
            prop_assert_eq!(collapse(&text), collapse(&long));
            prop_assert_eq!(climbs(&text), climbs(&long));
            if let Ok(name) = ObjectName::new(&name) {
                prop_assert!(!is_plain_folder(&text) || ObjectKey::of(&text, &name).is_ok(), "{text:?} {name}");
            }
        }

        #[test]
        fn no_two_keys_have_one_for_any_medium(one in "[a:%.A3 ~]{1,5}", other in "[a:%.A3 ~]{1,5}") {
            let [Ok(one), Ok(other)] = [&one, &other].map(|it| ObjectKey::new(it)) else { return Ok(()) };
            prop_assert_eq!(one == other, one.for_any_medium() == other.for_any_medium());
            prop_assert!(ObjectKey::new(one.for_any_medium().as_str()).is_ok());
        }

        #[test]
        fn no_text_makes_a_key_that_leaves_the_root(directory in nasty(), name in nasty(), tag in nasty()) {
            let Ok(name) = ObjectName::new(&name) else { return Ok(()) };
            let tagged = name.with_tag(&tag).and_then(|it| ObjectKey::of(&directory, &it));
            let member = name.member(&tag).and_then(|it| ObjectKey::of(&directory, &it));
            for key in [ObjectKey::of(&directory, &name), tagged, member].into_iter().flatten() {
                let path = Path::new(key.as_str());
                prop_assert!(path.components().all(|it| matches!(it, Component::Normal(_))), "{key}");
                prop_assert_eq!(path.components().count(), key.parts().count());
                prop_assert!(!key.is_own());
            }
        }

        #[test]
        fn versions_and_keys_apart_never_meet_in_one_data_file(n in 2_u32..1000, id in 1_i64..1000) {
            let key = ObjectKey::new("10.5072/FK2/A/x").unwrap();
            let all = [key.clone(), key.version(n), key.version(n + 1), key.apart_for(DvObjectId(id)), key.apart_for(DvObjectId(id)).version(n)];
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            prop_assert_eq!(distinct.len(), all.len());
        }
    }
}
