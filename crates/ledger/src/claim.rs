//! The copies that a snapshot claims, as the databases write them.

use dvb_model::Status;

use crate::decode::version_column;
use crate::{Claim, CopyRecord, CopyState, LedgerError};

/// What is recorded of a data file or dataset: no snapshot proves a copy, but one does say that there can be none.
pub(crate) fn status(claim: &Claim) -> &'static str {
    if claim.not_covered { Status::NotCovered.name() } else { Status::Pending.name() }
}

/// A row of `backup_copy`.
pub(crate) struct CopyRow<'a> {
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) version: i32,
    pub(crate) key: &'a str,
    pub(crate) state: &'static str,
    pub(crate) size: i64,
    pub(crate) sha256: &'a [u8],
    pub(crate) evidence: &'static str,
    pub(crate) proved_at: &'a str,
}

/// Every copy of the claims; none of them may say that it is proved.
pub(crate) fn copies(claims: &[Claim]) -> Result<Vec<CopyRow<'_>>, LedgerError> {
    claims.iter().flat_map(|claim| claim.copies.iter().map(|it| row(claim, it))).collect()
}

fn row<'a>(claim: &Claim, copy: &'a CopyRecord) -> Result<CopyRow<'a>, LedgerError> {
    let unproved = |why: &str| LedgerError::Unproved {
        id: claim.id,
        why: format!("the claim to {} version {} {why}", copy.role, copy.version),
    };
    let state = match copy.state {
        CopyState::Claimed => CopyState::Reserved,
        CopyState::Damaged => CopyState::Damaged,
        CopyState::Reserved | CopyState::Proved => return Err(unproved("says more or less than a snapshot can")),
    };
    let CopyRecord {
        size: Some(size), sha256: Some(sha256), evidence: Some(evidence), proved_at: Some(proved_at), ..
    } = copy
    else {
        return Err(unproved("lacks its size, digest or evidence"));
    };
    Ok(CopyRow {
        id: claim.id.0,
        role: copy.role.to_string(),
        version: version_column(copy.version),
        key: copy.key.as_str(),
        state: state.name(),
        size: i64::try_from(*size).unwrap_or(i64::MAX),
        sha256: sha256.as_bytes(),
        evidence: evidence.name(),
        proved_at,
    })
}
