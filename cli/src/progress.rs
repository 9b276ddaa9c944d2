//! A run as it happens: a progress bar for a terminal, a line a data file with `-v`, and otherwise silence.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dvb_engine::{Event, Observer};
use dvb_model::DestinationName;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Level, Screen, Verbosity, plain};
use crate::report;

const PLANNING: &str = "{prefix}{spinner} {msg}";
const COPYING: &str = "{prefix}{wide_bar} {msg}, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
/// The same where a line has no room for a bar.
const COPYING_NARROW: &str = "{prefix}{percent} %, {wide_msg} {eta}";
/// Columns that the bar needs beside its words.
const WIDE: usize = 70;

/// Shows the run to one destination.
pub(crate) struct Progress<'a> {
    screen: &'a Screen,
    /// All bars of the call, so that they do not write over each other.
    bars: MultiProgress,
    bar: Option<ProgressBar>,
    /// Data files to look at, and those that were.
    files: AtomicU64,
    judged: AtomicU64,
    /// Not said yet: a run that ends well may have had its troubles in silence.
    held_back: Mutex<Vec<String>>,
}

/// The bars of one call, so that they do not write over each other.
pub(crate) fn bars() -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::stderr())
}

impl<'a> Progress<'a> {
    /// Of a call that does one thing at a time; `destination` is the name to show.
    pub(crate) fn alone(screen: &'a Screen, destination: Option<&DestinationName>) -> Self {
        Self::new(screen, &bars(), destination)
    }

    /// `bars` are those of the call, `destination` its name where there are several.
    pub(crate) fn new(screen: &'a Screen, bars: &MultiProgress, destination: Option<&DestinationName>) -> Self {
        let bar = screen.progress.then(|| {
            let bar = bars.add(ProgressBar::no_length().with_style(style(PLANNING)));
            bar.set_prefix(destination.map(|it| format!("{it}: ")).unwrap_or_default());
            bar.set_message("reading the catalogue");
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let (files, judged, held_back) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        Self { screen, bars: bars.clone(), bar, files, judged, held_back }
    }

    /// What is done first, before it is known how much there is.
    pub(crate) fn begin(&self, message: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message);
        }
    }

    /// Takes the bar away, and gives the warnings that were held back.
    pub(crate) fn finish(self) -> Vec<String> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.held_back.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints without tearing the bar apart.
    fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(_) => self.bars.suspend(print),
            None => print(),
        }
    }

    fn warn(&self, text: &str) {
        if self.screen.is_chatty() {
            self.aside(|| self.screen.warn(text));
        } else {
            self.screen.record(Level::Warning, text);
            let mut held_back = self.held_back.lock().unwrap_or_else(PoisonError::into_inner);
            // Several sessions may meet the same.
            if held_back.last().is_none_or(|it| it != text) {
                held_back.push(text.to_owned());
            }
        }
    }

    fn planned(&self, files: u64, bytes: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.judged.store(0, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(bytes);
            bar.set_style(style(self.screen.if_narrower(WIDE, COPYING_NARROW, COPYING)));
            bar.set_message(format!("0 of {files} files"));
        }
    }

    fn judged(&self) {
        let judged = self.judged.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{judged} of {} files", self.files.load(Ordering::Relaxed)));
        }
    }

    fn tell(&self, line: &str) {
        if self.screen.verbosity != Verbosity::Verbose {
            self.screen.record(Level::Info, line);
            return;
        }
        self.aside(|| {
            // With --json, stdout is for the one object. A line that cannot be printed is no reason to stop copying.
            if self.screen.json || self.screen.print(line).is_err() {
                self.screen.say(line);
            }
        });
    }
}

impl Observer for Progress<'_> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Planning { seen } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("reading the catalogue: {seen} data files"));
                }
            }
            Event::Planned { files, bytes } => self.planned(*files, *bytes),
            Event::Bytes(count) => {
                if let Some(bar) = &self.bar {
                    bar.inc(*count);
                }
            }
            Event::Judged { id, dataset, name, status, reason } => {
                self.judged();
                self.tell(&report::line(Some(*id), *dataset, Some(name), *status, *reason));
            }
            Event::Warning(text) => self.warn(&plain(text)),
            Event::Notice(text) if self.screen.verbosity != Verbosity::Quiet => {
                self.aside(|| self.screen.say(&plain(text)));
            }
            Event::Notice(text) => self.screen.record(Level::Notice, text),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are the program's own; a mistake in one costs the looks only.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        assert!([PLANNING, COPYING, COPYING_NARROW].into_iter().all(|it| ProgressStyle::with_template(it).is_ok()));
    }
}
