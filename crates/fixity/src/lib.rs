//! Checksums, and the comparisons that prove a copy.
//!
//! Bytes are hashed once, for all digests that anybody needs ([`Hasher`]); what comes out ([`Measured`]) can only
//! become a [`Proved`] by comparison with what the other side says it holds.

mod algorithm;
mod hash_thread;
mod hasher;
mod proof;
mod recorded;

pub use algorithm::{Algorithm, Digest, DigestError, hex};
pub use hasher::{Hasher, Measured};
pub use proof::{Evidence, Mismatch, Observed, Proved};
pub use recorded::RecordedChecksum;
