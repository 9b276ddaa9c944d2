//! What was purged by law: nothing of it is copied, restored or looked for, whatever a catalogue or a snapshot says.

use std::collections::HashSet;

use dvb_ledger::{Ledger, LedgerError};
use dvb_model::DvObjectId;

/// The data files and datasets that have a tombstone, at whichever destination.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buried(HashSet<DvObjectId>);

impl Buried {
    /// Those that the ledger has.
    pub(crate) fn known(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        Ok(Self(ledger.tombstones()?.into_iter().map(|it| it.id).collect()))
    }

    /// Whether it was purged.
    pub(crate) fn has(&self, id: DvObjectId) -> bool {
        self.0.contains(&id)
    }
}
