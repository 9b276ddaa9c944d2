//! Reading a file to its last byte: what breaks goes on where it broke, and what ends early is an error.

use std::io::{self, Read};
use std::sync::Arc;

use dvb_http::Steady;
use ureq::BodyReader;
use ureq::http::Method;
use url::Url;

use crate::address::shown;
use crate::client::{Answer, Client};
use crate::error::Failure;

/// Bytes in one go that show that a download gets on. Fewer, and a server that breaks off all the time would be asked
/// without end.
const STRIDE: u64 = 1 << 20;

/// Bytes that come at a pace.
type Body = Steady<BodyReader<'static>>;

/// A file that is being read.
pub(crate) struct Download {
    client: Arc<Client>,
    url: Url,
    version: Option<Version>,
    size: u64,
    at: u64,
    body: Option<Body>,
    /// Since it last got on.
    breaks: u32,
    /// Bytes since the last break.
    since: u64,
}

/// What tells whether the file is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// A strong one; a weak one promises no equal bytes (RFC 9110, 8.8.1).
    ETag(String),
    LastModified(String),
}

impl Version {
    fn of(answer: &Answer) -> Option<Self> {
        let etag = answer.header("etag").filter(|it| it.starts_with('"')).map(|it| Self::ETag(it.to_owned()));
        etag.or_else(|| answer.header("last-modified").map(|it| Self::LastModified(it.to_owned())))
    }

    fn text(&self) -> &str {
        match self {
            Self::ETag(it) | Self::LastModified(it) => it,
        }
    }
}

pub(crate) fn reader(client: &Client, answer: Answer) -> Body {
    Steady::new(answer.body.into_with_config().limit(u64::MAX).reader(), client.patience.idle)
}

/// Whether the answer's bytes are the file's own.
pub(crate) fn ensure_plain(answer: &Answer) -> Result<(), Failure> {
    match answer.header("content-encoding") {
        None | Some("" | "identity") => Ok(()),
        Some(other) => {
            Err(Failure::Protocol(format!("the server encodes the file ({other}) though it was told not to")))
        }
    }
}

/// The size of a file of which the server tells none: by reading it.
pub(crate) fn count(client: &Client, answer: Answer) -> Result<u64, Failure> {
    io::copy(&mut reader(client, answer), &mut io::sink()).map_err(Failure::Broken)
}

impl Download {
    /// Asks for the whole file.
    pub(crate) fn open(client: &Arc<Client>, url: Url) -> Result<Self, Failure> {
        let whole = || -> Result<Answer, Failure> {
            let answer = client.send(&Method::GET, &url, &[])?;
            ensure_plain(&answer)?;
            match answer.status {
                200 => Ok(answer),
                status => Err(Failure::Protocol(format!("the server answered {status} to a request for a whole file"))),
            }
        };
        let mut answer = whole()?;
        let size = match answer.length() {
            Some(it) => it,
            None => {
                let size = count(client, answer)?;
                answer = whole()?;
                size
            }
        };
        let version = Version::of(&answer);
        let body = Some(reader(client, answer));
        Ok(Self { client: Arc::clone(client), url, version, size, at: 0, body, breaks: 0, since: 0 })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Asks for what is still missing of the same version.
    fn go_on(&self) -> io::Result<Body> {
        let Some(version) = &self.version else {
            let what = format!("{} broke off, and its server does not tell its versions apart", shown(&self.url));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        };
        let headers = [("range", format!("bytes={}-", self.at)), ("if-range", version.text().to_owned())];
        let answer = self.client.send(&Method::GET, &self.url, &headers).map_err(Failure::into_io)?;
        ensure_plain(&answer).map_err(Failure::into_io)?;
        let same = Version::of(&answer).as_ref() == Some(version);
        match answer.status {
            206 if same && is_rest(&answer, self.at, self.size) => Ok(reader(&self.client, answer)),
            // A server without ranges: what is here already is read once more, for nobody.
            200 if same && answer.length().is_none_or(|it| it == self.size) => {
                let mut body = reader(&self.client, answer);
                match io::copy(&mut body.by_ref().take(self.at), &mut io::sink()) {
                    Ok(skipped) if skipped == self.at => Ok(body),
                    Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)),
                }
            }
            // The engine begins anew.
            _ => {
                let what = format!("{} was changed while it was read", shown(&self.url));
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, what))
            }
        }
    }

    fn got(&mut self, bytes: u64) {
        self.at += bytes;
        self.since += bytes;
        if self.since >= STRIDE {
            self.breaks = 0;
        }
    }

    /// Counts a break; an error when there were too many.
    fn broke(&mut self, why: Option<&io::Error>) -> io::Result<()> {
        self.since = 0;
        self.breaks += 1;
        let patience = &self.client.patience;
        if self.breaks < patience.tries {
            self.client.interrupt.sleep((patience.pause * self.breaks).min(patience.longest_pause));
            return Ok(());
        }
        let what = format!("{} ended after {} of {} bytes", shown(&self.url), self.at, self.size);
        let what = why.map_or_else(|| what.clone(), |it| format!("{what}: {it}"));
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }
}

/// `Content-Range: bytes 10-99/100`.
fn is_rest(answer: &Answer, at: u64, size: u64) -> bool {
    let Some(range) = answer.header("content-range").and_then(|it| it.strip_prefix("bytes ")) else { return false };
    let Some((bytes, total)) = range.split_once('/') else { return false };
    bytes.split_once('-').and_then(|it| it.0.parse().ok()) == Some(at) && (total == "*" || total.parse() == Ok(size))
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 {
            return self.ensure_over(buffer);
        }
        loop {
            let Some(mut body) = self.body.take() else {
                match self.go_on() {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.version.is_some() => {
                        self.broke(Some(&error))?;
                    }
                    rest => self.body = Some(rest?),
                }
                continue;
            };
            match body.read(&mut buffer[..left]) {
                Ok(0) => self.broke(None)?,
                Ok(n) => {
                    self.body = Some(body);
                    self.got(n as u64);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.body = Some(body),
                Err(error) => self.broke(Some(&error))?,
            }
        }
    }
}

impl Download {
    /// A body that goes on behind the size it was said to have is another file than was promised.
    fn ensure_over(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // Read to its end, the connection can be used again.
        match self.body.take().map(|mut it| it.read(&mut [0])) {
            Some(Ok(n)) if n > 0 => {
                let what = format!("{} is longer than the {} bytes its server said", shown(&self.url), self.size);
                Err(io::Error::new(io::ErrorKind::InvalidData, what))
            }
            _ => Ok(0),
        }
    }
}
