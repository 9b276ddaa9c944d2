//! The tests, and what they share; the name of this module says by which library.

mod broken;
mod cut;
mod dishonest_server;
mod fsync;
mod host_keys;
mod listing;
mod login;
mod names;
mod others;
mod promises;
mod purger;
mod refusals;
mod round_trips;
mod slow;

use std::io::Read as _;
use std::sync::OnceLock;
use std::time::Duration;

use dvb_fixity::{Algorithm, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink, SshLibrary};
use dvb_storage::conformance::{Bytes, End};
use dvb_storage::{CommitRequest, Demand, Sink as _, SinkError, SinkSession, StageRequest, Staged, Unstaged};
use dvb_testkit::netfault::Proxy;
use dvb_testkit::sshd::{Account, Server};

/// The library that is tested here.
fn library() -> SshLibrary {
    if module_path!().contains("libssh2") { SshLibrary::Libssh2 } else { SshLibrary::Russh }
}

/// The server of the tests that do not harm it.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

fn config(account: &Account, demand: Demand) -> SftpConfig {
    SftpConfig {
        library: library(),
        host: account.host.clone(),
        port: account.port,
        username: account.user.clone(),
        root: account.root.clone(),
        keys: vec![KeyFile { path: account.key.clone(), passphrase: None }],
        agent: None,
        known_hosts: vec![account.known_hosts.clone()],
        ciphers: None,
        exchanges: None,
        macs: None,
        host_key_types: None,
        open_files: None,
        demand,
        connect_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
    }
}

fn run_id(text: &str) -> RunId {
    RunId(text.to_owned())
}

fn connect_with(config: SftpConfig) -> Result<Box<dyn SinkSession>, SinkError> {
    SftpSink::new(config).connect(&run_id("20000101T000000Z-test"))
}

/// As [`connect_with`], with a folder that is made first.
fn connect_to_new(config: SftpConfig) -> Result<Box<dyn SinkSession>, SinkError> {
    SftpSink::new(config.clone()).make()?;
    connect_with(config)
}

fn connect(account: &Account) -> Box<dyn SinkSession> {
    connect_with(config(account, Demand::Auto)).unwrap_or_else(|it| panic!("{}", it.chain()))
}

/// Why no session can be had.
fn refused(config: SftpConfig) -> SinkError {
    connect_with(config).map(drop).expect_err("a session was had")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// The same account through a proxy.
fn through(proxy: &Proxy, config: SftpConfig) -> SftpConfig {
    let folder = dvb_testkit::temp_folder("known").keep();
    let known_hosts = std::fs::read_to_string(&config.known_hosts[0]).unwrap();
    let here = format!("[127.0.0.1]:{} ", config.port);
    let lines = known_hosts.lines().filter_map(|it| it.strip_prefix(&here));
    let lines: String = lines.map(|it| format!("[127.0.0.1]:{} {it}\n", proxy.port)).collect();
    let file = folder.join("known_hosts");
    std::fs::write(&file, lines).unwrap();
    SftpConfig { port: proxy.port, known_hosts: vec![file], ..config }
}

fn request(at: &str, bytes: &[u8]) -> StageRequest {
    // By every algorithm, so that any evidence can be compared.
    let payload = Bytes::new(bytes.to_vec(), &Algorithm::ALL, End::Whole);
    StageRequest { key: key(at), payload: Box::new(payload) }
}

fn stage(session: &mut dyn SinkSession, files: &[(&str, &[u8])]) -> Vec<Result<Staged, Unstaged>> {
    session.stage(files.iter().map(|(at, bytes)| request(at, bytes)).collect()).unwrap()
}

fn stage_one(session: &mut dyn SinkSession, at: &str, bytes: &[u8]) -> Staged {
    stage(session, &[(at, bytes)]).remove(0).unwrap()
}

fn commit(session: &mut dyn SinkSession, staged: Staged, replace: bool) -> Result<Proved, Unstaged> {
    session.commit(vec![CommitRequest { staged, replace }]).unwrap().remove(0)
}

fn put(session: &mut dyn SinkSession, at: &str, bytes: &[u8]) -> Result<Proved, Unstaged> {
    let staged = stage(session, &[(at, bytes)]).remove(0)?;
    commit(session, staged, false)
}

fn get(session: &mut dyn SinkSession, at: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.open(&key(at)).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// What an administrator sees who looks for copies: everything but the backup's own folder.
fn shown(account: &Account) -> Vec<String> {
    let all = dvb_testkit::files::tree(&account.local);
    all.into_keys().filter(|it| !it.starts_with(".dataverse-backup/")).collect()
}

/// The temporaries that lie there, trial files included.
fn temporaries(account: &Account) -> Vec<std::path::PathBuf> {
    let all = dvb_testkit::files::tree(&account.local);
    all.into_keys().filter(|it| it.starts_with(".dataverse-backup/tmp/")).map(|it| account.local.join(it)).collect()
}

/// A large upload that a run leaves which is killed: where it lies.
fn cut_large(account: &Account, at: &str) -> std::path::PathBuf {
    let size = usize::try_from(dvb_storage::CONTINUED_FROM).unwrap() + 1;
    let mut session =
        SftpSink::new(config(account, Demand::ReadBack)).connect(&run_id("20000101T000000Z-cut")).unwrap();
    let before = temporaries(account);
    stage_one(session.as_mut(), at, &dvb_storage::conformance::some_bytes(1, size));
    temporaries(account).into_iter().find(|it| !before.contains(it)).unwrap()
}

/// The failure of the destination.
fn sink_error<T: std::fmt::Debug>(answer: Result<T, Unstaged>) -> SinkError {
    match answer {
        Err(Unstaged::Sink(error)) => error,
        other => panic!("not a failure of the destination: {other:?}"),
    }
}
