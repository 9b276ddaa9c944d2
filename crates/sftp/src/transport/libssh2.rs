//! The connection by libssh2, which never blocks: this module waits, by poll(2), for the socket.
//!
//! libssh2 sends one packet at a time. What it has sent in part must go on, with the same bytes, before anything else
//! is sent; what it has received for a channel waits in it, of which the socket tells nothing any more.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dvb_storage::{Cause, Setting, SinkError};
use openssl::error::ErrorStack;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, Error, ErrorCode, ExtendedData, MethodType, Session};
use tracing::debug;

use super::kexinit::{self, Offered};
use super::{Abilities, ChannelBuffer, Channels, GLANCE, HIGH_WATER, Knows, No, PACKET, Transport, Until, WINDOW};
use crate::activity::Activity;
use crate::config::SftpConfig;
use crate::connect::dial;
use crate::error::Fault;
use crate::hostkey::{KnownKeys, kind_of};
use crate::login::only_sha1;
use crate::offers::{self, CERTIFICATE, Offers};
use crate::pace::Interrupt;

/// libssh2 computes the first without a copy, and hands the others to OpenSSL 16 bytes at a time, at half the speed.
const CIPHERS: [&str; 6] = [
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
/// Not methods, but what is understood beside; libssh2 adds them itself.
const BESIDE: [&str; 2] = ["ext-info-c", "kex-strict-c-v00@openssh.com"];
/// What an RSA key may sign by.
const SIGNATURES: &str = "rsa-sha2-512,rsa-sha2-256";
/// Bytes that are read from a channel at once.
const SCRATCH: usize = 64 * 1024;

// libssh2's errors (libssh2.h) that mean something of their own.
const LIBSSH2_ERROR_KEX_FAILURE: i32 = -5;
const LIBSSH2_ERROR_METHOD_NONE: i32 = -17;
const LIBSSH2_ERROR_EAGAIN: i32 = -37;
const LIBSSH2_ERROR_TIMEOUT: i32 = -9;
const LIBSSH2_ERROR_BAD_SOCKET: i32 = -45;
/// `SOCKET_SEND`, `TIMEOUT`, `SOCKET_DISCONNECT`, `PROTO`, `SOCKET_TIMEOUT`, `SOCKET_RECV`, `BAD_SOCKET`.
const LOST: [i32; 7] = [-7, LIBSSH2_ERROR_TIMEOUT, -13, -14, -30, -43, LIBSSH2_ERROR_BAD_SOCKET];

/// Which algorithms libssh2 knows, as it was built in.
pub(super) fn abilities() -> Result<Abilities, SinkError> {
    let session = Session::new().map_err(|error| SinkError::because(Cause::Io, "cannot set up SSH", error))?;
    let knows = |kind| -> Result<Knows, SinkError> {
        let all = session.supported_algs(kind);
        let all = all.map_err(|error| SinkError::because(Cause::Io, "cannot list libssh2's algorithms", error))?;
        Ok(Box::new(move |name| name != "none" && !BESIDE.contains(&name) && all.contains(&name)))
    };
    Ok(Abilities {
        ciphers: &CIPHERS,
        knows_cipher: knows(MethodType::CryptCs)?,
        knows_exchange: knows(MethodType::Kex)?,
        knows_mac: knows(MethodType::MacCs)?,
        knows_host_key: knows(MethodType::HostKey)?,
    })
}

/// A channel, and what was taken over to be sent in it.
struct Stream {
    channel: Channel,
    queue: Vec<u8>,
    sent: usize,
}

/// Which of the connection's two channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Sftp,
    Shell,
}

/// A connection of libssh2.
pub(super) struct Libssh2 {
    // The channels go before their session, as Rust drops fields in this order.
    sftp: Option<Stream>,
    shell: Option<Stream>,
    session: Session,
    socket: TcpStream,
    activity: Activity,
    /// Bytes that waited in the socket when it was read last.
    unread: u64,
    /// The channel whose packet was sent in part.
    midway: Option<Which>,
    keepalive: Duration,
    limit: Duration,
    scratch: Box<[u8]>,
}

/// Agrees on SSH and looks at the host key.
pub(super) fn agree(
    socket: TcpStream,
    config: &SftpConfig,
    known: &KnownKeys,
    offers: &Offers,
) -> Result<Libssh2, SinkError> {
    let here = |error: io::Error| SinkError::because(Cause::Io, "cannot set up the socket", error);
    let mut session = Session::new().map_err(|error| SinkError::because(Cause::Io, "cannot set up SSH", error))?;
    socket.set_nonblocking(true).map_err(here)?;
    session.set_tcp_stream(socket.try_clone().map_err(here)?);
    session.set_blocking(false);
    // libssh2 sends none more often than every two seconds, whatever it is told.
    session.set_keepalive(true, 2);
    prefer(&session, known, offers)?;
    let mut connection = Libssh2 {
        sftp: None,
        shell: None,
        session,
        socket,
        activity: Activity::new(),
        unread: 0,
        midway: None,
        keepalive: (config.idle_timeout / 4).max(Duration::from_millis(250)),
        limit: config.connect_timeout,
        scratch: vec![0; SCRATCH].into(),
    };
    let agreed = connection.within_limit(Session::handshake);
    agreed.map_err(|error| disagreed(config, known, offers, error))?;
    let name = |kind| connection.session.methods(kind).unwrap_or_default();
    debug!(
        library = "libssh2",
        server = connection.session.banner().unwrap_or("unknown"),
        key_exchange = name(MethodType::Kex),
        host_key = name(MethodType::HostKey),
        cipher = name(MethodType::CryptCs),
        mac = name(MethodType::MacCs),
        "agreed on SSH"
    );
    let shown = connection.session.host_key().map(|(key, _)| key.to_vec()).unwrap_or_default();
    known.check_shown(&shown)?;
    Ok(connection)
}

fn prefer(session: &Session, known: &KnownKeys, offers: &Offers) -> Result<(), SinkError> {
    let host_keys = host_keys(known, offers);
    for (kind, names, key) in [
        (MethodType::Kex, &offers.exchanges, Setting::KexAlgorithms),
        (MethodType::HostKey, &host_keys, Setting::HostKeyAlgorithms),
        (MethodType::CryptCs, &offers.ciphers, Setting::Ciphers),
        (MethodType::CryptSc, &offers.ciphers, Setting::Ciphers),
        (MethodType::MacCs, &offers.macs, Setting::Macs),
        (MethodType::MacSc, &offers.macs, Setting::Macs),
    ] {
        session.method_pref(kind, &names.join(",")).map_err(|error| {
            SinkError::because(Cause::Misconfigured, format!("{key}: libssh2 takes none of {}", names.join(",")), error)
        })?;
    }
    Ok(())
}

/// Certificates first, as ssh(1) has it: they need no line for the host itself.
fn host_keys(known: &KnownKeys, offers: &Offers) -> Vec<String> {
    let (plain, certified) = offers.host_keys(known);
    let certified = certified.iter().map(|kind| format!("{kind}{CERTIFICATE}"));
    certified.chain(plain.iter().map(ToString::to_string)).collect()
}

fn disagreed(config: &SftpConfig, known: &KnownKeys, offers: &Offers, error: Error) -> SinkError {
    let place = config.place();
    // The same error stands for a server that hangs up, so that one is asked again.
    if error.code() == ErrorCode::Session(LIBSSH2_ERROR_KEX_FAILURE)
        && let Ok(offered) = dial(config).map(|socket| kexinit::ask(socket, config.connect_timeout))
        && let Ok(Some(remedy)) = offered.map(|offered| nothing_shared(known, offers, &offered))
    {
        return SinkError::new(Cause::Misconfigured, format!("cannot agree with {place} on SSH: {remedy}"));
    }
    SinkError::because(Cause::Unavailable, format!("cannot agree with {place} on SSH"), error)
}

/// The first thing of which both sides have none in common, and what to do.
fn nothing_shared(known: &KnownKeys, offers: &Offers, theirs: &Offered) -> Option<String> {
    let host_keys = host_keys(known, offers);
    let all = [
        ("key exchange", Setting::KexAlgorithms, &offers.exchanges, &theirs.exchanges),
        ("type of host key", Setting::HostKeyAlgorithms, &host_keys, &theirs.host_keys),
        ("cipher", Setting::Ciphers, &offers.ciphers, &theirs.ciphers),
        ("MAC", Setting::Macs, &offers.macs, &theirs.macs),
    ];
    let (what, key, _, theirs) =
        all.into_iter().find(|(_, _, ours, theirs)| !ours.iter().any(|name| theirs.contains(name)))?;
    Some(offers::remedy(what, Some(&key), theirs))
}

/// Whether a call would have had to wait.
fn would_block(error: &Error) -> bool {
    error.code() == ErrorCode::Session(LIBSSH2_ERROR_EAGAIN)
}

fn is_late(error: &Error) -> bool {
    error.code() == ErrorCode::Session(LIBSSH2_ERROR_TIMEOUT)
}

fn is_lost(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Session(code) if LOST.contains(&code))
}

/// What libssh2 leaves in OpenSSL's queue of errors of this thread, the next one who uses TLS in it would take for its own.
fn clear_errors() {
    drop(ErrorStack::get());
}

impl Libssh2 {
    /// Calls until there is nothing to wait for any more, as long as one step of connecting may take.
    fn within_limit<T>(&mut self, step: impl FnMut(&mut Session) -> Result<T, Error>) -> Result<T, Error> {
        let until = Instant::now() + self.limit;
        self.wait_for(until, &Interrupt::default(), step)
    }

    fn wait_for<T>(
        &mut self,
        until: Instant,
        interrupt: &Interrupt,
        mut step: impl FnMut(&mut Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            self.note_activity();
            match step(&mut self.session) {
                Err(error) if would_block(&error) => {
                    if Instant::now() >= until || interrupt.is_set() {
                        return Err(Error::new(
                            ErrorCode::Session(LIBSSH2_ERROR_TIMEOUT),
                            "the server did not answer in time",
                        ));
                    }
                    self.poll(self.is_blocked_outbound(), GLANCE)
                        .map_err(|_| Error::new(ErrorCode::Session(LIBSSH2_ERROR_BAD_SOCKET), "poll failed"))?;
                }
                done => {
                    clear_errors();
                    return done;
                }
            }
        }
    }

    /// Takes down what has come since the socket was read last.
    fn note_activity(&mut self) {
        // A socket of which nothing is known is a silent one.
        let waiting = rustix::io::ioctl_fionread(&self.socket).unwrap_or(0);
        if waiting > self.unread {
            self.activity.took(usize::try_from(waiting - self.unread).unwrap_or(usize::MAX), false);
        }
        self.unread = waiting;
    }

    fn is_blocked_outbound(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Waits until the socket can be read, or written to; whether it can.
    fn poll(&self, for_room: bool, time: Duration) -> io::Result<bool> {
        let flags = if for_room { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let time = Timespec { tv_sec: time.as_secs().try_into().unwrap_or(1), tv_nsec: time.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.socket, flags)], Some(&time)) {
            Ok(count) => Ok(count > 0),
            // The caller counts the time.
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the server says which signatures it takes (RFC 8308). Where it does not, libssh2 signs by SHA-1 with an RSA
    /// key. Asked by an algorithm that there is not, and without a private key: nothing is signed.
    fn tells_signatures(&mut self, username: &str, public: &str) -> Result<bool, No> {
        self.choose_signatures("none@dataverse-backup")?;
        let asked = self.within_limit(|session| session.userauth_pubkey_memory(username, Some(public), "no key", None));
        match asked {
            Err(error) if error.code() == ErrorCode::Session(LIBSSH2_ERROR_METHOD_NONE) => Ok(true),
            Err(error) if is_lost(&error) => Err(No::Lost(error.into())),
            Err(_) | Ok(()) => Ok(false),
        }
    }

    fn choose_signatures(&self, names: &str) -> Result<(), No> {
        let chosen = self.session.method_pref(MethodType::SignAlgo, names);
        chosen.map_err(|error| No::Key(format!("libssh2 takes no choice of signatures ({error})")))
    }

    /// Makes sure that a key signs by what is allowed.
    fn allow_signatures(&mut self, username: &str, kind: &str, public: &str, sha1: bool) -> Result<(), No> {
        if !kind.starts_with("ssh-rsa") {
            return Ok(());
        }
        if sha1 {
            return self.choose_signatures(&format!("{SIGNATURES},ssh-rsa"));
        }
        if !self.tells_signatures(username, public)? {
            return Err(No::Key(format!(
                "{}; or {}: russh, where the server takes more than it says",
                only_sha1(),
                Setting::SshLibrary
            )));
        }
        self.choose_signatures(SIGNATURES)
    }

    fn stream(&mut self, which: Which) -> Option<&mut Stream> {
        match which {
            Which::Sftp => self.sftp.as_mut(),
            Which::Shell => self.shell.as_mut(),
        }
    }

    /// Sends what it can, first of all what was sent in part.
    fn write(&mut self) -> Result<(), Fault> {
        let order = match self.midway {
            Some(Which::Shell) => [Which::Shell, Which::Sftp],
            Some(Which::Sftp) | None => [Which::Sftp, Which::Shell],
        };
        for which in order {
            let Some(stream) = self.stream(which) else { continue };
            let is_all = stream.write()?;
            if is_all {
                self.midway = None;
            } else if self.is_blocked_outbound() {
                self.midway = Some(which);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads both channels empty; whether anything came, an end included.
    fn read(&mut self, channels: &mut Channels) -> Result<bool, Fault> {
        let mut came = false;
        if let Some(stream) = &mut self.sftp {
            came |= stream.read(&mut channels.sftp, &mut self.scratch)?;
        }
        if let (Some(stream), Some(buffer)) = (&mut self.shell, &mut channels.shell) {
            came |= stream.read(buffer, &mut self.scratch)?;
        }
        self.unread = rustix::io::ioctl_fionread(&self.socket).unwrap_or(0);
        Ok(came)
    }

    fn pending(&self) -> usize {
        [&self.sftp, &self.shell].into_iter().flatten().map(Stream::pending).sum()
    }

    /// Whether a channel that is read holds bytes.
    fn holds_data(&self, channels: &Channels) -> bool {
        let holds = |stream: &Option<Stream>, is_read: bool| {
            is_read && stream.as_ref().is_some_and(|it| it.channel.read_window().available > 0)
        };
        holds(&self.sftp, !channels.sftp.over) || holds(&self.shell, channels.shell.as_ref().is_some_and(|it| !it.over))
    }

    fn has_window(&self) -> bool {
        self.sftp.as_ref().is_some_and(|it| it.channel.write_window().remaining > 0)
    }

    /// A server at work on a long digest is alive as long as it answers this.
    fn keep_alive(&mut self) -> Result<(), Fault> {
        // libssh2 could not finish one that was sent in part, so it is sent only where there is room for all of it.
        let room = poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        if self.pending() == 0 && self.activity.last().elapsed() >= self.keepalive && room.is_ok_and(|it| it > 0) {
            self.session.keepalive_send().map_err(|error| Fault::Lost(error.into()))?;
        }
        Ok(())
    }

    fn exchange_until(&mut self, channels: &mut Channels, until: Until, end: Instant) -> Result<bool, Fault> {
        loop {
            self.note_activity();
            self.write()?;
            let had_window = self.has_window();
            if self.read(channels)? {
                return Ok(true);
            }
            if channels.sftp.over || until == Until::Room && self.pending() < HIGH_WATER {
                return Ok(false);
            }
            // Sending reads as well, and reading takes in more than data: neither shows at the socket any more.
            if (!had_window && self.has_window()) || self.holds_data(channels) {
                continue;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let for_room = self.pending() > 0 && self.is_blocked_outbound();
            if !self.poll(for_room, left).map_err(|error| Fault::System("poll", error))? {
                self.keep_alive()?;
            }
        }
    }
}

impl Transport for Libssh2 {
    fn log_in_with_key(&mut self, username: &str, key: &PrivateKey, sha1: bool) -> Result<(), No> {
        let unusable = |error: russh::keys::ssh_key::Error| No::Key(error.to_string());
        let public = key.public_key().to_openssh().map_err(unusable)?;
        let private = key.to_openssh(LineEnding::LF).map_err(unusable)?;
        let kind = if matches!(key.algorithm(), Algorithm::Rsa { .. }) { "ssh-rsa" } else { "" };
        self.allow_signatures(username, kind, &public, sha1)?;
        let answer =
            self.within_limit(|session| session.userauth_pubkey_memory(username, Some(&public), &private, None));
        match answer {
            Ok(()) => Ok(()),
            Err(error) if is_lost(&error) => Err(No::Lost(error.into())),
            Err(error) if error.code() == ErrorCode::Session(LIBSSH2_ERROR_METHOD_NONE) => Err(No::Key(only_sha1())),
            Err(error) => Err(No::Key(format!("the server refused it: {}", error.message()))),
        }
    }

    fn log_in_with_agent(&mut self, username: &str, socket: &Path, sha1: bool) -> Result<(), No> {
        let deaf = |error: Error| No::Key(format!("agent at {} ({})", socket.display(), error.message()));
        let mut agent = self.session.agent().map_err(deaf)?;
        agent.set_identity_path(socket).map_err(deaf)?;
        self.within_limit(|_| agent.connect()).map_err(deaf)?;
        self.within_limit(|_| agent.list_identities()).map_err(deaf)?;
        let identities = agent.identities().map_err(deaf)?;
        let mut only_sha1 = "";
        for identity in &identities {
            let kind = kind_of(identity.blob());
            let public = format!("{kind} {}", STANDARD.encode(identity.blob()));
            match self.allow_signatures(username, &kind, &public, sha1) {
                Ok(()) => {}
                Err(No::Key(_)) => {
                    only_sha1 = "; of RSA keys, the server takes signatures by SHA-1 only";
                    continue;
                }
                Err(lost) => return Err(lost),
            }
            match self.within_limit(|_| agent.userauth(username, identity)) {
                Ok(()) => return Ok(()),
                Err(error) if is_lost(&error) => return Err(No::Lost(error.into())),
                // An agent may hold a key that it does not sign with; the next may do.
                Err(_) => {}
            }
        }
        Err(No::Key(format!("the {} keys of the agent at {}{only_sha1}", identities.len(), socket.display())))
    }

    fn open(&mut self, wants_shell: bool, until: Instant, interrupt: &Interrupt) -> io::Result<Channels> {
        let open = |session: &mut Session| session.channel_open("session", WINDOW, PACKET, None);
        let mut sftp = self.wait_for(until, interrupt, open)?;
        self.wait_for(until, interrupt, |_| sftp.subsystem("sftp"))?;
        sftp.handle_extended_data(ExtendedData::Ignore)?;
        // A server that allows only one channel, or no commands, is served by reading back.
        let mut shell = None;
        if wants_shell {
            let started = self.wait_for(until, interrupt, open).and_then(|mut channel| {
                self.wait_for(until, interrupt, |_| channel.exec("exec sh"))?;
                channel.handle_extended_data(ExtendedData::Ignore)?;
                Ok(channel)
            });
            shell = match started {
                Ok(channel) => Some(channel),
                // One that does not answer within the limit may still serve SFTP.
                Err(error) if is_lost(&error) && !is_late(&error) => return Err(error.into()),
                Err(_) => None,
            };
        }
        self.sftp = Some(Stream::new(sftp));
        self.shell = shell.map(Stream::new);
        Ok(Channels { sftp: ChannelBuffer::new(), shell: self.shell.as_ref().map(|_| ChannelBuffer::new()) })
    }

    fn exchange(&mut self, channels: &mut Channels, until: Until, time: Duration) -> Result<bool, Fault> {
        if let Some(stream) = &mut self.sftp {
            stream.take_over(&mut channels.sftp.out);
        }
        if let (Some(stream), Some(buffer)) = (&mut self.shell, &mut channels.shell) {
            stream.take_over(&mut buffer.out);
        }
        let came = self.exchange_until(channels, until, Instant::now() + time);
        if came.is_err() {
            clear_errors();
        }
        channels.sftp.in_flight = self.sftp.as_ref().map_or(0, Stream::pending);
        if let (Some(stream), Some(buffer)) = (&self.shell, &mut channels.shell) {
            buffer.in_flight = stream.pending();
        }
        came
    }

    fn activity(&self) -> &Activity {
        &self.activity
    }

    fn last_words(&mut self) -> Option<io::Error> {
        // libssh2 says how the connection ended by the error of the call that finds out.
        None
    }

    fn forget_shell(&mut self) {
        // What was sent in part goes on. Of what it prints, nothing is read: it can fill its window and no more.
        if let Some(shell) = &mut self.shell
            && self.midway != Some(Which::Shell)
        {
            shell.queue.clear();
            shell.sent = 0;
        }
    }
}

impl Drop for Libssh2 {
    fn drop(&mut self) {
        // Everything was answered, or does not matter any more: without a socket, libssh2 frees all without waiting.
        let _ = self.socket.shutdown(Shutdown::Both);
        (self.sftp, self.shell) = (None, None);
        clear_errors();
    }
}

impl Stream {
    fn new(channel: Channel) -> Self {
        Self { channel, queue: Vec::new(), sent: 0 }
    }

    fn pending(&self) -> usize {
        self.queue.len() - self.sent
    }

    fn take_over(&mut self, out: &mut Vec<u8>) {
        if self.pending() == 0 {
            self.queue.clear();
            self.sent = 0;
            std::mem::swap(&mut self.queue, out);
        } else {
            self.queue.append(out);
        }
    }

    /// Sends until all is sent (`true`), or the socket or the window is full.
    fn write(&mut self) -> Result<bool, Fault> {
        while self.pending() > 0 {
            match self.channel.write(&self.queue[self.sent..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // libssh2 has a copy of what it sent in part, so the bytes may move.
                    if self.sent >= HIGH_WATER {
                        self.queue.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
        Ok(true)
    }

    /// Reads all that is there; whether anything came, the end included.
    fn read(&mut self, buffer: &mut ChannelBuffer, scratch: &mut [u8]) -> Result<bool, Fault> {
        if buffer.over {
            return Ok(false);
        }
        let before = buffer.input.len();
        loop {
            match self.channel.read(scratch) {
                Ok(0) => break,
                Ok(count) => buffer.input.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Fault::Lost(error)),
            }
        }
        buffer.over = self.channel.eof();
        Ok(buffer.over || buffer.input.len() > before)
    }
}
