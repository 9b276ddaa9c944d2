//! Opening an object so that it is read to its last byte.

use std::sync::Arc;

use dvb_http::{Download, Version};
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::error::SwiftFailure;
use crate::manifest;
use crate::path::Path;

/// An object that is being read.
pub(crate) struct Opened {
    pub(crate) body: Download,
    /// Whether it is a static large object.
    pub(crate) is_large: bool,
}

/// Asks for the whole object; after a break, for the rest of it as long as it is the same (`If-Match`).
pub(crate) fn open(client: &Arc<Client>, path: Path) -> Result<Opened, SwiftFailure> {
    let answer = client.send(Request::new(Method::GET, &path))?;
    let of = (crate::http::length(&answer)?, Version::etag(&answer.headers));
    let is_large = manifest::is_large(&answer);
    let (again, name) = (Arc::clone(client), path.as_str().to_owned());
    let reopen = move |at, version: &Version| {
        let request = Request::new(Method::GET, &path).header("Range", format!("bytes={at}-"));
        again.send(request.header("If-Match", version.as_str())).map_err(SwiftFailure::into_io)
    };
    Ok(Opened { body: Download::new(client.service(), name, of, answer.body, reopen), is_large })
}
