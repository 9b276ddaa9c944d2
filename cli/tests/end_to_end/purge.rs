//! A lawful purge on real servers: an SSH account, a bucket with versions, a container with segments, a folder.

use std::fs;
use std::path::Path;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, seaweed, swift, temp_folder};
use s3::creds::Credentials;
use s3::{Bucket, Region};
use serde_json::Value;

use crate::installation::{Installation, Ledger, in_the_cloud, section, sshd};

const DAY: &str = "S3ObjectLock: compliance\nS3ObjectLockDays: 1\n";

/// Large enough for segments in Swift.
const LARGE: usize = 9 << 20;

struct Servers {
    it: Installation,
    bucket: String,
    container: String,
    folder: std::path::PathBuf,
}

fn servers(name: &str, ledger: Ledger, of_bucket: &str) -> Servers {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    world.add_file(dataset, "file://18f3a000000-0000000000a1", &files::bytes(1, LARGE));
    world.add_file(dataset, "file://18f3a000000-0000000000a2", &files::bytes(2, LARGE));
    world.add_file(dataset, "file://18f3a000000-0000000000a3", b"a small one");
    let account = sshd().shell().fresh(name);
    let mut it = Installation::new(world, ledger, &account, folder);
    let (bucket, container) = (swift::container("purged"), swift::container("purged"));
    seaweed::shared().make_locking_bucket(&bucket);
    swift::shared().make_container(&container);
    let copies = it.folder.path().join("copies");
    let cloud =
        in_the_cloud(&bucket, &container).replace("S3PartSize: 5MiB\n", &format!("S3PartSize: 5MiB\n{of_bucket}"));
    it.backup = format!(
        "[Repository]\nPurgeApproval: none\nPurgeGrace: 0\n\n{}{cloud}[Backup folder]\nStorageType: directory\nBackupDirectory: {}\n",
        section(&account, ""),
        copies.display()
    );
    it.write_config();
    // One section of a name.
    let path = it.folder.path().join("config.ini");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen("[Repository]\nPurgeApproval: none\nPurgeGrace: 0\n\n", "", 1);
    let text = text.replacen("[Repository]\n", "[Repository]\nPurgeApproval: none\nPurgeGrace: 0\n", 1);
    fs::write(&path, text).unwrap();
    it.init();
    Servers { it, bucket, container, folder: copies }
}

impl Servers {
    fn json(&self, words: &[&str]) -> (Value, i32) {
        self.it.json(words)
    }

    fn ok(&self, words: &[&str]) -> Value {
        let (value, code) = self.json(words);
        assert_eq!(code, 0, "{words:?}: {value:#}");
        value
    }

    /// Takes a data file out of Dataverse, and requests and approves its purge.
    fn approved(&self, id: i64) -> Value {
        for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
            self.it.database.execute(&format!("DELETE FROM {table} = {id}"));
        }
        self.ok(&["run", "--accept-disappearance"]);
        let words = ["purge", "request", "--file", &id.to_string(), "--basis", "gdpr-17", "--reference", "case 7"];
        let asked = self.ok(&words);
        let (number, digest) = (asked["purge"]["number"].to_string(), asked["purge"]["digest"].as_str().unwrap());
        self.ok(&["purge", "approve", &number, digest]);
        asked
    }

    /// Everything that anybody can list, with all versions: names and contents, what is compressed opened.
    fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for (place, folder) in [("ssh", self.it.local.as_path()), ("folder", self.folder.as_path())] {
            all.extend(files::tree(folder).into_iter().map(|(name, bytes)| (format!("{place}:{name}"), bytes)));
        }
        for container in [self.container.clone(), format!("{}_segments", self.container)] {
            for name in swift::shared().list(&container) {
                let bytes = swift::shared().get(&container, &name).unwrap_or_default();
                all.push((format!("{container}:{name}"), bytes));
            }
        }
        all.extend(self.versions());
        all.into_iter().map(|(name, bytes)| (name, opened(bytes))).collect()
    }

    fn bucket(&self) -> Box<Bucket> {
        let server = seaweed::shared();
        let region = Region::Custom { region: "us-east-1".into(), endpoint: server.url.clone() };
        let login = Credentials::new(Some(server.access), Some(server.secret), None, None, None).unwrap();
        Bucket::new(&self.bucket, region, login).unwrap().with_path_style()
    }

    /// All versions in the bucket, and the markers.
    fn versions(&self) -> Vec<(String, Vec<u8>)> {
        let mut listing = self.bucket();
        listing.add_query("versions", "");
        let listed = listing.get_object("/").unwrap();
        assert_eq!(listed.status_code(), 200);
        let text = String::from_utf8_lossy(listed.bytes()).into_owned();
        assert!(text.contains("<IsTruncated>false"), "{text}");
        let between = |text: &str, tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap_or_default();
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        let mut all = Vec::new();
        for part in text.split("<Version>").skip(1) {
            let (key, version) = (between(part, "Key"), between(part, "VersionId"));
            let mut one = self.bucket();
            one.add_query("versionId", &version);
            let bytes = one.get_object(&key).unwrap().bytes().to_vec();
            all.push((format!("bucket:{key}?{version}"), bytes));
        }
        let markers =
            text.split("<DeleteMarker>").skip(1).map(|part| (format!("marker:{}", between(part, "Key")), Vec::new()));
        all.extend(markers.collect::<Vec<_>>());
        all
    }

    /// Where any of these words is.
    fn found(&self, words: &[&[u8]]) -> Vec<String> {
        // Of what is large, the ends: they are the ends of its first and last segment too.
        let has = |text: &[u8], word: &[u8]| match text.len() > 1 << 19 {
            true => text.starts_with(word) || text.ends_with(word),
            false => text.windows(word.len()).any(|it| it == word),
        };
        let named =
            |(name, bytes): &(String, Vec<u8>)| words.iter().any(|word| has(name.as_bytes(), word) || has(bytes, word));
        self.everything().iter().filter(|it| named(it)).map(|it| it.0.clone()).collect()
    }
}

fn opened(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes }
}

fn nothing_is_left_anywhere(ledger: Ledger, name: &str) {
    let servers = servers(name, ledger, "");
    let ids: Vec<i64> = servers.it.world.files.iter().map(|it| it.id).collect();
    servers
        .it
        .database
        .execute(&format!("UPDATE filemetadata SET label = 'Jane Doe.wav' WHERE datafile_id = {}", ids[0]));
    servers.ok(&["run"]);
    // Other bytes come, so that there are versions; and a copy in the bucket is overwritten by somebody, and set aside.
    let key = "10.5072/FK2/ONE/18f3a000000-0000000000a1";
    let (first, second) = (files::bytes(1, LARGE), files::bytes(7, LARGE));
    let source = servers.it.world.stores[0].directory.join(key);
    fs::write(&source, &second).unwrap();
    servers.it.database.execute(&format!(
        "UPDATE datafile SET checksumvalue = '{}', filesize = {LARGE} WHERE id = {}",
        files::md5(&second),
        ids[0]
    ));
    servers.ok(&["run", "--accept-changes"]);
    servers.bucket().put_object(format!("backup/{key}"), b"overwritten by a stranger").unwrap();
    servers.json(&["verify", "--destination", "bucket"]);
    let (mended, _) = servers.json(&["run", "--accept-changes"]);
    let pieces = |bytes: &[u8]| [bytes[..64].to_vec(), bytes[LARGE - 64..].to_vec()];
    let bytes = [pieces(&first), pieces(&second)].concat();
    let mut words: Vec<&[u8]> =
        vec![b"Jane Doe", key.as_bytes(), b"18f3a000000-0000000000a1", b"overwritten by a stranger"];
    words.extend(bytes.iter().map(Vec::as_slice));
    assert!(words.iter().all(|word| !servers.found(&[word]).is_empty()), "{mended:#}");
    fs::remove_file(&source).unwrap();
    let others = servers.found(&[b"18f3a000000-0000000000a2", b"a small one"]).len();

    let asked = servers.approved(ids[0]);
    let kinds: std::collections::BTreeSet<&str> =
        asked["list"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains("segment") && kinds.contains("manifest") && kinds.contains("object"), "{asked:#}");
    let done = servers.ok(&["purge", "execute"]);
    let states: Vec<_> =
        done["purges"][0]["at"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done"; 4], "{done:#}");
    assert_eq!(servers.found(&words), [""; 0]);
    assert!(
        servers.found(&[b"18f3a000000-0000000000a2", b"a small one"]).len() >= others / 2,
        "what others have stays"
    );
    assert_eq!(servers.found(&[b"\"reference\": \"case 7\""]).len(), 8, "a tombstone and a proof at each");

    // Every command after it.
    for words in
        [&["run"][..], &["verify"], &["repair"], &["orphans"], &["drill"], &["audit"], &["status"], &["run", "--rerun"]]
    {
        servers.ok(words);
    }
    assert_eq!(servers.found(&words), [""; 0], "after all commands");
    let back = servers.it.folder.path().join("back").display().to_string();
    let (none, code) = servers.json(&["restore", "--file", &ids[0].to_string(), "--to", &back]);
    assert_eq!(code, 2, "{none:#}");
    assert!(none["error"].as_str().unwrap().contains("been purged"), "{none:#}");
    for destination in ["default", "bucket", "container", "folder"] {
        let to = format!("{back}-{destination}");
        servers.ok(&["restore", "--all", "--to", &to, "--from-snapshot", "--destination", destination]);
        assert!(!Path::new(&to).join(key).exists());
    }
    let listed = servers.ok(&["purge", "list"]);
    assert_eq!((&listed["purges"][0]["state"], &listed["waiting"]), (&"done".into(), &0.into()), "{listed:#}");
}

#[test]
fn nothing_is_left_on_any_server_with_an_embedded_ledger() {
    nothing_is_left_anywhere(Ledger::Sqlite, "purged");
}

#[test]
fn nothing_is_left_on_any_server_with_a_ledger_in_postgresql() {
    nothing_is_left_anywhere(Ledger::Postgres, "purged");
}

#[test]
fn an_account_that_may_not_list_is_purged_by_one_that_may() {
    let server = seaweed::shared();
    let servers = servers("purge-login", Ledger::Sqlite, "");
    let path = servers.it.folder.path().join("config.ini");
    let text = fs::read_to_string(&path).unwrap();
    let nightly =
        text.replace(&format!("S3AccessKey: {}", server.access), &format!("S3AccessKey: {}", server.unlisted));
    assert_ne!(nightly, text);
    let login = format!("\n[Purge bucket]\nS3AccessKey: {}\nS3SecretKey: {}\n", server.access, server.secret);
    fs::write(&path, nightly.clone() + &login).unwrap();
    let id = servers.it.world.files[0].id;
    servers.ok(&["run"]);
    // Without it, nobody can say what is there, and nothing is called purged.
    servers.approved(id);
    fs::write(&path, &nightly).unwrap();
    let (waiting, _) = servers.json(&["purge", "execute"]);
    let at = waiting["purges"][0]["at"].as_array().unwrap();
    let bucket = at.iter().find(|it| it["destination"] == "bucket").unwrap();
    assert_eq!(bucket["state"], "waiting", "{waiting:#}");
    assert!(at.iter().all(|it| (it["state"] == "done") == (it["destination"] != "bucket")), "{waiting:#}");
    fs::write(&path, nightly + &login).unwrap();
    let done = servers.ok(&["purge", "execute"]);
    assert_eq!(done["purges"][0]["state"], "done", "{done:#}");
    assert_eq!(servers.found(&[b"18f3a000000-0000000000a1"]), [""; 0]);
    servers.ok(&["run"]);
}

#[test]
fn what_object_lock_holds_is_waited_for_and_the_other_servers_are_not() {
    let servers = servers("locked", Ledger::Sqlite, DAY);
    let id = servers.it.world.files[0].id;
    servers.ok(&["run"]);
    servers.approved(id);
    for _ in 0..2 {
        let (waiting, code) = servers.json(&["purge", "execute"]);
        assert_eq!(code, 1, "{waiting:#}");
        let at = waiting["purges"][0]["at"].as_array().unwrap();
        let bucket = at.iter().find(|it| it["destination"] == "bucket").unwrap();
        assert!(bucket["reason"].as_str().unwrap().starts_with("waiting for the lock until 20"), "{waiting:#}");
        assert!(at.iter().all(|it| (it["state"] == "done") == (it["destination"] != "bucket")), "{waiting:#}");
        assert_eq!(waiting["purges"][0]["state"], "executing");
        let versions = servers.versions().len();
        let (again, _) = servers.json(&["purge", "execute"]);
        let names: Vec<String> = servers.versions().into_iter().map(|it| it.0).collect();
        assert_eq!(servers.versions().len(), versions, "it does not grow: {again:#} {names:#?}");
    }
    servers.ok(&["run"]);
    servers.ok(&["verify"]);
    let left = servers.found(&[b"18f3a000000-0000000000a1"]);
    assert!(left.iter().all(|it| it.starts_with("bucket:")), "{left:#?}");
    let (listed, code) = servers.json(&["purge", "list"]);
    assert_eq!((code, &listed["purges"][0]["state"]), (1, &"executing".into()));
    assert!(listed["purges"][0]["locked_until"].is_string(), "{listed:#}");
    assert_eq!(servers.ok(&["status"])["purges_waiting"], 1);
}
