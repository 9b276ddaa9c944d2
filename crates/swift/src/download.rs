//! Reading an object to its last byte: what breaks goes on where it broke, and what ends early is an error.

use std::io::{self, Read};
use std::sync::Arc;

use dvb_http::Steady;
use ureq::BodyReader;
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::error::Failure;
use crate::manifest;
use crate::path::Path;

/// Bytes in one go that show that a download gets on. Fewer, and a server that breaks off all the time would be asked
/// without end.
const STRIDE: u64 = 1 << 20;
/// Breaks without so much between them, after which the object counts as unreadable. A static large object of which a
/// segment is lost ends at the same byte each time.
const BREAKS: u32 = 3;

/// An object that is being read.
pub(crate) struct Download {
    client: Arc<Client>,
    path: Path,
    /// As the server wrote it.
    etag: Option<String>,
    size: u64,
    at: u64,
    body: Option<Steady<BodyReader<'static>>>,
    breaks: u32,
    /// Bytes since the last break.
    since: u64,
    is_large: bool,
}

impl Download {
    /// Asks for the whole object.
    pub(crate) fn open(client: &Arc<Client>, path: Path) -> Result<Self, Failure> {
        let answer = client.send(Request::new(Method::GET, &path))?;
        let size = answer.length()?;
        let etag = answer.header("etag").map(str::to_owned);
        let is_large = manifest::is_large(&answer);
        let body = Some(client.steady(answer));
        Ok(Self { client: Arc::clone(client), path, etag, size, at: 0, body, breaks: 0, since: 0, is_large })
    }

    /// Whether it is a static large object.
    pub(crate) fn is_large(&self) -> bool {
        self.is_large
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Asks for what is still missing, of the same object.
    fn go_on(&self) -> io::Result<Steady<BodyReader<'static>>> {
        let mut request = Request::new(Method::GET, &self.path).header("Range", format!("bytes={}-", self.at));
        if let Some(etag) = &self.etag {
            request = request.header("If-Match", etag.clone());
        }
        let answer = match self.client.send(request) {
            Ok(it) => it,
            Err(Failure::Refused { status: 412, .. }) => {
                let what = format!("{} was changed while it was read", self.path.as_str());
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            Err(failure) => return Err(failure.into_io()),
        };
        let begins = format!("bytes {}-", self.at);
        let is_rest = answer.header("content-range").is_some_and(|it| it.starts_with(&begins));
        if answer.status != 206 || !is_rest || answer.header("etag") != self.etag.as_deref() {
            let what = format!("the server does not go on with {} at byte {}", self.path.as_str(), self.at);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        Ok(self.client.steady(answer))
    }

    /// Counts a break; an error when there were too many.
    fn broke(&mut self, why: Option<io::Error>) -> io::Result<()> {
        self.body = None;
        self.since = 0;
        self.breaks += 1;
        if self.breaks < BREAKS {
            return Ok(());
        }
        let what = format!("{} ended after {} of {} bytes", self.path.as_str(), self.at, self.size);
        let what = why.map_or_else(|| what.clone(), |it| format!("{what}: {it}"));
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.at < self.size {
            if self.body.is_none() {
                self.body = Some(self.go_on()?);
            }
            let Some(body) = &mut self.body else { break };
            match body.read(buffer) {
                Ok(0) => self.broke(None)?,
                Ok(n) => {
                    self.at += n as u64;
                    self.since += n as u64;
                    if self.since >= STRIDE {
                        self.breaks = 0;
                    }
                    if self.at > self.size {
                        let what = format!("{} is longer than the server said", self.path.as_str());
                        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.broke(Some(error))?,
            }
        }
        // Read to its end, the connection can be used again.
        if let Some(mut body) = self.body.take() {
            let _ = body.read(&mut [0]);
        }
        Ok(0)
    }
}
