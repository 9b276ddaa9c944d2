//! From a name to a connection that is logged in, each step bounded in time.

use std::future::Future;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use dvb_storage::{Cause, SinkError};
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use tokio::runtime::{self, Runtime};
use tokio::time::{sleep, timeout};

use crate::activity::{Activity, TrackedSocket};
use crate::config::SftpConfig;
use crate::hostkey::KnownKeys;
use crate::login::log_in;
use crate::offers::{self, Offers};
use crate::pace::Interrupt;

/// What is waiting to be read back, at most: more than OpenSSH's 2 MiB, for long lines.
const WINDOW: u32 = 8 * 1024 * 1024;
/// SSH packets of this size are what every implementation takes (RFC 4253, section 6.1).
const PACKET: u32 = 32 * 1024;
/// How long a connection whose channels have ended may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Steps that are each given [`SftpConfig::connect_timeout`]: TCP, key exchange, login.
const STEPS: u32 = 3;
/// How often somebody who waits looks whether there is time left.
const GLANCE: Duration = Duration::from_millis(50);

/// A connection that is logged in, and the runtime that it lives in.
pub(crate) struct Connection {
    pub(crate) runtime: Runtime,
    pub(crate) life: Life,
    /// When the server sent something last.
    pub(crate) activity: Arc<Activity>,
    pub(crate) socket: TcpStream,
}

/// The connection's own side: opens channels, and tells how it ended.
pub(crate) struct Life(Option<Handle<Guard>>);

impl Life {
    /// For opening channels; `None` after its end.
    pub(crate) fn handle(&self) -> Option<&Handle<Guard>> {
        self.0.as_ref()
    }

    /// Why it ended; `None` while it lives, or where it ended in peace.
    pub(crate) async fn last_words(&mut self) -> Option<io::Error> {
        let handle = self.0.as_mut()?;
        let ended = timeout(LAST_WORDS, handle).await.ok()?;
        self.0 = None;
        ended.err().map(io::Error::other)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It is not the host that was agreed on.
    #[error("the host key is not trusted")]
    Untrusted(SinkError),
    /// SSH failed.
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

/// Looks at the host key.
pub(crate) struct Guard {
    known: KnownKeys,
}

impl client::Handler for Guard {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refused> {
        let checked = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.known.check(&key.to_bytes().map_err(russh::Error::from)?)
            }
            PublicKeyOrCertificate::Certificate(it) => {
                let key = shown.public_key().to_bytes().map_err(russh::Error::from)?;
                self.known.check_certificate(it, &key)
            }
        };
        checked.map(|()| true).map_err(Refused::Untrusted)
    }
}

/// Reaches the host, makes sure that it is the right one, and logs in.
///
/// # Errors
/// [`SinkError`], as [`Sink::connect`](dvb_storage::Sink::connect) promises.
pub(crate) fn connect(config: &SftpConfig, interrupt: &Interrupt) -> Result<Connection, SinkError> {
    // Looking up a name and reading a key file have no limit of their own. The thread that waits for such a one goes
    // when it answers, or with the process.
    let (sender, receiver) = mpsc::channel();
    let for_thread = config.clone();
    thread::Builder::new()
        .name("ssh-connect".into())
        .spawn(move || drop(sender.send(attempt(&for_thread))))
        .map_err(|it| SinkError::because(Cause::Io, "start a thread", it))?;
    let until = Instant::now() + config.connect_timeout * STEPS;
    let answer = loop {
        match receiver.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) if Instant::now() < until && !interrupt.is_set() => {}
            answer => break answer,
        }
    };
    answer.unwrap_or_else(|_| {
        let agent = if config.agent.is_some() { ", or the ssh-agent here" } else { "" };
        let text = format!(
            "cannot log in to {}:{}: the name service, the server{agent} did not answer",
            config.host, config.port
        );
        Err(SinkError::new(Cause::Unavailable, text))
    })
}

fn attempt(config: &SftpConfig) -> Result<Connection, SinkError> {
    let known = KnownKeys::read(&config.host, config.port, &config.known_hosts)?;
    let offers = Offers::of(config)?;
    let ssh = Arc::new(client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        preferred: offers.preferred(&known),
        // Silence is judged by the link; this makes a server that is at work on a long digest answer.
        keepalive_interval: Some((config.idle_timeout / 4).max(Duration::from_millis(250))),
        keepalive_max: 0,
        ..client::Config::default()
    });
    let here = |attempt: &str, error| SinkError::because(Cause::Io, attempt, error);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(|it| here("set up SSH", it))?;
    let socket = dial(config)?;
    let activity = Arc::new(Activity::new());
    let wire = {
        let clone = socket.try_clone().map_err(|it| here("cannot set up the socket", it))?;
        let _in_runtime = runtime.enter();
        TrackedSocket::new(clone, Arc::clone(&activity)).map_err(|it| here("cannot set up the socket", it))?
    };
    let handle = runtime.block_on(async {
        let agreed = within(config, client::connect_stream(ssh, wire, Guard { known })).await;
        let mut handle = agreed.map_err(|it| disagreed(config, it))?;
        log_in(&mut handle, config, offers.allow_sha1()).await?;
        Ok(handle)
    })?;
    Ok(Connection { runtime, life: Life(Some(handle)), activity, socket })
}

/// Gives one step its time.
pub(crate) async fn within<T, E: From<russh::Error>>(
    config: &SftpConfig,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(config.connect_timeout, step).await.unwrap_or_else(|_| Err(russh::Error::ConnectionTimeout.into()))
}

/// Waits for something as long as there is time.
pub(crate) async fn unless<T>(
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

fn disagreed(config: &SftpConfig, refused: Refused) -> SinkError {
    let error = match refused {
        Refused::Untrusted(error) => return error,
        Refused::Ssh(error) => error,
    };
    let place = format!("{}:{}", config.host, config.port);
    match &error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let remedy = offers::remedy(kind, theirs);
            SinkError::new(Cause::Misconfigured, format!("cannot agree with {place} on SSH: {remedy}"))
        }
        _ => SinkError::because(Cause::Unavailable, format!("agree with {place} on SSH"), error),
    }
}

/// Tries every address of the host.
fn dial(config: &SftpConfig) -> Result<TcpStream, SinkError> {
    let place = format!("{}:{}", config.host, config.port);
    let unavailable = |attempt: String, error| SinkError::because(Cause::Unavailable, attempt, error);
    let addresses = (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(|it| unavailable(format!("cannot find the address of {}", config.host), it))?;
    let until = Instant::now() + config.connect_timeout;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                // Without it, the last packet of each burst would wait for an acknowledgement (Nagle).
                socket
                    .set_nodelay(true)
                    .map_err(|it| unavailable(format!("cannot set up the socket to {place}"), it))?;
                // So that a peer that vanished ends even an idle connection.
                let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(unavailable(
        format!("cannot connect to {place}; check that the host is up, the port is right and the firewall is open"),
        last,
    ))
}
