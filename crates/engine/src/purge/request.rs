//! A request: the exact list of what is to go, at every destination.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use dvb_catalog::{Catalog, Detail, Entry};
use dvb_ledger::{Agent, EntryKind, Purge, PurgeState, PurgeTarget, Purged};
use dvb_model::{DestinationName, DriverId, DvObjectId, RunId};
use serde::Serialize;

use super::holds::refuse_held;
use super::{Person, PurgeDestination, PurgeError, PurgeSetup, list};
use crate::command::cut::watched;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Intent, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;
use crate::copies::session::{Contact, DestinationContext};
use crate::guard::{self, Purpose};

/// What the caller decides. There are no defaults: the caller says the limits.
#[derive(Debug, Clone)]
pub struct RequestOptions {
    /// Name of this request: tombstones carry it.
    pub run: RunId,
    /// Who gives the command, for the event log.
    pub agent: Agent,
    /// Who that is.
    pub person: Person,
    /// What is to go.
    pub selection: Selection,
    /// The store of identifiers without a prefix.
    pub default_store: DriverId,
    /// On which legal basis, in a word.
    pub basis: String,
    /// The number of the case.
    pub reference: String,
    /// The most data files that it may be about.
    pub cap: u64,
    /// Also what is in Dataverse's catalogue.
    pub even_if_in_dataverse: bool,
    /// How long nobody may approve it.
    pub grace: Duration,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestSummary {
    /// The command that this is the report of: `purge request`.
    pub command: &'static str,
    /// Name of this call, and of the request.
    pub run_id: RunId,
    /// The request.
    pub purge: Purge,
    /// Everything that is to go.
    pub list: Vec<PurgeTarget>,
    /// What is to be known besides.
    pub notes: Vec<String>,
    /// Why its end could not be recorded.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

impl Report for RequestSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.purge.files.len() as u64
    }

    fn counts(&self) -> serde_json::Value {
        let Purge { number, basis, reference, digest, requested, .. } = &self.purge;
        serde_json::json!({
            "purge": number, "basis": basis, "reference": reference, "digest": digest, "by": requested.user,
            "files": self.count(), "things": self.list.len(),
        })
    }
}

/// Makes the list of what is to go, and records the request. Nothing is deleted. An open request for the same data files that
/// nobody has begun to carry out is withdrawn: this one takes its place.
///
/// # Errors
/// [`PurgeError`]: refused for what Dataverse still has, above the cap, and under a hold; and where a destination cannot be
/// listed now, for the list would not be whole.
pub fn request_purge(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &RequestOptions,
) -> Result<RequestSummary, PurgeError> {
    for (what, text) in [("the basis", &options.basis), ("the reference", &options.reference)] {
        if text.trim().is_empty() {
            return Err(PurgeError::Empty { what });
        }
    }
    if options.selection.is_everything() {
        return Err(PurgeError::NothingNamed);
    }
    let destinations: Vec<DestinationName> = setup.destinations.iter().map(|it| it.name.clone()).collect();
    let intent = Intent {
        command: "purge request",
        run: &options.run,
        agent: &options.agent,
        selection: &options.selection,
        destinations: destinations.clone(),
        overrides: if options.even_if_in_dataverse { vec!["even-if-in-dataverse"] } else { Vec::new() },
    };
    let recorded = Recorded::begin(setup.ledger, &intent, &now())?;
    recorded.finish(watched(setup.cuts(catalog), || make(setup, catalog, options, destinations)))
}

fn make(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &RequestOptions,
    destinations: Vec<DestinationName>,
) -> Result<RequestSummary, PurgeError> {
    let Selected { files, pids, notes } = select(setup, catalog, options)?;
    let ids: Vec<DvObjectId> = files.iter().map(|it| it.id).collect();
    if ids.is_empty() {
        return Err(PurgeError::NothingKnown);
    }
    if ids.len() as u64 > options.cap {
        return Err(PurgeError::TooMany { files: ids.len() as u64, cap: options.cap });
    }
    refuse_held(setup.ledger, &ids, &pids)?;
    refuse_unlisted(setup, &ids)?;
    let mut targets: Vec<PurgeTarget> = Vec::new();
    for destination in setup.destinations {
        let last = targets.len() as u64;
        targets.extend(list_at(setup, options, destination, &files, last)?);
    }
    let requested = options.person.sign(&options.agent);
    let not_before = after(options.grace);
    let purge = Purge {
        number: 0,
        run: options.run.clone(),
        state: PurgeState::Requested,
        requested,
        scope: in_words(&options.selection, &files),
        basis: options.basis.clone(),
        reference: options.reference.clone(),
        digest: String::new(),
        cap: options.cap,
        even_if_in_dataverse: options.even_if_in_dataverse,
        not_before,
        files,
        destinations,
        approved: None,
        executed: None,
        ended_at: None,
    };
    let purge = Purge { digest: list::digest(&purge, &targets), ..purge };
    replace_earlier(setup, &ids)?;
    let number = setup.ledger.request_purge(&purge, &targets)?;
    let ending = ExitStatus::Safe;
    Ok(RequestSummary {
        command: "purge request",
        run_id: options.run.clone(),
        purge: Purge { number, ..purge },
        list: targets,
        notes,
        aborted: None,
        exit_code: ending.code(),
        ending,
    })
}

/// The purge is kept: it says what it is about by ids and datasets, never by the names of files.
fn in_words(selection: &Selection, files: &[Purged]) -> String {
    if selection.storage_identifiers.is_empty() {
        return selection.in_words();
    }
    Selection { files: files.iter().map(|it| it.id).collect(), ..Selection::default() }.in_words()
}

fn after(grace: Duration) -> String {
    let then = jiff::SignedDuration::try_from(grace).ok().and_then(|it| jiff::Timestamp::now().checked_add(it).ok());
    then.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// What a selection comes to.
struct Selected {
    files: Vec<Purged>,
    /// PIDs of the dataset of each.
    pids: BTreeMap<DvObjectId, BTreeSet<String>>,
    notes: Vec<String>,
}

/// What is selected, of all that any destination knows, and of the catalogue. What Dataverse still has is refused.
fn select(setup: &PurgeSetup<'_>, catalog: &dyn Catalog, options: &RequestOptions) -> Result<Selected, PurgeError> {
    let RequestOptions { selection, default_store, .. } = options;
    let (mut files, mut datasets) = (BTreeSet::new(), BTreeSet::new());
    let mut pids: BTreeMap<DvObjectId, BTreeSet<String>> = BTreeMap::new();
    for PurgeDestination { name, .. } in setup.destinations {
        setup.ledger.visit_details(name, None, false, &mut |detail| {
            if selection.has_detail(&detail, &default_store.0) {
                files.insert(detail.id);
                pids.entry(detail.id).or_default().extend(detail.dataset);
            }
        })?;
        for state in setup.ledger.states(name, EntryKind::Dataset) {
            let state = state?;
            if let Some(pid) = state.dataset.filter(|pid| selection.has_dataset(pid)) {
                datasets.insert(state.id);
                pids.entry(state.id).or_default().insert(pid);
            }
        }
    }
    let (mut there, mut datasets_there) = (BTreeSet::new(), BTreeSet::new());
    catalog.read(Detail::Essential, &mut |entry| {
        match entry {
            Entry::DataFile(file) => {
                if files.contains(&file.id) || selection.has(&file, &default_store.0) {
                    there.insert(file.id);
                    pids.entry(file.id).or_default().extend(file.dataset.map(|it| it.pid));
                }
            }
            Entry::Dataset(dataset) => {
                if datasets.contains(&dataset.id) || selection.has_dataset(&dataset.pid) {
                    datasets_there.insert(dataset.id);
                    pids.entry(dataset.id).or_default().insert(dataset.pid);
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    let mut notes = Vec::new();
    if options.even_if_in_dataverse {
        files.extend(&there);
        datasets.extend(&datasets_there);
    } else if !there.is_empty() {
        return Err(PurgeError::InCatalogue { files: there.into_iter().collect() });
    } else if !datasets_there.is_empty() {
        datasets.retain(|id| !datasets_there.contains(id));
        notes.push("the dataset itself is still in Dataverse: its own objects, a logo for example, stay".to_owned());
    }
    let files = files.into_iter().map(|id| Purged { id, kind: EntryKind::DataFile });
    let datasets = datasets.into_iter().map(|id| Purged { id, kind: EntryKind::Dataset });
    Ok(Selected { files: files.chain(datasets).collect(), pids, notes })
}

/// A destination that was taken out of the configuration may have copies that no list would have.
pub(super) fn refuse_unlisted(setup: &PurgeSetup<'_>, ids: &[DvObjectId]) -> Result<(), PurgeError> {
    let mut elsewhere: BTreeMap<String, Vec<DvObjectId>> = BTreeMap::new();
    for &id in ids {
        for custody in setup.ledger.history(id)? {
            let is_known = setup.destinations.iter().any(|it| *it.name == custody.destination);
            if !is_known && !custody.copies.is_empty() {
                elsewhere.entry(custody.destination.0).or_default().push(id);
            }
        }
    }
    match elsewhere.pop_first() {
        Some((name, files)) => Err(PurgeError::Elsewhere { destination: DestinationName(name), files }),
        None => Ok(()),
    }
}

fn list_at(
    setup: &PurgeSetup<'_>,
    options: &RequestOptions,
    destination: &PurgeDestination<'_>,
    files: &[Purged],
    last: u64,
) -> Result<Vec<PurgeTarget>, PurgeError> {
    let PurgeDestination { name, sink, purger } = *destination;
    let PurgeSetup { ledger, observer, stop, .. } = *setup;
    let at = DestinationContext { ledger, destination: name, sink, observer, stop, run: &options.run };
    let contact = Contact::without_lock();
    guard::refuse_other_place(at, &contact, Purpose::Storing)?;
    let keys = list::keys_at(ledger, name, files)?;
    let listed = purger(&options.run).and_then(|mut it| list::gather(it.as_mut(), name, &keys, last));
    Ok(listed.map_err(|error| RunError::unusable(name, &error))?)
}

/// Withdraws open requests that are about nothing else, unless deleting has begun.
fn replace_earlier(setup: &PurgeSetup<'_>, ids: &[DvObjectId]) -> Result<(), PurgeError> {
    for purge in setup.ledger.purges()? {
        let is_about_these = purge.files.iter().all(|it| ids.contains(&it.id));
        if is_about_these && matches!(purge.state, PurgeState::Requested | PurgeState::Approved) {
            let from = purge.state;
            let withdrawn = Purge { state: PurgeState::Withdrawn, ended_at: Some(now()), ..purge };
            setup.ledger.advance_purge(&withdrawn, from)?;
        }
    }
    Ok(())
}
