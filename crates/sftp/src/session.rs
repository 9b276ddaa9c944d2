//! One session: what a batch needs of the server, in as few round trips as it can be had.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Existing, Listed, Listing, PayloadError, SinkError, SinkSession, StageRequest, Staged,
    Unstaged,
};
use tracing::debug;

use crate::client::{Client, is_vague};
use crate::digest::Tools;
use crate::error::{Fault, refusal};
use crate::folders::{FILE_MODE, Folders};
use crate::fsync::Trial;
use crate::lessons::Lessons;
use crate::publish::Move;
use crate::reading::Reading;
use crate::upload::{Failure, Names, Upload};
use crate::wire::{self, Reply, Request, Status};

/// What is the backup's own, below the root.
pub(crate) const OWN: &str = ".dataverse-backup";
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
    pub(crate) flushes_folders: Trial,
    /// Whether the account was seen not to be able to remove a file of its own.
    pub(crate) keeps_all: bool,
    pub(crate) lessons: Arc<Lessons>,
    /// Bytes that were there already.
    pub(crate) spared: u64,
    /// Small copies that were read before they are opened.
    pub(crate) ahead: HashMap<ObjectKey, Vec<u8>>,
    /// Names that were tried on the server's medium.
    pub(crate) tried: crate::names::Tried,
    pub(crate) lost: bool,
}

impl SftpSession {
    pub(crate) fn path(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.root)
    }

    /// Runs one call; after a fault, nothing is tried on this session any more.
    pub(crate) fn guarded<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, SinkError> {
        self.client.connection.pace.renew();
        self.going_on(doing, work)
    }

    /// The same for the next part of what is under way already.
    pub(crate) fn going_on<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, SinkError> {
        if self.client.connection.pace.is_over() {
            return Err(Fault::Interrupted.into_error(format!("cannot {doing} {}", self.who)));
        }
        if self.lost {
            return Err(SinkError::new(Cause::Transient, format!("cannot {doing} {}: the session is lost", self.who)));
        }
        let began = Instant::now();
        let done = work(self);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        debug!(doing, destination = self.who, ms, ok = done.is_ok(), "batch");
        done.map_err(|fault| {
            self.lost = true;
            let error = fault.into_error(format!("cannot {doing} {}", self.who));
            debug!(destination = self.who, error = error.chain(), "session lost");
            error
        })
    }

    /// What a refusal means; version 3 says only "failure" of a full disk, so the room is asked for.
    pub(crate) fn explain(&mut self, attempt: &str, status: Status) -> Result<SinkError, Fault> {
        let unclear = !matches!(
            status.code,
            wire::SSH_FX_NO_SUCH_FILE | wire::SSH_FX_PERMISSION_DENIED | wire::SSH_FX_OP_UNSUPPORTED
        );
        let room = if unclear { told_room(&mut self.client, &self.root)? } else { None };
        Ok(self.refused(attempt, status, room, SCARCE))
    }

    pub(crate) fn refused(&self, attempt: &str, status: Status, room: Option<wire::Room>, needed: u64) -> SinkError {
        match room {
            Some(it) if it.bytes < needed || it.no_files => SinkError::because(
                Cause::Full,
                format!("cannot {attempt} on {}: no space is left ({} bytes free)", self.who, it.bytes),
                status,
            ),
            Some(_) | None => refusal(format!("cannot {attempt} on {}", self.who), status),
        }
    }

    fn failed(&self, key: &ObjectKey, needed: u64, failure: Failure) -> Unstaged {
        match failure {
            Failure::Payload(error) => error.into(),
            Failure::Cut => PayloadError::Stopped.into(),
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

    /// Removes temporaries; where that cannot be, empties them and uses their names for what comes next.
    pub(crate) fn drop_files(&mut self, paths: &[&str]) -> Result<(), Fault> {
        if !self.keeps_all {
            return self.remove(paths).map(drop);
        }
        let opens: Vec<_> =
            paths.iter().map(|path| Request::Open { path, flags: wire::OPEN_EMPTY, mode: Some(FILE_MODE) }).collect();
        let mut empty = Vec::new();
        for opens in opens.chunks(self.client.open_ahead()) {
            let replies = self.client.ask(opens)?;
            let handles: Vec<Vec<u8>> = replies
                .into_iter()
                .zip(opens)
                .filter_map(|(reply, open)| match (reply, open) {
                    (Reply::Handle(handle), Request::Open { path, .. }) => {
                        empty.push((*path).to_owned());
                        Some(handle)
                    }
                    _ => None,
                })
                .collect();
            self.client.order(&handles.iter().map(|handle| Request::Close { handle }).collect::<Vec<_>>())?;
        }
        self.lessons.keep(empty);
        Ok(())
    }

    /// A digest that does not come ends the session; the next ones do without.
    pub(crate) fn blame_shell(&self, fault: &Fault) {
        if matches!(fault, Fault::Silent(_)) && !self.client.connection.shell_ended() {
            self.lessons.give_up_shell(format!(
                "the command for digests on {} did not end in time, so that copies are proved by reading them back: look \
                 for a disk or a program that hangs there",
                self.who
            ));
        }
    }

    pub(crate) fn remove(&mut self, paths: &[&str]) -> Result<Vec<Result<(), Status>>, Fault> {
        self.client.order(&paths.iter().map(|path| Request::Remove { path }).collect::<Vec<_>>())
    }
}

/// The room there is below a folder, where the server tells it.
pub(crate) fn told_room(client: &mut Client, root: &str) -> Result<Option<wire::Room>, Fault> {
    if !client.offers.statvfs {
        return Ok(None);
    }
    let path = if root.is_empty() { "/" } else { root };
    Ok(match client.ask(&[Request::StatVfs { path }])?.remove(0) {
        Reply::Extended(body) => wire::parse_statvfs(&body).ok(),
        _ => None,
    })
}

impl SinkSession for SftpSession {
    fn root(&self) -> Option<String> {
        Some(if self.root.is_empty() { "/".to_owned() } else { self.root.clone() })
    }

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
        self.guarded("store a batch on", |session| {
            let impossible = session.impossible(&batch.iter().map(|request| &request.key).collect::<Vec<_>>())?;
            let batch: Vec<_> = batch
                .into_iter()
                .zip(&impossible)
                .filter(|(_, part)| part.is_none())
                .map(|(request, _)| request)
                .collect();
            let keys: Vec<_> = batch.iter().map(|it| (it.key.clone(), it.payload.size_hint())).collect();
            let bytes: u64 = keys.iter().map(|(_, size)| size).sum();
            debug!(destination = session.who, objects = keys.len(), bytes, "store");
            let flush_each = !session.tools.as_ref().is_some_and(Tools::can_flush);
            let temporaries = session.temporaries(&batch)?;
            let batch = temporaries.into_iter().zip(batch).collect();
            let mut upload = Upload::new(batch, &session.temp, FILE_MODE, flush_each);
            let driven = session.client.drive(&mut upload);
            if driven.is_err() {
                session.remember_cut(&upload);
            }
            driven?;
            session.spared += upload.spared();
            let mut results = Vec::with_capacity(keys.len());
            for ((handle, outcome), (key, hint)) in upload.outcomes().into_iter().zip(keys) {
                results.push(match outcome {
                    Some(Ok(measured)) => {
                        if flush_each && session.client.offers.fsync {
                            session.flushed.insert(handle.clone());
                        }
                        Ok(Staged { key, measured, handle })
                    }
                    Some(Err(failure)) => {
                        if session.keeps_all && !failure.may_go_on() {
                            session.drop_files(&[&handle])?;
                        }
                        Err(session.failed(&key, hint, failure))
                    }
                    None => return Err(wire::Malformed("a batch ended early").into()),
                });
            }
            let mut results = results.into_iter();
            let refused = |part: &String| {
                let attempt = format!("the medium of {} cannot have the name {part:?}", session.who);
                SinkError::new(Cause::Unnameable, attempt).into()
            };
            Ok(impossible
                .iter()
                .filter_map(|part| part.as_ref().map_or_else(|| results.next(), |it| Some(Err(refused(it)))))
                .collect())
        })
    }

    fn spared(&self) -> u64 {
        self.spared
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        debug!(destination = self.who, objects = batch.len(), "prove");
        self.ahead.clear();
        self.guarded("prove a batch on", |it| it.commit_all(&batch))
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        self.guarded("remove temporaries on", |session| {
            for staged in &batch {
                session.flushed.remove(&staged.handle);
            }
            session.drop_files(&batch.iter().map(|it| it.handle.as_str()).collect::<Vec<_>>())
        })
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        let found = self.guarded("stat copies on", |session| {
            let mut found = session.look(keys)?;
            for (key, answer) in keys.iter().zip(&mut found).filter(|(_, answer)| answer.is_err()) {
                // Under a name that the medium cannot have, nothing is there; servers only say "failure".
                if session.writable.is_ok() && session.impossible(&[key])?.iter().any(Option::is_some) {
                    *answer = Ok(None);
                }
            }
            Ok(found)
        })?;
        Ok(found.into_iter().map(|answer| answer.map(|there| there.map(|size| Existing { size }))).collect())
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.guarded("measure copies on", |it| it.measure_all(keys, wanted))
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        self.ahead.clear();
        let refused = self.guarded("rename a copy on", |session| {
            let unmade = session.folders.make(&mut session.client, to.parent().into_iter())?;
            if let Some(error) = session.no_folder(to, &unmade)? {
                return Ok(Some(error));
            }
            let wanted = Move { from: session.path(from), to: session.path(to), replace: false, size: None };
            match session.publish(&[wanted])?.remove(0) {
                Ok(()) => {
                    session.flush_names(&[from, to].map(|it| it.parent().unwrap_or_default()))?;
                    Ok(None)
                }
                Err(refused) => session.why_refused(to, refused).map(Some),
            }
        })?;
        refused.map_or(Ok(()), Err)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        if let Some(read) = self.take_ahead(key) {
            return Ok(Box::new(read));
        }
        Ok(Box::new(Reading::open(self, key)?))
    }

    fn expect(&mut self, next: &[(ObjectKey, u64)]) -> Result<usize, SinkError> {
        self.guarded("read copies ahead from", |it| it.read_ahead(next))
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        self.guarded("list what lies on", |it| it.walk(which, visit)).map(drop)
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        if !key.is_own() {
            return Err(SinkError::new(Cause::Refused, format!("{key} is a copy, and copies are never removed")));
        }
        self.ahead.clear();
        let path = self.path(key);
        let done = self.guarded("remove an object on", |session| {
            let mut done = Ok(());
            session.client.patiently(1, |client, _| {
                done = client.order(&[Request::Remove { path: &path }])?.remove(0);
                Ok(if done.as_ref().is_err_and(is_vague) { vec![0] } else { Vec::new() })
            })?;
            Ok(done)
        })?;
        done.map_err(|status| refusal(format!("cannot remove {key} on {}", self.who), status))
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        let swept = self.guarded("sweep temporaries on", |it| it.sweep_all(is_dead))?;
        swept.map_err(|status| refusal(format!("cannot sweep {TEMP} on {}", self.who), status))
    }
}
