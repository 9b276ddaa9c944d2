//! `orphans`: what lies at a destination that the ledger does not name, and which missing data files it is. Changes nothing.

mod list;
mod matching;
mod respelled;
mod wanted;

use std::path::PathBuf;

use dvb_catalog::Catalog;
use dvb_fixity::{Digest, Evidence};
use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, RunId};
use dvb_storage::{Sink, chain};
use serde::{Deserialize, Serialize, Serializer};

use crate::catalogue::spool::Spool;
use crate::command::cancel::CancelToken;
use crate::command::cut::{Cut, watched};
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Observer;
use crate::command::time::now;
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};
use crate::guard::{self, Purpose};

/// What `orphans` works with.
#[derive(Clone, Copy)]
pub struct OrphansSetup<'a> {
    /// What should exist: only what it lacks at the destination is looked for.
    pub catalog: &'a dyn Catalog,
    /// What is known of the copies.
    pub ledger: &'a dyn Ledger,
    /// Name of the destination.
    pub destination: &'a DestinationName,
    /// The others, whose copies tell the digests of what is missing here.
    pub others: &'a [DestinationName],
    /// The destination itself, where sessions are opened.
    pub sink: &'a dyn Sink,
    /// Who is shown what happens.
    pub observer: &'a dyn Observer,
    /// Who can end it early.
    pub stop: &'a CancelToken,
}

/// How it goes about its work. There are no defaults: the caller says the limits.
#[derive(Debug, Clone)]
pub struct OrphansOptions {
    /// Name of this run.
    pub run: RunId,
    /// A folder with room for the list of orphans and that of missing files (about 100 bytes each).
    pub spool_folder: PathBuf,
    /// Missing objects that are held in memory at once; the orphans are gone through once for each so many.
    pub held: usize,
}

/// An object that no row of the ledger names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Where it lies, below the destination's root.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The missing objects that it is, by size and digest; the first of them where there are many.
    pub is: Vec<MissingObject>,
    /// Why it could not be compared, though something of its size is missing.
    pub unreadable: Option<String>,
    /// What was measured of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
}

/// An object of a data file that has no proved copy at the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingObject {
    /// Its data file; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Storage identifier of the data file.
    pub storage_identifier: Option<String>,
    /// Newest name of the data file with its folder.
    pub name: Option<String>,
    /// Which of its objects: `main`, `orig`, …
    pub object: String,
    /// Where its copy was, and belongs.
    pub key: Option<ObjectKey>,
    /// The digest that its bytes have.
    pub digest: Digest,
    /// Who says so: `dataverse`, by its checksum, or the `ledger`, by what was first seen.
    pub known_by: KnownBy,
}

/// Who knows the digest of a missing object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownBy {
    /// It is the checksum that Dataverse's database has for the data file.
    Dataverse,
    /// Dataverse has none that can be used: it is the digest of the bytes that a run saw first.
    Ledger,
}

/// What the command reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrphansSummary {
    /// The command that this is the report of: `orphans`.
    pub command: &'static str,
    /// Name of the run.
    pub run_id: RunId,
    /// Name of the destination that it is about.
    pub destination: DestinationName,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Objects at the destination, the backup's own aside.
    pub listed: u64,
    /// Those that no row of the ledger names.
    pub orphans_total: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
    /// Those of them that are a missing object.
    pub matched: u64,
    /// Those that could not be compared.
    pub unreadable: u64,
    /// Data files that lack a proved copy of an object at the destination.
    pub missing_files: u64,
    /// How the orphans were measured.
    #[serde(serialize_with = "evidence_name")]
    pub evidence: Option<Evidence>,
    /// The first folders that could not be listed.
    pub unlisted: Vec<String>,
    /// How many folders could not be listed; `unlisted` has the first of them.
    pub unlisted_total: u64,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

// serde gives a reference.
#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn evidence_name<S: Serializer>(evidence: &Option<Evidence>, serializer: S) -> Result<S::Ok, S::Error> {
    evidence.map(Evidence::name).serialize(serializer)
}

/// What has been found out so far, beside the orphans themselves.
#[derive(Debug, Default)]
struct Counts {
    listed: u64,
    unlisted: Vec<String>,
    unlisted_total: u64,
    missing_files: u64,
    evidence: Option<Evidence>,
    unusable: Option<ExitStatus>,
    abort: Option<(ExitStatus, String)>,
}

/// Why a step did not come to its end.
enum Failure {
    Run(RunError),
    Interrupted(Interrupted),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Run(error.into())
    }
}

impl From<Interrupted> for Failure {
    fn from(lost: Interrupted) -> Self {
        Self::Interrupted(lost)
    }
}

impl OrphansOptions {
    fn spool_error(&self, source: std::io::Error) -> RunError {
        RunError::Spool { folder: self.spool_folder.clone(), source }
    }
}

/// Lists the objects at a destination that no row of the ledger names, and tells which missing objects they are: by size
/// first, then by digest, measured at the destination or by reading back, of candidates alone. Each orphan goes to `show`.
///
/// It takes no lock: a run reserves a key before anything shows there. Nothing is changed, deleted or adopted.
///
/// # Errors
/// [`RunError`], when nothing could be listed. What goes wrong later is in the [`OrphansSummary`].
pub fn orphans(
    setup: &OrphansSetup<'_>,
    options: &OrphansOptions,
    show: &mut dyn FnMut(&Orphan),
) -> Result<OrphansSummary, RunError> {
    let databases = Cut::databases(setup.stop, Some(setup.catalog), setup.ledger);
    watched(vec![Cut::new(setup.stop, || setup.sink.interrupt()), databases], || orphans_until(setup, options, show))
}

fn orphans_until(
    setup: &OrphansSetup<'_>,
    options: &OrphansOptions,
    show: &mut dyn FnMut(&Orphan),
) -> Result<OrphansSummary, RunError> {
    let started = now();
    let OrphansSetup { ledger, destination, sink, observer, stop, .. } = *setup;
    let at = DestinationContext { ledger, destination, sink, observer, stop, run: &options.run };
    // Without the lock, nobody can tell which runs are over: nothing of them is swept.
    let contact = Contact::without_lock();
    guard::refuse_other_place(at, &contact, Purpose::Reading)?;
    let mut connection = Connection::new(at, &contact);
    let mut counts = Counts::default();
    let listed = list::list(at, options, &mut connection, &mut counts);
    let mut found = match listed {
        Ok(it) => it,
        Err(Failure::Run(error)) => return Err(error),
        Err(Failure::Interrupted(lost)) => return Err(lost_error(destination, lost)),
    };
    if found.count > 0 && stop.may_begin() {
        let compared = respelled::leave_out(setup, options, &mut connection, &mut found)
            .and_then(|()| find_owners(setup, options, &mut connection, &mut found, &mut counts));
        match compared {
            Ok(()) | Err(Failure::Interrupted(Interrupted::Stopped)) => {}
            // The list is worth having all the same.
            Err(Failure::Run(error)) => counts.abort = Some((ExitStatus::from(&error), chain(&error))),
            Err(Failure::Interrupted(lost)) => {
                let error = lost_error(destination, lost);
                counts.abort = Some((ExitStatus::from(&error), chain(&error)));
            }
        }
    }
    connection.clean_up();
    let mut summary = summary(setup, options, started, counts);
    for orphan in found.orphans.read().map_err(|it| options.spool_error(it))? {
        let orphan = orphan.map_err(|it| options.spool_error(it))?;
        summary.orphans_total += 1;
        summary.bytes = summary.bytes.saturating_add(orphan.size);
        summary.matched += u64::from(!orphan.is.is_empty());
        summary.unreadable += u64::from(orphan.unreadable.is_some());
        show(&orphan);
    }
    if summary.unreadable + summary.unlisted_total > 0 {
        summary.ending = summary.ending.min(ExitStatus::NotSafe);
    }
    summary.exit_code = summary.ending.code();
    summary.finished = now();
    Ok(summary)
}

/// Reads what is missing, and compares.
fn find_owners(
    setup: &OrphansSetup<'_>,
    options: &OrphansOptions,
    connection: &mut Connection<'_>,
    found: &mut list::Found,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let (mut wanted, missing_files) = wanted::of(setup, options, &found.sizes)?;
    counts.missing_files = missing_files;
    matching::compare(setup, options, connection, found, &mut wanted, counts)
}

fn lost_error(destination: &DestinationName, lost: Interrupted) -> RunError {
    match lost {
        Interrupted::Run(ending, text) => RunError::Destination { text, ending },
        Interrupted::Session(error) => RunError::Destination {
            text: format!("destination {destination}: {}", error.chain()),
            ending: ExitStatus::of_cause(error.cause),
        },
        Interrupted::Stopped => RunError::Destination {
            text: format!("destination {destination}: stopped before anything was listed"),
            ending: ExitStatus::Stopped,
        },
    }
}

fn summary(setup: &OrphansSetup<'_>, options: &OrphansOptions, started: String, counts: Counts) -> OrphansSummary {
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok()).map(ExitStatus::Signalled);
    let abort = counts.abort.as_ref().map(|it| it.0);
    let ending = [signal, counts.unusable, abort].into_iter().flatten().min().unwrap_or(ExitStatus::Safe);
    OrphansSummary {
        command: "orphans",
        run_id: options.run.clone(),
        destination: setup.destination.clone(),
        finished: started.clone(),
        started,
        listed: counts.listed,
        orphans_total: 0,
        bytes: 0,
        matched: 0,
        unreadable: 0,
        missing_files: counts.missing_files,
        evidence: counts.evidence,
        unlisted: counts.unlisted,
        unlisted_total: counts.unlisted_total,
        aborted: counts.abort.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    }
}

/// The list of orphans, and of missing objects.
type Orphans = Spool<Orphan>;
type Wanted = Spool<wanted::Line>;
