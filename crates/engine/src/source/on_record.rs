//! What the ledger knows of the objects of one data file: the newest copy of each, at one destination or at several.

use dvb_fixity::{Algorithm, Measured, RecordedChecksum};
use dvb_ledger::{CopyRecord, CopyState};
use dvb_model::{DestinationName, ObjectRole};

/// The copies of one data file, each with the destination that has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnRecord(Vec<(DestinationName, CopyRecord)>);

impl OnRecord {
    pub(crate) fn add(&mut self, destination: &DestinationName, copy: CopyRecord) {
        // Nothing was ever seen of what is only reserved.
        if copy.state != CopyState::Reserved {
            self.0.push((destination.clone(), copy));
        }
    }

    /// The newest copies of an object: another destination may have seen other bytes last.
    fn newest(&self, role: &ObjectRole) -> impl Iterator<Item = &(DestinationName, CopyRecord)> {
        let of_role = |it: &&(DestinationName, CopyRecord)| it.1.role == *role;
        let newest = self.0.iter().filter(of_role).map(|it| it.1.version).max();
        self.0.iter().filter(move |it| it.1.role == *role && Some(it.1.version) == newest)
    }

    /// Whether the object was ever copied.
    pub(crate) fn knows(&self, role: &ObjectRole) -> bool {
        self.newest(role).next().is_some()
    }

    /// Whether these are its newest bytes; `None` where it was never copied.
    pub(crate) fn has(&self, role: &ObjectRole, read: &Measured) -> Option<bool> {
        let sha256 = read.digest(Algorithm::Sha256);
        let same = self.newest(role).map(|it| it.1.sha256.as_ref() == sha256);
        same.reduce(|any, it| any || it)
    }

    /// Which of the two objects of a data file was found to have the recorded checksum; `None` where none was, as far as
    /// is on record.
    pub(crate) fn owner_of(&self, checksum: &RecordedChecksum) -> Option<ObjectRole> {
        let digest = checksum.digest()?;
        let fits = |role| {
            let known = self.newest(role).filter_map(|it| it.1.has(digest));
            known.reduce(|any, it| any || it)
        };
        match (fits(&ObjectRole::Original), fits(&ObjectRole::Main)) {
            (Some(true), _) => Some(ObjectRole::Original),
            (_, Some(true)) => Some(ObjectRole::Main),
            // After the ledger was lost there is only our own digest. A saved original is only ever copied where the
            // table is ingested, or where the checksum is its own.
            (None, _) if self.knows(&ObjectRole::Original) => Some(ObjectRole::Original),
            _ => None,
        }
    }

    /// Paths of the members of a package that were copied.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, copy)| match &copy.role {
            ObjectRole::Member(path) => Some(path.as_str()),
            ObjectRole::Main | ObjectRole::Original | ObjectRole::Auxiliary(_) | ObjectRole::DatasetLevel(_) => None,
        })
    }

    /// Where a good copy of the object is, to be put behind what is wrong with it. Without a role, of the whole data file.
    pub(crate) fn where_it_is(&self, role: Option<&ObjectRole>) -> String {
        let is_newer = |it: &CopyRecord, other: &CopyRecord| other.role == it.role && other.version > it.version;
        let wanted = |(destination, copy): &&(DestinationName, CopyRecord)| {
            let is_meant = match role {
                Some(role) => copy.role == *role,
                None => !matches!(copy.role, ObjectRole::DatasetLevel(_)),
            };
            let is_newest = !self.0.iter().any(|(at, other)| at == destination && is_newer(copy, other));
            is_meant && is_newest && copy.state == CopyState::Proved
        };
        let mut good = self.0.iter().filter(wanted);
        match (good.next(), good.count()) {
            (None, _) => "no proved copy of it is on record".to_owned(),
            (Some((destination, copy)), 0) => {
                format!("a proved copy is at destination {destination}, {}", copy.key)
            }
            (Some((destination, copy)), more) => {
                format!("proved copies are at destination {destination}, {}, and {more} more", copy.key)
            }
        }
    }
}
