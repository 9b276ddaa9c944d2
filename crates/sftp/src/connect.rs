//! From a name to a session that is logged in, each step bounded in time.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use dvb_storage::{Cause, SinkError};
use ssh2::{ErrorCode, MethodType, Session};

use crate::config::SftpConfig;
use crate::hostkey::KnownKeys;

/// libssh2 is about twice as fast with the first as with the others, which it gives to OpenSSL 16 bytes at a time.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,\
                       aes192-ctr,aes256-ctr";
/// What is waiting to be read back, at most: more than OpenSSH's 2 MiB, for long lines.
pub(crate) const WINDOW: u32 = 8 * 1024 * 1024;

/// Steps that are each given [`SftpConfig::connect_timeout`]: TCP, key exchange, login.
const STEPS: u32 = 3;

/// Reaches the host, makes sure that it is the right one, and logs in. The session is left in blocking mode.
///
/// # Errors
/// [`SinkError`], as [`Sink::connect`](dvb_storage::Sink::connect) promises.
pub(crate) fn connect(config: &SftpConfig) -> Result<(Session, TcpStream), SinkError> {
    // Looking up a name, asking an agent and reading a key file have no limit of their own. The thread that waits for
    // such a one goes when it answers, or with the process. With the thread go the errors that libssh2 leaves in
    // OpenSSL's queue of it, which the next TLS read of this one (from the backup database) would take for its own.
    let (sender, receiver) = mpsc::channel();
    let for_thread = config.clone();
    thread::Builder::new()
        .name("ssh-connect".into())
        .spawn(move || drop(sender.send(attempt(&for_thread))))
        .map_err(|it| SinkError::because(Cause::Io, "start a thread", it))?;
    receiver.recv_timeout(config.connect_timeout * STEPS).unwrap_or_else(|_| {
        let agent = if config.agent.is_some() { ", or the ssh-agent here" } else { "" };
        let text =
            format!("log in to {}:{}: the name service, the server{agent} did not answer", config.host, config.port);
        Err(SinkError::new(Cause::Unavailable, text))
    })
}

fn attempt(config: &SftpConfig) -> Result<(Session, TcpStream), SinkError> {
    let socket = dial(config)?;
    let mut session = Session::new().map_err(|it| SinkError::because(Cause::Io, "set up SSH", it))?;
    let clone = socket.try_clone().map_err(|it| SinkError::because(Cause::Io, "set up the socket", it))?;
    session.set_tcp_stream(clone);
    session.set_timeout(millis(config.connect_timeout));
    let known = KnownKeys::read(&session, &config.host, config.port, &config.known_hosts);
    prefer(&session, config, &known)?;
    session.handshake().map_err(|it| {
        let methods = it.code() == ErrorCode::Session(-5) || it.code() == ErrorCode::Session(-8);
        let hint =
            if methods { "; the server may share no cipher, key exchange or key type with this program" } else { "" };
        let attempt = format!("agree with {}:{} on SSH{hint}", config.host, config.port);
        SinkError::because(Cause::Unavailable, attempt, it)
    })?;
    let shown = session.host_key().map(|(key, _)| key.to_vec()).unwrap_or_default();
    known.check(&shown)?;
    log_in(&session, config)?;
    Ok((session, socket))
}

pub(crate) fn millis(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1)
}

fn prefer(session: &Session, config: &SftpConfig, known: &KnownKeys) -> Result<(), SinkError> {
    let set = |kind, list: &str, what: &str| {
        session.method_pref(kind, list).map_err(|it| {
            SinkError::because(Cause::Unavailable, format!("none of the {what} {list:?} is known; see SshCiphers"), it)
        })
    };
    let ciphers = config.ciphers.as_deref().unwrap_or(CIPHERS);
    set(MethodType::CryptCs, ciphers, "ciphers")?;
    set(MethodType::CryptSc, ciphers, "ciphers")?;
    set(MethodType::HostKey, &known.preference(), "host key types")
}

/// Tries every address of the host.
fn dial(config: &SftpConfig) -> Result<TcpStream, SinkError> {
    let place = format!("{}:{}", config.host, config.port);
    let unavailable = |attempt: String, error| SinkError::because(Cause::Unavailable, attempt, error);
    let addresses = (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(|it| unavailable(format!("find the address of {}", config.host), it))?;
    let until = Instant::now() + config.connect_timeout;
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                // Without it, the last packet of each burst would wait for an acknowledgement (Nagle).
                socket.set_nodelay(true).map_err(|it| unavailable(format!("set up the socket to {place}"), it))?;
                // So that a peer that vanished ends even an idle connection.
                let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(unavailable(format!("reach {place}; is the host up, the port right and the firewall open?"), last))
}

fn log_in(session: &Session, config: &SftpConfig) -> Result<(), SinkError> {
    let mut tried = Vec::new();
    for key in &config.keys {
        let Err(error) = session.userauth_pubkey_file(&config.username, None, &key.path, key.passphrase.as_deref())
        else {
            return Ok(());
        };
        lost(session, config, &error, &tried)?;
        let locked = if key.passphrase.is_none() { ", no passphrase given" } else { "" };
        tried.push(format!("key {} ({}{locked})", key.path.display(), error.message()));
    }
    if let Some(socket) = &config.agent {
        match ask_agent(session, config, socket) {
            Ok(None) => return Ok(()),
            Ok(Some(words)) => tried.push(words),
            Err(error) => {
                lost(session, config, &error, &tried)?;
                tried.push(format!("agent at {} ({})", socket.display(), error.message()));
            }
        }
    }
    let tried = if tried.is_empty() { "nothing: neither key file nor agent is given".into() } else { tried.join("; ") };
    Err(SinkError::new(
        Cause::Forbidden,
        format!(
            "{} does not let {:?} log in. Tried: {tried}. Is the public key in the account's authorized_keys?",
            config.host, config.username
        ),
    ))
}

/// Tries each key of an agent: `None` when one was accepted, else words for what was tried.
fn ask_agent(session: &Session, config: &SftpConfig, socket: &std::path::Path) -> Result<Option<String>, ssh2::Error> {
    let mut agent = session.agent()?;
    agent.set_identity_path(socket)?;
    agent.connect()?;
    agent.list_identities()?;
    let keys = agent.identities()?;
    for key in &keys {
        match agent.userauth(&config.username, key) {
            Ok(()) => return Ok(None),
            Err(error) if is_refusal(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(format!("the {} keys of the agent at {}", keys.len(), socket.display())))
}

/// LIBSSH2_ERROR_AUTHENTICATION_FAILED and LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED: the server said no to this key.
fn is_refusal(error: &ssh2::Error) -> bool {
    matches!(error.code(), ErrorCode::Session(-18 | -19))
}

/// Whether a login failed because the connection did: a timeout, or a socket error.
fn lost(session: &Session, config: &SftpConfig, error: &ssh2::Error, tried: &[String]) -> Result<(), SinkError> {
    let after = if tried.is_empty() {
        String::new()
    } else {
        format!(", after: {}; many servers hang up after some keys that they do not know", tried.join("; "))
    };
    match error.code() {
        ErrorCode::Session(-7 | -9 | -13 | -30 | -43) if !session.authenticated() => Err(SinkError::new(
            Cause::Unavailable,
            format!("log in to {}:{}: the connection failed ({}){after}", config.host, config.port, error.message()),
        )),
        ErrorCode::Session(_) | ErrorCode::SFTP(_) => Ok(()),
    }
}
