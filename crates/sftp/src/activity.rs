//! When something was received last, and in what pieces: an answer to a keepalive shows nowhere else.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Fewer bytes than the smallest packet of SSH has: whoever sends whole packets is not read in such pieces.
const CRUMB: usize = 16;

/// Bytes among which a greeting is looked for.
const LONGEST_GREETING: usize = 4096;

/// When anything was received last, and what.
pub(crate) struct Activity {
    start: Instant,
    millis: AtomicU64,
    bytes: AtomicU64,
    crumbs: AtomicU64,
    /// How the server named its software and version (RFC 4253, section 4.2).
    greeting: OnceLock<String>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let none = || AtomicU64::new(0);
        Self { start: Instant::now(), millis: none(), bytes: none(), crumbs: none(), greeting: OnceLock::new() }
    }

    /// The last time, to the millisecond.
    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Bytes that were received, and how many times it was only a crumb of a packet.
    pub(crate) fn amount(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.crumbs.load(Ordering::Relaxed))
    }

    /// What the server said that it is, as far as it was heard.
    pub(crate) fn greeting(&self) -> &str {
        self.greeting.get().map_or("unknown", String::as_str)
    }

    /// So many bytes were received at once.
    pub(crate) fn took(&self, bytes: usize, is_all_that_fits: bool) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if bytes < CRUMB && !is_all_that_fits {
            self.crumbs.fetch_add(1, Ordering::Relaxed);
        }
        self.millis.store(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

pub(crate) struct TrackedSocket {
    socket: tokio::net::TcpStream,
    activity: Arc<Activity>,
    /// The first bytes received, until the greeting is among them.
    first: Vec<u8>,
}

impl TrackedSocket {
    /// Takes over a connected socket, in the runtime that is entered.
    ///
    /// # Errors
    /// [`io::Error`], when the system refuses.
    pub(crate) fn new(socket: TcpStream, activity: Arc<Activity>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: tokio::net::TcpStream::from_std(socket)?, activity, first: Vec::new() })
    }

    /// Looks for the server's greeting, which lines of other text may come before.
    fn listen_for_greeting(&mut self, bytes: &[u8]) {
        if self.activity.greeting.get().is_some() || self.first.len() > LONGEST_GREETING {
            return;
        }
        self.first.extend_from_slice(bytes);
        let lines = self.first.split_inclusive(|byte| *byte == b'\n');
        let greeting = lines.filter(|line| line.ends_with(b"\n")).find(|line| line.starts_with(b"SSH-"));
        if let Some(line) = greeting {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            self.activity.greeting.get_or_init(|| text);
        }
    }
}

impl AsyncRead for TrackedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        if polled.is_ready() {
            self.activity.took(buf.filled().len() - before, buf.remaining() == 0);
            self.listen_for_greeting(&buf.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for TrackedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
