//! Sends many files through the sink and tells how long it took: `put_many FILES BYTES SESSIONS PREFIX < settings`.
//!
//! The settings are lines of standard input: host, port, user, root, key file, known hosts file, and `russh` or `libssh2`.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::io::BufRead as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dvb_fixity::{Hasher, Measured};
use dvb_model::{ObjectKey, RunId};
use dvb_sftp::{KeyFile, SftpConfig, SftpSink, SshLibrary};
use dvb_storage::{CommitRequest, Demand, Payload, PayloadError, Sink, StageRequest};

const BATCH: usize = 256;

/// Bytes that cost nothing to make, but are hashed as a file's would be.
struct Made {
    left: u64,
    seed: u8,
    hasher: Hasher,
}

impl Payload for Made {
    fn size_hint(&self) -> u64 {
        self.left
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        buffer[..n].fill(self.seed);
        self.hasher.update(&buffer[..n]);
        self.left -= n as u64;
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, files, bytes, sessions, prefix] = args.as_slice() else { return Err("FILES BYTES SESSIONS PREFIX".into()) };
    let (files, bytes, sessions): (usize, u64, usize) = (files.parse()?, bytes.parse()?, sessions.parse()?);
    let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let [host, port, user, root, key, known, library] = lines.as_slice() else {
        return Err("seven lines of settings".into());
    };
    let library = match library.as_str() {
        "russh" => SshLibrary::Russh,
        "libssh2" => SshLibrary::Libssh2,
        other => return Err(format!("{other} is neither russh nor libssh2").into()),
    };
    let sink = SftpSink::new(SftpConfig {
        library,
        host: host.clone(),
        port: port.parse()?,
        username: user.clone(),
        root: root.clone(),
        keys: vec![KeyFile { path: key.into(), passphrase: None }],
        agent: None,
        known_hosts: vec![known.into()],
        ciphers: std::env::var("CIPHERS").ok(),
        exchanges: None,
        macs: None,
        host_key_types: None,
        open_files: None,
        demand: if std::env::var_os("READ_BACK").is_some() { Demand::ReadBack } else { Demand::Auto },
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
    });
    let batch = if bytes > 8 << 20 { 1 } else { BATCH.min(files.div_ceil(sessions)) };
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<(), Box<dyn Error + Send + Sync>> {
            let mut session = sink.connect(&RunId("20000101T000000Z-speed".into()))?;
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= files {
                    return Ok(());
                }
                let mut requests = Vec::new();
                for n in first..files.min(first + batch) {
                    let key = ObjectKey::new(&format!("{prefix}/{}/{n}", n / 100))?;
                    let hasher = Hasher::new(session.algorithms());
                    requests.push(StageRequest { key, payload: Box::new(Made { left: bytes, seed: n as u8, hasher }) });
                }
                let start = Instant::now();
                let staged = session.stage(requests)?;
                eprintln!("stage {:.3}", start.elapsed().as_secs_f64());
                let start = Instant::now();
                let commits: Result<Vec<_>, _> =
                    staged.into_iter().map(|it| it.map(|staged| CommitRequest { staged, replace: false })).collect();
                for proved in session.commit(commits?)? {
                    proved?;
                }
                eprintln!("commit {:.3}", start.elapsed().as_secs_f64());
            }
        };
        let threads: Vec<_> = (0..sessions).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|it| it.join().map_err(|_| "a thread panicked")?)
    })?;
    println!("{:.2} s", began.elapsed().as_secs_f64());
    Ok(())
}
