//! What was called proved is there after a power cut, with every file system that can promise it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FolderWriter, OwnershipPolicy, replace_file};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    CommitRequest, Demand, Expected, Folder as _, Payload, PayloadError, Sink, SinkSession, StageRequest, Staged,
    Target,
};
use dvb_testkit::disk::{Disk, FileSystem};

struct Bytes(Vec<u8>, Hasher);

fn bytes_of(name: &str) -> Vec<u8> {
    name.repeat(300).into_bytes()
}

impl Payload for Bytes {
    fn size_hint(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = self.0.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.1.update(&self.0[..n]);
        self.0.drain(..n);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.1.finish()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

fn stage(session: &mut dyn SinkSession, names: &[String]) -> Vec<Staged> {
    let request = |it: &String| StageRequest { key: key(it), payload: Box::new(Bytes(bytes_of(it), Hasher::new(&[]))) };
    session.stage(names.iter().map(request).collect()).unwrap().into_iter().map(Result::unwrap).collect()
}

fn store(session: &mut dyn SinkSession, names: &[String]) {
    let staged = stage(session, names);
    let batch = staged.into_iter().map(|staged| CommitRequest { staged, replace: false }).collect();
    session.commit(batch).unwrap().into_iter().for_each(|it| drop(it.unwrap()));
}

fn lost(root: &Path, names: &[String]) -> Vec<String> {
    let is_lost = |it: &&String| fs::read(root.join(it)).ok() != Some(bytes_of(it));
    names.iter().filter(is_lost).cloned().collect()
}

fn each_disk(test: impl Fn(&Disk)) {
    if Disk::may_be_had() {
        [FileSystem::Ext4, FileSystem::Xfs].map(Disk::new).iter().for_each(test);
    }
}

/// Names in `folders` new folders.
fn names(prefix: &str, folders: u32, files: u32) -> Vec<String> {
    let of_folder = |n| (0..files).map(move |m| format!("10.5072/FK2/{prefix}{n}/object-{m}"));
    (0..folders).flat_map(of_folder).collect()
}

#[test]
fn every_proved_copy_outlives_the_power() {
    each_disk(|disk| {
        let root = disk.path().join("backup");
        let sink = DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand: Demand::Auto });
        sink.make().unwrap();
        let mut session = sink.connect(&RunId("r1".into())).unwrap();
        // Many are flushed together, few by themselves.
        for (prefix, folders, files) in [("MANY", 10, 5), ("FEW", 2, 1), ("ONE", 1, 1)] {
            let names = names(prefix, folders, files);
            store(session.as_mut(), &names);
            let left = disk.after_a_power_cut();
            assert_eq!(lost(&left.path().join("backup"), &names), [""; 0]);
        }
        assert_eq!(sink.notes(), [""; 0]);
        let (from, to) = (names("ONE", 1, 1).remove(0), "10.5072/FK2/NEW/other");
        session.rename(&key(&from), &key(to)).unwrap();
        let left = disk.after_a_power_cut().path().join("backup").join(to).exists();
        assert!(left, "a new name was lost");
    });
}

#[test]
fn a_folder_that_cannot_be_made_is_one_objects_failure() {
    let folder = tempfile::tempdir().unwrap();
    let sink = DirectorySink::new(DirectorySinkConfig { root: folder.path().into(), demand: Demand::Auto });
    let mut session = sink.connect(&RunId("r1".into())).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let names = ["a/b", "file/c", "d/e"].map(str::to_owned);
    let staged = stage(session.as_mut(), &names);
    let batch = staged.into_iter().map(|staged| CommitRequest { staged, replace: false }).collect();
    let done: Vec<_> = session.commit(batch).unwrap().iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, true]);
    assert_eq!(lost(folder.path(), &names), ["file/c"]);
}

#[test]
fn a_disk_that_can_write_no_more_is_named_and_nothing_that_it_lost_is_proved() {
    if !Disk::may_be_had() {
        return;
    }
    let disk = Disk::thin(FileSystem::Ext4, 64 << 20);
    let sink = DirectorySink::new(DirectorySinkConfig { root: disk.path(), demand: Demand::Auto });
    let mut session = sink.connect(&RunId("r1".into())).unwrap();
    let (mut proved, mut failed) = (Vec::new(), 0);
    for batch in 0..12 {
        let names = names(&format!("B{batch}-"), 1, 10);
        let of = |it: &String| StageRequest {
            key: key(it),
            payload: Box::new(Bytes(it.repeat(40_000).into_bytes(), Hasher::new(&[]))),
        };
        let staged = session.stage(names.iter().map(of).collect()).unwrap();
        let count = staged.len();
        let staged = staged.into_iter().flatten().map(|staged| CommitRequest { staged, replace: false }).collect();
        let done = session.commit(staged).unwrap().into_iter().filter(Result::is_ok).count();
        failed += count - done;
        if done == count {
            proved.extend(names);
        }
    }
    assert!(failed > 0 && !proved.is_empty(), "{failed} failed, {} proved", proved.len());
    let notes = sink.notes();
    assert!(notes.len() == 1 && notes[0].contains("could not be written"), "{notes:?}");
    for name in proved {
        let file = fs::File::open(disk.path().join(&name)).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert!(std::io::read_to_string(file).unwrap() == name.repeat(40_000), "{name}");
    }
}

#[test]
fn what_is_adopted_outlives_the_power() {
    each_disk(|disk| {
        let root = disk.path().join("backup");
        let sink = DirectorySink::new(DirectorySinkConfig { root: root.clone(), demand: Demand::Auto });
        sink.make().unwrap();
        let mut session = sink.connect(&RunId("r1".into())).unwrap();
        // By somebody else, who flushes nothing; or by a run that died before it could.
        let names = names("COPIED", 4, 4);
        for name in &names {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), bytes_of(name)).unwrap();
        }
        let keys: Vec<_> = names.iter().map(|it| key(it)).collect();
        let measured = session.measure(&keys, &[]).unwrap();
        for (name, measured) in names.iter().zip(measured) {
            assert_eq!(measured.unwrap(), Measured::of(&bytes_of(name), &[]));
        }
        assert_eq!(lost(&disk.after_a_power_cut().path().join("backup"), &names), [""; 0]);
    });
}

#[test]
fn what_was_given_back_outlives_the_power() {
    each_disk(|disk| {
        for manner in [OwnershipPolicy::Own, OwnershipPolicy::AsNeighbours] {
            let below = format!("new/and-new-{manner:?}");
            let root = disk.path().join(&below);
            if manner == OwnershipPolicy::AsNeighbours {
                fs::create_dir_all(&root).unwrap();
            }
            let writer = FolderWriter::open(&root, &RunId("r1".into()), manner).unwrap();
            let mut names = names("BACK", 3, 2);
            names.push("at-the-root".into());
            for name in &names {
                let measured = Measured::of(&bytes_of(name), &[Algorithm::Md5]);
                let expected = Expected { size: measured.size, digests: measured.digests };
                let placed = writer.put_new(&key(name), &mut bytes_of(name).as_slice(), &expected).unwrap();
                assert_eq!(placed.note, None);
            }
            if manner == OwnershipPolicy::Own {
                writer.flush().unwrap();
            }
            assert_eq!(lost(&disk.after_a_power_cut().path().join(below), &names), [""; 0]);
        }
    });
}

#[test]
fn what_was_given_back_below_another_mount_outlives_the_power() {
    each_disk(|disk| {
        let (root, mount) = (disk.path().parent().unwrap().to_owned(), disk.path());
        let mount = mount.file_name().unwrap().to_str().unwrap();
        let writer = FolderWriter::open(&root, &RunId("r1".into()), OwnershipPolicy::Own).unwrap();
        // The first one is on the system's own disk, so that is what is flushed as a whole.
        let names = ["first".to_owned(), format!("{mount}/10.5072/second")];
        for name in &names {
            let measured = Measured::of(&bytes_of(name), &[Algorithm::Md5]);
            let expected = Expected { size: measured.size, digests: measured.digests };
            writer.put_new(&key(name), &mut bytes_of(name).as_slice(), &expected).unwrap();
        }
        writer.flush().unwrap();
        let left = disk.after_a_power_cut();
        let found = fs::read(left.path().join("10.5072/second")).ok();
        assert!(found == Some(bytes_of(&names[1])), "what lies below another mount was lost");
    });
}

#[test]
fn a_replaced_file_outlives_the_power() {
    each_disk(|disk| {
        for text in ["one", "another"] {
            let write = |file: &mut fs::File| std::io::Write::write_all(file, text.as_bytes());
            replace_file(&disk.path().join("figures"), 0o600, write).unwrap();
            let left = disk.after_a_power_cut();
            assert_eq!(fs::read_to_string(left.path().join("figures")).unwrap(), text);
        }
    });
}
