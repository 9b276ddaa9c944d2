//! What is printed, where, and how much of it: results on stdout, messages on stderr.

mod fit;
mod log;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Once;

use serde::Serialize;

pub(crate) use dvb_model::{plain, plain_lines};
pub(crate) use log::{Level, open as open_log};

use crate::args::Arguments;
use crate::exit::CommandFailure;
use crate::last_resort;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// What is wrong, and nothing else.
    Quiet,
    /// On a terminal what happens, elsewhere what is wrong.
    Normal,
    /// Also a line for every data file.
    Verbose,
}

/// A colour, which always means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    Good,
    Bad,
    Doubtful,
}

/// A mistake in the program is said to be one, with the place in it, whichever thread makes it.
pub(crate) fn report_mistakes() {
    std::panic::set_hook(Box::new(|panic| {
        // Where stderr is closed, nobody is there to be told.
        let _ = writeln!(io::stderr(), "dataverse-backup: internal error (please report): {panic}");
    }));
}

/// Stdout and stderr of this process, and how the caller wants them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// One JSON object on stdout.
    pub(crate) json: bool,
    pub(crate) verbosity: Verbosity,
    pub(crate) watched: bool,
    /// A progress bar is wanted and possible.
    pub(crate) progress: bool,
    color_out: bool,
    color_err: bool,
    columns_out: Option<usize>,
    columns_err: Option<usize>,
    /// Stderr is read by journald.
    journal: bool,
}

impl Screen {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let verbosity = match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        Self {
            json: arguments.is_json(),
            verbosity,
            watched: out || err,
            // A trace would tear a bar apart.
            progress: err && !arguments.no_progress && verbosity != Verbosity::Quiet && arguments.verbose < 2,
            color_out: arguments.color.applies(out),
            color_err: arguments.color.applies(err),
            journal: log::is_journal(std::env::var_os("JOURNAL_STREAM").as_deref()),
            columns_out: fit::columns(io::stdout()),
            columns_err: fit::columns(io::stderr()),
        }
    }

    /// Whether good news is wanted: a cron job mails everything that it hears.
    pub(crate) fn is_chatty(&self) -> bool {
        match self.verbosity {
            Verbosity::Quiet => false,
            Verbosity::Normal => self.watched,
            Verbosity::Verbose => true,
        }
    }

    /// Prints a part of the result: words for people, or a piece of the JSON where that is wanted.
    pub(crate) fn print(&self, text: &str) -> Result<(), CommandFailure> {
        if self.json {
            return self.print_exactly(text);
        }
        self.record(Level::Info, &unpainted(text));
        self.print_exactly(&fit::fit(text, self.columns_out))
    }

    /// Prints what a program reads: no line is broken.
    pub(crate) fn print_exactly(&self, text: &str) -> Result<(), CommandFailure> {
        print(text).map_err(CommandFailure::Output)
    }

    /// Prints the result as JSON, in one line.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), CommandFailure> {
        let text = serde_json::to_string(value).map_err(|it| CommandFailure::Output(it.into()))?;
        last_resort::result_is_coming();
        self.print_exactly(&text)
    }

    /// Says something on stderr. If nobody listens there, there is nobody to tell.
    pub(crate) fn say(&self, text: &str) {
        self.show(Level::Notice, None, text);
    }

    /// Says what is not safe.
    pub(crate) fn alarm(&self, text: &str) {
        self.show(Level::Error, None, text);
    }

    /// Says what ended the command.
    pub(crate) fn fail(&self, text: &str) {
        self.show(Level::Error, Some(("error", Tint::Bad)), text);
    }

    /// Says what might have to be mended.
    pub(crate) fn warn(&self, text: &str) {
        self.show(Level::Warning, Some(("warning", Tint::Doubtful)), text);
    }

    /// Shows a line of the trace.
    pub(crate) fn trace(&self, text: &str) {
        self.show(Level::Debug, None, text);
    }

    /// On stderr, and in the log.
    fn show(&self, level: Level, kind: Option<(&str, Tint)>, text: &str) {
        let text = plain_lines(text);
        self.record(level, &text);
        let shown = match kind {
            Some((kind, tint)) => format!("dataverse-backup: {}: {text}", paint(self.color_err, tint, kind)),
            None => text.into_owned(),
        };
        let shown = match self.journal {
            true => log::for_journal(level, &shown),
            false => fit::fit(&shown, self.columns_err).into_owned(),
        };
        let _ = writeln!(io::stderr().lock(), "{shown}");
    }

    /// Writes to the log alone: what is not shown because nobody watches. A log that takes no more is said once, and is no
    /// reason to stop a backup.
    pub(crate) fn record(&self, level: Level, text: &str) {
        static SAID: Once = Once::new();
        if let Err(error) = log::write(level, &plain_lines(text)) {
            SAID.call_once(|| {
                let _ = writeln!(io::stderr().lock(), "dataverse-backup: warning: the log takes no more: {error}");
            });
        }
    }

    /// `narrow` where stderr is a terminal with fewer columns.
    pub(crate) fn if_narrower<T>(&self, columns: usize, narrow: T, wide: T) -> T {
        if self.columns_err.is_some_and(|it| it < columns) { narrow } else { wide }
    }

    /// A word of the result in its colour.
    pub(crate) fn tinted(&self, tint: Tint, text: &str) -> String {
        paint(self.color_out, tint, text)
    }
}

const PLAIN: &str = "\x1b[0m";

impl Tint {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Doubtful => "\x1b[33m",
        }
    }
}

fn paint(colored: bool, tint: Tint, text: &str) -> String {
    if colored { format!("{}{text}{PLAIN}", tint.code()) } else { text.to_owned() }
}

/// The same without colours.
fn unpainted(text: &str) -> String {
    let codes = [PLAIN, Tint::Good.code(), Tint::Bad.code(), Tint::Doubtful.code()];
    codes.into_iter().fold(text.to_owned(), |text, code| text.replace(code, ""))
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Who pipes into `head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// An error before there is any result, as the one JSON object that was asked for.
pub(crate) fn print_error_object(error: &str, exit_code: u8) {
    let object = serde_json::json!({ "exit_code": exit_code, "error": error.trim_end() });
    // The exit code says it as well.
    let _ = print(&object.to_string());
}
