//! Whether a snapshot is of the Dataverse that the catalogue at hand is of. After a disaster its database has another address,
//! so what tells is what is in it: data files keep their ids, and the names of their objects are drawn by chance.

use std::collections::HashMap;
use std::ops::ControlFlow;

use dvb_catalog::snapshot::HeldEntry;
use dvb_catalog::{Catalog, CatalogError, Detail, Entry};
use dvb_model::DvObjectId;

use super::{Fetched, RebuildSetup};
use crate::command::error::RunError;

/// Data files of the snapshot that are compared: enough to tell, few enough for memory.
const COMPARED: usize = 10_000;

/// What the snapshot and the catalogue have in common, in numbers of data files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Overlap {
    /// Data files of the snapshot that were looked for.
    compared: u64,
    /// Data files of the catalogue.
    present: u64,
    /// Those of them whose id both have.
    both: u64,
    /// Those of them whose objects have the same name.
    same: u64,
}

impl Overlap {
    /// Where one of them is empty, nothing tells. A Dataverse whose data files nearly all changed their objects does not exist.
    fn is_another(&self) -> bool {
        self.compared > 0 && self.present > 0 && self.same * 2 < self.both.max(1)
    }
}

/// Refuses a snapshot of another Dataverse, unless the caller accepts it; a note where it was read from another address.
pub(super) fn check(setup: &RebuildSetup<'_>, fetched: &mut Fetched) -> Result<Option<String>, RunError> {
    let Some(catalogue) = setup.catalogue else { return Ok(None) };
    let (source, own) = (fetched.header.source.clone(), catalogue.describe());
    if source == own {
        return Ok(None);
    }
    let destination = setup.destination;
    let overlap = match overlap(fetched, catalogue) {
        Ok(overlap) => overlap,
        Err(error) => {
            if let Some(several) = fetched.several.take() {
                return Err(several);
            }
            let why = dvb_storage::chain(&error);
            return Ok(Some(format!(
                "the copies there are of the catalogue {source}, the catalogue of this configuration is {own}, and they could \
                 not be compared ({why}): make sure that it is the same Dataverse"
            )));
        }
    };
    if overlap.is_another() && !setup.accept_other {
        let Overlap { both, same, .. } = overlap;
        let destination = destination.0.clone();
        return Err(RunError::OtherDataverse { destination, source_of_copies: source, own, both, same });
    }
    Ok(Some(format!(
        "the copies there are of the catalogue {source}; the catalogue of this configuration is {own}: make sure that it is the \
         same Dataverse ({} of {} data files that both have are the same)",
        overlap.same, overlap.both
    )))
}

fn overlap(fetched: &Fetched, catalogue: &dyn Catalog) -> Result<Overlap, CatalogError> {
    let mut names: HashMap<DvObjectId, String> = HashMap::new();
    fetched.catalog().read_held(&mut |entry| {
        if let HeldEntry::DataFile(file, _) = entry {
            names.insert(file.id, object_name(file.storage_identifier.as_deref()).to_owned());
        }
        if names.len() < COMPARED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut overlap = Overlap { compared: names.len() as u64, ..Overlap::default() };
    catalogue.read(Detail::Essential, &mut |entry| {
        if let Entry::DataFile(file) = entry {
            overlap.present += 1;
            if let Some(name) = names.get(&file.id) {
                overlap.both += 1;
                overlap.same += u64::from(name == object_name(file.storage_identifier.as_deref()));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(overlap)
}

/// What stays when a file moves to another store: the name behind the driver id and the bucket.
fn object_name(storage_identifier: Option<&str>) -> &str {
    let identifier = storage_identifier.unwrap_or("");
    identifier.rsplit(['/', ':']).next().unwrap_or(identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_where_files_move_to_another_store() {
        for identifier in ["18f3-a", "file://18f3-a", "s3://bucket:18f3-a", "old://x/18f3-a"] {
            assert_eq!(object_name(Some(identifier)), "18f3-a");
        }
    }

    #[test]
    fn half_of_what_both_have_tells() {
        let of = |compared, present, both, same| Overlap { compared, present, both, same }.is_another();
        assert!(of(10, 10, 0, 0), "nothing in common");
        assert!(of(10, 10, 10, 4));
        assert!(!of(10, 10, 10, 5));
        assert!(!of(10, 0, 0, 0), "a Dataverse that is not filled again yet");
        assert!(!of(0, 10, 0, 0));
    }
}
