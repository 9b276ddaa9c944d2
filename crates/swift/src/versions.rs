//! All that a container keeps under names that begin alike, with the versions that do not show.
//!
//! Swift has three ways to keep versions. With `X-Versions-Enabled`, each has an id, and a listing shows them all
//! (<https://docs.openstack.org/swift/latest/middleware.html#object-versioning>). With `X-Versions-Location` or
//! `X-History-Location` they are objects of another container, below three hexadecimal digits, the name's length, and the name.

use std::collections::BTreeSet;

use serde_json::Value;
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::container;
use crate::error::{SwiftFailure, status};
use crate::path::{Path, quote, unquote};

/// What the content of a version without bytes is called.
const DELETED: &str = "application/x-deleted;swift_versions_deleted=1";

/// One thing in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) container: String,
    /// Its name there.
    pub(crate) object: String,
    /// The name that it has, or had when it showed.
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// Its bytes; of a large object, those of its segments.
    pub(crate) bytes: u64,
    pub(crate) is_marker: bool,
}

impl Row {
    /// What no listing has, and may be there.
    pub(crate) fn unlisted(container: &str, object: &str) -> Self {
        let (container, object, name) = (container.to_owned(), object.to_owned(), object.to_owned());
        Self { container, object, name, version: None, bytes: 0, is_marker: false }
    }

    pub(crate) fn path(&self) -> Path {
        Path::object(&self.container, &self.object)
    }

    /// What an address needs to mean this version; `lead` is `?` or `&`.
    pub(crate) fn query(&self, lead: &str) -> String {
        self.version.as_ref().map(|it| format!("{lead}version-id={}", quote(it))).unwrap_or_default()
    }
}

/// How a container keeps versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Versioning {
    Never,
    /// By ids, now or once.
    Ids,
    /// In that container.
    Elsewhere(String),
}

impl Versioning {
    /// What the server says of a container; `None` where there is none.
    pub(crate) fn of(client: &Client, container: &str) -> Result<Option<Self>, SwiftFailure> {
        let answer = match client.send(Request::new(Method::HEAD, &Path::container(container))) {
            Err(failure) if status(&failure) == Some(404) => return Ok(None),
            answer => answer?,
        };
        let elsewhere = ["x-versions-location", "x-history-location"].iter().find_map(|it| answer.header(it));
        Ok(Some(match (answer.header("x-versions-enabled"), elsewhere) {
            (Some(_), _) => Self::Ids,
            (None, Some(it)) => Self::Elsewhere(unquote(it).ok_or_else(|| strange(it))?),
            (None, None) => Self::Never,
        }))
    }

    /// All rows with a name that begins so, versions first.
    pub(crate) fn rows(&self, client: &Client, container: &str, prefix: &str) -> Result<Vec<Row>, SwiftFailure> {
        let mut rows = Vec::new();
        match self {
            Self::Ids => return with_ids(client, container, prefix),
            Self::Elsewhere(other) => {
                for below in archived(client, other, prefix)? {
                    list(client, other, &below, &mut |row| {
                        // `<length><name>/<time>`
                        let name = row.object.get(3..).and_then(|it| it.rsplit_once('/')).map(|it| it.0.to_owned());
                        rows.extend(name.map(|name| Row { name, ..row }));
                    })?;
                }
            }
            Self::Never => {}
        }
        list(client, container, prefix, &mut |row| rows.push(row))?;
        Ok(rows)
    }
}

fn strange(container: &str) -> SwiftFailure {
    SwiftFailure::Protocol(format!("{container:?} is no name of a container"))
}

/// Below which prefixes of an archive the versions lie of names that begin so.
fn archived(client: &Client, archive: &str, prefix: &str) -> Result<Vec<String>, SwiftFailure> {
    let first = prefix.split_inclusive('/').next().unwrap_or("");
    let folders = match container::list(client, archive, "", true) {
        Err(failure) if status(&failure) == Some(404) => return Ok(Vec::new()),
        listed => listed?,
    };
    let lengths = folders.iter().filter_map(|it| it.split_at_checked(3)).filter(|it| it.1.starts_with(first));
    let lengths: BTreeSet<&str> = lengths.map(|it| it.0).collect();
    Ok(lengths.into_iter().map(|it| format!("{it}{prefix}")).collect())
}

fn list(client: &Client, container: &str, prefix: &str, visit: &mut dyn FnMut(Row)) -> Result<(), SwiftFailure> {
    container::pages(client, container, &format!("prefix={}", quote(prefix)), &mut |page| {
        for row in page {
            if row.get("subdir").is_none() {
                visit(read(container, row)?);
            }
        }
        let last = page.last().and_then(|it| it["name"].as_str()).unwrap_or_default();
        Ok(Some(format!("&marker={}", quote(last))))
    })
}

fn with_ids(client: &Client, container: &str, prefix: &str) -> Result<Vec<Row>, SwiftFailure> {
    let mut rows = Vec::new();
    container::pages(client, container, &format!("versions=true&prefix={}", quote(prefix)), &mut |page| {
        for row in page {
            rows.push(read(container, row)?);
        }
        let Some(last) = rows.last() else { return Ok(None) };
        let version = last.version.as_deref().unwrap_or("null");
        Ok(Some(format!("&marker={}&version_marker={}", quote(&last.name), quote(version))))
    })?;
    Ok(rows)
}

fn read(container: &str, row: &Value) -> Result<Row, SwiftFailure> {
    let lacks = || SwiftFailure::Protocol("a listing has a row without a name or a size".to_owned());
    let name = row["name"].as_str().ok_or_else(lacks)?;
    Ok(Row {
        container: container.to_owned(),
        object: name.to_owned(),
        name: name.to_owned(),
        version: row["version_id"].as_str().map(str::to_owned),
        bytes: row["bytes"].as_u64().ok_or_else(lacks)?,
        is_marker: row["content_type"].as_str() == Some(DELETED),
    })
}
