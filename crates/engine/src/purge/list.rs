//! The exact list of what is to go, and its digest.
//!
//! Canonical form, UTF-8, each line ended by a line feed: `dataverse-backup purge 1`; then JSON arrays without spaces, sorted
//! as text: `["about",basis,reference,even if in Dataverse]`, `["file",id,kind]` for each data file, and for each thing
//! `["thing",destination,id,role,name,version,kind,size,SHA-256]`, the version and SHA-256 `null` where there is none. The
//! digest is SHA-256 of that.

use std::collections::{BTreeMap, BTreeSet};

use dvb_fixity::Digest;
use dvb_ledger::{Ledger, LedgerError, Purge, PurgeTarget, Purged, TargetState, digest_of};
use dvb_model::{DestinationName, DvObjectId, ObjectKey};
use dvb_storage::{Held, HeldKind, Lock, Purger, SinkError};

/// How many versions behind the last one that the ledger knows are looked for.
const VERSIONS_BEYOND: u32 = 3;

/// A key under which something of a data file may lie.
#[derive(Debug, Clone)]
pub(super) struct KeyOf {
    pub(super) id: DvObjectId,
    pub(super) role: String,
    pub(super) key: ObjectKey,
    /// Of the copy there, by the ledger.
    pub(super) sha256: Option<Digest>,
}

/// Every key of these data files at a destination: those that the ledger has, and those that a version or a key apart would
/// have that it does not know. A key that belongs to another data file is none of theirs, whatever its name.
pub(super) fn keys_at(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    files: &[Purged],
) -> Result<Vec<KeyOf>, LedgerError> {
    let ids: Vec<DvObjectId> = files.iter().map(|it| it.id).collect();
    let mut keys: BTreeMap<ObjectKey, KeyOf> = BTreeMap::new();
    let mut newest: BTreeMap<(DvObjectId, String), (ObjectKey, u32)> = BTreeMap::new();
    for copy in ledger.copies(destination, &ids)? {
        let role = copy.role.to_string();
        let last = newest.entry((copy.id, role.clone())).or_insert_with(|| (copy.key.clone(), copy.version));
        last.1 = last.1.max(copy.version);
        keys.insert(copy.key.clone(), KeyOf { id: copy.id, role, key: copy.key, sha256: copy.sha256 });
    }
    for ((id, role), (base, version)) in newest {
        let apart = base.apart_for(id);
        let versions = 2..=version.saturating_add(VERSIONS_BEYOND);
        let beside = versions.flat_map(|n| [base.version(n), apart.version(n)]).chain([apart.clone()]);
        for key in beside.collect::<BTreeSet<_>>() {
            if keys.contains_key(&key) || ledger.copy_at(destination, &key)?.is_some_and(|it| it.id != id) {
                continue;
            }
            keys.insert(key.clone(), KeyOf { id, role: role.clone(), key, sha256: None });
        }
    }
    Ok(keys.into_values().collect())
}

/// The keys that a list has, for what the ledger has forgotten since.
pub(super) fn keys_of(targets: &[PurgeTarget]) -> Vec<KeyOf> {
    let mut keys: BTreeMap<ObjectKey, KeyOf> = BTreeMap::new();
    for it in targets {
        if let (Some(id), Ok(key)) = (it.id, ObjectKey::new(&it.key)) {
            keys.insert(key.clone(), KeyOf { id, role: it.role.clone(), key, sha256: it.sha256.clone() });
        }
    }
    keys.into_values().collect()
}

/// What lies at a destination under these keys. The numbers of the targets begin behind `last`.
pub(super) fn gather(
    purger: &mut dyn Purger,
    destination: &DestinationName,
    keys: &[KeyOf],
    last: u64,
) -> Result<Vec<PurgeTarget>, SinkError> {
    let mut targets = Vec::new();
    for of in keys {
        for held in purger.held(&of.key)? {
            let number = last + 1 + targets.len() as u64;
            targets.push(PurgeTarget { number, ..target(destination, Some(of.id), of, &held) });
        }
    }
    Ok(targets)
}

pub(super) fn target(destination: &DestinationName, id: Option<DvObjectId>, of: &KeyOf, held: &Held) -> PurgeTarget {
    // Only what lies at the key itself has the digest that the ledger knows.
    let is_it = held.kind == HeldKind::Object && held.name == of.key.as_str() && held.version.is_none();
    PurgeTarget {
        number: 0,
        destination: destination.clone(),
        id,
        role: of.role.clone(),
        key: of.key.as_str().to_owned(),
        name: held.name.clone(),
        version: held.version.clone(),
        kind: kind(held.kind).to_owned(),
        size: held.size,
        sha256: of.sha256.clone().filter(|_| is_it),
        // Bytes that no name shows come and go.
        listed: held.kind != HeldKind::Upload,
        state: state(held.lock),
    }
}

pub(super) fn kind(kind: HeldKind) -> &'static str {
    match kind {
        HeldKind::Object => "object",
        HeldKind::Manifest => "manifest",
        HeldKind::Segment => "segment",
        HeldKind::Upload => "upload",
        HeldKind::Marker => "marker",
    }
}

pub(super) fn state(lock: Option<Lock>) -> TargetState {
    match lock {
        None => TargetState::Pending,
        Some(Lock::Hold) => TargetState::Locked(None),
        Some(Lock::Until(until)) => {
            let until = jiff::Timestamp::try_from(until).unwrap_or(jiff::Timestamp::MAX);
            TargetState::Locked(Some(until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
        }
    }
}

/// Whether a thing is the one that a target is about.
pub(super) fn is_it(target: &PurgeTarget, held: &Held) -> bool {
    target.name == held.name && target.version == held.version && target.kind == kind(held.kind)
}

/// The digest of a list: of what stands in it, on which basis, and about what.
pub(super) fn digest(purge: &Purge, targets: &[PurgeTarget]) -> String {
    let mut lines: Vec<String> = targets
        .iter()
        .filter(|it| it.listed)
        .map(|it| {
            let sha256 = it.sha256.as_ref().map(Digest::hex);
            let id = it.id.map(|id| id.0);
            serde_json::json!(["thing", it.destination, id, it.role, it.name, it.version, it.kind, it.size, sha256])
                .to_string()
        })
        .collect();
    lines.push(serde_json::json!(["about", purge.basis, purge.reference, purge.even_if_in_dataverse]).to_string());
    lines.extend(purge.files.iter().map(|it| serde_json::json!(["file", it.id, it.kind]).to_string()));
    lines.sort_unstable();
    lines.dedup();
    let text: String =
        ["dataverse-backup purge 1".to_owned()].into_iter().chain(lines).map(|line| line + "\n").collect();
    digest_of(&text)
}

/// How many digits of it are enough to say which is meant.
const DIGITS: usize = 16;

/// Whether somebody means this digest: he may write its beginning.
pub(super) fn is_meant(given: &str, digest: &str) -> bool {
    let given = given.trim().to_ascii_lowercase();
    given.len() >= DIGITS && digest.starts_with(&given)
}
