//! One section's entries, read key by key into typed values; what is wrong is collected on the way.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::keys::{self, Key, ValueForm};
use super::lines::{Entry, Section};
use super::value::BadValue;
use super::{Exposed, Problem, ProcessContext, Secret};

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) exposed: Vec<Exposed>,
    /// Which of the problems are secrets that could not be fetched.
    pub(super) secrets: Vec<Problem>,
}

impl Findings {
    pub(super) fn add(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        self.problems.push(Problem { line: line.into(), message: message.into() });
    }

    /// Notes a file with a secret that is open to group or others.
    pub(super) fn check_mode(&mut self, path: &Path, file: &fs::File) {
        let Ok(metadata) = file.metadata() else { return };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o066 != 0 && !self.exposed.iter().any(|it| it.path == path) {
            self.exposed.push(Exposed { path: path.to_owned(), mode });
        }
    }
}

/// Where a configuration file stands, for relative paths and secrets.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) folder: &'a Path,
    pub(super) process: &'a ProcessContext,
}

impl Surroundings<'_> {
    /// A path of this machine: `~/` is the home folder, relative ones begin at the configuration file.
    fn path(&self, written: &str) -> PathBuf {
        match (written.strip_prefix("~/"), &self.process.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.folder.join(written),
        }
    }
}

/// The entries of one section. An entry without a value counts as absent.
pub(super) struct Fields<'a> {
    title: String,
    line: usize,
    keys: &'static [Key],
    entries: &'a [Entry],
    around: Surroundings<'a>,
    pub(super) findings: &'a mut Findings,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        section: &'a Section,
        keys: &'static [Key],
        around: Surroundings<'a>,
        findings: &'a mut Findings,
    ) -> Self {
        let title = format!("[{}]", section.header);
        Self { title, line: section.line, keys, entries: &section.entries, around, findings }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|it| it.key.eq_ignore_ascii_case(key) && !it.value.is_empty())
    }

    /// The endpoints that the section's keys name, as first written, in the file's order.
    pub(super) fn endpoints(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let known = self.entries.iter().filter(|it| keys::lookup(self.keys, &it.key).is_some());
        for (_, endpoint) in known.filter_map(|it| it.key.split_once('.')) {
            if !found.iter().any(|it| it.eq_ignore_ascii_case(endpoint)) {
                found.push(endpoint.to_owned());
            }
        }
        found
    }

    /// The line of a key that is there.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.entry(key).map(|it| it.line)
    }

    /// Reports something about a key that is there, or about the section.
    pub(super) fn problem(&mut self, key: &str, message: &str) {
        let line = self.line_of(key).unwrap_or(self.line);
        let message = format!("{} {key}: {message}", self.title);
        self.findings.add(line, message);
    }

    /// Reports a key that is needed and not there.
    pub(super) fn missing(&mut self, key: &str, accepted: &str) {
        let name = key.split_once('.').map_or(key, |(name, _)| name);
        let about = self.keys.iter().find(|it| it.name == name).map_or("", |it| it.about);
        let accepted = if accepted.is_empty() { String::new() } else { format!("; accepted: {accepted}") };
        let message = format!("{} {key} is missing: {about}{accepted}", self.title);
        self.findings.add(self.line, message);
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.entry(key).map(|it| it.value.clone())
    }

    pub(super) fn required(&mut self, key: &str) -> Option<String> {
        let found = self.text(key);
        if found.is_none() {
            self.missing(key, "");
        }
        found
    }

    /// The value by `parse`; `None` when absent, or bad and reported.
    pub(super) fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, BadValue>) -> Option<T> {
        let entry = self.entry(key)?;
        match parse(&entry.value) {
            Ok(value) => Some(value),
            Err(bad) => {
                let commented = entry.value.contains(" ;") || entry.value.contains(" #");
                let hint = if commented { " (a comment needs a line of its own)" } else { "" };
                self.problem(key, &format!("{bad}{hint}"));
                None
            }
        }
    }

    /// As [`Fields::parsed`], and reported when absent, with what `parse` would accept.
    pub(super) fn required_parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, BadValue>) -> Option<T> {
        if self.entry(key).is_some() {
            return self.parsed(key, parse);
        }
        let accepted = parse("").err().map(|it| it.accepted).unwrap_or_default();
        self.missing(key, &accepted);
        None
    }

    /// A path on this machine, absolute.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.entry(key).map(|it| self.around.path(&it.value))
    }

    pub(super) fn required_path(&mut self, key: &str) -> Option<PathBuf> {
        self.required(key).map(|it| self.around.path(&it))
    }

    /// Paths on this machine with commas between, absolute.
    pub(super) fn paths(&self, key: &str) -> Vec<PathBuf> {
        let written = self.entry(key).map_or("", |it| it.value.as_str());
        written.split(',').map(str::trim).filter(|it| !it.is_empty()).map(|it| self.around.path(it)).collect()
    }

    /// A path that stands in a value behind a prefix such as `file:`.
    pub(super) fn resolve(&self, written: &str) -> PathBuf {
        self.around.path(written)
    }

    /// Whether a key is given, in whatever form.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some() || self.has_secret(name)
    }

    /// Whether a secret is given, in whatever form.
    pub(super) fn has_secret(&self, name: &str) -> bool {
        let key = self.keys.iter().find(|it| it.name == name);
        key.is_some_and(|it| it.names().iter().any(|(name, _)| self.entry(name).is_some()))
    }

    /// A secret of the section, given in one of its three forms.
    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        self.secret_of(name, "")
    }

    /// The same with an endpoint, `.EP`, behind the key.
    pub(super) fn secret_of(&mut self, name: &str, endpoint: &str) -> Option<Secret> {
        let key = self.keys.iter().find(|it| it.name == name)?;
        let mut given = Vec::new();
        for (name, form) in key.names() {
            let name = name + endpoint;
            if let Some(entry) = self.entry(&name) {
                given.push((name, form, entry));
            }
        }
        if let [(first, ..), (second, _, entry), ..] = given.as_slice() {
            let message = format!("{} {second}: {first} is given too; keep one of them", self.title);
            self.findings.add(entry.line, message);
        }
        let (name, form, entry) = given.into_iter().next()?;
        match form {
            ValueForm::Literally => Some(Secret::new(&entry.value)),
            ValueForm::InFile => self.secret_in_file(&name, &entry.value),
            ValueForm::InVariable => match self.around.process.variable(&entry.value).filter(|it| !it.is_empty()) {
                Some(value) => Some(Secret::new(value)),
                None => {
                    self.unfetched(&name, &format!("the environment variable {} is not set", entry.value));
                    None
                }
            },
        }
    }

    fn unfetched(&mut self, key: &str, why: &str) {
        self.problem(key, why);
        self.findings.secrets.extend(self.findings.problems.last().cloned());
    }

    /// Reads at most 64 KiB: nobody's password is longer, and the path may be a mistake.
    fn secret_in_file(&mut self, key: &str, written: &str) -> Option<Secret> {
        const LIMIT: u64 = 64 << 10;
        let path = self.around.path(written);
        let mut text = String::new();
        let read = fs::File::open(&path).and_then(|file| {
            if !self.around.process.is_credential(&path) {
                self.findings.check_mode(&path, &file);
            }
            file.take(LIMIT).read_to_string(&mut text)
        });
        let value = text.strip_suffix('\n').map_or(text.as_str(), |it| it.strip_suffix('\r').unwrap_or(it));
        match read {
            Err(error) => self.unfetched(key, &format!("cannot read {}: {error}", path.display())),
            Ok(_) if value.is_empty() => self.unfetched(key, &format!("{} is empty", path.display())),
            Ok(_) => return Some(Secret::new(value)),
        }
        None
    }
}
