//! The report of a real ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod content;
mod made;
mod page;
mod premis;
