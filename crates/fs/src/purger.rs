//! Deleting copies in a folder, for a lawful purge.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Held, HeldKind, Purger, Setting, SinkError};

use crate::error::{cause, cause_of_root, sink_error};
use crate::flush::sync_dir;

/// What the backup keeps for itself.
const OWN: &str = ".dataverse-backup";
/// The copies that were set aside as damaged, a folder for each run.
const DAMAGED: &str = ".dataverse-backup/damaged";

/// A destination in a folder, with the right to delete there.
pub struct DirectoryPurger {
    root: PathBuf,
    dir: Dir,
}

impl DirectoryPurger {
    /// Opens the folder, which must exist.
    ///
    /// # Errors
    /// [`Cause::Absent`] where it is not there; else as [`Sink::connect`](dvb_storage::Sink::connect).
    pub fn open(root: &Path) -> Result<Self, SinkError> {
        let dir = Dir::open_ambient_dir(root, ambient_authority()).map_err(|error| {
            let absent = error.kind() == io::ErrorKind::NotFound;
            let attempt = format!(
                "cannot open the destination's folder {}; check {}, and that its disk is mounted",
                root.display(),
                Setting::Folder
            );
            SinkError::because(if absent { Cause::Absent } else { cause_of_root(&error) }, attempt, error)
        })?;
        Ok(Self { root: root.to_owned(), dir })
    }

    fn failed<'a>(&'a self, doing: &'a str, name: &'a str) -> impl Fn(io::Error) -> SinkError + 'a {
        move |error| sink_error(error, &self.root, doing, name)
    }

    /// The runs that have set something aside.
    fn runs(&self) -> Result<Vec<RunId>, SinkError> {
        let failed = self.failed("list the folder", DAMAGED);
        let entries = match self.dir.read_dir(DAMAGED) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(&failed)?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let name = entry.map_err(&failed)?.file_name().into_string();
            runs.push(RunId(name.map_err(|name| {
                let attempt = format!("{name:?} in {DAMAGED} in {} is no name of a run", self.root.display());
                SinkError::new(Cause::Broken, attempt)
            })?));
        }
        runs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(runs)
    }

    fn look(&self, key: &ObjectKey) -> Result<Option<Held>, SinkError> {
        match self.dir.symlink_metadata(key.as_str()) {
            Ok(it) if it.is_dir() => {
                let attempt = format!("{} is a folder, not a file", self.root.join(key.as_str()).display());
                Err(SinkError::new(Cause::Broken, attempt))
            }
            Ok(it) => Ok(Some(Held {
                name: key.as_str().to_owned(),
                version: None,
                size: it.len(),
                kind: HeldKind::Object,
                lock: None,
            })),
            Err(error) if cause(&error) == Cause::Missing => Ok(None),
            Err(error) => Err(self.failed("stat", key.as_str())(error)),
        }
    }
}

impl DirectoryPurger {
    /// All files below a folder whose names begin so. Links are shown, not followed.
    fn walk(&self, folder: &str, begin: &str, keys: &mut Vec<ObjectKey>) -> Result<(), SinkError> {
        let failed = self.failed("list the folder", folder);
        let entries = match self.dir.read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(&failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(&failed)?;
            let file_name = entry.file_name();
            let name = file_name.to_str().map(|it| format!("{folder}/{it}"));
            let Some((name, key)) = name.and_then(|it| ObjectKey::new(&it).ok().map(|key| (it, key))) else {
                let attempt = format!("{file_name:?} in {folder} in {} can be no key", self.root.display());
                return Err(SinkError::new(Cause::Broken, attempt));
            };
            let kind = match entry.file_type() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                kind => kind.map_err(&failed)?,
            };
            if !kind.is_dir() {
                keys.extend(Some(key).filter(|_| name.starts_with(begin)));
            } else if name.starts_with(begin) || begin.starts_with(&name) {
                self.walk(&name, begin, keys)?;
            }
        }
        Ok(())
    }
}

impl Purger for DirectoryPurger {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError> {
        let mut held: Vec<Held> = self.look(key)?.into_iter().collect();
        if key.is_own() {
            return Ok(held);
        }
        for run in self.runs()? {
            let aside = key.set_aside(&run).map_err(|it| {
                SinkError::because(Cause::Refused, format!("cannot look for {key} among the damaged copies"), it)
            })?;
            held.extend(self.look(&aside)?);
        }
        Ok(held)
    }

    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError> {
        let begin = format!("{OWN}/{prefix}");
        let folder = begin.rsplit_once('/').map_or(OWN, |it| it.0).to_owned();
        let mut keys = Vec::new();
        self.walk(&folder, &begin, &mut keys)?;
        Ok(keys)
    }

    fn delete(&mut self, held: &Held) -> Result<(), SinkError> {
        let name = held.name.as_str();
        match self.dir.remove_file(name) {
            Err(error) if cause(&error) == Cause::Missing => {}
            removed => removed.map_err(self.failed("delete", name))?,
        }
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let flush = || -> io::Result<()> {
            let dir = match folder.as_os_str().is_empty() {
                true => self.dir.try_clone()?,
                false => self.dir.open_dir(folder)?,
            };
            // A medium without flushes of folders is told of where copies are stored.
            sync_dir(dir, || self.root.join(folder)).map(drop)
        };
        match flush() {
            // Somebody took the empty folder away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            flushed => flushed.map_err(self.failed("flush the folder of", name)),
        }
    }
}
