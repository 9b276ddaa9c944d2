//! Stores and destinations on OpenStack Swift, with its own login or Keystone's.
//!
//! [`SwiftStore`] reads objects of a Dataverse store of type `swift`; [`SwiftSink`] holds copies in a container;
//! [`SwiftStoreWriter`] gives objects back to a store. All speak through one small synchronous client over `ureq`. There was no kept crate to take instead (looked for in
//! November 2026): `openstack_sdk` and `openstack` are asynchronous, know Keystone only, and do not follow tokens that
//! expire or downloads that break; `opendal` is asynchronous and wants a token to be brought; `rust-swiftclient` is
//! an unfinished exercise.

mod auth;
mod capabilities;
mod client;
mod commit;
mod commit_large;
mod config;
mod container;
mod context;
mod download;
mod error;
mod http;
mod keystone;
mod left;
mod manifest;
mod path;
mod purger;
mod segmenter;
mod session;
mod sink;
mod source;
mod sweep;
mod upload;
mod versions;
mod writer;

pub use config::{Limits, SwiftAccount, SwiftAuth, SwiftSinkConfig, SwiftStoreConfig};
pub use dvb_http::TimeLimits;
pub use purger::SwiftPurger;
pub use sink::SwiftSink;
pub use source::SwiftStore;
pub use writer::SwiftStoreWriter;
