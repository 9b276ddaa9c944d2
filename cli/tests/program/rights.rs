//! Accounts of S3 and Swift that may not do everything.

use std::fs;

use dvb_testkit::{seaweed, swift};

use crate::site::{Done, Site};

fn to_bucket(site: &mut Site, bucket: &str, access: &str) {
    let seaweed::Server { url, secret, .. } = seaweed::shared();
    let keys = format!("S3EndpointUrl: {url}\nS3PathStyle: yes\nS3AccessKey: {access}\nS3SecretKey: {secret}");
    site.set("Backup", &format!("StorageType: s3\nS3Bucket: {bucket}\n{keys}"));
}

/// A site with its ledger, and a bucket for its copies.
fn with_bucket(access: &str) -> (Site, String) {
    let (mut site, bucket) = (Site::new(), swift::container("rights"));
    seaweed::shared().make_bucket(&bucket);
    to_bucket(&mut site, &bucket, seaweed::shared().access);
    fs::create_dir(site.path("state")).unwrap();
    to_bucket(&mut site, &bucket, access);
    (site, bucket)
}

fn says_not(done: &Done, part: &str) {
    assert!(!done.out.contains(part) && !done.err.contains(part), "{done}");
}

#[test]
fn who_may_not_write_to_a_bucket_is_told_what_to_grant() {
    let server = seaweed::shared();
    let (mut site, bucket) = with_bucket(server.reader);
    for command in ["init", "check", "run"] {
        site.call(&[command]).expect(2).says(&[&bucket, "give this account s3:PutObject"]);
    }
    site.call(&["verify"]).expect(1).says(&["no proved copy yet"]);
    // What others have copied, it may read: where nothing is to be stored, nothing is wrong.
    to_bucket(&mut site, &bucket, server.access);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    to_bucket(&mut site, &bucket, server.reader);
    site.call(&["run"]).expect(0).silent();
    site.call(&["verify", "--all"]).expect(0);
    site.call(&["check"]).expect(2).says(&["give this account s3:PutObject"]);
}

#[test]
fn who_may_not_list_a_bucket_can_back_up_and_check_says_what_it_cannot() {
    let (site, _) = with_bucket(seaweed::shared().unlisted);
    site.call(&["init"]).expect(0);
    site.call(&["run", "--dry-run"]).expect(0);
    site.call(&["run"]).expect(0).silent();
    site.call(&["verify", "--all"]).expect(0);
    site.call(&["check"])
        .expect(0)
        .says(&["the account may list nothing, which copies do not need", "s3:ListBucketMultipartUploads"]);
    for command in ["orphans", "snapshots"] {
        site.call(&[command]).expect(2).says(&["give this account s3:ListBucket"]);
    }
}

#[test]
fn who_may_not_read_a_bucket_can_prove_nothing_there() {
    let server = seaweed::shared();
    let (mut site, bucket) = with_bucket(server.writer);
    for command in ["init", "check", "run"] {
        site.call(&[command]).expect(2).says(&["cannot prove", &bucket, "give this account s3:GetObject"]);
    }
    to_bucket(&mut site, &bucket, server.access);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    to_bucket(&mut site, &bucket, server.writer);
    let done = site.call(&["verify", "--all"]).expect(1);
    done.says(&["3 of them unreadable", "give this account s3:GetObject", "0 damaged, 0 missing"]);
}

#[test]
fn a_store_whose_bucket_may_not_be_read_is_refused_and_nothing_is_judged() {
    let server = seaweed::shared();
    let (mut site, bucket) = (Site::new(), swift::container("store"));
    server.make_bucket(&bucket);
    for (n, object) in site.world.objects.iter().enumerate() {
        server.put(&bucket, &object.path, &fs::read(site.object(n)).unwrap());
    }
    site.database.execute(&format!(
        "UPDATE dvobject SET storageidentifier = replace(storageidentifier, 'file://', 's3://{bucket}:') \
         WHERE dtype = 'DataFile'"
    ));
    let store = |access: &str| {
        format!(
            "Type: s3\nBucketName: {bucket}\nCustomEndpointUrl: {}\nPathStyleAccess: true\nAccessKey: {access}\nSecretKey: {}",
            server.url, server.secret
        )
    };
    site.set("Store s3", &store(server.writer));
    site.call(&["init"]).expect(0);
    for command in ["check", "run"] {
        site.call(&[command]).expect(7).says(&["may not be read", server.writer, "s3:GetObject and s3:ListBucket"]);
    }
    let status = site.call(&["--json", "status"]).expect(7).json();
    assert_eq!(status["destinations"][0]["files"]["FAIL_READ"], serde_json::Value::Null, "{status:#}");
    site.set("Store s3", &store("AKIANOBODY"));
    for command in ["check", "run"] {
        site.call(&[command]).expect(2).says(&["the access key or its secret is wrong"]);
    }
    // To read is enough: nothing is ever listed that a copy needs.
    site.set("Store s3", &store(server.unlisted));
    site.call(&["run"]).expect(0);
}

fn to_container(site: &mut Site, container: &str, user: &str, key: &str) {
    let auth = format!("SwiftAuthUrl: {}\nSwiftAuthVersion: 1", swift::shared().auth_url);
    site.set(
        "Backup",
        &format!("StorageType: swift\n{auth}\nSwiftUser: {user}\nSwiftKey: {key}\nSwiftContainer: {container}"),
    );
}

/// A user who may do only what an ACL says.
const GUEST: (&str, &str) = ("test:tester3", "testing3");

/// Makes a container that the guest may read and write, or not.
fn make(container: &str, read: bool, write: bool) {
    let server = swift::shared();
    server.make_container(container);
    let who = |may: bool| if may { GUEST.0 } else { "" };
    let acl = [("X-Container-Read", who(read)), ("X-Container-Write", who(write))];
    assert!(server.request("POST", container, "", &acl, b"").status < 300);
}

#[test]
fn who_may_not_read_or_write_a_container_is_told_so() {
    let server = swift::shared();
    for (read, write) in [(false, false), (false, true), (true, false)] {
        let (mut site, container) = (Site::new(), swift::container("rights"));
        make(&container, read, write);
        to_container(&mut site, &container, GUEST.0, GUEST.1);
        let what = if read { "give this user the right to it" } else { "the right to read and to write it" };
        for command in ["init", "check", "run"] {
            site.call(&[command]).expect(2).says(&[&container, what]);
        }
        // Copies that others made.
        to_container(&mut site, &container, &server.user, &server.key);
        site.call(&["init"]).expect(0);
        site.call(&["run"]).expect(0);
        to_container(&mut site, &container, GUEST.0, GUEST.1);
        let done = site.call(&["verify", "--all"]).expect(if read { 0 } else { 2 });
        says_not(&done, "3 damaged");
        says_not(&done, "3 missing");
    }
}

#[test]
fn who_may_use_a_container_needs_that_of_its_segments_for_large_objects() {
    let (mut site, container) = (Site::new(), swift::container("rights"));
    make(&container, true, true);
    to_container(&mut site, &container, GUEST.0, GUEST.1);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    let segments = format!("{container}_segments");
    site.call(&["check"]).expect(2).says(&[&segments, "have their segments", "to read and to write it"]);
    make(&segments, true, true);
    site.call(&["check"]).expect(0);
}

#[test]
fn a_container_that_was_made_before_a_refusal_goes_again() {
    let server = swift::shared();
    let (mut site, container) = (Site::new(), swift::container("rights"));
    site.database.execute(&format!(
        "UPDATE dvobject SET storageidentifier = replace(storageidentifier, 'file://', 'swift://ep:{container}:FK2/ABC/') \
         WHERE dtype = 'DataFile'"
    ));
    site.set(
        "Store swift",
        &format!(
            "Type: swift\nDefaultEndpoint: ep\nAuthType.ep: basic\nAuthUrl.ep: {}\nUsername.ep: {}\nPassword.ep: {}",
            server.auth_url, server.user, server.key
        ),
    );
    // The store's container is lost, and the destination has its name.
    to_container(&mut site, &container, &server.user, &server.key);
    site.call(&["init"]).expect(7).says(&["destination default and store swift are one place"]);
    for name in [container.clone(), format!("{container}_segments")] {
        assert_eq!(server.request("HEAD", &name, "", &[], b"").status, 404, "{name}");
    }
}
