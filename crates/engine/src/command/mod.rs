//! What every command has: how it ends, what it selects, who is told, its workers and its watchdog.

pub(crate) mod acknowledged;
pub(crate) mod cancel;
pub(crate) mod cut;
pub(crate) mod error;
pub(crate) mod exit_status;
pub(crate) mod hand;
pub(crate) mod hint;
pub(crate) mod observer;
pub(crate) mod owner;
pub(crate) mod pool;
pub(crate) mod purged;
pub(crate) mod recorded;
pub(crate) mod resolve;
pub(crate) mod selection;
pub(crate) mod time;
pub(crate) mod waits;

/// How many failures and notes are listed one by one.
pub const LISTED: usize = 1000;
