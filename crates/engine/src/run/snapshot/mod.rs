//! After a run the destination describes itself: a snapshot of the catalogue, with what is held there (design.md 7.9).
//!
//! It is written when the run changed something, or when the last one could not. Its bytes are made from the catalogue and
//! the ledger, in a file of the spool folder, and stored as any object is: temporary name, proof, rename.

mod lines;

use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::Arc;

use dvb_catalog::{SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SnapshotHeader, SnapshotLink, SnapshotWriter};
use dvb_fixity::{Algorithm, Proved};
use dvb_ledger::LedgerError;
use dvb_model::{KeyError, ObjectKey, RunId, Status};
use dvb_storage::{Cause, PayloadError, Unstaged, chain};
use lines::Lines;
use serde::Deserialize;

use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::own_files::{Failed, in_words, sha256_of, stage_and_commit};
use crate::copies::session::{Connection, Interrupted};
use crate::copies::snapshot_names;
use crate::guard;
use crate::run::counts::About;
use crate::run::destination_run::DestinationRun;
use crate::run::plan::Catalogue;
use crate::source::payload::Reading;

/// How often storing it is tried.
const ATTEMPTS: u32 = 3;
/// Runs among which the digest of the snapshot before is looked for.
const RUNS: u32 = 400;
/// Lines after which it is asked whether to go on.
const LINES: usize = 1_000;

/// Why there is no snapshot.
#[derive(Clone)]
enum Failure {
    /// The run was told to stop; that is said already.
    Stopped,
    /// How the run ends therefore, and why.
    Said(ExitStatus, String),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Said(ExitStatus::from(&error), chain(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let ending = if dvb_model::is_full(&error) { ExitStatus::NoSpace } else { ExitStatus::NotSafe };
        Self::Said(ending, format!("cannot keep it in the folder for temporary files: {error}"))
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Said(ExitStatus::NotSafe, chain(&error))
    }
}

impl From<Interrupted> for Failure {
    fn from(lost: Interrupted) -> Self {
        match lost {
            Interrupted::Stopped => Self::Stopped,
            Interrupted::Run(ending, why) => Self::Said(ending, why),
            Interrupted::Session(error) => Self::Said(ExitStatus::of_cause(error.cause), error.chain()),
        }
    }
}

impl From<Unstaged> for Failure {
    fn from(error: Unstaged) -> Self {
        match error {
            Unstaged::Payload(PayloadError::Stopped) => Self::Stopped,
            Unstaged::Payload(error) => Self::Said(ExitStatus::NotSafe, chain(&error)),
            Unstaged::Sink(error) => Self::Said(ExitStatus::NotSafe, error.chain()),
            Unstaged::Verify(error) => Self::Said(ExitStatus::DestinationDamaged, chain(&error)),
        }
    }
}

/// Leaves a snapshot at each destination that needs one. All verdicts are on record by now, and stay so whatever happens.
///
/// The catalogue is the one that the run found and worked by, so that no row is described that the verdict beside it is
/// not about.
pub(crate) fn leave(dests: &[&DestinationRun<'_>], catalogue: &mut Catalogue) {
    let mut drafts: Vec<Draft<'_>> = dests.iter().filter_map(|it| begin(it, catalogue)).collect();
    let broken = describe(&mut drafts, catalogue).err();
    for mut draft in drafts {
        draft.failure = draft.failure.or_else(|| broken.clone());
        let dest = draft.dest;
        match draft.finish() {
            Ok(link) => dest.is_described(link, catalogue),
            Err(failure) => tell(dest, failure),
        }
    }
}

/// Enters the whole catalogue into every draft, as long as there is one that goes on.
fn describe(drafts: &mut [Draft<'_>], catalogue: &mut Catalogue) -> Result<(), Failure> {
    for (n, entry) in catalogue.entries.read()?.enumerate() {
        if n.is_multiple_of(LINES) {
            let cut_short = drafts.iter_mut().filter(|it| !it.dest.at_the_end.may_go_on());
            cut_short.for_each(|it| it.failure = it.failure.take().or(Some(Failure::Stopped)));
        }
        let entry = entry?;
        drafts.iter_mut().for_each(|it| it.enter(&entry));
        if drafts.iter().all(|it| it.failure.is_some()) {
            return Ok(());
        }
    }
    Ok(())
}

impl DestinationRun<'_> {
    fn is_described(&self, by: SnapshotLink, catalogue: &Catalogue) {
        let mut counts = self.tally.lock();
        counts.snapshot = Some(by);
        counts.catalogue_digest = Some(catalogue.digest.clone());
    }
}

/// Begins the snapshot of one destination, if it needs one.
fn begin<'a>(dest: &'a DestinationRun<'a>, catalogue: &Catalogue) -> Option<Draft<'a>> {
    // What is under a signal, or has lost its lock or its destination, leaves it to the next run, which sees that by the
    // summary.
    let is_settled = dest.settled.load(std::sync::atomic::Ordering::Relaxed);
    if !is_settled || !dest.at_the_end.may_go_on() || dest.tally.is_aborted() || !dest.is_locked() {
        return None;
    }
    let begun = is_needed(dest, catalogue);
    let begun = begun.and_then(|it| if it { Draft::new(dest, catalogue).map(Some) } else { Ok(None) });
    begun.unwrap_or_else(|failure| {
        tell(dest, failure);
        None
    })
}

/// Says that there is no snapshot, where it is not said already.
fn tell(dest: &DestinationRun<'_>, failure: Failure) {
    let Failure::Said(ending, why) = failure else {
        if dest.setup.stop.is_over() {
            let why = "the time budget was over before a snapshot of the catalogue was there; the next run leaves one";
            dest.setup.observer.event(&Event::Warning(why));
            dest.tally.lock().cut_short = true;
        }
        return;
    };
    let why = format!("no snapshot of the catalogue could be left at the destination: {why}");
    dest.setup.observer.event(&Event::Warning(&why));
    let mut counts = dest.tally.lock();
    counts.not_safe = true;
    match ending {
        ExitStatus::Unreachable | ExitStatus::NoSpace => ExitStatus::worsen(&mut counts.unusable, Some(ending)),
        ExitStatus::DestinationDamaged => counts.destination_damaged = true,
        ExitStatus::NotSafe => {}
        ExitStatus::Signalled(_)
        | ExitStatus::Refused
        | ExitStatus::Locked
        | ExitStatus::Usage
        | ExitStatus::SourceDamaged
        | ExitStatus::Stopped
        | ExitStatus::Safe => drop(counts.abort.get_or_insert((ending, why.clone()))),
    }
    counts.note_global(About::Destination(dest.setup.destination), Status::FailWrite, why);
}

/// What an earlier run's summary says of its snapshot.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    /// `verify` and others copy nothing, and leave no snapshot.
    command: Option<String>,
    exit_code: u8,
    snapshot: Option<SnapshotLink>,
    catalogue_digest: Option<String>,
}

/// What earlier runs tell by their summaries, the last run's first: nothing for one that left no snapshot, or that has no
/// summary because it never came to its end.
fn earlier(dest: &DestinationRun<'_>, limit: u32) -> Result<impl Iterator<Item = Told>, LedgerError> {
    let runs = dest.setup.ledger.runs(dest.setup.destination, limit)?;
    let others = runs.into_iter().filter(|(run, _)| run.id != dest.options.run);
    let told = |it: dvb_ledger::RunSummary| -> Told { serde_json::from_str(&it.json).unwrap_or_default() };
    let told = others.map(move |(_, summary)| summary.map(told).unwrap_or_default());
    // A purge has written them again. What others found damaged is no longer what the snapshot says.
    let is_of_purge = |it: &Told| it.command.as_deref() == Some("purge") && it.snapshot.is_some();
    let is_damage = |it: &Told| it.exit_code == ExitStatus::DestinationDamaged.code();
    Ok(told.filter(move |it| it.command.is_none() || is_of_purge(it) || is_damage(it)))
}

/// The newest snapshot that an earlier run has left, as far as the ledger knows.
pub(crate) fn newest_known(dest: &DestinationRun<'_>) -> Result<Option<SnapshotLink>, LedgerError> {
    Ok(earlier(dest, RUNS)?.find_map(|it| it.snapshot))
}

/// Whether the newest snapshot there does not describe the destination and the catalogue any more. If it does, it is this
/// run's too.
fn is_needed(dest: &DestinationRun<'_>, catalogue: &Catalogue) -> Result<bool, Failure> {
    let changed = dest.tally.lock().changed;
    // This run's own row is among them.
    let last = earlier(dest, RUNS)?.next().unwrap_or_default();
    let is_same = !changed && last.catalogue_digest.as_ref() == Some(&catalogue.digest);
    let Some(last) = last.snapshot.filter(|_| is_same) else { return Ok(true) };
    if dest.options.looks_again() && !is_there(dest, &last)? {
        return Ok(true);
    }
    dest.is_described(last, catalogue);
    Ok(false)
}

/// A snapshot on its way to one destination.
struct Draft<'a> {
    dest: &'a DestinationRun<'a>,
    connection: Connection<'a>,
    /// Its own name, and those of the snapshots that are there.
    name: String,
    others: Vec<String>,
    lines: Lines<'a>,
    failure: Option<Failure>,
}

impl<'a> Draft<'a> {
    fn new(dest: &'a DestinationRun<'a>, catalogue: &Catalogue) -> Result<Self, Failure> {
        let mut connection = dest.last_connection();
        let others = list(&mut connection)?;
        let previous = previous(dest, &mut connection, others.as_deref())?;
        let run = &dest.options.run;
        let header = SnapshotHeader {
            format: SNAPSHOT_FORMAT.to_owned(),
            version: SNAPSHOT_VERSION,
            made: catalogue.made.clone(),
            source: dest.setup.catalog.describe(),
            run: Some(run.clone()),
            destination: Some(dest.setup.destination.clone()),
            installation: Some(guard::installation(dest.setup.ledger)?),
            host: Some(dest.options.agent.host.clone()),
            previous,
            rewritten: Vec::new(),
        };
        // Without a name: it goes with the process.
        let file = tempfile::tempfile_in(&dest.options.spool_folder)?;
        let writer = SnapshotWriter::new(BufWriter::new(file), &header)?;
        let lines = Lines::new(writer, dest.setup.ledger, dest.setup.destination)?;
        let (name, others) = (snapshot_names::name_of(&run.0), others.unwrap_or_default());
        Ok(Self { dest, connection, name, others, lines, failure: None })
    }

    fn enter(&mut self, entry: &Subject) {
        if self.failure.is_none() {
            self.failure = self.lines.enter(entry).err();
        }
    }

    fn finish(self) -> Result<SnapshotLink, Failure> {
        let Self { dest, mut connection, name, mut others, lines, failure } = self;
        let stored = match failure {
            Some(failure) => Err(failure),
            None => lines.finish().and_then(|file| {
                let link = SnapshotLink { name: name.clone(), sha256: sha256_of(&file)? };
                let words = in_words(&dest.options.spool_folder, &link)?;
                let digest_name = snapshot_names::digest_of(&name);
                let proved = store(dest, &mut connection, [(&name, file), (&digest_name, words)])?;
                let sent = proved[0].measured().digest(Algorithm::Sha256).map(dvb_fixity::Digest::hex);
                if sent.as_ref() != Some(&link.sha256) {
                    let why = "the spooled snapshot changed while it was sent; is the disk of SpoolDirectory in order?";
                    return Err(Failure::Said(ExitStatus::NotSafe, why.to_owned()));
                }
                Ok(link)
            }),
        };
        if stored.is_ok() {
            others.push(name.clone());
            thin_out(dest, &mut connection, &others, &name);
        }
        dest.leave(connection);
        stored
    }
}

fn is_there(dest: &DestinationRun<'_>, link: &SnapshotLink) -> Result<bool, Failure> {
    let key = ObjectKey::own(&link.name)?;
    let mut connection = dest.last_connection();
    let found = connection.with(|it| it.stat(std::slice::from_ref(&key)))?.pop();
    dest.leave(connection);
    Ok(matches!(found, Some(Ok(Some(_)))))
}

/// The names of what is there; `None` where the destination cannot list.
pub(crate) fn list(connection: &mut Connection<'_>) -> Result<Option<Vec<String>>, Interrupted> {
    Ok(list_own(connection, snapshot_names::BEFORE)?.map(snapshot_names::as_spelled))
}

/// The backup's own names that begin so; `None` without the right to list them: then the ledger has to know what is there.
pub(crate) fn list_own(connection: &mut Connection<'_>, prefix: &str) -> Result<Option<Vec<String>>, Interrupted> {
    again(|| {
        connection.with(|session| match session.list_own(prefix) {
            Err(error) if error.cause == Cause::Forbidden => Ok(None),
            listed => listed.map(Some),
        })
    })
}

/// The newest snapshot that is there. Its digest is the one that was proved when it was written, so that the chain shows
/// what happened to it since; where the ledger does not know it, what lies there now.
fn previous(
    dest: &DestinationRun<'_>,
    connection: &mut Connection<'_>,
    names: Option<&[String]>,
) -> Result<Option<SnapshotLink>, Failure> {
    let mut known = earlier(dest, RUNS)?.filter_map(|it| it.snapshot);
    let Some(names) = names else { return Ok(known.next()) };
    let Some(newest) = snapshot_names::newest(names, snapshot_names::now()) else { return Ok(None) };
    // Runs of one second have no order by their names; the ledger has one.
    let is_newest = |it: &SnapshotLink| {
        names.contains(&it.name) && snapshot_names::time_of(&it.name) == snapshot_names::time_of(newest)
    };
    if let Some(link) = known.find(is_newest) {
        return Ok(Some(link));
    }
    let key = ObjectKey::own(newest)?;
    let measured = again(|| connection.with(|it| it.measure(std::slice::from_ref(&key), &[])))?.pop();
    let digest = match measured {
        Some(Ok(it)) => it.digest(Algorithm::Sha256).map(dvb_fixity::Digest::hex),
        // It cannot be read, so there is nothing to be linked to.
        Some(Err(_)) | None => None,
    };
    Ok(digest.map(|sha256| SnapshotLink { name: newest.clone(), sha256 }))
}

/// Does it again with a new session when the session is lost.
pub(crate) fn again<T>(mut work: impl FnMut() -> Result<T, Interrupted>) -> Result<T, Interrupted> {
    for _ in 1..ATTEMPTS {
        match work() {
            Err(Interrupted::Session(_)) => {}
            done => return done,
        }
    }
    work()
}

/// Stores objects of the backup's own together: all of them or, but for what a destination that fails keeps, none.
fn store<const N: usize>(
    dest: &DestinationRun<'_>,
    connection: &mut Connection<'_>,
    objects: [(&str, File); N],
) -> Result<Vec<Proved>, Failure> {
    let mut keyed = Vec::with_capacity(N);
    for (name, file) in objects {
        keyed.push((ObjectKey::own(name)?, Arc::new(file)));
    }
    let reading = Reading { stop: dest.at_the_end.clone(), ..dest.reading.clone() };
    let mut attempt = 0;
    loop {
        if !dest.is_locked() {
            let why = "the lock on the destination was lost with the connection to the backup database";
            return Err(Failure::Said(ExitStatus::Unreachable, why.to_owned()));
        }
        // What lies at their names can only be what an attempt before left there that nobody heard of.
        let done = connection.with(|session| stage_and_commit(session, &keyed, &reading, attempt > 0));
        attempt += 1;
        match done {
            Ok(Ok(proved)) => return Ok(proved),
            Err(Interrupted::Session(_)) if !dest.at_the_end.may_go_on() => return Err(Failure::Stopped),
            Err(Interrupted::Session(_)) if attempt < ATTEMPTS => {}
            Ok(Err(Failed::Object(Unstaged::Sink(error)))) if error.cause == Cause::Transient && attempt < ATTEMPTS => {
            }
            Ok(Err(Failed::Object(error))) => return Err(error.into()),
            Ok(Err(Failed::Spool(error))) => return Err(error.into()),
            Err(lost) => return Err(lost.into()),
        }
    }
}

/// Removes what is older than need be. What cannot be removed lies in the way of nothing: a later run tries again, and
/// nothing is said where this account may remove nothing.
fn thin_out(dest: &DestinationRun<'_>, connection: &mut Connection<'_>, names: &[String], latest: &str) {
    // Another ledger's snapshots in the same place are not ours to thin out.
    let is_ours = |name: &&String| {
        let run = snapshot_names::run_of_either(name).map(|it| RunId(it.to_owned()));
        run.is_some_and(|it| dest.setup.ledger.knows_run(dest.setup.destination, &it).unwrap_or(false))
    };
    for name in snapshot_names::to_be_removed(names, latest, snapshot_names::now()).into_iter().filter(is_ours) {
        let Ok(key) = ObjectKey::own(name) else { continue };
        let removed = connection.with(|session| match session.remove_own(&key) {
            Err(error) if matches!(error.cause, Cause::Missing | Cause::Forbidden) => Ok(error.cause == Cause::Missing),
            removed => removed.map(|()| true),
        });
        let why = match removed {
            Ok(true) => continue,
            Ok(false) | Err(Interrupted::Stopped) => return,
            Err(Interrupted::Session(error)) => error.chain(),
            Err(Interrupted::Run(_, why)) => why,
        };
        dest.setup.observer.event(&Event::Warning(&format!("an old snapshot could not be removed: {why}")));
        return;
    }
}
