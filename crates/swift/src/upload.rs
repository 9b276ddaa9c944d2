//! Storing an object as segments that no manifest names yet.

use std::io::{self, Read};

use dvb_fixity::{Algorithm, Digest, Measured, Mismatch};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{CONTINUED_FROM, Cause, PayloadError, SinkError, Unstaged, parallel_map};
use ureq::http::Method;

use crate::client::{Body, Request};
use crate::container::{self, ListedObject};
use crate::context::{Context, folder, mark};
use crate::error::SwiftFailure;
use crate::left::{Inscription, UnfinishedObject};
use crate::manifest::Segment;
use crate::path::Path;
use crate::segmenter::Segmenter;

/// A large object whose segments are being stored, or are.
#[derive(Debug)]
pub(crate) struct Upload {
    run: RunId,
    name: String,
    pub(crate) segments: Vec<Segment>,
    /// Bytes of those that were there already.
    pub(crate) spared: u64,
    /// Whether each segment was compared with an MD5 of its own; if not, there is one, and the whole object's is its.
    compared: bool,
}

impl Upload {
    /// Stores everything that the segmenter gives, or what of it is not there yet. What fails leaves nothing; what was stopped,
    /// something to go on with.
    pub(crate) fn store(
        context: &Context,
        (run, name, key): (&RunId, String, &ObjectKey),
        segmenter: &mut Segmenter<'_>,
        size: u64,
        promised: Option<u64>,
    ) -> Result<Self, Unstaged> {
        let failed = |failure: SwiftFailure| {
            failure.into_sink(format!("cannot begin to store a large object in {}", context.segments()))
        };
        if context.capabilities.large.is_none() {
            let why = "the server has no static large objects (slo), which an object of this size needs";
            return Err(failed(SwiftFailure::Protocol(why.to_owned())).into());
        }
        container::ensure(&context.client, &context.segments()).map_err(failed)?;
        let (mut upload, there) = match context.left.take(key, size) {
            // Under the names that it has: the mark there is good for the rest too.
            Some(UnfinishedObject { run, name, segments, .. }) => (Self::new(run, name), segments),
            None => {
                let upload = Self::new(run.clone(), name);
                let path = Path::object(&context.segments(), &mark(run, &upload.name));
                let inscription = Inscription::new(key, size).text();
                let request = Request::new(Method::PUT, &path).body(Body::Bytes(&inscription));
                context.client.send(request).map_err(failed)?.why();
                (upload, Vec::new())
            }
        };
        let stored = upload.store_segments(context, segmenter, size, promised, &there);
        let is_stopped = matches!(stored, Err(Unstaged::Payload(PayloadError::Stopped)));
        if stored.is_err() && !(is_stopped && upload.is_worth_going_on(context)) {
            // Its own failure is no news beside the one at hand; a later run sweeps what is left.
            let _ = upload.remove(context);
        }
        stored.map(|()| upload)
    }

    fn new(run: RunId, name: String) -> Self {
        Self { run, name, segments: Vec::new(), spared: 0, compared: true }
    }

    fn is_worth_going_on(&self, context: &Context) -> bool {
        context.continues && self.segments.iter().map(|it| it.bytes).sum::<u64>() >= CONTINUED_FROM
    }

    fn store_segments(
        &mut self,
        context: &Context,
        segmenter: &mut Segmenter<'_>,
        size: u64,
        promised: Option<u64>,
        there: &[ListedObject],
    ) -> Result<(), Unstaged> {
        let cut = context.capabilities.segment(context.limits.segment, size);
        // The payload computes the MD5 of the whole: where that is one segment, it is not computed twice.
        self.compared = size > cut;
        let cut = if self.compared { cut } else { context.capabilities.max_file_size };
        while segmenter.has_more()? {
            if self.segments.len() == 1 && !self.compared {
                let why = "an object grew while it was read".to_owned();
                return Err(SinkError::new(dvb_storage::Cause::Transient, why).into());
            }
            let stored: u64 = self.segments.iter().map(|it| it.bytes).sum();
            // Behind all that was promised more may come, nobody knows how much.
            let left = promised.map(|it| it.saturating_sub(stored).min(cut)).filter(|it| *it > 0);
            match there.get(self.segments.len()).filter(|it| self.compared && it.bytes == left.unwrap_or(cut)) {
                Some(row) => self.pass_over(context, segmenter, row)?,
                None => self.store_segment(context, segmenter, cut, left)?,
            }
        }
        Ok(())
    }

    /// Reads a segment that is there. If it is another one now, the object changed meanwhile, and is stored anew.
    fn pass_over(
        &mut self,
        context: &Context,
        segmenter: &mut Segmenter<'_>,
        there: &ListedObject,
    ) -> Result<(), Unstaged> {
        let mut segment = segmenter.segment(there.bytes, Some(there.bytes), true);
        let read = io::copy(&mut segment, &mut io::sink());
        let (bytes, own) = segment.finish();
        if let Some(error) = segmenter.take_error() {
            return Err(error.into());
        }
        let doing = |it: io::Error| SinkError::because(Cause::Io, "cannot read what a segment is compared with", it);
        read.map_err(doing)?;
        match (own, there.hash.parse::<Digest>()) {
            (Some(own), Ok(found)) if own == found => {
                let name = format!("/{}/{}", context.segments(), self.next_segment());
                self.segments.push(Segment { name, digest: found, bytes });
                self.spared += bytes;
                Ok(())
            }
            (Some(expected), Ok(found)) => Err(Mismatch::Digest { expected, found }.into()),
            _ => Err(SinkError::new(Cause::Transient, "the server does not report the digest of a segment").into()),
        }
    }

    fn store_segment(
        &mut self,
        context: &Context,
        segmenter: &mut Segmenter<'_>,
        cut: u64,
        length: Option<u64>,
    ) -> Result<(), Unstaged> {
        let name = self.next_segment();
        let path = Path::object(&context.segments(), &name);
        let mut segment = segmenter.segment(cut, length, self.compared);
        let request = Request::new(Method::PUT, &path).header("Content-Type", "application/octet-stream");
        let answer = context.client.send(request.body(Body::Stream(&mut segment as &mut dyn Read, length)));
        let (bytes, own) = segment.finish();
        // A payload that failed broke the connection, not the other way round.
        if let Some(error) = segmenter.take_error() {
            return Err(error.into());
        }
        let doing =
            |failure: SwiftFailure| failure.into_sink(format!("cannot store a segment in {}", context.segments()));
        let mut answer = answer.map_err(doing)?;
        let found: Option<Digest> = answer.etag().and_then(|it| it.parse().ok());
        let found =
            found.ok_or_else(|| doing(SwiftFailure::Protocol("the server gave no etag for a segment".to_owned())))?;
        answer.why();
        self.segments.push(Segment { name: format!("/{}/{name}", context.segments()), digest: found.clone(), bytes });
        match own {
            Some(expected) if expected != found => Err(Mismatch::Digest { expected, found }.into()),
            _ => Ok(()),
        }
    }

    fn next_segment(&self) -> String {
        format!("{}{:08}", folder(&self.run.0, &self.name), self.segments.len() + 1)
    }

    /// What the server said of the segments when they were stored, compared with all that was read.
    pub(crate) fn compare(&self, measured: &Measured) -> Result<(), Mismatch> {
        let bytes = self.segments.iter().map(|it| it.bytes).sum();
        if bytes != measured.size {
            return Err(Mismatch::Size { expected: measured.size, found: bytes });
        }
        let [only] = self.segments.as_slice() else { return Ok(()) };
        match measured.digest(Algorithm::Md5) {
            Some(expected) if *expected == only.digest => Ok(()),
            Some(expected) => Err(Mismatch::Digest { expected: expected.clone(), found: only.digest.clone() }),
            None if self.compared => Ok(()),
            None => Err(Mismatch::Incomparable { found: only.digest.clone() }),
        }
    }

    /// Removes the mark: from now on no sweep knows of the segments, and a manifest may name them.
    pub(crate) fn unmark(&self, context: &Context) -> Result<(), SwiftFailure> {
        container::remove(&context.client, &context.segments(), &mark(&self.run, &self.name))
    }

    /// Removes the segments, then the mark.
    pub(crate) fn remove(&self, context: &Context) -> Result<(), SwiftFailure> {
        let prefix = format!("/{}/", context.segments());
        let known = self.segments.iter().map(|it| it.name.strip_prefix(&prefix).unwrap_or(&it.name).to_owned());
        // One whose answer was lost may be there too.
        remove(context, &self.run, &self.name, known.chain([self.next_segment()]).collect())
    }
}

/// Removes segments of a large object that no manifest names, then its mark.
pub(crate) fn remove(context: &Context, run: &RunId, name: &str, segments: Vec<String>) -> Result<(), SwiftFailure> {
    let one = |it: String| container::remove(&context.client, &context.segments(), &it);
    parallel_map(segments, context.requests, one).into_iter().collect::<Result<(), _>>()?;
    container::remove(&context.client, &context.segments(), &mark(run, name))
}
