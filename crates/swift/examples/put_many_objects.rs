//! Stores many objects through the sink and tells how long it took: `put_many_objects FILES BYTES SESSIONS PREFIX < settings`.
//!
//! The settings are lines of standard input: login address (version 1), user, password, container.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::io::BufRead as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dvb_fixity::{Hasher, Measured};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{CommitRequest, Demand, Payload, PayloadError, Sink, StageRequest};
use dvb_swift::{Limits, SwiftAccount, SwiftAuth, SwiftSink, SwiftSinkConfig};

const BATCH: usize = 256;
const BATCH_BYTES: u64 = 64 << 20;

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
    let [auth_url, user, key, container] = lines.as_slice() else { return Err("four lines of settings".into()) };
    let sink = SwiftSink::new(SwiftSinkConfig {
        account: SwiftAccount {
            auth_url: auth_url.clone(),
            auth: SwiftAuth::V1 { user: user.clone(), key: key.clone(), tenant: None },
            endpoint: None,
            region: None,
            ca: None,
            limits: SwiftAccount::LIMITS,
        },
        container: container.clone(),
        limits: Limits::USUAL,
        requests: 4,
        demand: Demand::RemoteHash,
    });
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    let batch = BATCH.min(files.div_ceil(sessions)).min(usize::try_from(BATCH_BYTES / bytes.max(1))?.max(1));
    std::thread::scope(|scope| {
        let work = || send(&sink, &next, files, bytes, batch, prefix);
        let workers: Vec<_> = (0..sessions).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|it| it.join().map_err(|_| "a worker panicked")?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{files} files of {bytes} bytes in {seconds:.2} s");
    Ok(())
}

fn send(
    sink: &SwiftSink,
    next: &AtomicUsize,
    files: usize,
    bytes: u64,
    batch: usize,
    prefix: &str,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut session = sink.connect(&RunId("20260101T000000Z-example".into()))?;
    loop {
        let first = next.fetch_add(batch, Ordering::Relaxed);
        if first >= files {
            return Ok(());
        }
        let algorithms = session.algorithms().to_vec();
        let request = |n: usize| {
            let key = ObjectKey::new(&format!("{prefix}/{}/{n}", n / 20))?;
            let made = Made { left: bytes, seed: n.to_le_bytes()[0], hasher: Hasher::new(&algorithms) };
            Ok(StageRequest { key, payload: Box::new(made) })
        };
        let requests: Result<Vec<_>, dvb_model::KeyError> = (first..files.min(first + batch)).map(request).collect();
        let staged = session.stage(requests?)?;
        let commit = |staged| CommitRequest { staged, replace: false };
        let requests: Result<Vec<_>, _> = staged.into_iter().map(|it| it.map(commit)).collect();
        for answer in session.commit(requests?)? {
            answer?;
        }
    }
}
