//! `purge` where a deletion leaves versions, segments and locks.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use dvb_testkit::{seaweed, swift};
use serde_json::Value;

use crate::site::{Done, Site, done};

const LARGE: usize = 9 << 20;

/// One person may purge alone where nobody can be another one by what sudo says.
fn alone() -> &'static str {
    let is_logged_in = fs::read_to_string("/proc/self/loginuid").is_ok_and(|it| it.trim() != u32::MAX.to_string());
    let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
    if is_logged_in || !is_root { "PurgeApproval: none\n" } else { "" }
}

fn call(site: &Site, uid: u32, words: &[&str]) -> Done {
    done(site.command(words).env("SUDO_UID", uid.to_string()))
}

/// A site with a data file that is large for Swift, and what it is called.
fn site(sections: &[(&str, String)]) -> (Site, String, String) {
    let mut large = (0, String::new());
    let mut site = Site::with(|world, dataset| {
        let bytes: Vec<u8> = (0..LARGE).map(|it| (it % 251) as u8).collect();
        let file = world.add_file(dataset, "file://18f3large", &bytes);
        large = (file.id, file.copies[0].0.clone());
    });
    for (section, lines) in sections {
        site.set(section, lines);
    }
    site.add("Repository", &format!("PurgeGrace: 0\n{}", alone()));
    (site, large.0.to_string(), large.1)
}

/// The data file leaves Dataverse, and its purge is approved.
fn condemn(site: &Site, id: &str) -> String {
    for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
        site.database.execute(&format!("DELETE FROM {table} = {id}"));
    }
    site.call(&["run", "--accept-disappearance"]).expect(0);
    let words = ["--json", "purge", "request", "--file", id, "--basis", "gdpr-17", "--reference", "case 7"];
    let asked = call(site, 7001, &words).expect(0).json();
    let digest = asked["purge"]["digest"].as_str().unwrap();
    call(site, 7002, &["purge", "approve", "1", digest]).expect(0);
    asked.to_string()
}

fn in_s3(bucket: &str) -> String {
    let seaweed::Server { url, secret, access, .. } = seaweed::shared();
    format!(
        "StorageType: s3\nS3Bucket: {bucket}\nS3EndpointUrl: {url}\nS3PathStyle: yes\nS3AccessKey: {access}\nS3SecretKey: {secret}"
    )
}

/// All versions of all objects in a container and in that of its segments.
fn versions(container: &str) -> String {
    let of = |it: String| {
        let answer = swift::shared().request("GET", &it, "?versions&format=json", &[], b"");
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    of(container.to_owned()) + &of(format!("{container}_segments"))
}

#[test]
fn nothing_of_it_is_left_in_buckets_and_containers_that_keep_versions() {
    let (bucket, container) = (swift::container("purged"), swift::container("purged"));
    seaweed::shared().make_locking_bucket(&bucket);
    let server = swift::shared();
    for of in [container.clone(), format!("{container}_segments")] {
        server.make_container(&of);
        assert!(server.request("POST", &of, "", &[("X-Versions-Enabled", "true")], b"").status < 300);
    }
    let swift::Server { auth_url, user, key: password, .. } = server;
    let in_swift = format!(
        "StorageType: swift\nSwiftAuthUrl: {auth_url}\nSwiftAuthVersion: 1\nSwiftUser: {user}\nSwiftKey: {password}\n\
         SwiftContainer: {container}\nSwiftSegmentSize: 2MiB"
    );
    let (site, id, key) = site(&[("Backup", in_s3(&bucket)), ("Backup second", in_swift)]);
    let name = key.rsplit('/').next().unwrap();
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    // Damaged, set aside and made again: now there are versions that do not show.
    server.put(&container, &key, b"other bytes");
    site.call(&["verify", "--all", "--destination", "second"]).expect(4);
    site.call(&["run"]).expect(0);
    let before = versions(&container);
    assert!(before.matches(name).count() > 3, "{before}");

    let asked = condemn(&site, &id);
    assert!(asked.contains("segment") && asked.contains("damaged/"), "{asked}");
    call(&site, 7003, &["purge", "execute"]).expect(0).says(&["done", "nothing is left"]);
    let left = versions(&container);
    assert!(!left.contains(name) && left.contains("tombstone-"), "{left}");
    let segments: Value = serde_json::from_str(&left[left.rfind("[").unwrap()..]).unwrap();
    assert_eq!(segments.as_array().unwrap().len(), 0, "{segments}");
    // Nor does any version of a snapshot say its name.
    let rows: Value = serde_json::from_str(&left[..=left.find(']').unwrap()]).unwrap();
    let mut snapshots = 0;
    for row in rows.as_array().unwrap() {
        let (at, version) = (row["name"].as_str().unwrap(), row["version_id"].as_str().unwrap());
        if at.ends_with(".zst") && row["bytes"] != 0 {
            snapshots += 1;
            let query = format!("?version-id={version}");
            let bytes = server.request("GET", &format!("{container}/{at}"), &query, &[], b"").body;
            let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
            assert!(text.contains("18f3") && !text.contains(name), "{at} {version}");
        }
    }
    assert!(snapshots > 0, "{left}");
    // The server's own view of the bucket has versions as folders.
    let (folder, _) = key.rsplit_once('/').unwrap();
    let listed = seaweed::shared().get(&bucket, &format!("{folder}/")).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    assert!(!listed.contains(name), "{listed}");
    site.call(&["verify", "--all"]).expect(0);
    site.call(&["run"]).expect(0);
}

#[test]
fn what_is_locked_waits_for_its_lock_and_no_run_makes_that_longer() {
    let bucket = swift::container("purged-locked");
    seaweed::shared().make_locking_bucket(&bucket);
    let lock = |days: u32| format!("{}\nS3ObjectLock: compliance\nS3ObjectLockDays: {days}", in_s3(&bucket));
    let (mut site, id, key) = site(&[("Backup", lock(2))]);
    site.call(&["init"]).expect(0);
    let first = site.call(&["--json", "run"]).expect(0).json();
    condemn(&site, &id);
    let waits = call(&site, 7003, &["--json", "purge", "execute"]);
    assert_ne!(waits.code, 0, "{waits}");
    let until = |it: &Value| it.to_string().split("locked_until\":\"").nth(1).map(|it| it[..19].to_owned());
    let waiting = until(&waits.json()).unwrap_or_else(|| panic!("{waits}"));

    site.set("Backup", &lock(100));
    let run = site.call(&["--json", "run"]).expect(0).json();
    let others = first["locks"]["looked_at"].as_u64().unwrap() - 1;
    assert_eq!((&run["locks"]["looked_at"], &run["locks"]["failed"]), (&others.into(), &0.into()), "{run}");
    let again = call(&site, 7003, &["--json", "purge", "execute"]);
    assert_eq!(until(&again.json()), Some(waiting), "{again}");
    assert!(seaweed::shared().get(&bucket, &key).is_some() || again.code != 0, "it is not called done");
    call(&site, 7003, &["purge", "list"]).expect(1).says(&["of them locked, the first until 20"]);
}
