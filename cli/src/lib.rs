//! The command line program's own parts: configuration and notification.

pub mod config;
pub mod notify;
