//! Another person's agreement to a list; and the end of a request that was a mistake.

use std::collections::{BTreeMap, BTreeSet};

use dvb_ledger::{Agent, Ledger, Purge, PurgeState, Signed};
use dvb_model::{DvObjectId, RunId};

use super::holds::refuse_held;
use super::{Person, PurgeError, find, list};
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Intent, Recorded};
use crate::command::selection::Selection;
use crate::command::time::now;

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct ApproveOptions {
    /// Name of this call.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Who that is.
    pub person: Person,
    /// Whether another person than the requester has to approve it.
    pub two_persons: bool,
}

/// Approves a purge: its list, and no other one.
///
/// # Errors
/// [`PurgeError`]: by the requester, before its grace is over, with another digest, and when it is not open.
pub fn approve_purge(
    ledger: &dyn Ledger,
    options: &ApproveOptions,
    number: u64,
    digest: &str,
) -> Result<Purge, PurgeError> {
    let purge = find(ledger, number)?;
    recorded(ledger, "purge approve", options, &purge, || {
        if purge.state != PurgeState::Requested {
            return Err(PurgeError::State { number, state: purge.state, wanted: "approved" });
        }
        if !list::is_meant(digest, &purge.digest) {
            return Err(PurgeError::OtherList { number, digest: purge.digest.clone() });
        }
        refuse_changed(ledger, &purge)?;
        let approved = options.person.sign(&options.agent);
        if options.two_persons && is_one(&purge.requested, &approved) {
            let requested = &purge.requested;
            let (requester, approver) = (requested.user.clone(), approved.user);
            return Err(PurgeError::SamePerson { number, requester, approver });
        }
        if approved.at < purge.not_before {
            return Err(PurgeError::TooEarly { number, until: purge.not_before.clone() });
        }
        refuse_held_since(ledger, &purge)?;
        let approved = Purge { state: PurgeState::Approved, approved: Some(approved), ..purge.clone() };
        advance(ledger, approved, PurgeState::Requested, "approved")
    })
}

/// Whether two may be one person. Numbers of users mean something on one host alone.
fn is_one(one: &Signed, other: &Signed) -> bool {
    one.user == other.user || (one.uid == other.uid && one.host == other.host)
}

/// Gives up a purge before anything was deleted.
///
/// # Errors
/// [`PurgeError::State`], when deleting has begun or it is over.
pub fn withdraw_purge(ledger: &dyn Ledger, options: &ApproveOptions, number: u64) -> Result<Purge, PurgeError> {
    let purge = find(ledger, number)?;
    recorded(ledger, "purge withdraw", options, &purge, || match purge.state {
        PurgeState::Requested | PurgeState::Approved => {
            let withdrawn = Purge { state: PurgeState::Withdrawn, ended_at: Some(now()), ..purge.clone() };
            advance(ledger, withdrawn, purge.state, "withdrawn")
        }
        state => Err(PurgeError::State { number, state, wanted: "withdrawn" }),
    })
}

/// Refuses a list that is not the one which the digest was made of.
pub(super) fn refuse_changed(ledger: &dyn Ledger, purge: &Purge) -> Result<(), PurgeError> {
    let targets = ledger.purge_targets(purge.number)?;
    // Once something has lost its name, the digest cannot be made again.
    if list::digest(purge, &targets) == purge.digest {
        return Ok(());
    }
    Err(PurgeError::ListChanged { number: purge.number })
}

/// Refuses what came under a hold since it was requested.
pub(super) fn refuse_held_since(ledger: &dyn Ledger, purge: &Purge) -> Result<(), PurgeError> {
    let ids: Vec<DvObjectId> = purge.files.iter().map(|it| it.id).collect();
    let mut pids = BTreeMap::new();
    for &id in &ids {
        let custody = ledger.history(id)?.into_iter();
        pids.insert(id, custody.filter_map(|it| it.detail.dataset).collect::<BTreeSet<_>>());
    }
    refuse_held(ledger, &ids, &pids)
}

/// One of two that do it at once does it.
pub(super) fn advance(
    ledger: &dyn Ledger,
    purge: Purge,
    from: PurgeState,
    wanted: &'static str,
) -> Result<Purge, PurgeError> {
    if ledger.advance_purge(&purge, from)? {
        return Ok(purge);
    }
    let now = find(ledger, purge.number)?;
    Err(PurgeError::State { number: now.number, state: now.state, wanted })
}

fn recorded(
    ledger: &dyn Ledger,
    command: &'static str,
    options: &ApproveOptions,
    purge: &Purge,
    work: impl FnOnce() -> Result<Purge, PurgeError>,
) -> Result<Purge, PurgeError> {
    let ApproveOptions { run, agent, person, .. } = options;
    let selection = Selection { files: purge.files.iter().map(|it| it.id).collect(), ..Selection::default() };
    let destinations = purge.destinations.clone();
    let intent = Intent { command, run, agent, selection: &selection, destinations, overrides: Vec::new() };
    let recorded = Recorded::begin(ledger, &intent, &now())?;
    let done = work();
    let of = serde_json::json!({
        "purge": purge.number, "reference": purge.reference, "digest": purge.digest, "by": person.user, "uid": person.uid,
    });
    let (ending, counts) = match &done {
        Ok(_) => (ExitStatus::Safe, of),
        Err(error) => {
            let mut of = of;
            of["error"] = error.to_string().into();
            (error.into(), of)
        }
    };
    recorded.end(ending, counts)?;
    done
}
