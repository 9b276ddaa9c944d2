//! Making folders, many at once, each looked at only once in a session.

use std::collections::{BTreeSet, HashSet};

use crate::client::{Client, Later, done};
use crate::error::Fault;
use crate::wire::{Reply, Request, Status};

/// For the owner and to be read by the group; the server's umask may narrow it.
pub(crate) const FOLDER_MODE: u32 = 0o750;
pub(crate) const FILE_MODE: u32 = 0o640;
/// A server that works on requests out of order may need a second look at each level.
const ROUNDS: usize = 8;

/// Folders below the root that are known to be there.
pub(crate) struct Folders {
    root: String,
    known: HashSet<String>,
    /// Folders with new folders in them, whose names may not be on stable storage yet.
    changed: BTreeSet<String>,
}

impl Folders {
    /// Nothing is known but the root.
    pub(crate) fn new(root: String) -> Self {
        Self { root, known: HashSet::new(), changed: BTreeSet::new() }
    }

    /// Folders that hold new folders since this was asked last; the root is the empty text.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    fn path(&self, folder: &str) -> String {
        format!("{}/{folder}", self.root)
    }

    /// Makes folders (relative to the root) and those above them, as far as they are not there.
    ///
    /// Returns the server's words on each that could not be made.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn make<'a>(
        &mut self,
        client: &mut Client,
        folders: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<(String, Status)>, Fault> {
        // In the order of a BTreeSet, a folder comes after the one that it is in.
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for folder in folders.filter(|it| !self.known.contains(*it)) {
            let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
            missing.extend(ends.map(|end| &folder[..end]).filter(|it| !self.known.contains(*it)).map(str::to_owned));
        }
        let mut failed = Vec::new();
        for _ in 0..ROUNDS {
            if missing.is_empty() {
                return Ok(Vec::new());
            }
            failed = self.round(client, &missing)?;
            missing = failed.iter().map(|(folder, _): &(String, Status)| folder.clone()).collect();
        }
        Ok(failed)
    }

    /// As [`Folders::make`], of one for temporaries: it and those above it go when another session has tidied up.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn make_temporary(&mut self, client: &mut Client, folder: &str) -> Result<Vec<(String, Status)>, Fault> {
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        let all = ends.map(|end| folder[..end].to_owned()).collect();
        let mut failed = Vec::new();
        for _ in 0..ROUNDS {
            failed = self.round(client, &all)?;
            if failed.is_empty() {
                break;
            }
        }
        Ok(failed)
    }

    /// Begins to make a folder and those above it, for what is stored there next; [`Folders::finish`] tells what came of it.
    pub(crate) fn begin(&self, client: &mut Client, folder: &str) -> Vec<(String, [Later; 2])> {
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        let each = ends.map(|end| &folder[..end]).map(|folder| {
            let path = self.path(folder);
            (folder.to_owned(), both(&path).map(|it| client.begin(&it)))
        });
        each.collect()
    }

    /// As [`Folders::make`], for what was begun.
    pub(crate) fn finish(
        &mut self,
        client: &mut Client,
        begun: Vec<(String, [Later; 2])>,
    ) -> Result<Vec<(String, Status)>, Fault> {
        let mut failed = Vec::new();
        for (folder, [made, seen]) in begun {
            let (made, seen) = (client.end(made)?, client.end(seen)?);
            if let Some(status) = self.take(&folder, made, &seen)? {
                failed.push((folder, status));
            }
        }
        Ok(failed)
    }

    /// Tries to make all, and in the same breath asks which of them are there.
    fn round(&mut self, client: &mut Client, wanted: &BTreeSet<String>) -> Result<Vec<(String, Status)>, Fault> {
        let paths: Vec<String> = wanted.iter().map(|it| self.path(it)).collect();
        let requests: Vec<_> = paths.iter().flat_map(|it| both(it.as_str())).collect();
        let mut replies = client.ask(&requests)?.into_iter();
        let mut failed = Vec::new();
        for folder in wanted {
            let (Some(made), Some(seen)) = (replies.next(), replies.next()) else { break };
            if let Some(status) = self.take(folder, made, &seen)? {
                failed.push((folder.clone(), status));
            }
        }
        Ok(failed)
    }

    /// What became of a folder: whether it was made, and whether it is there; the server's words where it is not.
    fn take(&mut self, folder: &str, made: Reply<'_>, seen: &Reply<'_>) -> Result<Option<Status>, Fault> {
        let made = done(made)?;
        if made.is_ok() {
            self.changed.insert(folder.rsplit_once('/').map_or("", |it| it.0).to_owned());
        }
        let is_there = matches!(seen, Reply::Attributes(it) if it.is_folder() || it.mode.is_none());
        Ok(match made {
            Err(status) if !is_there => Some(status),
            Ok(()) | Err(_) => {
                self.known.insert(folder.to_owned());
                None
            }
        })
    }
}

/// Makes a folder, and looks whether it is there.
fn both(path: &str) -> [Request<'_>; 2] {
    [Request::MakeDir { path, mode: FOLDER_MODE }, Request::Stat { path }]
}
