//! Is what was read what Dataverse recorded? The one place that answers; it touches nothing (facts R5 to R7, 3).

use dvb_fixity::{Measured, RecordedChecksum};
use dvb_ledger::Basis;
use dvb_model::DataFile;

use crate::package::Manifest;

/// What came of reading an object of the source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// It was read to its end.
    Read(&'a Measured),
    /// It is not there.
    Missing,
    /// It could not be read, for this reason.
    Failed(&'a str),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The bytes are the recorded ones, or there is nothing to compare with.
    Good { basis: Basis, notes: Vec<String> },
    /// Look whether there is a saved original, and ask again.
    TryOriginal,
    /// Something is not there; what is there may be kept.
    Missing(String),
    /// Something cannot be read; what could be read may be kept.
    Unread(String),
    /// The bytes are not the recorded ones: nothing may be published.
    Damaged(String),
    /// An ingest is under way, and what was found is what it leaves lying about: look again at the next run.
    Later(String),
}

/// Judges the main object and the saved original of a data file. `original` is `None` while it was not looked for.
pub(crate) fn pair(file: &DataFile, main: Seen<'_>, original: Option<Seen<'_>>) -> Judgement {
    let checksum = RecordedChecksum::parse(&file.checksum_value);
    let judgement = match (&file.tabular, original) {
        (Some(_), original) => tabular(file, &checksum, main, original.unwrap_or(Seen::Missing)),
        (None, original) => plain(file, &checksum, main, original),
    };
    if !file.is_being_ingested() {
        return judgement;
    }
    match judgement {
        Judgement::Good { basis, mut notes } => {
            notes.push("provisional: an ingest is under way, so the next run looks at it again".into());
            Judgement::Good { basis, notes }
        }
        Judgement::Damaged(why) => Judgement::Later(format!("an ingest is under way: {why}")),
        Judgement::Missing(why) => Judgement::Later(format!("an ingest is under way: {why}")),
        other @ (Judgement::Unread(_) | Judgement::TryOriginal | Judgement::Later(_)) => other,
    }
}

fn good(basis: Basis, notes: impl IntoIterator<Item = String>) -> Judgement {
    Judgement::Good { basis, notes: notes.into_iter().collect() }
}

/// The checksum speaks of the saved original (R5); which object it fits is tried (R6).
fn tabular(file: &DataFile, checksum: &RecordedChecksum, main: Seen<'_>, original: Seen<'_>) -> Judgement {
    let had_original = file.tabular.as_ref().is_some_and(|it| it.original_format.is_some());
    match (original, main) {
        (Seen::Failed(why), _) | (_, Seen::Failed(why)) => Judgement::Unread(why.to_owned()),
        (Seen::Missing, Seen::Missing) => Judgement::Missing("neither the .tab nor its saved original is there".into()),
        (Seen::Read(original), Seen::Missing) => match checksum.describes(original) {
            Some(false) => Judgement::Damaged(format!(
                "the .tab is missing, and its saved original {}",
                differs(checksum, original)
            )),
            Some(true) | None => Judgement::Missing("the .tab is not there; its saved original is".into()),
        },
        (Seen::Missing, Seen::Read(main)) => match checksum.describes(main) {
            Some(true) => good(
                Basis::Dataverse,
                had_original.then(|| {
                    "there is no saved original (.orig); the main object has the recorded checksum".to_owned()
                }),
            ),
            Some(false) | None if had_original => Judgement::Missing(
                "the saved original (.orig), which the recorded checksum describes, is not there".into(),
            ),
            Some(false) => {
                Judgement::Damaged(format!("there is no saved original, and the .tab {}", differs(checksum, main)))
            }
            None => good(Basis::FirstSeen, [no_checksum(checksum)]),
        },
        (Seen::Read(original), Seen::Read(main)) => both(file, checksum, main, original),
    }
}

fn both(file: &DataFile, checksum: &RecordedChecksum, main: &Measured, original: &Measured) -> Judgement {
    // Best effort: nothing else is recorded of the .tab, which can be made again from the original (facts 3.2).
    let size = file.size.filter(|it| *it != main.size);
    let size = size.map(|it| format!("the .tab has {} bytes where Dataverse recorded {it}", main.size));
    match (checksum.describes(original), checksum.describes(main)) {
        (Some(true), _) => good(Basis::Dataverse, size),
        (Some(false), Some(true)) => {
            good(Basis::Dataverse, ["the recorded checksum is that of the .tab, not of the saved original".to_owned()])
        }
        (Some(false), _) => Judgement::Damaged(format!(
            "neither the saved original nor the .tab has the recorded checksum; the original {}",
            differs(checksum, original)
        )),
        (None, _) => match original_size(file, original) {
            Some(why) => Judgement::Damaged(why),
            None => good(Basis::FirstSeen, [no_checksum(checksum)].into_iter().chain(size)),
        },
    }
}

fn original_size(file: &DataFile, original: &Measured) -> Option<String> {
    let recorded = file.tabular.as_ref()?.original_size.filter(|it| *it > 0 && *it != original.size)?;
    Some(format!(
        "Dataverse has no usable checksum, and the saved original has {} bytes where it recorded {recorded}",
        original.size
    ))
}

fn plain(file: &DataFile, checksum: &RecordedChecksum, main: Seen<'_>, original: Option<Seen<'_>>) -> Judgement {
    match (main, original) {
        (Seen::Failed(why), _) => Judgement::Unread(why.to_owned()),
        (Seen::Read(main), _) if checksum.describes(main) == Some(true) => good(Basis::Dataverse, None),
        (Seen::Read(main), _) if checksum.digest().is_none() => match file.size {
            // The only other thing recorded of it: a file that lost bytes must not pass.
            Some(recorded) if recorded > 0 && recorded != main.size => Judgement::Damaged(format!(
                "Dataverse has no usable checksum, and the object has {} bytes where it recorded {recorded}",
                main.size
            )),
            Some(_) | None => good(Basis::FirstSeen, [no_checksum(checksum)]),
        },
        (Seen::Read(_) | Seen::Missing, None) => Judgement::TryOriginal,
        (Seen::Read(_), Some(Seen::Read(original))) if checksum.describes(original) == Some(true) => good(
            Basis::Dataverse,
            ["swapped pair: Dataverse says that it is not tabular, but the recorded checksum is that of its saved original (.orig); both are copied".to_owned()],
        ),
        (Seen::Read(main), Some(_)) => Judgement::Damaged(format!("it {}", differs(checksum, main))),
        (Seen::Missing, Some(Seen::Read(original))) if checksum.describes(original) == Some(true) => {
            Judgement::Missing("the object is not there; a saved original (.orig) with the recorded checksum is".into())
        }
        (Seen::Missing, Some(_)) => Judgement::Missing("the object is not there".into()),
    }
}

fn no_checksum(checksum: &RecordedChecksum) -> String {
    let said = match checksum {
        RecordedChecksum::Unusable(text) if !text.trim().is_empty() => format!("{text:?}"),
        RecordedChecksum::Unusable(_) | RecordedChecksum::Digest(_) => "nothing".to_owned(),
    };
    format!("Dataverse has no usable checksum ({said}); the digest first seen counts")
}

fn differs(checksum: &RecordedChecksum, measured: &Measured) -> String {
    let Some(recorded) = checksum.digest() else { return "has no usable checksum".into() };
    let found = measured.digest(recorded.algorithm()).map_or_else(|| "another".to_owned(), ToString::to_string);
    format!("has {} {found} where Dataverse recorded {recorded}", recorded.algorithm())
}

/// Judges a package by its manifest: `members` by path, in order.
pub(crate) fn package(file: &DataFile, manifest: &Manifest, members: &[(&str, Seen<'_>)]) -> Judgement {
    let paths: Vec<&str> = members.iter().map(|it| it.0).collect();
    let missing: Vec<&str> = manifest.missing(&paths).collect();
    let checksum = RecordedChecksum::parse(&file.checksum_value);
    if members.is_empty() {
        return Judgement::Missing("the package's folder is empty".into());
    }
    for (path, seen) in members {
        let Seen::Read(measured) = seen else { continue };
        if manifest.digest_of(path).is_some_and(|it| measured.matches(it) == Some(false)) {
            return Judgement::Damaged(format!("member {path:?} of the package is not what the manifest says"));
        }
        if manifest.path() == Some(path) {
            if !manifest.is_still(measured) {
                return Judgement::Damaged("the package's manifest changed while it was read".into());
            }
            if checksum.describes(measured) == Some(false) {
                return Judgement::Damaged(format!("the package's manifest {path} {}", differs(&checksum, measured)));
            }
        }
    }
    for (path, seen) in members {
        match seen {
            Seen::Read(_) => {}
            Seen::Missing => return Judgement::Missing(format!("member {path:?} of the package is not there")),
            Seen::Failed(why) => return Judgement::Unread((*why).to_owned()),
        }
    }
    if let Some(first) = missing.first() {
        let count = missing.len();
        return Judgement::Missing(format!("{count} members of the package, {first:?} first, are not there"));
    }
    match (manifest.path(), checksum.digest()) {
        (None, Some(_)) => {
            Judgement::Missing("the package's manifest, which the recorded checksum describes, is not there".into())
        }
        (Some(_), Some(_)) => good(Basis::Dataverse, None),
        (_, None) => good(Basis::FirstSeen, [no_checksum(&checksum)]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dvb_fixity::Algorithm;
    use dvb_model::{DvObjectId, Tabular};
    use proptest::prelude::*;

    use super::*;

    const UPLOAD: &[u8] = b"a,b\n";
    const TAB: &[u8] = b"a\tb\n\n";

    fn measured(bytes: &[u8]) -> Measured {
        Measured::of(bytes, &[Algorithm::Md5])
    }

    fn file(checksum: &str, tabular: Option<Tabular>) -> DataFile {
        DataFile {
            id: DvObjectId(1),
            dataset: None,
            storage_identifier: None,
            checksum_type: "MD5".into(),
            checksum_value: checksum.into(),
            content_type: String::new(),
            size: None,
            tabular,
            ingest_status: None,
            restricted: false,
            embargo: None,
            retention: None,
            provenance_entity: None,
            auxiliary: Vec::new(),
            versions: Vec::new(),
            garbled: Vec::new(),
        }
    }

    fn md5(bytes: &[u8]) -> String {
        measured(bytes).digest(Algorithm::Md5).unwrap().hex()
    }

    fn table(format: Option<&str>) -> Option<Tabular> {
        Some(Tabular { original_format: format.map(str::to_owned), original_size: None, original_name: None })
    }

    fn word(judgement: &Judgement) -> &'static str {
        match judgement {
            Judgement::Good { basis: Basis::Dataverse, notes } if notes.is_empty() => "good",
            Judgement::Good { basis: Basis::Dataverse, .. } => "good, noted",
            Judgement::Good { basis: Basis::FirstSeen, .. } => "first seen",
            Judgement::TryOriginal => "try original",
            Judgement::Missing(_) => "missing",
            Judgement::Unread(_) => "unread",
            Judgement::Damaged(_) => "damaged",
            Judgement::Later(_) => "later",
        }
    }

    #[test]
    fn a_file_that_is_not_tabular() {
        let (good, bad) = (measured(UPLOAD), measured(TAB));
        let rows = [
            (Seen::Read(&good), None, "good"),
            (Seen::Read(&bad), None, "try original"),
            (Seen::Read(&bad), Some(Seen::Read(&good)), "good, noted"),
            (Seen::Read(&bad), Some(Seen::Read(&bad)), "damaged"),
            (Seen::Read(&bad), Some(Seen::Missing), "damaged"),
            (Seen::Read(&bad), Some(Seen::Failed("why")), "damaged"),
            (Seen::Missing, None, "try original"),
            (Seen::Missing, Some(Seen::Read(&good)), "missing"),
            (Seen::Missing, Some(Seen::Missing), "missing"),
            (Seen::Failed("why"), None, "unread"),
        ];
        for (main, original, expected) in rows {
            assert_eq!(word(&pair(&file(&md5(UPLOAD), None), main, original)), expected, "{main:?} {original:?}");
        }
    }

    #[test]
    fn a_tabular_file() {
        let (upload, tab, other) = (measured(UPLOAD), measured(TAB), measured(b"other"));
        let rows = [
            (Some("csv"), Seen::Read(&tab), Seen::Read(&upload), "good"),
            (Some("csv"), Seen::Read(&upload), Seen::Missing, "good, noted"),
            (None, Seen::Read(&upload), Seen::Missing, "good"),
            (Some("csv"), Seen::Read(&tab), Seen::Missing, "missing"),
            (None, Seen::Read(&tab), Seen::Missing, "damaged"),
            (Some("csv"), Seen::Missing, Seen::Read(&upload), "missing"),
            (Some("csv"), Seen::Missing, Seen::Read(&other), "damaged"),
            (Some("csv"), Seen::Missing, Seen::Missing, "missing"),
            (Some("csv"), Seen::Read(&upload), Seen::Read(&other), "good, noted"),
            (Some("csv"), Seen::Read(&tab), Seen::Read(&other), "damaged"),
            (Some("csv"), Seen::Read(&tab), Seen::Failed("why"), "unread"),
            (Some("csv"), Seen::Failed("why"), Seen::Read(&upload), "unread"),
        ];
        for (format, main, original, expected) in rows {
            let judged = pair(&file(&md5(UPLOAD), table(format)), main, Some(original));
            assert_eq!(word(&judged), expected, "{format:?} {main:?} {original:?}");
        }
    }

    #[test]
    fn without_a_checksum_the_size_is_all_there_is() {
        let read = measured(UPLOAD);
        let of_size = |size, value: &str| pair(&DataFile { size, ..file(value, None) }, Seen::Read(&read), None);
        for value in ["", "Unknown", "Not available in Dataverse"] {
            assert_eq!(word(&of_size(Some(4), value)), "first seen");
            assert_eq!(word(&of_size(None, value)), "first seen");
            assert_eq!(word(&of_size(Some(0), value)), "first seen", "a size of 0 may mean that nobody knew");
            assert_eq!(word(&of_size(Some(5), value)), "damaged");
        }
        assert_eq!(word(&of_size(Some(5), &md5(UPLOAD))), "good", "the checksum says more than the size");
    }

    #[test]
    fn while_an_ingest_is_under_way_nothing_is_called_damaged() {
        let (good, bad) = (measured(UPLOAD), measured(TAB));
        let file = DataFile { ingest_status: Some('C'), ..file(&md5(UPLOAD), None) };
        assert_eq!(word(&pair(&file, Seen::Read(&good), None)), "good, noted");
        assert_eq!(word(&pair(&file, Seen::Read(&bad), Some(Seen::Missing))), "later");
        assert_eq!(word(&pair(&file, Seen::Missing, Some(Seen::Missing))), "later");
        assert_eq!(word(&pair(&file, Seen::Failed("disk"), None)), "unread");
    }

    fn seen(which: u8, contents: &[Measured; 3]) -> Seen<'_> {
        match which {
            0 => Seen::Missing,
            1 => Seen::Failed("why"),
            n => Seen::Read(&contents[usize::from(n - 2)]),
        }
    }

    proptest! {
        #[test]
        fn good_by_the_checksum_means_that_something_read_has_it(
            main in 0_u8..5, original in proptest::option::of(0_u8..5), tabular in 0_u8..3, usable: bool,
            size in proptest::option::of(0_u64..8), locked: bool,
        ) {
            let contents = [measured(UPLOAD), measured(TAB), measured(b"other")];
            let tabular = match tabular { 0 => None, 1 => table(None), _ => table(Some("csv")) };
            let file = DataFile {
                size,
                ingest_status: locked.then_some('B'),
                ..file(&if usable { md5(UPLOAD) } else { "Unknown".to_owned() }, tabular)
            };
            let (main, original) = (seen(main, &contents), original.map(|it| seen(it, &contents)));
            let fits = |it: Option<Seen<'_>>| matches!(it, Some(Seen::Read(it)) if *it == contents[0]);
            match pair(&file, main, original) {
                Judgement::Good { basis: Basis::Dataverse, .. } => prop_assert!(usable && (fits(Some(main)) || fits(original))),
                Judgement::Good { basis: Basis::FirstSeen, .. } => prop_assert!(!usable && matches!(main, Seen::Read(_))),
                Judgement::Damaged(_) => prop_assert!(!locked && (!usable || !fits(Some(main)))),
                Judgement::TryOriginal => prop_assert!(original.is_none()),
                Judgement::Missing(_) | Judgement::Unread(_) => prop_assert!(!usable || !fits(Some(main)) || file.tabular.is_some()),
                Judgement::Later(_) => prop_assert!(locked),
            }
        }
    }
}
