//! What lies at a destination that the ledger does not name, at each kind of destination.

use std::fs;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::Kind;
use dvb_testkit::{files, seaweed, swift, temp_folder};
use serde_json::Value;

use crate::installation::{Installation, Ledger, in_the_cloud, section, sshd};

/// The orphans of each destination: key, size, and whose object it is.
fn found(it: &Value) -> Vec<Vec<(String, u64, Option<i64>)>> {
    let orphan = |orphan: &Value| {
        let (key, size) = (orphan["key"].as_str().unwrap().to_owned(), orphan["size"].as_u64().unwrap());
        (key, size, orphan["is"][0]["data_file_id"].as_i64())
    };
    let of_one = |answer: &Value| {
        let listed = answer["orphans"].as_array().unwrap_or_else(|| panic!("{answer:#}"));
        let mut all: Vec<_> = listed.iter().map(orphan).collect();
        all.sort_unstable();
        all
    };
    it["destinations"].as_array().unwrap().iter().map(of_one).collect()
}

#[test]
fn at_four_kinds_of_destination() {
    let (s3, swift) = (seaweed::shared(), swift::shared());
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/LOST").id;
    for n in 0..4_u8 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n.into())), &[n; 100]);
    }
    // In segments and parts.
    let large = files::bytes(7, 6 << 20);
    world.add_file(dataset, &format!("file://{}", World::object_name(9)), &large);
    let (bucket, container) = (swift::container("orphans"), swift::container("orphans"));
    s3.make_bucket(&bucket);
    let account = sshd().account(Kind::SftpOnly).fresh("orphans");
    let mut it = Installation::new(world, Ledger::Sqlite, &account, folder);
    let directory = it.folder.path().join("copies");
    let in_folder = format!("[Backup folder]\nStorageType: directory\nBackupDirectory: {}\n\n", directory.display());
    it.backup = section(&account, "") + "\n" + &in_folder + &in_the_cloud(&bucket, &container);
    it.write_config();
    it.init();
    assert_eq!(it.json(&["run"]).1, 0);
    let (none, code) = it.json(&["orphans"]);
    assert_eq!((found(&none), code), (vec![vec![]; 4], 0), "{none:#}");
    let listed: Vec<_> = none["destinations"].as_array().unwrap().iter().map(|it| it["listed"].as_u64()).collect();
    assert_eq!(listed, [Some(5); 4], "{none:#}");

    // Two copies were moved away, and something else lies about.
    let keys: Vec<String> = it.world.files.iter().map(|it| it.copies[0].0.clone()).collect();
    for (from, to, bytes) in [(&keys[1], "moved/river.csv", &[1; 100][..]), (&keys[4], "moved/large", &large)] {
        for root in [&it.local, &directory] {
            fs::create_dir_all(root.join("moved")).unwrap();
            fs::rename(root.join(from), root.join(to)).unwrap();
        }
        s3.delete(&bucket, &format!("backup/{from}"));
        s3.put(&bucket, &format!("backup/{to}"), bytes);
        swift.delete(&container, from);
        swift.put(&container, to, bytes);
    }
    for root in [&it.local, &directory] {
        fs::write(root.join("moved/other"), [9; 100]).unwrap();
    }
    s3.put(&bucket, "backup/moved/other", &[9; 100]);
    s3.put(&bucket, "elsewhere", b"not below the prefix");
    swift.put(&container, "moved/other", &[9; 100]);
    assert_eq!(it.json(&["verify"]).1, 4);
    let (lost, code) = it.json(&["orphans"]);
    assert_eq!(code, 0, "{lost:#}");
    let (river, big) = (it.world.files[1].id, it.world.files[4].id);
    let expected = [
        ("moved/large".to_owned(), 6 << 20, Some(big)),
        ("moved/other".to_owned(), 100, None),
        ("moved/river.csv".to_owned(), 100, Some(river)),
    ];
    assert_eq!(found(&lost), vec![expected.to_vec(); 4], "{lost:#}");
    let text = it.call(&["orphans", "--destination", "container"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(&format!("this object is data file {river}'s ")), "{text}");
    assert!(text.contains(&format!("its copy belongs at {}", keys[1])), "{text}");
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn who_may_not_list_is_told_so() {
    let s3 = seaweed::shared();
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/BLIND").id;
    world.add_file(dataset, &format!("file://{}", World::object_name(1)), b"bytes");
    let bucket = swift::container("blind");
    s3.make_bucket(&bucket);
    let mut it = Installation::new(world, Ledger::Sqlite, &sshd().shell().fresh("blind"), folder);
    it.backup = format!(
        "[Backup]\nStorageType: s3\nS3Bucket: {bucket}\nS3EndpointUrl: {}\nS3PathStyle: yes\nS3AccessKey: {}\n\
         S3SecretKey: {}\n",
        s3.url, s3.unlisted, s3.secret
    );
    it.write_config();
    it.init();
    let (refused, code) = it.json(&["orphans"]);
    // A right that is missing does not come by waiting.
    assert_eq!(code, 2, "{refused:#}");
    assert!(refused["destinations"][0]["error"].as_str().unwrap().contains("may not list"), "{refused:#}");
}
