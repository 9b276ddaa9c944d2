//! The destination against a real sshd, by every kind of account that backup servers offer, and by each library of SSH.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::duplicate_mod)] // the same tests for each library

#[cfg(feature = "libssh2")]
#[path = "suite.rs"]
mod by_libssh2;
#[path = "suite.rs"]
mod by_russh;
