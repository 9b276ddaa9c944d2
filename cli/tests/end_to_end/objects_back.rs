//! Objects that a bucket and a container have lost, or have damaged, come back to where Dataverse looks for them.

use std::collections::BTreeMap;

use dvb_testkit::dataverse::{DataTable, Schema, World};
use dvb_testkit::{files, seaweed, swift, temp_folder};
use s3::creds::Credentials;
use s3::{Bucket, BucketConfiguration, Region};

use crate::installation::{Installation, Ledger, sshd};

/// A Dataverse with a store in SeaweedFS and one in Swift, backed up over SSH.
pub(crate) struct Clouds {
    pub(crate) it: Installation,
    pub(crate) bucket: Box<Bucket>,
    pub(crate) container: String,
}

fn make_bucket() -> Box<Bucket> {
    let server = seaweed::shared();
    let region = || Region::Custom { region: "us-east-1".into(), endpoint: server.url.clone() };
    let credentials = || Credentials::new(Some(server.access), Some(server.secret), None, None, None).unwrap();
    let name = swift::container("dataverse");
    let made = Bucket::create_with_path_style(&name, region(), credentials(), BucketConfiguration::default()).unwrap();
    assert!(made.success(), "{}", made.response_text);
    Bucket::new(&name, region(), credentials()).unwrap().with_path_style()
}

pub(crate) const IN_BUCKET: &str = "10.5072/FK2/OBJ/18f3a000000-00000000b00";
pub(crate) const IN_CONTAINER: &str = "FK2/OBJ/18f3a000000-00000000c00";

impl Clouds {
    pub(crate) fn new(name: &str) -> Self {
        let clouds = Self::before_its_first_run(name, "");
        let (summary, code) = clouds.it.json(&["run"]);
        assert_eq!((code, summary["files"]["copied"].as_u64()), (0, Some(12)), "{summary:#}");
        clouds
    }

    /// With more sections in its configuration.
    pub(crate) fn before_its_first_run(name: &str, sections: &str) -> Self {
        let server = swift::shared();
        let (bucket, container) = (make_bucket(), swift::container("doi-10-5072"));
        server.make_container(&container);
        let folder = temp_folder("e2e");
        let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
        let dataset = world.add_dataset("10.5072", "FK2/OBJ").id;
        let large = files::bytes(3, (9 << 20) + 5);
        for (n, content) in [&b"zero"[..], b"one", b"two", &large, b""].into_iter().enumerate() {
            let of_bucket = format!("{IN_BUCKET}{n}");
            let object = of_bucket.rsplit_once('/').unwrap().1;
            bucket.put_object(format!("/{of_bucket}"), content).unwrap();
            let file = world.add_row(dataset, Some(&format!("s3://{}:{object}", bucket.name())), content);
            file.copies.push((of_bucket.clone(), content.to_vec()));
            let of_container = format!("{IN_CONTAINER}{n}");
            server.put(&container, &of_container, content);
            let file = world.add_row(dataset, Some(&format!("swift://ep:{container}:{of_container}")), content);
            file.copies.push((format!("10.5072/{of_container}"), content.to_vec()));
        }
        // A table in each.
        for (identifier, key) in [
            (format!("s3://{}:18f3a000000-00000000b009", bucket.name()), format!("{IN_BUCKET}9")),
            (format!("swift://ep:{container}:{IN_CONTAINER}9"), format!("10.5072/{IN_CONTAINER}9")),
        ] {
            let file = world.add_row(dataset, Some(&identifier), b"a,b\n");
            file.size = Some(4);
            file.tables.push(DataTable {
                original_format: Some("text/csv".into()),
                original_size: Some(4),
                original_name: None,
            });
            file.copies.push((key.clone(), b"a\tb\n".to_vec()));
            file.copies.push((format!("{key}.orig"), b"a,b\n".to_vec()));
            for (key, bytes) in &file.copies {
                match key.strip_prefix("10.5072/").filter(|it| it.starts_with(IN_CONTAINER)) {
                    Some(object) => server.put(&container, object, bytes),
                    None => drop(bucket.put_object(format!("/{key}"), bytes).unwrap()),
                }
            }
        }
        let mut it = Installation::new(world, Ledger::Sqlite, &sshd().shell().fresh(name), folder);
        let weed = seaweed::shared();
        it.backup = format!(
            "[Store s3]\nType: s3\nBucketName: {}\nCustomEndpointUrl: {}\nPathStyleAccess: true\nAccessKey: {}\n\
             SecretKey: {}\n\n[Store swift]\nType: swift\nDefaultEndpoint: ep\nAuthType.ep: basic\nAuthUrl.ep: {}\n\
             Username.ep: {}\nPassword.ep: {}\n\n{}\n{sections}",
            bucket.name(),
            weed.url,
            weed.access,
            weed.secret,
            server.auth_url,
            server.user,
            server.key,
            it.backup
        );
        it.write_config();
        it.init();
        Self { it, bucket, container }
    }

    /// Bytes, ETag and time of everything in the bucket: what was not touched has the same.
    pub(crate) fn in_bucket(&self) -> BTreeMap<String, (Vec<u8>, Option<String>, String)> {
        let pages = self.bucket.list(String::new(), None).unwrap();
        let all = pages.into_iter().flat_map(|page| page.contents).map(|object| {
            let bytes = self.bucket.get_object(format!("/{}", object.key)).unwrap().to_vec();
            (object.key, (bytes, object.e_tag, object.last_modified))
        });
        all.collect()
    }

    /// The same of the container.
    pub(crate) fn in_container(&self) -> BTreeMap<String, (Vec<u8>, Option<String>, String)> {
        let server = swift::shared();
        let all = server.list(&self.container).into_iter().map(|name| {
            let answer = server.request("GET", &format!("{}/{name}", self.container), "", &[], b"");
            let header = |name: &str| answer.header(name).map(str::to_owned);
            let (etag, time) = (header("etag"), header("x-timestamp").unwrap_or_default());
            (name, (answer.body, etag, time))
        });
        all.collect()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.bucket.put_object(format!("/{key}"), bytes).unwrap();
    }
}

type Everything = BTreeMap<String, (Vec<u8>, Option<String>, String)>;

/// Fails unless everything is as it was, but for the objects of `back`, which have their bytes again, and what is kept.
fn only_these_came_back(
    before: &Everything,
    damaged: &Everything,
    mut after: Everything,
    back: &[String],
    kept: usize,
) {
    let aside: Vec<String> = after.keys().filter(|it| it.contains(".damaged-")).cloned().collect();
    assert_eq!(aside.len(), kept, "{aside:?}");
    for key in aside {
        let (bytes, ..) = after.remove(&key).unwrap();
        let of = key.split_once(".damaged-").unwrap().0;
        assert_eq!(bytes, damaged[of].0, "{key} keeps the damaged bytes");
    }
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (key, it) in &after {
        if back.contains(key) {
            assert_eq!(it.0, before[key].0, "{key}");
        } else {
            assert_eq!(it, &before[key], "{key} was touched");
        }
    }
}

#[test]
fn exactly_what_was_lost_or_damaged_comes_back() {
    let clouds = Clouds::new("objects");
    let Clouds { it, bucket, container } = &clouds;
    let server = swift::shared();
    let before = (clouds.in_bucket(), clouds.in_container());
    // Lost: a small one, the large one, the upload behind a table. Cut short: another one.
    let lost = ["0", "3", "9.orig"];
    for name in lost {
        bucket.delete_object(format!("/{IN_BUCKET}{name}")).unwrap();
        server.delete(container, &format!("{IN_CONTAINER}{name}"));
    }
    clouds.put(&format!("{IN_BUCKET}1"), b"cut!");
    server.put(container, &format!("{IN_CONTAINER}1"), b"cut!");
    let damaged = (clouds.in_bucket(), clouds.in_container());

    let words = ["restore", "--missing", "--in-place"];
    let (dry, code) = it.json(&[&words[..], &["--dry-run"]].concat());
    assert_eq!((code, dry["objects"]["restored"].as_u64()), (0, Some(8)), "{dry:#}");
    assert_eq!((clouds.in_bucket(), clouds.in_container()), damaged, "a dry run changes nothing");

    let (summary, code) = it.json(&words);
    let count = |key: &str| summary["objects"][key].as_u64().unwrap();
    assert_eq!((code, count("restored"), count("replaced"), count("failed")), (0, 8, 2, 0), "{summary:#}");
    let back = |key: &str| ["0", "1", "3", "9.orig"].map(|it| format!("{key}{it}"));
    only_these_came_back(&before.0, &damaged.0, clouds.in_bucket(), &back(IN_BUCKET), 1);
    only_these_came_back(&before.1, &damaged.1, clouds.in_container(), &back(IN_CONTAINER), 1);

    // Damage that kept its size is seen by reading.
    clouds.put(&format!("{IN_BUCKET}2"), b"twO");
    server.put(container, &format!("{IN_CONTAINER}2"), b"twO");
    let (summary, code) = it.json(&["restore", "--all", "--in-place"]);
    let count = |key: &str| summary["objects"][key].as_u64().unwrap();
    assert_eq!((code, count("restored"), count("replaced"), count("already_good")), (0, 2, 2, 12), "{summary:#}");
    assert_eq!(clouds.in_bucket()[&format!("{IN_BUCKET}2")].0, b"two");
    assert_eq!(clouds.in_container()[&format!("{IN_CONTAINER}2")].0, b"two");
    let kept: Vec<&str> = summary["kept"].as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    assert!(kept.iter().any(|it| it.contains(&bucket.name())), "{kept:?}");
    assert!(kept.iter().any(|it| it.contains(container.as_str())), "{kept:?}");

    let (summary, code) = it.json(&["run", "--rerun"]);
    assert_eq!((code, summary["bytes_copied"].as_u64()), (0, Some(0)), "{summary:#}");
}
