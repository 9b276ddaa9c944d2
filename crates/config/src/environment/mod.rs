//! The environment of a container in which Dataverse runs: from a file (`[Repository] Environment`) and from this process.
//!
//! The application's image makes system properties of the variables that begin with `dataverse_`: `__` is `-`, then `_` is
//! `.`. Payara adds those of `JVM_ARGS`. Dataverse reads its stores from these; S3's keys and the database's login it reads
//! through `MicroProfile` Config, which also looks into the environment itself and into a folder of secrets.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use dvb_model::DriverId;

use super::domain_xml::{DEFAULT_STORE, DomainStore, JvmOption, Options, describe};
use super::fields::{Findings, Surroundings};

/// What a property or variable of Dataverse's begins with.
const PROPERTY: &str = "dataverse.";
const VARIABLE: &str = "dataverse_";

/// The store that the image has without a setting.
const LOCAL: &str = "local";

/// Variables of the image itself, where nothing says otherwise.
const OF_IMAGE: [(&str, &str); 2] = [("STORAGE_DIR", "/dv"), ("SECRETS_DIR", "/secrets")];

/// No value is longer; the path may be a mistake.
const LONGEST: u64 = 4 << 20;
const LONGEST_SECRET: u64 = 64 << 10;

/// References may lead to each other, also in a circle.
const DEPTH: u32 = 8;

/// Who gave a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Giver {
    /// The image, or Dataverse, by default.
    Default,
    /// A file in the folder of secrets.
    Secrets,
    /// The environment of this process, as it was when the configuration was read.
    Process,
    /// The file that `Environment` names.
    File,
}

/// The environment of a container. `Debug` shows no values: some are secrets.
#[derive(Clone)]
pub struct Environment {
    /// The file of `Environment`.
    pub file: Option<PathBuf>,
    /// By name; those of the file go before those of this process.
    variables: BTreeMap<String, Variable>,
    /// System properties, as the image and Payara make them.
    properties: BTreeMap<String, Property>,
    /// Whether the image's own store counts: not where this process only happens to have some of the variables.
    has_local: bool,
    /// Keys of `[Database]` that were taken from here, with who gave them.
    pub database: Vec<(&'static str, String)>,
}

#[derive(Clone)]
struct Variable {
    value: String,
    is_literal: bool,
    giver: Giver,
}

#[derive(Clone)]
struct Property {
    /// The variable that gave it.
    variable: String,
    value: String,
}

/// A store of the environment.
#[derive(Debug, Clone)]
pub struct FoundStore {
    /// The store as the environment describes it.
    pub store: DomainStore,
    /// Who gave it: the file, if any option of it is from there.
    pub giver: Giver,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("file", &self.file)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// With the file of `Environment`, and whatever of Dataverse's this process has. `None` where neither has anything.
    pub(super) fn read(
        file: Option<PathBuf>,
        has_other_stores: bool,
        around: Surroundings<'_>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let process = &around.process.variables;
        let of_process = |(name, value): (&String, &String)| {
            (name.clone(), Variable { value: value.clone(), is_literal: false, giver: Giver::Process })
        };
        let mut variables: BTreeMap<String, Variable> = process.iter().map(of_process).collect();
        let is_container = process.iter().any(|(name, value)| is_of_dataverse(name, value));
        if let Some(path) = &file {
            for (name, variable) in read_file(path, around, findings)? {
                variables.insert(name, variable);
            }
        } else if !is_container {
            return None;
        }
        let has_local = file.is_some() || !has_other_stores;
        let mut all = Self { file, variables, properties: BTreeMap::new(), has_local, database: Vec::new() };
        all.properties = all.make_properties();
        Some(all)
    }

    fn make_properties(&self) -> BTreeMap<String, Property> {
        let mut properties = BTreeMap::new();
        if let Some(arguments) = self.variables.get("JVM_ARGS") {
            for argument in words(&arguments.value) {
                let Some((name, value)) = argument.strip_prefix("-D").and_then(|it| it.split_once('=')) else {
                    continue;
                };
                if name.starts_with(PROPERTY) {
                    let property = Property { variable: "JVM_ARGS".to_owned(), value: value.to_owned() };
                    properties.insert(name.to_owned(), property);
                }
            }
        }
        for (name, variable) in self.variables.iter().filter(|it| it.0.starts_with(VARIABLE)) {
            let property = name.replace("__", "-").replace('_', ".");
            properties.insert(property, Property { variable: name.clone(), value: variable.value.clone() });
        }
        properties
    }

    /// The store of identifiers without a prefix, where one is named or the image's own counts.
    ///
    /// # Errors
    /// Why the one that is named cannot be told.
    pub fn default_store(&self) -> Result<Option<DriverId>, String> {
        let named = self.properties.get(DEFAULT_STORE).map(|it| self.resolve(&it.variable, &it.value)).transpose();
        let named = named.map_err(|why| format!("the option {DEFAULT_STORE} {why}"))?.filter(|it| !it.is_empty());
        Ok(named.or_else(|| self.has_local.then(|| LOCAL.to_owned())).map(DriverId))
    }

    /// Every store that it describes, and the image's own where that one counts.
    pub(super) fn stores(&self, around: Surroundings<'_>) -> Vec<FoundStore> {
        let written: Vec<(String, String)> =
            self.properties.iter().map(|(name, it)| (name.clone(), it.value.clone())).collect();
        let mut options = Options::of_config(&written).stores;
        if self.has_local && self.default_store().is_ok_and(|it| it.is_some_and(|it| it.0 == LOCAL)) {
            let local = options.entry(LOCAL.to_owned()).or_default();
            for (key, value) in [("type", "file"), ("directory", "${STORAGE_DIR}/store")] {
                let name = format!("dataverse.files.{LOCAL}.{key}");
                local.entry(key.to_owned()).or_insert(JvmOption { name, value: value.to_owned() });
            }
        }
        options.into_iter().map(|(id, options)| self.store(&id, options, around)).collect()
    }

    fn store(&self, id: &str, mut options: BTreeMap<String, JvmOption>, around: Surroundings<'_>) -> FoundStore {
        // The two that Dataverse reads through MicroProfile.
        let mut of_microprofile = BTreeMap::new();
        for key in ["access-key", "secret-key"] {
            let name = format!("dataverse.files.{id}.{key}");
            if let Some(found) = self.microprofile(&name).filter(|_| !options.contains_key(key)) {
                of_microprofile.insert(name.clone(), found);
                options.insert(key.to_owned(), JvmOption { name, value: String::new() });
            }
        }
        let giver_of = |name: &str| {
            let of_property =
                self.properties.get(name).and_then(|it| self.variables.get(&it.variable)).map(|it| it.giver);
            of_property.or_else(|| of_microprofile.get(name).map(|it| it.1)).unwrap_or(Giver::Default)
        };
        let giver = options.values().map(|it| giver_of(&it.name)).max().unwrap_or(Giver::Default);
        let resolve = |option: &JvmOption| match (self.properties.get(&option.name), of_microprofile.get(&option.name))
        {
            (Some(it), _) => self.resolve(&it.variable, &it.value),
            (None, Some((value, _))) => value.clone(),
            (None, None) => self.resolve("", &option.value),
        };
        let store = describe(id, &options, &resolve, around, &self.named(giver));
        FoundStore { store, giver }
    }

    /// Who gave something, for people.
    #[must_use]
    pub fn named(&self, giver: Giver) -> String {
        match (giver, &self.file) {
            (Giver::File, Some(path)) => path.display().to_string(),
            (Giver::Process, _) => "the environment".to_owned(),
            (Giver::Secrets, _) => "the folder of secrets".to_owned(),
            (Giver::File | Giver::Default, _) => "the container's default".to_owned(),
        }
    }

    /// A value of `[Database]`, by Dataverse's name for it; what is used is noted.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(super) fn of_database(
        &mut self,
        key: &'static str,
        name: &str,
        default: Option<&str>,
    ) -> Result<Option<String>, String> {
        let (value, giver) = match (self.microprofile(&format!("dataverse.db.{name}")), default) {
            (Some((value, giver)), _) => (value?, giver),
            (None, Some(default)) => (default.to_owned(), Giver::Default),
            (None, None) => return Ok(None),
        };
        let giver = self.named(giver);
        self.database.push((key, giver));
        Ok(Some(value))
    }

    /// The role that the container's own password is of.
    pub(super) fn database_user(&self) -> Option<String> {
        self.microprofile("dataverse.db.user").map_or_else(|| Some("dataverse".to_owned()), |it| it.0.ok())
    }

    /// System properties go first, then the environment in three spellings, then the folder of secrets.
    /// <https://download.eclipse.org/microprofile/microprofile-config-3.1/microprofile-config-spec-3.1.html>
    fn microprofile(&self, name: &str) -> Option<(Result<String, String>, Giver)> {
        let told = |value: Result<String, String>, giver| {
            let is_empty = value.as_ref().is_ok_and(String::is_empty);
            (!is_empty).then_some((value, giver))
        };
        if let Some(it) = self.properties.get(name) {
            let giver = self.variables.get(&it.variable).map_or(Giver::Default, |it| it.giver);
            return told(self.resolve(&it.variable, &it.value), giver);
        }
        let underscored = name.replace(|it: char| !it.is_ascii_alphanumeric(), "_");
        let upper = underscored.to_uppercase();
        for spelling in [name, &underscored, &upper] {
            let Some(it) = self.variables.get(spelling) else { continue };
            return told(self.resolve(spelling, &it.value), it.giver);
        }
        self.secret(name).map(|it| (it, Giver::Secrets))
    }

    /// A file of the folder of secrets: `a.b.c`, or `a/b/c`. Their modes are the container's affair. One that is there and
    /// cannot be read is not one that is not there: another value would take its place.
    fn secret(&self, name: &str) -> Option<Result<String, String>> {
        let folder = match self.variable("SECRETS_DIR", DEPTH) {
            Ok(it) => PathBuf::from(it),
            Err(why) => return Some(Err(format!("may be in the folder of SECRETS_DIR, which {why}"))),
        };
        [folder.join(name), folder.join(name.replace('.', "/"))].into_iter().find_map(|path| {
            let mut text = String::new();
            let read = File::open(&path).and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text));
            match read {
                Ok(_) => {
                    let value = text.trim_end_matches(['\r', '\n']);
                    (!value.is_empty()).then(|| Ok(value.to_owned()))
                }
                // `a/b/c` may be a folder of others.
                Err(error) if matches!(error.kind(), NotFound | NotADirectory | IsADirectory) => None,
                Err(error) => Some(Err(format!("may be in {}, which cannot be read ({error})", path.display()))),
            }
        })
    }

    /// The value of a variable without references, or why there is none: completes "the option …".
    fn resolve(&self, variable: &str, value: &str) -> Result<String, String> {
        if self.variables.get(variable).is_some_and(|it| it.is_literal) {
            return Ok(value.to_owned());
        }
        self.resolve_within(value, DEPTH)
    }

    /// `${NAME}`, `${NAME:-default}`, `${NAME-default}`, and Payara's `${ENV=NAME}`, `${ENV=NAME:default}`.
    fn resolve_within(&self, value: &str, depth: u32) -> Result<String, String> {
        let mut resolved = String::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((reference, behind)) = behind.split_once('}') else { break };
            let of_payara = reference.strip_prefix("ENV=");
            let name = of_payara.unwrap_or(reference);
            let end = name.find([':', '-', '?', '+']).unwrap_or(name.len());
            let default = match (&name[end..], of_payara) {
                (it, None) if it.starts_with(":-") => Some(&it[2..]),
                (it, None) if it.starts_with('-') => Some(&it[1..]),
                (it, Some(_)) if it.starts_with(':') => Some(&it[1..]),
                _ => None,
            };
            resolved.push_str(before);
            match (self.variable(&name[..end], depth), default) {
                (Ok(value), _) => resolved.push_str(&value),
                (Err(_), Some(default)) => resolved.push_str(default),
                (Err(why), None) => return Err(why),
            }
            rest = behind;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn variable(&self, name: &str, depth: u32) -> Result<String, String> {
        let Some(depth) = depth.checked_sub(1) else { return Err(format!("refers to {name}, which refers to itself")) };
        match self.variables.get(name) {
            Some(it) if it.is_literal => Ok(it.value.clone()),
            Some(it) => self.resolve_within(&it.value, depth),
            None => {
                let of_image = OF_IMAGE.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
                of_image.ok_or_else(|| format!("refers to {name}, which is not set"))
            }
        }
    }
}

/// Whether a variable of this process speaks of a Dataverse. Upper-case ones of this program's own do not.
pub(super) fn is_of_dataverse(name: &str, value: &str) -> bool {
    let begins =
        ["dataverse_files_", "dataverse_db_", "DATAVERSE_FILES_", "DATAVERSE_DB_", "dataverse.files.", "dataverse.db."];
    begins.iter().any(|it| name.starts_with(it)) || (name == "JVM_ARGS" && value.contains("-Ddataverse."))
}

/// Separated by blanks; in quotes, these are part of a word.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for it in text.chars() {
        match quote {
            Some(end) if it == end => quote = None,
            None if it == '"' || it == '\'' => quote = Some(it),
            None if it.is_whitespace() => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            _ => word.push(it),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The variables of the file; `None` when something was reported.
fn read_file(path: &Path, around: Surroundings<'_>, findings: &mut Findings) -> Option<BTreeMap<String, Variable>> {
    let mut report = |line: Option<usize>, what: &str| {
        let at = line.map_or(String::new(), |it| format!(", line {it}"));
        findings.add(None, format!("[Repository] Environment: {}{at}: {what}", path.display()));
    };
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| {
        (&file).take(LONGEST).read_to_string(&mut text)?;
        Ok(file)
    });
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            report(None, &format!("cannot read it: {error}"));
            return None;
        }
    };
    let written = match file::read(&text) {
        Ok(it) => it,
        Err((line, what)) => {
            report(line, &what);
            return None;
        }
    };
    let mut variables = BTreeMap::new();
    let mut names = BTreeSet::new();
    for file::Written { name, value, is_literal } in written {
        names.insert(name.clone());
        // As `docker run --env-file` has it: taken from whoever starts it, or not set.
        let Some(value) = value.or_else(|| around.process.variable(&name)) else { continue };
        variables.insert(name, Variable { value, is_literal, giver: Giver::File });
    }
    if variables.iter().any(|(name, it)| holds_secret(name, &it.value)) {
        findings.check_mode(path, &file);
    }
    Some(variables)
}

/// Whether others must not see it.
fn holds_secret(name: &str, value: &str) -> bool {
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        let speaks = ["password", "passwd", "secret", "token", "access_key", "access-key", "accesskey"]
            .iter()
            .any(|word| name.contains(word));
        speaks && !name.ends_with("_dir") && !name.ends_with("_file")
    };
    if name == "JVM_ARGS" {
        return words(value)
            .iter()
            .filter_map(|it| it.split_once('='))
            .any(|(it, value)| is_secret(it) && !value.is_empty());
    }
    is_secret(&name.replace("__", "-")) && !value.is_empty()
}
