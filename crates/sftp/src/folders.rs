//! Making folders, many at once, each looked at only once in a session.

use std::collections::{BTreeSet, HashSet};

use crate::client::{Client, done};
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

    /// Tries to make all, and in the same breath asks which of them are there.
    fn round(&mut self, client: &mut Client, wanted: &BTreeSet<String>) -> Result<Vec<(String, Status)>, Fault> {
        let paths: Vec<String> = wanted.iter().map(|it| self.path(it)).collect();
        let both = |path| [Request::MakeDir { path, mode: FOLDER_MODE }, Request::Stat { path }];
        let requests: Vec<_> = paths.iter().flat_map(|it| both(it.as_str())).collect();
        let mut replies = client.ask(&requests)?.into_iter();
        let mut failed = Vec::new();
        for folder in wanted {
            let (Some(made), Some(seen)) = (replies.next(), replies.next()) else { break };
            match (done(made)?, seen) {
                (Ok(()), _) => {
                    self.changed.insert(folder.rsplit_once('/').map_or("", |it| it.0).to_owned());
                    self.known.insert(folder.clone());
                }
                (Err(_), Reply::Attributes(it)) if it.is_folder() || it.mode.is_none() => {
                    self.known.insert(folder.clone());
                }
                (Err(status), _) => failed.push((folder.clone(), status)),
            }
        }
        Ok(failed)
    }
}
