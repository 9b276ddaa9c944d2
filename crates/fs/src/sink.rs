//! A destination in a folder: temporary name, all bytes, fsync, reading back, rename.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use dvb_fixity::{Algorithm, Evidence, Hasher, Measured, Observed, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Demand, Existing, Listed, Listing, Payload, Sink, SinkError, SinkSession, StageRequest,
    Staged, Unstaged,
};

use crate::error::{reading_error, sink_error};
use crate::listing::walk;
use crate::publish::{make_dirs, rename_new, sync_dir};

const TEMPORARY: &str = ".dataverse-backup/tmp";
const BUFFER: usize = 1 << 20;

/// Where, and by which evidence.
#[derive(Debug, Clone)]
pub struct DirectorySinkConfig {
    /// `BackupDirectory`. Made when its parent exists.
    pub root: PathBuf,
    /// A folder has no digests of its own: only reading back can be had.
    pub demand: Demand,
}

/// A destination in a folder.
pub struct DirectorySink {
    config: DirectorySinkConfig,
    // Sessions of one process share the run's temporary folder.
    next: AtomicU64,
}

impl DirectorySink {
    /// A destination that is opened when a session connects.
    #[must_use]
    pub fn new(config: DirectorySinkConfig) -> Self {
        Self { config, next: AtomicU64::new(0) }
    }
}

impl Sink for DirectorySink {
    fn describe(&self) -> String {
        self.config.root.display().to_string()
    }

    fn method(&self) -> &'static str {
        "directory"
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        let root = &self.config.root;
        if self.config.demand == Demand::RemoteHash {
            let attempt = format!("the folder {} has no digests of its own; set Verify: read-back", root.display());
            return Err(SinkError::new(Cause::Unavailable, attempt));
        }
        let unavailable = |error| {
            let attempt = format!(
                "cannot use the destination's folder {}; check that it exists, is mounted, and that this account may write to it",
                root.display()
            );
            SinkError::because(Cause::Unavailable, attempt, error)
        };
        match std::fs::create_dir(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unavailable(error)),
            _ => {}
        }
        let dir = Dir::open_ambient_dir(root, ambient_authority()).map_err(unavailable)?;
        let own = make_dirs(&dir, &format!("{TEMPORARY}/{run}")).map_err(unavailable)?;
        Ok(Box::new(DirectorySession {
            root: root.clone(),
            dir,
            own,
            number: self.next.fetch_add(1, Ordering::Relaxed),
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

    fn write_temporary(&mut self, handle: &str, payload: &mut dyn Payload) -> Result<(), Unstaged> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        let mut file = self.own.open_with(handle, &options).map_err(self.failed("write to", ""))?;
        loop {
            let n = payload.read(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            file.write_all(&self.buffer[..n]).map_err(|it| sink_error(it, &self.root, "write to", ""))?;
        }
        file.sync_all().map_err(self.failed("flush a file in", ""))?;
        Ok(())
    }

    fn read_back(&mut self, file: &mut File, wanted: &[Algorithm]) -> io::Result<Measured> {
        // Ask for the bytes of the disk, not of the cache that they were just written to.
        let _ = rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed);
        let mut hasher = Hasher::new(wanted);
        loop {
            match file.read(&mut self.buffer)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&self.buffer[..n]),
            }
        }
    }

    fn prove(&mut self, staged: &Staged) -> Result<Proved, Unstaged> {
        let key = staged.key.as_str();
        let mut file = self.own.open(&staged.handle).map_err(self.failed("read back", key))?;
        let measured = self.read_back(&mut file, &[]);
        let measured = measured.map_err(self.failed("read back", key))?;
        let missing = || SinkError::new(Cause::Io, format!("no digest of {key} was made"));
        let digest = measured.digest(Algorithm::Sha256).cloned().ok_or_else(missing)?;
        let observed = Observed { digest, size: Some(measured.size), evidence: Evidence::ReadBack };
        Ok(Proved::by(staged.measured.clone(), &observed)?)
    }

    /// Proves and shows one object; its folder goes to `touched`, to be flushed once for the batch.
    fn commit_one(&mut self, request: &CommitRequest, touched: &mut BTreeMap<String, Dir>) -> Result<Proved, Unstaged> {
        let CommitRequest { staged, replace } = request;
        let proved = self.prove(staged)?;
        let folder = self.folder_of(&staged.key, touched)?;
        let name = last_part(&staged.key);
        let renamed = if *replace {
            self.own.rename(&staged.handle, folder, name)
        } else {
            rename_new(&self.own, &staged.handle, folder, name)
        };
        renamed.map_err(|it| sink_error(it, &self.root, "give a new copy the name", staged.key.as_str()))?;
        Ok(proved)
    }

    fn folder_of<'a>(&self, key: &ObjectKey, touched: &'a mut BTreeMap<String, Dir>) -> Result<&'a Dir, SinkError> {
        let parent = key.parent().unwrap_or(".").to_owned();
        match touched.entry(parent) {
            std::collections::btree_map::Entry::Occupied(it) => Ok(it.into_mut()),
            std::collections::btree_map::Entry::Vacant(it) => {
                let dir = make_dirs(&self.dir, it.key()).map_err(self.failed("make the folder of", key.as_str()))?;
                Ok(it.insert(dir))
            }
        }
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
            Err(error) => Err(self.failed("look at", key.as_str())(error)),
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

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        Ok(batch.into_iter().map(|it| self.stage_one(it)).collect())
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        let mut touched = BTreeMap::new();
        let mut answers = Vec::with_capacity(batch.len());
        for request in &batch {
            let answer = self.commit_one(request, &mut touched);
            if answer.is_err() {
                let _ = self.own.remove_file(&request.staged.handle);
            }
            answers.push(answer);
        }
        for (name, dir) in &touched {
            // Names that may be lost with the power are not proved: nothing of this batch may be recorded.
            sync_dir(dir).map_err(self.failed("flush the folder", name))?;
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
        let one = |key: &ObjectKey| {
            let mut file = self.open_copy(key)?;
            self.read_back(&mut file, wanted).map_err(|it| reading_error(it, &self.root, key.as_str()))
        };
        Ok(keys.iter().map(one).collect())
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        let failed = self.failed("rename a copy to", to.as_str());
        let source = make_dirs(&self.dir, from.parent().unwrap_or(".")).map_err(&failed)?;
        let target = make_dirs(&self.dir, to.parent().unwrap_or(".")).map_err(&failed)?;
        rename_new(&source, last_part(from), &target, last_part(to)).map_err(&failed)?;
        sync_dir(&target).map_err(&failed)?;
        sync_dir(&source).map_err(&failed)
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
        let folder = self.dir.open_dir(TEMPORARY).map_err(&failed)?;
        let mut removed = 0;
        for entry in folder.entries().map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !is_dead(&RunId(name.clone())) {
                continue;
            }
            let count = entry.open_dir().and_then(|it| it.entries()).map_err(&failed)?.count();
            folder.remove_dir_all(&name).map_err(&failed)?;
            removed += count as u64;
        }
        Ok(removed)
    }
}
