//! Which snapshot, and whether it is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use dvb_catalog::snapshot::HeldEntry;
use dvb_catalog::{CatalogError, SnapshotCatalog, SnapshotCounts, SnapshotHeader, SnapshotLink};
use dvb_fixity::{Algorithm, Digest, Hasher, Measured};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, SinkError};
use jiff::civil::DateTime;
use serde::Serialize;
use tempfile::TempPath;

use super::{RebuildSetup, installations};
use crate::command::cancel::CancelToken;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::copies::session::{Connection, Interrupted};
use crate::copies::snapshot_names;
use crate::guard::{self, Identity};

/// How often a session that is lost is taken up again.
const ATTEMPTS: u32 = 3;
/// What lies beside a snapshot is a line.
const LONGEST_DIGEST: u64 = 4096;

/// Which snapshot the ledger is made again from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest one at the destination that is whole.
    Newest,
    /// The one of this name at the destination.
    Named(String),
    /// One that was fetched before.
    File(PathBuf),
}

/// A snapshot that is here, and whole.
#[derive(Debug)]
pub struct Fetched {
    /// Name of the snapshot at the destination, and SHA-256 of its bytes.
    pub link: SnapshotLink,
    /// Its first line: whose it is, and when it was made.
    pub header: SnapshotHeader,
    /// How many lines of each type it has.
    pub counts: SnapshotCounts,
    /// What is to be known of it, and of others that could not be used.
    pub notes: Vec<String>,
    /// Those of other installations lie beside it, and only a catalogue can tell which are meant.
    pub(super) several: Option<RunError>,
    path: PathBuf,
    /// Goes with this, where it was fetched.
    _temporary: Option<Temporary>,
}

/// A file that goes with the process: it has no name any more, where the system can open it without one.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    pub(super) file: File,
    _name: Option<TempPath>,
}

impl Temporary {
    /// A file for a snapshot, which names drafts and restricted files.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix("snapshot-").suffix(".jsonl.zst").tempfile_in(folder)?;
        let (file, name) = file.into_parts();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if File::open(&path).is_ok() {
            name.close()?;
            return Ok(Self { path, file, _name: None });
        }
        Ok(Self { path: name.to_path_buf(), file, _name: Some(name) })
    }
}

impl Fetched {
    /// The installation that it is of, where that is another one than the destination's.
    fn foreign(&self, owner: &Identity) -> Option<&str> {
        let Identity::Of(owner) = owner else { return None };
        self.header.installation.as_deref().filter(|it| *it != owner.id)
    }

    /// The catalogue that the snapshot holds, to be read like that of the database.
    #[must_use]
    pub fn catalog(&self) -> SnapshotCatalog {
        SnapshotCatalog::new(&self.path)
    }
}

pub(super) fn fetch(
    setup: &RebuildSetup<'_>,
    which: &Which,
    connection: &mut Connection<'_>,
    owner: &Identity,
    folder: &Path,
) -> Result<Fetched, RunError> {
    let one = |name: &str, connection: &mut Connection<'_>| fetch_one(setup, name, connection, folder);
    let none = |why| RunError::NoSnapshot { destination: setup.destination.0.clone(), why };
    match which {
        Which::File(path) => {
            let sha256 =
                digest_of_file(path).map_err(|source| CatalogError::Unreadable { path: path.clone(), source })?;
            let link = SnapshotLink { name: path.display().to_string(), sha256 };
            let (header, counts) = whole(path)?;
            Ok(Fetched { link, header, counts, notes: Vec::new(), several: None, path: path.clone(), _temporary: None })
        }
        Which::Named(name) => {
            let mut fetched = one(name, connection)?.map_err(|why| none(vec![why]))?;
            let note = fetched.foreign(owner).map(|it| format!("{name} is that of another installation, {it}"));
            fetched.notes.extend(note);
            Ok(fetched)
        }
        Which::Newest => {
            let listed = again(connection, |session| match session.list_own(snapshot_names::BEFORE) {
                Err(error) if error.cause == Cause::Forbidden => Ok(Err(error.chain())),
                listed => listed.map(|it| Ok(snapshot_names::as_spelled(it))),
            })?;
            let names = listed.map_err(|why| {
                none(vec![format!(
                    "{why}; the summary of each run names its snapshot, and one can be asked for by its name"
                )])
            })?;
            let now = snapshot_names::now();
            let snapshots = snapshot_names::newest_first(&names, now);
            let is_told = setup.accept_other || matches!(owner, Identity::Of(_));
            let several = if is_told { None } else { installations::several(setup, &snapshots, connection, folder)? };
            // Without a catalogue that the copies are compared with, nothing else tells whose they are.
            let several = match (setup.catalogue, several) {
                (None, Some(refused)) => return Err(refused),
                (_, several) => several,
            };
            let mut why = Vec::new();
            for name in &snapshots {
                match one(name, connection)? {
                    Ok(mut fetched) => {
                        if let Some(other) = fetched.foreign(owner) {
                            why.push(format!("{name} is that of another installation, {other}; to use it, name it"));
                            continue;
                        }
                        fetched.notes.splice(0..0, why);
                        fetched.notes.extend(of_wrong_clocks(name, &snapshots, now));
                        fetched.notes.extend(broken_link(&fetched, &names, connection)?);
                        fetched.several = several;
                        return Ok(fetched);
                    }
                    Err(it) => why.push(it),
                }
            }
            Err(none(why))
        }
    }
}

/// A snapshot at a destination, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotRow {
    /// Its name there, as `--snapshot` and `--from-snapshot` take it.
    pub name: String,
    /// The run that left it.
    pub run: Option<RunId>,
    /// The installation that left it; runs of earlier versions told none.
    pub installation: Option<String>,
    /// When the reading of its catalogue began, RFC 3339 UTC.
    pub made: Option<String>,
    /// Data files in it.
    pub data_files: Option<u64>,
    /// Data files and datasets in it that had left Dataverse.
    pub gone: Option<u64>,
    /// Bytes of the file as it lies there.
    pub size: Option<u64>,
    /// It is the newest one that is whole, and the destination's own: what is used where none is named. None is where several
    /// installations have left snapshots and the destination does not tell whose it is.
    pub newest: bool,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

pub(super) fn list(
    setup: &RebuildSetup<'_>,
    connection: &mut Connection<'_>,
    folder: &Path,
) -> Result<Vec<SnapshotRow>, RunError> {
    let owner = owner(connection)?;
    let names = again(connection, |it| it.list_own(snapshot_names::BEFORE))?;
    let mut rows: Vec<SnapshotRow> = Vec::new();
    for name in snapshot_names::newest_first(&names, snapshot_names::now()) {
        let size = match ObjectKey::own(name) {
            Ok(key) => again(connection, |it| it.stat(std::slice::from_ref(&key)))?.pop(),
            Err(_) => None,
        };
        let size = size.and_then(Result::ok).flatten().map(|it| it.size);
        let row = SnapshotRow {
            name: name.clone(),
            run: None,
            installation: None,
            made: None,
            data_files: None,
            gone: None,
            size,
            newest: false,
            problem: None,
        };
        rows.push(match fetch_one(setup, name, connection, folder)? {
            Ok(Fetched { header, counts, .. }) => SnapshotRow {
                run: header.run,
                installation: header.installation,
                made: Some(header.made),
                data_files: Some(counts.files),
                gone: Some(counts.gone),
                ..row
            },
            Err(why) => SnapshotRow { problem: Some(why), ..row },
        });
    }
    let several = rows.iter().filter_map(|it| it.installation.as_ref()).collect::<BTreeSet<_>>().len() > 1;
    let is_own = |row: &SnapshotRow| match &owner {
        Identity::Of(owner) => row.installation.as_ref().is_none_or(|it| *it == owner.id),
        Identity::None | Identity::Hidden | Identity::Unreadable(_) => !several,
    };
    if let Some(newest) = rows.iter_mut().find(|it| it.problem.is_none() && is_own(it)) {
        newest.newest = true;
    }
    Ok(rows)
}

/// What is to be known where one is ahead of the clock: the one that is used, or others that may be newer all the same.
fn of_wrong_clocks(used: &str, all: &[&String], now: DateTime) -> Option<String> {
    let clock = "was made more than a day from now; the clock of the host that made it was fast, or this one is slow";
    if snapshot_names::is_ahead(used, now) {
        return Some(format!("{used}, by its name, {clock}. There is no other one that could be used"));
    }
    let ahead: Vec<&str> = all.iter().filter(|it| snapshot_names::is_ahead(it, now)).map(|it| it.as_str()).collect();
    let first = ahead.first()?;
    let more = if ahead.len() > 1 { format!(" (and {} more like it)", ahead.len() - 1) } else { String::new() };
    Some(format!("{first} was passed over{more}: by its name, it {clock}. To use it, name it"))
}

/// Inner error: why this one cannot be used.
fn fetch_one(
    setup: &RebuildSetup<'_>,
    name: &str,
    connection: &mut Connection<'_>,
    folder: &Path,
) -> Result<Result<Fetched, String>, RunError> {
    let Ok(key) = ObjectKey::own(name) else { return Ok(Err(format!("{name}: this is not the name of a snapshot"))) };
    let spool = |source| RunError::Spool { folder: folder.to_owned(), source };
    let temporary = Temporary::create(folder).map_err(spool)?;
    let file = &temporary.file;
    let sha256 = match again(connection, |it| download(it, &key, (folder, file), u64::MAX, setup.stop)) {
        Ok(Ok(it)) => it,
        Ok(Err(why)) => return Ok(Err(format!("{name}: {why}"))),
        Err(error) => return Err(error),
    };
    let expected = match ObjectKey::own(&snapshot_names::digest_of(name)) {
        Ok(key) => again(connection, |it| recorded(it, &key, name))?,
        Err(error) => Err(dvb_storage::chain(&error)),
    };
    let mut notes = Vec::new();
    match expected {
        Ok(expected) if expected != sha256 => {
            let why = format!("{name} was changed after it was written: its SHA-256 was {expected} and is {sha256}");
            return Ok(Err(why));
        }
        Ok(_) => {}
        Err(why) => {
            notes.push(format!("{name}: {why}, so only its own checksum and its last line say that it is whole"))
        }
    }
    let path = temporary.path.clone();
    Ok(match whole(&path) {
        Ok((header, counts)) => {
            if header.destination.as_ref().is_some_and(|it| it != setup.destination) {
                let of = header.destination.as_ref().map_or("", |it| it.0.as_str());
                notes.push(format!("{name} was left for a destination that was named {of:?}"));
            }
            let link = SnapshotLink { name: name.to_owned(), sha256 };
            Ok(Fetched { link, header, counts, notes, several: None, path, _temporary: Some(temporary) })
        }
        Err(error) => Err(format!("{name}: {}", dvb_storage::chain(&error))),
    })
}

/// Reads it to its end, which shows that it is whole.
fn whole(path: &Path) -> Result<(SnapshotHeader, SnapshotCounts), CatalogError> {
    let catalog = SnapshotCatalog::new(path);
    let header = catalog.header()?;
    let mut counts = SnapshotCounts::default();
    catalog.read_held(&mut |entry| {
        match entry {
            HeldEntry::Dataset(..) => counts.datasets += 1,
            HeldEntry::DataFile(..) => counts.files += 1,
            HeldEntry::Gone(_) => counts.gone += 1,
            HeldEntry::History(..) => counts.history += 1,
        }
        ControlFlow::Continue(())
    })?;
    Ok((header, counts))
}

/// Where the one before is still there, it has to be what the chain says.
fn broken_link(
    fetched: &Fetched,
    names: &[String],
    connection: &mut Connection<'_>,
) -> Result<Option<String>, RunError> {
    let Some(previous) = fetched.header.previous.as_ref().filter(|it| names.contains(&it.name)) else {
        return Ok(None);
    };
    let Ok(key) = ObjectKey::own(&previous.name) else { return Ok(None) };
    let measured = again(connection, |it| it.measure(std::slice::from_ref(&key), &[]))?.pop();
    let sha256 = |it: &Measured| it.digest(Algorithm::Sha256).map(Digest::hex);
    Ok(match measured {
        Some(Ok(it)) if sha256(&it).as_ref() == Some(&previous.sha256) => None,
        Some(Ok(_)) => Some(format!(
            "the chain is broken: {} is not what it was when {} was written; check it and older ones before you use them",
            previous.name, fetched.link.name
        )),
        Some(Err(error)) => Some(format!("{} could not be compared with the chain: {}", previous.name, error.chain())),
        None => None,
    })
}

/// Fetches an object, or the first `most` bytes of it. Inner error: what is wrong with it.
pub(super) fn download(
    session: &mut dyn dvb_storage::SinkSession,
    key: &ObjectKey,
    (folder, file): (&Path, &File),
    most: u64,
    stop: &CancelToken,
) -> Result<Result<String, String>, SinkError> {
    let here = |source: io::Error| {
        let folder = folder.display();
        let (cause, attempt) = if dvb_model::is_full(&source) {
            let remedy = "make room there, or set TMPDIR to a folder that has room";
            (
                Cause::Full,
                format!("no space left for the snapshot in the folder for temporary files, {folder}; {remedy}"),
            )
        } else {
            (Cause::Io, format!("cannot keep the snapshot in the folder for temporary files, {folder}"))
        };
        SinkError::because(cause, attempt, source)
    };
    let mut body = match session.open(key) {
        Ok(it) => it.take(most),
        Err(error) if error.cause == Cause::Transient => return Err(error),
        Err(error) => return Ok(Err(error.chain())),
    };
    file.set_len(0).map_err(here)?;
    let mut out = BufWriter::new(io::Seek::rewind(&mut &*file).map(|()| file).map_err(here)?);
    let (mut hasher, mut buffer) = (Hasher::new(&[]), vec![0; 1 << 17]);
    loop {
        if !stop.may_go_on() {
            return Ok(Err("stopped".to_owned()));
        }
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                out.write_all(&buffer[..n]).map_err(here)?;
            }
            Err(error) => return Err(SinkError::because(Cause::Transient, format!("reading {key} failed"), error)),
        }
    }
    out.flush().map_err(here)?;
    Ok(Ok(hasher.finish().digest(Algorithm::Sha256).map(Digest::hex).unwrap_or_default()))
}

/// The digest that lies beside a snapshot. Inner error: why there is none.
fn recorded(
    session: &mut dyn dvb_storage::SinkSession,
    key: &ObjectKey,
    snapshot: &str,
) -> Result<Result<String, String>, SinkError> {
    let body = match session.open(key) {
        Ok(it) => it,
        Err(error) if error.cause == Cause::Transient => return Err(error),
        Err(error) if error.cause == Cause::Missing => return Ok(Err("no digest lies beside it".to_owned())),
        Err(error) => return Ok(Err(format!("its digest cannot be read: {}", error.chain()))),
    };
    let mut text = String::new();
    if let Err(error) = body.take(LONGEST_DIGEST).read_to_string(&mut text) {
        return Ok(Err(format!("its digest cannot be read: {key}: {error}")));
    }
    let of = |line: &str| {
        let (digest, name) = line.split_once("  ")?;
        (name == snapshot).then(|| digest.to_owned())
    };
    Ok(text.lines().find_map(of).ok_or_else(|| format!("{key} does not say its digest")))
}

fn digest_of_file(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Hasher::new(&[]), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish().digest(Algorithm::Sha256).map(Digest::hex).unwrap_or_default()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Whose the destination is.
pub(super) fn owner(connection: &mut Connection<'_>) -> Result<Identity, RunError> {
    again(connection, guard::look_at_identity)
}

pub(super) fn again<T>(
    connection: &mut Connection<'_>,
    mut work: impl FnMut(&mut dyn dvb_storage::SinkSession) -> Result<T, SinkError>,
) -> Result<T, RunError> {
    let mut attempt = 1;
    loop {
        let (ending, text) = match connection.with(&mut work) {
            Ok(it) => return Ok(it),
            Err(Interrupted::Session(error)) if error.cause == Cause::Transient && attempt < ATTEMPTS => {
                attempt += 1;
                continue;
            }
            Err(Interrupted::Session(error)) => (ExitStatus::of_cause(error.cause), error.chain()),
            Err(Interrupted::Run(ending, text)) => (ending, text),
            Err(Interrupted::Stopped) => (ExitStatus::Unreachable, "stopped".to_owned()),
        };
        return Err(RunError::Destination { text, ending });
    }
}
