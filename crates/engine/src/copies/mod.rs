//! The copies at a destination: the session with it, the list that the ledger has, and how one is compared with its digest.

pub(crate) mod pass;
pub(crate) mod session;
pub(crate) mod spelling;
