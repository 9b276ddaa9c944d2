//! Starting servers so that they end with this process, and finding free ports for them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::procfs;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether we may do what only root may.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// A command with a clean environment: this machine's certificates, proxies and agents are none of a server's business.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Runs a program to its end, which must be a good one; gives what it printed.
pub(crate) fn run(program: &str, args: &[&str], package: &str) -> String {
    let output = clean(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started ({error}): apt-get install {package}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The first of these files that exists.
pub(crate) fn program(candidates: &[&str], package: &str) -> PathBuf {
    candidates
        .iter()
        .map(PathBuf::from)
        .find(|it| it.exists())
        .unwrap_or_else(|| panic!("none of {candidates:?} is installed: apt-get install {package}"))
}

/// A user of this machine, by `/etc/passwd`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd.lines().find(|it| it.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

/// A command that gets `signal` when this process ends.
pub(crate) fn mortal(signal: &str, user: Option<User>, program: impl AsRef<OsStr>) -> Command {
    let setpriv = self::program(&["/usr/bin/setpriv", "/bin/setpriv"], "util-linux");
    let mut command = clean(setpriv);
    command.args(["--pdeathsig", signal]);
    if let Some(User { uid, gid }) = user {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// A server that `start` starts, which is tried three times: a port that was free may be taken before the server gets it.
pub(crate) fn started<T>(mut start: impl FnMut() -> Result<T, String>) -> T {
    let mut failure = String::new();
    for _ in 0..3 {
        match start() {
            Ok(server) => return server,
            Err(error) => failure = error,
        }
    }
    panic!("{failure}");
}

type Order = (Command, Sender<io::Result<Child>>);

/// Spawns on a thread that lives as long as the process: the kernel takes the death of the *thread* that forked for
/// the death of the parent, and every test runs on a thread of its own.
fn spawn(command: Command) -> io::Result<Child> {
    static NURSERY: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("nursery".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("start a thread");
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    nursery.lock().unwrap().send((command, reply)).expect("the nursery lives");
    answer.recv().expect("the nursery answers")
}

/// A running server; dropping it ends it.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
    goodbye: Signal,
}

impl Daemon {
    /// Starts `command` (from [`mortal`]) with its output in `log`; `goodbye` is the signal that ends it.
    pub(crate) fn start(name: &'static str, mut command: Command, log: &Path, goodbye: Signal) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("make a log file");
        let err = out.try_clone().expect("duplicate a handle");
        command.stdout(out).stderr(err).process_group(0);
        let child = spawn(command).unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name, child, log: log.to_owned(), goodbye }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` gives something.
    ///
    /// # Errors
    /// The log, when the server ends before that or does not get ready at all.
    pub(crate) fn wait<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> Result<T, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(it) = ready() {
                return Ok(it);
            }
            let state = match self.child.try_wait().expect("wait for a child") {
                Some(status) => format!("ended with {status}"),
                None if Instant::now() > end => format!("was not ready within {PATIENCE:?}"),
                None => {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
            };
            return Err(format!("{} {state}; its log:\n{}", self.name, self.log()));
        }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal to the server itself.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it and everything that it started, and waits for that.
    pub(crate) fn stop(&mut self) {
        let heirs = procfs::descendants(self.child.id());
        self.signal(self.goodbye);
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        heirs.into_iter().for_each(procfs::kill);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port of 127.0.0.1 that is ours: no other test process takes it while this lives.
pub(crate) struct Port {
    pub(crate) number: u16,
    /// A socket of another protocol with the same number is the mark that other test processes see.
    _claim: UdpSocket,
}

impl Port {
    /// A free one below the range that outgoing connections use.
    pub(crate) fn free() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nanos = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.subsec_nanos());
        let seed = std::process::id().wrapping_mul(2_654_435_761) ^ nanos;
        for _ in 0..10_000 {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let offset = seed.wrapping_add(step.wrapping_mul(7)) % 12_000;
            let number = 20_000 + u16::try_from(offset).expect("below 12,000");
            let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
        panic!("no free port between 20000 and 31999");
    }

    /// Whether something accepts connections there.
    pub(crate) fn answers(&self) -> bool {
        answers(self.number)
    }
}

/// Whether something accepts connections at this port of 127.0.0.1.
pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
