//! The seam between the engine and every storage system.
//!
//! A [`Source`] reads objects of one of Dataverse's stores. A [`Sink`] holds copies at a destination; it works in
//! batches, so that many small files travel in few round trips: [`SinkSession::stage`] stores a batch where nobody
//! looks, [`SinkSession::commit`] proves it and lets it show. What each promises is checked by the suites in
//! `conformance` (the cargo feature of that name, for tests), which every implementation runs against a real server.
//!
//! A [`Target`] is where files are given back to, and a [`Mender`] one in which they take the place of damaged ones. A
//! [`StoreWriter`] tells which of them Dataverse looks for an object in. An [`ObjectWriter`] makes one of the sessions of
//! a sink. A [`Purger`] deletes copies: only the room of the engine that purges lawfully is handed one.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod in_memory;
mod lock;
mod memory;
mod object_writer;
mod parallel;
mod purger;
mod read_ahead;
mod setting;
mod single_flight;
mod sink;
mod source;
mod target;
mod trace;

pub use error::{Cause, SinkError, SourceError, chain};
pub use in_memory::InMemory;
pub use lock::LockTrial;
pub use memory::{MemoryBudget, Reservation};
pub use object_writer::{ObjectSession, ObjectSink, ObjectWriter, put_verified};
pub use parallel::parallel_map;
pub use purger::{Held, HeldKind, Lock, Purger};
pub use read_ahead::{Next, ReadAhead, fill, read_ahead};
pub use setting::{Setting, name_settings};
pub use single_flight::SingleFlight;
pub use sink::{
    CONTINUED_FOR, CONTINUED_FROM, CommitRequest, Demand, Existing, Listed, Listing, Payload, PayloadError, Room, Sink,
    SinkSession, StageRequest, Staged, Unstaged,
};
pub use source::{Location, ObjectAddress, Shelf, Source, StoredObject};
pub use target::{Expected, Folder, Mender, Placed, PutError, StoreWriter, Target};
pub use trace::{Sighting, Trace};
