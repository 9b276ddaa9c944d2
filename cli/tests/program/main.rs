//! The program as an administrator, a cron job or another program calls it, against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod audit;
mod check;
mod completions;
mod configure;
mod databases;
mod documented;
mod environment;
mod evidence;
mod exit_codes;
mod full;
mod guards;
mod json;
mod ledger;
mod links;
mod listeners;
mod log;
mod monitoring;
mod names;
mod object_lock;
mod orphans;
mod rebuild;
mod remote;
mod repair;
mod report;
mod restore;
mod rights;
mod run;
mod site;
mod snapshots;
mod spelling;
mod terminal;
mod time_budget;
mod trace;
mod usage;
mod verify;
