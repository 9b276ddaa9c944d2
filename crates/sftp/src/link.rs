//! The channels of one SSH connection, read and written without blocking, with one place that waits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, Session};

use crate::error::Fault;

/// libssh2 may hold what it has read itself, so no wait is longer than this, whatever poll(2) says.
const SLICE: Duration = Duration::from_millis(100);
/// Unsent bytes above which nothing more is asked for: enough to keep the cipher busy, little enough for flat memory.
const HIGH_WATER: usize = 1024 * 1024;

/// A server that answers keepalives but not the question is given up after this many times the limit of silence.
const PATIENCE: u32 = 10;
/// The least that a digest on the server is expected to go through in a second.
const SLOWEST_DIGEST: u64 = 1024 * 1024;

/// A channel's place in the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Sftp,
    Shell,
}

/// What [`Link::pump`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Anything was received.
    Input,
    /// Anything was received, or there is room for more to send.
    Room,
}

struct Line {
    channel: Channel,
    name: &'static str,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    over: bool,
}

/// One connection with up to two channels.
pub(crate) struct Link {
    session: Session,
    socket: TcpStream,
    sftp: Line,
    shell: Option<Line>,
    /// The channel whose packet libssh2 has sent in part: it must go on before the other may send.
    midway: Option<Lane>,
    idle: Duration,
    /// How long a living server may take for one answer.
    patience: Duration,
    scratch: Box<[u8]>,
}

impl Link {
    /// Takes over a session that is logged in, and its SFTP channel.
    pub(crate) fn new(session: Session, socket: TcpStream, sftp: Channel, idle: Duration) -> Self {
        session.set_blocking(false);
        session.set_keepalive(true, u32::try_from(idle.as_secs() / 4).unwrap_or(60).max(2));
        Self {
            session,
            socket,
            sftp: Line::new(sftp, "SFTP"),
            shell: None,
            midway: None,
            idle,
            patience: idle * PATIENCE,
            scratch: vec![0; 64 * 1024].into(),
        }
    }

    /// Adds the channel of a shell.
    pub(crate) fn add_shell(&mut self, channel: Channel) {
        self.shell = Some(Line::new(channel, "command"));
    }

    /// Expects no more of the shell, and keeps nothing for it that was not sent.
    pub(crate) fn forget_shell(&mut self) {
        if let Some(shell) = &mut self.shell {
            shell.over = true;
        }
    }

    /// Starts a blocking exchange of the session's own, such as opening a channel.
    pub(crate) fn blocking<T>(&mut self, limit: Duration, work: impl FnOnce(&Session) -> T) -> T {
        self.session.set_timeout(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
        self.session.set_blocking(true);
        let done = work(&self.session);
        self.session.set_blocking(false);
        done
    }

    /// How long a server that lives may work on this many bytes.
    pub(crate) fn patience_for(&self, bytes: u64) -> Duration {
        self.idle * PATIENCE + Duration::from_secs(bytes / SLOWEST_DIGEST)
    }

    /// Gives up on an answer after this long, from now on.
    pub(crate) fn set_patience(&mut self, limit: Duration) {
        self.patience = limit;
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

    fn line(&mut self, lane: Lane) -> Option<&mut Line> {
        match lane {
            Lane::Sftp => Some(&mut self.sftp),
            Lane::Shell => self.shell.as_mut(),
        }
    }

    /// Sends and receives what it can; waits while that brings nothing of what is wanted.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost or silent for too long.
    pub(crate) fn pump(&mut self, until: Until) -> Result<(), Fault> {
        let mut quiet = Duration::ZERO;
        let began = Instant::now();
        loop {
            self.write()?;
            let had_window = self.sftp.channel.write_window().remaining > 0;
            if self.read()? {
                return Ok(());
            }
            if until == Until::Room && self.has_room() {
                return Ok(());
            }
            // Sending reads as well: a window may have opened, or data come in, without the socket telling.
            let opened = !had_window && self.sftp.channel.write_window().remaining > 0;
            if opened || self.holds_data() {
                continue;
            }
            quiet = self.wait(quiet)?;
            if quiet >= self.idle || began.elapsed() >= self.patience {
                return Err(Fault::Silent(began.elapsed().as_secs()));
            }
        }
    }

    /// Sends and receives what it can without waiting, so that the server's own questions are answered.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost.
    pub(crate) fn tend(&mut self) -> Result<(), Fault> {
        self.write()?;
        self.read().map(drop)
    }

    /// Waits for the socket, and tells how long it has been silent.
    fn wait(&mut self, quiet: Duration) -> Result<Duration, Fault> {
        let wants_out = matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
        let pending = self.sftp.pending() + self.shell.as_ref().map_or(0, Line::pending) > 0;
        let flags = if wants_out && pending { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let slice = SLICE.min(self.idle.saturating_sub(quiet)).max(Duration::from_millis(1));
        let timeout = Timespec { tv_sec: 0, tv_nsec: slice.subsec_nanos().into() };
        let began = Instant::now();
        let mut fds = [PollFd::new(&self.socket, flags)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Fault::System("poll", error.into())),
        }
        let events = fds[0].revents();
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return Ok(Duration::ZERO);
        }
        let quiet = quiet + began.elapsed();
        if !pending && events.is_empty() && quiet > SLICE && self.takes_more() {
            // A server at work on a long digest is alive as long as it answers this.
            self.session.keepalive_send().map_err(|it| Fault::Lost(it.into()))?;
        }
        Ok(quiet)
    }

    /// Whether the socket takes some hundred bytes at once: libssh2 could not finish a keepalive that was sent in part.
    fn takes_more(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
    }

    fn holds_data(&self) -> bool {
        let holds = |it: &Line| it.channel.read_window().available > 0;
        holds(&self.sftp) || self.shell.as_ref().is_some_and(holds)
    }

    fn write(&mut self) -> Result<(), Fault> {
        let order = match self.midway {
            Some(Lane::Shell) => [Lane::Shell, Lane::Sftp],
            Some(Lane::Sftp) | None => [Lane::Sftp, Lane::Shell],
        };
        for lane in order {
            let midway = self.midway == Some(lane);
            let Some(line) = self.line(lane) else { continue };
            if line.over && !midway {
                line.forget();
            }
            if line.write()? {
                self.midway = None;
            } else if matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both) {
                self.midway = Some(lane);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads both channels empty; whether anything came, the end of the shell included.
    fn read(&mut self) -> Result<bool, Fault> {
        let mut came = self.sftp.read(&mut self.scratch)?;
        if let Some(shell) = &mut self.shell {
            came |= shell.read(&mut self.scratch)?;
            if shell.over {
                shell.input.clear();
            }
            if shell.channel.eof() && !shell.over {
                shell.over = true;
                came = true;
            }
        }
        if !came && self.sftp.channel.eof() {
            return Err(Fault::Ended(self.sftp.name));
        }
        Ok(came)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Everything was answered, or does not matter any more: without a socket, libssh2 frees all without waiting.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Line {
    fn new(channel: Channel, name: &'static str) -> Self {
        Self { channel, name, out: Vec::new(), sent: 0, input: Vec::new(), over: false }
    }

    fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    fn forget(&mut self) {
        self.out.clear();
        self.sent = 0;
    }

    /// Sends until all is sent (`true`) or the socket or the window is full.
    fn write(&mut self) -> Result<bool, Fault> {
        while self.sent < self.out.len() {
            match self.channel.write(&self.out[self.sent..]) {
                Ok(0) => return Ok(false),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // libssh2 has copied what it sends in part, so moving the bytes is safe.
                    if self.sent >= HIGH_WATER {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
        self.forget();
        Ok(true)
    }

    fn read(&mut self, scratch: &mut [u8]) -> Result<bool, Fault> {
        let before = self.input.len();
        loop {
            match self.channel.read(scratch) {
                Ok(0) => break,
                Ok(n) => self.input.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
        Ok(self.input.len() > before)
    }
}
