//! Numbers of the last run, for the textfile collector of Prometheus' node exporter.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use dvb_engine::FileCounts;
use thiserror::Error;

/// What is told of a destination's last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Name of the destination, the label of its samples.
    pub destination: String,
    /// When the run began, in seconds since 1970 (UTC).
    pub started: i64,
    /// When it ended, likewise.
    pub finished: i64,
    /// Exit code of the run.
    pub exit_code: u8,
    /// What the run did; `None` where it did not even begin: what is told of the run before it stays.
    pub work: Option<Work>,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Data files in scope, by what became of them.
    pub files: FileCounts,
    /// Bytes sent and proved.
    pub bytes_copied: u64,
}

/// The metrics could not be written. The run's own result is not touched by it.
#[derive(Debug, Error)]
#[error("cannot write the metrics to {}; check the directory and its permissions", path.display())]
pub struct MetricsError {
    /// Path of the file that it is about.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// One metric with its samples of this run, each perhaps with a state. Without samples the earlier ones stay.
struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Option<&'static str>, i128)>,
}

impl Family {
    fn one(name: &'static str, help: &'static str, value: impl Into<i128>) -> Self {
        Self { name, help, samples: vec![(None, value.into())] }
    }
}

fn families(metrics: &Metrics) -> [Family; 7] {
    let Metrics { started, finished, exit_code, work, .. } = metrics;
    let success = (*exit_code == 0).then_some((None, (*finished).into()));
    let of_work = |value: fn(&Work) -> u64| work.iter().map(|it| (None, value(it).into())).collect();
    let states = |Work { files, .. }: &Work| {
        let states = [
            ("unchanged", files.unchanged),
            ("copied", files.copied),
            ("adopted", files.adopted),
            ("not_covered", files.not_covered),
            ("failed", files.failed),
            ("acknowledged", files.acknowledged),
            ("pending", files.pending),
        ];
        states.map(|(state, count)| (Some(state), count.into()))
    };
    [
        Family::one("dataverse_backup_last_run_timestamp_seconds", "When the last run ended.", *finished),
        Family::one("dataverse_backup_last_run_exit_code", "Exit code of the last run; 0: all is safe.", *exit_code),
        Family::one(
            "dataverse_backup_last_run_duration_seconds",
            "How long the last run took.",
            (finished - started).max(0),
        ),
        Family {
            name: "dataverse_backup_last_run_bytes_copied",
            help: "Bytes that the last run copied.",
            samples: of_work(|it| it.bytes_copied),
        },
        Family {
            name: "dataverse_backup_last_success_timestamp_seconds",
            help: "When a run last ended with all safe.",
            samples: success.into_iter().collect(),
        },
        Family {
            name: "dataverse_backup_catalogued_files",
            help: "Data files in Dataverse's catalogue.",
            samples: of_work(|it| it.files.catalogued),
        },
        Family {
            name: "dataverse_backup_files",
            help: "Data files by what the last run made of them.",
            samples: work.iter().flat_map(states).collect(),
        },
    ]
}

/// Puts the numbers of one destination's run into the file, which is replaced as a whole.
///
/// What it says of other destinations stays, and so does the time of the last success when this run was none.
///
/// # Errors
/// [`MetricsError`]; the file is then as it was.
pub fn write_metrics(path: &Path, metrics: &Metrics) -> Result<(), MetricsError> {
    let failed = |source| MetricsError { path: path.to_owned(), source };
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    replace(path, &render(metrics, &before)).map_err(failed)
}

fn render(metrics: &Metrics, before: &str) -> String {
    let own = format!("destination=\"{}\"", escaped(&metrics.destination));
    let mut text = String::new();
    for Family { name, help, samples } in families(metrics) {
        let is_old = |it: &&str| it.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for line in before.lines().filter(is_old).filter(|it| samples.is_empty() || !it.contains(&own)) {
            let _ = writeln!(text, "{line}");
        }
        for (state, value) in samples {
            let state = state.map(|it| format!(",state=\"{it}\"")).unwrap_or_default();
            let _ = writeln!(text, "{name}{{{own}{state}}} {value}");
        }
    }
    text
}

/// A label's value, as the text format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The collector must never see half a file, and reads only names that end in `.prom`. Another account's exporter reads
/// it; there is nothing secret in it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    crate::build::replace_file(path, 0o644, |file| file.write_all(text.as_bytes()))
}
