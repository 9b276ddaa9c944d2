//! What is found bad on either side, as the ledger keeps it of each object.

use dvb_fixity::{Algorithm, Digest, Measured, RecordedChecksum};
use dvb_ledger::{Bytes, Finding, Side};
use dvb_model::{DataFile, DriverId, DvObjectId, ObjectRole};

use crate::source::judge::{Judgement, Seen};
use crate::source::list_objects::Object;
use dvb_ledger::Loss;

/// A store has one version of an object.
const IN_STORE: u32 = 1;

/// Which command finds it, and of what.
#[derive(Clone, Copy)]
pub(crate) struct Discovery<'a> {
    pub(crate) command: &'static str,
    pub(crate) detail: &'a str,
}

/// An object in a store that is bad.
pub(crate) fn in_store(
    found: Discovery<'_>,
    (id, role): (DvObjectId, &ObjectRole),
    store: &DriverId,
    key: String,
    expected: Bytes,
    actual: Option<Bytes>,
) -> Finding {
    Finding {
        id,
        role: role.clone(),
        version: IN_STORE,
        side: Side::Store,
        place: store.0.clone(),
        key,
        found: if actual.is_none() { Loss::Missing } else { Loss::Damaged },
        detail: found.detail.to_owned(),
        command: found.command,
        expected,
        actual: actual.unwrap_or_default(),
    }
}

/// What of a data file is missing or damaged in its store, where a judgement or a look says that something is.
pub(crate) fn at_source(
    found: Discovery<'_>,
    file: &DataFile,
    store: &DriverId,
    judgement: Option<&Judgement>,
    objects: &[(&Object, Option<Seen<'_>>)],
) -> Vec<Finding> {
    let recorded = RecordedChecksum::parse(&file.checksum_value);
    let has_original = objects.iter().any(|it| it.0.role == ObjectRole::Original && is_read(it.1));
    let described = if has_original { ObjectRole::Original } else { ObjectRole::Main };
    let one = |role: &ObjectRole, expected: Option<&Digest>, actual: Option<&Measured>| {
        let key = objects.iter().find(|it| it.0.role == *role).map(|it| it.0.key.as_str().to_owned());
        let key = key.or_else(|| file.storage_identifier.clone()).unwrap_or_default();
        let digest = expected.or(recorded.digest().filter(|_| *role == described)).cloned();
        let actual = actual.map(|measured| {
            let like = digest.as_ref().and_then(|wanted| measured.digest(wanted.algorithm()));
            Bytes { size: Some(measured.size), digest: like.or(measured.digest(Algorithm::Sha256)).cloned() }
        });
        in_store(found, (file.id, role), store, key, Bytes { size: None, digest }, actual)
    };
    let mut all = Vec::new();
    match judgement {
        Some(Judgement::Missing { what, .. }) => all.push(one(what, None, None)),
        Some(Judgement::Damaged(_)) => {
            let read = objects.iter().find(|it| it.0.role == described).and_then(|it| it.1.and_then(measured));
            all.push(Finding { found: Loss::Damaged, ..one(&described, None, read) });
        }
        Some(Judgement::Good { .. } | Judgement::TryOriginal | Judgement::Unread(_) | Judgement::Later(_)) | None => {
            for (object, seen) in objects {
                match seen {
                    Some(Seen::Read(read)) => {
                        let expected = object.expected.as_ref();
                        if expected.is_some_and(|it| read.matches(it) == Some(false)) {
                            all.push(one(&object.role, expected, Some(read)));
                        }
                    }
                    Some(Seen::Missing(_)) if !object.optional => {
                        all.push(one(&object.role, object.expected.as_ref(), None));
                    }
                    Some(Seen::Missing(_) | Seen::Failed(_)) | None => {}
                }
            }
        }
    }
    if all.is_empty() {
        // It is not even listed.
        all.push(one(&ObjectRole::Main, None, None));
    }
    all
}

fn is_read(seen: Option<Seen<'_>>) -> bool {
    seen.and_then(measured).is_some()
}

fn measured(seen: Seen<'_>) -> Option<&Measured> {
    match seen {
        Seen::Read(it) => Some(it),
        Seen::Missing(_) | Seen::Failed(_) => None,
    }
}
