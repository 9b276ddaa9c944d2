//! The seam between this crate and a library of SSH: a connection that logs in, and carries the bytes of two channels.
//!
//! What is decided once, whichever library is at work, is above it: which keys are tried ([`login`](crate::login)),
//! which host is trusted ([`hostkey`](crate::hostkey)), which algorithms are offered ([`offers`](crate::offers)), and
//! how long a server is waited for ([`pace`](crate::pace)).

#[cfg(feature = "libssh2")]
mod kexinit;
#[cfg(feature = "libssh2")]
mod libssh2;
mod russh;

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ::russh::keys::PrivateKey;
use dvb_storage::SinkError;

use crate::activity::Activity;
use crate::config::{SftpConfig, SshLibrary};
use crate::error::Fault;
use crate::hostkey::KnownKeys;
use crate::offers::Offers;
use crate::pace::Interrupt;

/// Unsent bytes above which nothing more is asked for: enough to keep the cipher busy, little enough for flat memory.
const HIGH_WATER: usize = 1024 * 1024;
/// What is waiting to be read back, at most: more than OpenSSH's 2 MiB, for long lines.
const WINDOW: u32 = 8 * 1024 * 1024;
/// SSH packets of this size are what every implementation takes (RFC 4253, section 6.1).
const PACKET: u32 = 32 * 1024;
/// How often somebody who waits looks whether there is time left.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// One connection to a host that was found to be the right one. Dropping it closes it at once.
///
/// Nothing is sent or received but within a call; each call is bounded in time.
pub(crate) trait Transport: Send {
    /// Logs in with a key. Of an RSA key, signatures by SHA-1 are made only where `sha1` allows them.
    ///
    /// # Errors
    /// [`No`], with what is wrong with the key, or how the connection was lost.
    fn log_in_with_key(&mut self, username: &str, key: &PrivateKey, sha1: bool) -> Result<(), No>;

    /// Logs in with one of the keys of the ssh-agent at this socket, tried in its order.
    ///
    /// # Errors
    /// As [`Transport::log_in_with_key`].
    fn log_in_with_agent(&mut self, username: &str, socket: &Path, sha1: bool) -> Result<(), No>;

    /// Opens a channel for SFTP, and, where a shell is wanted and the server allows one, another for that. Whether they
    /// start may become known later, by their end.
    ///
    /// # Errors
    /// [`io::Error`], where there is no channel for SFTP by then, or no time is left.
    fn open(&mut self, wants_shell: bool, until: Instant, interrupt: &Interrupt) -> io::Result<Channels>;

    /// Takes over what is to be sent, and takes in what has come. Where nothing has come, it waits for that, and with
    /// [`Until::Room`] also for room to send, but no longer than `time`. Whether anything came, an end included.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost.
    fn exchange(&mut self, channels: &mut Channels, until: Until, time: Duration) -> Result<bool, Fault>;

    /// When and how the server was heard.
    fn activity(&self) -> &Activity;

    /// Why the connection ended, where that is known.
    fn last_words(&mut self) -> Option<io::Error>;

    /// Expects no more of the shell.
    fn forget_shell(&mut self);
}

/// Why a key opened nothing.
pub(crate) enum No {
    /// It was refused, or is none.
    Key(String),
    /// The connection failed before the server had answered.
    Lost(io::Error),
}

/// What [`Transport::exchange`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Something was received in either channel.
    Input,
    /// Anything was received, or there is room for more to send.
    Room,
}

/// The bytes of both channels.
pub(crate) struct Channels {
    pub(crate) sftp: ChannelBuffer,
    pub(crate) shell: Option<ChannelBuffer>,
}

/// The bytes of one channel, on this side of the library.
pub(crate) struct ChannelBuffer {
    pub(crate) out: Vec<u8>,
    /// Received, and not yet understood.
    pub(crate) input: Vec<u8>,
    /// Nothing more will come.
    pub(crate) over: bool,
    /// Bytes that the library has taken over and not yet sent.
    in_flight: usize,
}

impl ChannelBuffer {
    fn new() -> Self {
        Self { out: Vec::new(), input: Vec::new(), over: false, in_flight: 0 }
    }

    /// Whether more may be appended to what is to be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() + self.in_flight < HIGH_WATER
    }

    /// Whether all was handed to the operating system.
    pub(crate) fn is_all_sent(&self) -> bool {
        self.out.len() + self.in_flight == 0
    }
}

/// Agrees with the server on SSH, by the library that the configuration names, and makes sure that it is the right one.
///
/// # Errors
/// [`SinkError`], as [`Sink::connect`](dvb_storage::Sink::connect) promises.
pub(crate) fn agree(
    socket: TcpStream,
    config: &SftpConfig,
    known: KnownKeys,
    offers: &Offers,
) -> Result<Box<dyn Transport>, SinkError> {
    match config.library {
        SshLibrary::Russh => Ok(Box::new(russh::agree(socket, config, known, offers)?)),
        #[cfg(feature = "libssh2")]
        SshLibrary::Libssh2 => Ok(Box::new(libssh2::agree(socket, config, &known, offers)?)),
        #[cfg(not(feature = "libssh2"))]
        SshLibrary::Libssh2 => Err(crate::config::not_built_in()),
    }
}

/// What the library that is configured can do, by its names in OpenSSH; for [`Offers`].
///
/// # Errors
/// [`SinkError`], where it is not built in.
pub(crate) fn abilities(library: SshLibrary) -> Result<Abilities, SinkError> {
    match library {
        SshLibrary::Russh => Ok(russh::abilities()),
        #[cfg(feature = "libssh2")]
        SshLibrary::Libssh2 => libssh2::abilities(),
        #[cfg(not(feature = "libssh2"))]
        SshLibrary::Libssh2 => Err(crate::config::not_built_in()),
    }
}

/// Which algorithms a library knows, by the names that OpenSSH has for them.
pub(crate) struct Abilities {
    /// The ciphers that are offered by default, fastest first.
    pub(crate) ciphers: &'static [&'static str],
    pub(crate) knows_cipher: Knows,
    pub(crate) knows_exchange: Knows,
    pub(crate) knows_mac: Knows,
    pub(crate) knows_host_key: Knows,
}

/// Whether an algorithm of this name is known.
pub(crate) type Knows = Box<dyn Fn(&str) -> bool>;
