//! A proxy before a PostgreSQL server that loses connections at a statement of one's choice.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Version 3.0 of the protocol, by which a startup begins.
const STARTUP: u32 = 3 << 16;

/// When a connection is lost, seen from its n-th statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The server never gets it.
    Before,
    /// It is done, and its answer is lost.
    After,
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// At which statement from now on, from 1, counted over all connections.
    pub statement: u64,
    /// Before or after it.
    pub moment: Moment,
    /// There is no new connection afterwards.
    pub for_good: bool,
}

/// Who is told before the connection is lost.
type Told = Box<dyn FnOnce() + Send>;

struct State {
    server: u16,
    fault: Mutex<Option<(Fault, Told)>>,
    seen: AtomicU64,
    has_struck: AtomicBool,
    is_shut: AtomicBool,
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// A proxy in front of a port of 127.0.0.1; dropping it cuts all connections.
///
/// A statement is what a client waits for: its messages up to a `Sync` or a simple query. Without TLS, which cannot be looked
/// into.
pub struct StatementProxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<State>,
}

impl StatementProxy {
    /// Starts one in front of `port`.
    ///
    /// # Panics
    /// When there is no port to listen at.
    #[must_use]
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen at a free port");
        let own = listener.local_addr().expect("the address of a listener").port();
        let state = Arc::new(State {
            server: port,
            fault: Mutex::default(),
            seen: AtomicU64::new(0),
            has_struck: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                if !accepting.is_shut.load(Ordering::SeqCst) {
                    accepting.pass_on(client);
                }
            }
        });
        Self { port: own, state }
    }

    /// Passes everything on from now on; what was lost for good before can be had again.
    ///
    /// # Panics
    /// When a thread of the proxy did.
    pub fn heal(&self) {
        self.set(None);
    }

    /// Loses connections once from now on, and calls `told` just before.
    ///
    /// # Panics
    /// When a thread of the proxy did.
    pub fn strike(&self, fault: Fault, told: impl FnOnce() + Send + 'static) {
        self.set(Some((fault, Box::new(told))));
    }

    fn set(&self, fault: Option<(Fault, Told)>) {
        let mut current = self.state.fault.lock().expect("the fault");
        self.state.seen.store(0, Ordering::SeqCst);
        self.state.has_struck.store(false, Ordering::SeqCst);
        self.state.is_shut.store(false, Ordering::SeqCst);
        *current = fault;
    }

    /// Whether the fault has happened.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.state.has_struck.load(Ordering::SeqCst)
    }

    /// Statements since the last strike.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// Cuts every connection, and takes no new one until it is healed.
    pub fn shut(&self) {
        self.state.is_shut.store(true, Ordering::SeqCst);
        self.state.cut();
    }
}

impl Drop for StatementProxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.state.cut();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes the listener
    }
}

impl State {
    fn cut(&self) {
        self.connections.lock().expect("the connections").drain(..).for_each(|it| drop(it.shutdown(Shutdown::Both)));
    }

    fn pass_on(self: &Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server)) else { return };
        let twin = |it: &TcpStream| it.try_clone().expect("duplicate a socket");
        for it in [&client, &server] {
            it.set_nodelay(true).expect("set up a socket");
        }
        self.connections.lock().expect("the connections").extend([twin(&client), twin(&server)]);
        let (state, from, to) = (Arc::clone(self), twin(&client), twin(&server));
        thread::spawn(move || {
            state.hand_up(from, &to);
            let _ = to.shutdown(Shutdown::Both);
        });
        thread::spawn(move || {
            let (mut from, mut to) = (server, client);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }

    /// Hands on what the client says, message by message.
    fn hand_up(&self, mut from: TcpStream, mut to: &TcpStream) -> Option<()> {
        // Before the first message with a type come the startup, and what is asked before it.
        loop {
            let body = body(&mut from)?;
            to.write_all(&body).ok()?;
            // A request for TLS or GSS is refused or answered, and another one comes.
            if u32::from_be_bytes(body.get(4..8)?.try_into().ok()?) == STARTUP {
                break;
            }
        }
        let mut pending = Vec::new();
        loop {
            let mut kind = [0];
            from.read_exact(&mut kind).ok()?;
            pending.push(kind[0]);
            pending.extend(body(&mut from)?);
            // What is said without waiting for an answer goes on with what comes next.
            if !matches!(kind[0], b'S' | b'Q') {
                if matches!(kind[0], b'p' | b'X' | b'H' | b'd' | b'c' | b'f') {
                    to.write_all(&std::mem::take(&mut pending)).ok()?;
                }
                continue;
            }
            match self.is_due() {
                None => to.write_all(&std::mem::take(&mut pending)).ok()?,
                Some(Moment::Before) => {
                    self.cut();
                    return None;
                }
                Some(Moment::After) => {
                    // The answer finds nobody.
                    let _ = from.shutdown(Shutdown::Both);
                    to.write_all(&pending).ok()?;
                    // The server sees the end of the connection behind the statement.
                    let _ = to.shutdown(Shutdown::Write);
                    let _ = to.read_to_end(&mut Vec::new());
                    self.cut();
                    return None;
                }
            }
        }
    }

    fn is_due(&self) -> Option<Moment> {
        let mut fault = self.fault.lock().expect("the fault");
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let (fault, told) = fault.take_if(|it| it.0.statement == seen)?;
        self.is_shut.store(fault.for_good, Ordering::SeqCst);
        // First: whoever is told may look.
        self.has_struck.store(true, Ordering::SeqCst);
        told();
        Some(fault.moment)
    }
}

/// A message's length, with itself, and what is in it.
fn body(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let count = usize::try_from(u32::from_be_bytes(length)).ok()?.checked_sub(4)?;
    let mut all = length.to_vec();
    all.resize(4 + count, 0);
    from.read_exact(&mut all[4..]).ok()?;
    Some(all)
}
