//! One session: what a batch needs of the server, in as few round trips as it can be had.

use std::collections::HashSet;
use std::io::{self, Read};

use dvb_fixity::{Algorithm, Evidence, Measured, Mismatch, Observed, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, CommitRequest, Existing, SinkError, SinkSession, StageRequest, Staged, Unstaged};

use crate::client::Client;
use crate::digest::{Target, Tools};
use crate::download::Download;
use crate::error::{Fault, refusal};
use crate::folders::{FILE_MODE, Folders};
use crate::start::{PROBE, decode_run};
use crate::upload::{Failure, Names, Upload};
use crate::wire::{self, Attributes, Entry, Reply, Request, Status};

/// Where temporaries lie, below the root; in it, a folder for each run.
pub(crate) const TEMP: &str = ".dataverse-backup/tmp";
/// From this many files on, one flush of the whole file system costs less than one a file.
pub(crate) const MANY: usize = 32;
/// A server with less room than this is full, where it says no more than "failure".
pub(crate) const SCARCE: u64 = 256 * 1024;

/// A session with an SFTP server.
pub(crate) struct SftpSession {
    pub(crate) client: Client,
    /// User, host and folder, for messages.
    pub(crate) who: String,
    /// Absolute, without a slash at its end.
    pub(crate) root: String,
    pub(crate) temp: String,
    pub(crate) names: Names,
    pub(crate) folders: Folders,
    /// Why nothing can be stored; reading may still work.
    pub(crate) writable: Result<(), (Cause, String)>,
    pub(crate) tools: Option<Tools>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) evidence: Evidence,
    /// Whether RENAME onto a name that is taken was seen to fail.
    pub(crate) refuses_taken: bool,
    /// Temporaries that were flushed to stable storage on their own.
    pub(crate) flushed: HashSet<String>,
    /// Whether FSYNC of a folder was seen to work.
    pub(crate) flushes_folders: bool,
    pub(crate) lost: bool,
}

impl SftpSession {
    fn path(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.root)
    }

    /// Runs one call; after a fault, nothing is tried on this session any more.
    fn guarded<T>(&mut self, doing: &str, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, SinkError> {
        if self.lost {
            return Err(SinkError::new(Cause::Transient, format!("{doing} {}: the session is lost", self.who)));
        }
        work(self).map_err(|it| {
            self.lost = true;
            it.into_error(format!("{doing} {}", self.who))
        })
    }

    /// What a refusal means; version 3 says only "failure" of a full disk, so the room is asked for.
    pub(crate) fn explain(&mut self, attempt: &str, status: Status) -> Result<SinkError, Fault> {
        let unclear = !matches!(status.code, wire::NO_SUCH_FILE | wire::PERMISSION_DENIED | wire::UNSUPPORTED);
        let mut room = None;
        if unclear && self.client.offers.statvfs {
            let path = if self.root.is_empty() { "/" } else { &self.root };
            if let Reply::Extended(body) = self.client.ask(&[Request::StatVfs { path }])?.remove(0) {
                room = wire::parse_statvfs(&body).ok();
            }
        }
        Ok(self.refused(attempt, status, room, SCARCE))
    }

    pub(crate) fn refused(&self, attempt: &str, status: Status, room: Option<wire::Room>, needed: u64) -> SinkError {
        match room {
            Some(it) if it.bytes < needed || it.no_files => SinkError::because(
                Cause::Full,
                format!("{attempt} on {}: no room is left ({} bytes free)", self.who, it.bytes),
                status,
            ),
            Some(_) | None => refusal(format!("{attempt} on {}", self.who), status),
        }
    }

    fn failed(&self, key: &ObjectKey, needed: u64, failure: Failure) -> Unstaged {
        match failure {
            Failure::Payload(error) => error.into(),
            Failure::Refused(attempt, status, room) => {
                let mut error = self.refused(&format!("{attempt} for {key}"), status, room, needed.max(SCARCE));
                if error.cause == Cause::Missing {
                    // The folder of temporaries vanished: a new session makes it again.
                    error.cause = Cause::Transient;
                }
                error.into()
            }
        }
    }

    /// Observes staged objects: by the server's digest, or by reading them back through new handles. Meanwhile makes
    /// their folders, and tells which could not be made.
    fn observe(&mut self, batch: &[CommitRequest]) -> Result<(Vec<Result<Observed, SinkError>>, Unmade), Fault> {
        let parents: Vec<&str> = batch.iter().filter_map(|it| it.staged.key.parent()).collect();
        let Some((tools, best)) = self.tools.as_ref().and_then(|it| Some((it, it.best()?))) else {
            let unmade = self.folders.make(&mut self.client, parents.into_iter())?;
            return Ok((self.read_back(batch)?, unmade));
        };
        // The shell stands in the folder of temporaries.
        let name = |it: &'_ str| {
            it.strip_prefix(&self.temp).and_then(|it| it.strip_prefix('/')).map_or(0, |rest| it.len() - rest.len())
        };
        let targets: Vec<Target<'_>> = batch
            .iter()
            .map(|it| Target { name: &it.staged.handle[name(&it.staged.handle)..], size: it.staged.measured.size })
            .collect();
        // While the server hashes, the folders are made.
        let flush = tools.can_flush() && batch.iter().any(|it| !self.flushed.contains(&it.staged.handle));
        let asked = tools.ask(&mut self.client, &targets, best, flush)?;
        let unmade = self.folders.make(&mut self.client, parents.into_iter())?;
        let answer = Tools::read(&mut self.client, &asked, &targets, best)?;
        let safe = !flush || answer.flushed;
        let observed = answer.digests.into_iter().zip(batch).map(|(digest, it)| {
            if !safe {
                let attempt = format!("{} could not flush {} to stable storage", self.who, it.staged.key);
                return Err(SinkError::new(Cause::Io, attempt));
            }
            let missing = || SinkError::new(Cause::Io, format!("{} gave no digest of {}", self.who, it.staged.key));
            let digest = digest.ok_or_else(missing)?;
            Ok(Observed { digest, size: None, evidence: Evidence::RemoteHash })
        });
        Ok((observed.collect(), unmade))
    }

    fn read_back(&mut self, batch: &[CommitRequest]) -> Result<Vec<Result<Observed, SinkError>>, Fault> {
        let mut download = Download::hash(batch.iter().map(|it| it.staged.handle.clone()), &[]);
        self.client.drive(&mut download)?;
        let each = download.measured().into_iter().zip(batch).map(|(measured, it)| {
            let failed = |status| refusal(format!("read {} back from {}", it.staged.key, self.who), status);
            let measured = measured.map_err(failed)?;
            let lacking = || SinkError::new(Cause::Io, format!("hash {}", it.staged.key));
            let digest = measured.digest(Algorithm::Sha256).ok_or_else(lacking)?.clone();
            Ok(Observed { digest, size: Some(measured.size), evidence: Evidence::ReadBack })
        });
        Ok(each.collect())
    }

    /// Gives proved temporaries their names. What fails is told by the server's words.
    fn publish(&mut self, moves: &[(String, String, bool)]) -> Result<Vec<Result<(), Refused>>, Fault> {
        let mut results: Vec<Result<(), Refused>> = moves.iter().map(|_| Ok(())).collect();
        if !self.refuses_taken {
            // This server would let one file take another's place: look first.
            let looks: Vec<_> = moves.iter().map(|(_, to, _)| Request::Lstat { path: to }).collect();
            let mut given = HashSet::new();
            for ((reply, result), (_, to, replace)) in self.client.ask(&looks)?.iter().zip(&mut results).zip(moves) {
                if !given.insert(to) || (matches!(reply, Reply::Attributes(_)) && !replace) {
                    *result = Err(Refused::Taken);
                }
            }
        }
        if !self.client.offers.posix_rename {
            let old: Vec<_> = moves.iter().filter(|it| it.2).map(|(_, to, _)| Request::Remove { path: to }).collect();
            self.client.order(&old)?;
        }
        let posix = self.client.offers.posix_rename;
        let going: Vec<usize> = (0..moves.len()).filter(|n| results[*n].is_ok()).collect();
        let requests: Vec<_> = going
            .iter()
            .map(|n| match &moves[*n] {
                (from, to, true) if posix => Request::PosixRename { from, to },
                (from, to, _) => Request::Rename { from, to },
            })
            .collect();
        let mut refused = Vec::new();
        for (n, done) in going.into_iter().zip(self.client.order(&requests)?) {
            if let Err(status) = done {
                refused.push((n, status));
            }
        }
        let looks: Vec<_> = refused.iter().map(|(n, _)| Request::Lstat { path: &moves[*n].1 }).collect();
        for (seen, (n, status)) in self.client.ask(&looks)?.into_iter().zip(refused) {
            let taken = matches!(seen, Reply::Attributes(_)) && !moves[n].2;
            results[n] = Err(if taken { Refused::Taken } else { Refused::Status(status) });
        }
        Ok(results)
    }

    /// Why a key's folder is not there, where it could not be made.
    fn no_folder(&mut self, key: &ObjectKey, unmade: &Unmade) -> Result<Option<SinkError>, Fault> {
        let parent = key.parent().unwrap_or_default();
        let holds = |folder: &str| parent.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'));
        // The outermost comes first, and is what to mend.
        let Some((folder, status)) = unmade.iter().find(|(folder, _)| holds(folder)) else { return Ok(None) };
        self.explain(&format!("make the folder {folder} for {key}"), status.clone()).map(Some)
    }

    fn why_refused(&mut self, key: &ObjectKey, refused: Refused) -> Result<SinkError, Fault> {
        match refused {
            Refused::Taken => {
                Ok(SinkError::new(Cause::Exists, format!("there is something at {key} on {} already", self.who)))
            }
            Refused::Status(status) => self.explain(&format!("give a temporary file the name {key}"), status),
        }
    }

    pub(crate) fn remove(&mut self, paths: &[&str]) -> Result<Vec<Result<(), Status>>, Fault> {
        self.client.order(&paths.iter().map(|path| Request::Remove { path }).collect::<Vec<_>>())
    }

    fn commit_all(&mut self, batch: &[CommitRequest]) -> Result<Vec<Result<Proved, Unstaged>>, Fault> {
        let (observed, unmade) = self.observe(batch)?;
        for it in batch {
            self.flushed.remove(&it.staged.handle);
        }
        let mut results: Vec<Result<Proved, Unstaged>> = Vec::with_capacity(batch.len());
        for (request, observed) in batch.iter().zip(observed) {
            let proved = observed
                .map_err(Unstaged::from)
                .and_then(|it| Proved::by(request.staged.measured.clone(), &it).map_err(|it: Mismatch| it.into()));
            results.push(match (proved, self.no_folder(&request.staged.key, &unmade)?) {
                (Ok(_), Some(error)) => Err(error.into()),
                (proved, _) => proved,
            });
        }
        let good: Vec<usize> = (0..batch.len()).filter(|n| results[*n].is_ok()).collect();
        let moves: Vec<_> = good
            .iter()
            .map(|n| (batch[*n].staged.handle.clone(), self.path(&batch[*n].staged.key), batch[*n].replace))
            .collect();
        for (n, shown) in good.into_iter().zip(self.publish(&moves)?) {
            if let Err(refused) = shown {
                let mut error = self.why_refused(&batch[n].staged.key, refused)?;
                if error.cause == Cause::Missing {
                    // The temporary or the folder vanished: a new session makes both again.
                    error.cause = Cause::Transient;
                }
                results[n] = Err(error.into());
            }
        }
        let shown = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let folders: Vec<&str> = shown.map(|(it, _)| it.staged.key.parent().unwrap_or_default()).collect();
        self.flush_names(&folders)?;
        let bad: Vec<&str> = batch
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_err())
            .map(|(request, _)| request.staged.handle.as_str())
            .collect();
        self.remove(&bad)?;
        Ok(results)
    }

    /// Size of each file, through symbolic links that an administrator may have set.
    fn look(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<u64>, SinkError>>, Fault> {
        let paths: Vec<String> = keys.iter().map(|it| self.path(it)).collect();
        let requests: Vec<_> = paths.iter().map(|path| Request::Stat { path }).collect();
        let replies = self.client.ask(&requests)?;
        let each = replies.into_iter().zip(keys).map(|(reply, key)| match reply {
            Reply::Attributes(it) if it.is_folder() => {
                Err(SinkError::new(Cause::Io, format!("{key} on {} is a folder, not a file", self.who)))
            }
            Reply::Attributes(Attributes { size: Some(size), .. }) => Ok(Some(size)),
            Reply::Status(it) if it.code == wire::NO_SUCH_FILE => Ok(None),
            Reply::Status(it) => Err(refusal(format!("look for {key} on {}", self.who), it)),
            _ => Err(SinkError::new(Cause::Io, format!("{} does not tell the size of {key}", self.who))),
        });
        Ok(each.collect())
    }

    fn measure_all(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, Fault> {
        let mut algorithms = vec![Algorithm::Sha256];
        algorithms.extend(wanted.iter().filter(|it| **it != Algorithm::Sha256));
        algorithms.sort();
        algorithms.dedup();
        let mut results: Vec<Option<Result<Measured, SinkError>>> = Vec::with_capacity(keys.len());
        let mut there = Vec::new();
        for (n, size) in self.look(keys)?.into_iter().enumerate() {
            results.push(match size {
                Ok(Some(size)) => {
                    there.push((n, self.path(&keys[n]), size));
                    None
                }
                Ok(None) => {
                    Some(Err(SinkError::new(Cause::Missing, format!("there is no {} on {}", keys[n], self.who))))
                }
                Err(error) => Some(Err(error)),
            });
        }
        for (n, measured) in self.digests(&there, &algorithms)? {
            results[n] = Some(Ok(measured));
        }
        let rest: Vec<usize> = (0..keys.len()).filter(|n| results[*n].is_none()).collect();
        let mut download = Download::hash(rest.iter().map(|n| self.path(&keys[*n])), &algorithms);
        self.client.drive(&mut download)?;
        for (n, measured) in rest.into_iter().zip(download.measured()) {
            let failed = |status| refusal(format!("read {} from {}", keys[n], self.who), status);
            results[n] = Some(measured.map_err(failed));
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// What the server's own programs say, of the files for which they say everything.
    fn digests(
        &mut self,
        files: &[(usize, String, u64)],
        algorithms: &[Algorithm],
    ) -> Result<Vec<(usize, Measured)>, Fault> {
        let Some(tools) = self.tools.as_ref().filter(|it| it.know(algorithms)) else { return Ok(Vec::new()) };
        let targets: Vec<Target<'_>> = files.iter().map(|(_, name, size)| Target { name, size: *size }).collect();
        let mut found: Vec<Vec<_>> = files.iter().map(|_| Vec::new()).collect();
        let asked: Vec<_> = algorithms
            .iter()
            .map(|it| tools.ask(&mut self.client, &targets, *it, false).map(|asked| (*it, asked)))
            .collect::<Result<_, _>>()?;
        for (algorithm, asked) in asked {
            let answer = Tools::read(&mut self.client, &asked, &targets, algorithm)?;
            for (digests, digest) in found.iter_mut().zip(answer.digests) {
                digests.extend(digest);
            }
        }
        let whole = files.iter().zip(found).filter(|(_, digests)| digests.len() == algorithms.len());
        Ok(whole.map(|((n, _, size), digests)| (*n, Measured { size: *size, digests })).collect())
    }

    fn list(&mut self, path: &str) -> Result<Result<Vec<Entry>, Status>, Fault> {
        let handle = match self.client.ask(&[Request::OpenDir { path }])?.remove(0) {
            Reply::Handle(it) => it,
            Reply::Status(status) => return Ok(Err(status)),
            _ => return Err(wire::Malformed("OPENDIR answered without a handle").into()),
        };
        let mut entries = Vec::new();
        let ended = loop {
            match self.client.ask(&[Request::ReadDir { handle: &handle }])?.remove(0) {
                Reply::Names(more) => entries.extend(more),
                Reply::Status(it) if it.code == wire::EOF => break Ok(()),
                Reply::Status(it) => break Err(it),
                _ => return Err(wire::Malformed("READDIR answered without names").into()),
            }
        };
        self.client.order(&[Request::Close { handle: &handle }])?;
        entries.retain(|it| it.name != b"." && it.name != b"..");
        Ok(ended.map(|()| entries))
    }

    /// Removes a run's folder with all that is in it, and tells how many objects went.
    fn remove_run(&mut self, folder: &str) -> Result<Result<u64, Status>, Fault> {
        let entries = match self.list(folder)? {
            Ok(entries) => entries,
            // Another sweeper was here.
            Err(status) if status.code == wire::NO_SUCH_FILE => return Ok(Ok(0)),
            Err(status) => return Ok(Err(status)),
        };
        let names: Vec<_> = entries.iter().filter_map(|it| std::str::from_utf8(&it.name).ok()).collect();
        let paths: Vec<String> = names.iter().map(|it| format!("{folder}/{it}")).collect();
        let gone = self.remove(&paths.iter().map(String::as_str).collect::<Vec<_>>())?;
        let objects = names.iter().zip(&gone).filter(|(name, gone)| gone.is_ok() && !name.starts_with(PROBE)).count();
        if let Some(status) = gone.into_iter().filter_map(Result::err).find(|it| it.code != wire::NO_SUCH_FILE) {
            return Ok(Err(status));
        }
        self.client.order(&[Request::RemoveDir { path: folder }])?;
        Ok(Ok(objects as u64))
    }
}

/// Folders that could not be made, with the server's words, the outer ones first.
type Unmade = Vec<(String, Status)>;

/// Why a name could not be given.
enum Refused {
    Taken,
    Status(Status),
}

impl SinkSession for SftpSession {
    fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    fn evidence(&self) -> Evidence {
        self.evidence
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        if let Err((cause, words)) = &self.writable {
            return Ok(batch.iter().map(|_| Err(SinkError::new(*cause, words.clone()).into())).collect());
        }
        self.guarded("store a batch on", |it| {
            let keys: Vec<_> = batch.iter().map(|it| (it.key.clone(), it.payload.size_hint())).collect();
            let paths: Vec<_> = batch.iter().map(|_| format!("{}/{}", it.temp, it.names.take())).collect();
            let one_by_one = paths.len() < MANY || !it.tools.as_ref().is_some_and(Tools::can_flush);
            let mut upload = Upload::new(paths.iter().cloned().zip(batch).collect(), &it.temp, FILE_MODE, one_by_one);
            it.client.drive(&mut upload)?;
            let mut results = Vec::with_capacity(paths.len());
            for ((outcome, handle), (key, hint)) in upload.outcomes().into_iter().zip(paths).zip(keys) {
                results.push(match outcome {
                    Some(Ok(measured)) => {
                        if one_by_one && it.client.offers.fsync {
                            it.flushed.insert(handle.clone());
                        }
                        Ok(Staged { key, measured, handle })
                    }
                    Some(Err(failure)) => Err(it.failed(&key, hint, failure)),
                    None => return Err(wire::Malformed("a batch ended early").into()),
                });
            }
            Ok(results)
        })
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        self.guarded("prove a batch on", |it| it.commit_all(&batch))
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        self.guarded("remove temporaries on", |it| {
            for staged in &batch {
                it.flushed.remove(&staged.handle);
            }
            it.remove(&batch.iter().map(|it| it.handle.as_str()).collect::<Vec<_>>()).map(|_| ())
        })
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        let found = self.guarded("look for copies on", |it| it.look(keys))?;
        Ok(found.into_iter().map(|it| it.map(|it| it.map(|size| Existing { size }))).collect())
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.guarded("measure copies on", |it| it.measure_all(keys, wanted))
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        let refused = self.guarded("rename a copy on", |it| {
            let unmade = it.folders.make(&mut it.client, to.parent().into_iter())?;
            if let Some(error) = it.no_folder(to, &unmade)? {
                return Ok(Some(error));
            }
            match it.publish(&[(it.path(from), it.path(to), false)])?.remove(0) {
                Ok(()) => {
                    it.flush_names(&[from, to].map(|it| it.parent().unwrap_or_default()))?;
                    Ok(None)
                }
                Err(refused) => it.why_refused(to, refused).map(Some),
            }
        })?;
        refused.map_or(Ok(()), Err)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        let path = self.path(key);
        let (download, opened) = self.guarded("open a copy on", |it| {
            let mut download = Download::keep(path);
            loop {
                if let Some(opened) = download.is_open() {
                    return Ok((download, opened));
                }
                it.client.turn(&mut download)?;
            }
        })?;
        let mut reading = Reading { session: self, download, piece: Vec::new(), at: 0, over: false };
        match opened {
            Ok(()) => Ok(Box::new(reading)),
            Err(status) => {
                reading.finish();
                let who = reading.session.who.clone();
                Err(refusal(format!("open {key} on {who}"), status))
            }
        }
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        if !key.is_own() {
            return Err(SinkError::new(Cause::Refused, format!("{key} is a copy, and copies are never removed")));
        }
        let path = self.path(key);
        let done = self.guarded("remove an object on", |it| Ok(it.remove(&[&path])?.remove(0)))?;
        done.map_err(|status| refusal(format!("remove {key} on {}", self.who), status))
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        let temp = format!("{}/{TEMP}", self.root);
        let swept = self.guarded("sweep temporaries on", |it| {
            let folders = match it.list(&temp)? {
                Ok(folders) => folders,
                Err(status) if status.code == wire::NO_SUCH_FILE => return Ok(Ok(0)),
                Err(status) => return Ok(Err(status)),
            };
            let mut removed = 0;
            for folder in folders {
                if let (Some(run), Ok(name)) = (decode_run(&folder.name), std::str::from_utf8(&folder.name))
                    && folder.attributes.is_folder()
                    && is_dead(&run)
                {
                    match it.remove_run(&format!("{temp}/{name}"))? {
                        Ok(n) => removed += n,
                        Err(status) => return Ok(Err(status)),
                    }
                }
            }
            Ok(Ok(removed))
        })?;
        swept.map_err(|status| refusal(format!("sweep {TEMP} on {}", self.who), status))
    }
}

/// A file that is read ahead of its reader.
struct Reading<'a> {
    session: &'a mut SftpSession,
    download: Download,
    piece: Vec<u8>,
    at: usize,
    over: bool,
}

impl Reading<'_> {
    /// Waits for the answers that are due, so that the session can be used again.
    fn finish(&mut self) {
        self.download.stop();
        let download = &mut self.download;
        if !self.over && self.session.guarded("close a copy on", |it| it.client.drive(download)).is_err() {
            self.session.lost = true;
        }
        self.over = true;
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if let Some(piece) = self.download.next() {
                (self.piece, self.at) = (piece, 0);
                break;
            }
            if let Some(status) = self.download.failure() {
                return Err(io::Error::other(status.clone()));
            }
            if self.over {
                return Ok(0);
            }
            let download = &mut self.download;
            let more = self.session.guarded("read a copy from", |it| it.client.turn(download));
            self.over = !more.map_err(|it| io::Error::new(io::ErrorKind::ConnectionAborted, it))?;
        }
        let n = buffer.len().min(self.piece.len() - self.at);
        buffer[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
