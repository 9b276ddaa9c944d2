//! Deleting copies on an SSH server, for a lawful purge.

use std::sync::Arc;

use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Held, HeldKind, Purger, SinkError};

use crate::client::is_vague;
use crate::config::SftpConfig;
use crate::continued::is_cut_of;
use crate::error::{Fault, refusal};
use crate::handshake::start;
use crate::lessons::Lessons;
use crate::pace::Interrupt;
use crate::session::{SftpSession, TEMP};
use crate::wire::{self, Attributes, Entry, Reply, Request, Status};

/// What the backup keeps for itself.
const OWN: &str = ".dataverse-backup";
/// The copies that were set aside as damaged, a folder for each run.
const DAMAGED: &str = ".dataverse-backup/damaged";

/// A folder on an SSH server, by an account that may delete there.
pub struct SftpPurger {
    session: SftpSession,
    run: RunId,
}

impl SftpPurger {
    /// Logs in as `run`, which has a folder for temporaries until this is dropped, as any session has.
    ///
    /// # Errors
    /// As [`Sink::connect`](dvb_storage::Sink::connect).
    pub fn open(config: &SftpConfig, run: &RunId) -> Result<Self, SinkError> {
        let session = start(config, run, &Arc::new(Lessons::default()), &Interrupt::default())?;
        Ok(Self { session, run: run.clone() })
    }
}

impl SftpSession {
    /// Everything in a folder; nothing where there is no such folder.
    fn entries_below(&mut self, folder: &str) -> Result<Result<Vec<Entry>, Status>, Fault> {
        let path = format!("{}/{folder}", self.root);
        Ok(match self.entries(&path)? {
            Err(status) if status.code == wire::SSH_FX_NO_SUCH_FILE => Ok(Vec::new()),
            entries => entries,
        })
    }

    /// The folders in a folder, by their names below the root.
    fn folders_of(&mut self, folder: &str) -> Result<Result<Vec<String>, SinkError>, Fault> {
        let entries = match self.entries_below(folder)? {
            Ok(entries) => entries,
            Err(status) => return Ok(Err(refusal(format!("cannot list the folder {folder} on {}", self.who), status))),
        };
        let mut found = Vec::new();
        for Entry { name, attributes } in entries {
            match String::from_utf8(name) {
                Ok(name) if attributes.is_folder() || attributes.mode.is_none() => {
                    found.push(format!("{folder}/{name}"))
                }
                Ok(_) => {}
                Err(name) => {
                    let attempt = format!("{name:?} in {folder} on {} is no name of a run", self.who);
                    return Ok(Err(SinkError::new(Cause::Broken, attempt)));
                }
            }
        }
        found.sort();
        Ok(Ok(found))
    }

    /// What lies at these names; links are not followed.
    fn look_at(&mut self, names: &[String]) -> Result<Result<Vec<Held>, SinkError>, Fault> {
        let paths: Vec<String> = names.iter().map(|it| format!("{}/{it}", self.root)).collect();
        let requests: Vec<_> = paths.iter().map(|path| Request::Lstat { path }).collect();
        let mut held = Vec::new();
        for (name, reply) in names.iter().zip(self.client.ask(&requests)?) {
            match reply {
                Reply::Attributes(it) if it.is_folder() => {
                    let attempt = format!("{name} on {} is a folder, not a file", self.who);
                    return Ok(Err(SinkError::new(Cause::Broken, attempt)));
                }
                Reply::Attributes(it) => held.push(thing(name.clone(), &it, HeldKind::Object)),
                Reply::Status(it) if it.code == wire::SSH_FX_NO_SUCH_FILE => {}
                Reply::Status(it) => return Ok(Err(refusal(format!("cannot stat {name} on {}", self.who), it))),
                _ => return Err(wire::Malformed("LSTAT answered without attributes").into()),
            }
        }
        Ok(Ok(held))
    }

    /// Uploads of this key that were cut, or are under way.
    fn cut_uploads(&mut self, key: &ObjectKey) -> Result<Result<Vec<Held>, SinkError>, Fault> {
        let folders = match self.folders_of(TEMP)? {
            Ok(folders) => folders,
            Err(error) => return Ok(Err(error)),
        };
        let mut held = Vec::new();
        for folder in folders {
            let entries = match self.entries_below(&folder)? {
                Ok(entries) => entries,
                Err(status) => {
                    return Ok(Err(refusal(format!("cannot list the folder {folder} on {}", self.who), status)));
                }
            };
            for Entry { name, attributes } in entries {
                if let Some(name) = std::str::from_utf8(&name).ok().filter(|it| is_cut_of(it, key)) {
                    held.push(thing(format!("{folder}/{name}"), &attributes, HeldKind::Upload));
                }
            }
        }
        Ok(Ok(held))
    }

    fn find(&mut self, key: &ObjectKey) -> Result<Result<Vec<Held>, SinkError>, Fault> {
        let mut names = vec![key.as_str().to_owned()];
        let mut uploads = Vec::new();
        if !key.is_own() {
            match self.folders_of(DAMAGED)? {
                Ok(runs) => names.extend(runs.iter().map(|it| format!("{it}/{key}"))),
                Err(error) => return Ok(Err(error)),
            }
            match self.cut_uploads(key)? {
                Ok(found) => uploads = found,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(self.look_at(&names)?.map(|found| [uploads, found].concat()))
    }

    /// All files of the backup's own whose names begin so, at any depth.
    fn find_own(&mut self, prefix: &str) -> Result<Result<Vec<ObjectKey>, SinkError>, Fault> {
        let begin = format!("{OWN}/{prefix}");
        let mut folders = vec![begin.rsplit_once('/').map_or(OWN, |it| it.0).to_owned()];
        let mut keys = Vec::new();
        while let Some(folder) = folders.pop() {
            let entries = match self.entries_below(&folder)? {
                Ok(entries) => entries,
                Err(status) => {
                    return Ok(Err(refusal(format!("cannot list the folder {folder} on {}", self.who), status)));
                }
            };
            for Entry { name, attributes } in entries {
                let path = std::str::from_utf8(&name).ok().map(|it| format!("{folder}/{it}"));
                let Some((path, key)) = path.and_then(|it| ObjectKey::new(&it).ok().map(|key| (it, key))) else {
                    // Servers list these two as well.
                    if matches!(name.as_slice(), b"." | b"..") {
                        continue;
                    }
                    let attempt =
                        format!("{:?} in {folder} on {} can be no key", String::from_utf8_lossy(&name), self.who);
                    return Ok(Err(SinkError::new(Cause::Broken, attempt)));
                };
                if !attributes.is_folder() {
                    keys.extend(Some(key).filter(|_| path.starts_with(&begin)));
                } else if path.starts_with(&begin) || begin.starts_with(&path) {
                    folders.push(path);
                }
            }
        }
        Ok(Ok(keys))
    }

    fn delete_one(&mut self, name: &str) -> Result<Result<(), Status>, Fault> {
        let path = format!("{}/{name}", self.root);
        let mut done = Ok(());
        self.client.patiently(1, |client, _| {
            done = client.order(&[Request::Remove { path: &path }])?.remove(0);
            Ok(if done.as_ref().is_err_and(is_vague) { vec![0] } else { Vec::new() })
        })?;
        if done.as_ref().is_err_and(|it| it.code == wire::SSH_FX_NO_SUCH_FILE) {
            // The folder may be gone as well: there is nothing to flush.
            return Ok(Ok(()));
        }
        if done.is_ok() {
            self.flush_names(&[name.rsplit_once('/').map_or("", |it| it.0)])?;
        }
        Ok(done)
    }
}

fn thing(name: String, seen: &Attributes, kind: HeldKind) -> Held {
    Held { name, version: None, size: seen.size.unwrap_or(0), kind, lock: None }
}

impl Purger for SftpPurger {
    fn describe(&self) -> String {
        self.session.who.clone()
    }

    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError> {
        self.session.guarded("list what is to be deleted on", |it| it.find(key))?
    }

    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError> {
        self.session.guarded("list what is to be deleted on", |it| it.find_own(prefix))?
    }

    fn delete(&mut self, held: &Held) -> Result<(), SinkError> {
        let done = self.session.guarded("delete an object on", |it| it.delete_one(&held.name))?;
        done.map_err(|status| {
            let attempt = format!(
                "cannot delete {} on {}; a purge needs an account that may delete",
                held.name, self.session.who
            );
            refusal(attempt, status)
        })
    }
}

impl Drop for SftpPurger {
    fn drop(&mut self) {
        let run = &self.run;
        // The next run sweeps what is left.
        let _ = self.session.guarded("sweep temporaries on", |it| it.sweep_all(&|it| it == run));
    }
}
