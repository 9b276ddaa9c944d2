//! What all sessions of a destination know, and where its things are.
//!
//! | container | object | what |
//! |---|---|---|
//! | `C` | the key | a copy: a plain object, or the manifest of a static large object |
//! | `C_segments` | `segments/<of key>/<run>/<name>/00000001` … | its segments, from the first byte on under their last name |
//! | `C_segments` | `segments/<of key>/<run>/<name>/moved` | a note: the manifest was given another key, so these are not that key's alone |
//! | `C_segments` | `.dataverse-backup/tmp/<run>/<of key>.<name>` | a mark: these segments belong to no manifest; it says of which key they are |
//!
//! `<of key>` is the SHA-256 of the key: whoever purges a key finds its segments by it, also those that no manifest names any
//! more, and a name never becomes too long.
//!
//! Swift has no rename, and moving segments would be a transfer. So a large object begins with its mark, and the mark
//! is removed *before* the manifest is stored. A sweep removes only segments that have a mark: whatever happens when,
//! it cannot take one that a manifest names. What a crash between the two leaves behind is space, not harm; so are the
//! segments of a large object that was replaced, which are left alone because a rename that broke off may have made a
//! second manifest of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use dvb_model::RunId;
use dvb_storage::{Demand, MemoryBudget};
use sha2::{Digest as _, Sha256};
use ureq::http::Method;

use crate::capabilities::Capabilities;
use crate::client::{Client, Request};
use crate::config::Limits;
use crate::error::SwiftFailure;
use crate::left::ObjectsToGoOnWith;
use crate::manifest::Segment;
use crate::path::Path;

/// Folder of the marks in the segments' container.
pub(crate) const MARKS: &str = ".dataverse-backup/tmp/";

/// A destination that was found to be there.
pub(crate) struct Context {
    pub(crate) client: Arc<Client>,
    pub(crate) container: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) requests: usize,
    pub(crate) demand: Demand,
    /// Large objects that were cut.
    pub(crate) left: Arc<ObjectsToGoOnWith>,
    /// Whether they are gone on with, or swept.
    pub(crate) continues: bool,
}

impl Context {
    /// The container of the segments.
    pub(crate) fn segments(&self) -> String {
        segments_of(&self.container)
    }

    pub(crate) fn key(&self, key: &str) -> Path {
        Path::object(&self.container, key)
    }

    /// Leaves a note beside segments that are named after a key, before a manifest at another key names them too.
    pub(crate) fn note_moved(&self, of: &[Segment]) -> Result<(), SwiftFailure> {
        let container = self.segments();
        let beside = |it: &Segment| {
            let object = it.name.strip_prefix(&format!("/{container}/"))?;
            Some(format!("{}/{MOVED}", object.starts_with(SEGMENTS).then(|| object.rsplit_once('/'))??.0))
        };
        for note in of.iter().filter_map(beside).collect::<BTreeSet<_>>() {
            self.client.send(Request::new(Method::PUT, &Path::object(&container, &note)))?.why();
        }
        Ok(())
    }
}

pub(crate) fn segments_of(container: &str) -> String {
    format!("{container}_segments")
}

/// What [`folder`] puts before all segments.
pub(crate) const SEGMENTS: &str = "segments/";
/// Name of the note, beside the segments of an object, that a manifest at another key may name them.
pub(crate) const MOVED: &str = "moved";

/// What stands for a key in the names of segments: 64 hexadecimal digits.
pub(crate) fn of_key(key: &str) -> String {
    dvb_fixity::hex(&Sha256::digest(key.as_bytes()))
}

/// The name of a large object that is being stored, unlike any other of the run.
pub(crate) fn name_of(key: &str, handle: &str) -> String {
    format!("{}.{handle}", of_key(key))
}

/// The mark of a large object that is being stored.
pub(crate) fn mark(run: &RunId, name: &str) -> String {
    format!("{MARKS}{run}/{name}")
}

/// What the names of its segments begin with.
pub(crate) fn folder(run: &str, name: &str) -> String {
    match name.split_once('.') {
        Some((of_key, handle)) => format!("{SEGMENTS}{of_key}/{run}/{handle}/"),
        None => format!("{SEGMENTS}{run}/{name}/"),
    }
}
