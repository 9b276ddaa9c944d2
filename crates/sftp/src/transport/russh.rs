//! The connection by russh, which lives in a runtime of its own, on the thread of whoever uses it.

use std::borrow::Cow;
use std::future::{Future, pending, ready};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dvb_storage::{Cause, Setting, SinkError};
use russh::client::{self, Handle, Msg};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{
    AgentAuthError, AlgorithmKind, Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Names, Preferred, cipher,
    kex, mac,
};
use tokio::runtime::{self, Runtime};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{Abilities, ChannelBuffer, Channels, GLANCE, HIGH_WATER, No, PACKET, Transport, Until, WINDOW};
use crate::activity::{Activity, TrackedSocket};
use crate::config::SftpConfig;
use crate::error::Fault;
use crate::hostkey::KnownKeys;
use crate::offers::{self, Offers};
use crate::pace::Interrupt;

/// How much is handed to the connection at once, so that room is told of early.
const PIECE: usize = 128 * 1024;
/// How long a connection whose channels have ended may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// AES in Galois/counter mode is the fastest by far where the processor computes it, and slower than the other without.
const CIPHERS: [&str; 6] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
/// Not a method, but what is understood beside: EXT_INFO (RFC 8308), and strict exchange against Terrapin.
const BESIDE: [kex::Name; 4] = [
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// Which algorithms russh knows.
pub(super) fn abilities() -> Abilities {
    Abilities {
        ciphers: &CIPHERS,
        knows_cipher: Box::new(|name| cipher_named(name).is_some()),
        knows_exchange: Box::new(|name| exchange_named(name).is_some()),
        knows_mac: Box::new(|name| mac_named(name).is_some()),
        knows_host_key: Box::new(|_| true),
    }
}

/// A cipher that hides something: the library knows one that does not.
fn cipher_named(name: &str) -> Option<cipher::Name> {
    cipher::Name::try_from(name).ok().filter(|it| *it != cipher::CLEAR && *it != cipher::NONE)
}

fn exchange_named(name: &str) -> Option<kex::Name> {
    kex::Name::try_from(name).ok().filter(|it| *it != kex::NONE && !BESIDE.contains(it))
}

fn mac_named(name: &str) -> Option<mac::Name> {
    mac::Name::try_from(name).ok().filter(|it| *it != mac::NONE)
}

fn preferred(offers: &Offers, known: &KnownKeys) -> Preferred {
    let (plain, certified) = offers.host_keys(known);
    let exchanges = offers.exchanges.iter().filter_map(|name| exchange_named(name)).chain(BESIDE).collect();
    Preferred {
        kex: Cow::Owned(exchanges),
        key: Cow::Owned(plain),
        host_key_certificates: Cow::Owned(certified),
        cipher: Cow::Owned(offers.ciphers.iter().filter_map(|name| cipher_named(name)).collect()),
        mac: Cow::Owned(offers.macs.iter().filter_map(|name| mac_named(name)).collect()),
        ..Preferred::default()
    }
}

/// A connection of russh.
pub(super) struct Russh {
    runtime: Runtime,
    /// `None` after its end.
    handle: Option<Handle<Guard>>,
    activity: Arc<Activity>,
    socket: TcpStream,
    limit: Duration,
    sftp: Option<Stream>,
    shell: Option<Stream>,
    /// Told whenever bytes were sent.
    moved: Arc<Notify>,
}

struct Stream {
    /// Bytes that the connection has taken over and not yet sent.
    pending: Arc<AtomicUsize>,
    to_carry: UnboundedSender<Bytes>,
    reader: ChannelReadHalf,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// It is not the host that was agreed on.
    #[error("the host key is not trusted")]
    Untrusted(SinkError),
    /// The handshake failed, or the connection did.
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

/// Looks at the host key.
struct Guard {
    known: KnownKeys,
    activity: Arc<Activity>,
}

impl client::Handler for Guard {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refused> {
        let key = shown.public_key().to_bytes().map_err(russh::Error::from)?;
        let checked = match shown {
            PublicKeyOrCertificate::PublicKey { .. } => self.known.check(&key),
            PublicKeyOrCertificate::Certificate(it) => self.known.check_certificate(it, &key),
        };
        checked.map(|()| true).map_err(Refused::Untrusted)
    }

    /// At the start, and when new keys are agreed on.
    async fn kex_done(
        &mut self,
        _secret: Option<&[u8]>,
        names: &Names,
        _session: &mut client::Session,
    ) -> Result<(), Refused> {
        debug!(
            library = "russh",
            server = self.activity.greeting(),
            key_exchange = names.kex.as_ref(),
            host_key = names.key.as_str(),
            cipher = names.cipher.as_ref(),
            mac = names.client_mac.as_ref(),
            "agreed on SSH"
        );
        Ok(())
    }
}

/// Agrees on SSH and looks at the host key.
pub(super) fn agree(
    socket: TcpStream,
    config: &SftpConfig,
    known: KnownKeys,
    offers: &Offers,
) -> Result<Russh, SinkError> {
    let ssh = Arc::new(client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        preferred: preferred(offers, &known),
        // Silence is judged by the pace; this makes a server that is at work on a long digest answer.
        keepalive_interval: Some((config.idle_timeout / 4).max(Duration::from_millis(250))),
        keepalive_max: 0,
        ..client::Config::default()
    });
    let here = |attempt: &str, error| SinkError::because(Cause::Io, attempt, error);
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(|it| here("cannot set up SSH", it))?;
    let activity = Arc::new(Activity::new());
    let tracked = {
        let clone = socket.try_clone().map_err(|it| here("cannot set up the socket", it))?;
        let _in_runtime = runtime.enter();
        TrackedSocket::new(clone, Arc::clone(&activity)).map_err(|it| here("cannot set up the socket", it))?
    };
    let limit = config.connect_timeout;
    let agreed = runtime.block_on(within(
        limit,
        client::connect_stream(ssh, tracked, Guard { known, activity: Arc::clone(&activity) }),
    ));
    let handle = Some(agreed.map_err(|it| disagreed(config, it))?);
    Ok(Russh { runtime, handle, activity, socket, limit, sftp: None, shell: None, moved: Arc::new(Notify::new()) })
}

fn disagreed(config: &SftpConfig, refused: Refused) -> SinkError {
    let error = match refused {
        Refused::Untrusted(error) => return error,
        Refused::Ssh(error) => error,
    };
    let place = config.place();
    match &error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let (what, key) = match kind {
                AlgorithmKind::Kex => ("key exchange", Some(Setting::KexAlgorithms)),
                AlgorithmKind::Key => ("type of host key", Some(Setting::HostKeyAlgorithms)),
                AlgorithmKind::Cipher => ("cipher", Some(Setting::Ciphers)),
                AlgorithmKind::Mac => ("MAC", Some(Setting::Macs)),
                AlgorithmKind::Compression => ("compression", None),
            };
            let remedy = offers::remedy(what, key.as_ref(), theirs);
            SinkError::new(Cause::Misconfigured, format!("cannot agree with {place} on SSH: {remedy}"))
        }
        _ => SinkError::because(Cause::Unavailable, format!("cannot agree with {place} on SSH"), error),
    }
}

/// Gives one step its time.
async fn within<T, E: From<russh::Error>>(limit: Duration, step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(russh::Error::ConnectionTimeout.into()))
}

/// Waits for something as long as there is time.
async fn unless<T>(
    interrupt: &Interrupt,
    step: impl Future<Output = Result<T, russh::Error>>,
) -> Result<T, russh::Error> {
    let no_time = async {
        while !interrupt.is_set() {
            sleep(GLANCE).await;
        }
    };
    tokio::select! {
        done = step => done,
        () = no_time => Err(russh::Error::ConnectionTimeout),
    }
}

fn lost(error: russh::Error) -> No {
    No::Lost(io::Error::other(error))
}

/// A refusal is also what is told of a connection that is gone.
fn still_there(handle: &Handle<Guard>) -> Result<(), No> {
    if handle.is_closed() { Err(lost(russh::Error::Disconnect)) } else { Ok(()) }
}

/// The hashes to sign with, best first: of an RSA key, what the server says that it takes (RFC 8332).
async fn hashes(
    handle: &Handle<Guard>,
    limit: Duration,
    algorithm: Algorithm,
    sha1: bool,
) -> Result<Vec<Option<HashAlg>>, No> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(vec![None]);
    }
    match within(limit, handle.best_supported_rsa_hash()).await.map_err(lost)? {
        Some(None) if !sha1 => Err(No::Key(crate::login::only_sha1())),
        Some(best) => Ok(vec![best]),
        // A server from before 2016, or one that does not tell.
        None if sha1 => Ok(vec![Some(HashAlg::Sha256), None]),
        None => Ok(vec![Some(HashAlg::Sha256)]),
    }
}

async fn by_key(
    handle: &mut Handle<Guard>,
    limit: Duration,
    user: &str,
    key: &PrivateKey,
    sha1: bool,
) -> Result<(), No> {
    let key = Arc::new(key.clone());
    for hash in hashes(handle, limit, key.algorithm(), sha1).await? {
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
        let answer = within(limit, handle.authenticate_publickey(user, key)).await.map_err(lost)?;
        if answer.success() {
            return Ok(());
        }
        still_there(handle)?;
    }
    Err(No::Key("the server refused it".into()))
}

async fn by_agent(
    handle: &mut Handle<Guard>,
    limit: Duration,
    user: &str,
    socket: &Path,
    sha1: bool,
) -> Result<(), No> {
    let deaf = |it: russh::keys::Error| No::Key(format!("agent at {} ({it})", socket.display()));
    let mut agent = AgentClient::connect_uds(socket).await.map_err(deaf)?;
    let identities = agent.request_identities().await.map_err(deaf)?;
    let count = identities.len();
    for identity in identities {
        for hash in hashes(handle, limit, identity.public_key().algorithm(), sha1).await? {
            let answer = match &identity {
                AgentIdentity::PublicKey { key, .. } => {
                    handle.authenticate_publickey_with(user, key.clone(), hash, &mut agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut agent).await
                }
            };
            match answer {
                Ok(answer) if answer.success() => return Ok(()),
                // An agent may hold a key that it does not sign with; the next may do.
                Ok(_) | Err(AgentAuthError::Key(_)) => still_there(handle)?,
                Err(AgentAuthError::Send(_)) => return Err(lost(russh::Error::SendError)),
            }
        }
    }
    Err(No::Key(format!("the {count} keys of the agent at {}", socket.display())))
}

impl Transport for Russh {
    fn log_in_with_key(&mut self, username: &str, key: &PrivateKey, sha1: bool) -> Result<(), No> {
        let Some(handle) = &mut self.handle else { return Err(lost(russh::Error::Disconnect)) };
        self.runtime.block_on(by_key(handle, self.limit, username, key, sha1))
    }

    fn log_in_with_agent(&mut self, username: &str, socket: &Path, sha1: bool) -> Result<(), No> {
        let Some(handle) = &mut self.handle else { return Err(lost(russh::Error::Disconnect)) };
        self.runtime.block_on(by_agent(handle, self.limit, username, socket, sha1))
    }

    /// Both are opened side by side, with what runs in them, in one round trip.
    fn open(&mut self, wants_shell: bool, until: Instant, interrupt: &Interrupt) -> io::Result<Channels> {
        let Some(handle) = &self.handle else { return Err(io::Error::other(russh::Error::Disconnect)) };
        let sftp = async {
            let channel = handle.channel_open_session().await?;
            channel.request_subsystem(true, "sftp").await?;
            Ok::<_, russh::Error>(channel)
        };
        let shell = async {
            if !wants_shell {
                return Ok::<_, russh::Error>(None);
            }
            // A server that allows only one channel, or no commands, is served by reading back.
            let Ok(channel) = handle.channel_open_session().await else { return Ok(None) };
            channel.exec(true, "exec sh").await?;
            Ok(Some(channel))
        };
        let both = async { tokio::try_join!(sftp, shell) };
        let limit = until.saturating_duration_since(Instant::now());
        let opened = self.runtime.block_on(unless(interrupt, within(limit, both))).map_err(io::Error::other)?;
        let stream = |channel| Stream::new(&self.runtime, channel, &self.moved);
        (self.sftp, self.shell) = (Some(stream(opened.0)), opened.1.map(stream));
        Ok(Channels { sftp: ChannelBuffer::new(), shell: self.shell.as_ref().map(|_| ChannelBuffer::new()) })
    }

    fn exchange(&mut self, channels: &mut Channels, until: Until, time: Duration) -> Result<bool, Fault> {
        let mut both = Both {
            sftp: (self.sftp.as_mut(), Some(&mut channels.sftp)),
            shell: (self.shell.as_mut(), channels.shell.as_mut()),
        };
        both.hand_over();
        let moved = &self.moved;
        let came = self.runtime.block_on(async {
            // The connection's turn, also where there is room already.
            yield_now().await;
            let until_then = sleep(time);
            tokio::pin!(until_then);
            loop {
                if both.take_what_is_there().await {
                    return true;
                }
                if both.is_over() || until == Until::Room && both.has_room() {
                    return false;
                }
                let came = tokio::select! {
                    came = receive(&mut both.sftp) => came,
                    came = receive(&mut both.shell) => came,
                    () = moved.notified(), if until == Until::Room => false,
                    () = &mut until_then => return false,
                };
                if came {
                    both.take_what_is_there().await;
                    return true;
                }
            }
        });
        both.count();
        Ok(came)
    }

    fn activity(&self) -> &Activity {
        &self.activity
    }

    fn last_words(&mut self) -> Option<io::Error> {
        let handle = self.handle.as_mut()?;
        let ended = self.runtime.block_on(async { timeout(LAST_WORDS, handle).await.ok() })?;
        self.handle = None;
        ended.err().map(io::Error::other)
    }

    fn forget_shell(&mut self) {
        self.shell = None;
    }
}

impl Drop for Russh {
    fn drop(&mut self) {
        // Everything was answered, or does not matter any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A channel, with its bytes.
type Pair<'a> = (Option<&'a mut Stream>, Option<&'a mut ChannelBuffer>);

struct Both<'a> {
    sftp: Pair<'a>,
    shell: Pair<'a>,
}

impl Both<'_> {
    fn each(&mut self, mut visit: impl FnMut(&mut Stream, &mut ChannelBuffer)) {
        for pair in [&mut self.sftp, &mut self.shell] {
            if let (Some(stream), Some(buffer)) = pair {
                visit(stream, buffer);
            }
        }
    }

    fn hand_over(&mut self) {
        self.each(|stream, buffer| {
            if buffer.out.is_empty() || buffer.over {
                return;
            }
            let bytes = Bytes::from(std::mem::take(&mut buffer.out));
            stream.pending.fetch_add(bytes.len(), Ordering::Relaxed);
            // Nobody takes it where the connection is lost, which is what the reader will find.
            let _ = stream.to_carry.send(bytes);
        });
    }

    /// Tells the buffers what is still to be sent.
    fn count(&mut self) {
        self.each(|stream, buffer| buffer.in_flight = stream.pending.load(Ordering::Relaxed));
    }

    fn has_room(&self) -> bool {
        let (Some(stream), Some(buffer)) = &self.sftp else { return true };
        buffer.out.len() + stream.pending.load(Ordering::Relaxed) < HIGH_WATER
    }

    fn is_over(&self) -> bool {
        self.sftp.1.as_ref().is_none_or(|it| it.over)
    }

    /// Takes what has come in the meantime; whether anything did, the end of a channel included.
    async fn take_what_is_there(&mut self) -> bool {
        let mut came = false;
        loop {
            came |= tokio::select! {
                biased;
                it = receive(&mut self.sftp) => it,
                it = receive(&mut self.shell) => it,
                () = ready(()) => return came,
            };
        }
    }
}

/// Waits for the next message of a channel; whether it brought something, the end included. Waits for ever after that,
/// or where there is no channel.
async fn receive(pair: &mut Pair<'_>) -> bool {
    let (Some(stream), Some(buffer)) = pair else { return pending().await };
    if buffer.over {
        return pending().await;
    }
    match stream.reader.wait().await {
        Some(ChannelMsg::Data { data }) => buffer.input.extend_from_slice(&data),
        Some(ChannelMsg::Eof | ChannelMsg::Close | ChannelMsg::Failure) | None => buffer.over = true,
        Some(_) => return false,
    }
    true
}

impl Stream {
    fn new(runtime: &Runtime, channel: Channel<Msg>, moved: &Arc<Notify>) -> Self {
        let (reader, writer) = channel.split();
        let (to_carry, to_send) = unbounded_channel();
        let pending = Arc::new(AtomicUsize::new(0));
        runtime.spawn(carry(writer, to_send, Arc::clone(&pending), Arc::clone(moved)));
        Self { pending, to_carry, reader }
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
