//! A dataset version as people see it: folders and labels, made safe. Text from the database is data.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use dvb_model::{DataFile, DvObjectId, FileVersion, ObjectKey};
use serde::{Deserialize, Serialize};

use crate::command::selection::Selection;

/// Longest name that is made, in bytes: a suffix fits behind it on every file system.
const LONGEST: usize = 200;

/// A version of a dataset. A draft comes before all that were released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    Draft,
    Numbered(String),
}

impl Version {
    pub(super) fn parse(text: &str) -> Self {
        match text.trim().trim_start_matches([':', 'v', 'V']) {
            draft if draft.eq_ignore_ascii_case("draft") => Self::Draft,
            number if number.contains('.') => Self::Numbered(number.to_owned()),
            number => Self::Numbered(format!("{number}.0")),
        }
    }

    pub(super) fn of(version: &FileVersion) -> Option<Self> {
        match (&version.version, version.state.as_str()) {
            (_, "DRAFT") => Some(Self::Draft),
            (Some(number), _) => Some(Self::Numbered(number.clone())),
            (None, _) => None,
        }
    }

    /// Not one that was withdrawn, unless somebody asks for it.
    pub(super) fn to_be_shown(version: &FileVersion) -> Option<Self> {
        matches!(version.state.as_str(), "RELEASED" | "DRAFT").then(|| Self::of(version)).flatten()
    }

    fn numbers(&self) -> Vec<u64> {
        match self {
            Self::Draft => Vec::new(),
            Self::Numbered(text) => text.split('.').map(|it| it.parse().unwrap_or(0)).collect(),
        }
    }
}

/// As [`Version::parse`] takes it.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "draft",
            Self::Numbered(text) => text,
        })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers().cmp(&other.numbers())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a data file's objects go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paths {
    /// The data file itself; a package's folder.
    pub(super) main: ObjectKey,
    /// The upload that a table was made of.
    pub(super) original: Option<ObjectKey>,
}

enum Versions {
    Newest(BTreeMap<DvObjectId, Version>),
    One(Version),
}

/// Gives names out, each once. The same catalogue and selection give the same names.
pub(super) struct Namer {
    versions: Versions,
    /// Several datasets may come: each gets a folder.
    apart: bool,
    files: HashSet<String>,
    folders: HashSet<String>,
}

impl Namer {
    pub(super) fn new(newest: BTreeMap<DvObjectId, Version>, selection: &Selection) -> Self {
        Self::with(Versions::Newest(newest), selection)
    }

    pub(super) fn of_one(version: Version, selection: &Selection) -> Self {
        Self::with(Versions::One(version), selection)
    }

    fn with(versions: Versions, selection: &Selection) -> Self {
        let apart = selection.datasets.len() != 1;
        Self { versions, apart, files: HashSet::new(), folders: HashSet::new() }
    }

    /// `None` where the file is none of the version that is shown.
    pub(super) fn name(&mut self, file: &DataFile) -> Option<Paths> {
        let dataset = file.dataset.as_ref()?;
        let wanted = match &self.versions {
            Versions::Newest(all) => all.get(&dataset.id)?,
            Versions::One(it) => it,
        };
        let version = file.versions.iter().find(|it| Version::of(it).as_ref() == Some(wanted))?;
        let mut folders: Vec<String> = Vec::new();
        if self.apart {
            let directory = dataset.storage_pids.first().map(|it| it.directory()).unwrap_or_default();
            folders.extend(parts(&directory));
        }
        folders.extend(parts(version.directory.as_deref().unwrap_or_default()));
        let main = self.take(&folders, &version.label, file.id)?;
        let original = match &file.tabular {
            None => None,
            Some(tabular) => {
                let name = tabular.original_name.clone().filter(|it| !it.trim().is_empty());
                Some(self.take(&folders, &name.unwrap_or_else(|| format!("{}.orig", version.label)), file.id)?)
            }
        };
        if file.is_package() {
            self.folders.insert(main.as_str().to_owned());
        }
        Some(Paths { main, original })
    }

    /// A path that nothing has yet.
    fn take(&mut self, folders: &[String], label: &str, id: DvObjectId) -> Option<ObjectKey> {
        let mut path = String::new();
        for folder in folders {
            let mut next = format!("{path}{folder}");
            while self.files.contains(&next) {
                next += " (folder)";
            }
            self.folders.insert(next.clone());
            path = next + "/";
        }
        let name = safe(label);
        let mut whole = format!("{path}{name}");
        let mut n = 1;
        while self.files.contains(&whole) || self.folders.contains(&whole) {
            let (stem, ending) = name.rsplit_once('.').filter(|it| !it.0.is_empty()).unwrap_or((&name, ""));
            let dot = if ending.is_empty() { "" } else { "." };
            let again = if n == 1 { String::new() } else { format!(", {n}") };
            whole = format!("{path}{stem} (file {id}{again}){dot}{ending}");
            n += 1;
        }
        self.files.insert(whole.clone());
        ObjectKey::new(&whole).ok()
    }
}

fn parts(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split('/').filter(|it| !matches!(*it, "" | ".")).map(safe)
}

/// A name that is one part of a path and nothing else.
fn safe(text: &str) -> String {
    let clean: String = text.chars().map(|it| if matches!(it, '/' | '\0') { '_' } else { it }).collect();
    let clean = match clean.as_str() {
        "" | "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => clean,
    };
    if clean.len() <= LONGEST {
        return clean;
    }
    let (stem, ending) = clean.rsplit_once('.').filter(|it| it.1.len() < 20).unwrap_or((&clean, ""));
    let mut end = LONGEST - 21;
    while !stem.is_char_boundary(end.min(stem.len())) {
        end -= 1;
    }
    let dot = if ending.is_empty() { "" } else { "." };
    format!("{}{dot}{ending}", &stem[..end.min(stem.len())])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn namer() -> Namer {
        Namer::of_one(Version::Draft, &Selection { datasets: ["doi:x".to_owned()].into(), ..Selection::default() })
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let mut all = ["draft", "10.0", "2.1", "2", "9.12"].map(Version::parse);
        all.sort();
        assert_eq!(all, ["draft", "2.0", "2.1", "9.12", "10.0"].map(Version::parse));
        assert_eq!(Version::parse(":draft"), Version::Draft);
        assert_eq!(Version::parse("v1"), Version::Numbered("1.0".into()));
    }

    #[test]
    fn clashes_get_a_suffix_and_names_that_lead_elsewhere_do_not() {
        let mut namer = namer();
        let mut take = |folder: &str, label: &str, id| {
            let folders: Vec<String> = parts(folder).collect();
            namer.take(&folders, label, DvObjectId(id)).unwrap().as_str().to_owned()
        };
        assert_eq!(take("a/b", "x.csv", 1), "a/b/x.csv");
        assert_eq!(take("a/b", "x.csv", 2), "a/b/x (file 2).csv");
        assert_eq!(take("a/b", "x.csv", 2), "a/b/x (file 2, 2).csv");
        assert_eq!(take("/a//./b/", "y", 3), "a/b/y");
        assert_eq!(take("", "a", 4), "a (file 4)", "a is a folder");
        assert_eq!(take("a/b/y", "z", 5), "a/b/y (folder)/z", "a/b/y is a file");
        assert_eq!(take("../..", "../../etc/passwd", 6), "__/__/.._.._etc_passwd");
        assert_eq!(take("", "..", 7), "__ (file 7)");
        assert_eq!(take("", "nul\0", 8), "nul_");
        assert_eq!(take("", "/etc/passwd", 9), "_etc_passwd");
        assert_eq!(take("", ".bashrc", 10), ".bashrc");
        assert_eq!(take("", ".bashrc", 11), ".bashrc (file 11)");
    }

    proptest! {
        #[test]
        fn no_label_makes_a_path_that_leaves_the_folder(
            folder in "[./a\\\\\0ß]{0,12}",
            labels in proptest::collection::vec("([./\0ab]{0,6}|[aß]{150,260}\\.csv)", 1..6),
        ) {
            let mut namer = namer();
            let folders: Vec<String> = parts(&folder).collect();
            let mut seen = HashSet::new();
            for (n, label) in (0_i64..).zip(&labels) {
                let path = namer.take(&folders, label, DvObjectId(n)).unwrap();
                prop_assert!(Path::new(path.as_str()).components().all(|it| matches!(it, Component::Normal(_))));
                prop_assert!(path.parts().all(|it| it.len() <= 255));
                prop_assert!(seen.insert(path));
            }
        }
    }
}
