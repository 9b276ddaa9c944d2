//! The folders that objects of a store may lie in: its own, and those that links may lead to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use dvb_storage::{Cause, SourceError};

use crate::error::{cause, cause_of_root, source_error};

struct Root {
    /// Where it really is.
    real: PathBuf,
    dir: Dir,
}

/// Opened once, so that whatever is found below them lies there.
pub(crate) struct Roots {
    /// As it is configured.
    own: PathBuf,
    /// Its own comes first.
    all: Vec<Root>,
}

impl Roots {
    pub(crate) fn open(own: &Path, extra: &[PathBuf]) -> Result<Self, SourceError> {
        let open = |(what, folder): (&str, &Path)| {
            let dir = Dir::open_ambient_dir(folder, ambient_authority());
            let opened = dir.and_then(|dir| Ok(Root { real: folder.canonicalize()?, dir }));
            opened.map_err(|error| {
                let attempt = format!(
                    "cannot open {what} {}; check that it exists, is mounted, and that this account may enter it",
                    folder.display()
                );
                SourceError::because(cause_of_root(&error), attempt, error)
            })
        };
        let folders = std::iter::once(("the store's folder", own));
        let extra = extra.iter().map(|it| ("the folder of ExtraRoots", it.as_path()));
        Ok(Self { own: own.to_owned(), all: folders.chain(extra).map(open).collect::<Result<_, _>>()? })
    }

    /// The store's own folder, as it is configured.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// Each with where it is.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Path, &Dir)> {
        self.all.iter().map(|it| (it.real.as_path(), &it.dir))
    }

    /// Does something with what is at `name`: in the store's folder, or wherever a link leads that leaves it and ends
    /// below one of these folders.
    pub(crate) fn with<T>(&self, name: &str, work: impl Fn(&Dir, &Path) -> io::Result<T>) -> Result<T, SourceError> {
        let Some(own) = self.all.first() else {
            return Err(SourceError::new(Cause::Unavailable, "the store has no folder"));
        };
        let first = match work(&own.dir, Path::new(name)) {
            Err(error) if cause(&error) == Cause::Refused => error,
            other => return other.map_err(|it| self.failed(it, name)),
        };
        let real = match self.own.join(name).canonicalize() {
            Ok(real) => real,
            Err(error) => return Err(self.failed(error, name)),
        };
        let found = self.all.iter().find_map(|it| Some((it, real.strip_prefix(&it.real).ok()?)));
        let Some((root, path)) = found else { return Err(self.failed(first, name)) };
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        work(&root.dir, path).map_err(|it| self.failed(it, name))
    }

    fn failed(&self, error: io::Error, name: &str) -> SourceError {
        let cause = cause(&error);
        if !matches!(cause, Cause::Missing | Cause::Refused) {
            return source_error(error, &self.own, name);
        }
        let Some((link, target)) = self.leading_away(name) else { return source_error(error, &self.own, name) };
        let at = self.own.join(name);
        let [at, link, target] = [&at, &link, &target].map(|it| it.display());
        let attempt = match cause {
            Cause::Missing => format!("{at} is missing: the link {link} leads to {target}, and nothing is there"),
            _ => format!(
                "{at} leads out of the store's folder and is not followed: the link {link} leads to {target}. If that is \
                 meant, name the folder there in ExtraRoots of the store's section"
            ),
        };
        SourceError::because(cause, attempt, error)
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
