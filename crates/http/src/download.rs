//! Reading an object to its last byte: a download that breaks is resumed where it broke, and one that ends early is an
//! error.

use std::io::{self, Read};

use ureq::Body;
use ureq::http::HeaderMap;

use crate::Answer;
use crate::service::{Bytes, Service};

/// So many bytes after a break show that a download makes progress. With fewer, a server that always breaks off would be
/// asked without end: a large object of which a segment is lost ends at the same byte each time.
const PROGRESS: u64 = 1 << 20;

/// What tells whether an object is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// `ETag`, as the server wrote it.
    ETag(String),
    /// `Last-Modified`, as the server wrote it: changes within one second do not show.
    LastModified(String),
}

impl Version {
    /// The answer's `ETag`, from a service whose etags are those of the bytes.
    #[must_use]
    pub fn etag(headers: &HeaderMap) -> Option<Self> {
        text(headers, "etag").map(|it| Self::ETag(it.to_owned()))
    }

    /// From any web server: a strong `ETag`, else `Last-Modified`. A weak one promises no equal bytes (RFC 9110, 8.8.1).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let strong = Self::etag(headers).filter(|it| it.as_str().starts_with('"'));
        strong.or_else(|| text(headers, "last-modified").map(|it| Self::LastModified(it.to_owned())))
    }

    /// For the header of a condition.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::ETag(it) | Self::LastModified(it) => it,
        }
    }

    fn fits(&self, headers: &HeaderMap) -> bool {
        let name = match self {
            Self::ETag(_) => "etag",
            Self::LastModified(_) => "last-modified",
        };
        text(headers, name) == Some(self.as_str())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The size of a body (`Content-Length`), where the server says it.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-length")?.parse().ok()
}

type Reopen = dyn Fn(u64, &Version) -> io::Result<Answer> + Send;

/// An object that is being read. Errors of its reader:
///
/// | kind | |
/// |---|---|
/// | `UnexpectedEof` | it broke too often, or cannot be resumed |
/// | `StaleNetworkFileHandle` | it was changed while it was read, or the server gives other bytes than the rest |
/// | `InvalidData` | there are more bytes than its size |
/// | another | that of the request for the rest |
pub struct Download {
    service: Service,
    name: String,
    version: Option<Version>,
    size: u64,
    at: u64,
    body: Option<Bytes>,
    /// Bytes of `body` that were read before.
    to_skip: u64,
    /// Since the last progress.
    breaks: u32,
    /// Bytes since the last break.
    since: u64,
    reopen: Box<Reopen>,
    takes_whole: bool,
}

impl Download {
    /// From the answer to a request for the whole object, of `size` bytes. `name` is for messages; without a `version` it
    /// is not resumed. `reopen` asks for the bytes from a number on, on the condition that the object is still this
    /// version, as often as that may help; an error of the kind `StaleNetworkFileHandle` says that it is another one now.
    #[must_use]
    pub fn new(
        service: &Service,
        name: String,
        (size, version): (u64, Option<Version>),
        body: Body,
        reopen: impl Fn(u64, &Version) -> io::Result<Answer> + Send + 'static,
    ) -> Self {
        let (service, body, reopen) = (service.clone(), Some(service.body(body)), Box::new(reopen));
        Self { service, name, version, size, at: 0, body, to_skip: 0, breaks: 0, since: 0, reopen, takes_whole: false }
    }

    /// For a web server that may know no ranges: where it answers with the whole object of the same version, what was
    /// read is read once more, for nobody.
    #[must_use]
    pub fn taking_whole(self) -> Self {
        Self { takes_whole: true, ..self }
    }

    /// Bytes of the object.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Asks for what is missing, of the same object.
    fn resume(&mut self) -> io::Result<()> {
        let Some(version) = &self.version else { return Err(self.ended(None)) };
        tracing::debug!(name = self.name, at = self.at, size = self.size, "resume");
        let answer = match (self.reopen)(self.at, version) {
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => return Err(self.changed()),
            other => other?,
        };
        let headers = &answer.headers;
        self.to_skip = match answer.status {
            206 if version.fits(headers) && self.is_rest(headers) => 0,
            200 if self.takes_whole
                && version.fits(headers)
                && content_length(headers).is_none_or(|it| it == self.size) =>
            {
                self.at
            }
            _ if version.fits(headers) => return Err(self.not_resumed()),
            _ => return Err(self.changed()),
        };
        self.body = Some(self.service.body(answer.body));
        Ok(())
    }

    /// Whether an answer is exactly the bytes from here to the end (RFC 9110, 14.4).
    fn is_rest(&self, headers: &HeaderMap) -> bool {
        let expected = format!("bytes {}-{}/", self.at, self.size - 1);
        let total = text(headers, "content-range").and_then(|it| it.strip_prefix(&expected));
        total.is_some_and(|it| it == "*" || it.parse() == Ok(self.size))
    }

    /// Counts a break; an error when there were too many.
    fn broke(&mut self, why: Option<&io::Error>) -> io::Result<()> {
        self.body = None;
        self.since = 0;
        self.breaks += 1;
        if self.version.is_none() || self.breaks >= self.service.limits().attempts {
            return Err(self.ended(why));
        }
        if self.breaks > 1 {
            self.service.pause(self.breaks - 1, None);
        }
        Ok(())
    }

    fn ended(&self, why: Option<&io::Error>) -> io::Error {
        let mut what = format!("{} ended after {} of {} bytes", self.name, self.at, self.size);
        if let Some(error) = why {
            what.push_str(&format!(": {error}"));
        }
        io::Error::new(io::ErrorKind::UnexpectedEof, what)
    }

    fn changed(&self) -> io::Error {
        io::Error::new(io::ErrorKind::StaleNetworkFileHandle, format!("{} was changed while it was read", self.name))
    }

    fn not_resumed(&self) -> io::Error {
        let what = format!("the server does not continue {} at byte {}", self.name, self.at);
        io::Error::new(io::ErrorKind::StaleNetworkFileHandle, what)
    }

    /// A body that goes on behind the size it was said to have is another object than was promised.
    fn ensure_over(&mut self) -> io::Result<usize> {
        // Read to its end, the connection can be used again. An error there is none of the object's bytes.
        match self.body.take().map(|mut body| body.read(&mut [0])) {
            Some(Ok(n)) if n > 0 => {
                let what = format!("{} is longer than the {} bytes its server said", self.name, self.size);
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            _ => Ok(0),
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.at == self.size {
                return self.ensure_over();
            }
            let Some(body) = &mut self.body else {
                self.resume()?;
                continue;
            };
            let wanted = if self.to_skip > 0 { self.to_skip } else { self.size - self.at };
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(buffer.len());
            match body.read(&mut buffer[..wanted]) {
                Ok(0) => self.broke(None)?,
                Ok(n) if self.to_skip > 0 => self.to_skip -= n as u64,
                Ok(n) => {
                    self.at += n as u64;
                    self.since += n as u64;
                    if self.since >= PROGRESS {
                        self.breaks = 0;
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.broke(Some(&error))?,
            }
        }
    }
}
