//! Numbers for the textfile collector of Prometheus' node exporter.

use std::fmt::Write as _;
use std::fs::{self, File};
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
    /// Path of the file of metrics.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

macro_rules! families {
    ($($(#[$doc:meta])* $family:ident $name:literal $help:literal;)*) => {
        /// A metric with all its samples; each is a gauge.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Family { $(#[doc = $help] $family),* }

        impl Family {
            /// In the order of the file.
            const ALL: &'static [Self] = &[$(Self::$family),*];

            /// As Prometheus has it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$family => concat!("dataverse_backup_", $name)),* }
            }

            fn help(self) -> &'static str {
                match self { $(Self::$family => $help),* }
            }
        }
    };
}

families! {
    LastRunTimestamp "last_run_timestamp_seconds" "When the last run ended.";
    LastRunExitCode "last_run_exit_code" "Exit code of the last run; 0: all is safe.";
    LastRunDuration "last_run_duration_seconds" "How long the last run took.";
    LastRunBytesCopied "last_run_bytes_copied" "Bytes that the last run copied.";
    LastSuccessTimestamp "last_success_timestamp_seconds" "When a run last ended with all safe.";
    CataloguedFiles "catalogued_files" "Data files in Dataverse's catalogue.";
    Files "files" "Data files by what the last run made of them.";
    LastVerifyTimestamp "last_verify_timestamp_seconds" "When the last verify of everything ended.";
    LastVerifyExitCode "last_verify_exit_code" "Exit code of the last verify of everything.";
    LastAuditTimestamp "last_audit_timestamp_seconds" "When the last audit of everything ended.";
    LastAuditExitCode "last_audit_exit_code" "Exit code of the last audit of everything.";
    LastDrillTimestamp "last_drill_timestamp_seconds" "When the last drill ended.";
    LastDrillExitCode "last_drill_exit_code" "Exit code of the last drill.";
    OldestProofTimestamp "oldest_proof_timestamp_seconds"
        "When the bytes that were checked longest ago were checked; 0: never.";
    OldestProofAge "oldest_proof_age_seconds" "How long ago that was when the file was written.";
    ProofOverdueCopies "proof_overdue_copies" "Proofs that are older than VerifyEvery or AuditEvery.";
    LockExpiresMin "lock_expires_min_timestamp_seconds"
        "When the first lock that keeps a copy from being deleted ends.";
    Copies "copies" "Copies by what the ledger knows of them.";
    FilesByCopies "files_by_copies" "Data files by the number of destinations with a proved copy.";
    IncidentsOpen "incidents_open" "Incidents that are not repaired.";
    PurgesWaiting "purges_waiting" "Lawful purges that are not done.";
    AcknowledgedFiles "acknowledged_files" "Data files whose loss is acknowledged.";
    StateTimestamp "state_timestamp_seconds" "When what the ledger knows was last written here.";
    BuildInfo "build_info" "Version of the program that wrote the file.";
}

/// Which samples of a family are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them, of every destination.
    Everything,
    /// Those of one destination.
    Destination(String),
    /// Those of one destination, unless there are some.
    Missing(String),
}

/// New samples in the place of old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The metric whose samples are replaced.
    pub family: Family,
    /// Which of its old samples go. A destination's name becomes the first label of the new ones.
    pub scope: Scope,
    /// Further labels, and the value.
    pub samples: Vec<(Vec<(&'static str, String)>, i128)>,
}

impl Change {
    /// One sample without further labels.
    #[must_use]
    pub fn one(family: Family, destination: &str, value: impl Into<i128>) -> Self {
        let scope = Scope::Destination(destination.to_owned());
        Self { family, scope, samples: vec![(Vec::new(), value.into())] }
    }
}

impl Metrics {
    /// As changes of the file. Of a run that did not begin, what is told of the run before it stays, and so does the time of
    /// the last success when this run was none.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let Self { destination, started, finished, exit_code, work } = self;
        let one = |family, value| Change::one(family, destination, value);
        let mut changes = vec![
            one(Family::LastRunTimestamp, i128::from(*finished)),
            one(Family::LastRunExitCode, i128::from(*exit_code)),
            one(Family::LastRunDuration, i128::from((finished - started).max(0))),
        ];
        if *exit_code == 0 {
            changes.push(one(Family::LastSuccessTimestamp, i128::from(*finished)));
        }
        let Some(Work { files, bytes_copied }) = work else { return changes };
        changes.push(one(Family::LastRunBytesCopied, i128::from(*bytes_copied)));
        changes.push(one(Family::CataloguedFiles, i128::from(files.catalogued)));
        let states = [
            ("unchanged", files.unchanged),
            ("copied", files.copied),
            ("adopted", files.adopted),
            ("not_covered", files.not_covered),
            ("purged", files.purged),
            ("failed", files.failed),
            ("acknowledged", files.acknowledged),
            ("pending", files.pending),
        ];
        changes.push(Change {
            family: Family::Files,
            scope: Scope::Destination(destination.clone()),
            samples: states.map(|(state, count)| (vec![("state", state.to_owned())], count.into())).into(),
        });
        changes
    }
}

/// Puts changes into the file, which is replaced as a whole; what they do not name stays.
///
/// Waits for others that write it: a command of another cron job may end at the same time.
///
/// # Errors
/// [`MetricsError`]; the file is then as it was.
pub fn write_metrics(path: &Path, changes: &[Change]) -> Result<(), MetricsError> {
    let failed = |source| MetricsError { path: path.to_owned(), source };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The file itself is replaced, so it cannot carry the lock. It ends with the folder's handle.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    replace(path, &render(changes, &before)).map_err(failed)
}

fn render(changes: &[Change], before: &str) -> String {
    let mut text = String::new();
    for &family in Family::ALL {
        let name = family.name();
        let is_of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let mut lines: Vec<String> = before.lines().filter(is_of).map(str::to_owned).collect();
        for change in changes.iter().filter(|it| it.family == family) {
            apply(change, &mut lines);
        }
        if !lines.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} gauge\n{}", family.help(), lines.join("\n"));
        }
    }
    text
}

fn apply(change: &Change, lines: &mut Vec<String>) {
    let name = change.family.name();
    let own = |destination: &str| format!("destination=\"{}\"", escaped(destination));
    let is_own = |line: &str, own: &str| {
        let labels = line.strip_prefix(name).and_then(|it| it.strip_prefix('{')).and_then(|it| it.strip_prefix(own));
        labels.is_some_and(|it| it.starts_with([',', '}']))
    };
    let first = match &change.scope {
        Scope::Everything => {
            lines.clear();
            None
        }
        Scope::Destination(destination) => {
            let own = own(destination);
            lines.retain(|it| !is_own(it, &own));
            Some(own)
        }
        Scope::Missing(destination) => {
            let own = own(destination);
            if lines.iter().any(|it| is_own(it, &own)) {
                return;
            }
            Some(own)
        }
    };
    for (labels, value) in &change.samples {
        let further = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
        let all: Vec<_> = first.iter().cloned().chain(further).collect();
        let labels = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
        lines.push(format!("{name}{labels} {value}"));
    }
}

/// A label's value, as the text format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The collector must never see half a file, and reads only names that end in `.prom`. Another account's exporter reads
/// it; there is nothing secret in it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    dvb_fs::replace_file(path, 0o644, |file| file.write_all(text.as_bytes()))
}
