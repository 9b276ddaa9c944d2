//! All that is known of one data file.

use dvb_model::{DestinationName, RunId};

use crate::decode::{RawCopy, RawDetail};
use crate::{CopyRecord, LedgerError, StateDetail};

/// One data file or dataset at one destination, with all of its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custody {
    /// Name of the destination that it is about.
    pub destination: DestinationName,
    /// The verdict, with what people need to know of it.
    pub detail: StateDetail,
    /// Fingerprint of the row in Dataverse that the verdict is of.
    pub fingerprint: String,
    /// The original's word for how it is copied.
    pub method: String,
    /// When it was first seen in the catalogue, RFC 3339 UTC.
    pub first_seen: String,
    /// When an object of it was last proved, RFC 3339 UTC.
    pub last_backup: Option<String>,
    /// The run, or the look at it, that the verdict is of.
    pub run: RunId,
    /// Its copies, in the order of role and version.
    pub copies: Vec<CopyInCustody>,
}

/// A copy with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyInCustody {
    /// The copy, with when and by which evidence it was proved last.
    pub copy: CopyRecord,
    /// When these bytes were first seen, RFC 3339 UTC.
    pub first_seen: String,
    /// It was found at the destination, not sent.
    pub adopted: bool,
}

/// A state's row for [`Custody`].
pub(crate) struct RawCustody {
    pub(crate) destination: String,
    pub(crate) detail: RawDetail,
    pub(crate) fingerprint: String,
    pub(crate) method: String,
    pub(crate) first_seen: String,
    pub(crate) last_backup: Option<String>,
    pub(crate) run: String,
}

impl RawCustody {
    pub(crate) fn read(self, mut copies: Vec<CopyInCustody>) -> Result<Custody, LedgerError> {
        copies.sort_unstable_by(|a, b| (&a.copy.role, a.copy.version).cmp(&(&b.copy.role, b.copy.version)));
        Ok(Custody {
            destination: DestinationName(self.destination),
            detail: self.detail.read()?,
            fingerprint: self.fingerprint,
            method: self.method,
            first_seen: self.first_seen,
            last_backup: self.last_backup,
            run: RunId(self.run),
            copies,
        })
    }
}

pub(crate) fn copy_in_custody(copy: RawCopy, first_seen: String, adopted: bool) -> Result<CopyInCustody, LedgerError> {
    Ok(CopyInCustody { copy: copy.read()?, first_seen, adopted })
}
