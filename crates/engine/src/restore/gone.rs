//! What is selected and has left Dataverse: the catalogue cannot name it, the ledger can.

use std::collections::{BTreeMap, BTreeSet};

use dvb_ledger::{LedgerError, StateDetail};
use dvb_model::DvObjectId;

use super::{RestoreError, RestoreOptions, RestoreSetup};
use crate::command::error::RunError;
use crate::command::purged::Buried;
use crate::command::selection::Selection;

/// Where the catalogue has nothing of the selection, but the ledger has: says so instead.
pub(super) fn explain(error: RestoreError, setup: &RestoreSetup<'_>, options: &RestoreOptions) -> RestoreError {
    if !matches!(error, RestoreError::Run(RunError::NothingSelected)) {
        return error;
    }
    let purged = match Buried::known(setup.ledger) {
        Ok(it) => it,
        Err(error) => return RunError::from(error).into(),
    };
    // All of it, for a run may not have noticed yet.
    match known(setup, &options.selection) {
        Ok(known) if known.is_empty() => error,
        Ok(known) if known.keys().all(|id| purged.has(*id)) => {
            RestoreError::Purged { files: known.into_keys().collect() }
        }
        Ok(known) => {
            let since = known.values().flatten().min().cloned();
            RestoreError::Gone { files: known.into_keys().collect(), since }
        }
        Err(error) => RunError::from(error).into(),
    }
}

/// How many data files of the selection a run has marked as gone.
pub(super) fn marked(setup: &RestoreSetup<'_>, options: &RestoreOptions) -> Result<usize, RestoreError> {
    if options.selection.is_everything() {
        return Ok(0);
    }
    let known = known(setup, &options.selection).map_err(RunError::from)?;
    let purged = Buried::known(setup.ledger).map_err(RunError::from)?;
    Ok(known.iter().filter(|(id, since)| since.is_some() && !purged.has(**id)).count())
}

/// The data files of the selection that the ledger knows at these destinations, with when they left.
fn known(setup: &RestoreSetup<'_>, selection: &Selection) -> Result<BTreeMap<DvObjectId, Option<String>>, LedgerError> {
    let mut known = BTreeMap::new();
    let mut see = |detail: StateDetail| {
        if selection.has_detail(&detail, &setup.stores.default.0) {
            let since = known.entry(detail.id).or_insert(None);
            *since = detail.gone_since.or(since.take());
        }
    };
    let here: BTreeSet<_> = setup.from.iter().map(|it| it.name).collect();
    if !selection.files.is_empty() {
        for id in &selection.files {
            let all = setup.ledger.history(*id)?.into_iter();
            all.filter(|it| here.contains(&it.destination)).for_each(|it| see(it.detail));
        }
        return Ok(known);
    }
    for destination in here {
        if selection.datasets.is_empty() || !selection.named_files.is_empty() {
            setup.ledger.visit_details(destination, None, false, &mut see)?;
        }
        for pid in selection.datasets.union(&selection.earlier_pids) {
            setup.ledger.visit_details(destination, Some(pid), false, &mut see)?;
        }
    }
    Ok(known)
}
