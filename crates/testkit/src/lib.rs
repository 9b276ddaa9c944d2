//! Real servers, fixtures and faults for the tests: only ever a dev-dependency.
//!
//! A test harness: what goes wrong here panics, with a text that says what to install or to mend. Every server lies
//! in a temporary folder, listens on 127.0.0.1 at a free port, and ends with the value that stands for it or with
//! the test process, however that ends.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a harness: a panic is how it reports

pub mod asyncssh;
mod cache;
pub mod chromium;
pub mod dataverse;
pub mod disk;
pub mod files;
pub mod http;
pub mod keystone;
pub mod netfault;
pub mod pgbouncer;
pub mod pgfault;
pub mod postgres;
mod procfs;
pub mod proftpd;
pub mod seaweed;
pub mod sftp_server;
mod spawn;
pub mod sshd;
pub mod swift;
mod temp;
mod tls;

pub use temp::folder as temp_folder;
