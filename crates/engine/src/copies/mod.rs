//! The copies at a destination: the session with it, the list that the ledger has, and how one is compared with its digest.

pub(crate) mod compare;
pub(crate) mod findings;
pub(crate) mod incident;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod own_files;
pub(crate) mod pass;
pub(crate) mod probe;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod snapshot_names;
pub(crate) mod spelling;
pub(crate) mod tombstones;
