//! A finished snapshot, from the spool folder to the destination.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_storage::{Cause, Payload, PayloadError, SourceError};

use crate::source::payload::Reading;

/// The bytes of a file of our own, from the first to the last.
pub(super) struct SpooledFile {
    file: Arc<File>,
    size: u64,
    at: u64,
    hasher: Hasher,
    reading: Reading,
}

impl SpooledFile {
    pub(super) fn new(file: &Arc<File>, algorithms: &[Algorithm], reading: &Reading) -> io::Result<Self> {
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
