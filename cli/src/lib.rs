//! The command line program: arguments, configuration, wiring, commands, and what they say.
//!
//! [`start`] is the whole program. Its parts that stand by themselves, [`config`] and [`notify`], are public.

mod args;
mod commands;
pub mod config;
mod exit;
pub mod notify;
mod output;
mod progress;
mod report;
mod signals;
mod wiring;

use std::ffi::OsString;
use std::process::ExitCode;

/// Does what the command line says, its first word being the program's name.
#[must_use]
pub fn start(words: Vec<OsString>) -> ExitCode {
    let code = match args::parse(&words) {
        Ok(arguments) => commands::perform(arguments).code(),
        Err(code) => code,
    };
    ExitCode::from(code)
}
