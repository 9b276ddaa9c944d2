//! A connection that does not wait for ever: a server that is stopped, or a host that is stuck, still acknowledges what
//! it is sent, so that no limit of TCP ends the wait.
//!
//! The driver opens its sockets itself and gives them to nobody but whoever makes TLS of them. So this is such a one,
//! and where no TLS is wanted, it only watches.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openssl::error::ErrorStack;
use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use postgres_openssl::{MakeTlsConnector, TlsConnector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::error::Cause;

/// What asks a server for TLS: a length of eight bytes, and a number that is no version.
const ASK_FOR_TLS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// A wait that lasted since the last statement, with nothing asked, is no silence: so long it is waited once more.
const ONCE_MORE: Duration = Duration::from_secs(3);

/// Cuts off whoever waits for a database. Clones are one and the same.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    is_cut: AtomicBool,
    next: AtomicU64,
    wakers: Mutex<HashMap<u64, Waker>>,
    /// Sockets to be shut down, where nothing can be woken.
    sockets: Mutex<HashMap<u64, UnixStream>>,
}

impl Interrupt {
    /// Nothing is cut off yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All that is waited for by connections of this kind fails at once, now and later.
    pub fn interrupt(&self) {
        self.0.is_cut.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut *self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_values().for_each(Waker::wake);
        let sockets = std::mem::take(&mut *self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        // One that has ended by itself is no matter.
        sockets.into_values().for_each(|it| drop(it.shutdown(Shutdown::Both)));
    }

    /// What whoever waited is to be told, where that was done.
    #[must_use]
    pub fn cause(&self) -> Option<io::Error> {
        self.is_interrupted().then(over)
    }

    /// Shuts this socket down, now or when the time comes.
    pub(crate) fn cuts(&self, number: u64, socket: UnixStream) {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner).insert(number, socket);
        // Looked at after it is known: whoever interrupts in between finds it.
        if self.is_interrupted() {
            self.interrupt();
        }
    }

    pub(crate) fn forget_socket(&self, number: u64) {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Whether that was done.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.is_cut.load(Ordering::SeqCst)
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    fn wait(&self, number: u64, waker: &Waker) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, waker.clone());
    }

    fn forget(&self, number: u64) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.is_interrupted()).finish()
    }
}

/// What whoever was interrupted is told.
pub(crate) fn over() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "it gives no answer, and the time for it was over")
}

/// How long a connection waits, and who may end it.
#[derive(Debug, Clone)]
pub struct Patience {
    /// The server may say nothing for so long while an answer is waited for.
    pub silence: Duration,
    /// Who may end the wait.
    pub interrupt: Interrupt,
}

/// Reads and writes as long as there is patience.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    patience: Patience,
    number: u64,
    until: Pin<Box<Sleep>>,
    /// The time has run out once, with nothing sent or received since.
    ran_out: bool,
}

impl<S> Guarded<S> {
    /// In the driver's own runtime.
    fn new(inner: S, patience: Patience) -> Self {
        let number = patience.interrupt.number();
        let until = Box::pin(tokio::time::sleep(patience.silence));
        Self { inner, patience, number, until, ran_out: false }
    }

    fn something_passed(&mut self) {
        self.ran_out = false;
        self.until.as_mut().reset(Instant::now() + self.patience.silence);
    }

    /// What is to be told whoever waits now.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Self { patience, number, .. } = &*self;
        patience.interrupt.wait(*number, cx.waker());
        // Looked at after the waker is known: whoever sets it in between wakes.
        if patience.interrupt.is_interrupted() {
            return Poll::Ready(over());
        }
        while self.until.as_mut().poll(cx).is_ready() {
            if self.ran_out {
                let text = format!("it has said nothing for {} s", self.patience.silence.as_secs());
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.ran_out = true;
            self.until.as_mut().reset(Instant::now() + ONCE_MORE.min(self.patience.silence));
        }
        Poll::Pending
    }
}

impl<S> Drop for Guarded<S> {
    fn drop(&mut self) {
        self.patience.interrupt.forget(self.number);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if done.is_ready() {
            self.something_passed();
            return done;
        }
        self.poll_patience(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if done.is_ready() {
            self.something_passed();
            return done;
        }
        self.poll_patience(cx).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Whether TLS is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    No,
    IfThereIsAny,
    Yes,
}

/// Makes guarded connections of the driver's sockets.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) patience: Patience,
    pub(crate) asks: Asks,
    /// Needed where TLS is asked for.
    pub(crate) tls: Option<MakeTlsConnector>,
}

impl MakeTlsConnect<Socket> for Guard {
    type Stream = Stream;
    type TlsConnect = GuardOne;
    type Error = ErrorStack;

    fn make_tls_connect(&mut self, domain: &str) -> Result<GuardOne, ErrorStack> {
        let make = |it: &mut MakeTlsConnector| MakeTlsConnect::<Guarded<Socket>>::make_tls_connect(it, domain);
        let tls = self.tls.as_mut().filter(|_| self.asks != Asks::No).map(make).transpose()?;
        Ok(GuardOne { patience: self.patience.clone(), asks: self.asks, tls })
    }
}

/// Makes one guarded connection.
pub(crate) struct GuardOne {
    patience: Patience,
    asks: Asks,
    tls: Option<TlsConnector>,
}

impl TlsConnect<Socket> for GuardOne {
    type Stream = Stream;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Cause>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let mut socket = Guarded::new(socket, self.patience);
            let Some(tls) = self.tls else { return Ok(Stream::Plain(socket)) };
            if ask_for_tls(&mut socket).await? {
                return Ok(Stream::Tls(tls.connect(socket).await?));
            }
            match self.asks {
                Asks::Yes => Err("server does not support TLS".into()),
                Asks::IfThereIsAny | Asks::No => Ok(Stream::Plain(socket)),
            }
        })
    }
}

/// Whether the server has TLS to offer.
async fn ask_for_tls(socket: &mut Guarded<Socket>) -> io::Result<bool> {
    let mut sent = 0;
    while sent < ASK_FOR_TLS.len() {
        match poll_fn(|cx| Pin::new(&mut *socket).poll_write(cx, &ASK_FOR_TLS[sent..])).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => sent += n,
        }
    }
    // One byte and no more: what follows belongs to the handshake.
    let mut answer = [0];
    let mut buffer = ReadBuf::new(&mut answer);
    poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, &mut buffer)).await?;
    match buffer.filled() {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        said => Ok(said == b"S"),
    }
}

/// A guarded connection, encrypted or not.
pub(crate) enum Stream {
    Plain(Guarded<Socket>),
    Tls(postgres_openssl::TlsStream<Guarded<Socket>>),
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Self::Tls(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Tls(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Tls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Tls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Plain(_) => ChannelBinding::none(),
            Self::Tls(it) => it.channel_binding(),
        }
    }
}
