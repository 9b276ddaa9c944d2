//! What is printed, where, and how much of it: results on stdout, messages on stderr.

mod fit;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

pub(crate) use dvb_model::{plain, plain_lines};

use crate::args::Arguments;
use crate::exit::Failure;
use crate::last_resort;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// What is wrong, and nothing else.
    Quiet,
    /// On a terminal what happens, elsewhere what is wrong.
    Normal,
    /// Every data file.
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
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        if self.json { self.print_exactly(text) } else { self.print_exactly(&fit::fit(text, self.columns_out)) }
    }

    /// Prints what a program reads: no line is broken.
    pub(crate) fn print_exactly(&self, text: &str) -> Result<(), Failure> {
        print(text).map_err(Failure::Output)
    }

    /// Prints the result as JSON, in one line.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|it| Failure::Output(it.into()))?;
        last_resort::result_is_coming();
        self.print_exactly(&text)
    }

    /// Says something on stderr. If nobody listens there, there is nobody to tell.
    pub(crate) fn say(&self, text: &str) {
        self.show(&plain_lines(text));
    }

    /// Says what ended the command, or might have to be mended.
    pub(crate) fn complain(&self, kind: &str, tint: Tint, text: &str) {
        let kind = paint(self.color_err, tint, kind);
        self.show(&format!("dataverse-backup: {kind}: {}", plain_lines(text)));
    }

    fn show(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", fit::fit(text, self.columns_err));
    }

    pub(crate) fn warn(&self, text: &str) {
        self.complain("warning", Tint::Doubtful, text);
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

fn paint(colored: bool, tint: Tint, text: &str) -> String {
    let code = match tint {
        Tint::Good => 32,
        Tint::Bad => 31,
        Tint::Doubtful => 33,
    };
    if colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
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
