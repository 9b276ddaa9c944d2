//! Many SFTP requests in flight, each answer handed to the work that asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::Fault;
use crate::lessons::Handles;
use crate::transport::Until;
use crate::wire::{self, Extensions, Limits, Malformed, Reply, Request, Status};

/// Requests in flight. Answers are small and requests wait in the server's own window, so this costs no memory here.
const DEPTH: usize = 512;
/// The same over a long line. What waits at a server that is near only makes it copy more.
const DEPTH_FAR: usize = 1024;
/// Files that are open ahead, near and far.
const AHEAD: [usize; 2] = [256, 512];
/// A line is long when a round trip takes as long as this.
const FAR: Duration = Duration::from_millis(5);
/// No server sends more in one packet than was asked for; OpenSSH's limit is 256 KiB.
const MAX_PACKET: usize = 1024 * 1024;
/// What every server takes in one READ or WRITE (draft-ietf-secsh-filexfer-02, section 3).
const SAFE_CHUNK: u64 = 32 * 1024;
/// The most that is asked for in one READ or WRITE.
const LARGE_CHUNK: u64 = 255 * 1024;
/// Pauses before something is tried again that a server refuses without a reason: many cannot touch a file for a while
/// that was just closed, for it is scanned or carried on to another place.
const PAUSES: [u64; 6] = [100, 250, 500, 1000, 2000, 4000];

/// What an answer belongs to, in the words of the work that asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticket {
    /// Which of the work's objects.
    pub(crate) job: usize,
    pub(crate) step: u8,
    pub(crate) offset: u64,
    /// Of a READ or a WRITE.
    pub(crate) len: u32,
}

/// The step of requests whose answers are waited for later, or not at all.
const LATER: u8 = u8::MAX;

/// A request whose answer somebody will ask for: [`Client::end`], or [`Client::forget`].
#[must_use]
#[derive(Debug)]
pub(crate) struct Later(usize);

/// How [`Work::feed`] left off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Something was sent, or can be.
    More,
    /// Nothing can be sent until an answer comes.
    Blocked,
    /// All was sent; answers may still be due.
    Done,
}

/// A batch that is under way.
pub(crate) trait Work {
    /// Sends a little. May wait for bytes when nothing is in flight.
    fn feed(&mut self, client: &mut Client) -> Result<Feed, Fault>;

    /// Takes an answer, and may send what follows from it.
    fn answer(&mut self, client: &mut Client, ticket: Ticket, reply: Reply<'_>) -> Result<(), Fault>;
}

/// The SFTP side of a session.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) offers: Extensions,
    limits: Limits,
    is_far: bool,
    handles: Arc<Handles>,
    /// Those of them that this session holds.
    held: usize,
    tickets: Vec<Option<Ticket>>,
    free: Vec<u32>,
    /// Of requests begun for later: how many are without an answer, the answers that somebody will ask for, and how many
    /// were begun in all.
    unheard: usize,
    kept: Vec<(usize, Option<Reply<'static>>)>,
    begun: usize,
}

/// Whether a refusal gives no reason: it may pass.
pub(crate) fn is_vague(status: &Status) -> bool {
    !matches!(
        status.code,
        wire::SSH_FX_NO_SUCH_FILE | wire::SSH_FX_PERMISSION_DENIED | wire::SSH_FX_OP_UNSUPPORTED | wire::SSH_FX_EOF
    )
}

impl Client {
    /// Greets the server, asks for its limits and, in the same round trip, `first`; all of that may take as long as
    /// `limit`.
    ///
    /// # Errors
    /// [`Fault`], when the answer is late or no SFTP.
    pub(crate) fn start(
        connection: Connection,
        limit: Duration,
        handles: Arc<Handles>,
        first: &[Request<'_>],
    ) -> Result<(Self, Vec<Reply<'static>>), Fault> {
        let limits = Limits { read: 0, write: 0, handles: 0 };
        let (tickets, free) = (Vec::new(), Vec::new());
        let (unheard, kept, begun) = (0, Vec::new(), 0);
        let offers = Extensions::default();
        let is_far = false;
        let mut client =
            Self { connection, offers, limits, is_far, handles, held: 0, tickets, free, unheard, kept, begun };
        let usual = client.connection.pace.for_bytes(0);
        client.connection.pace.set(limit);
        wire::init(client.out());
        let version = loop {
            client.connection.pump(Until::Input)?;
            if let Some(packet) = take_packet(client.input())? {
                break packet;
            }
        };
        client.offers = wire::parse_version(&version)?;
        let mut requests = first.to_vec();
        requests.extend(client.offers.limits.then_some(Request::Limits));
        let began = Instant::now();
        let mut replies = client.ask(&requests)?;
        client.is_far = began.elapsed() >= FAR;
        if let Some(Reply::Extended(body)) = replies.drain(first.len()..).next() {
            client.limits = wire::parse_limits(&body)?;
        }
        client.connection.pace.set(usual);
        Ok((client, replies))
    }

    /// Bytes for one READ.
    pub(crate) fn read_chunk(&self) -> u32 {
        chunk(self.limits.read)
    }

    /// Bytes for one WRITE.
    pub(crate) fn write_chunk(&self) -> usize {
        chunk(self.limits.write) as usize
    }

    /// How many files may be open ahead of the one that is under way.
    pub(crate) fn open_ahead(&self) -> usize {
        let [near, far] = AHEAD;
        let most = if self.is_far { far } else { near };
        let told = match usize::try_from(self.limits.handles / 4).unwrap_or(most) {
            0 => 32,
            told => told.clamp(1, most),
        };
        told.min(self.handles.most())
    }

    /// Whether the server is known to open no file more, while this work has so many open.
    pub(crate) fn is_crowded(&self, open: usize) -> bool {
        open >= self.handles.most() || self.handles.are_all_taken()
    }

    /// Whether the server was told, or seen, to allow few open files.
    pub(crate) fn allows_few(&self) -> bool {
        self.handles.most() < usize::MAX
    }

    /// A file was opened, after a refusal or not.
    pub(crate) fn took_handle(&mut self, was_refused: bool) {
        self.handles.take();
        self.held += 1;
        if was_refused {
            self.handles.confirm();
        }
    }

    /// A file was closed.
    pub(crate) fn gave_handle(&mut self) {
        self.handles.give(1);
        self.held -= 1;
    }

    /// A file was not opened. Whether that may be because others are open: then it is worth another try when fewer are.
    pub(crate) fn may_be_crowded(&self) -> bool {
        let held = self.handles.held();
        if held > 0 {
            self.handles.no_more_than(held);
        }
        held > 0
    }

    /// Requests of the work at hand without an answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.tickets.len() - self.free.len() - self.unheard
    }

    /// Whether everything asked for has left this host.
    pub(crate) fn all_sent(&self) -> bool {
        self.connection.all_sent()
    }

    fn out(&mut self) -> &mut Vec<u8> {
        self.connection.sftp_out()
    }

    fn input(&mut self) -> &mut Vec<u8> {
        self.connection.sftp_input()
    }

    fn id_for(&mut self, ticket: Ticket) -> u32 {
        if let Some(id) = self.free.pop() {
            self.tickets[id as usize] = Some(ticket);
            return id;
        }
        self.tickets.push(Some(ticket));
        (self.tickets.len() - 1) as u32
    }

    /// Puts a request on its way.
    pub(crate) fn send(&mut self, ticket: Ticket, request: &Request<'_>) {
        let id = self.id_for(ticket);
        wire::encode(self.out(), id, request);
    }

    /// Puts a WRITE of these bytes on its way.
    pub(crate) fn send_bytes(&mut self, ticket: Ticket, handle: &[u8], offset: u64, bytes: &[u8]) {
        let id = self.id_for(Ticket { len: bytes.len() as u32, ..ticket });
        let out = self.out();
        let begun = wire::begin_write(out, id, handle, offset);
        out.extend_from_slice(bytes);
        wire::end_write(out, begun);
    }

    /// Puts a WRITE on its way, whose bytes (at most `len`) are filled in place: `fill` tells how many came.
    ///
    /// Returns what `fill` returned; nothing is sent where that is no bytes, or an error.
    pub(crate) fn send_write<E>(
        &mut self,
        ticket: Ticket,
        handle: &[u8],
        offset: u64,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let id = self.id_for(ticket);
        let out = self.out();
        let begun = wire::begin_write(out, id, handle, offset);
        let at = out.len();
        out.resize(at + len, 0);
        let filled = fill(&mut out[at..]);
        match filled {
            Ok(n) if n > 0 => {
                out.truncate(at + n);
                wire::end_write(out, begun);
                if let Some(Some(ticket)) = self.tickets.get_mut(id as usize) {
                    ticket.len = n as u32;
                }
            }
            Ok(_) | Err(_) => {
                wire::abandon_write(out, begun);
                self.release(id);
            }
        }
        filled
    }

    fn release(&mut self, id: u32) -> Option<Ticket> {
        let ticket = self.tickets.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(ticket)
    }

    fn depth(&self) -> usize {
        if self.is_far { DEPTH_FAR } else { DEPTH }
    }

    /// Runs a batch to its end.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn drive(&mut self, work: &mut dyn Work) -> Result<(), Fault> {
        while self.turn(work)? {}
        Ok(())
    }

    /// One round of sending and receiving; whether there is more to come.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn turn(&mut self, work: &mut dyn Work) -> Result<bool, Fault> {
        let mut fed = Feed::More;
        while fed == Feed::More && self.in_flight() < self.depth() && self.connection.has_room() {
            fed = work.feed(self)?;
        }
        if self.in_flight() == 0 {
            if fed == Feed::Blocked {
                // The source is slow: a server that hears nothing at all would give us up.
                self.connection.tend()?;
                self.dispatch(work)?;
            }
            return Ok(fed != Feed::Done);
        }
        let may_feed = fed == Feed::More && self.in_flight() < self.depth();
        self.connection.pump(if may_feed { Until::Room } else { Until::Input })?;
        self.dispatch(work)?;
        Ok(true)
    }

    fn dispatch(&mut self, work: &mut dyn Work) -> Result<(), Fault> {
        let mut input = std::mem::take(self.input());
        let mut at = 0;
        while let Some(end) = packet_end(&input[at..])? {
            let (id, reply) = wire::parse(&input[at + 4..at + end])?;
            let ticket = self.release(id).ok_or(Malformed("an answer to nothing that was asked"))?;
            match &reply {
                Reply::Data(data) => self.connection.pace.received(data.len() as u64),
                _ => self.connection.pace.answered(ticket.len.into()),
            }
            if ticket.step == LATER {
                self.unheard -= 1;
                if let Some(kept) = self.kept.iter_mut().find(|it| it.0 == ticket.job) {
                    kept.1 = Some(owned(reply)?);
                }
            } else {
                work.answer(self, ticket, reply)?;
            }
            at += end;
        }
        input.drain(..at);
        *self.input() = input;
        Ok(())
    }

    /// Puts a request on its way in front of what comes next, without waiting for its answer.
    pub(crate) fn begin(&mut self, request: &Request<'_>) -> Later {
        let job = self.begun;
        self.begun += 1;
        self.unheard += 1;
        self.kept.push((job, None));
        self.send(Ticket { job, step: LATER, ..Ticket::default() }, request);
        Later(job)
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn end(&mut self, later: Later) -> Result<Reply<'static>, Fault> {
        loop {
            let at = self.kept.iter().position(|it| it.0 == later.0);
            let at = at.ok_or(Malformed("a request without an answer"))?;
            if self.kept[at].1.is_some() {
                return self.kept.swap_remove(at).1.ok_or(Malformed("a request without an answer").into());
            }
            self.connection.pump(Until::Input)?;
            self.dispatch(&mut Nothing)?;
        }
    }

    /// What the answer is does not matter.
    pub(crate) fn forget(&mut self, later: Later) {
        self.kept.retain(|it| it.0 != later.0);
    }

    /// Closes handles of what was only read: nothing depends on the answer.
    pub(crate) fn close_all<'a>(&mut self, handles: impl IntoIterator<Item = &'a Vec<u8>>) {
        for handle in handles {
            let closed = self.begin(&Request::Close { handle });
            self.forget(closed);
        }
    }

    /// Sends independent requests together and waits for all answers, in the order of the requests.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn ask(&mut self, requests: &[Request<'_>]) -> Result<Vec<Reply<'static>>, Fault> {
        let mut work = Asking { requests, next: 0, replies: requests.iter().map(|_| None).collect() };
        self.drive(&mut work)?;
        let replies: Option<Vec<_>> = work.replies.into_iter().collect();
        Ok(replies.ok_or(Malformed("a request without an answer"))?)
    }

    /// Asks until nothing is refused without a reason, after growing pauses: `ask` is given the numbers of what is to be
    /// asked, all of them at first, and gives the numbers of what was refused so.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn patiently(
        &mut self,
        count: usize,
        mut ask: impl FnMut(&mut Self, &[usize]) -> Result<Vec<usize>, Fault>,
    ) -> Result<(), Fault> {
        let mut again: Vec<usize> = (0..count).collect();
        let mut pauses = PAUSES.iter();
        loop {
            again = ask(self, &again)?;
            let Some(pause) = pauses.next().filter(|_| !again.is_empty()) else { return Ok(()) };
            self.connection.pause(Duration::from_millis(*pause))?;
        }
    }

    /// As [`Client::ask`], for requests that are answered by a status.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn order(&mut self, requests: &[Request<'_>]) -> Result<Vec<Result<(), Status>>, Fault> {
        self.ask(requests)?.into_iter().map(done).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.handles.give(self.held);
    }
}

/// Reads the answer to a request that is answered by a status.
pub(crate) fn done(reply: Reply<'_>) -> Result<Result<(), Status>, Fault> {
    match reply {
        Reply::Status(Status { code: wire::SSH_FX_OK, .. }) => Ok(Ok(())),
        Reply::Status(status) => Ok(Err(status)),
        _ => Err(Malformed("an answer of the wrong type").into()),
    }
}

fn chunk(limit: u64) -> u32 {
    let bytes = if limit == 0 { SAFE_CHUNK } else { limit.min(LARGE_CHUNK) };
    u32::try_from(bytes).unwrap_or(SAFE_CHUNK as u32).max(1)
}

fn packet_end(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((head, rest)) = bytes.split_at_checked(4) else { return Ok(None) };
    let len = head.iter().fold(0_usize, |sum, b| sum << 8 | usize::from(*b));
    if len > MAX_PACKET {
        return Err(Malformed("a packet of more than 1 MiB, or a login script that prints text"));
    }
    Ok((rest.len() >= len).then_some(len + 4))
}

fn take_packet(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(end) = packet_end(input)? else { return Ok(None) };
    let packet = input[4..end].to_vec();
    input.drain(..end);
    Ok(Some(packet))
}

/// Independent requests, whose answers are kept.
struct Asking<'a> {
    requests: &'a [Request<'a>],
    next: usize,
    replies: Vec<Option<Reply<'static>>>,
}

impl Work for Asking<'_> {
    fn feed(&mut self, client: &mut Client) -> Result<Feed, Fault> {
        let Some(request) = self.requests.get(self.next) else { return Ok(Feed::Done) };
        client.send(Ticket { job: self.next, ..Ticket::default() }, request);
        self.next += 1;
        Ok(Feed::More)
    }

    fn answer(&mut self, _: &mut Client, ticket: Ticket, reply: Reply<'_>) -> Result<(), Fault> {
        self.replies[ticket.job] = Some(owned(reply)?);
        Ok(())
    }
}

/// The batch that asks for nothing: while it is driven, only what was begun before is answered.
struct Nothing;

impl Work for Nothing {
    fn feed(&mut self, _: &mut Client) -> Result<Feed, Fault> {
        Ok(Feed::Done)
    }

    fn answer(&mut self, _: &mut Client, _: Ticket, _: Reply<'_>) -> Result<(), Fault> {
        Err(Malformed("an answer to nothing that was asked").into())
    }
}

fn owned(reply: Reply<'_>) -> Result<Reply<'static>, Malformed> {
    Ok(match reply {
        Reply::Status(it) => Reply::Status(it),
        Reply::Handle(it) => Reply::Handle(it),
        Reply::Names(it) => Reply::Names(it),
        Reply::Attributes(it) => Reply::Attributes(it),
        Reply::Extended(it) => Reply::Extended(it),
        Reply::Data(_) => return Err(Malformed("data that was not asked for")),
    })
}
