//! A payload that is in memory.

use dvb_fixity::{Algorithm, Hasher, Measured};

use crate::{Payload, PayloadError};

/// Bytes at hand as a payload.
pub struct InMemory {
    bytes: Vec<u8>,
    at: usize,
    hasher: Hasher,
}

impl InMemory {
    /// A payload of these bytes, hashed by `algorithms` (and SHA-256).
    #[must_use]
    pub fn new(bytes: Vec<u8>, algorithms: &[Algorithm]) -> Self {
        Self { bytes, at: 0, hasher: Hasher::new(algorithms) }
    }
}

impl Payload for InMemory {
    fn size_hint(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = buffer.len().min(self.bytes.len() - self.at);
        buffer[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.hasher.update(&buffer[..n]);
        self.at += n;
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.hasher.finish()
    }
}
