//! Making names durable: a copy whose name a power failure takes away is no copy.
//!
//! SFTP version 3 has nothing for this, and `fsync@openssh.com` is meant for files. OpenSSH's server opens a folder
//! for reading as well and flushes it like a file, which is tried out at the start of each session. Where that does
//! not work and there is no shell with `sync -f`, names become durable when the server's file system sees fit.

use std::collections::BTreeSet;

use crate::client::{Later, done};
use crate::digest::Tools;
use crate::error::Fault;
use crate::session::{MANY, SftpSession};
use crate::wire::{self, Malformed, Reply, Request, Status};

/// How folders are to be flushed.
pub(crate) enum FolderFlush {
    /// Not at all: there are none, or the server offers no way.
    Nothing,
    /// With their whole file system.
    ByShell,
    /// These, which are to be opened.
    Folders(Vec<String>),
    /// These, which are being opened.
    Opened(Vec<(String, Later)>),
}

/// Something that is tried at the start, and what came of it.
pub(crate) enum Trial {
    Known(bool),
    /// Its answer is still due.
    Begun(Later),
}

impl SftpSession {
    /// Flushes folders (relative to the root) in which names were given, and those that hold new folders.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost, or the server cannot flush what it could flush before.
    pub(crate) fn flush_names(&mut self, folders: &[&str]) -> Result<(), Fault> {
        let begun = self.begin_to_flush(folders)?;
        self.flush(begun, folders)
    }

    /// Opens what [`SftpSession::flush`] is to flush, in the same round trip as what comes next.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn begin_to_flush(&mut self, folders: &[&str]) -> Result<FolderFlush, Fault> {
        if folders.is_empty() {
            return Ok(FolderFlush::Nothing);
        }
        let mut all: BTreeSet<String> = self.folders.take_changed();
        all.extend(folders.iter().map(|it| (*it).to_owned()));
        let paths: Vec<String> = all.iter().map(|it| self.folder_path(it)).collect();
        let can_flush = self.tools.as_ref().is_some_and(Tools::can_flush);
        let flushes_folders = self.flushes_folders()?;
        if can_flush && (paths.len() >= MANY || !flushes_folders) {
            return Ok(FolderFlush::ByShell);
        }
        if !flushes_folders {
            return Ok(FolderFlush::Nothing);
        }
        // Where few files may be open, one after the other.
        if self.client.allows_few() || paths.len() > self.client.open_ahead() {
            return Ok(FolderFlush::Folders(paths));
        }
        let open = |path| Request::Open { path, flags: wire::OPEN_READ, mode: None };
        let opened = all.into_iter().zip(&paths).map(|(folder, path)| (folder, self.client.begin(&open(path))));
        Ok(FolderFlush::Opened(opened.collect()))
    }

    /// Flushes the names that were given in `folders` since it was begun. Where none was given after all, the folders that are
    /// new are flushed all the same: the next batch finds them there, and does not.
    ///
    /// # Errors
    /// As [`SftpSession::flush_names`].
    pub(crate) fn flush(&mut self, begun: FolderFlush, folders: &[&str]) -> Result<(), Fault> {
        let flushed = match begun {
            FolderFlush::Nothing => return Ok(()),
            FolderFlush::ByShell => {
                let Some(tools) = &self.tools else { return Ok(()) };
                return match tools.flush(&mut self.client) {
                    Err(Fault::Flush(_)) if folders.is_empty() => Ok(()),
                    flushed => flushed,
                };
            }
            FolderFlush::Folders(paths) => {
                let flushed = self.flush_folders(&paths)?;
                if folders.is_empty() {
                    return Ok(());
                }
                flushed
            }
            FolderFlush::Opened(opened) => {
                let holds = |folder: &str| {
                    let is_in = |path: &&str| {
                        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    };
                    !folders.is_empty() && (folder.is_empty() || folders.iter().any(is_in))
                };
                let mut replies = Vec::with_capacity(opened.len());
                for (folder, opened) in opened {
                    let reply = self.client.end(opened)?;
                    // Where no name was given after all, the folder may not be there either.
                    if holds(&folder) || matches!(reply, Reply::Handle(_)) {
                        replies.push(reply);
                    }
                }
                self.flush_opened(replies)?
            }
        };
        flushed.into_iter().collect::<Result<(), Status>>().map_err(Fault::Flush)
    }

    /// Opens the folder for temporaries, to try whether it can be flushed.
    pub(crate) fn begin_to_open_folder(&mut self) -> Option<Later> {
        let open = Request::Open { path: &self.temp, flags: wire::OPEN_READ, mode: None };
        self.client.offers.fsync.then(|| self.client.begin(&open))
    }

    /// Begins to try whether the server flushes a folder.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn try_to_flush_folders(&mut self, opened: Option<Later>) -> Result<(), Fault> {
        let Some(opened) = opened else { return Ok(()) };
        self.flushes_folders = match self.client.end(opened)? {
            Reply::Handle(handle) => {
                let tried = self.client.begin(&Request::Fsync { handle: &handle });
                self.client.close_all([&handle]);
                Trial::Begun(tried)
            }
            _ => Trial::Known(false),
        };
        Ok(())
    }

    fn flushes_folders(&mut self) -> Result<bool, Fault> {
        let known = match std::mem::replace(&mut self.flushes_folders, Trial::Known(false)) {
            Trial::Known(it) => it,
            Trial::Begun(tried) => done(self.client.end(tried)?)?.is_ok(),
        };
        self.flushes_folders = Trial::Known(known);
        Ok(known)
    }

    fn folder_path(&self, folder: &str) -> String {
        if folder.is_empty() { format!("{}/", self.root) } else { format!("{}/{folder}", self.root) }
    }

    fn flush_folders(&mut self, paths: &[String]) -> Result<Vec<Result<(), Status>>, Fault> {
        let mut results = Vec::with_capacity(paths.len());
        for paths in paths.chunks(self.client.open_ahead()) {
            let opens: Vec<_> =
                paths.iter().map(|path| Request::Open { path, flags: wire::OPEN_READ, mode: None }).collect();
            let replies = self.client.ask(&opens)?;
            results.extend(self.flush_opened(replies)?);
        }
        Ok(results)
    }

    /// Flushes and closes what was opened; the replies are those to OPEN.
    fn flush_opened(&mut self, opened: Vec<Reply<'static>>) -> Result<Vec<Result<(), Status>>, Fault> {
        let (mut results, mut handles) = (Vec::new(), Vec::new());
        for reply in opened {
            match reply {
                Reply::Handle(handle) => handles.push(handle),
                Reply::Status(status) => results.push(Err(status)),
                _ => return Err(Malformed("OPEN answered without a handle").into()),
            }
        }
        let flushes = handles.iter().map(|handle| Request::Fsync { handle });
        let flushed = self.client.order(&flushes.collect::<Vec<_>>());
        self.client.close_all(&handles);
        results.extend(flushed?);
        Ok(results)
    }
}
