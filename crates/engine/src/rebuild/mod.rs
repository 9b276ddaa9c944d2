//! The ledger made again from what a destination tells of itself.
//!
//! What a snapshot says is taken over as claims: nothing is `OK` by them. The next run, or the next `verify`, proves the
//! copies where they lie, by their digests.

mod claims;
mod fetch;
mod installations;
mod same;

use dvb_catalog::Catalog;
use std::path::{Path, PathBuf};

use dvb_catalog::SnapshotLink;
use dvb_ledger::{Agent, Ledger};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId};
use dvb_storage::Sink;
use serde::Serialize;

use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::command::recorded::{Intent, LockedRun, Recorded, Report, gives_up};
use crate::command::selection::Selection;
use crate::command::time::now;
use crate::copies::session::{Connection, Contact, DestinationContext};
use crate::copies::tombstones;
use crate::guard::{self, Identity};

pub use claims::ClaimCounts;
pub use fetch::{Fetched, SnapshotRow, Which};

/// What a rebuild works with.
#[derive(Clone, Copy)]
pub struct RebuildSetup<'a> {
    /// The ledger, with its tables; nothing may be known in it of the destination.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination.
    pub destination: &'a DestinationName,
    /// The destination itself, where sessions are opened.
    pub sink: &'a dyn Sink,
    /// The caller's own catalogue, where there is one: a destination with the copies of another Dataverse is refused, and a note
    /// says where its copies were made from another address.
    pub catalogue: Option<&'a dyn Catalog>,
    /// The copies of another Dataverse are wanted, and the newest snapshot whoever has left it.
    pub accept_other: bool,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

impl RebuildSetup<'_> {
    fn at<'b>(&'b self, run: &'b RunId) -> DestinationContext<'b> {
        let Self { ledger, destination, sink, observer, stop, .. } = *self;
        DestinationContext { ledger, destination, sink, observer, stop, run }
    }
}

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct RebuildOptions {
    /// Name of this run.
    pub run: RunId,
    /// Who gives the command, for the lock and the event log.
    pub agent: Agent,
    /// Which snapshot it is made from.
    pub which: Which,
    /// Whether runs copy auxiliary files: part of what the ledger remembers of a row.
    pub auxiliary_objects: bool,
    /// A folder with room for the snapshot.
    pub spool_folder: PathBuf,
}

/// An object that the snapshot names and that is not at the destination, or has another size there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its data file; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Newest name of the data file with its folder.
    pub name: Option<String>,
    /// Where it should lie.
    pub key: ObjectKey,
    /// What is there instead, in a sentence.
    pub reason: String,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildSummary {
    /// The command that this is the report of: `rebuild`.
    pub command: &'static str,
    /// Name of the run.
    pub run_id: RunId,
    /// Name of the destination that it is about.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// The snapshot that was used.
    pub snapshot: SnapshotLink,
    /// When the catalogue in it was read.
    pub made: String,
    /// What was taken over.
    pub claimed: ClaimCounts,
    /// The first of the objects that are not there; `claimed` has their number.
    pub missing: Vec<Missing>,
    /// What is to be known of the snapshots.
    pub notes: Vec<String>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

/// Makes the ledger of a destination again. May be called again after it was interrupted.
///
/// # Errors
/// [`RunError`], when nothing was taken over. What goes wrong later is in the [`RebuildSummary`].
pub fn rebuild(setup: &RebuildSetup<'_>, options: &RebuildOptions) -> Result<RebuildSummary, RunError> {
    let databases = Cut::databases(setup.stop, setup.catalogue, setup.ledger);
    watched(vec![Cut::new(setup.stop, || setup.sink.interrupt()), databases], || rebuild_until(setup, options))
}

fn rebuild_until(setup: &RebuildSetup<'_>, options: &RebuildOptions) -> Result<RebuildSummary, RunError> {
    let started = now();
    let RebuildSetup { ledger, destination, .. } = *setup;
    let RebuildOptions { run, agent, .. } = options;
    let locked = LockedRun::lock(ledger, "rebuild", destination, (run, agent, &started))?;
    if !ledger.is_blank(destination)? {
        return Err(RunError::NotBlank { destination: destination.0.clone() });
    }
    let (selection, destinations) = (&Selection::default(), vec![destination.clone()]);
    let intent = Intent { command: "rebuild", run, agent, selection, destinations, overrides: Vec::new() };
    let recorded = Recorded::begin(ledger, &intent, &started)?;
    locked.begin(destination, agent, &started)?;
    recorded.finish(locked.finish(take_over(setup, options, started)))
}

impl Report for RebuildSummary {
    gives_up!();

    fn count(&self) -> u64 {
        self.claimed.files
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::json!({ "snapshot": self.snapshot, "claimed": self.claimed })
    }
}

fn take_over(setup: &RebuildSetup<'_>, options: &RebuildOptions, started: String) -> Result<RebuildSummary, RunError> {
    let contact = Contact::under_lock();
    let mut connection = Connection::new(setup.at(&options.run), &contact);
    let owner = fetch::owner(&mut connection)?;
    let mut fetched = fetch::fetch(setup, &options.which, &mut connection, &owner, &options.spool_folder)?;
    let note = same::check(setup, &mut fetched)?;
    fetched.notes.extend(note);
    guard::take_on(setup.ledger, setup.destination, owner, fetched.header.installation.as_deref())?;
    setup.observer.event(&Event::Planned { files: fetched.counts.files, bytes: 0 });
    take_over_tombstones(setup, &options.run, &mut connection)?;
    let mut claims = claims::Claims::new(setup, &options.run, &fetched, options.auxiliary_objects)?;
    let ended = claims.take(&fetched, Some(&mut connection));
    connection.clean_up();
    let claims::Claims { counts, missing, left, .. } = claims;
    if !left.is_empty() {
        fetched.notes.push(format!(
            "{} copies here are of data files that were purged, and may not be deleted yet: the purge has to be requested again",
            left.len()
        ));
    }
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok());
    let aborted = ended.err();
    let found = [
        signal.map(ExitStatus::Signalled),
        aborted.as_ref().map(|it| it.0),
        (counts.missing > 0).then_some(ExitStatus::DestinationDamaged),
    ];
    let ending = found.into_iter().flatten().min().unwrap_or(ExitStatus::Safe);
    Ok(RebuildSummary {
        command: "rebuild",
        run_id: options.run.clone(),
        destination: setup.destination.clone(),
        started,
        finished: now(),
        snapshot: fetched.link,
        made: fetched.header.made,
        claimed: counts,
        missing,
        notes: fetched.notes,
        aborted: aborted.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    })
}

/// What was purged is neither claimed nor given back, whatever an old snapshot says.
fn take_over_tombstones(
    setup: &RebuildSetup<'_>,
    run: &RunId,
    connection: &mut Connection<'_>,
) -> Result<usize, RunError> {
    fetch::again(connection, |session| tombstones::look_for(session, setup.ledger, setup.destination, run))?
}

/// The snapshots at a destination, the newest first. Each is read to its end, in `folder`, which shows that it is whole.
///
/// # Errors
/// [`RunError`], when they cannot be listed.
pub fn list_snapshots(setup: &RebuildSetup<'_>, run: &RunId, folder: &Path) -> Result<Vec<SnapshotRow>, RunError> {
    let contact = Contact::without_lock();
    watched(vec![Cut::new(setup.stop, || setup.sink.interrupt())], || {
        let mut connection = Connection::new(setup.at(run), &contact);
        let listed = fetch::list(setup, &mut connection, folder);
        connection.clean_up();
        listed
    })
}

/// Fetches a snapshot from a destination into `folder`, and checks it.
///
/// # Errors
/// [`RunError`].
pub fn fetch_snapshot(
    setup: &RebuildSetup<'_>,
    which: &Which,
    run: &RunId,
    folder: &std::path::Path,
) -> Result<Fetched, RunError> {
    let contact = Contact::without_lock();
    let databases = Cut::databases(setup.stop, setup.catalogue, setup.ledger);
    watched(vec![Cut::new(setup.stop, || setup.sink.interrupt()), databases], || {
        let mut connection = Connection::new(setup.at(run), &contact);
        let fetched = match which {
            Which::File(_) => fetch::fetch(setup, which, &mut connection, &Identity::None, folder),
            Which::Newest | Which::Named(_) => {
                let owner = fetch::owner(&mut connection);
                owner.and_then(|owner| fetch::fetch(setup, which, &mut connection, &owner, folder))
            }
        };
        let purged = fetched.is_ok().then(|| take_over_tombstones(setup, run, &mut connection));
        connection.clean_up();
        let mut fetched = fetched?;
        purged.transpose()?;
        let note = same::check(setup, &mut fetched)?;
        fetched.notes.extend(note);
        Ok(fetched)
    })
}

/// Takes over what a snapshot says without a look at the destination: for a ledger that lives as long as a command.
///
/// # Errors
/// [`RunError`].
pub fn claim_snapshot(
    setup: &RebuildSetup<'_>,
    fetched: &Fetched,
    run: &RunId,
    auxiliary_objects: bool,
) -> Result<ClaimCounts, RunError> {
    let mut claims = claims::Claims::new(setup, run, fetched, auxiliary_objects)?;
    let failed = |(ending, text)| RunError::Destination { text, ending };
    claims.take(fetched, None).map_err(failed)?;
    Ok(claims.counts)
}
