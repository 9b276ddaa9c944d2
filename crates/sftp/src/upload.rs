//! Stores a batch under temporary names: opening, writing, flushing and closing of many files overlap.

use std::time::Duration;

use dvb_fixity::Measured;
use dvb_storage::{CONTINUED_FROM, Next, Payload, PayloadError, ReadAhead, StageRequest, fill};

use crate::client::{Client, Feed, Ticket, Work, done};
use crate::error::Fault;
use crate::opening::Opening;
use crate::wire::{self, Malformed, Reply, Request, Room, Status};

/// Larger payloads are read on a thread of their own.
const LARGE: u64 = 4 * 1024 * 1024;
/// How long to wait for a slow source before the connection is looked after again.
const SOURCE_SLICE: Duration = Duration::from_millis(20);
/// The least that is asked of a payload at once: it may be larger than its hint.
const LEAST: u64 = 4096;
/// Bytes of the objects that are under way, from OPEN to the answer to CLOSE. OpenSSH's `sftp-server` takes in 16 KiB for
/// each request that it answers: behind many OPENs, WRITEs would pile up in a buffer that it copies whole whenever it
/// grows. Each object takes two round trips, so that this limits a session to a MiB a round trip.
const UNDER_WAY: u64 = 2 << 20;

const OPEN: u8 = 0;
const WRITE: u8 = 1;
const FLUSH: u8 = 2;
const CLOSE: u8 = 3;
const ROOM: u8 = 4;
const REMOVE: u8 = 5;

/// Why an object could not be stored.
pub(crate) enum Failure {
    Payload(PayloadError),
    /// What was attempted, the server's words, and its room, where it tells.
    Refused(&'static str, Status, Option<Room>),
    /// The run is stopped, and a later one can go on with what is there.
    Cut,
}

impl Failure {
    /// Whether what is there is of use to somebody.
    pub(crate) fn may_go_on(&self) -> bool {
        matches!(self, Self::Cut)
    }
}

enum Bytes {
    Waiting(Box<dyn Payload>),
    Small(Box<dyn Payload>),
    Large(ReadAhead),
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Closing,
    Over,
}

/// Where the bytes of an object go until they have their name.
pub(crate) enum Temporary {
    /// A name that nobody has.
    New(String),
    /// A file that could not be removed, and the name to take where it cannot be emptied either.
    Left(String, String),
    /// An upload that was cut, of which so much is there; and the name to take where it cannot be opened.
    Cut {
        path: String,
        /// Bytes that are not sent again.
        there: u64,
        instead: String,
    },
}

struct Job {
    path: String,
    /// The name to take instead of `path`, which is there.
    instead: Option<String>,
    flags: u32,
    /// Bytes from the start that are there.
    there: u64,
    hint: u64,
    bytes: Bytes,
    phase: Phase,
    handle: Vec<u8>,
    offset: u64,
    waiting: usize,
    outcome: Option<Result<Measured, Failure>>,
}

/// A batch on its way to its temporary names.
pub(crate) struct Upload {
    jobs: Vec<Job>,
    folder: String,
    mode: u32,
    /// Whether each file is to be flushed on its own.
    flush: bool,
    opening: Opening,
    /// Bytes that are expected of the objects under way.
    under_way: u64,
    /// Bytes that were not sent, for they were there.
    spared: u64,
}

impl Upload {
    /// A batch, each object with its temporary path in `folder`.
    pub(crate) fn new(batch: Vec<(Temporary, StageRequest)>, folder: &str, mode: u32, flush: bool) -> Self {
        let job = |(at, request): (Temporary, StageRequest)| Job {
            flags: match &at {
                Temporary::New(_) => wire::OPEN_CREATE_NEW,
                Temporary::Left(..) => wire::OPEN_EMPTY,
                Temporary::Cut { .. } => wire::OPEN_WRITE,
            },
            instead: match &at {
                Temporary::New(_) => None,
                Temporary::Left(_, instead) | Temporary::Cut { instead, .. } => Some(instead.clone()),
            },
            there: match &at {
                Temporary::New(_) | Temporary::Left(..) => 0,
                Temporary::Cut { there, .. } => *there,
            },
            path: match at {
                Temporary::New(path) | Temporary::Left(path, _) | Temporary::Cut { path, .. } => path,
            },
            hint: request.payload.size_hint(),
            bytes: Bytes::Waiting(request.payload),
            phase: Phase::Opening,
            handle: Vec::new(),
            offset: 0,
            waiting: 0,
            outcome: None,
        };
        let jobs: Vec<Job> = batch.into_iter().map(job).collect();
        let opening = Opening::of(jobs.len());
        Self { jobs, folder: folder.to_owned(), mode, flush, opening, under_way: 0, spared: 0 }
    }

    /// What is refused once is refused.
    pub(crate) fn impatient(&mut self) {
        self.opening.impatient();
    }

    /// Where large objects are that came far without an end, and how far.
    pub(crate) fn cut(&self) -> impl Iterator<Item = (&str, u64)> {
        let cut = self.jobs.iter().filter(|it| it.far() >= CONTINUED_FROM && !matches!(it.outcome, Some(Err(_))));
        cut.map(|it| (it.path.as_str(), it.far()))
    }

    /// Bytes that were not sent, for they were there already.
    pub(crate) fn spared(&self) -> u64 {
        self.spared
    }

    /// Where each object is, and what became of it.
    pub(crate) fn outcomes(self) -> Vec<(String, Option<Result<Measured, Failure>>)> {
        self.jobs.into_iter().map(|it| (it.path, it.outcome)).collect()
    }

    fn ticket(job: usize, step: u8) -> Ticket {
        Ticket { job, step, ..Ticket::default() }
    }

    /// The next object, where it can be opened while others are under way.
    fn next(&self, client: &Client) -> Option<usize> {
        let next = self.opening.next(client)?;
        let room = self.under_way + self.jobs[next].expected() <= UNDER_WAY;
        (room || self.opening.is_idle()).then_some(next)
    }

    fn open(&mut self, n: usize, client: &mut Client) {
        let job = &mut self.jobs[n];
        let request = Request::Open { path: &job.path, flags: job.flags, mode: Some(self.mode) };
        client.send(Self::ticket(n, OPEN), &request);
        job.waiting += 1;
        self.under_way += job.expected();
        self.opening.asked(n);
    }

    /// What follows where a file is not opened: another name, another moment, or the end of it.
    fn not_opened(&mut self, n: usize, status: Status, client: &mut Client) {
        let job = &mut self.jobs[n];
        job.waiting -= 1;
        if let Some(instead) = job.instead.take() {
            (job.path, job.flags, job.there) = (instead, wire::OPEN_CREATE_NEW, 0);
            self.opening.missed(n);
        } else if !self.opening.refused(n, client) {
            job.refuse("create a temporary file", status);
            job.bytes = Bytes::Gone;
            // Nothing to remove: the answer to that is of no interest.
            return self.settle(n, client);
        }
        self.under_way -= job.expected();
    }

    /// Reads and sends a piece of the current object.
    fn write_next(&mut self, n: usize, client: &mut Client) -> Feed {
        let job = &mut self.jobs[n];
        if job.outcome.is_some() {
            self.close(n, client);
            return Feed::More;
        }
        match job.write(n, client) {
            Ok(Feed::More) => Feed::More,
            Ok(Feed::Blocked) => Feed::Blocked,
            Ok(Feed::Done) => {
                self.close(n, client);
                Feed::More
            }
            Err(error) => {
                let is_cut = matches!(error, PayloadError::Stopped) && job.far() >= CONTINUED_FROM;
                job.outcome = Some(Err(if is_cut { Failure::Cut } else { Failure::Payload(error) }));
                self.close(n, client);
                Feed::More
            }
        }
    }

    /// Sends what follows the last byte, and turns to the next object.
    fn close(&mut self, n: usize, client: &mut Client) {
        let job = &mut self.jobs[n];
        job.bytes = Bytes::Gone;
        if self.flush && client.offers.fsync && matches!(job.outcome, Some(Ok(_))) {
            client.send(Self::ticket(n, FLUSH), &Request::Fsync { handle: &job.handle });
            job.waiting += 1;
        }
        client.send(Self::ticket(n, CLOSE), &Request::Close { handle: &job.handle });
        job.waiting += 1;
        job.phase = Phase::Closing;
        self.opening.leave(n);
    }

    /// The last answer for an object is there: what failed is looked into, then removed.
    fn settle(&mut self, n: usize, client: &mut Client) {
        let job = &mut self.jobs[n];
        job.phase = Phase::Over;
        self.under_way -= job.expected();
        match job.outcome {
            Some(Err(Failure::Refused(_, _, None))) if client.offers.statvfs => {
                client.send(Self::ticket(n, ROOM), &Request::StatVfs { path: &self.folder });
            }
            Some(Err(Failure::Cut)) => {}
            Some(Err(_)) => client.send(Self::ticket(n, REMOVE), &Request::Remove { path: &job.path }),
            Some(Ok(_)) | None => {}
        }
    }
}

impl Job {
    /// Bytes that are there, as far as they were sent.
    fn far(&self) -> u64 {
        self.offset.max(self.there)
    }

    /// Bytes of what may be under way; a hint can be any number.
    fn expected(&self) -> u64 {
        self.hint.clamp(LEAST, UNDER_WAY)
    }

    fn refuse(&mut self, attempt: &'static str, status: Status) {
        if !matches!(self.outcome, Some(Err(_))) {
            self.outcome = Some(Err(Failure::Refused(attempt, status, None)));
        }
    }

    /// Sends a piece; `Done` after the last one.
    fn write(&mut self, n: usize, client: &mut Client) -> Result<Feed, PayloadError> {
        let chunk = client.write_chunk();
        match std::mem::replace(&mut self.bytes, Bytes::Gone) {
            Bytes::Waiting(mut payload) => {
                payload.open()?;
                self.bytes = if self.hint > LARGE {
                    payload.not_sent(std::iter::once(0..self.there).collect());
                    Bytes::Large(ReadAhead::start(payload, chunk))
                } else {
                    Bytes::Small(payload)
                };
                Ok(Feed::More)
            }
            Bytes::Small(payload) => self.write_small(n, client, payload, chunk),
            Bytes::Large(reader) => self.write_large(n, client, reader),
            Bytes::Gone => Ok(Feed::Done),
        }
    }

    fn write_small(
        &mut self,
        n: usize,
        client: &mut Client,
        mut payload: Box<dyn Payload>,
        chunk: usize,
    ) -> Result<Feed, PayloadError> {
        // One byte more than is expected, so that the end shows in the same go.
        let expected = (self.hint.saturating_sub(self.offset) + 1).max(LEAST);
        let len = usize::try_from(expected).unwrap_or(chunk).min(chunk);
        let ticket = Upload::ticket(n, WRITE);
        let sent = client.send_write(ticket, &self.handle, self.offset, len, |it| fill(payload.as_mut(), it))?;
        self.offset += sent as u64;
        self.waiting += usize::from(sent > 0);
        if sent < len {
            self.outcome = Some(Ok(payload.finish()));
            return Ok(Feed::Done);
        }
        self.bytes = Bytes::Small(payload);
        Ok(Feed::More)
    }

    fn write_large(&mut self, n: usize, client: &mut Client, reader: ReadAhead) -> Result<Feed, PayloadError> {
        let patience = if client.in_flight() == 0 { SOURCE_SLICE } else { Duration::ZERO };
        let next = match reader.next(patience)? {
            // Answers due are small and few: the source is what to wait for once everything is sent.
            Next::NotYet if !patience.is_zero() || !client.all_sent() => Next::NotYet,
            Next::NotYet => reader.next(SOURCE_SLICE)?,
            it @ (Next::Bytes(_) | Next::End(_)) => it,
        };
        let feed = match next {
            Next::Bytes(bytes) => {
                let len = bytes.len() as u64;
                let known = usize::try_from(self.there.saturating_sub(self.offset).min(len)).unwrap_or_default();
                if known < bytes.len() {
                    let at = self.offset + known as u64;
                    client.send_bytes(Upload::ticket(n, WRITE), &self.handle, at, &bytes[known..]);
                    self.waiting += 1;
                }
                self.offset += len;
                let is_known = known == bytes.len();
                reader.reuse(bytes);
                // While nothing is sent, the connection is to be looked after all the same.
                if is_known { Feed::Blocked } else { Feed::More }
            }
            Next::NotYet => Feed::Blocked,
            Next::End(measured) => {
                self.outcome = Some(Ok(measured));
                return Ok(Feed::Done);
            }
        };
        self.bytes = Bytes::Large(reader);
        Ok(feed)
    }
}

impl Work for Upload {
    fn feed(&mut self, client: &mut Client) -> Result<Feed, Fault> {
        if let Some(n) = self.next(client) {
            self.open(n, client);
            return Ok(Feed::More);
        }
        let Some(n) = self.opening.front() else {
            return Ok(if self.opening.is_over() { Feed::Done } else { Feed::Blocked });
        };
        Ok(match self.jobs[n].phase {
            Phase::Opening => Feed::Blocked,
            Phase::Open => self.write_next(n, client),
            Phase::Closing | Phase::Over => {
                self.opening.leave(n);
                Feed::More
            }
        })
    }

    fn answer(&mut self, client: &mut Client, ticket: Ticket, reply: Reply<'_>) -> Result<(), Fault> {
        let n = ticket.job;
        let job = &mut self.jobs[n];
        match (ticket.step, reply) {
            (OPEN, Reply::Handle(handle)) => {
                job.waiting -= 1;
                job.handle = handle;
                job.phase = Phase::Open;
                self.spared += job.there;
                self.opening.opened(n, client);
            }
            (OPEN, reply) => {
                let status = done(reply)?.err().ok_or(Malformed("OPEN answered without a handle"))?;
                self.not_opened(n, status, client);
            }
            (ROOM, reply) => {
                if let (Reply::Extended(body), Some(Err(Failure::Refused(_, _, room)))) = (reply, &mut job.outcome) {
                    *room = wire::parse_statvfs(&body).ok();
                }
                client.send(Self::ticket(n, REMOVE), &Request::Remove { path: &job.path });
            }
            (REMOVE, _) => {}
            (step, reply) => {
                job.waiting -= 1;
                if step == CLOSE {
                    self.opening.closed(client);
                }
                match done(reply)? {
                    Err(status) if step == WRITE => job.refuse("write a temporary file", status),
                    Err(status) if step == FLUSH && status.code != wire::SSH_FX_OP_UNSUPPORTED => {
                        job.refuse("flush a temporary file to stable storage", status);
                    }
                    Err(status) if step == CLOSE => job.refuse("close a temporary file", status),
                    Ok(()) | Err(_) => {}
                }
                if job.waiting == 0 && job.phase == Phase::Closing {
                    self.settle(n, client);
                }
            }
        }
        Ok(())
    }
}

/// Makes names for temporaries that no other session makes.
pub(crate) struct Names {
    /// The run, where several share a folder.
    run: String,
    word: String,
    next: u64,
}

impl Names {
    /// Names that begin with the run, which may be empty, and this session's own word.
    pub(crate) fn new(run: String, word: String) -> Self {
        Self { run, word, next: 0 }
    }

    pub(crate) fn take(&mut self) -> String {
        self.take_for("")
    }

    /// A new name for a purpose.
    pub(crate) fn take_for(&mut self, purpose: &str) -> String {
        self.next += 1;
        format!("{}{purpose}{}-{}", self.run, self.word, self.next)
    }
}
