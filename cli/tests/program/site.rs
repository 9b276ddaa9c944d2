//! A small installation of Dataverse, a configuration for it, and the program.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dvb_ledger::SqliteLedger;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::postgres::{self, Database};
use serde_json::Value;
use tempfile::TempDir;

/// How a call of the program ended.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Its one JSON object; fails when there is anything else on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Fails unless everything is in the output or in the messages.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part) || self.err.contains(part), "{part:?} is missing: {self}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn silent(self) -> Self {
        assert!(self.out.is_empty() && self.err.is_empty(), "{self}");
        self
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// The program without anything of this machine's environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dataverse-backup"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

pub(crate) fn done(command: &mut Command) -> Done {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

/// A Dataverse with one dataset of three data files, and a destination in a folder. The ledger is not made yet.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) database: Database,
    pub(crate) world: World,
    sections: Vec<(String, String)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// With what is added to its world and its dataset.
    pub(crate) fn with(add: impl FnOnce(&mut World, i64)) -> Self {
        Self::made(postgres::shared().create_database("site"), add)
    }

    /// The same in an empty database of its own.
    pub(crate) fn within(database: Database) -> Self {
        Self::made(database, |_, _| {})
    }

    fn made(database: Database, add: impl FnOnce(&mut World, i64)) -> Self {
        let folder = dvb_testkit::temp_folder("site");
        let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
        let dataset = world.add_dataset("10.5072", "FK2/ABC").id;
        for number in 0..3 {
            let name = World::object_name(number);
            world.add_file(dataset, &format!("file://{name}"), format!("content {number}").as_bytes());
        }
        add(&mut world, dataset);
        world.install(&database);
        Self { sections: sections(&folder, &database), folder, database, world }
    }

    /// The same after its first run.
    pub(crate) fn copied() -> Self {
        let site = Self::new();
        site.call(&["init"]).expect(0);
        site.call(&["run"]).expect(0);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds lines to a section, or a section.
    pub(crate) fn add(&mut self, section: &str, lines: &str) {
        match self.sections.iter_mut().find(|it| it.0 == section) {
            Some((_, text)) => text.push_str(&format!("{lines}\n")),
            None => self.sections.push((section.to_owned(), format!("{lines}\n"))),
        }
    }

    /// Puts other lines into a section.
    pub(crate) fn set(&mut self, section: &str, lines: &str) {
        self.sections.retain(|it| it.0 != section);
        self.add(section, lines);
    }

    /// Gives a key of a section another value.
    pub(crate) fn change(&mut self, section: &str, key: &str, value: &str) {
        let text = &mut self.sections.iter_mut().find(|it| it.0 == section).expect("no such section").1;
        let other = |line: &str| match line.split_once(": ") {
            Some((name, _)) if name == key => format!("{key}: {value}\n"),
            _ => format!("{line}\n"),
        };
        *text = text.lines().map(other).collect();
    }

    pub(crate) fn config(&self) -> PathBuf {
        let path = self.path("config.ini");
        let text: String = self.sections.iter().map(|(name, lines)| format!("[{name}]\n{lines}")).collect();
        // One that was started before may just be reading it.
        let new = self.path("config.new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config()).args(words).env("HOME", self.folder.path());
        command
    }

    pub(crate) fn call(&self, words: &[&str]) -> Done {
        done(&mut self.command(words))
    }

    pub(crate) fn ledger(&self) -> SqliteLedger {
        SqliteLedger::new(self.path("state/ledger.db"))
    }

    /// The file in the store that holds this data file of the world.
    pub(crate) fn object(&self, file: usize) -> PathBuf {
        self.path("files").join(&self.world.objects[file].path)
    }
}

fn sections(folder: &TempDir, database: &Database) -> Vec<(String, String)> {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let Database { host, port, name, user, .. } = database;
    let sections = [
        (
            "Database",
            format!(
                "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: {user}\nBackupDatabase: sqlite:{}\n",
                at("state/ledger.db")
            ),
        ),
        ("Repository", format!("FileSystemDirectory: {}\n", at("files"))),
        ("Backup", format!("StorageType: directory\nBackupDirectory: {}\n", at("copies"))),
    ];
    sections.map(|(name, lines)| (name.to_owned(), lines)).into()
}

/// Writes a file that only its owner may read.
pub(crate) fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}
