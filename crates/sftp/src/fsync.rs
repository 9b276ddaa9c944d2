//! Making names durable: a copy whose name a power failure takes away is no copy.
//!
//! SFTP version 3 has nothing for this, and `fsync@openssh.com` is meant for files. OpenSSH's server opens a folder
//! for reading as well and flushes it like a file, which is tried out at the start of each session. Where that does
//! not work and there is no shell with `sync -f`, names become durable when the server's file system sees fit.

use std::collections::BTreeSet;

use crate::error::Fault;
use crate::session::{MANY, SftpSession};
use crate::wire::{self, Malformed, Reply, Request, Status};

impl SftpSession {
    /// Flushes folders (relative to the root) in which names were given, and those that hold new folders.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost, or the server cannot flush what it could flush before.
    pub(crate) fn flush_names(&mut self, folders: &[&str]) -> Result<(), Fault> {
        if folders.is_empty() {
            return Ok(());
        }
        let mut all: BTreeSet<String> = self.folders.take_changed();
        all.extend(folders.iter().map(|it| (*it).to_owned()));
        let paths: Vec<String> = all.iter().map(|it| self.folder_path(it)).collect();
        let by_shell = self.tools.as_ref().filter(|it| it.can_flush());
        match by_shell {
            Some(tools) if paths.len() >= MANY || !self.flushes_folders => tools.flush(&mut self.client),
            _ if self.flushes_folders => {
                let flushed = self.flush_folders(&paths)?;
                flushed.into_iter().collect::<Result<(), Status>>().map_err(Fault::Flush)
            }
            _ => Ok(()),
        }
    }

    /// Tries whether the server flushes a folder.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn try_to_flush_folders(&mut self) -> Result<(), Fault> {
        if self.client.offers.fsync {
            let folder = [self.temp.clone()];
            let tried = self.flush_folders(&folder)?;
            self.flushes_folders = tried.iter().all(Result::is_ok);
        }
        Ok(())
    }

    fn folder_path(&self, folder: &str) -> String {
        if folder.is_empty() { format!("{}/", self.root) } else { format!("{}/{folder}", self.root) }
    }

    fn flush_folders(&mut self, paths: &[String]) -> Result<Vec<Result<(), Status>>, Fault> {
        let mut results = Vec::with_capacity(paths.len());
        for paths in paths.chunks(self.client.open_ahead()) {
            let opens: Vec<_> =
                paths.iter().map(|path| Request::Open { path, flags: wire::OPEN_READ, mode: None }).collect();
            let mut handles = Vec::with_capacity(paths.len());
            for reply in self.client.ask(&opens)? {
                match reply {
                    Reply::Handle(handle) => handles.push(handle),
                    Reply::Status(status) => results.push(Err(status)),
                    _ => return Err(Malformed("OPEN answered without a handle").into()),
                }
            }
            let flushes = handles.iter().map(|handle| Request::Fsync { handle });
            let closes = handles.iter().map(|handle| Request::Close { handle });
            let answers = self.client.order(&flushes.chain(closes).collect::<Vec<_>>())?;
            results.extend(answers.into_iter().take(handles.len()));
        }
        Ok(results)
    }
}
