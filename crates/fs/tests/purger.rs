//! Deleting copies in a folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::symlink;

use dvb_fs::{DirectoryPurger, DirectorySink, DirectorySinkConfig};
use dvb_model::ObjectKey;
use dvb_storage::{Cause, Demand, Held, HeldKind, Purger as _, conformance};
use tempfile::TempDir;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

#[test]
fn a_folder_keeps_the_promises_of_a_purger() {
    let folder = TempDir::new().unwrap();
    let sink = DirectorySink::new(DirectorySinkConfig { root: folder.path().to_owned(), demand: Demand::Auto });
    let mut purger = DirectoryPurger::open(folder.path()).unwrap();
    assert_eq!(conformance::purged(&sink, &mut purger, "10.5072/FK2", 300_000), Ok(()));
}

#[test]
fn a_folder_that_is_away_is_no_empty_one() {
    let folder = TempDir::new().unwrap();
    let opened = DirectoryPurger::open(&folder.path().join("unmounted"));
    assert_eq!(opened.err().unwrap().cause, Cause::Absent);
}

#[test]
fn a_link_is_deleted_and_not_followed() {
    let folder = TempDir::new().unwrap();
    let (root, outside) = (folder.path().join("backup"), folder.path().join("outside"));
    fs::create_dir_all(root.join("a")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "bytes").unwrap();
    symlink(outside.join("kept"), root.join("a/link")).unwrap();
    symlink(&outside, root.join("out")).unwrap();
    let mut purger = DirectoryPurger::open(&root).unwrap();
    let held = purger.held(&key("a/link")).unwrap();
    assert_eq!(held.len(), 1);
    purger.delete(&held[0]).unwrap();
    assert!(purger.held(&key("a/link")).unwrap().is_empty());
    assert_eq!(purger.held(&key("out/kept")).unwrap_err().cause, Cause::Refused);
    for name in ["out/kept", "../outside/kept"] {
        let held = Held { name: name.into(), version: None, size: 5, kind: HeldKind::Object, lock: None };
        assert!(purger.delete(&held).is_err(), "{name}");
    }
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"bytes");
}

#[test]
fn what_cannot_be_listed_is_an_error_and_no_shorter_list() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("a/folder")).unwrap();
    fs::create_dir_all(folder.path().join(".dataverse-backup")).unwrap();
    let mut purger = DirectoryPurger::open(folder.path()).unwrap();
    assert_eq!(purger.held(&key("a/folder")).unwrap_err().cause, Cause::Broken);
    fs::write(folder.path().join(".dataverse-backup/damaged"), "no folder").unwrap();
    assert!(purger.held(&key("a/file")).is_err());
}
