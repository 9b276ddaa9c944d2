//! The bytes of an object, which come to their end although connections break.

use std::io::{self, Read};
use std::sync::Arc;

use ureq::http::HeaderMap;
use ureq::{Body, http::Response};

use crate::client::{Call, Client};
use crate::error::Fault;

/// So many bytes after a break, and the next break is counted as the first again.
const PROGRESS: u64 = 1 << 20;

/// An object that is being read: after a break it goes on with a range, as long as the object is the same (`If-Match`).
pub(crate) struct ObjectBody {
    client: Arc<Client>,
    bucket: String,
    key: String,
    etag: Option<String>,
    pub(crate) size: u64,
    at: u64,
    body: Option<Box<dyn Read + Send>>,
    /// Breaks since the last progress.
    breaks: u32,
    resumed_at: u64,
}

impl ObjectBody {
    /// Opens the object.
    pub(crate) fn open(client: &Arc<Client>, bucket: &str, key: &str) -> Result<Self, Fault> {
        let response = client.fetch(&Call { method: "GET", bucket, key, ..Call::default() })?;
        let size = length(response.headers()).ok_or(Fault::Lacking("Content-Length"))?;
        let etag = response.headers().get("etag").and_then(|it| it.to_str().ok()).map(str::to_owned);
        Ok(Self {
            client: Arc::clone(client),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag,
            size,
            at: 0,
            body: Some(client.steady(response)),
            breaks: 0,
            resumed_at: 0,
        })
    }

    /// Opens what is left, after `why`.
    fn resume(&mut self, why: io::Error) -> io::Result<()> {
        self.body = None;
        if self.at - self.resumed_at >= PROGRESS {
            self.breaks = 0;
        }
        self.breaks += 1;
        let Some(etag) = &self.etag else { return Err(why) };
        if self.breaks >= self.client.attempts() {
            return Err(why);
        }
        if self.breaks > 1 {
            self.client.pause(self.breaks, None);
        }
        let headers = vec![("range", format!("bytes={}-", self.at)), ("if-match", etag.clone())];
        let call = Call { method: "GET", bucket: &self.bucket, key: &self.key, headers, ..Call::default() };
        let response = self.client.fetch(&call).map_err(Fault::io)?;
        if !self.is_the_rest(&response) {
            let what = format!("{} changed while it was read", self.key);
            return Err(io::Error::new(io::ErrorKind::StaleNetworkFileHandle, what));
        }
        self.resumed_at = self.at;
        self.body = Some(self.client.steady(response));
        Ok(())
    }

    /// Whether an answer is exactly the bytes from here to the end of the same object (RFC 9110, 14.4).
    fn is_the_rest(&self, response: &Response<Body>) -> bool {
        let range = response.headers().get("content-range").and_then(|it| it.to_str().ok());
        let expected = format!("bytes {}-{}/{}", self.at, self.size - 1, self.size);
        let etag = response.headers().get("etag").and_then(|it| it.to_str().ok());
        response.status().as_u16() == 206 && range == Some(expected.as_str()) && etag == self.etag.as_deref()
    }
}

pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

impl Read for ObjectBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.at == self.size {
                // Reading on to the transport's own end gives the connection back.
                if let Some(mut body) = self.body.take() {
                    let _ = body.read(&mut [0]);
                }
                return Ok(0);
            }
            let Some(body) = &mut self.body else { return Err(short(&self.key, self.at, self.size)) };
            let wanted = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(buffer.len());
            match body.read(&mut buffer[..wanted]) {
                Ok(0) => self.resume(short(&self.key, self.at, self.size))?,
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.resume(error)?,
            }
        }
    }
}

fn short(key: &str, at: u64, size: u64) -> io::Error {
    let what = format!("{key} ended after {at} of its {size} bytes");
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
