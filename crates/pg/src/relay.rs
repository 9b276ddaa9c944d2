//! A Unix socket that can be cut off.
//!
//! The driver opens its sockets itself. That of a TCP connection it hands to whoever makes TLS of it ([`crate::guard`]), a
//! Unix one to nobody. So it gets a socket of ours, and two threads pass on what comes: the one to the server is ours to
//! shut down.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use crate::guard::Interrupt;

/// Names that are tried: another process may have one.
const NAMES: u32 = 100;
/// Bytes that are passed on at once.
const BUFFER: usize = 64 << 10;

/// Where the driver is to connect to instead of the server, once.
pub(crate) struct Relay {
    /// For the driver: a name that is no file, and ends with this process.
    pub(crate) host: PathBuf,
    address: SocketAddr,
}

impl Relay {
    /// To the server whose socket is in this folder.
    pub(crate) fn open(folder: &str, port: u16, interrupt: &Interrupt) -> io::Result<Self> {
        let socket = format!(".s.PGSQL.{port}");
        let server = UnixStream::connect(Path::new(folder).join(&socket))?;
        let (listener, host, address) = listen(&socket, interrupt)?;
        let interrupt = interrupt.clone();
        thread::Builder::new().name("postgres-relay".into()).spawn(move || {
            // What goes wrong here ends the connection, and so the driver tells it.
            let driver = accept(&listener);
            drop(listener);
            if let Ok(driver) = driver {
                pass_on(&driver, &server, &interrupt);
            }
        })?;
        Ok(Self { host, address })
    }

    /// Nobody connects any more.
    pub(crate) fn close(self) {
        // Whoever still waits for the driver sees that nothing comes.
        drop(UnixStream::connect_addr(&self.address));
    }
}

fn listen(socket: &str, interrupt: &Interrupt) -> io::Result<(UnixListener, PathBuf, SocketAddr)> {
    let mut tried = 0;
    loop {
        let name = format!("dataverse-backup-{}-{}", std::process::id(), interrupt.number());
        let address = SocketAddr::from_abstract_name(format!("{name}/{socket}"))?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => return Ok((listener, PathBuf::from(format!("\0{name}")), address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < NAMES => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The driver's end, and nobody else's: the server takes whoever comes by this for our user.
fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let stream = listener.accept()?.0;
        let peer = rustix::net::sockopt::socket_peercred(&stream)?;
        if peer.pid == rustix::process::getpid() {
            return Ok(stream);
        }
    }
}

fn pass_on(driver: &UnixStream, server: &UnixStream, interrupt: &Interrupt) {
    let number = interrupt.number();
    match server.try_clone() {
        Ok(socket) => interrupt.cuts(number, socket),
        // What nobody could cut off is not begun.
        Err(_) => return end(driver, server),
    }
    thread::scope(|scope| {
        scope.spawn(|| copy(server, driver));
        copy(driver, server);
    });
    interrupt.forget_socket(number);
}

/// Until either side ends; then both do.
fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) if to.write_all(&buffer[..n]).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => break,
        }
    }
    end(from, to);
}

fn end(one: &UnixStream, other: &UnixStream) {
    for it in [one, other] {
        // It may have ended by itself.
        drop(it.shutdown(Shutdown::Both));
    }
}
