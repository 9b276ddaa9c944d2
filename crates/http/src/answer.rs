//! What a server answered, as far as more than one protocol looks at it.

use std::io::{self, Read as _};
use std::time::Duration;

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use crate::{Steady, content_length};

/// What is read of a body that only says why, or is a small document.
const SMALL: u64 = 16 << 20;
/// Over so much waiting, the pace of such a body is taken.
const SLOW: Duration = Duration::from_secs(60);

/// An answer whose body was not read yet.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The body of the answer, not read yet.
    pub body: Body,
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

impl Answer {
    /// A header that is text, without blanks around it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The etag without the quotes that most servers put around it.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.header("etag").map(|it| it.trim_matches('"'))
    }

    /// Bytes of the body by `Content-Length`; `None` where it is absent or no number.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        content_length(&self.headers)
    }

    /// The body of a small document.
    ///
    /// # Errors
    /// When it breaks off, or comes too slowly.
    pub fn small_body(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Steady::new(self.body.as_reader().take(SMALL), SLOW).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a body that nobody wants, so that the connection can be used again; returns the name of the status, and what
    /// the body says if it is meant for people.
    pub fn why(&mut self) -> String {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|it| it.canonical_reason()).unwrap_or_default();
        let plain = self.header("content-type").is_some_and(|it| it.starts_with("text/plain"));
        let body = self.small_body().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
        if plain && !said.is_empty() && said != reason {
            format!("{reason}: {}", said.chars().take(300).collect::<String>())
        } else {
            reason.to_owned()
        }
    }
}
