//! Whose the snapshots at a destination are, where the destination itself does not tell.

use std::collections::BTreeMap;
use std::path::Path;

use dvb_catalog::{SnapshotCatalog, SnapshotHeader};
use dvb_model::ObjectKey;

use super::RebuildSetup;
use super::fetch::{Temporary, again, download};
use crate::command::error::RunError;
use crate::copies::session::Connection;

/// Bytes that have the first line in them: a block of zstd is not larger.
const HEAD: u64 = 256 << 10;

/// An installation that has left snapshots.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    count: u64,
    newest: String,
    source: String,
}

/// Why a destination with the snapshots of several installations is refused: nobody can tell which one is meant. `names` are
/// those of the snapshots, the newest first. What cannot be read is nobody's.
pub(super) fn several(
    setup: &RebuildSetup<'_>,
    names: &[&String],
    connection: &mut Connection<'_>,
    folder: &Path,
) -> Result<Option<RunError>, RunError> {
    let mut found: BTreeMap<String, Left> = BTreeMap::new();
    for name in names {
        let Some(SnapshotHeader { installation: Some(id), source, .. }) = header(setup, name, connection, folder)?
        else {
            continue;
        };
        found.entry(id).or_insert_with(|| Left { count: 0, newest: (*name).clone(), source }).count += 1;
    }
    if found.len() < 2 {
        return Ok(None);
    }
    let described = |(id, Left { count, newest, source }): (String, Left)| {
        format!("installation {id} (catalogue {source}): {count}, the newest is {newest}")
    };
    let destination = setup.destination.0.clone();
    Ok(Some(RunError::SeveralInstallations { destination, found: found.into_iter().map(described).collect() }))
}

fn header(
    setup: &RebuildSetup<'_>,
    name: &str,
    connection: &mut Connection<'_>,
    folder: &Path,
) -> Result<Option<SnapshotHeader>, RunError> {
    // No name of a snapshot is refused.
    let Ok(key) = ObjectKey::own(name) else { return Ok(None) };
    let temporary =
        Temporary::create(folder).map_err(|source| RunError::Spool { folder: folder.to_owned(), source })?;
    let to = (folder, &temporary.file);
    let fetched = again(connection, |it| download(it, &key, to, HEAD, setup.stop))?;
    // What cannot be used is passed over by whoever fetches it.
    Ok(fetched.ok().and_then(|_| SnapshotCatalog::new(&temporary.path).header().ok()))
}
