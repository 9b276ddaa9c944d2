//! What a restore finds to be bad, and what it puts back, goes into the ledger as incidents.

use dvb_fixity::Digest;
use dvb_ledger::{Bytes, CopyRecord, Finding, Mending, Side};
use dvb_model::{DvObjectId, ObjectRole};

use super::object::{ObjectOutcome, Outcome, Wanted};
use super::{Goal, Shared};
use crate::source::incident;
use dvb_ledger::Loss;

/// Those of one data file or dataset.
#[derive(Default)]
pub(super) struct Incidents {
    found: Vec<Finding>,
    mended: Vec<Mending>,
}

impl Incidents {
    /// What came of one object.
    pub(super) fn add(
        &mut self,
        shared: &Shared<'_>,
        id: DvObjectId,
        role: &ObjectRole,
        copies: &[&(usize, CopyRecord)],
        wanted: &Wanted,
        outcome: &Outcome,
    ) {
        for bad in &outcome.bad {
            let is_it = |it: &&&(usize, CopyRecord)| it.0 == bad.origin && it.1.key == bad.key;
            let Some((n, copy)) = copies.iter().find(is_it) else { continue };
            self.found.push(Finding {
                id,
                role: role.clone(),
                version: copy.version,
                side: Side::Destination,
                place: shared.setup.from[*n].name.0.clone(),
                key: bad.key.as_str().to_owned(),
                found: if bad.actual.is_none() { Loss::Missing } else { Loss::Damaged },
                detail: bad.why.clone(),
                command: "restore",
                expected: Bytes { size: copy.size, digest: copy.sha256.clone() },
                actual: bad.actual.clone().unwrap_or_default(),
            });
        }
        let (Goal::InPlace(_), ObjectOutcome::Restored { from: Some(from), kept, .. }) =
            (shared.setup.to, &outcome.fate)
        else {
            return;
        };
        let Some(store) = &wanted.driver else { return };
        let (what, actual) =
            if kept.is_some() { (Loss::Damaged, Some(Bytes::default())) } else { (Loss::Missing, None) };
        let detail = format!("{} in store {store} was {}", wanted.path, what.name());
        let found = incident::Discovery { command: "restore", detail: &detail };
        let digest: &Digest = wanted.recorded.as_ref().unwrap_or(&wanted.sha256);
        let expected = Bytes { size: Some(wanted.size), digest: Some(digest.clone()) };
        let key = wanted.path.as_str().to_owned();
        self.mended.push(Mending {
            of: incident::in_store(found, (id, role), store, key, expected, actual),
            from: format!("destination {}", shared.setup.from[*from].name),
            evidence: None,
            size: wanted.size,
            sha256: wanted.sha256.clone(),
            kept: kept.clone(),
        });
    }

    /// A ledger that takes no more keeps nobody from his files.
    pub(super) fn record(self, shared: &Shared<'_>) {
        let Self { found, mended } = self;
        if found.is_empty() && mended.is_empty() {
            return;
        }
        if let Err(error) = shared.setup.ledger.record_incidents(&shared.options.run, &found, &mended) {
            let why = dvb_storage::chain(&error);
            shared
                .tally()
                .note(format!("not all damage that was found and repaired could be recorded as incidents: {why}"));
        }
    }
}
