//! Is what was read what Dataverse recorded? The one place that answers; it touches nothing (dataverse.md R5 to R7, 3).

use dvb_fixity::{Measured, RecordedChecksum};
use dvb_ledger::Basis;
use dvb_model::{DataFile, ObjectRole};
use dvb_storage::{Cause, SourceError};

use crate::source::on_record::OnRecord;
use crate::source::package::Manifest;

/// What came of reading an object of the source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// It was read to its end.
    Read(&'a Measured),
    /// It is not there: where it was looked for.
    Missing(&'a str),
    /// It could not be read, for this reason.
    Failed(&'a str),
}

/// What is to be said of a data file by what was read of it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The bytes are the recorded ones, or there is nothing to compare with.
    Good { basis: Basis, notes: Vec<String> },
    /// Look whether there is a saved original, and ask again.
    TryOriginal,
    /// This object is not there; what is there may be kept.
    Missing { what: ObjectRole, why: String },
    /// Something cannot be read; what could be read may be kept.
    Unread(String),
    /// The bytes are not the recorded ones: nothing may be published.
    Damaged(String),
    /// An ingest is under way, and what was found is what it leaves lying about: look again at the next run.
    Later(String),
}

/// Judges the main object and the saved original of a data file. `original` is `None` while it was not looked for.
///
/// The recorded checksum is compared with the object that it belongs to by the rules, or was found to belong to when the
/// data file was `OK`: where that one is gone, no other object is damaged for it.
pub(crate) fn pair(file: &DataFile, known: &OnRecord, main: Seen<'_>, original: Option<Seen<'_>>) -> Judgement {
    let checksum = RecordedChecksum::parse(&file.checksum_value);
    let on_record = Pair { file, known, owner: known.owner_of(&checksum), checksum };
    let judgement = match (&file.tabular, original) {
        (Some(_), original) => on_record.tabular(main, original.unwrap_or(Seen::Missing("where nobody looked"))),
        (None, original) => on_record.plain(main, original),
    };
    if !file.is_being_ingested() {
        return judgement;
    }
    match judgement {
        Judgement::Good { basis, mut notes } => {
            notes.push("provisional: an ingest is under way, so the next run checks it again".into());
            Judgement::Good { basis, notes }
        }
        Judgement::Damaged(why) | Judgement::Missing { why, .. } => {
            Judgement::Later(format!("an ingest is under way: {why}"))
        }
        other @ (Judgement::Unread(_) | Judgement::TryOriginal | Judgement::Later(_)) => other,
    }
}

fn good(basis: Basis, notes: impl IntoIterator<Item = String>) -> Judgement {
    Judgement::Good { basis, notes: notes.into_iter().collect() }
}

fn missing(what: ObjectRole, why: impl Into<String>) -> Judgement {
    Judgement::Missing { what, why: why.into() }
}

/// What is known of the two before either is looked at.
struct Pair<'a> {
    file: &'a DataFile,
    known: &'a OnRecord,
    checksum: RecordedChecksum,
    /// The one that was found to have the recorded checksum.
    owner: Option<ObjectRole>,
}

impl Pair<'_> {
    /// The checksum speaks of the saved original (R5); which object it fits is tried (R6).
    fn tabular(&self, main: Seen<'_>, original: Seen<'_>) -> Judgement {
        match (original, main) {
            (Seen::Failed(why), _) | (_, Seen::Failed(why)) => Judgement::Unread(why.to_owned()),
            (Seen::Missing(original), Seen::Missing(main)) => {
                let both = format!("neither the saved original is at {original}, nor the .tab at {main}");
                missing(
                    if self.known.knows(&ObjectRole::Original) { ObjectRole::Original } else { ObjectRole::Main },
                    both,
                )
            }
            (Seen::Read(original), Seen::Missing(at)) => self.without_tab(original, at),
            (Seen::Missing(at), Seen::Read(main)) => self.without_original(main, at),
            (Seen::Read(original), Seen::Read(main)) => self.both(main, original),
        }
    }

    /// The length of a checksum says what it is; that the type beside it is another one is worth to be known.
    fn other_type(&self) -> Option<String> {
        let (digest, said) = (self.checksum.digest()?, self.file.checksum_type.trim());
        let is_same = said.is_empty() || said.replace('-', "").eq_ignore_ascii_case(digest.algorithm().name());
        (!is_same).then(|| {
            let (algorithm, digits) = (digest.algorithm(), digest.algorithm().digest_len() * 2);
            format!(
                "Dataverse calls the recorded checksum {said}, but it has {digits} digits, as {algorithm} has: it was \
                 compared as {algorithm}, and is the file's"
            )
        })
    }

    fn without_tab(&self, original: &Measured, at: &str) -> Judgement {
        if self.owner == Some(ObjectRole::Main) {
            return missing(ObjectRole::Main, format!("the .tab, which has the recorded checksum, is not at {at}"));
        }
        match self.checksum.describes(original) {
            Some(false) => Judgement::Damaged(format!(
                "the .tab is missing, and its saved original {}",
                differs(&self.checksum, original)
            )),
            Some(true) | None => {
                missing(ObjectRole::Main, format!("the .tab is not at {at}; its saved original is there"))
            }
        }
    }

    fn without_original(&self, main: &Measured, at: &str) -> Judgement {
        let had_original = self.file.tabular.as_ref().is_some_and(|it| it.original_format.is_some());
        let had_copy = self.known.knows(&ObjectRole::Original);
        // An uningest that is not over has put the upload in the place of the .tab.
        let is_same_tab = self.known.has(&ObjectRole::Main, main) == Some(true);
        match self.checksum.describes(main) {
            Some(true) if had_copy && is_same_tab => {
                missing(ObjectRole::Original, format!("the saved original (.orig) is not at {at}"))
            }
            Some(true) => good(
                Basis::Dataverse,
                had_original.then(|| {
                    "there is no saved original (.orig); the main object has the recorded checksum".to_owned()
                }),
            ),
            Some(false) if self.owner == Some(ObjectRole::Main) => {
                Judgement::Damaged(format!("the .tab {}", differs(&self.checksum, main)))
            }
            Some(false) | None if had_original || had_copy => missing(
                ObjectRole::Original,
                format!("the saved original (.orig), which the recorded checksum describes, is not at {at}"),
            ),
            Some(false) => Judgement::Damaged(format!(
                "there is no saved original, and the .tab {}",
                differs(&self.checksum, main)
            )),
            None => good(Basis::FirstSeen, [no_checksum(&self.checksum)]),
        }
    }

    fn both(&self, main: &Measured, original: &Measured) -> Judgement {
        // Best effort: nothing else is recorded of the .tab, which can be made again from the original (dataverse.md 3.2).
        let size = self.file.size.filter(|it| *it != main.size);
        let size = size.map(|it| format!("the .tab has {} bytes where Dataverse recorded {it}", main.size));
        match (self.checksum.describes(original), self.checksum.describes(main)) {
            (Some(true), _) => good(Basis::Dataverse, self.other_type().into_iter().chain(size)),
            (Some(false), Some(true)) => good(
                Basis::Dataverse,
                ["the recorded checksum is that of the .tab, not of the saved original".to_owned()],
            ),
            (Some(false), _) if self.owner == Some(ObjectRole::Main) => {
                Judgement::Damaged(format!("the .tab {}", differs(&self.checksum, main)))
            }
            (Some(false), _) => Judgement::Damaged(format!(
                "neither the saved original nor the .tab has the recorded checksum; the original {}",
                differs(&self.checksum, original)
            )),
            (None, _) => match original_size(self.file, original) {
                Some(why) => Judgement::Damaged(why),
                None => good(Basis::FirstSeen, [no_checksum(&self.checksum)].into_iter().chain(size)),
            },
        }
    }

    fn plain(&self, main: Seen<'_>, original: Option<Seen<'_>>) -> Judgement {
        let checksum = &self.checksum;
        let is_swapped = self.owner == Some(ObjectRole::Original);
        match (main, original) {
            (Seen::Failed(why), _) => Judgement::Unread(why.to_owned()),
            (Seen::Read(main), _) if checksum.describes(main) == Some(true) => {
                let size = self.file.size.filter(|it| *it > 0 && *it != main.size);
                let size = size.map(|it| {
                    format!("it has {} bytes where Dataverse recorded {it}; the recorded checksum is its own", main.size)
                });
                good(Basis::Dataverse, self.other_type().into_iter().chain(size))
            }
            (Seen::Read(main), _) if checksum.digest().is_none() => match self.file.size {
                // The only other thing recorded of it: a file that lost bytes must not pass.
                Some(recorded) if recorded > 0 && recorded != main.size => Judgement::Damaged(format!(
                    "Dataverse has no usable checksum, and the object has {} bytes where it recorded {recorded}",
                    main.size
                )),
                Some(_) | None => good(Basis::FirstSeen, [no_checksum(checksum)]),
            },
            (Seen::Read(_) | Seen::Missing(_), None) => Judgement::TryOriginal,
            (Seen::Read(_), Some(Seen::Read(original))) if checksum.describes(original) == Some(true) => good(
                Basis::Dataverse,
                ["swapped pair: Dataverse says that it is not tabular, but the recorded checksum is that of its saved original (.orig); both are copied".to_owned()],
            ),
            (Seen::Read(_), Some(Seen::Missing(at))) if is_swapped => missing(
                ObjectRole::Original,
                format!("the saved original (.orig), which has the recorded checksum (a swapped pair), is not at {at}"),
            ),
            (Seen::Read(_), Some(Seen::Failed(why))) if is_swapped => Judgement::Unread(why.to_owned()),
            (Seen::Read(_), Some(Seen::Read(original))) if is_swapped => {
                Judgement::Damaged(format!("the saved original (.orig) {}", differs(checksum, original)))
            }
            (Seen::Read(main), Some(_)) => Judgement::Damaged(format!("it {}", differs(checksum, main))),
            (Seen::Missing(at), Some(Seen::Read(original))) if checksum.describes(original) == Some(true) => missing(
                ObjectRole::Main,
                format!("the object is not at {at}; a saved original (.orig) with the recorded checksum is there"),
            ),
            (Seen::Missing(at), Some(_)) => missing(ObjectRole::Main, format!("the object is not at {at}")),
        }
    }
}

fn original_size(file: &DataFile, original: &Measured) -> Option<String> {
    let recorded = file.tabular.as_ref()?.original_size.filter(|it| *it > 0 && *it != original.size)?;
    Some(format!(
        "Dataverse has no usable checksum, and the saved original has {} bytes where it recorded {recorded}",
        original.size
    ))
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
pub(crate) fn package(
    file: &DataFile,
    known: &OnRecord,
    manifest: &Manifest,
    members: &[(&str, Seen<'_>)],
) -> Judgement {
    let folder = manifest.folder();
    let paths: Vec<&str> = members.iter().map(|it| it.0).collect();
    let checksum = RecordedChecksum::parse(&file.checksum_value);
    if members.is_empty() {
        return missing(ObjectRole::Main, format!("the package's folder {folder} is empty"));
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
            Seen::Missing(at) => {
                return missing(member(path), format!("member {path:?} of the package is not at {at}"));
            }
            Seen::Failed(why) => return Judgement::Unread((*why).to_owned()),
        }
    }
    let lost = lost_members(known, manifest, members, &paths);
    if let Some(first) = lost.first() {
        let count = lost.len();
        let are = if count == 1 { "member of the package is" } else { "members of the package are" };
        return missing(member(first), format!("{count} {are} not in {folder}, {first:?} first"));
    }
    match (manifest.path(), checksum.digest()) {
        (None, Some(_)) => missing(
            ObjectRole::Main,
            format!("the package's manifest, which the recorded checksum describes, is not in {folder}"),
        ),
        (Some(_), Some(_)) => good(Basis::Dataverse, None),
        (_, None) => good(Basis::FirstSeen, [no_checksum(&checksum)]),
    }
}

fn member(path: &str) -> ObjectRole {
    ObjectRole::Member(path.to_owned())
}

/// Members that the manifest lists, or that were copied when the manifest was this one, and that are not among `paths`,
/// which are in order.
fn lost_members<'a>(
    known: &'a OnRecord,
    manifest: &'a Manifest,
    members: &'a [(&str, Seen<'_>)],
    paths: &'a [&str],
) -> Vec<&'a str> {
    let read = |path| members.iter().find(|it| it.0 == path).map(|it| it.1);
    let is_replaced = manifest.path().is_some_and(|path| match read(path) {
        Some(Seen::Read(it)) => known.has(&member(path), it) == Some(false),
        Some(Seen::Missing(_) | Seen::Failed(_)) | None => false,
    });
    let copied = known.members().filter(|_| !is_replaced);
    let mut lost: Vec<&str> = copied.filter(|it| paths.binary_search(it).is_err()).collect();
    lost.extend(manifest.missing(paths));
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// Why a store could not give an object, in a sentence that begins with the kind of the failure.
pub(crate) fn reason(error: &SourceError) -> String {
    let kind = match error.cause {
        Cause::Missing => "missing: ",
        Cause::Forbidden => "forbidden: ",
        Cause::Refused => "refused: ",
        Cause::Transient
        | Cause::Unavailable
        | Cause::Misconfigured
        | Cause::Absent
        | Cause::Untrusted
        | Cause::Full
        | Cause::Exists
        | Cause::Broken
        | Cause::Unnameable
        | Cause::Io => "",
    };
    format!("{kind}{}", error.chain())
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

    fn pair_of(file: &DataFile, main: Seen<'_>, original: Option<Seen<'_>>) -> Judgement {
        pair(file, &OnRecord::default(), main, original)
    }

    fn measured(bytes: &[u8]) -> Measured {
        Measured::of(bytes, &[Algorithm::Md5])
    }

    fn file(checksum: &str, tabular: Option<Tabular>) -> DataFile {
        DataFile {
            id: DvObjectId(1),
            pid: None,
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
            Judgement::Missing { .. } => "missing",
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
            (Seen::Read(&bad), Some(Seen::Missing("there")), "damaged"),
            (Seen::Read(&bad), Some(Seen::Failed("why")), "damaged"),
            (Seen::Missing("there"), None, "try original"),
            (Seen::Missing("there"), Some(Seen::Read(&good)), "missing"),
            (Seen::Missing("there"), Some(Seen::Missing("there")), "missing"),
            (Seen::Failed("why"), None, "unread"),
        ];
        for (main, original, expected) in rows {
            assert_eq!(word(&pair_of(&file(&md5(UPLOAD), None), main, original)), expected, "{main:?} {original:?}");
        }
    }

    #[test]
    fn a_tabular_file() {
        let (upload, tab, other) = (measured(UPLOAD), measured(TAB), measured(b"other"));
        let rows = [
            (Some("csv"), Seen::Read(&tab), Seen::Read(&upload), "good"),
            (Some("csv"), Seen::Read(&upload), Seen::Missing("there"), "good, noted"),
            (None, Seen::Read(&upload), Seen::Missing("there"), "good"),
            (Some("csv"), Seen::Read(&tab), Seen::Missing("there"), "missing"),
            (None, Seen::Read(&tab), Seen::Missing("there"), "damaged"),
            (Some("csv"), Seen::Missing("there"), Seen::Read(&upload), "missing"),
            (Some("csv"), Seen::Missing("there"), Seen::Read(&other), "damaged"),
            (Some("csv"), Seen::Missing("there"), Seen::Missing("there"), "missing"),
            (Some("csv"), Seen::Read(&upload), Seen::Read(&other), "good, noted"),
            (Some("csv"), Seen::Read(&tab), Seen::Read(&other), "damaged"),
            (Some("csv"), Seen::Read(&tab), Seen::Failed("why"), "unread"),
            (Some("csv"), Seen::Failed("why"), Seen::Read(&upload), "unread"),
        ];
        for (format, main, original, expected) in rows {
            let judged = pair_of(&file(&md5(UPLOAD), table(format)), main, Some(original));
            assert_eq!(word(&judged), expected, "{format:?} {main:?} {original:?}");
        }
    }

    fn copied(role: ObjectRole, bytes: &[u8], is_rebuilt: bool) -> dvb_ledger::CopyRecord {
        let digest = |it| measured(bytes).digest(it).cloned();
        dvb_ledger::CopyRecord {
            id: DvObjectId(1),
            role,
            version: 1,
            key: dvb_model::ObjectKey::new("k").unwrap(),
            state: dvb_ledger::CopyState::Proved,
            size: Some(bytes.len() as u64),
            sha256: digest(Algorithm::Sha256),
            others: digest(Algorithm::Md5).into_iter().filter(|_| !is_rebuilt).collect(),
            evidence: None,
            proved_at: None,
        }
    }

    /// The checksum is compared with the object that it was found to belong to, also where only our own digest is known.
    #[test]
    fn what_was_copied_and_is_gone_is_missing() {
        let (upload, tab, other) = (measured(UPLOAD), measured(TAB), measured(b"other"));
        for is_rebuilt in [false, true] {
            let known = |original: &[u8], main: &[u8]| {
                let mut known = OnRecord::default();
                let here = dvb_model::DestinationName("default".into());
                known.add(&here, copied(ObjectRole::Original, original, is_rebuilt));
                known.add(&here, copied(ObjectRole::Main, main, is_rebuilt));
                known
            };
            let usual = known(UPLOAD, TAB);
            let gone = Some(Seen::Missing("there"));
            let of =
                |tabular, known: &OnRecord, main, original| pair(&file(&md5(UPLOAD), tabular), known, main, original);
            let rows = [
                (None, &usual, Seen::Read(&tab), gone, "missing"),
                (None, &usual, Seen::Read(&other), gone, "missing"),
                (None, &usual, Seen::Read(&tab), Some(Seen::Failed("why")), "unread"),
                (None, &usual, Seen::Read(&tab), Some(Seen::Read(&other)), "damaged"),
                // Uningested: the upload is the main object again.
                (None, &usual, Seen::Read(&upload), None, "good"),
                (table(None), &usual, Seen::Read(&tab), gone, "missing"),
                (table(None), &usual, Seen::Read(&upload), gone, "good"),
            ];
            for (tabular, known, main, original, expected) in rows {
                let judged = of(tabular.clone(), known, main, original);
                assert_eq!(word(&judged), expected, "{tabular:?} {main:?} {original:?} {is_rebuilt}");
            }
            // The checksum is that of the .tab.
            let turned = known(b"other", UPLOAD);
            let judged = of(table(Some("csv")), &turned, Seen::Read(&upload), gone);
            assert!(matches!(judged, Judgement::Missing { what: ObjectRole::Original, .. }), "{judged:?}");
            if !is_rebuilt {
                let judged = of(table(Some("csv")), &turned, Seen::Missing("there"), Some(Seen::Read(&other)));
                assert!(matches!(judged, Judgement::Missing { what: ObjectRole::Main, .. }), "{judged:?}");
            }
        }
    }

    #[test]
    fn what_dataverse_recorded_beside_a_checksum_that_fits_is_noted() {
        let read = measured(UPLOAD);
        let of = |size, kind: &str| {
            let file = DataFile { size, checksum_type: kind.into(), ..file(&md5(UPLOAD), None) };
            pair_of(&file, Seen::Read(&read), None)
        };
        assert_eq!(word(&of(Some(4), "MD5")), "good");
        assert_eq!(word(&of(Some(5), "MD5")), "good, noted");
        assert_eq!(word(&of(None, "SHA-1")), "good, noted");
        assert_eq!(word(&of(None, "")), "good");
    }

    #[test]
    fn without_a_checksum_the_size_is_all_there_is() {
        let read = measured(UPLOAD);
        let of_size = |size, value: &str| pair_of(&DataFile { size, ..file(value, None) }, Seen::Read(&read), None);
        for value in ["", "Unknown", "Not available in Dataverse"] {
            assert_eq!(word(&of_size(Some(4), value)), "first seen");
            assert_eq!(word(&of_size(None, value)), "first seen");
            assert_eq!(word(&of_size(Some(0), value)), "first seen", "a size of 0 may mean that nobody knew");
            assert_eq!(word(&of_size(Some(5), value)), "damaged");
        }
        assert_eq!(word(&of_size(Some(5), &md5(UPLOAD))), "good, noted", "the checksum says more than the size");
    }

    #[test]
    fn while_an_ingest_is_under_way_nothing_is_called_damaged() {
        let (good, bad) = (measured(UPLOAD), measured(TAB));
        let file = DataFile { ingest_status: Some('C'), ..file(&md5(UPLOAD), None) };
        assert_eq!(word(&pair_of(&file, Seen::Read(&good), None)), "good, noted");
        assert_eq!(word(&pair_of(&file, Seen::Read(&bad), Some(Seen::Missing("there")))), "later");
        assert_eq!(word(&pair_of(&file, Seen::Missing("there"), Some(Seen::Missing("there")))), "later");
        assert_eq!(word(&pair_of(&file, Seen::Failed("disk"), None)), "unread");
    }

    fn seen(which: u8, contents: &[Measured; 3]) -> Seen<'_> {
        match which {
            0 => Seen::Missing("there"),
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
            match pair_of(&file, main, original) {
                Judgement::Good { basis: Basis::Dataverse, .. } => prop_assert!(usable && (fits(Some(main)) || fits(original))),
                Judgement::Good { basis: Basis::FirstSeen, .. } => prop_assert!(!usable && matches!(main, Seen::Read(_))),
                Judgement::Damaged(_) => prop_assert!(!locked && (!usable || !fits(Some(main)))),
                Judgement::TryOriginal => prop_assert!(original.is_none()),
                Judgement::Missing { .. } | Judgement::Unread(_) => prop_assert!(!usable || !fits(Some(main)) || file.tabular.is_some()),
                Judgement::Later(_) => prop_assert!(locked),
            }
        }
    }
}
