//! Holds: what may not be purged, whoever asks, until somebody releases it.

use std::collections::{BTreeMap, BTreeSet};

use dvb_ledger::{Agent, Hold, Ledger};
use dvb_model::{DvObjectId, RunId};

use super::{Person, PurgeError};
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Intent, Recorded};
use crate::command::selection::Selection;
use crate::command::time::now;

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct HoldOptions {
    /// Name of this call.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Who that is.
    pub person: Person,
    /// The number of the case, or why.
    pub reference: String,
}

/// Places a hold on data files and datasets. A dataset is held with all data files that it has or will have.
///
/// # Errors
/// [`PurgeError`].
pub fn place_hold(ledger: &dyn Ledger, options: &HoldOptions, selection: &Selection) -> Result<Hold, PurgeError> {
    if options.reference.trim().is_empty() {
        return Err(PurgeError::Empty { what: "the reference" });
    }
    if selection.is_everything() || !selection.storage_identifiers.is_empty() || !selection.stores.is_empty() {
        return Err(PurgeError::NothingNamed);
    }
    recorded(ledger, "purge hold", options, selection, || {
        let hold = Hold {
            number: 0,
            run: options.run.clone(),
            scope: selection.in_words(),
            files: selection.files.union(&selection.named_files).copied().collect(),
            datasets: selection.datasets.union(&selection.earlier_pids).cloned().collect(),
            reference: options.reference.clone(),
            placed: options.person.sign(&options.agent),
            released: None,
        };
        let number = ledger.place_hold(&hold)?;
        Ok(Hold { number, ..hold })
    })
}

/// Releases a hold.
///
/// # Errors
/// [`PurgeError::NoSuchHold`], and when the ledger fails.
pub fn release_hold(ledger: &dyn Ledger, options: &HoldOptions, number: u64) -> Result<Hold, PurgeError> {
    if options.reference.trim().is_empty() {
        return Err(PurgeError::Empty { what: "the reference" });
    }
    let hold = ledger.holds()?.into_iter().find(|it| it.number == number && it.released.is_none());
    let hold = hold.ok_or(PurgeError::NoSuchHold { number })?;
    let selection = Selection { files: hold.files.iter().copied().collect(), ..Selection::default() };
    recorded(ledger, "purge release", options, &selection, || {
        let by = options.person.sign(&options.agent);
        if !ledger.release_hold(number, &by, &options.reference)? {
            return Err(PurgeError::NoSuchHold { number });
        }
        Ok(Hold { released: Some((by, options.reference.clone())), ..hold })
    })
}

/// With a row in the event log: who, and the reference.
fn recorded(
    ledger: &dyn Ledger,
    command: &'static str,
    options: &HoldOptions,
    selection: &Selection,
    work: impl FnOnce() -> Result<Hold, PurgeError>,
) -> Result<Hold, PurgeError> {
    let HoldOptions { run, agent, .. } = options;
    let intent = Intent { command, run, agent, selection, destinations: Vec::new(), overrides: Vec::new() };
    let recorded = Recorded::begin(ledger, &intent, &now())?;
    let done = work();
    let (ending, counts) = match &done {
        Ok(hold) => (
            ExitStatus::Safe,
            serde_json::json!({ "hold": hold.number, "reference": options.reference, "by": options.person.user }),
        ),
        Err(error) => (error.into(), serde_json::json!({ "error": error.to_string() })),
    };
    recorded.end(ending, counts)?;
    done
}

/// Refuses what is under a hold: itself, or its dataset by any of the PIDs that are known of it.
pub(super) fn refuse_held(
    ledger: &dyn Ledger,
    files: &[DvObjectId],
    pids: &BTreeMap<DvObjectId, BTreeSet<String>>,
) -> Result<(), PurgeError> {
    for hold in ledger.holds()?.into_iter().filter(|it| it.released.is_none()) {
        let is_held = |id: &&DvObjectId| {
            let mut of = pids.get(id).into_iter().flatten();
            hold.files.contains(id) || of.any(|pid| hold.datasets.contains(pid))
        };
        let files: Vec<DvObjectId> = files.iter().filter(is_held).copied().collect();
        if !files.is_empty() {
            return Err(PurgeError::OnHold { hold: hold.number, reference: hold.reference, files });
        }
    }
    Ok(())
}
