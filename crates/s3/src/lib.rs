//! Stores and destinations in S3 buckets, many objects in flight.
//!
//! Requests are signed by `rust-s3` ([`s3::signing`]) and carried by `ureq`. The client of `rust-s3` 0.38 itself does not
//! serve here: in its synchronous form it opens a connection for each request, hands an object out only by pushing it
//! into a writer (a broken download starts again, and a short body is told from a whole one only where the transport
//! notices), takes no headers for a part or a completion (`If-Match`, `If-None-Match`, `x-amz-checksum-sha256` of the
//! part), copies every body once more, and waits without `Retry-After`. `tests/s3/rust_s3.rs` holds what was seen of it.

mod answers;
mod body;
mod budget;
mod client;
mod commit;
mod config;
mod credentials;
mod error;
mod journal;
mod notes;
mod parallel;
mod probe;
mod profile;
mod prove;
mod rename;
mod session;
mod sign;
mod sink;
mod source;
mod stage;
mod upload;

pub use config::{LockMode, ObjectLock, S3Endpoint, S3SinkConfig, S3StoreConfig, TimeLimits};
pub use credentials::{Credentials, CredentialsError, Keys};
pub use profile::{Profile, ProfileError};
pub use sink::S3Sink;
pub use source::S3Store;
