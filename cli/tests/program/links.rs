//! A store that people have linked to other disks: what is read through a link is given back through it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::site::Site;

/// A site whose only dataset was moved to a second disk, with a link in its place.
fn moved() -> (Site, PathBuf, PathBuf) {
    let site = Site::new();
    let dataset = site.path("files/10.5072/FK2/ABC");
    let disk = site.path("disk2");
    fs::create_dir(&disk).unwrap();
    fs::rename(&dataset, disk.join("ABC")).unwrap();
    symlink(disk.join("ABC"), &dataset).unwrap();
    (site, dataset, disk)
}

#[test]
fn what_lies_behind_an_allowed_link_comes_back_there() {
    let (mut site, dataset, disk) = moved();
    site.call(&["init"]).expect(0);
    let link = format!("the link {} leads to {}", dataset.display(), disk.join("ABC").display());
    // Refused: by the link's name, with the key that allows it.
    site.call(&["check"]).says(&["store file", &link, "ExtraRoots"]);
    site.add("Repository", &format!("ExtraRoots: {}", disk.display()));
    site.call(&["run"]).expect(0);
    let [lost, damaged] = [0, 1].map(|n| disk.join("ABC").join(site.object(n).file_name().unwrap()));
    fs::remove_file(&lost).unwrap();
    fs::write(&damaged, "CONTENT 1").unwrap();
    site.call(&["repair", "--all"]).says(&["would put the bytes"]);
    site.call(&["repair", "--all", "--apply"]).expect(0);
    assert_eq!(fs::read(&lost).unwrap(), b"content 0");
    assert_eq!(fs::read(&damaged).unwrap(), b"content 1");
    fs::remove_file(&lost).unwrap();
    site.call(&["restore", "--all", "--in-place"]).expect(0);
    assert_eq!(fs::read(&lost).unwrap(), b"content 0");
    assert!(fs::symlink_metadata(&dataset).unwrap().is_symlink());
}

#[test]
fn what_a_link_forbids_is_not_promised_either() {
    let (mut site, dataset, disk) = moved();
    site.add("Repository", &format!("ExtraRoots: {}", disk.display()));
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    let object = site.object(0);
    let other = site.path("elsewhere");
    fs::create_dir(&other).unwrap();
    fs::remove_file(&object).unwrap();
    // A file that is a link out of the store, and is missing there.
    symlink(other.join("x"), &object).unwrap();
    for words in [&["repair", "--all"][..], &["repair", "--all", "--apply"], &["restore", "--all", "--in-place"]] {
        let done = site.call(words);
        assert!(!done.out.contains("would put"), "{done}");
        done.says(&[&format!("the link {} leads to", object.display())]);
    }
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    assert!(fs::symlink_metadata(&dataset).unwrap().is_symlink());
}

#[test]
fn a_disk_that_is_not_mounted_leaves_the_rest_of_the_store() {
    let mut site = Site::with(|world, _| {
        let other = world.add_dataset("10.5072", "FK2/OTHER").id;
        world.add_file(other, "file://18f3a000000-0000000000ff", b"other");
    });
    let dataset = site.path("files/10.5072/FK2/ABC");
    let disk = site.path("disk2");
    symlink(disk.join("ABC"), site.path("link")).unwrap();
    fs::rename(&dataset, site.path("moved")).unwrap();
    fs::rename(site.path("link"), &dataset).unwrap();
    site.add("Repository", &format!("ExtraRoots: {}", disk.display()));
    site.call(&["init"]).expect(0);
    let absent = format!("the folder {} of ExtraRoots cannot be opened", disk.display());
    site.call(&["check"]).says(&[&absent]);
    let done = site.call(&["--json", "run"]);
    let summary = done.json();
    assert_eq!(summary["files"]["copied"], 1, "{done}");
    assert_eq!(summary["files"]["failed"], 3, "{done}");
    site.call(&["status", "--failed"]).says(&[&absent]);
}
