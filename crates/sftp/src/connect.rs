//! From a name to a connection that is logged in, each step bounded in time.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use dvb_storage::{Cause, SinkError};
use tracing::debug;

use crate::config::SftpConfig;
use crate::hostkey::KnownKeys;
use crate::login::log_in;
use crate::offers::Offers;
use crate::pace::Interrupt;
use crate::transport::{GLANCE, Transport, agree};

/// Steps that are each given [`SftpConfig::connect_timeout`]: TCP, key exchange, login.
const STEPS: u32 = 3;

/// Reaches the host, makes sure that it is the right one, and logs in.
///
/// # Errors
/// [`SinkError`], as [`Sink::connect`](dvb_storage::Sink::connect) promises.
pub(crate) fn connect(config: &SftpConfig, interrupt: &Interrupt) -> Result<Box<dyn Transport>, SinkError> {
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

fn attempt(config: &SftpConfig) -> Result<Box<dyn Transport>, SinkError> {
    debug!(library = %config.library, host = config.host, port = config.port, "connect");
    let known = KnownKeys::read(&config.host, config.port, &config.known_hosts)?;
    let offers = Offers::of(config)?;
    let mut transport = agree(dial(config)?, config, known, &offers)?;
    log_in(transport.as_mut(), config, offers.allow_sha1())?;
    Ok(transport)
}

/// Tries every address of the host.
pub(crate) fn dial(config: &SftpConfig) -> Result<TcpStream, SinkError> {
    let place = config.place();
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
