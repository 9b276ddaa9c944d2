//! A destination in a folder: temporary names, all bytes, one flush for a batch, reading back, renames, one flush of each
//! folder.

use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirEntry, File, OpenOptions, OpenOptionsExt};
use dvb_fixity::{Algorithm, Evidence, Hasher, Measured, Observed, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Demand, Existing, Listed, Listing, Payload, Room, Setting, Sink, SinkError, SinkSession,
    StageRequest, Staged, Unstaged,
};
use rustix::fs::Advice;

use crate::error::{cause_of_root, flushing_error, reading_error, sink_error};
use crate::flush::{Flusher, Notes, Shared, sync_dir, write_out};
use crate::kinds;
use crate::listing::walk;
use crate::names::Names;
use crate::publish::{Touched, rename_new};

const OWN: &str = ".dataverse-backup";
const TEMPORARY: &str = ".dataverse-backup/tmp";
/// Others may take empty folders away while they are made.
const ATTEMPTS: usize = 5;
const BUFFER: usize = 1 << 20;
/// Bytes of a large file after which the disk begins with them.
const STRIDE: u64 = 8 << 20;
/// Files that are read back at the same time, so that the disk has several to fetch.
const ABREAST: usize = 32;

/// Where, and by which evidence.
#[derive(Debug, Clone)]
pub struct DirectorySinkConfig {
    /// `BackupDirectory`. [`Sink::make`] makes it, when its parent exists.
    pub root: PathBuf,
    /// A folder has no digests of its own: only reading back can be had.
    pub demand: Demand,
}

/// A destination in a folder.
pub struct DirectorySink {
    config: DirectorySinkConfig,
    // Sessions of one process share the run's temporary folder.
    next: AtomicU64,
    shared: Shared,
    notes: Notes,
}

impl DirectorySink {
    /// A destination that is opened when a session connects.
    #[must_use]
    pub fn new(config: DirectorySinkConfig) -> Self {
        Self { config, next: AtomicU64::new(0), shared: Shared::default(), notes: Notes::default() }
    }

    /// Makes the root where it is missing. Its own name is as durable as those in it.
    fn make_root(&self) -> io::Result<()> {
        let root = &self.config.root;
        match std::fs::create_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other?,
        }
        let parent = root.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.notes.add(sync_dir(std::fs::File::open(parent)?, || parent.to_owned())?);
        Ok(())
    }
}

impl Sink for DirectorySink {
    fn describe(&self) -> String {
        self.config.root.display().to_string()
    }

    fn method(&self) -> &'static str {
        "directory"
    }

    fn notes(&self) -> Vec<String> {
        self.notes.all()
    }

    fn room(&self) -> Result<Option<Room>, SinkError> {
        let root = &self.config.root;
        let told = rustix::fs::statvfs(root).map_err(|it| sink_error(it.into(), root, "ask for the room in", ""))?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        Ok(Some(Room { free: bytes(told.f_bavail), total: bytes(told.f_blocks) }))
    }

    fn make(&self) -> Result<(), SinkError> {
        self.make_root().map_err(|error| {
            let attempt = format!(
                "cannot make the destination's folder {}; check that what it lies in exists, is mounted, and that this \
                 account may write to it",
                self.config.root.display()
            );
            SinkError::because(cause_of_root(&error), attempt, error)
        })
    }

    fn unmake(&self) -> Result<(), SinkError> {
        let root = &self.config.root;
        match std::fs::remove_dir(root) {
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(()),
            removed => removed.map_err(|it| sink_error(it, root, "remove the empty folder", "")),
        }
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        let root = &self.config.root;
        if self.config.demand == Demand::RemoteHash {
            let attempt = format!(
                "the folder {} has no digests of its own; set {}: read-back",
                root.display(),
                Setting::Evidence
            );
            return Err(SinkError::new(Cause::Misconfigured, attempt));
        }
        let unavailable = |error| {
            let attempt = format!(
                "cannot use the destination's folder {}; check that it exists, is mounted, and that this account may write to it",
                root.display()
            );
            SinkError::because(cause_of_root(&error), attempt, error)
        };
        let dir = match Dir::open_ambient_dir(root, ambient_authority()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let attempt = format!(
                    "the destination's folder {} does not exist; check {}, and that its disk is mounted",
                    root.display(),
                    Setting::Folder
                );
                return Err(SinkError::because(Cause::Absent, attempt, error));
            }
            opened => opened.map_err(unavailable)?,
        };
        let mut touched = Touched::new(&dir, root);
        let folder = format!("{TEMPORARY}/{run}");
        let mut made = touched.make(Some(&folder)).and_then(Dir::try_clone);
        for _ in 1..ATTEMPTS {
            if made.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
                made = touched.make(Some(&folder)).and_then(Dir::try_clone);
            }
        }
        let own = made.map_err(unavailable)?;
        if let Some((_, error)) = touched.flush(&self.notes).into_iter().next() {
            return Err(unavailable(error));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let names = Names::new(own.try_clone().map_err(unavailable)?, format!("names-{number}"));
        let flusher = Flusher::of(&dir, &self.shared).map_err(unavailable)?;
        tracing::debug!(root = %root.display(), run = run.0, session = number, "open a session with a folder");
        Ok(Box::new(DirectorySession {
            root: root.clone(),
            dir,
            own,
            flusher,
            notes: self.notes.clone(),
            names,
            number,
            next: 0,
            buffer: vec![0; BUFFER],
        }))
    }
}

struct DirectorySession {
    root: PathBuf,
    dir: Dir,
    /// This run's folder for temporaries.
    own: Dir,
    flusher: Flusher,
    names: Names,
    notes: Notes,
    number: u64,
    next: u64,
    buffer: Vec<u8>,
}

impl DirectorySession {
    fn failed<'a>(&'a self, doing: &'a str, name: &'a str) -> impl Fn(io::Error) -> SinkError + 'a {
        move |error| sink_error(error, &self.root, doing, name)
    }

    fn stage_one(&mut self, request: StageRequest) -> Result<Staged, Unstaged> {
        let StageRequest { key, mut payload } = request;
        self.refuse_impossible(&key)?;
        payload.open()?;
        let handle = format!("{}-{}", self.number, self.next);
        self.next += 1;
        let written = self.write_temporary(&handle, payload.as_mut());
        if written.is_err() {
            // Its own failure is not news beside the one at hand; a later run sweeps what is left.
            let _ = self.own.remove_file(&handle);
        }
        written?;
        Ok(Staged { key, measured: payload.finish(), handle })
    }

    /// Before any byte is read in vain.
    fn refuse_impossible(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        match self.names.impossible(key.as_str()) {
            Ok(None) => Ok(()),
            Ok(Some(part)) => {
                let (root, kind) = (self.root.display(), kinds::name(&self.dir));
                let attempt = format!("the file system of {root} ({kind}) cannot have the name {part:?}");
                Err(SinkError::new(Cause::Unnameable, attempt))
            }
            Err(error) => Err(self.failed("try names in", TEMPORARY)(error)),
        }
    }

    fn write_temporary(&mut self, handle: &str, payload: &mut dyn Payload) -> Result<(), Unstaged> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        let mut file = self.own.open_with(handle, &options).map_err(self.failed("write to", ""))?;
        let (mut written, mut under_way) = (0, 0);
        loop {
            let n = payload.read(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&self.buffer[..n]).map_err(|it| sink_error(it, &self.root, "write to", ""))?;
            written += n as u64;
            if written - under_way >= STRIDE {
                write_out(&file, under_way);
                under_way = written;
            }
        }
        Ok(())
    }

    /// Flushes what was staged; what cannot be flushed is not staged.
    fn flush_staged(&mut self, batch: &mut [Result<Staged, Unstaged>]) {
        let files = batch.iter().filter(|it| it.is_ok()).count();
        if self.flusher.flush_bytes(files, &self.root, &self.notes) {
            return;
        }
        // All are on their way to the disk before the first is waited for.
        for staged in batch.iter().flatten() {
            if let Ok(file) = self.own.open(&staged.handle) {
                write_out(&file, 0);
            }
        }
        for answer in batch {
            let Ok(staged) = answer else { continue };
            // By a handle that may write: to flush by another one is nothing on CIFS.
            let file = self.own.open_with(&staged.handle, OpenOptions::new().write(true));
            if let Err(error) = file.and_then(|it| it.sync_all()) {
                let error = self.failed("flush a new copy of", staged.key.as_str())(error);
                // A later run sweeps what is left.
                let _ = self.own.remove_file(&staged.handle);
                *answer = Err(error.into());
            }
        }
    }

    /// Flushes what lies at these keys, which may have come there by any hand: bytes and names. Gives the failure of each.
    fn flush_there(&mut self, keys: &[ObjectKey]) -> Vec<Option<SinkError>> {
        if self.flusher.flush_names(usize::MAX, &self.root, &self.notes) {
            return keys.iter().map(|_| None).collect();
        }
        let mut touched = Touched::new(&self.dir, &self.root);
        let mut flush = |key: &ObjectKey| {
            // Whatever else is wrong with it is said where it is read.
            let file = self.open_copy(key).ok()?;
            touched.look(key.parent().unwrap_or_default());
            file.sync_all().map_err(self.failed("flush", key.as_str())).err()
        };
        let mut failures: Vec<_> = keys.iter().map(&mut flush).collect();
        for (folder, error) in touched.flush(&self.notes) {
            for (_, failure) in keys.iter().zip(&mut failures).filter(|(it, _)| lies_in(it, &folder)) {
                *failure = Some(flushing_error(&error, &self.root, &folder));
            }
        }
        failures
    }

    fn flush_names(&self, touched: Touched<'_>) -> Result<(), SinkError> {
        match touched.flush(&self.notes).first() {
            Some((folder, error)) => Err(flushing_error(error, &self.root, folder)),
            None => Ok(()),
        }
    }

    fn prove(&mut self, staged: &Staged, file: io::Result<File>) -> Result<Proved, Unstaged> {
        let key = staged.key.as_str();
        let measured = file.and_then(|mut it| read_back(&mut it, &[], &mut self.buffer));
        let measured = measured.map_err(self.failed("read back", key))?;
        let missing = || SinkError::new(Cause::Io, format!("no digest of {key} was made"));
        let digest = measured.digest(Algorithm::Sha256).cloned().ok_or_else(missing)?;
        let observed = Observed { digest, size: Some(measured.size), evidence: Evidence::ReadBack };
        Ok(Proved::by(staged.measured.clone(), &observed)?)
    }

    /// Shows one object that was proved.
    fn show(&self, request: &CommitRequest, touched: &mut Touched<'_>) -> Result<(), SinkError> {
        let CommitRequest { staged, replace } = request;
        let folder = touched.make(staged.key.parent());
        let folder = folder.map_err(self.failed("make the folder of", staged.key.as_str()))?;
        let name = last_part(&staged.key);
        let renamed = if *replace {
            self.own.rename(&staged.handle, folder, name)
        } else {
            rename_new(&self.own, &staged.handle, folder, name)
        };
        renamed.map_err(self.failed("give a new copy the name", staged.key.as_str()))
    }

    fn stat_one(&self, key: &ObjectKey) -> Result<Option<Existing>, SinkError> {
        match self.dir.symlink_metadata(key.as_str()) {
            Ok(it) if it.is_file() => Ok(Some(Existing { size: it.len() })),
            Ok(it) => {
                let what = if it.is_dir() { "a folder" } else { "a link or a pipe" };
                let attempt = format!("{} is {what}, not a file", self.root.join(key.as_str()).display());
                Err(SinkError::new(Cause::Broken, attempt))
            }
            Err(error) if crate::error::cause(&error) == Cause::Missing => Ok(None),
            Err(error) => Err(self.failed("stat", key.as_str())(error)),
        }
    }

    /// Opens a copy: nothing else, and least of all a pipe that nobody writes to.
    fn open_copy(&self, key: &ObjectKey) -> Result<File, SinkError> {
        if self.stat_one(key)?.is_none() {
            let attempt = format!("{} is missing", self.root.join(key.as_str()).display());
            return Err(SinkError::new(Cause::Missing, attempt));
        }
        self.dir.open(key.as_str()).map_err(|it| reading_error(it, &self.root, key.as_str()))
    }
}

/// Asks the disk for the first bytes of a file: of the disk, not of the cache that they were just written to.
fn ask_for(file: io::Result<File>) -> io::Result<File> {
    let file = file?;
    write_out(&file, 0);
    // A hint as well.
    let _ = rustix::fs::fadvise(&file, 0, NonZeroU64::new(BUFFER as u64), Advice::WillNeed);
    Ok(file)
}

fn read_back(file: &mut File, wanted: &[Algorithm], buffer: &mut [u8]) -> io::Result<Measured> {
    let mut hasher = Hasher::new(wanted);
    loop {
        match file.read(buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn lies_in(key: &ObjectKey, folder: &str) -> bool {
    folder.is_empty() || key.as_str().strip_prefix(folder).is_some_and(|it| it.starts_with('/'))
}

fn last_part(key: &ObjectKey) -> &str {
    key.as_str().rsplit_once('/').map_or(key.as_str(), |(_, name)| name)
}

impl SinkSession for DirectorySession {
    fn algorithms(&self) -> &[Algorithm] {
        &[Algorithm::Sha256]
    }

    fn evidence(&self) -> Evidence {
        Evidence::ReadBack
    }

    fn root(&self) -> Option<String> {
        Some(self.root.canonicalize().ok()?.to_str()?.to_owned())
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        let mut answers = batch.into_iter().map(|it| self.stage_one(it)).collect::<Vec<_>>();
        self.flush_staged(&mut answers);
        Ok(answers)
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        let mut proved = Vec::with_capacity(batch.len());
        for some in batch.chunks(ABREAST) {
            let files: Vec<_> = some.iter().map(|it| ask_for(self.own.open(&it.staged.handle))).collect();
            proved.extend(some.iter().zip(files).map(|(it, file)| self.prove(&it.staged, file)));
        }
        let mut touched = Touched::new(&self.dir, &self.root);
        let mut answers = Vec::with_capacity(batch.len());
        for (request, proved) in batch.iter().zip(proved) {
            let answer = proved.and_then(|it| Ok(self.show(request, &mut touched).map(|()| it)?));
            if answer.is_err() {
                let _ = self.own.remove_file(&request.staged.handle);
            }
            answers.push(answer);
        }
        // Names that may be lost with the power are not proved.
        let named = answers.iter().filter(|it| it.is_ok()).count();
        if self.flusher.flush_names(named, &self.root, &self.notes) {
            return Ok(answers);
        }
        for (folder, error) in touched.flush(&self.notes) {
            let lies_in = |it: &CommitRequest| lies_in(&it.staged.key, &folder);
            for (_, answer) in batch.iter().zip(&mut answers).filter(|(it, answer)| answer.is_ok() && lies_in(it)) {
                *answer = Err(flushing_error(&error, &self.root, &folder).into());
            }
        }
        Ok(answers)
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        for staged in batch {
            match self.own.remove_file(&staged.handle) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove a temporary of", staged.key.as_str())(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        Ok(keys.iter().map(|it| self.stat_one(it)).collect())
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        let mut unflushed = self.flush_there(keys).into_iter();
        let mut answers = Vec::with_capacity(keys.len());
        for some in keys.chunks(ABREAST) {
            let open = |key: &ObjectKey| {
                let file = self.open_copy(key)?;
                ask_for(Ok(file)).map_err(|it| reading_error(it, &self.root, key.as_str()))
            };
            let files: Vec<_> = some.iter().map(open).collect();
            for (key, file) in some.iter().zip(files) {
                let failed = |error| reading_error(error, &self.root, key.as_str());
                let read = file.and_then(|mut it| read_back(&mut it, wanted, &mut self.buffer).map_err(failed));
                let failure = unflushed.next().flatten();
                answers.push(read.and_then(|it| failure.map_or(Ok(it), Err)));
            }
        }
        Ok(answers)
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        let failed = self.failed("rename a copy to", to.as_str());
        let mut touched = Touched::new(&self.dir, &self.root);
        let source = touched.make(from.parent()).and_then(Dir::try_clone).map_err(&failed)?;
        let target = touched.make(to.parent()).map_err(&failed)?;
        rename_new(&source, last_part(from), target, last_part(to)).map_err(&failed)?;
        self.flush_names(touched)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        Ok(Box::new(self.open_copy(key)?.into_std()))
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        // Broken off or not, it is done.
        let _ = walk(&self.dir, &self.root, which, visit);
        Ok(())
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        if !key.is_own() {
            return Err(SinkError::new(Cause::Refused, format!("{key} is a copy, which is never removed")));
        }
        self.dir.remove_file(key.as_str()).map_err(self.failed("remove", key.as_str()))
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        let failed = self.failed("remove temporaries of dead runs in", TEMPORARY);
        let folder = match self.dir.open_dir(TEMPORARY) {
            // Another session took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(&failed)?,
        };
        let (mut removed, mut is_any) = (0, false);
        for entry in folder.entries().map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_dead(&RunId(name.clone())) {
                continue;
            }
            // A folder in it is only where names were tried.
            let is_file = |entry: &io::Result<DirEntry>| {
                entry.as_ref().is_ok_and(|entry| !entry.file_type().is_ok_and(|kind| kind.is_dir()))
            };
            let entries = entry.open_dir().and_then(|it| it.entries()).map_err(&failed)?;
            let files = entries.filter(is_file).count();
            folder.remove_dir_all(&name).map_err(&failed)?;
            removed += files as u64;
            is_any = true;
        }
        // Where nothing was stored, nothing stays: the place may be the wrong one.
        for empty in [TEMPORARY, OWN].iter().filter(|_| is_any) {
            match self.dir.remove_dir(empty) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(&failed)?,
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_flushed_concerns_what_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let mut touched = Touched::new(&root, folder.path());
        touched.make(Some("a/b")).unwrap();
        touched.look("none/c");
        let failed: Vec<_> = touched.flush(&Notes::default()).into_iter().map(|it| it.0).collect();
        assert_eq!(failed, ["none", "none/c"]);
        let lies_in = |key: &str, folder: &str| lies_in(&ObjectKey::new(key).unwrap(), folder);
        assert!(lies_in("none/c/d", "none") && lies_in("none/d", "none") && lies_in("a", ""));
        assert!(!lies_in("none-of-it/d", "none") && !lies_in("a/none/d", "none") && !lies_in("none", "none"));
    }
}
