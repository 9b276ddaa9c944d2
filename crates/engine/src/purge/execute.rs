//! Carrying it out: one destination after the other, as often as it takes until nothing is left anywhere.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use dvb_catalog::{Catalog, Detail, Entry, SnapshotLink};
use dvb_ledger::{Agent, Purge, PurgeState, Purged};
use dvb_model::{DestinationName, DvObjectId, RunId};
use dvb_storage::chain;
use serde::Serialize;

use super::approve::{advance, refuse_changed, refuse_held_since};
use super::destination::{Opened, Site};
use super::request::refuse_unlisted;
use super::{Person, PurgeError, PurgeSetup, find};
use crate::command::cut::watched;
use crate::command::exit_status::ExitStatus;
use crate::command::recorded::{Intent, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;

/// What the caller decides. There are no defaults: the caller says the limits.
#[derive(Debug, Clone)]
pub struct ExecuteOptions {
    /// Name of this call.
    pub run: RunId,
    /// Who gives the command, for the locks and the event log.
    pub agent: Agent,
    /// Who that is.
    pub person: Person,
    /// Which purge; `None`: all that are approved.
    pub number: Option<u64>,
    /// The folder for temporary files: snapshots are written again there.
    pub spool_folder: PathBuf,
}

/// How far a destination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgedAt {
    /// A listing shows that nothing is left.
    Done,
    /// Something is left: a lock holds it, the destination is away, or it could not be deleted.
    Waiting,
}

/// What a purge has come to at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgedDestination {
    /// The command that this is the report of: `purge`.
    pub command: &'static str,
    /// Name of this destination's part of the call.
    pub run_id: RunId,
    /// Name of the destination.
    pub destination: DestinationName,
    /// Number of the purge.
    pub purge: u64,
    /// How far it has come.
    pub state: PurgedAt,
    /// Why it waits.
    pub reason: Option<String>,
    /// Things that are gone by now.
    pub deleted: u64,
    /// Of these, those that this call found gone or deleted.
    pub deleted_now: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Things that are still there.
    pub left: u64,
    /// Of these, locked ones.
    pub locked: u64,
    /// When the first of the locks ends, RFC 3339 UTC.
    pub locked_until: Option<String>,
    /// Snapshots that were written again by this call.
    pub snapshots_rewritten: u64,
    /// The newest snapshot there, where one was written again.
    pub snapshot: Option<SnapshotLink>,
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

impl PurgedDestination {
    pub(super) fn waiting(destination: &DestinationName, purge: u64, reason: String, ending: ExitStatus) -> Self {
        Self {
            command: "purge",
            run_id: RunId(String::new()),
            destination: destination.clone(),
            purge,
            state: PurgedAt::Waiting,
            reason: Some(reason),
            deleted: 0,
            deleted_now: 0,
            bytes: 0,
            left: 0,
            locked: 0,
            locked_until: None,
            snapshots_rewritten: 0,
            snapshot: None,
            notes: Vec::new(),
            aborted: None,
            exit_code: ending.code(),
            ending,
        }
    }
}

impl Report for PurgedDestination {
    gives_up!();

    fn count(&self) -> u64 {
        self.deleted
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({
            "state": self.state, "deleted": self.deleted_now, "bytes": self.bytes, "left": self.left,
            "locked": self.locked, "snapshots_rewritten": self.snapshots_rewritten,
        })
    }
}

/// What became of one purge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurgeDone {
    /// The purge as it is now.
    #[serde(flatten)]
    pub purge: Purge,
    /// Each of its destinations.
    pub at: Vec<PurgedDestination>,
    /// What is to be known besides, now that it is done.
    pub notes: Vec<String>,
    /// Why it was refused; nothing of it was deleted by this call then.
    pub refused: Option<String>,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecuteSummary {
    /// The command that this is the report of: `purge execute`.
    pub command: &'static str,
    /// Name of this call.
    pub run_id: RunId,
    /// Each purge that was to be carried out.
    pub purges: Vec<PurgeDone>,
    /// Why its end could not be recorded.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

impl Report for ExecuteSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.purges.iter().flat_map(|it| &it.at).map(|it| it.deleted_now).sum()
    }

    fn counts(&self) -> serde_json::Value {
        let one = |it: &PurgeDone| {
            let at = it.at.iter().map(|at| (at.destination.0.clone(), at.counts()));
            serde_json::json!({
                "purge": it.purge.number, "basis": it.purge.basis, "reference": it.purge.reference, "state": it.purge.state,
                "requested_by": it.purge.requested.user,
                "approved_by": it.purge.approved.as_ref().map(|by| &by.user),
                "executed_by": it.purge.executed.as_ref().map(|by| &by.user),
                "at": at.collect::<serde_json::Map<_, _>>(), "refused": it.refused,
            })
        };
        self.purges.iter().map(one).collect()
    }
}

/// Carries out what is approved. What is locked, or at a destination that is away, waits for the next call; a call after a
/// crash goes on where it was.
///
/// # Errors
/// [`PurgeError`], when nothing was looked at. What is wrong with one purge is in the summary.
pub fn execute_purges(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &ExecuteOptions,
) -> Result<ExecuteSummary, PurgeError> {
    watched(setup.cuts(catalog), || execute_watched(setup, catalog, options))
}

fn execute_watched(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &ExecuteOptions,
) -> Result<ExecuteSummary, PurgeError> {
    let wanted: Vec<Purge> = match options.number {
        Some(number) => vec![find(setup.ledger, number)?],
        None => {
            let is_due = |it: &Purge| matches!(it.state, PurgeState::Approved | PurgeState::Executing);
            setup.ledger.purges()?.into_iter().filter(is_due).collect()
        }
    };
    let files = wanted.iter().flat_map(|it| &it.files).map(|it| it.id).collect();
    let selection = Selection { files, ..Selection::default() };
    let intent = Intent {
        command: "purge execute",
        run: &options.run,
        agent: &options.agent,
        selection: &selection,
        destinations: wanted
            .iter()
            .flat_map(|it| it.destinations.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        overrides: Vec::new(),
    };
    let recorded = Recorded::begin(setup.ledger, &intent, &now())?;
    recorded.finish(Ok(execute_each(setup, catalog, options, wanted)))
}

fn execute_each(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &ExecuteOptions,
    wanted: Vec<Purge>,
) -> ExecuteSummary {
    let (mut purges, mut ending) = (Vec::with_capacity(wanted.len()), ExitStatus::Safe);
    for purge in wanted {
        let number = purge.number;
        let (done, how) = match execute_one(setup, catalog, options, purge.clone()) {
            Ok(done) => {
                let how = done.at.iter().map(|it| it.ending).min().unwrap_or(ExitStatus::Safe);
                (done, how)
            }
            Err(error) => {
                let now = find(setup.ledger, number).unwrap_or(purge);
                let done = PurgeDone { purge: now, at: Vec::new(), notes: Vec::new(), refused: Some(chain(&error)) };
                (done, ExitStatus::from(&error))
            }
        };
        ending = ending.min(how);
        purges.push(done);
    }
    ExecuteSummary {
        command: "purge execute",
        run_id: options.run.clone(),
        purges,
        aborted: None,
        exit_code: ending.code(),
        ending,
    }
}

fn execute_one(
    setup: &PurgeSetup<'_>,
    catalog: &dyn Catalog,
    options: &ExecuteOptions,
    purge: Purge,
) -> Result<PurgeDone, PurgeError> {
    let number = purge.number;
    match purge.state {
        PurgeState::Approved => {
            refuse_changed(setup.ledger, &purge)?;
            refuse_what_is_there(catalog, &purge)?;
            let ids: Vec<DvObjectId> = purge.files.iter().map(|it| it.id).collect();
            refuse_unlisted(setup, &ids)?;
        }
        PurgeState::Executing => {}
        PurgeState::Done => return Ok(PurgeDone { purge, at: Vec::new(), notes: Vec::new(), refused: None }),
        state @ (PurgeState::Requested | PurgeState::Withdrawn) => {
            return Err(PurgeError::State { number, state, wanted: "carried out" });
        }
    }
    refuse_held_since(setup.ledger, &purge)?;
    let (mut at, mut sites) = (Vec::new(), Vec::new());
    // Everything is looked at before anything is deleted.
    for (index, name) in purge.destinations.iter().enumerate() {
        match Site::open(setup, options, &purge, (index, name))? {
            Opened::Done => {}
            Opened::Waiting(waiting) => at.push(*waiting),
            Opened::Site(site) => sites.push(*site),
        }
    }
    let purge = match purge.state {
        PurgeState::Approved if !sites.is_empty() => {
            let executed = Some(options.person.sign(&options.agent));
            let begun = Purge { state: PurgeState::Executing, executed, ..purge };
            advance(setup.ledger, begun, PurgeState::Approved, "carried out")?
        }
        _ => purge,
    };
    // A session may time out while another destination is worked at: the next call goes on there.
    at.extend(sites.into_iter().map(|site| site.purge(&purge)));
    at.sort_by_key(|it| purge.destinations.iter().position(|name| *name == it.destination));
    let is_done = purge.state == PurgeState::Executing && at.iter().all(|it| it.state == PurgedAt::Done);
    let mut notes = Vec::new();
    let purge = if is_done {
        // Before it is called done: where this fails, the next call goes on here.
        notes.extend(setup.ledger.forget_deleted()?);
        let done = Purge { state: PurgeState::Done, ended_at: Some(now()), ..purge };
        advance(setup.ledger, done, PurgeState::Executing, "ended")?
    } else {
        purge
    };
    Ok(PurgeDone { purge, at, notes, refused: None })
}

/// What came back to Dataverse since it was requested is not deleted by mistake.
fn refuse_what_is_there(catalog: &dyn Catalog, purge: &Purge) -> Result<(), PurgeError> {
    if purge.even_if_in_dataverse {
        return Ok(());
    }
    let ids: BTreeSet<DvObjectId> = purge.files.iter().map(|it: &Purged| it.id).collect();
    let mut there = Vec::new();
    catalog.read(Detail::Essential, &mut |entry| {
        let id = match entry {
            Entry::DataFile(file) => file.id,
            Entry::Dataset(dataset) => dataset.id,
        };
        there.extend(Some(id).filter(|id| ids.contains(id)));
        ControlFlow::Continue(())
    })?;
    if there.is_empty() { Ok(()) } else { Err(PurgeError::InCatalogue { files: there }) }
}
