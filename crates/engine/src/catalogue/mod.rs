//! The catalogue of a command on disk: memory must not grow with the number of files.

pub(crate) mod in_step;
pub(crate) mod sorted;
pub(crate) mod spool;
