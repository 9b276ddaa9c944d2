//! What all sessions of a destination know, and where its things are.
//!
//! | container | object | what |
//! |---|---|---|
//! | `C` | the key | a copy: a plain object, or the manifest of a static large object |
//! | `C_segments` | `segments/<run>/<name>/00000001` … | its segments, from the first byte on under their last name |
//! | `C_segments` | `.dataverse-backup/tmp/<run>/<name>` | a mark: these segments belong to no manifest; it says of which key they are |
//!
//! Swift has no rename, and moving segments would be a transfer. So a large object begins with its mark, and the mark
//! is removed *before* the manifest is stored. A sweep removes only segments that have a mark: whatever happens when,
//! it cannot take one that a manifest names. What a crash between the two leaves behind is space, not harm; so are the
//! segments of a large object that was replaced, which are left alone because a rename that broke off may have made a
//! second manifest of them.

use std::sync::Arc;

use dvb_model::RunId;
use dvb_storage::{Demand, MemoryBudget};

use crate::capabilities::Capabilities;
use crate::client::Client;
use crate::config::Limits;
use crate::left::ObjectsToGoOnWith;
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
}

pub(crate) fn segments_of(container: &str) -> String {
    format!("{container}_segments")
}

/// The mark of a large object that is being stored.
pub(crate) fn mark(run: &RunId, name: &str) -> String {
    format!("{MARKS}{run}/{name}")
}

/// What the names of its segments begin with.
pub(crate) fn folder(run: &str, name: &str) -> String {
    format!("segments/{run}/{name}/")
}
