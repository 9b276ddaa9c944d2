//! Losses that the administrator has acknowledged: what raises no alarm as long as nothing about it changes.

use std::collections::HashMap;

use dvb_ledger::{Acknowledgement, Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId, Status};

/// The acknowledgements at one destination that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(HashMap<DvObjectId, Acknowledgement>);

impl Acknowledged {
    /// Those that the ledger has.
    pub(crate) fn at(ledger: &dyn Ledger, destination: &DestinationName) -> Result<Self, LedgerError> {
        let all = ledger.acknowledgements()?.into_iter();
        let open = all.filter(|it| it.ended_at.is_none() && it.destination == *destination);
        Ok(Self(open.map(|it| (it.id, it)).collect()))
    }

    /// Whether there is one of this data file, whatever it says.
    pub(crate) fn has(&self, id: DvObjectId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether the data file is still what was acknowledged: the verdict, its row in Dataverse, and its proved copies.
    pub(crate) fn holds(&self, id: DvObjectId, status: Status, fingerprint: &str, copies: u64) -> bool {
        self.0.get(&id).is_some_and(|it| it.status == status && it.fingerprint == fingerprint && it.copies == copies)
    }

    /// The same where only the store was looked at, which says nothing of copies.
    pub(crate) fn holds_at_source(&self, id: DvObjectId, status: Status, fingerprint: &str) -> bool {
        self.0.get(&id).is_some_and(|it| it.status == status && it.fingerprint == fingerprint)
    }
}
