//! Copies a folder into a bucket, each copy proved: `copy_folder FOLDER ENDPOINT BUCKET PREFIX ACCESS SECRET [SESSIONS]`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use dvb_fixity::{Hasher, Measured};
use dvb_model::{ObjectKey, RunId};
use dvb_s3::{Credentials, Keys, S3Endpoint, S3Sink, S3SinkConfig};
use dvb_storage::{Cause, CommitRequest, Payload, PayloadError, Sink, SourceError, StageRequest};

/// A file as a payload.
struct FilePayload {
    path: PathBuf,
    file: Option<File>,
    hasher: Hasher,
}

fn failed(error: std::io::Error) -> PayloadError {
    SourceError::because(Cause::Io, "cannot read a file", error).into()
}

impl Payload for FilePayload {
    fn size_hint(&self) -> u64 {
        self.path.metadata().map_or(0, |it| it.len())
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        self.file = Some(File::open(&self.path).map_err(failed)?);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let n = file.read(buffer).map_err(failed)?;
        self.hasher.update(&buffer[..n]);
        if n == 0 {
            self.file = None;
        }
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// Takes batches until none is left; tells how many copies were proved.
fn work(
    sink: &S3Sink,
    root: &Path,
    queue: &Mutex<Vec<PathBuf>>,
    sessions: usize,
) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
    let mut session = sink.connect(&RunId("20000101T000000Z-example".into()))?;
    let algorithms = session.algorithms().to_vec();
    let mut proved = 0;
    loop {
        let batch: Vec<PathBuf> = {
            let mut queue = queue.lock().map_err(|_| "another worker broke down")?;
            let share = (queue.len() / (2 * sessions)).clamp(1, 128);
            let rest = queue.len().saturating_sub(share);
            queue.split_off(rest)
        };
        if batch.is_empty() {
            return Ok(proved);
        }
        let mut requests = Vec::new();
        for path in batch {
            let key = ObjectKey::new(&path.strip_prefix(root)?.to_string_lossy())?;
            let payload = Box::new(FilePayload { path, file: None, hasher: Hasher::new(&algorithms) });
            requests.push(StageRequest { key, payload });
        }
        let staged: Result<Vec<_>, _> = session.stage(requests)?.into_iter().collect();
        let commits = staged?.into_iter().map(|staged| CommitRequest { staged, replace: false }).collect();
        for answer in session.commit(commits)? {
            answer?;
            proved += 1;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, url, bucket, prefix, access, secret, rest @ ..] = args.as_slice() else {
        return Err("copy_folder FOLDER ENDPOINT BUCKET PREFIX ACCESS SECRET [SESSIONS]".into());
    };
    let endpoint = S3Endpoint {
        url: Some(url.clone()),
        region: None,
        path_style: true,
        ca: None,
        proxy: None,
        credentials: Credentials::Keys(Keys::lasting(access, secret)),
        limits: S3Endpoint::LIMITS,
    };
    let sink = S3Sink::new(S3SinkConfig::new(endpoint, bucket, prefix))?;
    let mut found = Vec::new();
    files(Path::new(folder), &mut found)?;
    let (queue, began) = (Mutex::new(found), Instant::now());
    let sessions: usize = rest.first().map_or(Ok(4), |it| it.parse())?;
    let proved: Result<usize, _> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..sessions).map(|_| scope.spawn(|| work(&sink, Path::new(folder), &queue, sessions))).collect();
        workers.into_iter().map(|it| it.join().unwrap_or_else(|_| Err("a worker broke down".into()))).sum()
    });
    eprintln!("{} copies proved in {:?}", proved?, began.elapsed());
    for note in sink.notes() {
        eprintln!("{note}");
    }
    Ok(())
}
