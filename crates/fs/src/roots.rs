//! The folders that objects of a store may lie in: its own, and those that links may lead to.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use dvb_storage::{Cause, Setting, SinkError, SourceError};
use rustix::io::Errno;

use crate::error::{cause, source_error, store_error};

/// As many links one behind the other as Linux follows.
const MOST_LINKS: usize = 40;

struct Root {
    /// As it is configured.
    configured: PathBuf,
    real: PathBuf,
    dir: Dir,
}

/// Opened once, so that whatever is found below them lies there.
pub(crate) struct Roots {
    /// As it is configured.
    own: PathBuf,
    /// Its own comes first.
    all: Vec<Root>,
    /// Further folders that could not be opened, and why.
    absent: Vec<(PathBuf, String)>,
}

/// Where a name leads: a folder that was opened, and a path below it without any link.
pub(crate) struct Real<'a> {
    pub(crate) dir: &'a Dir,
    /// The canonical path of that folder.
    pub(crate) root: &'a Path,
    pub(crate) path: PathBuf,
}

impl Roots {
    /// A further folder that cannot be opened concerns only what lies behind links to it.
    pub(crate) fn open(own: &Path, extra: &[PathBuf]) -> Result<Self, SourceError> {
        let open = |folder: &Path| {
            let dir = Dir::open_ambient_dir(folder, ambient_authority())?;
            Ok(Root { configured: folder.to_owned(), real: folder.canonicalize()?, dir })
        };
        let first = open(own).map_err(|error: io::Error| {
            let remedy = "; check that it exists, is mounted, and that this account may enter it";
            store_error(error, "cannot open the store's folder", own, remedy)
        })?;
        let mut roots = Self { own: own.to_owned(), all: vec![first], absent: Vec::new() };
        for folder in extra {
            match open(folder) {
                Ok(root) => roots.all.push(root),
                Err(error) => roots.absent.push((folder.clone(), error.to_string())),
            }
        }
        Ok(roots)
    }

    /// The store's own folder, as it is configured.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// Each that could be opened, with where it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Path, &Dir)> {
        self.all.iter().map(|it| (it.real.as_path(), &it.dir))
    }

    /// A sentence for each further folder that is not there, or empty as a mount point is without its disk.
    pub(crate) fn notes(&self) -> Vec<String> {
        let absent = self.absent.iter().map(|(folder, why)| cannot_open(folder, why));
        let empty = self.all.iter().skip(1).filter(|root| is_empty(root)).map(|root| empty(&root.configured));
        let note = |why: String| format!("{why}. What links in {} lead to there cannot be read", self.own.display());
        absent.chain(empty).map(note).collect()
    }

    /// Does something with what is at `name`: in the store's folder, or wherever a link leads that leaves it and ends
    /// below one of these folders.
    pub(crate) fn with<T>(&self, name: &str, work: impl Fn(&Dir, &Path) -> io::Result<T>) -> Result<T, SourceError> {
        self.try_with(name, work)?.map_err(|it| self.failed(it, name))
    }

    /// The same; `None` where nothing is there. Without further folders no reason is looked for: most data files lack what may
    /// be beside them. What lies behind a further folder whose disk is not mounted is not missing.
    pub(crate) fn if_there<T>(
        &self,
        name: &str,
        work: impl Fn(&Dir, &Path) -> io::Result<T>,
    ) -> Result<Option<T>, SourceError> {
        let has_further = self.all.len() > 1 || !self.absent.is_empty();
        match self.try_with(name, work)? {
            Ok(done) => Ok(Some(done)),
            Err(error) if cause(&error) == Cause::Missing && !has_further => Ok(None),
            Err(error) => match self.failed(error, name) {
                failed if failed.cause == Cause::Missing => Ok(None),
                failed => Err(failed),
            },
        }
    }

    fn try_with<T>(
        &self,
        name: &str,
        work: impl Fn(&Dir, &Path) -> io::Result<T>,
    ) -> Result<io::Result<T>, SourceError> {
        let Some(own) = self.all.first() else {
            return Err(SourceError::new(Cause::Unavailable, "the store has no folder"));
        };
        let first = match work(&own.dir, Path::new(name)) {
            Err(error) if cause(&error) == Cause::Refused => error,
            other => return Ok(other),
        };
        match self.real(name) {
            Ok(Some(it)) => {
                let path = if it.path.as_os_str().is_empty() { Path::new(".") } else { it.path.as_path() };
                Ok(work(it.dir, path))
            }
            Ok(None) => Ok(Err(first)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Where what is at `name` really lies; `None` where that is below none of these folders.
    fn real(&self, name: &str) -> io::Result<Option<Real<'_>>> {
        Ok(self.below(&self.own.join(name).canonicalize()?))
    }

    fn below(&self, real: &Path) -> Option<Real<'_>> {
        let below = |root: &'_ Root| Some(real.strip_prefix(&root.real).ok()?.to_owned());
        self.all.iter().find_map(|root| Some(Real { dir: &root.dir, root: &root.real, path: below(root)? }))
    }

    /// Where a file lies that is missing itself, by the links that lead to its folder.
    fn real_of_missing(&self, name: &str) -> io::Result<Option<Real<'_>>> {
        let mut at = self.own.join(name);
        for _ in 0..MOST_LINKS {
            let (Some(folder), Some(last)) = (at.parent(), at.file_name()) else { return Ok(None) };
            let real = folder.canonicalize()?.join(last);
            match fs::read_link(&real) {
                Ok(target) => at = real.parent().unwrap_or(Path::new("/")).join(target),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.below(&real)),
                Err(error) => return Err(error),
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Where the link `name` leads, for one who writes there; of a file, also where only the file itself is missing.
    ///
    /// # Errors
    /// Inside an `io::Error`, a [`SinkError`] with what is wrong with the link, and what to do.
    pub(crate) fn follow(&self, name: &str, is_file: bool) -> io::Result<Real<'_>> {
        let refused = |error: io::Error| {
            let at = self.own.join(name);
            let why = self.wrong_link(&error, name).map_or_else(
                || SinkError::because(cause(&error), format!("cannot follow the link {}", at.display()), error),
                |(_, why)| SinkError::new(Cause::Refused, format!("nothing is written to {}: {why}", at.display())),
            );
            io::Error::other(why)
        };
        let found = match self.real(name) {
            // A folder would be made on the disk below, where the right one is not mounted.
            Err(error) if is_file && error.kind() == io::ErrorKind::NotFound => self.real_of_missing(name),
            found => found,
        };
        match found {
            Ok(Some(it)) => Ok(it),
            Ok(None) => Err(refused(Errno::XDEV.into())),
            Err(error) => Err(refused(error)),
        }
    }

    fn failed(&self, error: io::Error, name: &str) -> SourceError {
        let cause = cause(&error);
        if !matches!(cause, Cause::Missing | Cause::Refused) {
            return source_error(error, &self.own, name);
        }
        let at = self.own.join(name);
        match self.wrong_link(&error, name) {
            None => source_error(error, &self.own, name),
            Some((Cause::Missing, why)) => {
                SourceError::because(Cause::Missing, format!("{} is missing: {why}", at.display()), error)
            }
            Some((cause, why)) => SourceError::because(cause, format!("{} is not read: {why}", at.display()), error),
        }
    }

    /// What is wrong with the first link on the way to `name` that does not end in one of these folders, and what to do:
    /// the end of a sentence. `None`: it is no link's fault.
    fn wrong_link(&self, error: &io::Error, name: &str) -> Option<(Cause, String)> {
        let (link, target) = self.leading_away(name)?;
        let leads = format!("the link {} leads to {}", link.display(), target.display());
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            let why = format!("{leads}, and from there back to itself. Remove this link, or let it lead to the files");
            return Some((Cause::Refused, why));
        }
        if let Some(why) = self.why_absent(&link, &target) {
            return Some((Cause::Refused, format!("{leads}, but {why}")));
        }
        if link.canonicalize().is_err_and(|it| cause(&it) == Cause::Missing) {
            return Some((Cause::Missing, format!("{leads}, and nothing is there")));
        }
        let why = format!(
            "{leads}, which is outside of the store's folder. If this is intended, add the folder there to {} of the store",
            Setting::ExtraRoots
        );
        Some((Cause::Refused, why))
    }

    /// Whether a link leads below a further folder that cannot be used now.
    fn why_absent(&self, link: &Path, target: &Path) -> Option<String> {
        let target = lexical(&link.parent().unwrap_or(Path::new("/")).join(target));
        if let Some((folder, why)) = self.absent.iter().find(|(folder, _)| target.starts_with(lexical(folder))) {
            return Some(cannot_open(folder, why));
        }
        let leads_below =
            |root: &&Root| target.starts_with(lexical(&root.configured)) || target.starts_with(&root.real);
        self.all.iter().skip(1).find(leads_below).filter(|root| is_empty(root)).map(|root| empty(&root.configured))
    }

    /// The first link on the way to `name` that ends nowhere, or in none of these folders.
    fn leading_away(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        let mut at = self.own.clone();
        for part in Path::new(name).components() {
            at.push(part);
            if !fs::symlink_metadata(&at).ok()?.is_symlink() {
                continue;
            }
            match at.canonicalize() {
                Ok(real) if self.all.iter().any(|it| real.starts_with(&it.real)) => {}
                _ => {
                    let target = fs::read_link(&at).ok()?;
                    return Some((at, target));
                }
            }
        }
        None
    }
}

fn cannot_open(folder: &Path, why: &str) -> String {
    format!(
        "the folder {} of {} cannot be opened ({why}); check that it is mounted",
        folder.display(),
        Setting::ExtraRoots
    )
}

fn empty(folder: &Path) -> String {
    format!("the folder {} of {} is empty; check that it is mounted", folder.display(), Setting::ExtraRoots)
}

/// What cannot be listed is not called empty.
fn is_empty(root: &Root) -> bool {
    root.dir.entries().is_ok_and(|mut entries| entries.next().is_none())
}

/// A path without `.` and `..`, by its text alone.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
