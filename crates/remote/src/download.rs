//! Opening a file so that it is read to its last byte.

use std::io;
use std::sync::Arc;

use dvb_http::{Answer, Download, Version};
use ureq::http::Method;
use url::Url;

use crate::address::shown;
use crate::client::Client;
use crate::error::RemoteFailure;

/// Whether the answer's bytes are the file's own.
pub(crate) fn ensure_plain(answer: &Answer) -> Result<(), RemoteFailure> {
    match answer.header("content-encoding") {
        None | Some("" | "identity") => Ok(()),
        Some(other) => {
            Err(RemoteFailure::Protocol(format!("the server encodes the file ({other}) although it was asked not to")))
        }
    }
}

/// The size of a file of which the server tells none: by reading it.
pub(crate) fn count(client: &Client, answer: Answer) -> Result<u64, RemoteFailure> {
    io::copy(&mut client.service().body(answer.body), &mut io::sink()).map_err(RemoteFailure::Broken)
}

/// Asks for the whole file; after a break, for the rest of it as long as it is the same (`If-Range`).
pub(crate) fn open(client: &Arc<Client>, url: Url) -> Result<Download, RemoteFailure> {
    let whole = || -> Result<Answer, RemoteFailure> {
        let answer = client.send(&Method::GET, &url, &[])?;
        ensure_plain(&answer)?;
        match answer.status {
            200 => Ok(answer),
            status => {
                Err(RemoteFailure::Protocol(format!("the server answered {status} to a request for a whole file")))
            }
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
    let (of, name, again) = ((size, Version::of(&answer.headers)), shown(&url), Arc::clone(client));
    let reopen = move |at, version: &Version| {
        let headers = [("range", format!("bytes={at}-")), ("if-range", version.as_str().to_owned())];
        let answer = again.send(&Method::GET, &url, &headers).map_err(RemoteFailure::into_io)?;
        ensure_plain(&answer).map_err(RemoteFailure::into_io)?;
        Ok(answer)
    };
    Ok(Download::new(client.service(), name, of, answer.body, reopen).taking_whole())
}
