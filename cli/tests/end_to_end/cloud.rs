//! A Dataverse that keeps its files in a folder, in S3 and in Swift, backed up to four destinations at once.

use std::collections::BTreeMap;
use std::fs;

use dvb_catalog::SnapshotCatalog;
use dvb_fixity::{Algorithm, Measured};
use dvb_testkit::dataverse::{Schema, Stored, World};
use dvb_testkit::{files, swift, temp_folder};

use crate::installation::{Installation, Ledger, section, sshd};

const TABLE: &[u8] = b"a\tb\n";

/// What lies in a container, read over Swift's own API, whoever wrote it.
fn objects(server: &swift::Server, container: &str, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let names = server.list(container).into_iter();
    let own = names.filter(|it| it.starts_with(prefix) && !it.contains(".dataverse-backup/"));
    own.map(|it| {
        let bytes = server.get(container, &it).unwrap();
        (it[prefix.len()..].to_owned(), bytes)
    })
    .collect()
}

struct Mixed {
    it: Installation,
    bucket: String,
    /// Which Dataverse had before, and its older identifiers name.
    former_bucket: String,
    /// The container of the Swift store.
    holder: String,
    swift_container: String,
    s3_container: String,
    /// Bytes by key, of all stores.
    expected: BTreeMap<String, Vec<u8>>,
}

fn mixed(server: &swift::Server, name: &str) -> Mixed {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/MIX").id;
    world.add_file(dataset, "file://18f3a000000-000000000001", b"in a folder");
    let (bucket, former_bucket) = (swift::container("bucket"), swift::container("former"));
    let holder = swift::container("doi-10-5072");
    [&bucket, &former_bucket, &holder].into_iter().for_each(|it| server.make_container(it));
    let mut expected = BTreeMap::new();
    let large = files::bytes(7, 3 << 20);
    let in_buckets = [(&bucket, b"in a bucket".to_vec()), (&bucket, large), (&former_bucket, Vec::new())];
    for (n, (bucket, content)) in in_buckets.into_iter().enumerate() {
        let key = format!("10.5072/FK2/MIX/18f3a000000-00000000b00{n}");
        server.put(bucket, &key, &content);
        world.add_row(dataset, Some(&format!("s3://{bucket}:18f3a000000-00000000b00{n}")), &content);
        expected.insert(key, content);
    }
    let key = "10.5072/FK2/MIX/18f3a000000-00000000c001";
    server.put(&bucket, key, TABLE);
    server.put(&bucket, &format!("{key}.orig"), b"a,b\n");
    let file = world.add_row(dataset, Some(&format!("s3://{bucket}:18f3a000000-00000000c001")), b"a,b\n");
    file.size = Some(4);
    file.tables.push(dvb_testkit::dataverse::DataTable {
        original_format: Some("text/csv".into()),
        original_size: Some(4),
        original_name: None,
    });
    expected.insert(key.to_owned(), TABLE.to_vec());
    expected.insert(format!("{key}.orig"), b"a,b\n".to_vec());
    let name_in_swift = "FK2/MIX/18f3a000000-00000000d001";
    server.put(&holder, name_in_swift, b"in swift");
    world.add_row(dataset, Some(&format!("swift://ep:{holder}:{name_in_swift}")), b"in swift");
    expected.insert("10.5072/FK2/MIX/18f3a000000-00000000d001".to_owned(), b"in swift".to_vec());
    world.add_object(dataset, "file://18f3a000000-00000000e001", Stored::Bytes(b"beside".to_vec()));
    expected.extend(world.expected_copies());

    let account = sshd().shell().fresh(name);
    let mut it = Installation::new(world, Ledger::Sqlite, &account, folder);
    let (swift_container, s3_container) = (swift::container("copies"), swift::container("copies-s3"));
    server.make_container(&s3_container);
    let swift_store = format!(
        "[Store swift]\nType: swift\nDefaultEndpoint: ep\nAuthType.ep: basic\nAuthUrl.ep: {}\nUsername.ep: {}\n\
         Password.ep: {}\n\n",
        server.auth_url, server.user, server.key
    );
    let s3_store = format!(
        "[Store s3]\nType: s3\nBucketName: {bucket}\nCustomEndpointUrl: {}\nPathStyleAccess: true\nAccessKey: {}\n\
         SecretKey: {}\n\n",
        server.url, server.user, server.key
    );
    let directory = it.folder.path().join("copies");
    it.backup = swift_store
        + &s3_store
        + &section(&account, "")
        + &format!(
            "[Backup swift]\nStorageType: swift\nSwiftAuthUrl: {}\nSwiftAuthVersion: 1\nSwiftUser: {}\nSwiftKey: {}\n\
             SwiftContainer: {swift_container}\nSwiftSegmentSize: 1MiB\n\n",
            server.auth_url, server.user, server.key
        )
        + &format!(
            "[Backup s3]\nStorageType: s3\nS3Bucket: {s3_container}\nS3Prefix: backup\nS3EndpointUrl: {}\nS3PathStyle: yes\n\
             S3AccessKey: {}\nS3SecretKey: {}\n\n",
            server.url, server.user, server.key
        )
        + &format!("[Backup folder]\nStorageType: directory\nBackupDirectory: {}\n", directory.display());
    it.write_config();
    Mixed { it, bucket, former_bucket, holder, swift_container, s3_container, expected }
}

#[test]
fn stores_of_three_kinds_go_to_destinations_of_four() {
    let server = swift::shared();
    let Mixed { it, former_bucket, swift_container, s3_container, expected, .. } = mixed(server, "mixed");
    it.init();
    let (check, code) = it.json(&["check"]);
    assert_eq!(code, 0, "{check:#}");
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{summary:#}");
    for run in summary["runs"].as_array().unwrap() {
        assert_eq!(run["files"]["copied"], 6, "{summary:#}");
        let notes = run["notes"].as_array().unwrap();
        let noted = |it: &serde_json::Value| it["reason"].as_str().unwrap().contains(&former_bucket);
        assert!(notes.iter().any(noted), "{summary:#}");
    }
    files::assert_same(&expected, &it.copies());
    files::assert_same(&expected, &objects(server, &swift_container, ""));
    files::assert_same(&expected, &objects(server, &s3_container, "backup/"));
    let mut folder = files::tree(&it.folder.path().join("copies"));
    folder.retain(|key, _| !key.starts_with(".dataverse-backup/"));
    files::assert_same(&expected, &folder);

    // Each destination describes itself.
    let folder = it.folder.path().join("copies");
    for run in summary["runs"].as_array().unwrap() {
        let (name, snapshot) = (run["destination"].as_str().unwrap(), &run["snapshot"]);
        let own = format!(".dataverse-backup/{}", snapshot["name"].as_str().unwrap());
        let bytes = match name {
            "default" => fs::read(it.local.join(&own)).unwrap(),
            "swift" => server.get(&swift_container, &own).unwrap(),
            "s3" => server.get(&s3_container, &format!("backup/{own}")).unwrap(),
            _ => fs::read(folder.join(&own)).unwrap(),
        };
        let sha256 = Measured::of(&bytes, &[]).digest(Algorithm::Sha256).unwrap().hex();
        assert_eq!(snapshot["sha256"], sha256, "{name}");
        let here = it.folder.path().join(format!("snapshot-{name}"));
        fs::write(&here, bytes).unwrap();
        assert_eq!(SnapshotCatalog::new(here).header().unwrap().destination.unwrap().0, name);
    }

    let (looked, code) = it.json(&["verify", "--from-snapshot"]);
    assert_eq!(code, 0, "{looked:#}");
    for run in looked["runs"].as_array().unwrap() {
        assert_eq!(run["copies"]["good"].as_u64(), Some(expected.len() as u64), "{looked:#}");
    }

    let (again, code) = it.json(&["run", "--rerun"]);
    assert_eq!(code, 0, "{again:#}");
    for (run, before) in again["runs"].as_array().unwrap().iter().zip(summary["runs"].as_array().unwrap()) {
        assert_eq!(run["snapshot"], before["snapshot"], "{again:#}");
    }
    for run in again["runs"].as_array().unwrap() {
        assert_eq!((run["files"]["unchanged"].as_u64(), run["bytes_copied"].as_u64()), (Some(6), Some(0)), "{again:#}");
    }
}

#[test]
fn a_ledger_of_four_destinations_is_made_again() {
    let server = swift::shared();
    let Mixed { it, expected, .. } = mixed(server, "again");
    it.init();
    assert_eq!(it.json(&["run"]).1, 0);
    fs::remove_file(it.folder.path().join("ledger.db")).unwrap();
    let (made, code) = it.json(&["rebuild"]);
    assert_eq!(code, 0, "{made:#}");
    for run in made["runs"].as_array().unwrap() {
        assert_eq!(run["claimed"]["copies"].as_u64(), Some(expected.len() as u64), "{made:#}");
    }
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{summary:#}");
    for run in summary["runs"].as_array().unwrap() {
        assert_eq!((run["files"]["adopted"].as_u64(), run["bytes_copied"].as_u64()), (Some(6), Some(0)), "{summary:#}");
    }
}

#[test]
fn a_copy_that_vanished_behind_the_programs_back_is_found() {
    let server = swift::shared();
    let Mixed { it, swift_container, s3_container, expected, .. } = mixed(server, "vanished");
    it.init();
    assert_eq!(it.json(&["run"]).1, 0);
    let key = "10.5072/FK2/MIX/18f3a000000-00000000b000";
    server.delete(&swift_container, key);
    server.put(&s3_container, &format!("backup/{key}"), b"cut");
    let (again, code) = it.json(&["run", "--rerun"]);
    assert_eq!(code, 4, "{again:#}");
    let copied: Vec<_> = again["runs"].as_array().unwrap().iter().map(|it| it["files"]["copied"].as_u64()).collect();
    assert_eq!(copied, [Some(0), Some(1), Some(1), Some(0)], "{again:#}");
    files::assert_same(&expected, &objects(server, &swift_container, ""));
    files::assert_same(&expected, &objects(server, &s3_container, "backup/"));
}

#[test]
fn an_object_that_is_missing_or_damaged_in_a_bucket_is_named() {
    let server = swift::shared();
    let Mixed { it, bucket, .. } = mixed(server, "damaged");
    it.init();
    server.delete(&bucket, "10.5072/FK2/MIX/18f3a000000-00000000b000");
    server.put(&bucket, "10.5072/FK2/MIX/18f3a000000-00000000b001", b"rotten");
    let (summary, code) = it.json(&["run", "--destination", "folder"]);
    assert_eq!(code, 3, "{summary:#}");
    let failures = summary["failures"].as_array().unwrap();
    let found: Vec<_> = failures.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(found, ["FAIL_READ", "FAIL_CHECKSUM"], "{summary:#}");
    assert_eq!(summary["files"]["copied"], 4);
}

#[test]
fn a_bucket_of_a_store_is_no_destination_by_whatever_name_and_protocol() {
    let server = swift::shared();
    let Mixed { mut it, bucket, former_bucket, holder, .. } = mixed(server, "one-place");
    let stores: String = it.backup.split_inclusive("\n\n").filter(|it| it.starts_with("[Store")).collect();
    let another_name = server.url.replace("127.0.0.1", "localhost");
    assert_ne!(another_name, server.url);
    let s3 = |bucket: &str, prefix: &str| {
        format!(
            "[Backup]\nStorageType: s3\nS3Bucket: {bucket}\nS3Prefix: {prefix}\nS3EndpointUrl: {another_name}\n\
             S3PathStyle: yes\nS3AccessKey: {}\nS3SecretKey: {}\n",
            server.user, server.key
        )
    };
    let swift = |container: &str| {
        format!(
            "[Backup]\nStorageType: swift\nSwiftAuthUrl: {}\nSwiftAuthVersion: 1\nSwiftUser: {}\nSwiftKey: {}\n\
             SwiftContainer: {container}\n",
            server.auth_url, server.user, server.key
        )
    };
    for (destination, other) in [
        (s3(&bucket, ""), "store s3"),
        (s3(&bucket, "deep/er"), "store s3"),
        (s3(&former_bucket, "x"), "store s3"),
        (swift(&bucket), "store s3"),
        (swift(&holder), "store swift"),
        (s3(&holder, "y"), "store swift"),
    ] {
        it.backup = format!("{stores}{destination}");
        it.write_config();
        for command in ["init", "check", "run"] {
            let (answer, code) = it.json(&[command]);
            assert_eq!(code, 7, "{command} with {destination}: {answer:#}");
            assert!(answer.to_string().contains(&format!("{other} are one place")), "{answer:#}");
        }
    }
    let left = [&bucket, &former_bucket, &holder].map(|it| server.list(it));
    let tokens: Vec<_> = left.iter().flatten().filter(|it| it.contains("token-")).collect();
    assert_eq!(tokens, Vec::<&String>::new(), "what was stored for the proof is taken away");
}
