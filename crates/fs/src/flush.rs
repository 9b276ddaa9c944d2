//! Bringing bytes and names to stable storage.
//!
//! Bytes that are not flushed, and names that are not, are gone with the power, whatever was read back before.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

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
        note.filter(|it| unpoisoned(self.0.lock()).insert(it.clone()))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        unpoisoned(self.0.lock()).iter().cloned().collect()
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

/// A file system that is flushed as a whole. One flush is for all who asked before it began: each takes some
/// milliseconds, and workers come all the time.
struct Whole {
    handle: OwnedFd,
    device: u64,
    turns: Mutex<Turns>,
    ended: Condvar,
}

/// Flushes, one after another.
#[derive(Default)]
struct Turns {
    begun: u64,
    ended: u64,
    /// Those that failed. The system tells an error once, to whoever asks next: whose it is, nobody knows.
    failed: u64,
}

impl Whole {
    /// Returns when a flush that began after the call has ended. `seen` are the failures that the caller knows of; there are
    /// more where something could not be written since.
    fn flush(&self, seen: &mut u64) -> io::Result<()> {
        let mut turns = unpoisoned(self.turns.lock());
        let (mut failure, wanted) = (None, turns.begun + 1);
        while turns.ended < wanted {
            if turns.begun > turns.ended {
                turns = unpoisoned(self.ended.wait(turns));
                continue;
            }
            turns.begun += 1;
            drop(turns);
            let done = rustix::fs::syncfs(&self.handle);
            turns = unpoisoned(self.turns.lock());
            turns.ended = turns.begun;
            if let Err(error) = done {
                turns.failed += 1;
                failure = Some(error);
            }
            self.ended.notify_all();
        }
        if std::mem::replace(seen, turns.failed) == turns.failed {
            return Ok(());
        }
        Err(failure.unwrap_or(Errno::IO).into())
    }
}

fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// The file system of a destination, for all its sessions.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Option<Arc<Whole>>>);

impl Shared {
    /// That of `dir`, where it can be flushed as a whole and says whether that failed. From now on it tells each error that
    /// happens.
    fn of(&self, dir: &Dir) -> io::Result<Option<Arc<Whole>>> {
        if !kinds::whole_flush_tells_errors(dir)? {
            return Ok(None);
        }
        let device = rustix::fs::fstat(dir)?.st_dev;
        let mut known = unpoisoned(self.0.lock());
        // Another disk may be mounted there meanwhile.
        if let Some(whole) = known.as_ref().filter(|it| it.device == device) {
            return Ok(Some(Arc::clone(whole)));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(dir, ".", flags, Mode::empty())?;
        let whole = Arc::new(Whole { handle, device, turns: Mutex::default(), ended: Condvar::new() });
        *known = Some(Arc::clone(&whole));
        Ok(Some(whole))
    }
}

/// Flushes what a session has written.
pub(crate) struct Flusher {
    whole: Option<Arc<Whole>>,
    /// Names as well as bytes.
    names: bool,
    seen: u64,
}

impl Flusher {
    /// For what lies below `dir`.
    pub(crate) fn of(dir: &Dir, shared: &Shared) -> io::Result<Self> {
        let whole = shared.of(dir)?;
        let seen = whole.as_ref().map_or(0, |it| unpoisoned(it.turns.lock()).failed);
        Ok(Self { whole, names: kinds::whole_flush_tells_errors_of_names(), seen })
    }

    /// Flushes the bytes of `files` files; `true` where that was done for all at once. Else, or where something on the file
    /// system could not be written, each is to be flushed by itself, which says whose failure it is.
    pub(crate) fn flush_bytes(&mut self, files: usize, at: &Path, notes: &Notes) -> bool {
        self.flush(files, at, notes)
    }

    /// The same for the folders in which `files` files have got their names.
    pub(crate) fn flush_names(&mut self, files: usize, at: &Path, notes: &Notes) -> bool {
        self.names && self.flush(files, at, notes)
    }

    fn flush(&mut self, files: usize, at: &Path, notes: &Notes) -> bool {
        let Some(whole) = self.whole.as_ref().filter(|_| files >= MANY) else { return false };
        match whole.flush(&mut self.seen) {
            Ok(()) => true,
            Err(error) => {
                drop(notes.add(Some(format!(
                    "the file system of {} says that something on it could not be written ({error}); each copy was flushed by \
                     itself and read back. Look into the system's log for what is wrong with the disk",
                    at.display()
                ))));
                false
            }
        }
    }
}

/// Flushes what several threads have written, bytes and names, and forgets no failure.
pub(crate) struct FlushOfAll {
    whole: Arc<Whole>,
    seen: AtomicU64,
}

impl FlushOfAll {
    /// That of the file system of `dir`; `None`, where it is not known to tell what could not be written: each file is to be
    /// flushed by itself.
    pub(crate) fn of(dir: &Dir) -> io::Result<Option<Self>> {
        let whole = if kinds::whole_flush_tells_errors_of_names() { Shared::default().of(dir)? } else { None };
        Ok(whole.map(|whole| Self { whole, seen: AtomicU64::new(0) }))
    }

    /// Whether what is written in `dir` is flushed too: another file system may be mounted below the first folder.
    pub(crate) fn covers(&self, dir: &Dir) -> io::Result<bool> {
        Ok(rustix::fs::fstat(dir)?.st_dev == self.whole.device)
    }

    /// Returns when everything is flushed that was written before the call. What could not be written is told to each who asks
    /// at that time.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut seen = self.seen.load(Ordering::SeqCst);
        let done = self.whole.flush(&mut seen);
        self.seen.fetch_max(seen, Ordering::SeqCst);
        done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_flush_is_for_all_who_asked_before_it_began() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let handle = OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        let whole = Whole { handle, device: 0, turns: Mutex::default(), ended: Condvar::new() };
        let (workers, each) = (8, 20);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| (0..each).for_each(|_| whole.flush(&mut 0).unwrap()));
            }
        });
        let turns = whole.turns.lock().unwrap();
        assert!(turns.begun == turns.ended && turns.ended >= each, "{} flushes", turns.ended);
        assert!(turns.ended < workers * each, "{} flushes", turns.ended);
    }

    #[test]
    fn everybody_is_told_of_a_failure_once() {
        let folder = tempfile::tempdir().unwrap();
        let handle = OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        let whole = Whole { handle, device: 0, turns: Mutex::default(), ended: Condvar::new() };
        let (mut first, mut second) = (0, 0);
        whole.flush(&mut first).unwrap();
        whole.turns.lock().unwrap().failed += 1;
        whole.flush(&mut first).unwrap_err();
        whole.flush(&mut first).unwrap();
        whole.flush(&mut second).unwrap_err();
        whole.flush(&mut second).unwrap();
    }

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
