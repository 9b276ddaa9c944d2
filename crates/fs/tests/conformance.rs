//! The suites of `dvb_storage::conformance`, on folders.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore};
use dvb_model::{ObjectKey, ObjectName, RunId, StorageIdentifier, StoragePid};
use dvb_storage::{Cause, Demand, Location, ObjectAddress, Sink, Source, conformance};
use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

fn sink_at(root: &Path, demand: Demand) -> DirectorySink {
    DirectorySink::new(DirectorySinkConfig { root: root.to_owned(), demand })
}

#[test]
fn a_folder_keeps_the_promises_of_a_sink() {
    let folder = TempDir::new().unwrap();
    let sink = sink_at(&folder.path().join("backup"), Demand::Auto);
    assert_eq!(conformance::sink(&sink, "10.5072/FK2/ABC"), Ok(()));
}

#[test]
fn a_folder_has_no_remote_hash() {
    let folder = TempDir::new().unwrap();
    let refused = sink_at(folder.path(), Demand::RemoteHash).connect(&RunId("r".into()));
    assert_eq!(refused.err().unwrap().cause, Cause::Misconfigured);
}

#[test]
fn a_sink_does_not_follow_links_out_of_its_root() {
    let folder = TempDir::new().unwrap();
    let (root, outside) = (folder.path().join("backup"), folder.path().join("outside"));
    fs::create_dir_all(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("10.5072")).unwrap();
    assert!(conformance::sink(&sink_at(&root, Demand::Auto), "10.5072/FK2").is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn what_is_there_and_no_file_is_broken_and_can_be_set_aside() {
    let folder = TempDir::new().unwrap();
    let (root, outside) = (folder.path().join("backup"), folder.path().join("outside"));
    fs::create_dir_all(root.join("folder/with")).unwrap();
    fs::write(&outside, "bytes").unwrap();
    fs::write(root.join("file"), "bytes").unwrap();
    symlink(&outside, root.join("link-out")).unwrap();
    symlink("file", root.join("link-inside")).unwrap();
    symlink("nowhere", root.join("link-to-nothing")).unwrap();
    mkfifoat(CWD, root.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    let mut session = sink_at(&root, Demand::Auto).connect(&RunId("r".into())).unwrap();
    for name in ["folder", "link-out", "link-inside", "link-to-nothing", "pipe"] {
        let key = ObjectKey::new(name).unwrap();
        let keys = [ObjectKey::new("file").unwrap(), key.clone(), ObjectKey::new("none").unwrap()];
        let [file, broken, none] = <[_; 3]>::try_from(session.stat(&keys).unwrap()).unwrap();
        assert_eq!((file.unwrap().map(|it| it.size), none.unwrap()), (Some(5), None), "{name}");
        assert_eq!(broken.unwrap_err().cause, Cause::Broken, "{name}");
        let [file, broken, none] = <[_; 3]>::try_from(session.measure(&keys, &[]).unwrap()).unwrap();
        assert_eq!((file.unwrap().size, none.unwrap_err().cause), (5, Cause::Missing), "{name}");
        let broken = broken.unwrap_err();
        assert_eq!(broken.cause, Cause::Broken, "{name}");
        assert!(broken.attempt.contains(name), "{name}: {broken}");
        assert_eq!(session.open(&key).err().unwrap().cause, Cause::Broken, "{name}");
        let aside = ObjectKey::new(&format!("aside/{name}")).unwrap();
        session.rename(&key, &aside).unwrap();
        assert_eq!(session.stat(&[key]).unwrap().remove(0).unwrap(), None, "{name}");
        assert!(fs::symlink_metadata(root.join(aside.as_str())).is_ok(), "{name}");
    }
    assert_eq!((fs::read(outside).unwrap(), fs::read(root.join("file")).unwrap()), (b"bytes".into(), b"bytes".into()));
}

fn location(name: &str) -> Location {
    Location {
        storage_pid: StoragePid { authority: "10.5072".into(), identifier: "FK2/ABC".into() },
        identifier: StorageIdentifier::parse(Some(name)).ok(),
        object: ObjectAddress::Main(ObjectName::new(name).unwrap()),
    }
}

fn tagged(name: &str, tag: &str) -> Location {
    Location { object: ObjectAddress::Tagged(ObjectName::new(name).unwrap(), tag.into()), ..location(name) }
}

#[test]
fn a_folder_keeps_the_promises_of_a_source() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("files");
    let dataset = root.join("10.5072/FK2/ABC");
    fs::create_dir_all(dataset.join("sub dir")).unwrap();
    fs::create_dir_all(dataset.join("package/a")).unwrap();
    let outside = folder.path().join("secret");
    fs::write(&outside, "secret").unwrap();
    symlink(&outside, dataset.join("link")).unwrap();
    symlink("../../../../secret", dataset.join("climbing-link")).unwrap();
    symlink("plain", dataset.join("inside-link")).unwrap();
    for (name, bytes) in
        [("plain", "abc"), ("plain.orig", "abcd"), ("sub dir/na'me", ""), ("package/a/b", "x"), ("package/c", "y")]
    {
        fs::write(dataset.join(name), bytes).unwrap();
    }
    let store = FileStore::open(&root).unwrap();
    let present = [
        (location("plain"), b"abc".to_vec()),
        (tagged("plain", "orig"), b"abcd".to_vec()),
        (location("sub dir/na'me"), Vec::new()),
        (location("inside-link"), b"abc".to_vec()),
        (location(&"x".repeat(255)), b"long".to_vec()),
    ];
    let long = "x".repeat(255);
    fs::write(dataset.join(&long), "long").unwrap();
    let absent =
        [location("none"), tagged("plain", "none"), location("plain/below-a-file"), tagged(&long, "prov-json.json")];
    let refused = [location("link"), location("climbing-link")];
    assert_eq!(conformance::source(&store, &present, &absent, &refused), Ok(()));
    assert_eq!(store.members(&location("package")).unwrap().unwrap(), ["a/b", "c"]);
    assert_eq!(store.members(&location("plain")).unwrap(), None);
    assert_eq!(store.open(&location("package")).err().unwrap().cause, Cause::Io);
}

/// What is read, or the cause and the whole text of the failure.
fn read(store: &FileStore, name: &str) -> Result<Vec<u8>, (Cause, String)> {
    let mut found = Vec::new();
    let failed = |it: dvb_storage::SourceError| (it.cause, it.chain());
    store.open(&location(name)).map_err(failed)?.body.read_to_end(&mut found).unwrap();
    assert_eq!(store.size(&location(name)).unwrap(), Some(found.len() as u64));
    Ok(found)
}

#[test]
fn links_are_followed_to_where_they_may_lead_and_named_where_they_may_not() {
    let folder = TempDir::new().unwrap();
    let [root, second, third] = ["files", "disk2", "disk3"].map(|it| folder.path().join(it));
    let [dataset, old] = ["FK2/ABC", "FK2/OLD"].map(|it| root.join("10.5072").join(it));
    for it in [&dataset, &old, &second.join("moved"), &third] {
        fs::create_dir_all(it).unwrap();
    }
    for (at, bytes) in
        [(old.join("x"), "old"), (second.join("moved/y"), "second"), (third.join("z"), "third"), (root.join("w"), "w")]
    {
        fs::write(at, bytes).unwrap();
    }
    let link = |to: &Path, name: &str| symlink(to, dataset.join(name)).unwrap();
    // Inside, as another path of it, by a relative link that goes round outside, and from the second disk back in.
    link(&old.join("x"), "absolute");
    link(&old, "folder");
    link(Path::new("../../../../files/w"), "round");
    symlink(old.join("x"), second.join("back")).unwrap();
    link(&second.join("moved"), "moved");
    link(&second.join("back"), "back");
    link(&second, "whole");
    link(&third.join("z"), "out");
    link(&second.join("none"), "dangling");
    symlink(&root, folder.path().join("alias")).unwrap();
    link(&folder.path().join("alias/10.5072/FK2/OLD/x"), "alias");
    // A neighbour whose name only begins like that of the store.
    fs::create_dir(folder.path().join("files2")).unwrap();
    fs::write(folder.path().join("files2/v"), "v").unwrap();
    link(&folder.path().join("files2/v"), "beside");

    let store = FileStore::open(&root).unwrap();
    for name in ["absolute", "folder/x", "alias", "back"] {
        assert_eq!(read(&store, name), Ok(b"old".to_vec()), "{name}");
    }
    assert_eq!(read(&store, "round"), Ok(b"w".to_vec()));
    for (name, link, to) in [
        ("moved/y", "moved", second.join("moved")),
        ("out", "out", third.join("z")),
        ("beside", "beside", folder.path().join("files2/v")),
    ] {
        let (cause, text) = read(&store, name).unwrap_err();
        assert_eq!(cause, Cause::Refused, "{text}");
        let expected = [dataset.join(name).display().to_string(), "the extra roots".into()];
        let link = format!("the link {} leads to {}", dataset.join(link).display(), to.display());
        assert!(expected.iter().chain([&link]).all(|it| text.contains(it)), "{text}");
        assert_eq!(store.size(&location(name)).unwrap_err().cause, Cause::Refused);
    }
    let (cause, text) = read(&store, "dangling").unwrap_err();
    assert_eq!(cause, Cause::Missing);
    assert!(text.contains("dangling leads to") && text.contains("disk2/none"), "{text}");

    let store = FileStore::with_extra_roots(&root, std::slice::from_ref(&second)).unwrap();
    for name in ["moved/y", "whole/moved/y"] {
        assert_eq!(read(&store, name), Ok(b"second".to_vec()), "{name}");
    }
    assert_eq!(store.members(&location("moved")).unwrap().unwrap(), ["y"]);
    assert_eq!(store.members(&location("whole")).unwrap().unwrap(), ["back", "moved/y"]);
    assert_eq!(read(&store, "out").unwrap_err().0, Cause::Refused);
    assert!(store.check().is_ok());
    // A disk that is not mounted is no reason to leave the rest out; what lies on it is not called missing.
    let behind = |why: &str| {
        let store = FileStore::with_extra_roots(&root, std::slice::from_ref(&second)).unwrap();
        assert!(store.check().is_ok());
        assert_eq!(read(&store, "absolute"), Ok(b"old".to_vec()));
        for name in ["moved/y", "back"] {
            let (cause, text) = read(&store, name).unwrap_err();
            assert_eq!(cause, Cause::Refused, "{text}");
            assert!(text.contains(&format!("the folder {} of the extra roots {why}", second.display())), "{text}");
            assert_eq!(store.size(&location(name)).unwrap_err().cause, Cause::Refused, "{name}");
        }
        let notes = store.notes();
        assert!(
            notes.len() == 1 && notes[0].contains(why) && notes[0].contains(&second.display().to_string()),
            "{notes:?}"
        );
    };
    fs::remove_dir_all(&second).unwrap();
    fs::create_dir(&second).unwrap();
    behind("is empty");
    fs::remove_dir(&second).unwrap();
    behind("cannot be opened");
}

#[test]
fn a_link_to_itself_is_called_so() {
    let folder = TempDir::new().unwrap();
    let dataset = folder.path().join("10.5072/FK2/ABC");
    fs::create_dir_all(&dataset).unwrap();
    symlink("b", dataset.join("a")).unwrap();
    symlink("a", dataset.join("b")).unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    for name in ["a", "a/x"] {
        let (cause, text) = read(&store, name).unwrap_err();
        assert_eq!(cause, Cause::Refused, "{text}");
        assert!(text.contains("leads to b, and from there back to itself. Remove this link"), "{text}");
        assert!(!text.contains("the extra roots"), "{text}");
    }
}

#[test]
fn an_empty_store_may_be_a_mount_that_is_missing() {
    let folder = TempDir::new().unwrap();
    assert_eq!(FileStore::open(folder.path()).unwrap().check().unwrap_err().cause, Cause::Unavailable);
    let nowhere = FileStore::open(&folder.path().join("none"));
    assert_eq!(nowhere.err().unwrap().cause, Cause::Misconfigured);
}
