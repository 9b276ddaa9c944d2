//! What a folder that files are given back to promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use dvb_fixity::{Algorithm, Measured};
use dvb_fs::{FileStore, FileStoreWriter, FolderWriter, OwnershipPolicy};
use dvb_model::{ObjectKey, ObjectName, RunId, StoragePid};
use dvb_storage::{
    Cause, Expected, Folder, Location, Mender, ObjectAddress, PutError, Source as _, StoreWriter as _, Target,
    conformance,
};
use tempfile::TempDir;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn expected(bytes: &[u8]) -> Expected {
    let measured = Measured::of(bytes, &[Algorithm::Md5]);
    Expected { size: measured.size, digests: measured.digests }
}

fn writer(root: &Path) -> FolderWriter {
    FolderWriter::open(root, &RunId("r1".into()), OwnershipPolicy::Own).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<_> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn cause(done: Result<dvb_storage::Placed, PutError>) -> Cause {
    match done {
        Err(PutError::Target(error)) => error.cause,
        other => panic!("{other:?}"),
    }
}

/// Every file below a folder.
fn tree(root: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for name in names(&root.join(below)) {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if root.join(&path).is_dir() {
            tree(root, &path, found);
        } else {
            found.insert(path.clone(), fs::read(root.join(&path)).unwrap());
        }
    }
}

#[test]
fn a_folder_keeps_the_promises_of_a_target() {
    for manner in [OwnershipPolicy::Own, OwnershipPolicy::AsNeighbours] {
        let folder = TempDir::new().unwrap();
        let writer = FolderWriter::open(folder.path(), &RunId("r1".into()), manner).unwrap();
        let seen = || {
            let mut found = BTreeMap::new();
            tree(folder.path(), "", &mut found);
            found
        };
        conformance::target(&writer, "10.5072/FK2/ABC", &seen).unwrap();
    }
}

#[test]
fn a_file_shows_whole_or_not_at_all() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("made/when/needed");
    let writer = writer(&root);
    assert_eq!(writer.size(&key("a/b")).unwrap(), None);
    assert!(!root.exists());
    writer.put_new(&key("a/b"), &mut &b"bytes"[..], &expected(b"bytes")).unwrap();
    writer.put_new(&key("a/empty"), &mut &b""[..], &expected(b"")).unwrap();
    for (name, other) in [("short", &b"byte"[..]), ("long", b"bytes and"), ("other", b"bites")] {
        let done = writer.put_new(&key(&format!("a/{name}")), &mut &*other, &expected(b"bytes"));
        assert!(matches!(done, Err(PutError::Mismatch(_))), "{name}: {done:?}");
    }
    let one_of_two =
        Expected { digests: [expected(b"bytes").digests, expected(b"x").digests].concat(), ..expected(b"bytes") };
    assert!(matches!(writer.put_new(&key("a/c"), &mut &b"bytes"[..], &one_of_two), Err(PutError::Mismatch(_))));
    let nothing = Expected { size: 5, digests: Vec::new() };
    assert!(matches!(writer.put_new(&key("a/c"), &mut &b"bytes"[..], &nothing), Err(PutError::Mismatch(_))));
    let mut breaks = (&b"byt"[..]).chain(Broken);
    assert!(matches!(writer.put_new(&key("a/c"), &mut breaks, &expected(b"bytes")), Err(PutError::Read(_))));
    assert_eq!(names(&root.join("a")), ["b", "empty"]);
    let mode = fs::metadata(root.join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn nothing_that_is_there_is_replaced_unless_it_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let writer = writer(folder.path());
    fs::write(folder.path().join("file"), "mine").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    symlink("file", folder.path().join("link")).unwrap();
    symlink(".", folder.path().join("here")).unwrap();
    for name in ["file", "folder", "link"] {
        assert_eq!(cause(writer.put_new(&key(name), &mut &b"x"[..], &expected(b"x"))), Cause::Exists, "{name}");
    }
    assert_eq!(cause(writer.put_new(&key("here/new"), &mut &b"x"[..], &expected(b"x"))), Cause::Refused);
    assert_eq!(cause(writer.put_new(&key("file/new"), &mut &b"x"[..], &expected(b"x"))), Cause::Exists);
    assert_eq!(writer.size(&key("link")).unwrap_err().cause, Cause::Refused);
    assert!(writer.open(&key("link")).is_err());
    let replace =
        |name: &str, aside: &str| writer.put_instead(&key(name), &mut &b"x"[..], &expected(b"x"), &key(aside));
    assert_eq!(cause(replace("link", "aside")), Cause::Refused);
    assert_eq!(cause(replace("folder", "aside")), Cause::Refused);
    assert_eq!(cause(replace("file", "folder/aside")), Cause::Refused);
    assert_eq!(cause(replace("file", "link")), Cause::Exists, "what is kept takes no other's name");
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["file", "folder", "here", "link"]);
    replace("file", "file.aside").unwrap();
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"x");
    assert_eq!(fs::read(folder.path().join("file.aside")).unwrap(), b"mine");
}

#[test]
fn what_dead_processes_left_goes_and_what_is_being_written_stays() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(".dataverse-backup-restore-dead-0"), "half").unwrap();
    let (one, two) =
        (writer(folder.path()), FolderWriter::open(folder.path(), &RunId("r2".into()), OwnershipPolicy::Own).unwrap());
    // While one is being written, another process begins in the same folder.
    let mut slow = Slow { begin: Some(|| two.put_new(&key("b"), &mut &b"b"[..], &expected(b"b")).unwrap()) };
    one.put_new(&key("a"), &mut slow, &expected(b"a")).unwrap();
    assert_eq!(names(folder.path()), ["a", "b"]);
}

struct Slow<F> {
    begin: Option<F>,
}

impl<F: FnOnce() -> dvb_storage::Placed> Read for Slow<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(begin) = self.begin.take() else { return Ok(0) };
        begin();
        buffer[0] = b'a';
        Ok(1)
    }
}

/// Looks into the folder while it is read.
struct Looks<'a>(&'a Path, Option<Vec<String>>);

impl Read for Looks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.is_some() {
            return Ok(0);
        }
        self.1 = Some(names(self.0));
        buffer[0] = b'x';
        Ok(1)
    }
}

#[test]
fn a_process_that_dies_leaves_nothing_and_nobody_else_may_look_into_the_folder() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("made/for/it");
    let writer = writer(&root);
    let mut looks = Looks(&root, None);
    writer.put_new(&key("file"), &mut looks, &expected(b"x")).unwrap();
    assert_eq!(looks.1.unwrap(), [""; 0], "a kill would leave what shows here");
    let mut looks = Looks(&root, None);
    writer.put_instead(&key("file"), &mut looks, &expected(b"x"), &key("file.aside")).unwrap();
    assert_eq!(looks.1.unwrap(), ["file"]);
    assert_eq!(names(&root), ["file", "file.aside"]);
    for made in ["made", "made/for", "made/for/it"] {
        let mode = fs::metadata(folder.path().join(made)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made}");
    }
}

fn location(name: &str) -> Location {
    Location {
        storage_pid: StoragePid { authority: "10.5072".into(), identifier: "FK2/ABC".into() },
        identifier: None,
        object: ObjectAddress::Main(ObjectName::new(name).unwrap()),
    }
}

/// What the store's reader finds at a name, after a writer put it there: both resolve links alike.
#[test]
fn a_store_is_written_where_it_is_read() {
    let folder = TempDir::new().unwrap();
    let [root, second, third] = ["files", "disk2", "disk3"].map(|it| folder.path().join(it));
    let [dataset, old] = ["FK2/ABC", "FK2/OLD"].map(|it| root.join("10.5072").join(it));
    for it in [&dataset, &old, &second.join("ABC"), &third] {
        fs::create_dir_all(it).unwrap();
    }
    let link = |to: &Path, name: &str| symlink(to, dataset.join(name)).unwrap();
    link(&old, "inside");
    link(&second.join("ABC"), "moved");
    link(&old.join("lost"), "file");
    link(&second.join("ABC/kept"), "damaged");
    link(&third, "out");
    link(&second.join("none"), "dangling");
    link(Path::new("loop"), "loop");
    fs::write(second.join("ABC/kept"), "bad").unwrap();

    let writer = FileStoreWriter::open(&root, std::slice::from_ref(&second), &RunId("r1".into())).unwrap();
    let store = FileStore::with_extra_roots(&root, std::slice::from_ref(&second)).unwrap();
    for (name, real) in [
        ("inside/x", old.join("x")),
        ("moved/y", second.join("ABC/y")),
        ("file", old.join("lost")),
        ("moved/n/z", second.join("ABC/n/z")),
    ] {
        let (mender, key) = writer.place(&location(name)).unwrap();
        mender.put_new(&key, &mut name.as_bytes(), &expected(name.as_bytes())).unwrap();
        assert_eq!(fs::read(&real).unwrap(), name.as_bytes(), "{name}");
        assert_eq!(store.size(&location(name)).unwrap(), Some(name.len() as u64), "{name}");
        assert_eq!(cause(mender.put_new(&key, &mut &b"x"[..], &expected(b"x"))), Cause::Exists, "{name}");
    }
    let (mender, at) = writer.place(&location("damaged")).unwrap();
    let placed = mender.put_instead(&at, &mut &b"good"[..], &expected(b"good"), &key("10.5072/FK2/ABC/damaged.bad"));
    assert_eq!(placed.unwrap().kept, Some(second.join("ABC/damaged.bad").display().to_string()));
    assert_eq!(fs::read(second.join("ABC/kept")).unwrap(), b"good");
    let (mender, at) = writer.place(&location("file")).unwrap();
    let aside = key("10.5072/FK2/ABC/file.bad");
    assert_eq!(cause(mender.put_instead(&at, &mut &b"x"[..], &expected(b"x"), &aside)), Cause::Refused, "another's");
    assert!(fs::symlink_metadata(dataset.join("damaged")).unwrap().is_symlink());

    for (name, link, advice) in [
        ("out/x", "out", "the extra roots"),
        ("dangling/x", "dangling", "nothing is there"),
        ("loop/x", "loop", "back to itself"),
        ("loop", "loop", "back to itself"),
    ] {
        let error = writer.place(&location(name)).err().unwrap();
        assert_eq!(error.cause, Cause::Refused, "{name}");
        let link = format!("the link {} leads to", dataset.join(link).display());
        assert!(error.attempt.contains(&link) && error.attempt.contains(advice), "{}", error.attempt);
    }
    assert_eq!(names(&third), [""; 0]);
    assert_eq!(names(&second), ["ABC"]);
}
