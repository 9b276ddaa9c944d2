//! Reads files, many requests ahead: to hash them, or to hand the bytes on.

use std::collections::{BTreeMap, VecDeque};

use dvb_fixity::{Algorithm, Hasher, Measured};

use crate::client::{Client, Feed, Ticket, Work, done};
use crate::error::Fault;
use crate::opening::Opening;
use crate::wire::{self, Malformed, Reply, Request, Status};

/// Bytes asked for and not yet used, at most: what keeps a long line full, and memory flat.
const WINDOW: u64 = 4 * 1024 * 1024;

const OPEN: u8 = 0;
const SIZE: u8 = 1;
const DATA: u8 = 2;
const CLOSE: u8 = 3;

/// Where the bytes go.
enum Use {
    Hash(Box<Hasher>),
    Keep(VecDeque<Vec<u8>>),
}

/// A file to be read, and its size where somebody else knows it: not all servers say.
pub(crate) struct Wanted {
    pub(crate) path: String,
    pub(crate) size: Option<u64>,
}

struct Job {
    path: String,
    handle: Option<Vec<u8>>,
    expected: Option<u64>,
    size: Option<u64>,
    /// Where the next request begins.
    asked: u64,
    /// Where the next byte to use is.
    used: u64,
    /// Came before its turn.
    early: BTreeMap<u64, Vec<u8>>,
    reads: usize,
    /// The server said where the end is.
    ended: bool,
    closed: bool,
    bytes: Use,
    failure: Option<Status>,
}

impl Job {
    fn new(Wanted { path, size: expected }: Wanted, bytes: Use) -> Self {
        Self {
            path,
            handle: None,
            expected,
            size: None,
            asked: 0,
            used: 0,
            early: BTreeMap::new(),
            reads: 0,
            ended: false,
            closed: false,
            bytes,
            failure: None,
        }
    }

    /// Whether no READ is to be sent of one's own accord.
    fn is_asked(&self) -> bool {
        self.closed || self.failure.is_some() || self.size.is_some_and(|size| self.asked > size)
    }

    fn take(&mut self, offset: u64, data: &[u8]) {
        if offset == self.used {
            self.put(data);
            while let Some(data) = self.early.remove(&self.used) {
                self.put(&data);
            }
        } else {
            self.early.insert(offset, data.to_vec());
        }
    }

    fn put(&mut self, data: &[u8]) {
        self.used += data.len() as u64;
        match &mut self.bytes {
            Use::Hash(hasher) => hasher.update(data),
            Use::Keep(kept) => kept.push_back(data.to_vec()),
        }
    }
}

/// Files on their way here.
pub(crate) struct Download {
    jobs: Vec<Job>,
    opening: Opening,
    /// Asked for and neither used nor known to be past the end.
    outstanding: u64,
    /// No more is wanted.
    stopped: bool,
}

impl Download {
    /// Hashes files by SHA-256 and `wanted`.
    pub(crate) fn hash(files: impl IntoIterator<Item = Wanted>, wanted: &[Algorithm]) -> Self {
        Self::of(files.into_iter().map(|it| Job::new(it, Use::Hash(Box::new(Hasher::new(wanted))))).collect())
    }

    /// Keeps the bytes of one file for [`Download::next`].
    pub(crate) fn keep(path: String) -> Self {
        Self::of(vec![Job::new(Wanted { path, size: None }, Use::Keep(VecDeque::new()))])
    }

    /// Keeps the bytes of files whose sizes are known, for [`Download::whole`]; all of them must be less than what is read
    /// ahead of whoever fetches them.
    pub(crate) fn keep_all(files: impl IntoIterator<Item = (String, u64)>) -> Self {
        let job = |(path, size)| Job {
            size: Some(size),
            ..Job::new(Wanted { path, size: Some(size) }, Use::Keep(VecDeque::new()))
        };
        Self::of(files.into_iter().map(job).collect())
    }

    /// The kept bytes of each file, by the server's words on what could not be read.
    pub(crate) fn whole(self) -> Vec<Result<Vec<u8>, Status>> {
        let each = self.jobs.into_iter().map(|job| match (job.failure, job.bytes) {
            (Some(status), _) => Err(status),
            (None, Use::Keep(kept)) => Ok(kept.into_iter().flatten().collect()),
            (None, Use::Hash(_)) => Ok(Vec::new()),
        });
        each.collect()
    }

    fn of(jobs: Vec<Job>) -> Self {
        Self { opening: Opening::of(jobs.len()), jobs, outstanding: 0, stopped: false }
    }

    /// What each file holds, by the server's words on what could not be read.
    pub(crate) fn measured(self) -> Vec<Result<Measured, Status>> {
        let each = self.jobs.into_iter().map(|job| match (job.failure, job.bytes) {
            (Some(status), _) => Err(status),
            (None, Use::Hash(hasher)) => Ok(hasher.finish()),
            (None, Use::Keep(_)) => Ok(Hasher::new(&[]).finish()),
        });
        each.collect()
    }

    /// The next kept bytes, in order.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let Use::Keep(kept) = &mut self.jobs[0].bytes else { return None };
        let bytes = kept.pop_front()?;
        self.outstanding = self.outstanding.saturating_sub(bytes.len() as u64);
        Some(bytes)
    }

    /// Whether the one file is open, or why not.
    pub(crate) fn is_open(&mut self) -> Option<Result<(), Status>> {
        let job = &mut self.jobs[0];
        job.failure.clone().map(Err).or_else(|| (job.handle.is_some() && job.size.is_some()).then_some(Ok(())))
    }

    /// Why reading ended early.
    pub(crate) fn failure(&self) -> Option<&Status> {
        self.jobs[0].failure.as_ref()
    }

    /// Asks for no more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    fn open(&mut self, n: usize, client: &mut Client) {
        let path = &self.jobs[n].path;
        let ticket = |step| Ticket { job: n, step, ..Ticket::default() };
        client.send(ticket(OPEN), &Request::Open { path, flags: wire::OPEN_READ, mode: None });
        if self.jobs[n].size.is_none() {
            client.send(ticket(SIZE), &Request::Stat { path });
        }
        self.opening.asked(n);
    }

    /// A file is not opened: in another moment it may be.
    fn not_opened(&mut self, n: usize, status: Status, client: &Client) {
        let job = &mut self.jobs[n];
        if job.failure.is_some() || status.code == wire::SSH_FX_NO_SUCH_FILE {
            self.opening.given_up();
        } else if self.opening.refused(n, client) {
            return;
        }
        job.failure.get_or_insert(status);
    }

    fn read(&mut self, n: usize, offset: u64, len: u32, client: &mut Client) {
        let job = &mut self.jobs[n];
        let Some(handle) = &job.handle else { return };
        client.send(Ticket { job: n, step: DATA, offset, len }, &Request::Read { handle, offset, len });
        job.reads += 1;
        self.outstanding += u64::from(len);
    }

    /// Sends the next READ of a file; the last one goes past its end, to see that it ends there.
    fn read_next(&mut self, n: usize, client: &mut Client) {
        let chunk = client.read_chunk();
        let job = &mut self.jobs[n];
        let left = job.size.unwrap_or(0).saturating_sub(job.asked);
        let len = u32::try_from(left).unwrap_or(chunk).min(chunk).max(1);
        let offset = job.asked;
        job.asked += u64::from(len);
        self.read(n, offset, len, client);
    }

    fn close_if_over(&mut self, n: usize, client: &mut Client) {
        let stopped = self.stopped;
        let job = &mut self.jobs[n];
        let over = job.reads == 0 && (job.failure.is_some() || stopped || (job.is_asked() && job.ended));
        if let (Some(handle), true, false) = (&job.handle, over, job.closed) {
            job.closed = true;
            if client.allows_few() {
                client.send(Ticket { job: n, step: CLOSE, ..Ticket::default() }, &Request::Close { handle });
            } else {
                // Nothing depends on it but how many files may be open.
                client.close_all([handle]);
                self.opening.closed(client);
            }
        }
    }

    fn took(&mut self, client: &mut Client, ticket: Ticket, reply: Reply<'_>) -> Result<(), Fault> {
        let n = ticket.job;
        let job = &mut self.jobs[n];
        job.reads -= 1;
        match reply {
            Reply::Data(data) if data.len() > ticket.len as usize || data.is_empty() => {
                return Err(Malformed("READ answered with more than was asked for, or nothing").into());
            }
            Reply::Data(data) => {
                let keeps = matches!(job.bytes, Use::Keep(_));
                job.take(ticket.offset, data);
                let got = data.len() as u64;
                // Kept bytes count until they are fetched.
                self.outstanding -= if keeps { u64::from(ticket.len) - got } else { u64::from(ticket.len) };
                let end = ticket.offset + got;
                let missing = ticket.len - data.len() as u32;
                if missing > 0 {
                    self.read(n, end, missing, client);
                }
                let job = &mut self.jobs[n];
                if let Some(size) = job.size.filter(|size| end > *size) {
                    // Nobody asked for more, and a server can go on without end.
                    let message = format!("it has more than the {size} bytes that were reported before");
                    job.failure = Some(Status { code: wire::SSH_FX_FAILURE, message });
                }
            }
            reply => {
                self.outstanding -= u64::from(ticket.len);
                match done(reply)?.err() {
                    Some(status) if status.code == wire::SSH_FX_EOF => job.ended = true,
                    Some(status) => job.failure = Some(status),
                    None => return Err(Malformed("READ answered without data").into()),
                }
            }
        }
        Ok(())
    }
}

impl Work for Download {
    fn feed(&mut self, client: &mut Client) -> Result<Feed, Fault> {
        if self.stopped {
            self.close_if_over(0, client);
            return Ok(Feed::Done);
        }
        if let Some(n) = self.opening.next(client) {
            self.open(n, client);
            return Ok(Feed::More);
        }
        let Some(n) = self.opening.front() else {
            return Ok(if self.opening.is_over() { Feed::Done } else { Feed::Blocked });
        };
        let job = &self.jobs[n];
        if job.is_asked() {
            self.opening.leave(n);
            return Ok(Feed::More);
        }
        if job.handle.is_none() || job.size.is_none() || self.outstanding >= WINDOW {
            return Ok(Feed::Blocked);
        }
        self.read_next(n, client);
        Ok(Feed::More)
    }

    fn answer(&mut self, client: &mut Client, ticket: Ticket, reply: Reply<'_>) -> Result<(), Fault> {
        let job = &mut self.jobs[ticket.job];
        match (ticket.step, reply) {
            (OPEN, Reply::Handle(handle)) => {
                job.handle = Some(handle);
                self.opening.opened(ticket.job, client);
            }
            (SIZE, Reply::Attributes(it)) => match it.size.or(job.expected) {
                Some(size) => job.size = Some(size),
                None => {
                    let message = "the server does not say how large it is".to_owned();
                    job.failure = Some(Status { code: wire::SSH_FX_FAILURE, message });
                }
            },
            (OPEN, reply) => {
                let status = done(reply)?.err().ok_or(Malformed("OPEN answered by success alone"))?;
                self.not_opened(ticket.job, status, client);
            }
            (SIZE, reply) => {
                job.failure = Some(done(reply)?.err().ok_or(Malformed("STAT answered by success alone"))?);
            }
            (DATA, reply) => self.took(client, ticket, reply)?,
            (_, _) => {
                self.opening.closed(client);
                return Ok(());
            }
        }
        self.close_if_over(ticket.job, client);
        Ok(())
    }
}
