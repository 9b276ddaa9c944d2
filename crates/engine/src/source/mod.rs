//! The objects of a data file in their store: which there are, how they are read, and what is to be made of what was read.

pub(crate) mod examine;
pub(crate) mod findings;
pub(crate) mod fingerprint;
pub(crate) mod incident;
pub(crate) mod judge;
pub(crate) mod list_objects;
pub(crate) mod on_record;
pub(crate) mod package;
pub(crate) mod payload;
pub(crate) mod stores;
