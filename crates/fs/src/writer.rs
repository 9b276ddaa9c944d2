//! Giving files back into a folder: a file without a name, or with a temporary one; all bytes, comparison, fsync, name.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use dvb_fixity::{Algorithm, Digest, Hasher, Measured};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, Expected, Folder, Location, Mender, Placed, PutError, SinkError, StoreWriter, StoredObject, Target,
};
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{cause_of_root, sink_error};
use crate::flush::{FlushOfAll, Notes, sync_dir};
use crate::publish::rename_new;
use crate::roots::Roots;

/// Begins the name of every file that is not whole yet.
const TEMPORARY: &str = ".dataverse-backup-restore-";
const BUFFER: usize = 1 << 20;
/// Bytes of a file up to which it waits for others, so that they are flushed together.
const SMALL: u64 = 1 << 20;

/// Whose files are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnershipPolicy {
    /// This account's, readable for its group.
    Own,
    /// Owner, group and mode are those of the file that is replaced, else of another file in the same folder, else
    /// of the folder. Where the account may not give files away, the file is made all the same, and it is noted.
    AsNeighbours,
}

/// A folder that files are given back to.
pub struct FolderWriter {
    root: PathBuf,
    /// `None` while it is not there: it is made with the first file in it.
    dir: Mutex<Option<Dir>>,
    run: RunId,
    ownership: OwnershipPolicy,
    next: AtomicU64,
    /// Folders in which what dead processes left was removed already.
    swept: Mutex<HashSet<PathBuf>>,
    /// Folders whose own names are flushed.
    named: Mutex<HashSet<PathBuf>>,
    notes: Notes,
    /// Where links may lead; `None`: none is followed.
    links: Option<Roots>,
    /// Flushes small files together, with their names; not known before the first one. `None`: each is flushed by itself.
    together: OnceLock<Option<FlushOfAll>>,
}

/// Where a file lies: a folder, and its name there. Neither is a link.
struct Spot {
    dir: Dir,
    name: String,
    /// A folder that was opened once, and the path of `dir` below it.
    root: Dir,
    path: PathBuf,
    /// The whole path of `dir`.
    place: PathBuf,
}

/// Owner, group and mode.
struct TemplateMetadata {
    owner: Option<(Uid, Gid)>,
    mode: Mode,
}

impl FolderWriter {
    /// Opens the folder, which may itself be reached by a symbolic link; with [`OwnershipPolicy::Own`] it need not be there: the
    /// first file makes it. `run` makes the names of temporaries unique.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`] or [`Cause::Unavailable`], when it cannot be used.
    pub fn open(root: &Path, run: &RunId, ownership: OwnershipPolicy) -> Result<Self, SinkError> {
        let unavailable = |error| {
            let attempt = format!(
                "cannot use the folder {}; check that it exists, is mounted, and that this account may enter it",
                root.display()
            );
            SinkError::because(cause_of_root(&error), attempt, error)
        };
        let dir = match Dir::open_ambient_dir(root, ambient_authority()) {
            Err(error) if ownership == OwnershipPolicy::Own && error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.map_err(unavailable)?),
        };
        Ok(Self {
            root: root.to_owned(),
            dir: Mutex::new(dir),
            run: run.clone(),
            ownership,
            next: AtomicU64::new(0),
            swept: Mutex::default(),
            named: Mutex::default(),
            notes: Notes::default(),
            links: None,
            // What is given back to a store is in use at once.
            together: match ownership {
                OwnershipPolicy::Own => OnceLock::new(),
                OwnershipPolicy::AsNeighbours => OnceLock::from(None),
            },
        })
    }

    /// The folder of a store, in which links are followed as those who read it do: where they end below it, or below a
    /// folder of `extra`.
    fn of_store(root: &Path, extra: &[PathBuf], run: &RunId) -> Result<Self, SinkError> {
        let writer = Self::open(root, run, OwnershipPolicy::AsNeighbours)?;
        let links = Roots::open(root, extra).map_err(|error| SinkError {
            cause: error.cause,
            attempt: error.attempt,
            source: error.source,
        })?;
        Ok(Self { links: Some(links), ..writer })
    }

    fn failed<'a>(&'a self, doing: &'a str, at: &'a ObjectKey) -> impl Fn(io::Error) -> SinkError + 'a {
        move |error| {
            // What `enter` refuses says where and why by itself.
            if let Some(own) = error.get_ref().and_then(|it| it.downcast_ref::<SinkError>()) {
                return SinkError::new(own.cause, format!("cannot {doing} {at}: {}", own.attempt));
            }
            sink_error(error, &self.root, doing, at.as_str())
        }
    }

    fn root_folder(&self, make: bool) -> io::Result<Dir> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        if dir.is_none() && make {
            make_durably(&self.root)?;
            *dir = Some(Dir::open_ambient_dir(&self.root, ambient_authority())?);
        }
        dir.as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()
    }

    /// Where a key leads. Links are followed only in a store, where they end in one of its folders.
    fn spot(&self, at: &ObjectKey, make: bool) -> io::Result<Spot> {
        let root = self.root_folder(make)?;
        let dir = root.try_clone()?;
        let mut spot =
            Spot { dir, name: last_part(at).to_owned(), root, path: PathBuf::new(), place: self.root.clone() };
        let mut walked = String::new();
        for part in at.parent().into_iter().flat_map(|it| it.split('/')) {
            walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}/{part}") };
            let entered = match enter(&spot.dir, part) {
                Err(Errno::NOENT) if make => {
                    self.make_folder(&spot.dir, part)?;
                    enter(&spot.dir, part)
                }
                entered => entered,
            };
            match entered {
                Ok(dir) => {
                    spot.dir = dir;
                    spot.path.push(part);
                    spot.place.push(part);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => spot = self.behind(spot, part, &walked)?,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(links) = self.links.as_ref().filter(|_| is_link(&spot.dir, &spot.name)) {
            let real = links.follow(at.as_str(), true)?;
            let (folder, name) = (real.path.parent().map(Path::to_owned), real.path.file_name().map(ToOwned::to_owned));
            let name = name.and_then(|it| it.into_string().ok());
            let (Some(folder), Some(name)) = (folder, name) else {
                return Err(self.refused(&spot.dir, &spot.name, at.as_str()));
            };
            spot = Spot { name, ..below(real.dir, real.root, folder)? };
        }
        Ok(spot)
    }

    /// The folder that the link `part` in a folder leads to; `walked` is its path below the root.
    fn behind(&self, spot: Spot, part: &str, walked: &str) -> io::Result<Spot> {
        let Some(links) = self.links.as_ref().filter(|_| is_link(&spot.dir, part)) else {
            return Err(self.refused(&spot.dir, part, walked));
        };
        let real = links.follow(walked, false)?;
        Ok(Spot { name: spot.name, ..below(real.dir, real.root, real.path)? })
    }

    fn refused(&self, dir: &Dir, part: &str, walked: &str) -> io::Error {
        let at = self.root.join(walked);
        let (cause, what) = if is_link(dir, part) {
            (Cause::Refused, "is a symbolic link, and is not followed")
        } else {
            (Cause::Exists, "is a file where a folder is needed")
        };
        io::Error::other(SinkError::new(cause, format!("{} {what}", at.display())))
    }

    /// What a link to a file of the same store leads to has a key of its own there: it may be good, and another file's.
    fn refuse_shared(&self, spot: &Spot, at: &ObjectKey) -> Result<(), SinkError> {
        let link = self.root.join(at.as_str());
        let real = spot.place.join(&spot.name);
        let is_link = std::fs::symlink_metadata(&link).is_ok_and(|it| it.is_symlink());
        if is_link && self.root.canonicalize().is_ok_and(|root| real.starts_with(root)) {
            let (link, real) = (link.display(), real.display());
            let attempt = format!(
                "{real} is not replaced: the link {link} leads there, and it may be another data file's. Remove the link, \
                 and try again"
            );
            return Err(SinkError::new(Cause::Refused, attempt));
        }
        Ok(())
    }

    fn make_folder(&self, dir: &Dir, part: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(dir, part, Mode::from_raw_mode(0o750)) {
            // Another worker was faster.
            Err(Errno::EXIST) => return Ok(()),
            other => other?,
        }
        if self.ownership == OwnershipPolicy::AsNeighbours {
            let template = rustix::fs::fstat(dir)?;
            let made = enter(dir, part)?;
            // Files are more important than the owner of their folder: it is noted with them.
            let _ =
                rustix::fs::fchown(&made, Some(Uid::from_raw(template.st_uid)), Some(Gid::from_raw(template.st_gid)));
            rustix::fs::fchmod(&made, Mode::from_raw_mode(template.st_mode & 0o7777))?;
        }
        Ok(())
    }

    /// Whether a file of this size is flushed with others, bytes and name. To be asked before it is written: the file system
    /// tells only what goes wrong from then on.
    fn may_wait(&self, dir: &Dir, size: u64) -> io::Result<bool> {
        let together = match self.together.get() {
            Some(known) => known,
            None => {
                let found = FlushOfAll::of(dir)?;
                self.together.get_or_init(|| found)
            }
        };
        match together {
            Some(together) if size <= SMALL => together.covers(dir),
            Some(_) | None => Ok(false),
        }
    }

    /// Flushes the name of a file; and, once a folder, the names of those that lead there, whoever made them. What the
    /// file system cannot do goes to `placed`, once.
    fn flush_name(&self, spot: &Spot, placed: &mut Placed) -> io::Result<()> {
        let root = || self.root.clone();
        let mut note = sync_dir(&spot.dir, root)?;
        let is_named = |named: &HashSet<PathBuf>| named.contains(&spot.place);
        if !is_named(&self.named.lock().unwrap_or_else(PoisonError::into_inner)) {
            let mut above = spot.root.try_clone()?;
            for part in parts(&spot.path)? {
                note = sync_dir(&above, root)?.or(note);
                above = enter(&above, part)?;
            }
            self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(spot.place.clone());
        }
        if let Some(note) = self.notes.add(note) {
            placed.note = Some(placed.note.take().map_or_else(|| note.clone(), |it| format!("{it}; {note}")));
        }
        Ok(())
    }

    /// Once a folder: removes temporaries that no living process holds.
    fn sweep(&self, spot: &Spot) {
        let dir = &spot.dir;
        // Held to the end: another worker's temporary has its lock only a moment after its name.
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if !swept.insert(spot.place.clone()) {
            return;
        }
        // What cannot be listed or removed lies in the way of nothing.
        let Ok(entries) = dir.entries() else { return };
        for name in entries.filter_map(|it| it.ok()?.file_name().into_string().ok()) {
            if !name.starts_with(TEMPORARY) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(dir, name.as_str(), flags, Mode::empty()) else { continue };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = rustix::fs::unlinkat(dir, name.as_str(), AtFlags::empty());
            }
        }
    }

    /// As whom the file is made.
    fn template_metadata(&self, dir: &Dir, name: &str) -> io::Result<TemplateMetadata> {
        if self.ownership == OwnershipPolicy::Own {
            return Ok(TemplateMetadata { owner: None, mode: Mode::from_raw_mode(0o640) });
        }
        let regular = |name: &str| stat(dir, name).ok().flatten().filter(is_regular);
        let neighbour = regular(name).or_else(|| {
            let names = dir.entries().ok()?.filter_map(|it| it.ok()?.file_name().into_string().ok());
            names.filter(|it| !it.starts_with('.')).find_map(|it| regular(&it))
        });
        let (template, mask) = match neighbour {
            Some(it) => (it, 0o777),
            None => (rustix::fs::fstat(dir)?, 0o666),
        };
        let owner = Some((Uid::from_raw(template.st_uid), Gid::from_raw(template.st_gid)));
        Ok(TemplateMetadata { owner, mode: Mode::from_raw_mode(template.st_mode & mask) })
    }

    /// Writes what is expected, so that it can be given the name `at`.
    fn stage(
        &self,
        spot: &Spot,
        at: &ObjectKey,
        copy: &mut dyn Read,
        expected: &Expected,
    ) -> Result<(Whole, Placed), PutError> {
        self.sweep(spot);
        let dir = &spot.dir;
        let temporary = format!("{TEMPORARY}{}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed));
        let failed = |error: io::Error| PutError::Target(self.failed("write", at)(error));
        let template = self.template_metadata(dir, &spot.name).map_err(failed)?;
        let waits = self.may_wait(dir, expected.size).map_err(failed)?;
        let mut whole = Whole::create(dir, temporary).map_err(failed)?;
        let written = fill(&mut whole.file, copy, expected, &failed).and_then(|()| {
            let placed = apply_ownership(&whole.file, &template).map_err(failed)?;
            if !waits {
                whole.file.sync_all().map_err(failed)?;
            }
            Ok(placed)
        });
        match written {
            Ok(placed) => Ok((whole, placed)),
            Err(error) => {
                whole.discard(dir);
                Err(error)
            }
        }
    }
}

/// A file on its way to its name. Where the file system can, it has none until then, so that a process that dies leaves
/// nothing; elsewhere a temporary one, and a lock that says that its process lives.
struct Whole {
    file: File,
    temporary: String,
    is_named: bool,
}

impl Whole {
    fn create(dir: &Dir, temporary: String) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(0o600);
        // Whatever it is that this one cannot do, the next one says.
        if let Ok(file) = rustix::fs::openat(dir, ".", OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC, mode) {
            let file = File::from(file);
            if std::fs::metadata(path_of(&file)).is_ok() {
                return Ok(Self { file, temporary, is_named: false });
            }
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(dir, temporary.as_str(), flags, mode)?);
        Ok(Self { file, temporary, is_named: true })
    }

    /// Gives it the name, where nothing has it.
    fn publish(self, dir: &Dir, name: &str) -> io::Result<()> {
        if self.is_named {
            return rename_new(dir, &self.temporary, dir, name).inspect_err(|_| self.discard(dir));
        }
        Ok(rustix::fs::linkat(CWD, path_of(&self.file), dir, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Gives it the name, and keeps what has it as `aside`.
    fn replace(mut self, dir: &Dir, name: &str, aside: &str) -> io::Result<()> {
        if !self.is_named {
            rustix::fs::linkat(CWD, path_of(&self.file), dir, &self.temporary, AtFlags::SYMLINK_FOLLOW)?;
            self.is_named = true;
        }
        exchange(dir, &self.temporary, name, aside).inspect_err(|_| self.discard(dir))
    }

    fn discard(&self, dir: &Dir) {
        if self.is_named {
            // Its own failure is not news beside the one at hand; the next restore sweeps what is left.
            let _ = rustix::fs::unlinkat(dir, self.temporary.as_str(), AtFlags::empty());
        }
    }
}

/// How the system calls an open file that has no name.
fn path_of(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Copies and compares. One byte more than expected ends it: there may be no end.
fn fill(
    file: &mut File,
    copy: &mut dyn Read,
    expected: &Expected,
    failed: &dyn Fn(io::Error) -> PutError,
) -> Result<(), PutError> {
    // A file that is locked is being written: whoever cleans up leaves it. A file system without locks keeps the rest.
    let _ = rustix::fs::flock(&*file, FlockOperation::NonBlockingLockExclusive);
    let algorithms: Vec<Algorithm> = expected.digests.iter().map(Digest::algorithm).collect();
    let mut hasher = Hasher::new(&algorithms);
    let mut buffer = vec![0; usize::try_from(expected.size).unwrap_or(BUFFER).clamp(1 << 12, BUFFER)];
    let mut size = 0;
    loop {
        let n = match copy.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PutError::Read(error)),
        };
        hasher.update(&buffer[..n]);
        size += n as u64;
        if size > expected.size {
            break;
        }
        file.write_all(&buffer[..n]).map_err(failed)?;
    }
    let measured: Measured = hasher.finish();
    if expected.describes(&measured) { Ok(()) } else { Err(PutError::Mismatch(measured)) }
}

/// Gives a file its owner and mode.
fn apply_ownership(file: &File, template: &TemplateMetadata) -> io::Result<Placed> {
    let now = rustix::fs::fstat(file)?;
    let mut placed = Placed::default();
    if let Some((owner, group)) = template.owner
        && (now.st_uid, now.st_gid) != (owner.as_raw(), group.as_raw())
    {
        match rustix::fs::fchown(file, Some(owner), Some(group)) {
            Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => {
                let (uid, gid) = (owner.as_raw(), group.as_raw());
                placed.note = Some(format!(
                    "this account may not give files to owner {uid} and group {gid}, as those beside have; as root: chown {uid}:{gid}"
                ));
            }
            other => other?,
        }
    }
    rustix::fs::fchmod(file, template.mode)?;
    Ok(placed)
}

/// Makes a folder and what is missing above it, each name flushed.
fn make_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_durably(parent)?;
    // What comes into it may be restricted, or a draft: it is for this account alone until its owner says otherwise.
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // What the file system cannot do is said with the first file, whose folder it cannot flush either.
    sync_dir(File::open(parent)?, || parent.to_owned())?;
    Ok(())
}

fn enter(dir: &Dir, part: &str) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, part, flags, Mode::empty()).map(|it| Dir::from_std_file(it.into()))
}

/// A folder below one that was opened, by a path without links.
fn below(root: &Dir, place: &Path, path: PathBuf) -> io::Result<Spot> {
    let mut dir = root.try_clone()?;
    for part in parts(&path)? {
        dir = enter(&dir, part)?;
    }
    Ok(Spot { dir, name: String::new(), root: root.try_clone()?, place: place.join(&path), path })
}

fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let not_text = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", path.display()));
    path.iter().map(|part| part.to_str().ok_or_else(not_text)).collect()
}

fn is_link(dir: &Dir, name: &str) -> bool {
    stat(dir, name).is_ok_and(|found| found.is_some_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Symlink))
}

fn stat(dir: &Dir, name: &str) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(it) => Ok(Some(it)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

fn last_part(key: &ObjectKey) -> &str {
    key.as_str().rsplit_once('/').map_or(key.as_str(), |(_, name)| name)
}

impl Target for FolderWriter {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn put_new(&self, at: &ObjectKey, copy: &mut dyn Read, expected: &Expected) -> Result<Placed, PutError> {
        let failed = |error: io::Error| PutError::Target(self.failed("write", at)(error));
        let spot = self.spot(at, true).map_err(failed)?;
        let (whole, mut placed) = self.stage(&spot, at, copy, expected)?;
        whole.publish(&spot.dir, &spot.name).map_err(failed)?;
        if !self.may_wait(&spot.dir, expected.size).map_err(failed)? {
            self.flush_name(&spot, &mut placed).map_err(failed)?;
        }
        Ok(placed)
    }
}

impl Folder for FolderWriter {
    fn size(&self, at: &ObjectKey) -> Result<Option<u64>, SinkError> {
        let failed = self.failed("stat", at);
        let spot = match self.spot(at, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(&failed)?,
        };
        match stat(&spot.dir, &spot.name).map_err(&failed)? {
            None => Ok(None),
            Some(it) if is_regular(&it) => Ok(Some(u64::try_from(it.st_size).unwrap_or_default())),
            Some(_) => {
                let attempt =
                    format!("{} is not a regular file, and is left alone", self.root.join(at.as_str()).display());
                Err(SinkError::new(Cause::Refused, attempt))
            }
        }
    }

    fn open(&self, at: &ObjectKey) -> Result<StoredObject, SinkError> {
        let failed = self.failed("read", at);
        let spot = self.spot(at, false).map_err(&failed)?;
        // A pipe under the name must not hang the restore.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&spot.dir, spot.name.as_str(), flags, Mode::empty());
        let file = file.map_err(|error| failed(error.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(&failed)?;
        if !metadata.is_file() {
            let attempt = format!("{} is not a regular file", self.root.join(at.as_str()).display());
            return Err(SinkError::new(Cause::Refused, attempt));
        }
        Ok(StoredObject { size: metadata.len(), body: Box::new(file) })
    }

    fn flush(&self) -> Result<(), SinkError> {
        let Some(Some(together)) = self.together.get() else { return Ok(()) };
        together.flush().map_err(|error| {
            let attempt = format!(
                "the file system of {} says that something on it could not be written, and nobody knows which file; look \
                 into the system's log for what is wrong with the disk, and restore into another folder",
                self.root.display()
            );
            SinkError::because(Cause::Io, attempt, error)
        })
    }
}

impl Mender for FolderWriter {
    fn put_instead(
        &self,
        at: &ObjectKey,
        copy: &mut dyn Read,
        expected: &Expected,
        aside: &ObjectKey,
    ) -> Result<Placed, PutError> {
        let failed = |error: io::Error| PutError::Target(self.failed("replace", at)(error));
        if aside.parent() != at.parent() {
            return Err(SinkError::new(Cause::Refused, format!("{aside} is not beside {at}")).into());
        }
        let spot = self.spot(at, false).map_err(failed)?;
        self.refuse_shared(&spot, at)?;
        let found =
            stat(&spot.dir, &spot.name).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        if !is_regular(&found) {
            let attempt = format!("{} is not a regular file, and is left alone", self.root.join(at.as_str()).display());
            return Err(SinkError::new(Cause::Refused, attempt).into());
        }
        let (whole, mut placed) = self.stage(&spot, at, copy, expected)?;
        whole.replace(&spot.dir, &spot.name, last_part(aside)).map_err(failed)?;
        self.flush_name(&spot, &mut placed).map_err(failed)?;
        placed.kept = Some(spot.place.join(last_part(aside)).display().to_string());
        Ok(placed)
    }
}

/// A store of type `file` that files are given back to.
pub struct FileStoreWriter(Arc<FolderWriter>);

impl FileStoreWriter {
    /// Opens the folder of the store. Links in it are followed as [`crate::FileStore`] follows them, to `extra` too, so that a
    /// file is put where Dataverse reads it.
    ///
    /// # Errors
    /// As [`FolderWriter::open`].
    pub fn open(root: &Path, extra: &[PathBuf], run: &RunId) -> Result<Self, SinkError> {
        Ok(Self(Arc::new(FolderWriter::of_store(root, extra, run)?)))
    }
}

impl StoreWriter for FileStoreWriter {
    fn place(&self, at: &Location) -> Result<(Arc<dyn Mender>, ObjectKey), SinkError> {
        let key =
            at.key().map_err(|it| SinkError::because(Cause::Refused, "the object has no place in a folder", it))?;
        // A link that cannot be followed is known before anything is promised.
        match self.0.spot(&key, false) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.0.failed("write", &key)(error)),
            Ok(_) | Err(_) => {}
        }
        Ok((Arc::<FolderWriter>::clone(&self.0), key))
    }

    /// What dead writers left in a folder goes when the next one writes there.
    fn close(&self, _: &dyn Fn(&RunId) -> bool) {}
}

/// Keeps what is under `name` as `aside`, and gives `temporary` the name.
fn exchange(dir: &Dir, temporary: &str, name: &str, aside: &str) -> io::Result<()> {
    match rustix::fs::linkat(dir, name, dir, aside, AtFlags::empty()) {
        Ok(()) => Ok(rustix::fs::renameat(dir, temporary, dir, name)?),
        // No links here (exFAT, some CIFS), or not to files of others: for a moment there is no file of the name.
        Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
            rename_new(dir, name, dir, aside)?;
            rename_new(dir, temporary, dir, name).inspect_err(|_| {
                // As it was; where this fails too, the bytes are still there under the other name.
                let _ = rename_new(dir, aside, dir, name);
            })
        }
        Err(other) => Err(other.into()),
    }
}
