//! A store of type `file`: `<root>/<storage authority>/<storage identifier>/<name>` (`FileAccessIO`, facts 2.4).

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use dvb_storage::{Cause, Location, ObjectAddress, Source, SourceError, StoredObject};
use rustix::fs::OFlags;

use crate::error::source_error;

/// The folder of a store.
pub struct FileStore {
    root: PathBuf,
    dir: Dir,
}

impl FileStore {
    /// Opens the folder. It may be a symbolic link; what lies in it is not followed out of it.
    ///
    /// # Errors
    /// [`Cause::Unavailable`], when it is not there or may not be entered.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let dir = Dir::open_ambient_dir(root, ambient_authority()).map_err(|error| {
            let attempt = format!(
                "cannot open the store's folder {}; check that it exists, is mounted, and that this account may enter it",
                root.display()
            );
            SourceError::because(Cause::Unavailable, attempt, error)
        })?;
        Ok(Self { root: root.to_owned(), dir })
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A pipe or device under a data file's name must not hang the run.
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        self.dir.open_with(name, &options)
    }
}

fn path_of(at: &Location) -> String {
    let directory = at.storage_pid.directory();
    match &at.object {
        ObjectAddress::Main(name) | ObjectAddress::DatasetLevel(name) => format!("{directory}/{name}"),
        ObjectAddress::Tagged(name, tag) => format!("{directory}/{name}.{tag}"),
        ObjectAddress::Member(name, path) => format!("{directory}/{name}/{path}"),
    }
}

impl Source for FileStore {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn place(&self, at: &Location) -> String {
        self.root.join(path_of(at)).display().to_string()
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        let name = path_of(at);
        let failed = |error| source_error(error, &self.root, &name);
        let file = self.open_file(&name).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a folder" } else { "no ordinary file" };
            let attempt = format!("{} is {what}", self.root.join(&name).display());
            return Err(SourceError::new(Cause::Io, attempt));
        }
        Ok(StoredObject { size: metadata.len(), body: Box::new(file.into_std()) })
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        let name = path_of(at);
        match self.dir.metadata(&name) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Ok(None),
            Err(error) => match source_error(error, &self.root, &name) {
                it if it.cause == Cause::Missing => Ok(None),
                it => Err(it),
            },
        }
    }

    fn members(&self, at: &Location) -> Result<Option<Vec<String>>, SourceError> {
        let name = path_of(at);
        let failed = |error| source_error(error, &self.root, &name);
        if !self.dir.metadata(&name).map_err(failed)?.is_dir() {
            return Ok(None);
        }
        let folder = self.dir.open_dir(&name).map_err(failed)?;
        let mut found = Vec::new();
        collect(&folder, "", &mut found).map_err(failed)?;
        found.sort();
        Ok(Some(found))
    }

    fn check(&self) -> Result<(), SourceError> {
        let failed = |error| {
            let attempt = format!("cannot list the store's folder {}", self.root.display());
            SourceError::because(Cause::Unavailable, attempt, error)
        };
        if self.dir.entries().map_err(failed)?.next().is_none() {
            let attempt = format!(
                "the store's folder {} is empty although the catalogue names files in it; check that it is mounted",
                self.root.display()
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
