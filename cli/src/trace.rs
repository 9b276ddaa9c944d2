//! `-vv`: what this program does with servers, databases and folders, a line an event, on stderr.
//!
//! Written by hand: `tracing-subscriber` would bring four crates for this. Only events of our own crates are shown. A
//! library below them could print anything, secrets included.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::output::{Screen, plain};

/// Shows the trace from now on.
///
/// # Errors
/// When another trace is being shown already.
pub(crate) fn show(screen: Screen) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(Lines(screen))
}

struct Lines(Screen);

fn is_ours(target: &str) -> bool {
    target.starts_with("dvb_") || target.starts_with("dataverse_backup")
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && is_ours(metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        let target = event.metadata().target();
        let mut line = TracedEvent { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let text = format!("{:.3} {}: {}{}", Timestamp::now(), target, line.message, line.fields);
        self.0.trace(&plain(&text));
    }

    // Nothing of ours is a span.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event put together: its message, and ` name=value` for each field.
struct TracedEvent {
    message: String,
    fields: String,
}

impl TracedEvent {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

impl Visit for TracedEvent {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}
