//! Storing a batch where nobody looks: small objects wait in memory, large ones become multipart uploads whose parts
//! are sent while the next bytes are read.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

use dvb_fixity::Measured;
use dvb_storage::{Payload, PayloadError, Reservation, SinkError, StageRequest, Unstaged};

use crate::journal::Journal;
use crate::left::Parts;
use crate::probe::Capabilities;
use crate::sink::Shared;
use crate::upload::{self, Part, PartFailure};

/// An object on its way.
pub(crate) enum Pending {
    /// It waits in memory, to be sent by one PUT.
    Held(Reservation),
    /// Its parts are there.
    Uploaded { id: String, parts: Vec<Part> },
}

/// What staging takes from the session.
pub(crate) struct Stage<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) capabilities: Capabilities,
    pub(crate) journal: &'a Journal,
    /// Keys of the batch at the service.
    pub(crate) keys: &'a [String],
    /// Bytes that need not be sent.
    pub(crate) spared: &'a AtomicU64,
}

/// A multipart upload that is being filled.
struct Uploading<'a> {
    key: &'a str,
    /// Made by whoever sends the first part; the others wait for it.
    id: Mutex<Option<String>>,
    /// Where the upload was begun by an earlier run, its id, until it is taken.
    begun: Mutex<Option<String>>,
    /// What was there before.
    there: Parts,
    /// A part that is there is another one: the object has changed, and no other is likely to be spared.
    differs: AtomicBool,
    parts: Mutex<Vec<Part>>,
    failure: Mutex<Option<PartFailure>>,
    has_failed: AtomicBool,
}

struct PartToSend<'a> {
    upload: Arc<Uploading<'a>>,
    number: u32,
    memory: Reservation,
}

/// How far reading an object came.
enum Reading<'a> {
    Held(Measured, Reservation),
    Uploading(Measured, Arc<Uploading<'a>>),
    Broken(Unstaged, Option<Arc<Uploading<'a>>>),
}

/// What becomes of a request: the object's measure and whereabouts.
pub(crate) type StageAnswer = Result<(Measured, Pending), Unstaged>;

impl<'a> Stage<'a> {
    /// Reads all payloads in order; sends parts meanwhile.
    pub(crate) fn run(&self, batch: Vec<StageRequest>) -> Result<Vec<StageAnswer>, SinkError> {
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        let readings: Vec<Reading<'a>> = thread::scope(|scope| {
            let mut crew = Crew { stage: self, scope, sender, receiver: &receiver, workers: 0 };
            batch.into_iter().zip(self.keys).map(|(request, key)| crew.read(request.payload, key)).collect()
        });
        let mut lost = None;
        let answers = readings.into_iter().map(|it| self.settle(it, &mut lost)).collect();
        match lost {
            Some(error) => Err(error),
            None => Ok(answers),
        }
    }

    /// Everything was sent or has failed.
    fn settle(&self, reading: Reading<'a>, lost: &mut Option<SinkError>) -> StageAnswer {
        let (measured, upload) = match reading {
            Reading::Held(measured, memory) => return Ok((measured, Pending::Held(memory))),
            Reading::Uploading(measured, upload) => (Ok(measured), Some(upload)),
            Reading::Broken(why, upload) => (Err(why), upload),
        };
        let Some(upload) = upload.map(|it| it.into_parts()) else {
            return Err(measured.err().unwrap_or(PayloadError::Stopped.into()));
        };
        let (key, id, parts, failure) = upload;
        let error = match (measured, failure, id) {
            (Ok(measured), None, Some(id)) => return Ok((measured, Pending::Uploaded { id, parts })),
            // A later run may go on with it; the sweep finds out whether that is worth it.
            (Err(why @ Unstaged::Payload(PayloadError::Stopped)), None, _) => (why, None),
            (Err(why), None, id) => (why, id),
            (_, Some(PartFailure::Mismatch(it)), id) => (it.into(), id),
            (_, Some(PartFailure::Fault(fault)), id) => {
                let is_lost = fault.is_lost();
                let error = fault.sink(format!("cannot upload {key} to {}", self.shared.describe()));
                if is_lost {
                    // Nothing more can be said there; a later sweep finds the upload.
                    let gone = SinkError { cause: error.cause, attempt: error.chain(), source: None };
                    lost.get_or_insert(gone);
                    (error.into(), None)
                } else {
                    (error.into(), id)
                }
            }
            (Ok(_), None, None) => (PayloadError::Stopped.into(), None),
        };
        if let Some(id) = error.1 {
            self.journal.abort(key, &id);
        }
        Err(error.0)
    }

    fn work(&self, receiver: &Mutex<Receiver<PartToSend<'a>>>) {
        loop {
            let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(PartToSend { upload, number, memory }) = job else { return };
            if upload.has_failed.load(Ordering::Relaxed) {
                continue;
            }
            match self.send(&upload, number, &memory.buffer) {
                Ok(part) => upload.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part),
                Err(failure) => {
                    upload.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                    upload.has_failed.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn send(&self, upload: &Uploading<'a>, number: u32, bytes: &[u8]) -> Result<Part, PartFailure> {
        let id = {
            let mut id = upload.id.lock().unwrap_or_else(PoisonError::into_inner);
            match &*id {
                Some(it) => it.clone(),
                None => {
                    self.journal.announce(self.keys)?;
                    let begun = upload.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let new = match begun {
                        Some(id) => id,
                        None => upload::create(self.shared, self.capabilities, upload.key)?,
                    };
                    self.journal.opened(upload.key);
                    id.insert(new).clone()
                }
            }
        };
        if let Some(there) = upload.there.get(&number) {
            if let Some(part) = there.if_it_is(self.capabilities, number, bytes) {
                self.spared.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                return Ok(part);
            }
            upload.differs.store(true, Ordering::Relaxed);
        }
        upload::send_part(self.shared, self.capabilities, upload.key, &id, number, bytes).map_err(|failure| {
            match failure {
                PartFailure::Fault(fault) => self.shared.refused_part(fault, bytes.len()).into(),
                mismatch @ PartFailure::Mismatch(_) => mismatch,
            }
        })
    }
}

impl<'a> Uploading<'a> {
    fn new(key: &'a str, left: Option<(String, Parts)>) -> Self {
        let (begun, there) = left.unzip();
        Self {
            key,
            id: Mutex::default(),
            begun: Mutex::new(begun),
            there: there.unwrap_or_default(),
            differs: AtomicBool::new(false),
            parts: Mutex::default(),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    #[allow(clippy::type_complexity)]
    fn into_parts(self: Arc<Self>) -> (&'a str, Option<String>, Vec<Part>, Option<PartFailure>) {
        let take = |it: &Mutex<Vec<Part>>| std::mem::take(&mut *it.lock().unwrap_or_else(PoisonError::into_inner));
        let mut parts = take(&self.parts);
        parts.sort_by_key(|it| it.number);
        let id = self.id.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        (self.key, id, parts, failure)
    }
}

/// The reader, with as many senders as there is work for.
struct Crew<'scope, 'env, 'a> {
    stage: &'env Stage<'a>,
    scope: &'scope Scope<'scope, 'env>,
    sender: Sender<PartToSend<'a>>,
    receiver: &'env Mutex<Receiver<PartToSend<'a>>>,
    workers: usize,
}

impl<'scope, 'env, 'a> Crew<'scope, 'env, 'a>
where
    'a: 'scope,
{
    fn read(&mut self, mut payload: Box<dyn Payload>, key: &'a str) -> Reading<'a> {
        let shared = self.stage.shared;
        let mut start = Vec::new();
        let single_put = shared.config.single_put.min(shared.largest.put());
        let mut left = None;
        let opened = payload.open().and_then(|()| {
            let hint = payload.size_hint();
            if hint > single_put {
                left = shared.left.take(shared, key);
                payload.not_sent(left.iter().flat_map(|it| ranges(&it.1, shared.part_size(), hint)).collect());
            }
            // One byte more than may be held shows that there is more. Most objects need much less room.
            let most = single_put + 1;
            let likely = hint.saturating_add(1).min(most);
            fill(payload.as_mut(), &mut start, likely)?;
            if start.len() as u64 == likely { fill(payload.as_mut(), &mut start, most) } else { Ok(()) }
        });
        if let Err(error) = opened {
            return Reading::Broken(error.into(), None);
        }
        if start.len() as u64 <= single_put {
            start.shrink_to_fit();
            if let Some(mut memory) = shared.held.try_reserve(start.len() as u64) {
                memory.buffer = start;
                return Reading::Held(payload.finish(), memory);
            }
        }
        let left = left.or_else(|| shared.left.take(shared, key));
        let upload = Arc::new(Uploading::new(key, left));
        match self.read_parts(payload.as_mut(), start, &upload) {
            Ok(()) => Reading::Uploading(payload.finish(), upload),
            Err(error) => Reading::Broken(error.into(), Some(upload)),
        }
    }

    /// Cuts what is left, after `start`, into parts.
    fn read_parts(
        &mut self,
        payload: &mut dyn Payload,
        start: Vec<u8>,
        upload: &Arc<Uploading<'a>>,
    ) -> Result<(), PayloadError> {
        let shared = self.stage.shared;
        let hint = payload.size_hint();
        let mut left = &start[..];
        for number in 1.. {
            let size = upload::part_size(shared.part_size(), hint, number);
            let mut memory = shared.parts.wait(size);
            let taken = left.len().min(usize::try_from(size).unwrap_or(usize::MAX));
            memory.buffer.extend_from_slice(&left[..taken]);
            left = &left[taken..];
            if upload.differs.load(Ordering::Relaxed) {
                payload.not_sent(Vec::new());
            }
            fill(payload, &mut memory.buffer, size)?;
            let is_last = (memory.buffer.len() as u64) < size;
            if (memory.buffer.is_empty() && number > 1) || upload.has_failed.load(Ordering::Relaxed) {
                break;
            }
            self.hand_over(PartToSend { upload: Arc::clone(upload), number, memory });
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, job: PartToSend<'a>) {
        if self.workers < self.stage.shared.config.parallel.max(1) {
            let (stage, receiver) = (self.stage, self.receiver);
            self.scope.spawn(move || stage.work(receiver));
            self.workers += 1;
        }
        // The receiver lives longer than the crew.
        let _ = self.sender.send(job);
    }
}

/// The bytes of an object of `hint` bytes that are in these parts.
fn ranges(there: &Parts, configured: u64, hint: u64) -> Vec<Range<u64>> {
    let (mut at, mut ranges) = (0, Vec::new());
    for number in 1..=there.keys().next_back().copied().unwrap_or(0) {
        let end = (at + upload::part_size(configured, hint, number)).min(hint);
        if there.get(&number).is_some_and(|it| it.size == end - at) {
            ranges.push(at..end);
        }
        at = end;
    }
    ranges
}

/// Reads until the buffer has `size` bytes or the payload has ended.
fn fill(payload: &mut dyn Payload, buffer: &mut Vec<u8>, size: u64) -> Result<(), PayloadError> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut at = buffer.len();
    // In steps: most objects are much smaller than what they may have.
    while at < size {
        let step = (at + (64 << 10)).min(size);
        if buffer.len() < step {
            buffer.resize(step, 0);
        }
        match payload.read(&mut buffer[at..step])? {
            0 => break,
            n => at += n,
        }
    }
    buffer.truncate(at);
    Ok(())
}
