//! The channels of one SSH connection, with one place that sends, receives and waits.
//!
//! The connection lives in a runtime of its own, on the thread of whoever uses it: while nobody waits here, nothing is
//! sent or received.

use std::future::{pending, ready};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::connect::Connection;
use crate::error::Fault;
use crate::pace::{Interrupt, Pace};

/// Unsent bytes above which nothing more is asked for: enough to keep the cipher busy, little enough for flat memory.
const HIGH_WATER: usize = 1024 * 1024;
/// How much of that is handed to the connection at once, so that room is told of early.
const PIECE: usize = 128 * 1024;
/// How often silence is looked at.
const SLICE: Duration = Duration::from_millis(100);
/// Long enough for a look at the socket, too short to be felt.
const GLANCE: Duration = Duration::from_millis(1);

/// What [`Link::pump`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Anything was received.
    Input,
    /// Anything was received, or there is room for more to send.
    Room,
}

struct ChannelBuffer {
    name: &'static str,
    out: Vec<u8>,
    /// Bytes that the connection has taken over and not yet sent.
    pending: Arc<AtomicUsize>,
    to_carry: UnboundedSender<Bytes>,
    reader: ChannelReadHalf,
    input: Vec<u8>,
    over: bool,
}

/// One connection with up to two channels.
pub(crate) struct Link {
    connection: Connection,
    sftp: ChannelBuffer,
    shell: Option<ChannelBuffer>,
    /// Told whenever bytes were sent.
    moved: Arc<Notify>,
    /// How long the server is waited for.
    pub(crate) pace: Pace,
}

impl Link {
    /// Takes over a connection that is logged in, its SFTP channel, and that of a shell.
    pub(crate) fn new(
        connection: Connection,
        sftp: Channel<Msg>,
        shell: Option<Channel<Msg>>,
        idle: Duration,
        interrupt: Interrupt,
    ) -> Self {
        let moved = Arc::new(Notify::new());
        let line = |channel, name| ChannelBuffer::new(&connection, channel, name, &moved);
        let (sftp, shell) = (line(sftp, "SFTP"), shell.map(|it| line(it, "command")));
        Self { connection, sftp, shell, moved, pace: Pace::new(idle, interrupt) }
    }

    /// Expects no more of the shell, and closes its channel.
    pub(crate) fn forget_shell(&mut self) {
        self.shell = None;
    }

    /// The bytes to be sent by SFTP; more are appended by the caller.
    pub(crate) fn sftp_out(&mut self) -> &mut Vec<u8> {
        &mut self.sftp.out
    }

    /// The bytes received by SFTP; the caller removes what it has understood.
    pub(crate) fn sftp_input(&mut self) -> &mut Vec<u8> {
        &mut self.sftp.input
    }

    /// The bytes to be sent to the shell, where there is one.
    pub(crate) fn shell_out(&mut self) -> Option<&mut Vec<u8>> {
        self.shell.as_mut().map(|it| &mut it.out)
    }

    /// The bytes received from the shell.
    pub(crate) fn shell_input(&mut self) -> Option<&mut Vec<u8>> {
        self.shell.as_mut().map(|it| &mut it.input)
    }

    /// Whether there is no shell, or none any more.
    pub(crate) fn shell_ended(&self) -> bool {
        self.shell.as_ref().is_none_or(|it| it.over)
    }

    /// Whether more may be appended to the SFTP channel's bytes.
    pub(crate) fn has_room(&self) -> bool {
        self.sftp.pending() < HIGH_WATER
    }

    /// Whether the SFTP channel's bytes were all handed to the operating system.
    pub(crate) fn all_sent(&self) -> bool {
        self.sftp.pending() == 0
    }

    /// Sends and receives what it can; waits while that brings nothing of what is wanted.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost or silent for too long.
    pub(crate) fn pump(&mut self, until: Until) -> Result<(), Fault> {
        self.hand_over();
        let Self { connection: Connection { runtime, life, activity, .. }, sftp, shell, moved, pace } = self;
        let began = Instant::now();
        pace.check(began, activity)?;
        let pumped = runtime.block_on(async {
            // The connection's turn, also where there is room already.
            yield_now().await;
            loop {
                if take_what_is_there(sftp, shell).await {
                    return Ok(());
                }
                if sftp.over {
                    return Err(life.last_words().await.map_or(Fault::Ended(sftp.name), Fault::Lost));
                }
                if until == Until::Room && sftp.pending() < HIGH_WATER {
                    return Ok(());
                }
                pace.check(began, activity)?;
                let came = tokio::select! {
                    came = sftp.receive() => came,
                    came = receive_from(shell) => came,
                    () = moved.notified(), if until == Until::Room => false,
                    () = sleep(SLICE) => false,
                };
                if came {
                    take_what_is_there(sftp, shell).await;
                    return Ok(());
                }
            }
        });
        pace.waited(began.elapsed());
        pumped
    }

    /// Waits, while the server's own questions are answered.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost, or there is no time left.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend_for(SLICE.min(until.saturating_duration_since(Instant::now())))?;
        }
        Ok(())
    }

    /// Sends and receives what it can without waiting, so that the server's own questions are answered.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost.
    pub(crate) fn tend(&mut self) -> Result<(), Fault> {
        self.tend_for(GLANCE)
    }

    fn tend_for(&mut self, time: Duration) -> Result<(), Fault> {
        self.hand_over();
        let Self { connection: Connection { runtime, life, activity, .. }, sftp, shell, pace, .. } = self;
        pace.check(Instant::now(), activity)?;
        runtime.block_on(async {
            sleep(time).await;
            take_what_is_there(sftp, shell).await;
            if sftp.over {
                return Err(life.last_words().await.map_or(Fault::Ended(sftp.name), Fault::Lost));
            }
            Ok(())
        })
    }

    fn hand_over(&mut self) {
        self.sftp.hand_over();
        if let Some(shell) = &mut self.shell {
            shell.hand_over();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Everything was answered, or does not matter any more.
        let _ = self.connection.socket.shutdown(Shutdown::Both);
    }
}

/// Takes what has come in the meantime; whether anything did, the end of a channel included.
async fn take_what_is_there(sftp: &mut ChannelBuffer, shell: &mut Option<ChannelBuffer>) -> bool {
    let mut came = false;
    loop {
        came |= tokio::select! {
            biased;
            it = sftp.receive() => it,
            it = receive_from(shell) => it,
            () = ready(()) => return came,
        };
    }
}

/// Waits for the shell; for ever, where there is none.
async fn receive_from(shell: &mut Option<ChannelBuffer>) -> bool {
    match shell {
        Some(shell) => shell.receive().await,
        None => pending().await,
    }
}

/// Sends what is handed over, as fast as the server takes it; closes the channel when no more will come.
async fn carry(
    writer: ChannelWriteHalf<Msg>,
    mut to_send: UnboundedReceiver<Bytes>,
    pending: Arc<AtomicUsize>,
    moved: Arc<Notify>,
) {
    while let Some(mut bytes) = to_send.recv().await {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let len = piece.len();
            if writer.data_bytes(piece).await.is_err() {
                return;
            }
            pending.fetch_sub(len, Ordering::Relaxed);
            moved.notify_one();
        }
    }
    let _ = writer.close().await;
}

impl ChannelBuffer {
    fn new(connection: &Connection, channel: Channel<Msg>, name: &'static str, moved: &Arc<Notify>) -> Self {
        let (reader, writer) = channel.split();
        let (to_carry, to_send) = unbounded_channel();
        let pending = Arc::new(AtomicUsize::new(0));
        connection.runtime.spawn(carry(writer, to_send, Arc::clone(&pending), Arc::clone(moved)));
        Self { name, out: Vec::new(), pending, to_carry, reader, input: Vec::new(), over: false }
    }

    fn pending(&self) -> usize {
        self.out.len() + self.pending.load(Ordering::Relaxed)
    }

    fn hand_over(&mut self) {
        if self.out.is_empty() || self.over {
            return;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.out));
        self.pending.fetch_add(bytes.len(), Ordering::Relaxed);
        // Nobody takes it where the connection is lost, which is what the reader will find.
        let _ = self.to_carry.send(bytes);
    }

    /// Waits for the next message; whether it brought something, the end included. Waits for ever after that.
    async fn receive(&mut self) -> bool {
        if self.over {
            return pending().await;
        }
        match self.reader.wait().await {
            Some(ChannelMsg::Data { data }) => self.input.extend_from_slice(&data),
            Some(ChannelMsg::Eof | ChannelMsg::Close | ChannelMsg::Failure) | None => self.over = true,
            Some(_) => return false,
        }
        true
    }
}
