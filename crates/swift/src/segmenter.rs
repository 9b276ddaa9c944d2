//! The bytes of a payload, cut into segments while they are read.

use std::io::{self, Read};

use dvb_fixity::Digest;
use dvb_storage::{Cause, Payload, PayloadError, SourceError};
use md5::{Digest as _, Md5};

const BUFFER: usize = 256 << 10;

/// A payload, with the bytes that were read ahead of it.
pub(crate) struct Segmenter<'a> {
    payload: &'a mut dyn Payload,
    ahead: Vec<u8>,
    at: usize,
    ended: bool,
    /// What ended a read that went through a reader, which can carry only its own kind of error.
    error: Option<PayloadError>,
}

impl<'a> Segmenter<'a> {
    pub(crate) fn new(payload: &'a mut dyn Payload) -> Self {
        Self { payload, ahead: Vec::new(), at: 0, ended: false, error: None }
    }

    /// All bytes, if there are not more than `most`; else they wait for the segments.
    pub(crate) fn whole(&mut self, most: u64) -> Result<Option<Vec<u8>>, PayloadError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut filled = 0;
        // One more, to see that nothing follows.
        self.ahead.resize(most.saturating_add(1), 0);
        while filled < self.ahead.len() && !self.ended {
            let n = self.payload.read(&mut self.ahead[filled..])?;
            filled += n;
            self.ended = n == 0;
        }
        self.ahead.truncate(filled);
        Ok((filled <= most).then(|| std::mem::take(&mut self.ahead)))
    }

    /// Whether there is another byte.
    pub(crate) fn has_more(&mut self) -> Result<bool, PayloadError> {
        if self.at < self.ahead.len() {
            return Ok(true);
        }
        if !self.ended {
            self.ahead.resize(BUFFER, 0);
            let n = self.payload.read(&mut self.ahead)?;
            self.ahead.truncate(n);
            self.at = 0;
            self.ended = n == 0;
        }
        Ok(!self.ended)
    }

    /// The next bytes, at most `most` of them; exactly `length`, where that was promised.
    pub(crate) fn segment(&mut self, most: u64, length: Option<u64>, hashed: bool) -> Segment<'a, '_> {
        Segment { segmenter: self, left: length.unwrap_or(most), length, sent: 0, md5: hashed.then(Md5::new) }
    }

    pub(crate) fn take_error(&mut self) -> Option<PayloadError> {
        self.error.take()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        if self.at < self.ahead.len() {
            let n = buffer.len().min(self.ahead.len() - self.at);
            buffer[..n].copy_from_slice(&self.ahead[self.at..self.at + n]);
            self.at += n;
            return Ok(n);
        }
        if self.ended {
            return Ok(0);
        }
        let n = self.payload.read(buffer)?;
        self.ended = n == 0;
        Ok(n)
    }
}

/// A part of a payload.
pub(crate) struct Segment<'a, 'b> {
    segmenter: &'b mut Segmenter<'a>,
    left: u64,
    length: Option<u64>,
    sent: u64,
    md5: Option<Md5>,
}

impl Segment<'_, '_> {
    /// Bytes read, and their MD5 if it was wanted.
    pub(crate) fn finish(self) -> (u64, Option<Digest>) {
        (self.sent, self.md5.and_then(|it| Digest::from_bytes(&it.finalize())))
    }
}

impl Read for Segment<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let n = match self.segmenter.read(&mut buffer[..room]) {
            Ok(n) => n,
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.segmenter.error = Some(error);
                return Err(told);
            }
        };
        if n == 0 && self.length.is_some() {
            let attempt = "an object ended early: it shrank while it was read";
            self.segmenter.error = Some(SourceError::new(Cause::Transient, attempt).into());
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(&buffer[..n]);
        }
        self.left -= n as u64;
        self.sent += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dvb_fixity::{Algorithm, Measured};
    use dvb_storage::conformance::{Bytes, End, some_bytes};

    use super::*;

    #[test]
    fn segments_are_the_bytes_cut_and_none_is_empty() {
        for (size, cut, first) in
            [(0_usize, 10, None), (30, 10, None), (31, 10, Some(5)), (700_000, 300_000, Some(1 << 20))]
        {
            let bytes = some_bytes(1, size);
            let mut payload = Bytes::new(bytes.clone(), &[], End::Whole);
            let mut segmenter = Segmenter::new(&mut payload);
            let whole = first.and_then(|most| segmenter.whole(most).unwrap());
            let mut found = whole.unwrap_or_default();
            while segmenter.has_more().unwrap() {
                let mut segment = segmenter.segment(cut, None, true);
                let mut part = Vec::new();
                segment.read_to_end(&mut part).unwrap();
                let (sent, md5) = segment.finish();
                assert!(sent > 0 && sent <= cut && sent == part.len() as u64);
                assert_eq!(md5.as_ref(), Measured::of(&part, &[Algorithm::Md5]).digest(Algorithm::Md5));
                found.extend(part);
            }
            assert!(found == bytes, "{size} bytes cut at {cut}");
        }
    }
}
