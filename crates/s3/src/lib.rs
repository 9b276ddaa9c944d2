//! Stores and destinations in S3 buckets, many objects in flight; [`S3StoreWriter`] gives objects back to a store.
//!
//! Requests are signed by `rust-s3` ([`s3::signing`]) and carried by `ureq`. The client of `rust-s3` 0.38 itself does not
//! serve here, although it streams both ways with flat memory. In its synchronous form it takes a download that broke off
//! for a whole one, opens a connection for each request, sends the parts of an object one after another and without a
//! header of ours (`x-amz-checksum-sha256`, `If-None-Match`), begins a download again instead of going on with it
//! (`If-Match`), knows no `Retry-After`, and cannot read a list of uploads without storage classes. `tests/s3/rust_s3.rs`
//! holds what was seen of it.

mod client;
mod commit;
mod config;
mod credentials;
mod error;
mod imds;
mod journal;
mod largest;
mod left;
mod listing;
mod lock;
mod lock_trial;
mod notes;
mod probe;
mod profile;
mod prove;
mod purger;
mod rename;
mod session;
mod sign;
mod sink;
mod source;
mod stage;
mod upload;
mod writer;
mod xml;

pub use config::{LockMode, ObjectLock, S3Endpoint, S3SinkConfig, S3StoreConfig};
pub use credentials::{Credentials, CredentialsError, Keys};
pub use dvb_http::TimeLimits;
pub use imds::{INSTANCE_METADATA, of_container, of_instance};
pub use profile::{Profile, ProfileError};
pub use purger::S3Purger;
pub use sink::S3Sink;
pub use source::S3Store;
pub use writer::S3StoreWriter;
