//! One read of the source for several destinations that need the same object at the same time.
//!
//! The destinations of a run carry the same batch side by side. Each says what it is about to store; what several of
//! them want is then read once, hashed once, and handed to each at the pace of the slowest.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_storage::{Cause, Location, Payload, PayloadError, Source, SourceError};

use crate::source::payload::{NotSent, Reading, read_error};

/// Bytes in one piece.
const PIECE: usize = 1 << 18;
/// Pieces that wait for a slower destination.
const AHEAD: usize = 8;
/// How long a destination waits for the others to say what they want; then everybody reads alone.
const PATIENCE: Duration = Duration::from_secs(10);

/// An object of a store, by who holds it and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted(String);

impl Wanted {
    pub(crate) fn new(source: &Arc<dyn Source>, at: &Location) -> Self {
        // The address tells two stores apart; both live as long as the run.
        Self(format!("{:p} {at:?}", Arc::as_ptr(source)))
    }
}

/// The reads of one batch.
pub(crate) struct Share {
    dests: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Destinations that have said what they want, or have left.
    said: Vec<usize>,
    /// Too late for sharing: somebody waited too long.
    closed: bool,
    wanted: HashMap<Wanted, Want>,
}

#[derive(Default)]
struct Want {
    algorithms: Vec<Algorithm>,
    dests: Vec<usize>,
    /// What each destination's payload will receive, until it takes it.
    receivers: HashMap<usize, Receiver<Piece>>,
    pump: Option<Pump>,
}

/// What travels from the one who reads to those who store.
#[derive(Clone)]
enum Piece {
    Opened(u64),
    Bytes(Arc<[u8]>),
    End(Measured),
    Failed(Cause, String),
}

impl Share {
    pub(crate) fn new(dests: usize) -> Self {
        Self { dests, state: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what one destination is about to store, and waits for the others to say it. Only the first call of each
    /// counts: what is tried again is read alone.
    pub(crate) fn say(&self, dest: usize, wants: Vec<(Wanted, Vec<Algorithm>)>) {
        let mut state = self.lock();
        if state.closed || state.said.contains(&dest) {
            return;
        }
        state.said.push(dest);
        for (wanted, algorithms) in wants {
            let want = state.wanted.entry(wanted).or_default();
            want.algorithms.extend(algorithms);
            want.dests.push(dest);
        }
        self.changed.notify_all();
        let until = Instant::now() + PATIENCE;
        while state.said.len() < self.dests && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.closed = true;
                state.wanted.clear();
                self.changed.notify_all();
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One destination is done with the batch, or has given it up: nobody waits for it any more.
    pub(crate) fn leave(&self, dest: usize) {
        let mut state = self.lock();
        if !state.said.contains(&dest) {
            state.said.push(dest);
        }
        for want in state.wanted.values_mut() {
            want.receivers.remove(&dest);
            want.dests.retain(|it| *it != dest);
        }
        self.changed.notify_all();
    }

    /// The payload of an object that another destination wants too; `None` where it is to be read alone.
    pub(crate) fn payload(
        &self,
        dest: usize,
        source: &Arc<dyn Source>,
        at: &Location,
        size_hint: u64,
        reading: &Reading,
    ) -> Option<SharedPayload> {
        let mut state = self.lock();
        let want = state.wanted.get_mut(&Wanted::new(source, at))?;
        if want.pump.is_none() {
            if want.dests.len() < 2 || !want.dests.contains(&dest) {
                return None;
            }
            let (senders, receivers): (Vec<_>, HashMap<_, _>) = want
                .dests
                .iter()
                .map(|dest| {
                    let (sender, receiver) = sync_channel(AHEAD);
                    (sender, (*dest, receiver))
                })
                .unzip();
            want.receivers = receivers;
            want.pump = Some(Pump(Arc::new(Mutex::new(Some(Reader {
                source: Arc::clone(source),
                at: at.clone(),
                algorithms: std::mem::take(&mut want.algorithms),
                senders,
            })))));
        }
        let receiver = want.receivers.remove(&dest)?;
        let pump = want.pump.clone()?;
        Some(SharedPayload {
            pump,
            receiver,
            reading: reading.clone(),
            not_sent: NotSent::default(),
            size_hint,
            promised: None,
            piece: None,
            measured: None,
        })
    }
}

/// Reads when the first payload is opened.
#[derive(Clone)]
struct Pump(Arc<Mutex<Option<Reader>>>);

impl Pump {
    fn start(&self) {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            // It ends with the object, or when nobody listens any more.
            thread::spawn(move || reader.run());
        }
    }
}

struct Reader {
    source: Arc<dyn Source>,
    at: Location,
    algorithms: Vec<Algorithm>,
    senders: Vec<SyncSender<Piece>>,
}

impl Reader {
    fn run(mut self) {
        let end = match self.pump() {
            Ok(measured) => Piece::End(measured),
            Err(error) => Piece::Failed(error.cause, error.chain()),
        };
        self.send(&end);
    }

    fn pump(&mut self) -> Result<Measured, SourceError> {
        let object = self.source.open(&self.at)?;
        self.send(&Piece::Opened(object.size));
        let (mut body, mut hasher) = (object.body, Hasher::new(&self.algorithms));
        let mut buffer = vec![0; PIECE];
        while !self.senders.is_empty() {
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    self.send(&Piece::Bytes(buffer[..n].into()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(self.source.as_ref(), &self.at, error)),
            }
        }
        Ok(hasher.finish())
    }

    /// To all who still listen.
    fn send(&mut self, piece: &Piece) {
        self.senders.retain(|it| it.send(piece.clone()).is_ok());
    }
}

/// One destination's end of a shared read.
pub(crate) struct SharedPayload {
    pump: Pump,
    receiver: Receiver<Piece>,
    reading: Reading,
    not_sent: NotSent,
    size_hint: u64,
    promised: Option<u64>,
    piece: Option<(Arc<[u8]>, usize)>,
    measured: Option<Measured>,
}

impl SharedPayload {
    fn receive(&self) -> Result<Piece, PayloadError> {
        loop {
            if !self.reading.stop.may_go_on() {
                return Err(PayloadError::Stopped);
            }
            match self.receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(Piece::Failed(cause, why)) => return Err(SourceError::new(cause, why).into()),
                Ok(piece) => return Ok(piece),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(SourceError::new(Cause::Transient, "the shared read of it was given up").into());
                }
            }
        }
    }
}

impl Payload for SharedPayload {
    fn size_hint(&self) -> u64 {
        self.size_hint
    }

    fn promised(&self) -> Option<u64> {
        self.promised
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        if !self.reading.stop.may_begin() {
            return Err(PayloadError::Stopped);
        }
        self.pump.start();
        if let Piece::Opened(size) = self.receive()? {
            self.size_hint = size;
            self.promised = Some(size);
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if self.measured.is_some() {
            return Ok(0);
        }
        let (piece, at) = match self.piece.take() {
            Some(it) => it,
            None => match self.receive()? {
                Piece::Bytes(piece) => (piece, 0),
                Piece::End(measured) => {
                    self.measured = Some(measured);
                    return Ok(0);
                }
                Piece::Opened(_) | Piece::Failed(..) => return self.read(buffer),
            },
        };
        let n = buffer.len().min(piece.len() - at);
        buffer[..n].copy_from_slice(&piece[at..at + n]);
        if at + n < piece.len() {
            self.piece = Some((piece, at + n));
        }
        self.reading.passed_of_which_sent(n, self.not_sent.sent_of(n));
        Ok(n)
    }

    fn not_sent(&mut self, there: Vec<Range<u64>>) {
        self.not_sent.set(there);
    }

    fn finish(self: Box<Self>) -> Measured {
        // A payload is finished after its end, which came with what was measured.
        self.measured.unwrap_or_else(|| Hasher::new(&[]).finish())
    }
}
