//! A store of type `file`: `<root>/<storage authority>/<storage identifier>/<name>` (`FileAccessIO`, dataverse.md 2.4).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt};
use dvb_model::{ObjectName, StorageIdentifier};
use dvb_storage::{Cause, Location, ObjectAddress, Shelf, Sighting, Source, SourceError, StoredObject, Trace};
use rustix::fs::OFlags;

use crate::error::{source_error, store_error};
use crate::roots::Roots;

/// The folder of a store.
pub struct FileStore {
    roots: Roots,
}

impl FileStore {
    /// Opens the folder. It may be a symbolic link; links in it are followed where they end below it.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`], when it is not there or may not be entered.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        Self::with_extra_roots(root, &[])
    }

    /// The same, where links may also end below any folder of `extra`: those that lead to another disk. Where one of these
    /// is not there, only what lies behind links to it cannot be read; [`Source::notes`] names it.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn with_extra_roots(root: &Path, extra: &[PathBuf]) -> Result<Self, SourceError> {
        Ok(Self { roots: Roots::open(root, extra)? })
    }
}

fn open_file(dir: &Dir, path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    // A pipe or device under a data file's name must not hang the run.
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = dir.open_with(path, &options)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

impl FileStore {
    /// Finds the wanted ones among the files of a folder and of those in it. `prefix` is its path below the first one.
    fn walk(
        &self,
        dir: &Dir,
        (folder, prefix): (&str, &str),
        wanted: &mut HashMap<String, Option<u64>>,
    ) -> io::Result<()> {
        for entry in dir.entries()? {
            let entry = entry?;
            // No name of the catalogue is anything but UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            let is_wanted = wanted.contains_key(&name);
            let below = format!("{name}/");
            let may_hold = || wanted.keys().any(|it| it.starts_with(&below));
            if kind.is_file() {
                if let Some(size) = wanted.get_mut(&name) {
                    // It may be gone, like anything that was listed a moment ago.
                    *size = entry.metadata().ok().map(|it| it.len());
                }
            } else if kind.is_dir() {
                if may_hold() {
                    ignore_gone(entry.open_dir().and_then(|it| self.walk(&it, (folder, &below), wanted)))?;
                }
            } else if is_wanted || may_hold() {
                self.follow(folder, &name, wanted)?;
            }
        }
        Ok(())
    }

    /// A link goes where it goes when it is read; what leads nowhere, or out of the store, is not there.
    fn follow(&self, folder: &str, name: &str, wanted: &mut HashMap<String, Option<u64>>) -> io::Result<()> {
        let path = format!("{folder}/{name}");
        let Ok(metadata) = self.roots.with(&path, |dir, path| dir.metadata(path)) else { return Ok(()) };
        if let Some(size) = wanted.get_mut(name).filter(|_| metadata.is_file()) {
            *size = Some(metadata.len());
        }
        match self.roots.with(&path, |dir, path| dir.open_dir(path)) {
            // A package that lies elsewhere. A folder has a name of its own in each path, so this comes to an end.
            Ok(dir) if metadata.is_dir() && name.len() < LONGEST => {
                ignore_gone(self.walk(&dir, (folder, &format!("{name}/")), wanted))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Links may lead in circles: no name is longer than this.
const LONGEST: usize = 4_096;

fn ignore_gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if crate::error::cause(&error) == Cause::Missing => Ok(()),
        done => done,
    }
}

fn path_of(at: &Location) -> String {
    let directory = at.storage_pid.directory();
    let as_written = |name: &ObjectName| {
        // With its `..`, which the file system resolves as it does for Dataverse.
        at.identifier.as_ref().and_then(StorageIdentifier::with_dots).unwrap_or(name.as_str()).to_owned()
    };
    let name = match &at.object {
        ObjectAddress::DatasetLevel(name) => name.to_string(),
        ObjectAddress::Main(name) => as_written(name),
        ObjectAddress::Tagged(name, tag) => format!("{}.{tag}", as_written(name)),
        ObjectAddress::Member(name, path) => format!("{}/{path}", as_written(name)),
    };
    if directory.is_empty() { name } else { format!("{directory}/{name}") }
}

impl Source for FileStore {
    fn describe(&self) -> String {
        self.roots.own().display().to_string()
    }

    fn notes(&self) -> Vec<String> {
        self.roots.notes()
    }

    fn place(&self, at: &Location) -> String {
        self.roots.own().join(path_of(at)).display().to_string()
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        let name = path_of(at);
        let (file, metadata) = self.roots.with(&name, open_file)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a folder" } else { "not a regular file" };
            let attempt = format!("{} is {what}", self.roots.own().join(&name).display());
            return Err(SourceError::new(Cause::Io, attempt));
        }
        tracing::debug!(root = %self.roots.own().display(), name, bytes = metadata.len(), "open a file");
        Ok(StoredObject { size: metadata.len(), body: Box::new(file.into_std()) })
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        let found = self.roots.if_there(&path_of(at), |dir, path| dir.metadata(path))?;
        Ok(found.filter(|it| it.is_file()).map(|it| it.len()))
    }

    fn shelf(&self, at: &Location) -> Option<Shelf> {
        let ObjectAddress::Main(name) = &at.object else { return None };
        Some(Shelf { folder: at.storage_pid.directory(), name: name.to_string() })
    }

    fn sizes(&self, folder: &str, wanted: &mut HashMap<String, Option<u64>>) -> Result<(), SourceError> {
        let Some(dir) = self.roots.if_there(folder, |dir, path| dir.open_dir(path))? else { return Ok(()) };
        let failed = |error| source_error(error, self.roots.own(), folder);
        ignore_gone(self.walk(&dir, (folder, ""), wanted)).map_err(failed)
    }

    fn members(&self, at: &Location) -> Result<Option<Vec<String>>, SourceError> {
        self.roots.with(&path_of(at), |dir, path| {
            if !dir.metadata(path)?.is_dir() {
                return Ok(None);
            }
            let mut found = Vec::new();
            collect(&dir.open_dir(path)?, "", &mut found)?;
            found.sort();
            Ok(Some(found))
        })
    }

    fn look_for(&self, trace: &Trace<'_>) -> Result<Sighting, SourceError> {
        let mut found = Sighting::Unseen;
        for (at, dir) in self.roots.all() {
            match crate::trace::look(dir, at, trace) {
                Sighting::Unseen => {}
                Sighting::Unfinished(why) => found = Sighting::Unfinished(why),
                seen @ Sighting::Seen(_) => return Ok(seen),
            }
        }
        Ok(found)
    }

    fn check(&self) -> Result<(), SourceError> {
        // Those of ExtraRoots concern only what lies behind links to them.
        let Some((at, dir)) = self.roots.all().next() else { return Ok(()) };
        let failed = |error: std::io::Error| store_error(error, "cannot list the store's folder", at, "");
        let at = at.display();
        if dir.entries().map_err(failed)?.next().is_none() {
            let attempt = format!(
                "the store's folder {at} is empty although the catalogue names files in it; check that it is mounted"
            );
            return Err(SourceError::new(Cause::Unavailable, attempt));
        }
        Ok(())
    }
}

/// Everything below a package's folder that is not a folder; links are listed, and refused when they are opened.
fn collect(folder: &Dir, prefix: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in folder.entries()? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            let what = format!("a member of the package below {prefix:?} has a name that is not UTF-8");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        if entry.file_type()?.is_dir() {
            collect(&entry.open_dir()?, &format!("{prefix}{name}/"), found)?;
        } else {
            found.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
