//! Objects of the backup's own that are too large for memory, from the spool folder to the destination: snapshots.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use dvb_catalog::SnapshotLink;
use dvb_fixity::{Algorithm, Hasher, Measured, Proved};
use dvb_model::ObjectKey;
use dvb_storage::{
    Cause, CommitRequest, Payload, PayloadError, SinkError, SinkSession, SourceError, StageRequest, Unstaged,
};

use crate::source::payload::Reading;

/// The bytes of a file of our own, from the first to the last.
pub(crate) struct SpooledFile {
    file: Arc<File>,
    size: u64,
    at: u64,
    hasher: Hasher,
    reading: Reading,
}

impl SpooledFile {
    pub(crate) fn new(file: &Arc<File>, algorithms: &[Algorithm], reading: &Reading) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file: Arc::clone(file), size, at: 0, hasher: Hasher::new(algorithms), reading: reading.clone() })
    }
}

impl Payload for SpooledFile {
    fn size_hint(&self) -> u64 {
        self.size
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if !self.reading.stop.may_go_on() {
            return Err(PayloadError::Stopped);
        }
        let n = match self.file.read_at(buffer, self.at) {
            Ok(n) => n,
            Err(error) => {
                return Err(SourceError::because(Cause::Io, "reading the spooled snapshot failed", error).into());
            }
        };
        // It counts for the limit, but not among the bytes of data files.
        if let Some(rate) = &self.reading.rate {
            rate.wait(n, &self.reading.stop);
        }
        self.at += n as u64;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}

/// Why none was stored.
pub(crate) enum Failed {
    Object(Unstaged),
    Spool(io::Error),
}

/// Nothing gets its name unless all were stored. Where one is then refused its name, those that have theirs are taken back.
pub(crate) fn stage_and_commit(
    session: &mut dyn SinkSession,
    objects: &[(ObjectKey, Arc<File>)],
    reading: &Reading,
    replace: bool,
) -> Result<Result<Vec<Proved>, Failed>, SinkError> {
    let mut requests = Vec::with_capacity(objects.len());
    for (key, file) in objects {
        match SpooledFile::new(file, session.algorithms(), reading) {
            Ok(payload) => requests.push(StageRequest { key: key.clone(), payload: Box::new(payload) }),
            Err(error) => return Ok(Err(Failed::Spool(error))),
        }
    }
    let (staged, failed): (Vec<_>, Vec<_>) = session.stage(requests)?.into_iter().partition(Result::is_ok);
    let staged: Vec<_> = staged.into_iter().flatten().collect();
    if let Some(Err(error)) = failed.into_iter().next() {
        session.discard(staged)?;
        return Ok(Err(Failed::Object(error)));
    }
    let commits = staged.into_iter().map(|staged| CommitRequest { staged, replace }).collect();
    let mut proved = Vec::with_capacity(objects.len());
    let mut failed = None;
    for ((key, _), result) in objects.iter().zip(session.commit(commits)?) {
        match result {
            Ok(it) => proved.push((key, it)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None if proved.len() == objects.len() => Ok(Ok(proved.into_iter().map(|it| it.1).collect())),
        None => Err(SinkError::new(Cause::Io, "the destination gave no answer for the snapshot")),
        Some(error) => {
            for (key, _) in proved {
                // An account that may not remove has a checksum there without its snapshot, which harms nothing.
                let _ = session.remove_own(key);
            }
            Ok(Err(Failed::Object(error)))
        }
    }
}

/// What lies beside a snapshot, as `sha256sum --check` reads it.
pub(crate) fn in_words(folder: &Path, link: &SnapshotLink) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(folder)?;
    writeln!(file, "{}  {}", link.sha256, link.name)?;
    Ok(file)
}

/// SHA-256 of a whole file, in hexadecimal digits.
pub(crate) fn sha256_of(file: &File) -> io::Result<String> {
    let (mut hasher, mut buffer, mut at) = (Hasher::new(&[]), vec![0; 1 << 18], 0);
    loop {
        let n = file.read_at(&mut buffer, at)?;
        if n == 0 {
            let measured = hasher.finish();
            let digest = measured.digest(Algorithm::Sha256).map(dvb_fixity::Digest::hex);
            return digest.ok_or_else(|| io::Error::other("no SHA-256 was made of the snapshot"));
        }
        hasher.update(&buffer[..n]);
        at += n as u64;
    }
}
