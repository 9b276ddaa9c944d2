//! What is to be there: the data files that stand, with the sizes that the ledger has, in the order of the listings.

use std::collections::BTreeMap;

use dvb_ledger::ObjectSize;
use dvb_model::{DvObjectId, ObjectRole};
use serde::{Deserialize, Serialize};

use super::{Presence, Standing};
use crate::catalogue::sorted::Sorted;
use crate::catalogue::spool::Spool;
use crate::command::error::RunError;

/// Data files that the ledger is asked for at once.
const PAGE: usize = 5_000;

/// One data file in a folder of a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Objects {
    pub(super) id: DvObjectId,
    pub(super) dests: u64,
    /// Names in the folder, with each size that a destination knows.
    pub(super) sizes: Vec<(String, Vec<u64>)>,
    /// The name of its saved original, if it has one.
    pub(super) original: Option<String>,
}

impl Presence<'_> {
    /// `None` where the run ends before.
    pub(super) fn gather(&self, standing: &mut Spool<Standing>) -> Result<Option<Sorted>, RunError> {
        let mut sorted = Sorted::new(&self.options.spool_folder);
        let mut lines = standing.read().map_err(|it| self.spool_error(it))?;
        loop {
            let page: Vec<Standing> =
                lines.by_ref().take(PAGE).collect::<Result<_, _>>().map_err(|it| self.spool_error(it))?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(Some(sorted)) };
            if !self.goes_on() {
                return Ok(None);
            }
            let mut known: BTreeMap<DvObjectId, BTreeMap<ObjectRole, Vec<u64>>> = BTreeMap::new();
            for dest in self.dests {
                let sizes = dest.setup.ledger.sizes(dest.setup.destination, first.id, last.id)?;
                newest(sizes).for_each(|it| known.entry(it.id).or_default().entry(it.role).or_default().push(it.size));
            }
            for file in page {
                let Some(sizes) = known.remove(&file.id) else { continue };
                let objects = objects(&file, sizes);
                sorted
                    .push(format!("{}\0{}", file.driver, file.folder), &objects)
                    .map_err(|it| self.spool_error(it))?;
            }
        }
    }
}

/// The newest version of each object of one destination.
fn newest(sizes: Vec<ObjectSize>) -> impl Iterator<Item = ObjectSize> {
    let mut newest: BTreeMap<(DvObjectId, ObjectRole), ObjectSize> = BTreeMap::new();
    for size in sizes {
        let known = newest.entry((size.id, size.role.clone())).or_insert_with(|| size.clone());
        if known.version < size.version {
            *known = size;
        }
    }
    newest.into_values()
}

fn objects(file: &Standing, known: BTreeMap<ObjectRole, Vec<u64>>) -> Objects {
    let name = &file.name;
    let (mut sizes, mut original) = (Vec::with_capacity(known.len()), None);
    for (role, of_role) in known {
        let name = match role {
            ObjectRole::Main => name.clone(),
            ObjectRole::Original => {
                original = Some(format!("{name}.orig"));
                format!("{name}.orig")
            }
            // What Dataverse may have deleted or made anew is no loss.
            ObjectRole::Auxiliary(tag) if file.tags.contains(&tag) => format!("{name}.{tag}"),
            ObjectRole::Auxiliary(_) | ObjectRole::DatasetLevel(_) => continue,
            ObjectRole::Member(path) => format!("{name}/{path}"),
        };
        sizes.push((name, of_role));
    }
    Objects { id: file.id, dests: file.dests, sizes, original }
}
