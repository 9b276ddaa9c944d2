//! What lies at a destination.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, ReadDir};
use dvb_storage::{Listed, Listing, SinkError};

use crate::error::sink_error;

/// The folder that the backup keeps for itself.
pub(crate) const OWN: &str = ".dataverse-backup";

pub(crate) type Visit<'a> = &'a mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>;

/// Shows the files below `dir`, which is at `root`, folder by folder.
pub(crate) fn walk(dir: &Dir, root: &Path, which: Listing<'_>, visit: Visit<'_>) -> ControlFlow<()> {
    let start = match which {
        Listing::Copies => "",
        Listing::Own(_) => OWN,
    };
    let mut folders = vec![PathBuf::from(start)];
    while let Some(folder) = folders.pop() {
        let failed = |error| sink_error(error, root, "list the folder", &folder.to_string_lossy());
        let entries = match entries(dir, &folder) {
            Ok(entries) => entries,
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                visit(Err(failed(error)))?;
                continue;
            }
        };
        for entry in entries {
            match entry.and_then(|it| of_entry(&folder, &it)) {
                Ok(Found::Folder(path)) if which == Listing::Copies && path != Path::new(OWN) => folders.push(path),
                Ok(Found::File(it)) if is_wanted(&it, which) => visit(Ok(it))?,
                Ok(Found::Folder(_) | Found::File(_) | Found::Other) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => visit(Err(failed(error)))?,
            }
        }
    }
    ControlFlow::Continue(())
}

enum Found {
    Folder(PathBuf),
    File(Listed),
    /// A link, a pipe, a device.
    Other,
}

fn entries(dir: &Dir, folder: &Path) -> io::Result<ReadDir> {
    if folder.as_os_str().is_empty() { dir.entries() } else { dir.read_dir(folder) }
}

fn of_entry(folder: &Path, entry: &DirEntry) -> io::Result<Found> {
    let path = folder.join(entry.file_name());
    let kind = entry.file_type()?;
    Ok(if kind.is_dir() {
        Found::Folder(path)
    } else if kind.is_file() {
        Found::File(Listed { name: path.to_string_lossy().into_owned(), size: entry.metadata()?.len() })
    } else {
        Found::Other
    })
}

fn is_wanted(found: &Listed, which: Listing<'_>) -> bool {
    match which {
        Listing::Copies => true,
        Listing::Own(prefix) => found.name.rsplit('/').next().is_some_and(|it| it.starts_with(prefix)),
    }
}
