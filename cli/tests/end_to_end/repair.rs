//! Damage on both sides, in S3, in Swift and behind SSH, is mended from the side that is good, and is on record.

use std::fs;

use dvb_testkit::swift;

use crate::objects_back::{Clouds, IN_BUCKET, IN_CONTAINER};

#[test]
fn both_sides_are_mended_on_real_servers() {
    let server = swift::shared();
    let copies = swift::container("second");
    let second = format!(
        "[Backup second]\nStorageType: swift\nSwiftAuthUrl: {}\nSwiftAuthVersion: 1\nSwiftUser: {}\nSwiftKey: {}\n\
         SwiftContainer: {copies}\n",
        server.auth_url, server.user, server.key
    );
    let clouds = Clouds::before_its_first_run("repair", &second);
    let Clouds { it, bucket, container } = &clouds;
    assert_eq!(it.json(&["run"]).1, 0);
    let before = (it.copies(), clouds.in_bucket(), clouds.in_container());
    let in_second = |key: &str| server.get(&copies, key);
    let key = |n: usize| format!("{IN_BUCKET}{n}");
    let (lost, large) = (key(0), key(3));
    // In the stores: lost in the bucket, damaged in the container. Of copies: damaged behind SSH, lost in Swift, and one
    // whose store lost it too.
    bucket.delete_object(format!("/{lost}")).unwrap();
    server.put(container, &format!("{IN_CONTAINER}1"), b"onE");
    fs::write(it.local.join(key(2)), "twO").unwrap();
    server.delete(&copies, &large);
    bucket.delete_object(format!("/{IN_BUCKET}9.orig")).unwrap();
    fs::remove_file(it.local.join(format!("{IN_BUCKET}9.orig"))).unwrap();
    let damaged = (it.copies(), clouds.in_bucket(), clouds.in_container());

    // What verify finds, the ledger knows; the stores are looked at because they are asked for.
    assert_eq!(it.json(&["verify"]).1, 4);
    let (known, code) = it.json(&["repair"]);
    assert_eq!((code, known["looked_at"].as_u64()), (4, Some(3)), "{known:#}");
    let words = ["repair", "--dataset", "doi:10.5072/FK2/OBJ"];
    let (dry, code) = it.json(&words);
    assert_eq!((code, dry["objects"]["would_mend"].as_u64()), (4, Some(6)), "{dry:#}");
    assert_eq!((it.copies(), clouds.in_bucket(), clouds.in_container()), damaged, "nothing changes unasked");
    assert_eq!(in_second(&large), None);

    let (done, code) = it.json(&[&words[..], &["--apply"]].concat());
    assert_eq!((code, done["objects"]["mended"].as_u64()), (0, Some(6)), "{done:#}");
    assert_eq!(it.copies(), before.0);
    assert_eq!(in_second(&large).as_ref(), before.0.get(&large));
    let bytes = |tree: std::collections::BTreeMap<String, (Vec<u8>, Option<String>, String)>| {
        let plain = tree.into_iter().filter(|it| !it.0.contains(".damaged-"));
        plain.map(|(key, it)| (key, it.0)).collect::<Vec<_>>()
    };
    assert_eq!(bytes(clouds.in_bucket()), bytes(before.1));
    assert_eq!(bytes(clouds.in_container()), bytes(before.2));

    // Everything is safe again, and each incident is on record.
    let file = |storage: &str| {
        let found = it.world.files.iter().find(|it| it.storage_identifier.as_deref().unwrap_or("").ends_with(storage));
        found.unwrap().id.to_string()
    };
    let (status, code) = it.json(&["status", "--file", &file("b003"), "--file", &file("c001")]);
    assert_eq!(code, 0, "{status:#}");
    let incident = &status["incidents"][&file("b003")][0];
    assert_eq!((incident["side"].as_str(), incident["place"].as_str()), (Some("destination"), Some("second")));
    assert_eq!((incident["mended_from"].as_str(), incident["found"].as_str()), (Some("store s3"), Some("missing")));
    assert_eq!(incident["evidence"], "remote-hash", "{incident:#}");
    let incident = &status["incidents"][&file("c001")][0];
    assert_eq!((incident["side"].as_str(), incident["place"].as_str()), (Some("store"), Some("swift")));
    assert_eq!(incident["mended_from"], "destination default", "{incident:#}");
    assert!(incident["kept"].as_str().unwrap().contains(".damaged-"), "{incident:#}");
    let custody = &status["destinations"][1]["data_files"][0]["custody"][0];
    assert_eq!((custody["object"].as_str(), custody["state"].as_str()), (Some("main"), Some("proved")), "{status:#}");
    assert!(custody["last_proved"].as_str() > custody["first_seen"].as_str(), "{custody:#}");
    let (again, code) = it.json(&["repair"]);
    assert_eq!((code, again["looked_at"].as_u64()), (0, Some(0)), "{again:#}");
    assert_eq!(it.json(&["verify"]).1, 0);
}
