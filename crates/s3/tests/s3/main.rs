//! The S3 store and destination against real services, and through a proxy that breaks what passes it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod hangs;
mod lock;
mod memory;
mod odd;
mod promises;
mod proxy;
mod purger;
mod roles;
mod rust_s3;
mod sink;
mod source;
mod world;
mod writer;
