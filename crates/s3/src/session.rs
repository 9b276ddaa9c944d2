//! One session: what a batch needs, in requests that travel side by side.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Existing, Listed, Listing, LockTrial, ObjectSession, SinkError, SinkSession, StageRequest,
    Staged, Unstaged, parallel_map,
};

use crate::commit::{Commit, CommitFailure};
use crate::error::Fault;
use crate::journal::{Journal, sweep};
use crate::listing::list;
use crate::probe::{self, Probed};
use crate::prove::{head, read_back};
use crate::rename::{rename, second};
use crate::sink::Shared;
use crate::stage::{Pending, Stage};
use crate::{lock, lock_trial};
use dvb_http::content_length;

/// A session with a bucket.
pub(crate) struct S3Session {
    shared: Arc<Shared>,
    probed: Probed,
    evidence: Evidence,
    algorithms: Vec<Algorithm>,
    journal: Journal,
    /// What was staged, by its handle.
    pending: HashMap<String, Pending>,
    next: u64,
    /// Bytes that were there already.
    spared: AtomicU64,
}

/// Bytes of a key, whatever the service. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const LONGEST_KEY: usize = 1024;

impl S3Session {
    fn unnameable(&self, key: &str) -> SinkError {
        let (len, at) = (key.len(), self.shared.describe());
        let attempt =
            format!("{at} cannot have the name {key:?}: it has {len} bytes, and a key has {LONGEST_KEY} at most");
        SinkError::new(Cause::Unnameable, attempt)
    }

    pub(crate) fn new(shared: Arc<Shared>, probed: Probed, evidence: Evidence, journal: Journal) -> Self {
        let mut algorithms = vec![Algorithm::Sha256];
        if probed.capabilities.takes_md5() || probed.capabilities.md5 {
            algorithms.push(Algorithm::Md5);
        }
        Self {
            shared,
            probed,
            evidence,
            algorithms,
            journal,
            pending: HashMap::new(),
            next: 0,
            spared: AtomicU64::new(0),
        }
    }

    fn width(&self) -> usize {
        self.shared.config.parallel
    }

    fn failed(&self, fault: Fault, doing: &str, key: &str) -> SinkError {
        self.shared.failed(fault, doing, key)
    }

    /// Does the same for each key. A service out of reach ends it.
    fn for_each<T: Send>(
        &self,
        keys: &[ObjectKey],
        doing: &str,
        work: impl Fn(&str) -> Result<T, Fault> + Sync,
    ) -> Result<Vec<Result<T, SinkError>>, SinkError> {
        let keys: Vec<String> = keys.iter().map(|it| self.shared.key(it)).collect();
        let answers = parallel_map(keys, self.width(), |key| (work(&key), key));
        answers
            .into_iter()
            .map(|(answer, key)| match answer {
                Ok(it) => Ok(Ok(it)),
                Err(fault) if fault.is_lost() => Err(self.failed(fault, doing, &key)),
                Err(fault) => Ok(Err(self.failed(fault, doing, &key))),
            })
            .collect()
    }
}

impl SinkSession for S3Session {
    fn root(&self) -> Option<String> {
        Some(format!("{}/{}", self.shared.config.bucket, self.shared.prefix))
    }

    fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// What the server tells of an object is one of the past: of what it once received.
    fn measure_evidence(&self) -> Evidence {
        Evidence::ReadBack
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        if let Err(why) = &self.probed.writable {
            return Ok(batch.iter().map(|_| Err(SinkError::new(Cause::Forbidden, why.clone()).into())).collect());
        }
        let names: Vec<ObjectKey> = batch.iter().map(|it| it.key.clone()).collect();
        let keys: Vec<String> = names.iter().map(|it| self.shared.key(it)).collect();
        let short: Vec<String> = keys.iter().filter(|key| key.len() <= LONGEST_KEY).cloned().collect();
        let stage = Stage {
            shared: &self.shared,
            capabilities: self.probed.capabilities,
            journal: &self.journal,
            keys: &short,
            spared: &self.spared,
        };
        let too_long = |key: &String| key.len() > LONGEST_KEY;
        let sendable = batch.into_iter().zip(&keys).filter(|(_, key)| !too_long(key)).map(|it| it.0).collect();
        let mut answers = stage.run(sendable)?.into_iter();
        let mut staged = Vec::with_capacity(names.len());
        for (name, key) in names.into_iter().zip(&keys) {
            if too_long(key) {
                staged.push(Err(self.unnameable(key).into()));
                continue;
            }
            let (Some(answer), key) = (answers.next(), name) else { break };
            staged.push(answer.map(|(measured, pending)| {
                let handle = self.next.to_string();
                self.next += 1;
                self.pending.insert(handle.clone(), pending);
                Staged { key, measured, handle }
            }));
        }
        Ok(staged)
    }

    fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        let commit = Commit {
            shared: &self.shared,
            capabilities: self.probed.capabilities,
            evidence: self.evidence,
            journal: &self.journal,
        };
        let mut requests = Vec::with_capacity(batch.len());
        for request in batch {
            let pending = self.pending.remove(&request.staged.handle);
            requests.push((request, pending));
        }
        let answers = parallel_map(requests, self.width(), |(request, pending)| match pending {
            Some(pending) => commit.one(request, pending),
            None => {
                let attempt = format!("{} was not staged in this session", request.staged.key);
                Err(CommitFailure::Object(SinkError::new(Cause::Io, attempt).into()))
            }
        });
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(match answer {
                Ok(proved) => Ok(proved),
                Err(CommitFailure::Object(why)) => Err(why),
                Err(CommitFailure::Lost(error)) => return Err(error),
            });
        }
        Ok(results)
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        let mut uploads = Vec::new();
        for staged in batch {
            if let Some(Pending::Uploaded { id, .. }) = self.pending.remove(&staged.handle) {
                uploads.push((self.shared.key(&staged.key), id));
            }
        }
        parallel_map(uploads, self.width(), |(key, id)| self.journal.abort(&key, &id));
        Ok(())
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        self.for_each(keys, "stat", |key| match head(&self.shared, key) {
            // What no key can be is not there.
            Err(fault) if fault.cause() == Cause::Unnameable || key.len() > LONGEST_KEY => Ok(None),
            Err(fault) => Err(fault),
            Ok(None) => Ok(None),
            Ok(Some(answer)) => {
                let size = content_length(&answer.headers).ok_or(Fault::Lacking("Content-Length"))?;
                Ok(Some(Existing { size }))
            }
        })
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.for_each(keys, "read back", |key| read_back(&self.shared, key, wanted))
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        rename(&self.shared, self.probed.capabilities, &self.shared.key(from), &self.shared.key(to))
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        let key = self.shared.key(key);
        match self.shared.client.download(&self.shared.config.bucket, &key) {
            Ok(body) => Ok(Box::new(body)),
            Err(fault) => Err(self.failed(fault, "read back", &key)),
        }
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        let (root, own) = (&self.shared.prefix, self.shared.own_key(""));
        let (prefix, here) = match which {
            Listing::Copies => (root.clone(), false),
            Listing::Own(prefix) => (format!("{own}{prefix}"), true),
        };
        let place = self.shared.describe();
        let mut last = String::new();
        let listed = list(&self.shared, &prefix, here, &mut |row| {
            let row = match row {
                Ok(row) => row,
                Err(name) => {
                    let text = format!("a name in {place} is not UTF-8, and cannot be requested: {name}");
                    return visit(Err(SinkError::new(Cause::Io, text)));
                }
            };
            last.clone_from(&row.key);
            // A folder may have an object of its own, which other programs make.
            let is_folder = row.key.ends_with('/') && row.size == 0;
            match row.key.strip_prefix(root.as_str()) {
                Some(name) if !is_folder && (here || !row.key.starts_with(&own)) => {
                    visit(Ok(Listed { name: name.to_owned(), size: row.size }))
                }
                _ => ControlFlow::Continue(()),
            }
        });
        match listed {
            // The service is there, and cannot say what lies behind: what it said before is worth having.
            Err(fault) if !here && fault.is_unlistable() => {
                let behind = if last.is_empty() { "anything".to_owned() } else { format!("what lies behind {last:?}") };
                let _ = visit(Err(self.failed(fault, &format!("list {behind} below"), &prefix))); // it ends here anyway
                Ok(())
            }
            listed => listed.map_err(|fault| self.failed(fault, "list", &prefix)),
        }
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        if !key.is_own() {
            return Err(SinkError::new(Cause::Refused, format!("{key} is a copy, which is never removed")));
        }
        let key = self.shared.key(key);
        match self.shared.client.ask(&self.shared.call("DELETE", &key)) {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.failed(fault, "remove", &key)),
        }
    }

    fn lock(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<SystemTime, SinkError>>, SinkError> {
        if let Err(why) = &self.probed.writable {
            return Ok(keys.iter().map(|_| Err(SinkError::new(Cause::Forbidden, why.clone()))).collect());
        }
        self.for_each(keys, "lock", |key| lock::renew(&self.shared, key).map(SystemTime::from))
    }

    fn try_lock(&mut self) -> Result<Option<LockTrial>, SinkError> {
        let Some(lock) = self.shared.config.object_lock else { return Ok(None) };
        if let Err(why) = &self.probed.writable {
            return Err(SinkError::new(Cause::Forbidden, why.clone()));
        }
        lock_trial::run(&self.shared, lock.mode).map(Some).map_err(|it| self.failed(it, "try the", "lock"))
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        sweep(&self.shared, is_dead).map_err(|fault| {
            let what = "cannot look for uploads that dead runs left in";
            let how = "give this account s3:ListBucket and s3:ListBucketMultipartUploads, or the bucket a lifecycle rule \
                       with AbortIncompleteMultipartUpload";
            match fault.cause() {
                Cause::Forbidden => {
                    SinkError::because(Cause::Forbidden, format!("{what} {}: {how}", self.shared.describe()), fault)
                }
                _ => fault.sink(format!("{what} {}", self.shared.describe())),
            }
        })
    }
}

impl ObjectSession for S3Session {
    fn copy(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        second(&self.shared, self.probed.capabilities, &self.shared.key(from), &self.shared.key(to))
    }

    fn cleanup(&mut self) {
        probe::remove(&self.shared);
    }
}
