//! Whole runs: a real database, real stores, real ledgers, a real destination.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod audit;
mod bench;
mod broken;
mod changes;
mod cookbook;
mod disappearance;
mod early_end;
mod faults;
mod orphans;
mod outage;
mod partial;
mod paths;
mod rebuild;
mod repair;
mod rerun;
mod restore;
mod snapshots;
mod time_budget;
mod together;
mod uncopied;
mod unreadable;
mod verify;
mod versions;
mod worlds;
