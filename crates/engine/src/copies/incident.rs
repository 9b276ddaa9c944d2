//! A copy that is bad, as the ledger keeps it.

use dvb_fixity::Mismatch;
use dvb_ledger::{Bytes, CopyRecord, Finding, Side};
use dvb_model::DestinationName;

use crate::copies::compare::Bad;
use crate::source::incident::Discovery;

/// A copy at a destination that is bad.
pub(crate) fn of_copy(found: Discovery<'_>, destination: &DestinationName, copy: &CopyRecord, bad: &Bad) -> Finding {
    let actual = match bad {
        Bad::Missing | Bad::Broken(_) => Bytes::default(),
        Bad::Size(size, digest) => Bytes { size: Some(*size), digest: digest.clone() },
        Bad::Digest(Mismatch::Size { found, .. }) => Bytes { size: Some(*found), digest: None },
        Bad::Digest(Mismatch::Digest { found, .. } | Mismatch::Incomparable { found }) => {
            Bytes { size: copy.size, digest: Some(found.clone()) }
        }
    };
    Finding {
        id: copy.id,
        role: copy.role.clone(),
        version: copy.version,
        side: Side::Destination,
        place: destination.0.clone(),
        key: copy.key.as_str().to_owned(),
        found: bad.loss(),
        detail: found.detail.to_owned(),
        command: found.command,
        expected: Bytes { size: copy.size, digest: copy.sha256.clone() },
        actual,
    }
}
