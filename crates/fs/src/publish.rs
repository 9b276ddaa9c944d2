//! Giving a file its name for good: never over another, unless asked.

use std::io;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, RenameFlags, linkat, renameat_with, unlinkat};
use rustix::io::Errno;

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

/// Flushes a folder's entries to stable storage. Where the file system cannot (CIFS), its own guarantees have to do.
pub(crate) fn sync_dir(dir: &Dir) -> io::Result<()> {
    match rustix::fs::fsync(dir) {
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::BADF) => Ok(()),
        other => Ok(other?),
    }
}

/// Opens the folder at `path` below `root`, making what is missing of it, each new entry flushed.
pub(crate) fn make_dirs(root: &Dir, path: &str) -> io::Result<Dir> {
    let mut dir = root.try_clone()?;
    for part in path.split('/') {
        dir = match dir.open_dir(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match dir.create_dir_with(part, &permissions()) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => sync_dir(&dir)?,
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
