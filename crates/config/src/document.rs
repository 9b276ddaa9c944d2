//! From a file's text to a whole [`Config`]: which section is which, and what no section may hold.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use dvb_model::{DestinationName, DriverId};

use super::fields::{Fields, Findings, Surroundings};
use super::keys::{self, Key, ValueForm};
use super::lines::{self, Section};
use super::{
    Config, ConfigError, Destination, Environment, Notifications, ProcessContext, Repository, backup, database,
    notifications, purge, repository, store,
};

/// Which section a header means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum SectionKind {
    Database,
    Repository,
    Store(DriverId),
    Backup(DestinationName),
    Purge(DestinationName),
    Notifications,
}

impl SectionKind {
    fn keys(&self) -> &'static [Key] {
        match self {
            Self::Database => keys::DATABASE,
            Self::Repository => keys::REPOSITORY,
            Self::Store(_) => keys::STORE,
            Self::Backup(_) => keys::BACKUP,
            Self::Purge(_) => keys::PURGE,
            Self::Notifications => keys::NOTIFICATIONS,
        }
    }
}

/// See [`super::load`]; with `whole`, `[Database]` has to be there.
pub(super) fn load(path: &Path, process: &ProcessContext, whole: bool) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let path = process.absolute(path).map_err(unreadable)?;
    let mut file = File::open(&path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|it| **it == b'\n').count();
        ConfigError::NotText { path: path.clone(), line }
    })?;

    let mut findings = Findings::default();
    let (sections, problems) = lines::read(text);
    findings.problems = problems;
    let sections = sort_out(&sections, &mut findings);
    if sections.iter().any(|(kind, section)| holds_secret(kind, section)) {
        findings.check_mode(&path, &file);
    }
    let around = Surroundings { folder: path.parent().unwrap_or(Path::new("/")), process };
    let config = read(&path, &sections, around, whole, &mut findings);
    let Findings { mut problems, exposed, secrets: _ } = findings;
    problems.sort_by_key(|it| it.line);
    if !exposed.is_empty() {
        return Err(ConfigError::Exposed { path, files: exposed, problems });
    }
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::Invalid { path, problems }),
    }
}

/// Names each section, and reports unknown and repeated sections and keys. What repeats stays in the list.
fn sort_out<'a>(sections: &'a [Section], findings: &mut Findings) -> Vec<(SectionKind, &'a Section)> {
    let mut sorted: Vec<(SectionKind, &Section)> = Vec::new();
    for section in sections {
        let kind = match kind(&section.header) {
            Ok(kind) => kind,
            Err(message) => {
                findings.add(section.line, message);
                continue;
            }
        };
        if let Some((_, first)) = sorted.iter().find(|(it, _)| *it == kind) {
            let message = format!("[{}] is there already, at line {}; join the two", section.header, first.line);
            findings.add(section.line, message);
        }
        check_keys(&kind, section, findings);
        sorted.push((kind, section));
    }
    sorted
}

fn check_keys(kind: &SectionKind, section: &Section, findings: &mut Findings) {
    let mut seen = HashMap::new();
    for entry in &section.entries {
        if keys::lookup(kind.keys(), &entry.key).is_none() {
            let suggestion = keys::suggestion(kind.keys(), &entry.key);
            findings.add(entry.line, format!("[{}] has no key {:?}; {suggestion}", section.header, entry.key));
        }
        if let Some(first) = seen.insert(entry.key.to_ascii_lowercase(), entry.line) {
            let message = format!("[{}] {} is there already, at line {first}; keep one", section.header, entry.key);
            findings.add(entry.line, message);
        }
    }
}

fn kind(header: &str) -> Result<SectionKind, String> {
    let (word, name) = header.split_once(char::is_whitespace).map_or((header, ""), |(word, name)| (word, name.trim()));
    match (word.to_ascii_lowercase().as_str(), name) {
        ("database", "") => Ok(SectionKind::Database),
        ("repository", "") => Ok(SectionKind::Repository),
        ("notifications", "") => Ok(SectionKind::Notifications),
        ("backup", "") => Ok(SectionKind::Backup(DestinationName("default".to_owned()))),
        ("purge", "") => Ok(SectionKind::Purge(DestinationName("default".to_owned()))),
        ("purge", _) => Ok(SectionKind::Purge(DestinationName(name.to_owned()))),
        ("backup", _) if name.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it)) => {
            Ok(SectionKind::Backup(DestinationName(name.to_owned())))
        }
        ("backup", _) => Err(format!("[{header}]: a destination's name is made of letters, digits, '-', '_' and '.'")),
        ("store", "") => Err("[Store] needs the id of Dataverse's storage driver, such as [Store s3]".to_owned()),
        // Dataverse takes what stands before the first '.' of a property for the id, and what stands before "://".
        ("store", _) if !name.contains(|it: char| it.is_whitespace() || ".:/".contains(it)) => {
            Ok(SectionKind::Store(DriverId(name.to_owned())))
        }
        ("store", _) => Err(format!("[{header}]: the id of a store holds no blank, '.', ':' or '/'")),
        _ => {
            let known = [
                "[Database]",
                "[Repository]",
                "[Store ID]",
                "[Backup]",
                "[Backup NAME]",
                "[Purge]",
                "[Purge NAME]",
                "[Notifications]",
            ];
            let written = format!("[{header}]");
            let nearest = keys::nearest(&written, known.into_iter().map(str::to_owned)).unwrap_or_default();
            Err(format!("there is no section {written}; the nearest known section is {nearest}"))
        }
    }
}

/// Whether a secret stands in the section as it is, used or not.
fn holds_secret(kind: &SectionKind, section: &Section) -> bool {
    section.entries.iter().filter(|it| !it.value.is_empty()).any(|entry| {
        let found = keys::lookup(kind.keys(), &entry.key);
        found.is_some_and(|(key, given)| given == ValueForm::Literally && key.names().len() > 1)
    })
}

/// Reads the first section of each kind; `None` when something was reported.
fn read(
    path: &Path,
    sections: &[(SectionKind, &Section)],
    around: Surroundings<'_>,
    whole: bool,
    findings: &mut Findings,
) -> Option<Config> {
    let (mut database_section, mut repositories, mut notifications) = (None, None, None);
    let (mut stores, mut destinations, mut purges) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (kind, section)) in sections.iter().enumerate() {
        if sections.iter().take(at).any(|(it, _)| it == kind) {
            continue;
        }
        let fields = &mut Fields::new(section, kind.keys(), around, findings);
        match kind {
            SectionKind::Database => database_section = Some(*section),
            SectionKind::Repository => repositories = Some(repository::read(fields)),
            SectionKind::Store(id) => stores.push((section.line, store::read(id, fields))),
            SectionKind::Backup(name) => destinations.push(backup::read(name, fields)),
            SectionKind::Purge(name) => purges.push((name, *section)),
            SectionKind::Notifications => notifications = Some(notifications::read(fields)),
        }
    }
    let has_destination =
        |of: &DestinationName| sections.iter().any(|(it, _)| matches!(it, SectionKind::Backup(name) if name == of));
    for (name, section) in purges {
        if !has_destination(name) {
            let message = format!("[{}]: there is no destination of that name ({})", section.header, name.0);
            findings.add(section.line, message);
        }
        if let Some(of) = destinations.iter_mut().flatten().find(|it: &&mut Destination| it.name == *name) {
            of.purge = purge::read(of, section, around, findings);
        }
    }
    if destinations.is_empty() {
        findings.add(None, "there is no [Backup] section: it says where the copies go");
    }
    let repository = repositories.unwrap_or_else(Repository::default);
    let has_stores =
        !stores.is_empty() || repository.file_system_directory.is_some() || repository.domain_xml.is_some();
    let file = repository.environment.clone();
    let mut environment = Environment::read(file, has_stores, around, findings);
    let absent = Section { line: 0, header: "Database".to_owned(), entries: Vec::new() };
    // What an environment has is enough.
    let section = database_section.or_else(|| (whole && environment.is_some()).then_some(&absent));
    let database = match section {
        Some(section) => {
            database::read(&mut Fields::new(section, keys::DATABASE, around, findings), environment.as_mut())
        }
        None if !whole => Some(database::unknown()),
        None => {
            findings.add(None, "there is no [Database] section: it says how to read Dataverse's PostgreSQL");
            None
        }
    };
    let file_store = stores.iter().find(|(_, it)| it.as_ref().is_some_and(|it| it.id.0 == "file"));
    if let (Some((line, _)), Some(_)) = (file_store, &repository.file_system_directory) {
        findings.add(*line, "[Store file]: FileSystemDirectory in [Repository] describes this store already; keep one");
    }
    Some(Config {
        path: path.to_owned(),
        database: database?,
        repository,
        stores: stores.into_iter().map(|(_, it)| it).collect::<Option<_>>()?,
        destinations: destinations.into_iter().collect::<Option<_>>()?,
        notifications: notifications.unwrap_or_else(|| Some(Notifications::default()))?,
        environment_stores: environment.as_ref().map(|it| it.stores(around)).unwrap_or_default(),
        environment,
    })
}
