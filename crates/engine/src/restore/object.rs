//! One object's whole way back: what is there, what may be done about it, read, compare, put.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dvb_fixity::{Algorithm, Digest, Hasher, Measured};
use dvb_ledger::Bytes;
use dvb_model::{DriverId, ObjectKey, RunId};
use dvb_storage::{Cause, Expected, Folder, Location, Mender, PayloadError, Placed, PutError, SinkError, Source};

use super::place::Lack;
use super::session_pool::{SessionPool, Unread};
use super::{Goal, Shared};
use crate::command::exit_status::ExitStatus;
use crate::source::payload::{ObjectPayload, Reading};
use crate::source::stores::NoStore;

/// How often a copy that breaks off is read anew.
const ATTEMPTS: u32 = 3;

/// A copy that an object can be given back from.
pub(crate) struct Candidate {
    /// Number of the destination that it came from, in the order of `RestoreSetup::from`.
    pub(crate) origin: usize,
    pub(crate) key: ObjectKey,
}

/// One object that is asked for.
pub(crate) struct Wanted {
    pub(crate) driver: Option<DriverId>,
    /// Where it goes below the goal's folder.
    pub(crate) path: ObjectKey,
    /// Where it is in its store, or why that cannot be looked at.
    pub(crate) at: Result<(Arc<dyn Source>, Location), Lack>,
    /// All have the same bytes on record. None where every copy was found to be bad.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    /// SHA-256 of every proved version of it, anywhere.
    pub(crate) known: Vec<Digest>,
    /// Dataverse's checksum, where it speaks of this object.
    pub(crate) recorded: Option<Digest>,
    /// Dataverse's row is still the one that the copy was proved by.
    pub(crate) unchanged: bool,
    /// Its size alone says too little.
    pub(crate) suspect: bool,
    /// What is there may be half an ingest.
    pub(crate) ingest: bool,
}

/// What became of an object.
#[derive(Debug)]
pub(crate) enum ObjectOutcome {
    /// It is there now; with --dry-run, it would be.
    Restored {
        /// Which of the destinations its bytes came from; `None` with --dry-run.
        from: Option<usize>,
        note: Option<String>,
        /// Where the damaged bytes are now.
        kept: Option<String>,
    },
    /// It was there, read and found good.
    AlreadyGood,
    /// Something with its size is there; its bytes were not asked for.
    Present,
    /// It could not be given back.
    Failed(String),
    /// A destination or store could not be used, and how the command ends therefore.
    Unreachable(ExitStatus, String),
    /// Every copy is bad.
    BadCopies,
    /// The restore was told to stop.
    Stopped,
}

impl ObjectOutcome {
    /// What a failure of a store or folder makes of it.
    fn of(cause: Cause, why: String) -> Self {
        match cause {
            Cause::Transient
            | Cause::Unavailable
            | Cause::Misconfigured
            | Cause::Absent
            | Cause::Untrusted
            | Cause::Full => Self::Unreachable(ExitStatus::of_cause(cause), why),
            Cause::Missing
            | Cause::Forbidden
            | Cause::Refused
            | Cause::Exists
            | Cause::Broken
            | Cause::Unnameable
            | Cause::Io => Self::Failed(why),
        }
    }
}

/// What became of an object, and which of its copies were found bad on the way.
pub(crate) struct Outcome {
    pub(crate) fate: ObjectOutcome,
    pub(crate) bad: Vec<BadCopy>,
}

/// A copy that was not what is on record, over two sessions.
pub(crate) struct BadCopy {
    /// At which of the destinations.
    pub(crate) origin: usize,
    pub(crate) key: ObjectKey,
    /// With the name of the destination.
    pub(crate) why: String,
    /// What was there, as far as it was read; `None` where nothing was.
    pub(crate) actual: Option<Bytes>,
}

/// All of them, in one sentence.
pub(crate) fn in_a_sentence(bad: &[BadCopy]) -> String {
    bad.iter().map(|it| it.why.as_str()).collect::<Vec<_>>().join("; ")
}

/// What is to be done about what is there.
pub(crate) enum Look {
    Done(ObjectOutcome),
    /// It is there, and good.
    Good(Measured),
    /// Nothing is at its place: a copy is to be put there.
    Put,
    /// What is there is damaged, for this reason.
    Mend(String),
}

pub(crate) fn give_back(shared: &Shared<'_>, reach: &mut SessionPool<'_>, wanted: &Wanted) -> Outcome {
    let mut bad = Vec::new();
    let fate = give(shared, reach, wanted, &mut bad);
    Outcome { fate, bad }
}

fn give(shared: &Shared<'_>, reach: &mut SessionPool<'_>, wanted: &Wanted, bad: &mut Vec<BadCopy>) -> ObjectOutcome {
    // Twice: another data file of the same name may be put there in between.
    for last in [false, true] {
        let look = look(shared, wanted);
        let mend = match look {
            Look::Done(fate) => return fate,
            Look::Good(_) => return ObjectOutcome::AlreadyGood,
            Look::Put => false,
            Look::Mend(why) => match may_mend(wanted, &why) {
                Ok(()) => true,
                Err(why) => return ObjectOutcome::Failed(why),
            },
        };
        if wanted.candidates.is_empty() {
            return ObjectOutcome::BadCopies;
        }
        if shared.options.dry_run {
            let root = wanted.at.as_ref().map(|it| it.0.describe()).unwrap_or_default();
            let kept = || format!("{}/{}", root.trim_end_matches('/'), aside(&wanted.path, &shared.options.run));
            let kept = mend.then(kept);
            return ObjectOutcome::Restored { from: None, note: None, kept };
        }
        match fetch(shared, reach, wanted, mend, bad) {
            Fetched::ObjectOutcome(fate) => return fate,
            Fetched::Taken(error) if last => return ObjectOutcome::Failed(error.chain()),
            Fetched::Taken(_) => {}
        }
    }
    ObjectOutcome::Stopped
}

/// What is there, and whether it has to be touched at all.
fn look(shared: &Shared<'_>, wanted: &Wanted) -> Look {
    match shared.setup.to {
        Goal::InPlace(_) => at_source(shared, wanted),
        Goal::Folder(target) => {
            if shared.options.missing
                && let it @ (Look::Done(_) | Look::Good(_)) = at_source(shared, wanted)
            {
                return it;
            }
            in_folder(shared, target, wanted)
        }
    }
}

pub(crate) fn at_source(shared: &Shared<'_>, wanted: &Wanted) -> Look {
    let (source, at) = match &wanted.at {
        Ok(it) => it,
        Err(Lack::Now(NoStore { cause, why })) => {
            return Look::Done(ObjectOutcome::Unreachable(ExitStatus::of_cause(*cause), why.clone()));
        }
        Err(Lack::Always(why)) => return Look::Done(ObjectOutcome::Failed(why.clone())),
    };
    let size = match source.size(at) {
        Ok(Some(size)) => size,
        Ok(None) => return Look::Put,
        Err(error) => return Look::Done(ObjectOutcome::of(error.cause, error.chain())),
    };
    if shared.options.quick && !wanted.suspect && size == wanted.size {
        return Look::Done(ObjectOutcome::Present);
    }
    let algorithms: Vec<Algorithm> = wanted.recorded.iter().map(Digest::algorithm).collect();
    let reading = Reading { rate: None, ..shared.reading.clone() };
    match ObjectPayload::new(Arc::clone(source), at.clone(), size, &algorithms, reading).measure() {
        Ok(found) if is_good(wanted, &found) => Look::Good(found),
        Ok(found) => Look::Mend(format!("it has {} bytes and SHA-256 {}", found.size, sha256(&found))),
        Err(PayloadError::Stopped) => Look::Done(ObjectOutcome::Stopped),
        Err(PayloadError::Source(error)) => match error.cause {
            Cause::Missing => Look::Put,
            // A bad sector: moving it aside does not read it.
            Cause::Io => Look::Mend(error.chain()),
            Cause::Forbidden
            | Cause::Refused
            | Cause::Transient
            | Cause::Unavailable
            | Cause::Misconfigured
            | Cause::Absent
            | Cause::Untrusted
            | Cause::Full
            | Cause::Broken
            | Cause::Unnameable
            | Cause::Exists => Look::Done(ObjectOutcome::of(error.cause, error.chain())),
        },
    }
}

/// Any version that was proved is good, and so is what has Dataverse's checksum, whatever the backup holds.
fn is_good(wanted: &Wanted, found: &Measured) -> bool {
    let has = |it: &Digest| found.matches(it) == Some(true);
    wanted.known.iter().any(has) || wanted.recorded.as_ref().is_some_and(has)
}

fn sha256(found: &Measured) -> String {
    found.digest(Algorithm::Sha256).map(ToString::to_string).unwrap_or_default()
}

/// The one place that decides whether a file may lose its name: only where it is proved damaged. That the copy has
/// Dataverse's checksum, where there is one, is seen when it is read.
pub(crate) fn may_mend(wanted: &Wanted, why: &str) -> Result<(), String> {
    let but = if wanted.ingest {
        "an ingest is under way, so it is left alone"
    } else if wanted.recorded.is_some() {
        return Ok(());
    } else if !wanted.unchanged {
        "Dataverse's database does not say that it is still the one that was copied, so nothing proves which one is \
         right, and it is left alone; run the backup, or restore into a folder and compare"
    } else if wanted.known.iter().any(|it| *it != wanted.sha256) {
        "the backup has several versions of it and Dataverse no checksum, so nothing proves which one is right, and it \
         is left alone; restore into a folder and compare"
    } else {
        return Ok(());
    };
    Err(format!("what is there is not what was copied ({why}), but {but}"))
}

fn in_folder(shared: &Shared<'_>, target: &dyn Folder, wanted: &Wanted) -> Look {
    let found = match target.size(&wanted.path) {
        Ok(None) => return Look::Put,
        Ok(Some(size)) if size != wanted.size => Ok(false),
        Ok(Some(_)) => is_same(shared, target, wanted),
        Err(error) => Err(error),
    };
    let fate = match found {
        _ if !shared.reading.stop.may_go_on() => ObjectOutcome::Stopped,
        Ok(true) => ObjectOutcome::AlreadyGood,
        Ok(false) => {
            ObjectOutcome::Failed(format!("{} holds other bytes, and is left alone", path(target, &wanted.path)))
        }
        Err(error) => ObjectOutcome::Failed(error.chain()),
    };
    Look::Done(fate)
}

fn path(target: &dyn Folder, at: &ObjectKey) -> String {
    format!("{}/{at}", target.describe().trim_end_matches('/'))
}

fn is_same(shared: &Shared<'_>, target: &dyn Folder, wanted: &Wanted) -> Result<bool, SinkError> {
    let mut file = target.open(&wanted.path)?;
    let (mut hasher, mut buffer) = (Hasher::new(&[]), vec![0; 1 << 18]);
    let reading = Reading { rate: None, ..shared.reading.clone() };
    while reading.stop.may_go_on() {
        match file.body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                reading.passed(n);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let attempt = format!("cannot read {}", path(target, &wanted.path));
                return Err(SinkError::because(Cause::Io, attempt, error));
            }
        }
    }
    Ok(hasher.finish().matches(&wanted.sha256) == Some(true))
}

/// Where damaged bytes are kept. Dataverse takes the name for something that belongs to the data file.
fn aside(path: &ObjectKey, run: &RunId) -> ObjectKey {
    // A key with an ending is a key.
    ObjectKey::new(&format!("{path}.damaged-{run}")).unwrap_or_else(|_| path.clone())
}

enum Fetched {
    ObjectOutcome(ObjectOutcome),
    /// Something has taken the name since it was looked at.
    Taken(SinkError),
}

/// Reads one copy after the other until one is good, and puts it.
fn fetch(
    shared: &Shared<'_>,
    reach: &mut SessionPool<'_>,
    wanted: &Wanted,
    mend: bool,
    bad: &mut Vec<BadCopy>,
) -> Fetched {
    let place = match Place::of(shared, wanted, mend) {
        Ok(it) => it,
        Err(fate) => return Fetched::ObjectOutcome(fate),
    };
    let mut failed = None;
    for candidate in &wanted.candidates {
        match one_copy(shared, reach, wanted, candidate, &place) {
            Copied::Put(Placed { note, kept }) => {
                return Fetched::ObjectOutcome(ObjectOutcome::Restored { from: Some(candidate.origin), note, kept });
            }
            Copied::Bad(why, actual) => {
                let Candidate { origin, key } = candidate;
                let why = format!("at destination {}: {why}", shared.setup.from[*origin].name);
                bad.push(BadCopy { origin: *origin, key: key.clone(), why, actual });
            }
            Copied::Unreachable(why) => {
                let ending = shared.contacts[candidate.origin].ending().unwrap_or(ExitStatus::Unreachable);
                failed = failed.or(Some(ObjectOutcome::Unreachable(ending, why)));
            }
            Copied::Failed(why) => failed = failed.or(Some(ObjectOutcome::Failed(why))),
            Copied::Place(error) if error.cause == Cause::Exists && !mend => return Fetched::Taken(error),
            Copied::Place(error) => return Fetched::ObjectOutcome(ObjectOutcome::of(error.cause, error.chain())),
            Copied::Doubtful(why) => return Fetched::ObjectOutcome(ObjectOutcome::Failed(why)),
            Copied::Stopped => return Fetched::ObjectOutcome(ObjectOutcome::Stopped),
        }
    }
    Fetched::ObjectOutcome(failed.unwrap_or(ObjectOutcome::BadCopies))
}

/// Where the bytes go, and how.
enum Way<'a> {
    Folder(&'a dyn Folder),
    Store(Arc<dyn Mender>),
}

struct Place<'a> {
    way: Way<'a>,
    at: ObjectKey,
    /// Where what is there is kept; without it, nothing may be there.
    aside: Option<ObjectKey>,
    expected: Expected,
}

impl<'a> Place<'a> {
    fn of(shared: &'a Shared<'_>, wanted: &Wanted, mend: bool) -> Result<Self, ObjectOutcome> {
        let mut digests = vec![wanted.sha256.clone()];
        if mend {
            digests.extend(wanted.recorded.clone());
        }
        let expected = Expected { size: wanted.size, digests };
        let (way, at) = match shared.setup.to {
            Goal::Folder(target) => (Way::Folder(target), wanted.path.clone()),
            Goal::InPlace(_) => {
                let (mender, at) = mender(shared, wanted)?;
                (Way::Store(mender), at)
            }
        };
        let aside = mend.then(|| aside(&at, &shared.options.run));
        Ok(Self { way, at, aside, expected })
    }

    fn put(&self, copy: &mut dyn std::io::Read) -> Result<Placed, PutError> {
        match (&self.way, &self.aside) {
            (Way::Store(mender), Some(aside)) => match mender.put_instead(&self.at, copy, &self.expected, aside) {
                // What was read is in the bucket of its identifier; Dataverse looks in another one first (dataverse.md 2.5).
                Err(PutError::Target(error)) if error.cause == Cause::Missing => {
                    mender.put_new(&self.at, copy, &self.expected)
                }
                done => done,
            },
            (Way::Store(mender), None) => mender.put_new(&self.at, copy, &self.expected),
            (Way::Folder(folder), _) => folder.put_new(&self.at, copy, &self.expected),
        }
    }
}

/// Where Dataverse looks for the object.
fn mender(shared: &Shared<'_>, wanted: &Wanted) -> Result<(Arc<dyn Mender>, ObjectKey), ObjectOutcome> {
    let Goal::InPlace(writers) = shared.setup.to else {
        return Err(ObjectOutcome::Failed("it goes into a folder".into()));
    };
    let no_place = || ObjectOutcome::Failed("it has no place in a store".to_owned());
    let driver = wanted.driver.as_ref().ok_or_else(no_place)?;
    let writer = match writers.get(driver) {
        Some(Ok(it)) => it,
        Some(Err(NoStore { cause, why })) => return Err(ObjectOutcome::of(*cause, format!("store {driver}: {why}"))),
        None => {
            return Err(ObjectOutcome::Failed(format!("store {driver} cannot be written to; restore into a folder")));
        }
    };
    let (_, location) = wanted.at.as_ref().map_err(|_| no_place())?;
    writer.place(location).map_err(|it| ObjectOutcome::of(it.cause, it.chain()))
}

/// What came of one copy.
enum Copied {
    Put(Placed),
    /// What is wrong, and what was there.
    Bad(String, Option<Bytes>),
    Unreachable(String),
    Failed(String),
    Place(SinkError),
    /// The copy is what is on record, and still not what Dataverse recorded.
    Doubtful(String),
    Stopped,
}

fn one_copy(
    shared: &Shared<'_>,
    reach: &mut SessionPool<'_>,
    wanted: &Wanted,
    candidate: &Candidate,
    place: &Place<'_>,
) -> Copied {
    let (n, key) = (candidate.origin, &candidate.key);
    let mut mismatches = 0;
    let mut broken = 0;
    loop {
        if !shared.reading.stop.may_go_on() {
            return Copied::Stopped;
        }
        match reach.read(n, key, |body| place.put(body)) {
            Ok(Ok(placed)) => return Copied::Put(placed),
            Err(Unread::Stopped) => return Copied::Stopped,
            Err(Unread::Interrupted(why)) => return Copied::Unreachable(why),
            Err(Unread::Copy(error)) if error.cause == Cause::Missing => {
                return Copied::Bad(format!("{key} is missing"), None);
            }
            Err(Unread::Copy(error)) if error.cause == Cause::Broken => {
                return Copied::Bad(error.chain(), Some(Bytes::default()));
            }
            Err(Unread::Copy(error)) => return Copied::Failed(error.chain()),
            Ok(Err(PutError::Target(error))) => return Copied::Place(error),
            Ok(Err(PutError::Mismatch(found))) => {
                if found.matches(&wanted.sha256) == Some(true) {
                    return Copied::Doubtful(
                        "what is there is not what Dataverse recorded, but neither is its copy; it is left alone"
                            .to_owned(),
                    );
                }
                // Once may be the way here. A copy is called bad when it came twice, over two sessions.
                reach.hang_up(n);
                mismatches += 1;
                if mismatches == 2 {
                    let (size, hash) = (found.size, sha256(&found));
                    let ours = &wanted.sha256;
                    // What is longer was not read to its end.
                    return if size == wanted.size {
                        let digest = found.digest(Algorithm::Sha256).cloned();
                        let why = format!("{key} has SHA-256 {hash} where {ours} is on record");
                        Copied::Bad(why, Some(Bytes { size: Some(size), digest }))
                    } else {
                        let why = format!("{key} has not the {} bytes that are on record", wanted.size);
                        Copied::Bad(why, Some(Bytes::default()))
                    };
                }
            }
            Ok(Err(PutError::Read(error))) => {
                reach.hang_up(n);
                if !shared.reading.stop.may_go_on() {
                    return Copied::Stopped;
                }
                broken += 1;
                if broken == ATTEMPTS {
                    let name = shared.setup.from[n].name;
                    return Copied::Failed(format!("cannot read {key} at destination {name}: {error}"));
                }
                shared.setup.stop.pause(Duration::from_secs(u64::from(broken)));
            }
        }
    }
}

/// A lock that a worker died with is as good as any: what it guards is whole at any time.
pub(crate) fn unpoisoned<T>(lock: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
