//! Giving a file its name for good: never over another, unless asked; and the folders that names lie in.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::flush::{Notes, sync_dir};

/// Moves `from` in `source` to `to` in `target`; fails with `AlreadyExists` where `to` is taken.
pub(crate) fn rename_new(source: &Dir, from: &str, target: &Dir, to: &str) -> io::Result<()> {
    match renameat_with(source, from, target, to, RenameFlags::NOREPLACE) {
        // Some network and FUSE file systems do not know the flag; a link is as safe.
        Err(Errno::INVAL | Errno::NOSYS) => link_then_unlink(source, from, target, to),
        other => Ok(other?),
    }
}

fn link_then_unlink(source: &Dir, from: &str, target: &Dir, to: &str) -> io::Result<()> {
    match linkat(source, from, target, to, AtFlags::empty()) {
        Ok(()) => Ok(unlinkat(source, from, AtFlags::empty())?),
        // Neither (exFAT, some CIFS): looking first is all that is left; the ledger's lock keeps other runs out.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => match target.symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => source.rename(from, target, to),
            Err(error) => Err(error),
        },
        Err(other) => Err(other.into()),
    }
}

/// Folders below a root in which names were made or looked at, to be flushed once for a batch with all that they lie
/// in: a process that died may have made any of them and flushed none.
pub(crate) struct Touched<'a> {
    root: &'a Dir,
    /// Where the root is.
    at: &'a Path,
    /// The root itself is empty. Only names: a handle each would be too many.
    paths: BTreeSet<String>,
    /// The one that was made or opened last.
    last: Option<(String, Dir)>,
}

impl<'a> Touched<'a> {
    pub(crate) fn new(root: &'a Dir, at: &'a Path) -> Self {
        Self { root, at, paths: BTreeSet::new(), last: None }
    }

    /// The folder at `path`, where `None` is the root; what is missing of it is made.
    pub(crate) fn make(&mut self, path: Option<&str>) -> io::Result<&Dir> {
        let path = path.unwrap_or_default();
        let dir = match self.last.take().filter(|(last, _)| last == path) {
            Some((_, dir)) => dir,
            None => {
                let dir = make_dirs(self.root, path)?;
                // One that cannot be made is its object's failure, not the batch's.
                self.look(path);
                dir
            }
        };
        Ok(&self.last.insert((path.to_owned(), dir)).1)
    }

    /// The folder at `path` is flushed as well.
    pub(crate) fn look(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([0, path.len()]);
        self.paths.extend(ends.map(|end| path[..end].to_owned()));
    }

    /// Flushes them, and gives those that could not be, each of which concerns all that lies in it.
    pub(crate) fn flush(self, notes: &Notes) -> Vec<(String, io::Error)> {
        let mut failed = Vec::new();
        for path in self.paths {
            let at = || self.at.to_owned();
            let flushed = if path.is_empty() {
                sync_dir(self.root, at)
            } else {
                self.root.open_dir(&path).and_then(|it| sync_dir(&it, at))
            };
            match flushed {
                Ok(note) => drop(notes.add(note)),
                Err(error) => failed.push((path, error)),
            }
        }
        failed
    }
}

/// Opens the folder at `path` below `root`, making what is missing of it. Nothing is flushed.
fn make_dirs(root: &Dir, path: &str) -> io::Result<Dir> {
    let mut dir = root.try_clone()?;
    for part in path.split('/').filter(|it| !it.is_empty()) {
        dir = match dir.open_dir(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match dir.create_dir_with(part, &permissions()) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                dir.open_dir(part)?
            }
            other => other?,
        };
    }
    Ok(dir)
}

fn permissions() -> cap_std::fs::DirBuilder {
    use cap_std::fs::DirBuilderExt;
    let mut builder = cap_std::fs::DirBuilder::new();
    builder.mode(0o750);
    builder
}
