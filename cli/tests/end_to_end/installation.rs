//! A Dataverse with its backup: servers, a world of data files, a configuration, and the program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use dvb_testkit::dataverse::{Expect, Schema, World, every_kind};
use dvb_testkit::postgres::{self, Database};
use dvb_testkit::sshd::{self, Account};
use dvb_testkit::{files, seaweed, swift, temp_folder};
use serde_json::Value;
use tempfile::TempDir;

/// The one sshd of this process.
pub(crate) fn sshd() -> &'static sshd::Server {
    static SHARED: OnceLock<sshd::Server> = OnceLock::new();
    SHARED.get_or_init(sshd::Server::start)
}

/// Where a test keeps its ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ledger {
    Sqlite,
    Postgres,
}

pub(crate) struct Installation {
    pub(crate) world: World,
    pub(crate) database: Database,
    pub(crate) ledger: Option<Database>,
    pub(crate) folder: TempDir,
    /// The destination, as this process sees it.
    pub(crate) local: PathBuf,
    /// The text of the section `[Backup]`, with its title.
    pub(crate) backup: String,
}

impl Installation {
    pub(crate) fn of_every_kind(schema: Schema, ledger: Ledger, account: &Account) -> Self {
        let folder = temp_folder("e2e");
        let world = every_kind(schema, folder.path());
        Self::new(world, ledger, account, folder)
    }

    pub(crate) fn new(world: World, ledger: Ledger, account: &Account, folder: TempDir) -> Self {
        let database = postgres::shared().create_database("dvn");
        world.install(&database);
        let ledger = match ledger {
            Ledger::Sqlite => None,
            Ledger::Postgres => Some(postgres::shared().create_database("backup")),
        };
        let installation =
            Self { world, database, ledger, folder, local: account.local.clone(), backup: section(account, "") };
        installation.write_config();
        installation
    }

    /// Writes `config.ini` anew, from what the installation is now.
    pub(crate) fn write_config(&self) {
        let Database { host, port, name, user, password } = &self.database;
        let ledger = self.ledger.as_ref().map_or_else(|| "sqlite:ledger.db".to_owned(), |it| it.name.clone());
        let mut text = format!(
            "[Database]\nHost: {host}\nPort: {port}\nDatabase: {name}\nUsername: {user}\nPassword: {password}\n\
             BackupDatabase: {ledger}\n\n[Repository]\nFileSystemDirectory: {}\n\n",
            self.world.stores[0].directory.display()
        );
        for store in &self.world.stores[1..] {
            text += &format!("[Store {}]\nType: file\nDirectory: {}\n\n", store.id, store.directory.display());
        }
        text += &self.backup;
        self.write("config.ini", &text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dataverse-backup"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.current_dir(self.folder.path()).args(args);
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Calls with `--json` and gives the object with the exit code.
    pub(crate) fn json(&self, args: &[&str]) -> (Value, i32) {
        let output = self.call(&[&["--json"], args].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr)));
        (value, output.status.code().unwrap())
    }

    pub(crate) fn init(&self) {
        let output = self.call(&["init"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What lies at the destination, the backup's own folder left out.
    pub(crate) fn copies(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = files::tree(&self.local);
        tree.retain(|it, _| !it.starts_with(".dataverse-backup/"));
        tree
    }

    pub(crate) fn temporaries(&self) -> Vec<String> {
        files::tree(&self.local).into_keys().filter(|it| it.starts_with(".dataverse-backup/tmp/")).collect()
    }

    pub(crate) fn count(&self, expect: &[Expect]) -> u64 {
        self.world.files.iter().filter(|it| expect.contains(&it.expect)).count() as u64
    }
}

/// The `[Backup]` section for an account.
pub(crate) fn section(account: &Account, more: &str) -> String {
    format!(
        "[Backup]\nStorageType: ssh\nSshHost: {}\nSshPort: {}\nSshUsername: {}\nBackupDirectory: {}\nSshKeyFile: {}\n\
         SshKnownHosts: {}\n{more}\n",
        account.host,
        account.port,
        account.user,
        account.root,
        account.key.display(),
        account.known_hosts.display()
    )
}

/// `[Backup bucket]` at SeaweedFS, below `backup`, and `[Backup container]` at Swift, with small parts and segments.
pub(crate) fn in_the_cloud(bucket: &str, container: &str) -> String {
    let (s3, swift) = (seaweed::shared(), swift::shared());
    format!(
        "[Backup bucket]\nStorageType: s3\nS3Bucket: {bucket}\nS3Prefix: backup\nS3EndpointUrl: {}\nS3PathStyle: yes\n\
         S3AccessKey: {}\nS3SecretKey: {}\nS3PartSize: 5MiB\n\n\
         [Backup container]\nStorageType: swift\nSwiftAuthUrl: {}\nSwiftAuthVersion: 1\nSwiftUser: {}\nSwiftKey: {}\n\
         SwiftContainer: {container}\nSwiftSegmentSize: 1MiB\n\n",
        s3.url, s3.access, s3.secret, swift.auth_url, swift.user, swift.key
    )
}
