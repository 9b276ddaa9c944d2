//! Data files one by one: those that were asked for, those that are not safe, those that have left the catalogue.

use std::collections::BTreeSet;

use dvb_fixity::Digest;
use dvb_ledger::{Basis, CopyRecord, CopyState, EntryKind, Holding, LedgerError, StateDetail};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, Status};
use serde::Serialize;

use super::history::FileHistory;
use super::{DestinationStatus, FileCustody, StatusSetup, ending_of};
use crate::command::exit_status::ExitStatus;
use crate::command::selection::Selection;

/// The verdict of one data file; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct FileStatus {
    /// Name of the destination that it is of.
    pub destination: DestinationName,
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub data_file_id: DvObjectId,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier, as it stands in Dataverse's database.
    pub storage_identifier: Option<String>,
    /// Its newest label, with its folder.
    pub name: Option<String>,
    /// The verdict that was recorded last.
    pub status: Status,
    /// What `OK` rests on.
    pub checksum_basis: Option<&'static str>,
    /// Why the verdict is what it is.
    pub reason: Option<String>,
    /// An ingest was under way.
    pub provisional: bool,
    /// When a run saw first that it is not in the catalogue any more, RFC 3339 UTC.
    pub gone_since: Option<String>,
    /// When the verdict was recorded, RFC 3339 UTC.
    pub recorded_at: String,
    /// Proved objects at this destination.
    pub objects: u64,
    /// Destinations that have it, whatever today's verdict.
    pub copies: u64,
    /// Its copies there, where it was asked for by its id.
    #[serde(flatten)]
    pub custody: Option<FileCustody>,
}

impl FileStatus {
    fn of(destination: &DestinationName, detail: StateDetail) -> Self {
        Self {
            destination: destination.clone(),
            data_file_id: detail.id,
            dataset: detail.dataset,
            storage_identifier: detail.storage_identifier,
            name: detail.label,
            status: detail.status,
            checksum_basis: detail.basis.map(Basis::name),
            reason: detail.reason,
            provisional: detail.provisional,
            gone_since: detail.gone_since,
            recorded_at: detail.recorded_at,
            objects: detail.copies,
            copies: detail.destinations,
            custody: None,
        }
    }

    /// The name that people know it by, else the one in its store.
    #[must_use]
    pub fn known_as(&self) -> Option<&str> {
        self.name.as_deref().or(self.storage_identifier.as_deref())
    }
}

/// What a list of data files came to.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What their verdicts come to.
    pub ending: ExitStatus,
    /// Those that were asked for by their ids and that no run has checked.
    pub unchecked: Vec<DvObjectId>,
    /// Datasets were asked for, and of none of them has a run checked a data file.
    pub is_unknown: bool,
}

/// Shows the data files of a selection at one destination, in the order of their ids, where datasets are named one after the
/// other; with `only_unsafe`, those that are not safe. Where some were asked for by their ids, each comes with its history.
///
/// # Errors
/// [`LedgerError`], and what `show` fails with.
pub fn list_files<E: From<LedgerError>>(
    setup: &StatusSetup<'_>,
    selection: &Selection,
    state: &DestinationStatus,
    only_unsafe: bool,
    mut show: impl FnMut(FileStatus) -> Result<(), E>,
) -> Result<Listed, E> {
    let StatusSetup { ledger, destination, .. } = *setup;
    let mut unchecked: BTreeSet<_> = selection.files.iter().chain(&selection.named_files).copied().collect();
    let in_full = !unchecked.is_empty();
    let (mut ending, mut is_known) = (ExitStatus::Safe, false);
    let mut later = Vec::new();
    let mut shown = Ok(());
    let mut visit = |detail: StateDetail| {
        if !is_selected(selection, &detail) {
            return;
        }
        is_known = true;
        unchecked.remove(&detail.id);
        if detail.gone_since.is_none() && !state.known.contains(&detail.id) {
            ending = ending.min(ending_of(detail.status));
        }
        if shown.is_err() || (only_unsafe && !is_unsafe(&detail)) {
            return;
        }
        let file = FileStatus::of(destination, detail);
        if in_full {
            later.push(file);
        } else {
            shown = show(file);
        }
    };
    match pids(setup, selection)? {
        Some(pids) => {
            pids.iter().try_for_each(|pid| ledger.visit_details(destination, Some(pid), false, &mut visit))?;
        }
        None => ledger.visit_details(destination, None, false, &mut visit)?,
    }
    shown?;
    later.sort_by_key(|file| file.data_file_id);
    for mut file in later {
        file.custody = Some(FileHistory::of(ledger, file.data_file_id)?.custody(destination));
        show(file)?;
    }
    let selects = in_full || !selection.datasets.is_empty();
    let is_unknown = selects && !is_known && unchecked.is_empty();
    if is_unknown || !unchecked.is_empty() {
        ending = ending.min(ExitStatus::NotSafe);
    }
    Ok(Listed { ending, unchecked: unchecked.into_iter().collect(), is_unknown })
}

/// Stores are no part of what is asked for.
fn is_selected(selection: &Selection, detail: &StateDetail) -> bool {
    selection.has_detail(detail, "")
}

fn is_unsafe(detail: &StateDetail) -> bool {
    detail.gone_since.is_none() && ending_of(detail.status) != ExitStatus::Safe
}

/// The PIDs by which the ledger can look up all that is selected; `None`: all rows are to be looked at.
fn pids(setup: &StatusSetup<'_>, selection: &Selection) -> Result<Option<BTreeSet<String>>, LedgerError> {
    let Selection { datasets, earlier_pids, named_files, files, .. } = selection;
    let mut pids: BTreeSet<String> = datasets.union(earlier_pids).cloned().collect();
    let mut is_said = !datasets.is_empty();
    for id in named_files.iter().chain(files) {
        is_said = true;
        let here = setup.ledger.history(*id)?.into_iter().find(|custody| custody.destination == *setup.destination);
        match here.map(|custody| custody.detail.dataset) {
            Some(Some(pid)) => drop(pids.insert(pid)),
            // It has a row that no PID finds.
            Some(None) => return Ok(None),
            None => {}
        }
    }
    Ok(is_said.then_some(pids))
}

/// A dataset with objects of its own (a logo) that are not safe; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetStatus {
    /// Name of the destination that it is of.
    pub destination: DestinationName,
    /// Always `None`: it is no data file.
    pub data_file_id: Option<DvObjectId>,
    /// PID of the dataset, as the last run found it.
    pub dataset: Option<String>,
    /// The verdict on its own objects together.
    pub status: Status,
    /// Why the verdict is what it is.
    pub reason: Option<String>,
    /// When the verdict was recorded, RFC 3339 UTC.
    pub recorded_at: String,
}

/// The datasets of a selection whose own objects are not safe at a destination.
///
/// # Errors
/// [`LedgerError`].
pub fn unsafe_datasets(setup: &StatusSetup<'_>, selection: &Selection) -> Result<Vec<DatasetStatus>, LedgerError> {
    let mut found = Vec::new();
    for holding in setup.ledger.holdings(setup.destination, EntryKind::Dataset) {
        let detail = holding?.detail;
        if !selection.has_dataset(detail.dataset.as_deref().unwrap_or("")) || !is_unsafe(&detail) {
            continue;
        }
        found.push(DatasetStatus {
            destination: setup.destination.clone(),
            data_file_id: None,
            dataset: detail.dataset,
            status: detail.status,
            reason: detail.reason,
            recorded_at: detail.recorded_at,
        });
    }
    Ok(found)
}

/// A data file that has left the catalogue, with its copies; serialised, it is what `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct GoneFile {
    /// Name of the destination that it is of.
    pub destination: DestinationName,
    /// Id of the data file: `dvobject.id` of Dataverse's database.
    pub data_file_id: DvObjectId,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier, as it stood in Dataverse's database.
    pub storage_identifier: Option<String>,
    /// Its newest label, with its folder.
    pub name: Option<String>,
    /// When a run saw first that it is not there any more, RFC 3339 UTC.
    pub gone_since: Option<String>,
    /// The last verdict before it left the catalogue.
    pub status: Status,
    /// What lies at the destination.
    pub copies: Vec<KeptCopy>,
}

/// A copy of a data file that has left the catalogue.
#[derive(Debug, Clone, Serialize)]
pub struct KeptCopy {
    /// Which object of the data file.
    pub object: String,
    /// From 1 on; each change of the bytes in the store makes one.
    pub version: u32,
    /// Its key below the destination's root.
    pub key: ObjectKey,
    /// Whether it was good when it was last looked at.
    #[serde(serialize_with = "name_of_state")]
    pub state: CopyState,
    /// Size in bytes; `None` where nothing was proved and no snapshot says it.
    pub size: Option<u64>,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: Option<String>,
    /// When that was last proved, RFC 3339 UTC.
    pub proved_at: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn name_of_state<S: serde::Serializer>(state: &CopyState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

impl KeptCopy {
    /// `None` where nothing was ever stored.
    fn of(copy: CopyRecord) -> Option<Self> {
        (copy.state != CopyState::Reserved).then(|| Self {
            object: copy.role.to_string(),
            version: copy.version,
            key: copy.key,
            state: copy.state,
            size: copy.size,
            sha256: copy.sha256.as_ref().map(Digest::hex),
            proved_at: copy.proved_at,
        })
    }
}

/// Shows the data files of a selection that have left the catalogue, in the order of their ids.
///
/// # Errors
/// [`LedgerError`], and what `show` fails with.
pub fn gone_files<E: From<LedgerError>>(
    setup: &StatusSetup<'_>,
    selection: &Selection,
    mut show: impl FnMut(GoneFile) -> Result<(), E>,
) -> Result<(), E> {
    for holding in setup.ledger.holdings(setup.destination, EntryKind::DataFile) {
        let Holding { detail, copies, .. } = holding?;
        // Of what was purged nothing is kept.
        if detail.gone_since.is_none() || detail.status == Status::Purged || !is_selected(selection, &detail) {
            continue;
        }
        show(GoneFile {
            destination: setup.destination.clone(),
            data_file_id: detail.id,
            dataset: detail.dataset,
            storage_identifier: detail.storage_identifier,
            name: detail.label,
            gone_since: detail.gone_since,
            status: detail.status,
            copies: copies.into_iter().filter_map(KeptCopy::of).collect(),
        })?;
    }
    Ok(())
}
