//! Destinations on an SSH server, many files in few round trips.
//!
//! [`SftpSink`] speaks SFTP version 3 itself, over a channel of russh or of libssh2 ([`SshLibrary`]), with hundreds of
//! requests of many files in flight; the digests that prove the copies come from one shell that lives as long as the session, or, where the
//! account may run nothing, from reading back.
//!
//! What reaches stable storage, and when, is up to the server: the bytes before the proof, by `fsync@openssh.com` or by
//! `sync -f` in the shell; the names after it, by flushing the folders the same way. SFTP version 3 itself has neither:
//! on a server without the extension and without a shell, both happen when its file system sees fit, and a name is
//! given by RENAME, which replaces nothing, or, where a bad copy is to be replaced, by REMOVE and RENAME in two steps.

mod activity;
mod ahead;
mod client;
mod config;
mod connect;
mod connection;
mod continued;
mod digest;
mod download;
mod error;
mod folders;
mod fsync;
mod handshake;
mod hostkey;
mod lessons;
mod listing;
mod login;
mod measure;
mod names;
mod offers;
mod opening;
mod openssh_key;
mod pace;
mod prove;
mod publish;
mod purger;
mod reading;
mod session;
mod shell;
mod sink;
mod sweep;
mod transport;
mod trials;
mod upload;
mod wire;

pub use config::{KeyFile, SftpConfig, SshLibrary};
pub use purger::SftpPurger;
pub use sink::SftpSink;
