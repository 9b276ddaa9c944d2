//! Containers: made if missing, and listed.

use std::ops::ControlFlow;

use serde_json::Value;
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::error::{SwiftFailure, status};
use crate::path::{Path, quote};
use dvb_http::Answer;

/// Whether there is one.
pub(crate) fn exists(client: &Client, container: &str) -> Result<bool, SwiftFailure> {
    match client.send(Request::new(Method::HEAD, &Path::container(container))) {
        Err(failure) if status(&failure) == Some(404) => Ok(false),
        Err(failure) => Err(failure),
        Ok(_) => Ok(true),
    }
}

/// Makes a container if it is not there. One that exists is not asked to be made: that may be a right we lack.
pub(crate) fn ensure(client: &Client, container: &str) -> Result<(), SwiftFailure> {
    if !exists(client, container)? {
        client.send(Request::new(Method::PUT, &Path::container(container)))?.why();
    }
    Ok(())
}

/// Removes a container that is empty.
pub(crate) fn remove_empty(client: &Client, container: &str) -> Result<(), SwiftFailure> {
    match client.send(Request::new(Method::DELETE, &Path::container(container))) {
        Err(failure) if matches!(status(&failure), Some(404 | 409)) => Ok(()),
        Err(failure) => Err(failure),
        Ok(mut answer) => {
            answer.why();
            Ok(())
        }
    }
}

/// Names that begin with `prefix`, in order; with a delimiter, also the folders (ending in `/`) that stand for all names in
/// them.
pub(crate) fn list(
    client: &Client,
    container: &str,
    prefix: &str,
    by_folder: bool,
) -> Result<Vec<String>, SwiftFailure> {
    let mut names = Vec::new();
    walk(client, container, prefix, by_folder, &mut |name, _| {
        names.push(name.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// Shows these names page by page, with the sizes of those that are objects.
pub(crate) fn walk(
    client: &Client,
    container: &str,
    prefix: &str,
    by_folder: bool,
    visit: &mut dyn FnMut(&str, Option<u64>) -> ControlFlow<()>,
) -> Result<(), SwiftFailure> {
    let delimiter = if by_folder { "&delimiter=/" } else { "" };
    pages(client, container, &format!("prefix={}{delimiter}", quote(prefix)), &mut |page| {
        let mut last = "";
        for row in page {
            let name = row["name"].as_str().or_else(|| row["subdir"].as_str());
            last = name.ok_or_else(|| SwiftFailure::Protocol("a listing has a row without a name".to_owned()))?;
            if visit(last, row["bytes"].as_u64()).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(format!("&marker={}", quote(last))))
    })
}

/// Sees a page, and says behind what the next one begins; `None`: it has seen enough.
pub(crate) type Page<'a> = dyn FnMut(&[Value]) -> Result<Option<String>, SwiftFailure> + 'a;

/// Shows the pages of a listing, each with at least one row.
pub(crate) fn pages(client: &Client, container: &str, query: &str, visit: &mut Page<'_>) -> Result<(), SwiftFailure> {
    let path = Path::container(container);
    let strange = |it: &str| SwiftFailure::Protocol(it.to_owned());
    let mut behind = String::new();
    loop {
        let query = format!("?format=json&{query}{behind}");
        let rows = document(client.send(Request::new(Method::GET, &path).query(query))?)?;
        // To pass over anything here would be to say that it is not there.
        let page = rows.as_array().ok_or_else(|| strange("a listing is not a JSON array"))?;
        if page.is_empty() {
            return Ok(());
        }
        match visit(page)? {
            None => return Ok(()),
            Some(next) if next == behind => return Err(strange("a listing begins anew behind its own end")),
            Some(next) => behind = next,
        }
    }
}

/// An object in a listing.
#[derive(Debug)]
pub(crate) struct ListedObject {
    pub(crate) name: String,
    /// MD5 as the object's server computed it.
    pub(crate) hash: String,
    pub(crate) bytes: u64,
}

/// Objects from `first` to `last`, at most `limit`. Of others between them there may be many.
pub(crate) fn rows(
    client: &Client,
    container: &str,
    (first, last): (&str, &str),
    limit: usize,
) -> Result<Vec<ListedObject>, SwiftFailure> {
    let path = Path::container(container);
    // Neither end is part of a listing: a name without its last character comes before it, one with more after it.
    let marker = first.char_indices().next_back().map_or("", |(at, _)| &first[..at]);
    let query = format!("?format=json&limit={limit}&marker={}&end_marker={}!", quote(marker), quote(last));
    let rows = document(client.send(Request::new(Method::GET, &path).query(query))?)?;
    // What lacks its hash is asked for by itself.
    let row = |entry: &Value| {
        let (name, hash) = (entry["name"].as_str()?.to_owned(), entry["hash"].as_str()?.to_owned());
        Some(ListedObject { name, hash, bytes: entry["bytes"].as_u64()? })
    };
    Ok(rows.as_array().into_iter().flatten().filter_map(row).collect())
}

fn document(mut answer: Answer) -> Result<Value, SwiftFailure> {
    let body = answer.small_body().map_err(|it| SwiftFailure::Unread("cannot read a listing", it.into()))?;
    serde_json::from_slice(&body).map_err(|it| SwiftFailure::Unread("a listing is not JSON", it.into()))
}

/// Removes an object; one that is not there is no failure.
pub(crate) fn remove(client: &Client, container: &str, object: &str) -> Result<(), SwiftFailure> {
    let path = Path::object(container, object);
    match client.send(Request::new(Method::DELETE, &path)) {
        Err(failure) if status(&failure) != Some(404) => Err(failure),
        _ => Ok(()),
    }
}
