//! Storage identifiers: which store, and what lies behind the `://` (dataverse.md 2.2 and 2.3).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::{climbs, collapse, is_plain_folder};
use crate::{DriverId, KeyError, ObjectKey, ObjectName, StoragePid};

/// The type of a store, `dataverse.files.<id>.type`. It comes from configuration, never from the driver's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A folder of Dataverse's host (`FileAccessIO`).
    File,
    /// A bucket of an S3 service (`S3AccessIO`).
    S3,
    /// Containers of `OpenStack` Swift (`SwiftAccessIO`).
    Swift,
    /// Bytes on somebody else's web server (`RemoteOverlayAccessIO`).
    Remote,
    /// Bytes at a Globus endpoint (`GlobusOverlayAccessIO`).
    Globus,
}

/// Why an identifier names no bytes that a backup could read (dataverse.md R10).
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
        // Slashes alone, or what comes back to where it began, name the folder, and no object in it.
        if collapse(rest.trim()).is_empty() {
            return Err(Unreadable::None);
        }
        match driver {
            Some("http" | "https") => Err(Unreadable::Url),
            Some("tmp" | "") => Err(Unreadable::Temporary),
            _ => Ok(Self { driver: driver.map(|it| DriverId(it.to_owned())), rest: rest.to_owned() }),
        }
    }

    /// The object's name within its dataset's folder, by the rules of a store of this kind (dataverse.md 2.3 to 2.7).
    ///
    /// `directory_identifier` is the dataset's storage identifier without the authority; a Swift object of
    /// Dataverse 4.10 and later carries it in front of the name.
    ///
    /// # Errors
    /// [`KeyError`], when the name is none that a store could hold.
    pub fn object_name(&self, kind: StoreKind, directory_identifier: &str) -> Result<ObjectName, KeyError> {
        match kind {
            StoreKind::File => ObjectName::new(&collapse(&self.rest)),
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

    /// The folder or prefix that the object lies in, in a store of this kind, and its name there. `pid` is the dataset's, as
    /// [`StoragePid::in_store`] has it. In a folder, a name may climb out of its dataset, as the file system lets it, and
    /// not out of the store.
    ///
    /// # Errors
    /// [`KeyError`], when nothing below the store's root is named.
    pub fn place_in(&self, kind: StoreKind, pid: &StoragePid) -> Result<(StoragePid, ObjectName), KeyError> {
        let (pid, name) = if kind == StoreKind::File && climbs(&self.rest) {
            let path = format!("{}/{}", pid.directory(), self.rest);
            let path = collapse(&path);
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            (StoragePid { authority: String::new(), identifier: folder.to_owned() }, ObjectName::new(name)?)
        } else {
            (pid.clone(), self.object_name(kind, &pid.identifier)?)
        };
        if !is_plain_folder(&pid.directory()) {
            ObjectKey::of(&pid.directory(), &name)?;
        }
        Ok((pid, name))
    }

    /// What stands behind the prefix, where it has a `..` that stays in the dataset's folder. Java does not take it back
    /// (`Paths.get` in `FileAccessIO`), the file system does, which needs what stands before it to be there.
    #[must_use]
    pub fn with_dots(&self) -> Option<&str> {
        let path = self.rest.trim_matches('/');
        let has_dots = path.split('/').any(|part| part == "..");
        let names_an_object = !matches!(path.rsplit('/').next(), None | Some("." | ".."));
        (has_dots && names_an_object && !climbs(path)).then_some(path)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn name(identifier: &str, kind: StoreKind) -> String {
        let parsed = StorageIdentifier::parse(Some(identifier)).unwrap();
        parsed.object_name(kind, "FK2/ABC").unwrap().as_str().to_owned()
    }

    #[test]
    fn every_shape_of_the_facts_gives_its_name() {
        for (identifier, kind, expected) in [
            ("15b2-9f0", StoreKind::File, "15b2-9f0"),
            ("file://15b2-9f0", StoreKind::File, "15b2-9f0"),
            ("Archive-2_x://15b2-9f0", StoreKind::File, "15b2-9f0"),
            ("sub/dir/name.txt", StoreKind::File, "sub/dir/name.txt"),
            ("file://a:b", StoreKind::File, "a:b"),
            ("file:///15b2-9f0", StoreKind::File, "15b2-9f0"),
            ("file://15b2-9f0/", StoreKind::File, "15b2-9f0"),
            ("file:////sub//./name", StoreKind::File, "sub/name"),
            ("file:///etc/passwd", StoreKind::File, "etc/passwd"),
            ("file://sub/../name", StoreKind::File, "name"),
            ("file://..name", StoreKind::File, "..name"),
            ("file://a/b/../../c/./d", StoreKind::File, "c/d"),
            ("s3://bucket:15b2-9f0", StoreKind::S3, "15b2-9f0"),
            ("s3://15b2-9f0", StoreKind::S3, "15b2-9f0"),
            ("s3://bucket:package_folder.zip", StoreKind::S3, "package_folder.zip"),
            ("swift://ep:doi-10-5072-FK2-ABC:15b2", StoreKind::Swift, "15b2"),
            ("swift://ep:doi-10-5072:FK2/ABC/15b2", StoreKind::Swift, "15b2"),
            ("trsa://18b3//path/to/data.csv", StoreKind::Remote, "18b3"),
            ("globus://18b3", StoreKind::Globus, "18b3"),
        ] {
            assert_eq!(name(identifier, kind), expected, "{identifier}");
        }
    }

    #[test]
    fn what_names_no_object_says_why() {
        for (column, why) in [
            (None, Unreadable::None),
            (Some(""), Unreadable::None),
            (Some(" "), Unreadable::None),
            (Some("file://"), Unreadable::None),
            (Some("file:///"), Unreadable::None),
            (Some("file:////"), Unreadable::None),
            (Some("file://./"), Unreadable::None),
            (Some("file://a/.."), Unreadable::None),
            (Some("/"), Unreadable::None),
            (Some("http://"), Unreadable::None),
            (Some("http://host/file"), Unreadable::Url),
            (Some("https://host/file"), Unreadable::Url),
            (Some("tmp://x"), Unreadable::Temporary),
            (Some("://x"), Unreadable::Temporary),
        ] {
            assert_eq!(StorageIdentifier::parse(column), Err(why), "{column:?}");
        }
    }

    #[test]
    fn no_name_climbs_out_of_a_store() {
        for (identifier, kind) in [
            ("file://../x", StoreKind::File),
            ("file:///..", StoreKind::File),
            ("file://a//../../x", StoreKind::File),
            ("s3://bucket:/x", StoreKind::S3),
            ("s3://bucket:x/", StoreKind::S3),
        ] {
            let parsed = StorageIdentifier::parse(Some(identifier)).unwrap();
            assert!(parsed.object_name(kind, "FK2/ABC").is_err(), "{identifier}");
        }
    }

    #[test]
    fn a_name_may_climb_out_of_its_dataset_and_not_out_of_the_store() {
        let pid = StoragePid { authority: "10.5072".into(), identifier: "FK2/ABC".into() };
        let place = |identifier: &str, kind| {
            let (pid, name) = StorageIdentifier::parse(Some(identifier)).unwrap().place_in(kind, &pid)?;
            Ok(ObjectKey::of(&pid.directory(), &name)?.as_str().to_owned())
        };
        for (identifier, expected) in [
            ("file://x", "10.5072/FK2/ABC/x"),
            ("file://sub/../x", "10.5072/FK2/ABC/x"),
            ("file://../OTHER/x", "10.5072/FK2/OTHER/x"),
            ("file:///../../../x", "x"),
            ("file://../../../1902.1/y/x", "1902.1/y/x"),
        ] {
            assert_eq!(place(identifier, StoreKind::File), Ok::<_, KeyError>(expected.to_owned()), "{identifier}");
        }
        for identifier in
            ["file://../../../../x", "file://../../../.dataverse-backup/x", "file://../../../..", "file://../../.."]
        {
            assert!(place(identifier, StoreKind::File).is_err(), "{identifier}");
        }
        assert!(place("s3://b:../x", StoreKind::S3).is_err(), "a bucket has no folders");
    }

    #[test]
    fn a_driver_is_taken_as_it_is_written() {
        for (column, driver) in [("A_b-C://x", Some("A_b-C")), ("x", None), ("file://a://b", Some("file"))] {
            let parsed = StorageIdentifier::parse(Some(column)).unwrap();
            assert_eq!(parsed.driver.map(|it| it.0).as_deref(), driver);
        }
    }

    proptest! {
        #[test]
        fn parsing_loses_nothing(driver in proptest::option::of("[A-Za-z0-9_-]{1,8}"), rest in "[!-~][ -~]{0,20}") {
            prop_assume!(!rest.contains("://") && !collapse(rest.trim()).is_empty());
            let column = driver.as_ref().map_or_else(|| rest.clone(), |it| format!("{it}://{rest}"));
            match StorageIdentifier::parse(Some(&column)) {
                Ok(it) => prop_assert_eq!((it.driver.map(|it| it.0), it.rest), (driver, rest)),
                Err(why) => prop_assert!(matches!((driver.as_deref(), why),
                    (Some("http" | "https"), Unreadable::Url) | (Some("tmp"), Unreadable::Temporary))),
            }
        }
    }
}
