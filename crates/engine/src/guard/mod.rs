//! What is proved of places before anything is stored: whose a destination is, that it is not the source, and that the
//! source is what the catalogue speaks of.
//!
//! Names prove nothing: one folder has many, by links, mounts, servers and protocols. So each of these is looked at, with
//! the same eyes that a copy would be read with.

mod changes;
mod identity;
mod own;
mod prepare;
mod sample;
mod token;

pub(crate) use changes::{Changes, is_more};
pub(crate) use identity::{
    Claimant, Outlook, Purpose, Standing, find_any, installation, leave, may_be_made, outlook, refuse_other_place,
    standing, take_on,
};
pub use identity::{Identity, look_at_identity};
pub(crate) use own::put as put_own;
pub use prepare::{Examined, PrepareOptions, PrepareSetup, Prepared, examine, prepare};
pub use sample::{Sample, Samples, Seen};
pub(crate) use token::{Beyond, prove_apart};
