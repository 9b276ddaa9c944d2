//! One session with a destination.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Existing, Listed, Listing, ObjectSession, SinkError, SinkSession, StageRequest, Staged,
    Unstaged, parallel_map, read_ahead,
};
use ureq::http::Method;

use crate::client::{Body, Request};
use crate::commit::Waiting;
use crate::container;
use crate::context::{Context, name_of};
use crate::error::{SwiftFailure, status};
use crate::manifest;
use crate::segmenter::Segmenter;
use crate::sweep;
use crate::upload::Upload;

/// Where the backup's own objects are.
const OWN: &str = ".dataverse-backup/";
/// Bytes of a piece of a large object that is read and hashed while the one before it is sent.
const AHEAD: usize = 256 << 10;

/// A session. What it staged is known to it alone: in memory, or on the server under names of its own.
pub(crate) struct Session {
    context: Arc<Context>,
    run: RunId,
    /// Unlike that of any other session of the run, on any host.
    name: String,
    next: u64,
    waiting: HashMap<String, Waiting>,
    /// Bytes that were there already.
    spared: u64,
}

impl Session {
    pub(crate) fn new(context: Arc<Context>, run: RunId) -> Self {
        let name = format!("{:016x}", fastrand::u64(..));
        Self { context, run, name, next: 0, waiting: HashMap::new(), spared: 0 }
    }

    fn stage_one(&mut self, request: StageRequest) -> Result<Staged, Unstaged> {
        let StageRequest { key, mut payload } = request;
        if self.is_too_long(&key) {
            let (len, most) = (key.as_str().len(), self.context.capabilities.max_object_name);
            let attempt = format!(
                "container {} cannot have the name {:?}: it has {len} bytes, and the server takes {most} at most",
                self.context.container,
                key.as_str()
            );
            return Err(SinkError::new(Cause::Unnameable, attempt).into());
        }
        payload.open()?;
        let handle = format!("{}-{}", self.name, self.next);
        self.next += 1;
        let (size, promised) = (payload.size_hint(), payload.promised());
        if size > self.context.limits.held_object {
            let cut = self.context.capabilities.segment(self.context.limits.segment, size);
            payload.not_sent(Vec::from([self.context.left.there(&key, size, cut)]));
            payload = read_ahead(payload, AHEAD);
        }
        let mut segmenter = Segmenter::new(payload.as_mut());
        let waiting = match self.hold(&mut segmenter, size)? {
            Some(it) => it,
            None => {
                let names = (&self.run, name_of(key.as_str(), &handle), &key);
                let upload = Upload::store(&self.context, names, &mut segmenter, size, promised)?;
                self.spared += upload.spared;
                Waiting::Upload(upload)
            }
        };
        let measured = payload.finish();
        if let Waiting::Upload(upload) = &waiting
            && let Err(mismatch) = upload.compare(&measured)
        {
            let _ = upload.remove(&self.context);
            return Err(mismatch.into());
        }
        self.waiting.insert(handle.clone(), waiting);
        Ok(Staged { key, measured, handle })
    }

    /// Reads a small object into memory; `None` where it is not small, or no room is left.
    fn hold(&self, segmenter: &mut Segmenter<'_>, size: u64) -> Result<Option<Waiting>, Unstaged> {
        let most = self.context.limits.held_object.min(self.context.capabilities.max_file_size);
        if size > most {
            return Ok(None);
        }
        let Some(mut memory) = self.context.budget.try_reserve(size) else { return Ok(None) };
        let Some(bytes) = segmenter.whole(size)? else { return Ok(None) };
        memory.buffer = bytes;
        Ok(Some(Waiting::Held(memory)))
    }

    fn is_too_long(&self, key: &ObjectKey) -> bool {
        key.as_str().len() as u64 > self.context.capabilities.max_object_name
    }

    fn stat_one(&self, key: &ObjectKey) -> Result<Option<Existing>, SinkError> {
        if self.is_too_long(key) {
            return Ok(None);
        }
        let failed =
            |failure: SwiftFailure| failure.into_sink(format!("cannot stat {key} in {}", self.context.container));
        let path = self.context.key(key.as_str());
        match self.context.client.send(Request::new(Method::HEAD, &path)) {
            Ok(answer) => Ok(Some(Existing { size: crate::http::length(&answer).map_err(failed)? })),
            Err(failure) if status(&failure) == Some(404) => Ok(None),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// A copy of a plain object by the server itself; of a large one, a second manifest of the same segments.
    fn copy_to(&self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SwiftFailure> {
        let (source, target) = (self.context.key(from.as_str()), self.context.key(to.as_str()));
        if let Some(segments) = manifest::get(&self.context.client, &source)? {
            // Among the backup's own, a copy only ever lies under the key that its own key tells.
            if !to.is_own() {
                self.context.note_moved(&segments)?;
            }
            manifest::put(&self.context.client, &target, &segments, false)?;
            return match manifest::compare(&segments, &manifest::read(&self.context.client, &target)?) {
                Ok(()) => Ok(()),
                Err(mismatch) => Err(SwiftFailure::Unread("the manifest was altered in transit", mismatch.into())),
            };
        }
        let head = self.context.client.send(Request::new(Method::HEAD, &source).header("X-Newest", "true"))?;
        let request = Request::new(Method::PUT, &target).header("X-Copy-From", source.as_str()).body(Body::None);
        self.context.client.send(request)?.why();
        let copied = self.context.client.send(Request::new(Method::HEAD, &target).header("X-Newest", "true"))?;
        if copied.etag() != head.etag() || crate::http::length(&copied)? != crate::http::length(&head)? {
            return Err(SwiftFailure::Protocol("the server made a copy that differs".to_owned()));
        }
        Ok(())
    }
}

/// Answers of a batch, or the failure that every other object would meet too.
fn whole<T, E>(
    answers: Vec<Result<T, E>>,
    lost: impl Fn(E) -> Result<E, SinkError>,
) -> Result<Vec<Result<T, E>>, SinkError> {
    answers.into_iter().map(|answer| answer.map_or_else(|error| lost(error).map(Err), |value| Ok(Ok(value)))).collect()
}

fn lost_sink(error: SinkError) -> Result<SinkError, SinkError> {
    if matches!(error.cause, Cause::Unavailable | Cause::Misconfigured) { Err(error) } else { Ok(error) }
}

fn lost_unstaged(error: Unstaged) -> Result<Unstaged, SinkError> {
    match error {
        Unstaged::Sink(error) => lost_sink(error).map(Unstaged::Sink),
        other => Ok(other),
    }
}

impl SinkSession for Session {
    fn root(&self) -> Option<String> {
        Some(self.context.container.clone())
    }

    fn algorithms(&self) -> &[Algorithm] {
        &[Algorithm::Md5]
    }

    fn evidence(&self) -> Evidence {
        self.context.evidence()
    }

    /// What the server tells of an object is one of the past: of what it once received.
    fn measure_evidence(&self) -> Evidence {
        Evidence::ReadBack
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        let mut answers = Vec::with_capacity(batch.len());
        for request in batch {
            answers.push(self.stage_one(request).map_or_else(|it| lost_unstaged(it).map(Err), |it| Ok(Ok(it)))?);
        }
        Ok(answers)
    }

    fn spared(&self) -> u64 {
        self.spared
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        let jobs: Vec<_> = batch.into_iter().map(|it| (self.waiting.remove(&it.staged.handle), it)).collect();
        whole(self.context.commit(jobs), lost_unstaged)
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        for staged in batch {
            if let Some(Waiting::Upload(upload)) = self.waiting.remove(&staged.handle) {
                let removed = upload.remove(&self.context);
                removed.map_err(|it| it.into_sink(format!("cannot remove the segments of {}", staged.key)))?;
            }
        }
        Ok(())
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        let this = &*self;
        let answers = parallel_map(keys.iter().collect(), this.context.requests, |it| this.stat_one(it));
        whole(answers, lost_sink)
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        let context = &self.context;
        let one = |key: &ObjectKey| context.read_back(key.as_str(), context.key(key.as_str()), wanted);
        whole(parallel_map(keys.iter().collect(), context.requests, one), lost_sink)
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        let failed = |it: SwiftFailure| it.into_sink(format!("cannot take the key {from} from what is at {to} now"));
        self.copy(from, to)?;
        container::remove(&self.context.client, &self.context.container, from.as_str()).map_err(failed)
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        Ok(Box::new(self.context.open(key.as_str(), self.context.key(key.as_str()))?))
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        let Context { client, container, .. } = &*self.context;
        let (prefix, here) = match which {
            Listing::Copies => (String::new(), false),
            Listing::Own(prefix) => (format!("{OWN}{prefix}"), true),
        };
        let mut failure = None;
        let listed = container::walk(client, container, &prefix, here, &mut |name, size| {
            let Some(size) = size else { return ControlFlow::Continue(()) };
            let is_folder = name.ends_with('/') && size == 0;
            if is_folder || here != name.starts_with(OWN) {
                return ControlFlow::Continue(());
            }
            if here {
                // Listings lag behind: what was removed may still be listed.
                match ObjectKey::new(name).map_or(Ok(None), |it| self.stat_one(&it)) {
                    Ok(Some(_)) => {}
                    Ok(None) => return ControlFlow::Continue(()),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            visit(Ok(Listed { name: name.to_owned(), size }))
        });
        listed.map_err(|it| it.into_sink(format!("cannot list what lies in {container}")))?;
        failure.map_or(Ok(()), Err)
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        if !key.is_own() {
            return Err(SinkError::new(Cause::Refused, format!("{key} is a copy, which is never removed")));
        }
        let failed = |it: SwiftFailure| it.into_sink(format!("cannot remove {key} from {}", self.context.container));
        let path = self.context.key(key.as_str());
        let head = self.context.client.send(Request::new(Method::HEAD, &path)).map_err(failed)?;
        // Segments of an own object belong to it alone: it is never renamed.
        let query = if manifest::is_large(&head) { "?multipart-manifest=delete" } else { "" };
        self.context.client.send(Request::new(Method::DELETE, &path).query(query)).map_err(failed)?.why();
        Ok(())
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        let segments = self.context.segments();
        sweep::sweep(&self.context, is_dead).map_err(|failure| match failure.cause() {
            // Then large objects can neither be stored nor read.
            Cause::Forbidden => {
                let size = self.context.limits.segment;
                let attempt = format!(
                    "container {segments} may not be read, where objects of more than {size} bytes have their segments; make \
                     it, and give this user the right to read and to write it"
                );
                SinkError::because(Cause::Misconfigured, attempt, failure)
            }
            _ => failure.into_sink(format!("cannot remove what dead runs left in {segments}")),
        })
    }
}

impl ObjectSession for Session {
    fn copy(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        // A copy by the server knows no condition on its target; the ledger's lock keeps other runs out.
        if self.stat_one(to)?.is_some() {
            return Err(SinkError::new(Cause::Exists, format!("something already exists at {to}")));
        }
        self.copy_to(from, to).map_err(|it| it.into_sink(format!("cannot give the copy at {from} the key {to}")))
    }

    /// Marks go with their uploads.
    fn cleanup(&mut self) {}
}
