//! Services, buckets, and what is put into them by another client (rust-s3's own).

use std::time::Duration;

use dvb_model::{ObjectName, StorageIdentifier, StoragePid};
use dvb_s3::{Credentials, Keys, S3Endpoint, S3SinkConfig, S3StoreConfig, TimeLimits};
use dvb_storage::{Location, ObjectAddress};
use dvb_testkit::{seaweed, swift};
use s3::{Bucket, BucketConfiguration, Region};

/// Quick to give up: the services are on this machine.
pub(crate) const LIMITS: TimeLimits = TimeLimits {
    connect: Duration::from_secs(5),
    idle: Duration::from_secs(20),
    attempts: 3,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(2),
};

/// A service that runs on this machine, with keys that may do everything.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) access: String,
    pub(crate) secret: String,
}

/// Verifies a SHA-256 and keeps it.
pub(crate) fn seaweed() -> Service {
    let server = seaweed::shared();
    Service { url: server.url.clone(), access: server.access.into(), secret: server.secret.into() }
}

/// Keeps no SHA-256; its ETags are MD5s.
pub(crate) fn swift() -> Service {
    let server = swift::shared();
    Service { url: server.url.clone(), access: server.user.clone(), secret: server.key.clone() }
}

impl Service {
    pub(crate) fn endpoint(&self) -> S3Endpoint {
        S3Endpoint {
            url: Some(self.url.clone()),
            region: Some("us-east-1".into()),
            path_style: true,
            ca: None,
            proxy: None,
            credentials: Credentials::Keys(Keys::lasting(&self.access, &self.secret)),
            limits: LIMITS,
        }
    }

    /// The same service at another address.
    pub(crate) fn through(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// A new bucket, seen by another client.
    pub(crate) fn bucket(&self, prefix: &str) -> Box<Bucket> {
        let name = swift::container(prefix);
        let (region, credentials) = (self.region(), self.credentials());
        let made = Bucket::create_with_path_style(&name, region, credentials, BucketConfiguration::default()).unwrap();
        assert!(made.success(), "{}", made.response_text);
        self.again(&name)
    }

    /// A new bucket with object lock (and so with versions).
    pub(crate) fn lockable_bucket(&self, prefix: &str) -> Box<Bucket> {
        let mut bucket = self.again(&swift::container(prefix));
        // rust-s3's own way of asking says "Enabled" where S3 wants "true".
        bucket.add_header("x-amz-bucket-object-lock-enabled", "true");
        assert_eq!(bucket.put_object("/", b"").unwrap().status_code(), 200);
        self.again(&bucket.name())
    }

    pub(crate) fn again(&self, name: &str) -> Box<Bucket> {
        Bucket::new(name, self.region(), self.credentials()).unwrap().with_path_style()
    }

    fn region(&self) -> Region {
        Region::Custom { region: "us-east-1".into(), endpoint: self.url.clone() }
    }

    fn credentials(&self) -> s3::creds::Credentials {
        s3::creds::Credentials::new(Some(&self.access), Some(&self.secret), None, None, None).unwrap()
    }

    pub(crate) fn store(&self, bucket: &str) -> S3StoreConfig {
        S3StoreConfig { endpoint: self.endpoint(), bucket: bucket.to_owned() }
    }

    /// A destination with small parts.
    pub(crate) fn sink(&self, bucket: &str, prefix: &str) -> S3SinkConfig {
        S3SinkConfig { part_size: 5 << 20, parallel: 4, ..S3SinkConfig::new(self.endpoint(), bucket, prefix) }
    }
}

/// A data file's object.
pub(crate) fn location(identifier: &str, name: &str) -> Location {
    Location {
        storage_pid: pid("FK2/ABC"),
        identifier: Some(StorageIdentifier::parse(Some(identifier)).unwrap()),
        object: ObjectAddress::Main(ObjectName::new(name).unwrap()),
    }
}

pub(crate) fn pid(identifier: &str) -> StoragePid {
    StoragePid { authority: "10.5072".into(), identifier: identifier.into() }
}
