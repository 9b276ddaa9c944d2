//! A TCP proxy that does to connections what networks do: it delays, cuts, hangs, resets and refuses.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to the bytes of connections. `Options::default()` passes them on as they come.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How long each byte is on its way, in each direction. The rate stays what it is: the line is long, not thin.
    pub delay: Duration,
    /// Connections are cut when so many bytes have come from the client.
    pub cut_up: Option<u64>,
    /// Connections are cut when so many bytes have come from the server.
    pub cut_down: Option<u64>,
    /// New connections are cut at once.
    pub refuse: bool,
    /// Nothing is passed on any more, and nothing is cut either.
    pub hang: bool,
    /// What comes from the server is passed on byte by byte, with this pause after each.
    pub drip: Option<Duration>,
}

struct State {
    options: Mutex<Options>,
    connections: Mutex<Vec<TcpStream>>,
    trips: AtomicU64,
    down: AtomicU64,
    closed: AtomicBool,
}

/// A proxy in front of a port of 127.0.0.1; dropping it cuts all connections.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<State>,
}

/// Bytes, and when they are due at the other end.
type Parcel = (Instant, Vec<u8>);

impl Proxy {
    /// Starts one in front of `port`.
    ///
    /// # Panics
    /// When there is no port to listen at.
    #[must_use]
    pub fn start(port: u16, options: Options) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen at a free port");
        let own = listener.local_addr().expect("the address of a listener").port();
        let state = Arc::new(State {
            options: Mutex::new(options),
            connections: Mutex::default(),
            trips: AtomicU64::new(0),
            down: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if for_thread.closed.load(Ordering::Relaxed) {
                    return;
                }
                for_thread.accept(client, port);
            }
        });
        Self { port: own, state }
    }

    /// Changes what happens from now on, to connections under way too; the delay is that of their beginning.
    pub fn set(&self, options: Options) {
        *self.state.options.lock().unwrap() = options;
    }

    /// Cuts every connection under way.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Bytes that came from the server, over all connections.
    #[must_use]
    pub fn came_down(&self) -> u64 {
        self.state.down.load(Ordering::Relaxed)
    }

    /// How often clients have said something after they had been silent for as long as an answer is on its way: the
    /// round trips that were waited for, where the delay is long against everything else.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.state.trips.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        self.reset();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes the listener
    }
}

impl State {
    fn options(&self) -> Options {
        *self.options.lock().unwrap()
    }

    fn accept(self: &Arc<Self>, client: TcpStream, port: u16) {
        let options = self.options();
        let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) else { return };
        if options.refuse {
            return;
        }
        let twin = |it: &TcpStream| it.try_clone().expect("duplicate a socket");
        for it in [&client, &server] {
            it.set_nodelay(true).expect("set up a socket");
        }
        self.connections.lock().unwrap().extend([twin(&client), twin(&server)]);
        self.line(twin(&client), twin(&server), options.delay, true);
        self.line(server, client, options.delay, false);
    }

    /// One direction: one thread takes the bytes, another hands them on when they are due.
    fn line(self: &Arc<Self>, from: TcpStream, to: TcpStream, delay: Duration, up: bool) {
        let (sender, receiver) = sync_channel(4096);
        let state = Arc::clone(self);
        thread::spawn(move || state.take(from, &sender, delay, up));
        let state = Arc::clone(self);
        thread::spawn(move || state.hand_on(to, &receiver, up));
    }

    fn take(&self, mut from: TcpStream, line: &SyncSender<Parcel>, delay: Duration, up: bool) {
        let mut buffer = [0; 64 * 1024];
        let mut last = Instant::now();
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            if up && !delay.is_zero() && last.elapsed() > delay {
                self.trips.fetch_add(1, Ordering::Relaxed);
            }
            last = Instant::now();
            if line.send((last + delay, buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    }

    fn hand_on(&self, mut to: TcpStream, line: &Receiver<Parcel>, up: bool) {
        let mut passed = 0;
        for (due, bytes) in line {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            while self.options().hang && !self.closed.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
            }
            let limit = if up { self.options().cut_up } else { self.options().cut_down };
            let left = limit.map_or(u64::MAX, |it| it.saturating_sub(passed));
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            if self.write(&mut to, &bytes[..n], up).is_err() {
                break;
            }
            passed += n as u64;
            if !up {
                self.down.fetch_add(n as u64, Ordering::Relaxed);
            }
            if n < bytes.len() {
                self.reset();
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    fn write(&self, to: &mut TcpStream, bytes: &[u8], up: bool) -> std::io::Result<()> {
        for (n, byte) in bytes.iter().enumerate() {
            match self.options().drip {
                Some(pause) if !up && !self.closed.load(Ordering::Relaxed) => {
                    to.write_all(&[*byte])?;
                    thread::sleep(pause);
                }
                _ => return to.write_all(&bytes[n..]),
            }
        }
        Ok(())
    }

    fn reset(&self) {
        self.connections.lock().unwrap().drain(..).for_each(|it| drop(it.shutdown(Shutdown::Both)));
    }
}
