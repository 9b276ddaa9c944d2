//! The program as an administrator has it: a real Dataverse database, a real sshd, a config.ini, a crontab's call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cloud;
mod crash;
mod drill;
mod hosts;
mod installation;
mod lost;
mod objects_back;
mod original;
mod orphans;
mod purge;
mod repair;
mod restore;
mod ssh;
mod verify;
mod worlds;
