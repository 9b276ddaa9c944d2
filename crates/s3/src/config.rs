//! Where a bucket is and how it is spoken to: everything is told by the caller.

use std::time::Duration;

use dvb_http::TimeLimits;
use dvb_storage::Demand;

use crate::Credentials;

/// How an S3 service is reached.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// `custom-endpoint-url`, such as `https://s3.example.org`; `None` for AWS itself.
    pub url: Option<String>,
    /// The region that requests are signed for. `None` is, as in Dataverse, the word `dataverse` with a custom endpoint
    /// (`S3AccessIO`), else `us-east-1`; a service that says that it is in another one is believed.
    pub region: Option<String>,
    /// The bucket in the path instead of in the host's name. So it is anyway where a host's name cannot hold it.
    pub path_style: bool,
    /// Certificates in PEM to trust instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// A proxy, such as `http://proxy:3128`. The environment is not asked.
    pub proxy: Option<String>,
    /// The credentials that requests are signed with.
    pub credentials: Credentials,
    /// When a wait is over.
    pub limits: TimeLimits,
}

impl S3Endpoint {
    /// What suits a service in another house: 30 s to connect, 60 s of silence, 6 attempts within a minute or two.
    pub const LIMITS: TimeLimits = TimeLimits {
        connect: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        attempts: 6,
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(60),
    };
}

/// A store of type `s3` of Dataverse.
#[derive(Debug, Clone)]
pub struct S3StoreConfig {
    /// The service that is asked: address, region, style.
    pub endpoint: S3Endpoint,
    /// `bucket-name`; empty where only the identifiers name buckets.
    pub bucket: String,
}

/// A destination in a bucket.
#[derive(Debug, Clone)]
pub struct S3SinkConfig {
    /// The service that is asked: address, region, style.
    pub endpoint: S3Endpoint,
    /// `S3Bucket`. It must exist.
    pub bucket: String,
    /// `S3Prefix`: what every key begins with, with or without a slash at its end; may be empty.
    pub prefix: String,
    /// Bytes of a part of a multipart upload (`S3PartSize`); AWS takes none under 5 MiB but the last. It grows by itself
    /// where an object would have more than 10,000 parts.
    pub part_size: u64,
    /// Bytes of all parts that all sessions hold at one time. One part is always let in.
    pub part_memory: u64,
    /// Objects up to this size wait in memory between stage and commit, and are sent by one PUT, which is atomic.
    pub single_put: u64,
    /// Bytes of all objects that wait so in all sessions; beyond it, small ones become multipart uploads too.
    pub held_memory: u64,
    /// Requests of one session at a time.
    pub parallel: usize,
    /// `S3ObjectLockDays`: copies cannot be removed for that long. The bucket must have object lock on.
    pub object_lock: Option<ObjectLock>,
    /// Which evidence is demanded.
    pub demand: Demand,
}

impl S3SinkConfig {
    /// Parts of 8 MiB, 64 MiB of them and 48 MiB of small objects in memory, 8 requests at a time; no lock, any evidence.
    #[must_use]
    pub fn new(endpoint: S3Endpoint, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            endpoint,
            bucket: bucket.into(),
            prefix: prefix.into(),
            part_size: 8 << 20,
            part_memory: 64 << 20,
            single_put: 256 << 10,
            held_memory: 48 << 20,
            parallel: 8,
            object_lock: None,
            demand: Demand::Auto,
        }
    }

    /// What every key begins with: nothing, or a text with a slash at its end.
    pub(crate) fn key_prefix(&self) -> String {
        match self.prefix.trim_matches('/') {
            "" => String::new(),
            it => format!("{it}/"),
        }
    }
}

/// How long and how strictly copies are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Counted from the moment of sending.
    pub days: u32,
    /// Who may lift it.
    pub mode: LockMode,
}

/// Who may end a lock before its time (`x-amz-object-lock-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Accounts with a special right may lift the lock.
    Governance,
    /// Nobody may, the owner of the bucket included.
    Compliance,
}

impl LockMode {
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}
