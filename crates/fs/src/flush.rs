//! Bringing bytes and names to stable storage.
//!
//! Bytes that are not flushed, and names that are not, are gone with the power, whatever was read back before.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cap_std::fs::{Dir, File};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::Errno;

use crate::kinds;

/// Fewer files than these are flushed one by one: to flush a whole file system takes along what others write there.
const MANY: usize = 8;

/// What was met that an administrator should know, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<BTreeSet<String>>>);

impl Notes {
    /// Takes a note, if there is one; gives it back where it is new.
    pub(crate) fn add(&self, note: Option<String>) -> Option<String> {
        note.filter(|it| self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(it.clone()))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Flushes the entries of `dir`, which is at `at`. Where the file system has no such thing (CIFS), this is `Some` note:
/// its own guarantees have to do. Any other error is one.
pub(crate) fn sync_dir(dir: impl AsFd, at: impl FnOnce() -> PathBuf) -> io::Result<Option<String>> {
    // `cap-std` opens folders by path only, and such a handle cannot be flushed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let real = rustix::fs::openat(&dir, ".", flags, Mode::empty())?;
    match rustix::fs::fsync(&real) {
        Err(error @ (Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            let kind = kinds::name(&real);
            Ok(Some(format!(
                "the file system of {} ({kind}) cannot flush a folder ({}): after a power cut or a crash of its server, names of new copies may be missing; run verify then",
                at().display(),
                io::Error::from(error)
            )))
        }
        other => Ok(other.map(|()| None)?),
    }
}

/// Starts to write what is in memory of a file's bytes, and drops what is on the disk already: a reader gets the bytes
/// of the disk then. It is a hint, which no file system must follow.
pub(crate) fn write_out(file: &File, offset: u64) {
    let _ = rustix::fs::fadvise(file, offset, None, Advice::DontNeed);
}

/// Flushes the bytes of files.
pub(crate) struct Bytes {
    /// A handle on the file system, where it can be flushed as a whole and says whether that failed.
    whole: Option<OwnedFd>,
}

impl Bytes {
    /// For files below `dir`.
    pub(crate) fn of(dir: &Dir) -> io::Result<Self> {
        if !kinds::whole_flush_tells_errors(dir)? {
            return Ok(Self { whole: None });
        }
        // From now on it tells each error that happens.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { whole: Some(rustix::fs::openat(dir, ".", flags, Mode::empty())?) })
    }

    /// Flushes `files` files; `true` where that was done for all at once. Else, or where something on the file system
    /// could not be written, each is to be flushed by itself, which says whose failure it is.
    pub(crate) fn flush_all(&self, files: usize) -> bool {
        self.whole.as_ref().is_some_and(|it| files >= MANY && rustix::fs::syncfs(it).is_ok())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_system_that_cannot_flush_a_folder_is_named() {
        let open = |it: &str| std::fs::File::open(it).unwrap();
        let note = sync_dir(open("/proc/self"), || "/proc/self".into()).unwrap().unwrap();
        assert!(note.contains("/proc/self (proc)") && note.contains("os error 22"), "{note}");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sync_dir(open(folder.path().to_str().unwrap()), || unreachable!()).unwrap(), None);
        // A handle that cannot be flushed says nothing of the file system.
        assert!(sync_dir(open("/dev/null"), || unreachable!()).is_err());
    }
}
