//! The bytes of an object of a store, hashed while they are read, at a limited rate, until told to stop.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_storage::{Cause, Location, Payload, PayloadError, Source, SourceError};

use crate::command::cancel::CancelToken;
use crate::command::waits::Wait;

/// What all payloads of a run share.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) stop: CancelToken,
    /// Bytes read so far, by all.
    pub(crate) bytes: Arc<AtomicU64>,
    pub(crate) rate: Option<Arc<RateLimit>>,
}

impl Reading {
    /// At any rate that is not `limit`ed, in bytes a second.
    pub(crate) fn new(stop: &CancelToken, limit: Option<u64>) -> Self {
        let rate = limit.map(|it| Arc::new(RateLimit::new(it)));
        Self { stop: stop.clone(), bytes: Arc::default(), rate }
    }

    /// As long as `stop` lets it, by the lowest of these limits, and counting for itself.
    pub(crate) fn at_the_lowest_rate<'a>(all: impl Iterator<Item = &'a Self>, stop: &CancelToken) -> Self {
        let rates = all.filter_map(|it| it.rate.as_ref());
        let rate = rates.min_by(|a, b| a.bytes_per_second.total_cmp(&b.bytes_per_second)).cloned();
        Self { rate, ..Self::new(stop, None) }
    }

    /// Bytes were read: counts them, and waits while they are too many.
    pub(crate) fn passed(&self, n: usize) {
        self.passed_of_which_sent(n, n);
    }

    /// The same where only so many of them count for the rate: the others are at the destination already.
    pub(crate) fn passed_of_which_sent(&self, n: usize, sent: usize) {
        if let Some(rate) = self.rate.as_ref().filter(|_| sent > 0) {
            rate.wait(sent, &self.stop);
        }
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Which bytes of a payload are at the destination already, and how far it was read.
#[derive(Default)]
pub(crate) struct NotSent {
    read: u64,
    there: Vec<Range<u64>>,
}

impl NotSent {
    pub(crate) fn set(&mut self, there: Vec<Range<u64>>) {
        self.there = there;
    }

    /// `n` bytes were read: how many of them are to be sent.
    pub(crate) fn sent_of(&mut self, n: usize) -> usize {
        let (start, end) = (self.read, self.read + n as u64);
        self.read = end;
        let there = |it: &Range<u64>| end.min(it.end).saturating_sub(start.max(it.start));
        let spared = usize::try_from(self.there.iter().map(there).sum::<u64>()).unwrap_or(n);
        n.saturating_sub(spared)
    }
}

/// A budget of bytes a second, shared by all workers.
pub(crate) struct RateLimit {
    bytes_per_second: f64,
    /// When everything that was let through so far would have passed at the limit.
    free_at: Mutex<Instant>,
}

impl RateLimit {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        // A cast of a rate: a rounding error of a byte in 2^52 does no harm.
        #[allow(clippy::cast_precision_loss)]
        Self { bytes_per_second: bytes_per_second.max(1) as f64, free_at: Mutex::new(Instant::now()) }
    }

    pub(crate) fn wait(&self, bytes: usize, stop: &CancelToken) {
        #[allow(clippy::cast_precision_loss)]
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let now = Instant::now();
        let mine = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(now) + takes;
            *free_at
        };
        stop.sleep(mine.saturating_duration_since(now));
    }
}

/// One object of a store as a payload.
pub(crate) struct ObjectPayload {
    source: Arc<dyn Source>,
    at: Location,
    size_hint: u64,
    reading: Reading,
    not_sent: NotSent,
    hasher: Hasher,
    body: Option<Box<dyn Read + Send>>,
}

impl ObjectPayload {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        at: Location,
        size_hint: u64,
        algorithms: &[Algorithm],
        reading: Reading,
    ) -> Self {
        Self {
            source,
            at,
            size_hint,
            reading,
            not_sent: NotSent::default(),
            hasher: Hasher::new(algorithms),
            body: None,
        }
    }

    /// Reads everything, keeping only size and digests.
    pub(crate) fn measure(mut self) -> Result<Measured, PayloadError> {
        self.open()?;
        let mut buffer = vec![0; 1 << 18];
        while self.read(&mut buffer)? > 0 {}
        Ok(self.hasher.finish())
    }
}

impl ObjectPayload {
    fn waits(&self) -> Wait {
        let (source, object) = (Arc::clone(&self.source), self.at.object.clone());
        self.reading.stop.waits(move || format!("{object} of store {}", source.describe()))
    }
}

/// What an error of reading an object means.
pub(crate) fn read_error(source: &dyn Source, at: &Location, error: io::Error) -> SourceError {
    let cause = match error.kind() {
        io::ErrorKind::NotFound => Cause::Missing,
        io::ErrorKind::PermissionDenied => Cause::Forbidden,
        io::ErrorKind::TimedOut
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::StaleNetworkFileHandle => Cause::Transient,
        _ => Cause::Io,
    };
    let attempt = format!("reading {} of {} failed", at.object, source.describe());
    SourceError::because(cause, attempt, error)
}

impl Payload for ObjectPayload {
    fn size_hint(&self) -> u64 {
        self.size_hint
    }

    fn promised(&self) -> Option<u64> {
        self.body.is_some().then_some(self.size_hint)
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        if !self.reading.stop.may_begin() {
            return Err(PayloadError::Stopped);
        }
        let wait = self.waits();
        let object = self.source.open(&self.at)?;
        drop(wait);
        self.size_hint = object.size;
        self.body = Some(object.body);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if !self.reading.stop.may_go_on() {
            return Err(PayloadError::Stopped);
        }
        let wait = self.waits();
        let Some(body) = &mut self.body else { return Ok(0) };
        let n = loop {
            match body.read(buffer) {
                Ok(n) => break n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(self.source.as_ref(), &self.at, error).into()),
            }
        };
        drop(wait);
        if n == 0 {
            // A batch may hold hundreds of objects: their handles must not wait for its end.
            self.body = None;
            return Ok(0);
        }
        self.hasher.update(&buffer[..n]);
        self.reading.passed_of_which_sent(n, self.not_sent.sent_of(n));
        Ok(n)
    }

    fn not_sent(&mut self, there: Vec<Range<u64>>) {
        self.not_sent.set(there);
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_that_are_not_sent_are_free_of_the_limit() {
        let mut not_sent = NotSent::default();
        assert_eq!(not_sent.sent_of(10), 10);
        not_sent.set(vec![12..20, 30..31]);
        assert_eq!((not_sent.sent_of(4), not_sent.sent_of(6), not_sent.sent_of(20)), (2, 0, 19));
        not_sent.set(Vec::new());
        assert_eq!(not_sent.sent_of(5), 5);
        let rate = Arc::new(RateLimit::new(1));
        let reading = Reading { stop: CancelToken::new(), bytes: Arc::default(), rate: Some(Arc::clone(&rate)) };
        let free_at = *rate.free_at.lock().unwrap();
        // A month at this rate.
        reading.passed_of_which_sent(3_000_000, 0);
        assert_eq!(*rate.free_at.lock().unwrap(), free_at);
        assert_eq!(reading.bytes.load(Ordering::Relaxed), 3_000_000, "it was read all the same");
    }
}
