//! Destinations on an SSH server, many files in few round trips.
//!
//! [`SftpSink`] speaks SFTP version 3 itself, over a channel of libssh2, with hundreds of requests of many files in
//! flight; the digests that prove the copies come from one shell that lives as long as the session, or, where the
//! account may run nothing, from reading back.

mod client;
mod config;
mod connect;
mod digest;
mod download;
mod durable;
mod error;
mod folders;
mod hostkey;
mod link;
mod reader;
mod session;
mod shell;
mod sink;
mod start;
mod upload;
mod wire;

pub use config::{KeyFile, SftpConfig};
pub use sink::SftpSink;
