//! The command line program: arguments, what is built from the configuration, commands, and what they say.
//!
//! [`start`] is the whole program.

mod args;
mod commands;
#[cfg(test)]
mod documented;
mod exit;
mod hint;
mod last_resort;
mod monitor;
mod notice;
mod outcome;
mod output;
mod progress;
mod report;
mod signals;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use dvb_engine::ExitStatus;

/// Does what the command line says, its first word being the program's name.
#[must_use]
pub fn start(words: Vec<OsString>) -> ExitCode {
    output::report_mistakes();
    dvb_storage::name_settings(dvb_build::key);
    let perform = || match args::parse(&words) {
        Ok(arguments) => commands::perform(arguments).code(),
        Err(code) => code,
    };
    // What the program does wrong is told when it happens, and ends it as anything does that leaves something unsafe.
    ExitCode::from(std::panic::catch_unwind(perform).unwrap_or(ExitStatus::NotSafe.code()))
}
