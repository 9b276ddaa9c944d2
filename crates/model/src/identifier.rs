//! Storage identifiers: which store, and what lies behind the `://` (facts 2.2 and 2.3).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{DriverId, KeyError, ObjectName};

/// The type of a store, `dataverse.files.<id>.type`. It comes from configuration, never from the driver's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A folder (`FileAccessIO`).
    File,
    /// A bucket (`S3AccessIO`).
    S3,
    /// `OpenStack` Swift (`SwiftAccessIO`).
    Swift,
    /// Bytes on somebody else's web server (`RemoteOverlayAccessIO`).
    Remote,
    /// Bytes at a Globus endpoint (`GlobusOverlayAccessIO`).
    Globus,
}

/// Why an identifier names no bytes that a backup could read (facts R10).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// NULL, blank, or nothing behind the prefix.
    #[error("no storage identifier")]
    None,
    /// `http://…` or `https://…`: a harvested or migrated location.
    #[error("the storage identifier is a URL, not an object of a store")]
    Url,
    /// `tmp://…`: an upload that was never stored.
    #[error("a temporary upload that Dataverse has not stored")]
    Temporary,
}

/// `dvobject.storageidentifier`, cut at the first `://` as Dataverse does (`DataAccess.getDriverId…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageIdentifier {
    /// The driver id; `None` where there is no prefix, which means the default store.
    pub driver: Option<DriverId>,
    /// Everything behind the prefix; never blank.
    pub rest: String,
}

impl StorageIdentifier {
    /// Reads the column as it stands.
    ///
    /// # Errors
    /// [`Unreadable`], with the reason why there is nothing to copy.
    pub fn parse(column: Option<&str>) -> Result<Self, Unreadable> {
        let text = column.unwrap_or("");
        let (driver, rest) = match text.split_once("://") {
            Some((driver, rest)) => (Some(driver), rest),
            None => (None, text),
        };
        if rest.trim().is_empty() {
            return Err(Unreadable::None);
        }
        match driver {
            Some("http" | "https") => Err(Unreadable::Url),
            Some("tmp" | "") => Err(Unreadable::Temporary),
            _ => Ok(Self { driver: driver.map(|it| DriverId(it.to_owned())), rest: rest.to_owned() }),
        }
    }

    /// The object's name within its dataset's folder, by the rules of a store of this kind (facts 2.3 to 2.7).
    ///
    /// `directory_identifier` is the dataset's storage identifier without the authority; a Swift object of
    /// Dataverse 4.10 and later carries it in front of the name.
    ///
    /// # Errors
    /// [`KeyError`], when the name is none that a store could hold.
    pub fn object_name(&self, kind: StoreKind, directory_identifier: &str) -> Result<ObjectName, KeyError> {
        match kind {
            StoreKind::File => ObjectName::new(&self.rest),
            StoreKind::S3 => ObjectName::new(after_last_colon(&self.rest)),
            StoreKind::Swift => {
                let object = self.rest.splitn(3, ':').nth(2).unwrap_or(&self.rest);
                let name =
                    object.strip_prefix(directory_identifier).and_then(|it| it.strip_prefix('/')).unwrap_or(object);
                ObjectName::new(name)
            }
            // `<base id>//<path or endpoint>`: what belongs to the file lies under the base id.
            StoreKind::Remote | StoreKind::Globus => {
                ObjectName::new(self.rest.split_once("//").map_or(self.rest.as_str(), |(base, _)| base))
            }
        }
    }

    /// The bucket that an S3 identifier names: `<bucket>:<name>`.
    #[must_use]
    pub fn bucket(&self) -> Option<&str> {
        self.rest.rsplit_once(':').map(|(bucket, _)| bucket)
    }
}

fn after_last_colon(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(_, name)| name)
}
