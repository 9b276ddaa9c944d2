//! `config.ini` through the front door: what is accepted, what it means, and what is said of the rest.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvb_config::{
    self as config, CatalogueSource, Config, ConfigError, DestinationKind, EmailWhen, LedgerTarget, ObjectLock,
    ObjectLockMode, Policy, ProcessContext, PurgeApproval, PurgeLogin, SmtpTls, SshLibrary, StoreType, SwiftAuth,
    SwiftAuthType, SwiftAuthVersion, Verify,
};
use dvb_pg::{PostgresTarget, SslMode};
use proptest::prelude::*;
use tempfile::TempDir;

/// The shape of a `config.ini` of the original script, keys, separators and comments as administrators have them.
const ORIGINAL: &str = "\
[Database]
; the database can run on a remote server
Host: localhost
Port: 5432
Database: dvndb
Username: dvnapp
Password: xxxxxx
BackupDatabase: backupdb

[Repository]
; configuration for files stored on the filesystem

FileSystemDirectory: /usr/local/glassfish4/glassfish/domains/domain1/files

; configuration for files stored on openstack/swift:
; swift NOT SUPPORTED yet

[Backup]
; ssh configuration:

StorageType: ssh
SshHost: backup.dataverse.edu
; ssh port is optional, defaults to 22
SshPort: 22
SshUsername: backup
BackupDirectory: /dataverse_backup

; Swift configuration:

;StorageType: swift
SwiftAuthUrl: https://something.dataverse.edu/swift/v2.0/tokens
SwiftAuthVersion: 2
SwiftUser: xxx
SwiftKey: yyy
; Note that the 'tenant' setting is only needed for Auth v.1 and 2. 
SwiftTenant: zzz
SwiftEndPoint: https://something.dataverse.edu/swift/v1

[Notifications]
Email: somebody@dataverse.edu";

const DATABASE: &str = "[Database]\nDatabase: dvndb\nUsername: dvnapp\n";
const BACKUP: &str = "[Backup]\nStorageType: ssh\nSshHost: h\nSshUsername: u\nBackupDirectory: /b\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, text: impl AsRef<[u8]>) -> Result<Config, ConfigError> {
        config::load(&self.write("config.ini", text, 0o600), &process())
    }
}

fn process() -> ProcessContext {
    ProcessContext {
        variables: [("SECRET", "from env"), ("EMPTY", "")].map(|(name, it)| (name.to_owned(), it.to_owned())).into(),
        home: Some(PathBuf::from("/home/dv")),
        current_folder: None,
    }
}

fn load(text: &str) -> Config {
    Folder::new().load(text).unwrap_or_else(|error| panic!("{error}\n---\n{text}"))
}

/// The problems of a text, each as it would be printed.
fn problems(text: &str) -> Vec<String> {
    match Folder::new().load(text) {
        Err(ConfigError::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}\n---\n{text}"),
    }
}

fn with_backup(lines: &str) -> String {
    format!("{DATABASE}{BACKUP}{lines}\n")
}

fn with_database(lines: &str) -> String {
    format!("{DATABASE}{lines}\n{BACKUP}")
}

fn ssh(config: &Config) -> &config::SshTarget {
    match &config.destinations[0].kind {
        DestinationKind::Ssh(it) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_originals_file_loads_unchanged() {
    let config = load(ORIGINAL);
    let expected = |database: &str| PostgresTarget {
        host: "localhost".to_owned(),
        port: 5432,
        database: database.to_owned(),
        username: "dvnapp".to_owned(),
        password: Some("xxxxxx".to_owned()),
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(30),
    };
    assert_eq!(config.database.catalogue, CatalogueSource::Postgres(expected("dvndb")));
    assert_eq!(config.database.ledger, LedgerTarget::Postgres(expected("backupdb")));
    assert_eq!(
        config.repository.file_system_directory.as_deref(),
        Some(Path::new("/usr/local/glassfish4/glassfish/domains/domain1/files"))
    );
    assert!(config.stores.is_empty());
    let [destination] = config.destinations.as_slice() else { panic!("{:?}", config.destinations) };
    assert_eq!((destination.name.0.as_str(), destination.jobs, destination.verify), ("default", 4, Verify::Auto));
    assert_eq!((destination.time_budget, destination.bandwidth_limit, destination.verify_every), (None, None, None));
    let ssh = ssh(&config);
    assert_eq!((ssh.host.as_str(), ssh.port, ssh.username.as_str()), ("backup.dataverse.edu", 22, "backup"));
    assert_eq!((ssh.directory.as_str(), ssh.ciphers.as_deref()), ("/dataverse_backup", None));
    assert_eq!((ssh.connect_timeout.as_secs(), ssh.idle_timeout.as_secs()), (30, 120));
    assert_eq!(config.notifications.email, ["somebody@dataverse.edu"]);
    assert_eq!(config.notifications.email_when, EmailWhen::Problems);
    assert_eq!(config.notifications.sendmail, Path::new("/usr/sbin/sendmail"));
}

#[test]
fn what_is_absent_has_its_default() {
    let config = load(&with_backup(""));
    assert_eq!(config.database.ledger, LedgerTarget::Sqlite(PathBuf::from("/var/lib/dataverse-backup/ledger.db")));
    let repository = config.repository;
    assert_eq!((repository.default_store, repository.max_disappearance, repository.presence_check), (None, 0.05, true));
    assert_eq!((repository.auxiliary_objects, repository.cached_exports), (true, false));
    assert!(config.notifications.email.is_empty());
}

#[test]
fn the_ledger_is_where_the_file_says() {
    let ledger = |lines: &str| load(&with_database(lines)).database.ledger;
    assert_eq!(ledger("BackupDatabase: sqlite:/x/l.db"), LedgerTarget::Sqlite("/x/l.db".into()));
    assert_eq!(ledger("backupdatabase = SQLite: /x y/l.db"), LedgerTarget::Sqlite("/x y/l.db".into()));
    let LedgerTarget::Postgres(same) =
        ledger("Host: db1\nPort: 6000\nPassword: p\nSslMode: Verify-Full\nBackupDatabase: b")
    else {
        panic!()
    };
    assert_eq!(
        (same.host.as_str(), same.port, same.username.as_str(), same.ssl_mode),
        ("db1", 6000, "dvnapp", SslMode::VerifyFull)
    );
    assert_eq!(same.password.as_deref(), Some("p"));
    let LedgerTarget::Postgres(other) = ledger(
        "Password: p\nBackupDatabase: b\nBackupHost: db2\nBackupUsername: l\nBackupPort: 7\nBackupSslMode: disable",
    ) else {
        panic!()
    };
    assert_eq!(
        (other.host.as_str(), other.port, other.username.as_str(), other.ssl_mode),
        ("db2", 7, "l", SslMode::Disable)
    );
    assert_eq!(other.password, None, "the password belongs to the other user");

    let from_file = load(&format!("[Database]\nCatalogue: file:snap.zst\n{BACKUP}"));
    assert!(
        matches!(from_file.database.catalogue, CatalogueSource::File(path) if path.ends_with("snap.zst") && path.is_absolute())
    );
}

#[test]
fn every_kind_of_store_is_read() {
    let config = load(&format!(
        "{DATABASE}{BACKUP}
        [Store s3-Prod_1]
        Type: S3
        BucketName: b
        CustomEndpointUrl: https://s3.example.edu:9000
        CustomEndpointRegion: r
        PathStyleAccess: true
        AccessKey: id
        SecretKey: key
        [store local]
        type = file
        directory = /data
        extraroots = /mnt/disk 2, /mnt/disk3
        [Store swift]
        Type: swift
        DefaultEndpoint: end1
        AuthType.end1: keystone
        AuthUrl.end1: https://k.example.edu/v2.0/tokens
        Username.End1: u
        Password.end1: p
        Tenant.end1: t
        AuthType.two: keystone_v3
        AuthUrl.two: https://k.example.edu/v3/auth/tokens
        Username.two: u
        PasswordEnv.two: SECRET
        UserDomain.two: ud
        [Store web]
        Type: remote
        Policy: copy
        BaseUrl: https://files.example.edu/x
        [Store g]
        Type: globus
        "
    ));
    let ids: Vec<_> = config.stores.iter().map(|it| it.id.0.as_str()).collect();
    assert_eq!(ids, ["s3-Prod_1", "local", "swift", "web", "g"]);
    let StoreType::S3 { bucket_name, path_style_access: true, keys: Some(keys), .. } = &config.stores[0].kind else {
        panic!("{:?}", config.stores[0])
    };
    assert_eq!((bucket_name.as_deref(), keys.access_key.as_str(), keys.secret_key.expose()), (Some("b"), "id", "key"));
    let extra_roots = vec!["/mnt/disk 2".into(), "/mnt/disk3".into()];
    assert_eq!(config.stores[1].kind, StoreType::File { directory: "/data".into(), extra_roots });
    let StoreType::Swift { endpoints, .. } = &config.stores[2].kind else { panic!() };
    let seen: Vec<_> = endpoints.iter().map(|it| (it.name.as_str(), it.auth_type, it.password.expose())).collect();
    assert_eq!(seen, [("end1", SwiftAuthType::Keystone, "p"), ("two", SwiftAuthType::KeystoneV3, "from env")]);
    assert!(matches!(&config.stores[3].kind, StoreType::Remote { policy: Policy::Copy, base_url: Some(_), .. }));
    assert!(matches!(&config.stores[4].kind, StoreType::Globus { policy: Policy::Reference, base_url: None, .. }));
    let config = load(&with_backup("[Repository]\nFileSystemDirectory: /data\nExtraRoots: /mnt/disk2, /mnt/disk3"));
    assert_eq!(config.repository.extra_roots, ["/mnt/disk2", "/mnt/disk3"].map(PathBuf::from));
}

#[test]
fn every_kind_of_destination_is_read() {
    let config = load(&format!(
        "{DATABASE}
        [Backup]
        StorageType: SSH
        SshHost: ::1
        SshPort: 2222
        SshUsername: u
        BackupDirectory: ~/copies
        SshKeyFile: ~/.ssh/id
        SshKnownHosts: known_hosts
        SshLibrary: libssh2
        SshCiphers: a@x.org, b
        SshKexAlgorithms: +c
        SshMacs: ^d, e
        SshHostKeyAlgorithms: -f
        SshOpenFiles: 1
        ConnectTimeout: 5s
        IdleTimeout: 2m
        Verify: read-back
        VerifyEvery: 30d
        Jobs: 16
        BandwidthLimit: 40MiB/s
        TimeBudget: 5h
        [Backup Tape-2]
        StorageType: directory
        BackupDirectory: /mnt/tape
        [Backup cloud]
        StorageType: s3
        S3Bucket: b
        S3Prefix: /a/b/
        S3PartSize: 64 MiB
        S3ObjectLock: compliance
        S3ObjectLockDays: 30
        S3PathStyle: on
        [Backup swift]
        StorageType: swift
        SwiftAuthUrl: https://k.example.edu/v3
        SwiftAuthVersion: 3.0
        SwiftApplicationCredentialId: id
        SwiftApplicationCredentialSecretEnv: SECRET
        SwiftSegmentSize: 1 GiB
        "
    ));
    let names: Vec<_> = config.destinations.iter().map(|it| it.name.0.as_str()).collect();
    assert_eq!(names, ["default", "Tape-2", "cloud", "swift"]);
    let first = &config.destinations[0];
    assert_eq!((first.jobs, first.verify, first.bandwidth_limit), (16, Verify::ReadBack, Some(40 << 20)));
    assert_eq!(first.time_budget, Some(Duration::from_secs(5 * 3600)));
    assert_eq!(first.verify_every, Some(Duration::from_secs(30 * 86400)));
    let ssh = ssh(&config);
    assert_eq!((ssh.host.as_str(), ssh.port, ssh.directory.as_str()), ("::1", 2222, "copies"));
    assert_eq!(ssh.key_file.as_deref(), Some(Path::new("/home/dv/.ssh/id")));
    assert_eq!(ssh.known_hosts.as_deref(), Some(config.path.with_file_name("known_hosts").as_path()));
    let lists = [&ssh.ciphers, &ssh.exchanges, &ssh.macs, &ssh.host_key_types].map(Option::as_deref);
    assert_eq!(lists, [Some("a@x.org,b"), Some("+c"), Some("^d,e"), Some("-f")]);
    assert_eq!((ssh.library, ssh.open_files), (SshLibrary::Libssh2, Some(1)));
    assert_eq!((ssh.connect_timeout.as_secs(), ssh.idle_timeout.as_secs()), (5, 120));
    assert_eq!(config.destinations[1].kind, DestinationKind::Directory("/mnt/tape".into()));
    let DestinationKind::S3(s3) = &config.destinations[2].kind else { panic!() };
    assert_eq!(
        (s3.prefix.as_str(), s3.part_size, s3.object_lock, s3.path_style),
        ("a/b", Some(64 << 20), Some(ObjectLock { mode: ObjectLockMode::Compliance, days: 30 }), true)
    );
    let DestinationKind::Swift(swift) = &config.destinations[3].kind else { panic!() };
    assert_eq!((swift.auth_version, swift.container.as_str()), (SwiftAuthVersion::V3, "dataverse-backup"));
    assert!(matches!(&swift.auth, SwiftAuth::ApplicationCredential { secret, .. } if secret.expose() == "from env"));
}

#[test]
fn the_mail_server_has_the_port_of_its_encryption() {
    let smtp = |lines: &str| {
        load(&with_backup(&format!("[Notifications]\nEmail: a@b.org, root\nSmtpHost: m\n{lines}")))
            .notifications
            .smtp
            .unwrap()
    };
    for (lines, tls, port) in [
        ("", SmtpTls::StartTls, 587),
        ("SmtpTls: tls", SmtpTls::Tls, 465),
        ("SmtpTls: none", SmtpTls::None, 25),
        ("SmtpTls: NONE\nSmtpPort: 2525", SmtpTls::None, 2525),
    ] {
        assert_eq!((smtp(lines).tls, smtp(lines).port), (tls, port), "{lines}");
    }
    let (user, password) = smtp("SmtpUsername: u\nSmtpPassword: p;#%:=\"q\"").login.unwrap();
    assert_eq!((user.as_str(), password.expose()), ("u", "p;#%:=\"q\""));
}

#[test]
fn lines_mean_what_they_say() {
    for (lines, expected) in [
        ("SshHost: x", "x"),
        ("SSHHOST=x", "x"),
        ("sshHost\t=\tx \t", "x"),
        ("SshHost: a = b", "a = b"),
        ("SshHost = a : b", "a : b"),
        ("SshHost: a ; b # c", "a ; b # c"),
        ("SshHost: \"quoted\"", "\"quoted\""),
        ("SshHost: %(Port)s %% $HOME", "%(Port)s %% $HOME"),
        ("SshHost: [x]", "[x]"),
        ("SshHost:   ; x", "; x"),
        ("SshHost: x\r", "x"),
        ("  ; a comment\n\t# another: one\n    SshHost: x", "x"),
        ("SshHost: x\n     Jobs: 2", "x"),
    ] {
        let text = format!("{DATABASE}[Backup]\nStorageType: ssh\n{lines}\nSshUsername: u\nBackupDirectory: /b\n");
        assert_eq!(ssh(&load(&text)).host, expected, "{lines:?}");
    }
    assert_eq!(load(&with_backup("  Jobs: 2")).destinations[0].jobs, 2, "an indented line continues nothing");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    let windows = format!("\u{feff}{}", ORIGINAL.replace('\n', "\r\n"));
    let (plain, windows) = (load(ORIGINAL), load(&windows));
    assert_eq!(plain.database, windows.database);
    assert_eq!(plain.destinations, windows.destinations);
    assert_eq!(plain.notifications, windows.notifications);
}

#[test]
fn each_mistake_is_named_with_its_line() {
    for (text, expected) in [
        // Keys and sections.
        (with_backup("SshHots: x"), "line 9: [Backup] has no key \"SshHots\"; the nearest known key is SshHost"),
        (
            with_backup("FileSystemDirectory: /x"),
            "line 9: [Backup] has no key \"FileSystemDirectory\"; it belongs in [Repository]",
        ),
        (
            with_backup("SshKeyPassphraseFil: /x"),
            "line 9: [Backup] has no key \"SshKeyPassphraseFil\"; the nearest known key is SshKeyPassphraseFile",
        ),
        (
            with_backup("[Repositry]\nx: y"),
            "line 9: there is no section [Repositry]; the nearest known section is [Repository]",
        ),
        (
            with_backup("[Store]\nType: s3"),
            "line 9: [Store] needs the id of Dataverse's storage driver, such as [Store s3]",
        ),
        (
            with_backup("[Backup a b]"),
            "line 9: [Backup a b]: a destination's name is made of letters, digits, '-', '_' and '.'",
        ),
        (
            with_backup("[Backup c]\nStorageType: s3\nS3Bucket: b\nS3ObjectLock: compliance"),
            "line 12: [Backup c] S3ObjectLock: S3ObjectLockDays is missing: for how many days copies are locked",
        ),
        (
            with_backup("[Purge tape]\nSshUsername: p"),
            "line 9: [Purge tape]: there is no destination of that name (tape)",
        ),
        (
            with_backup("[Purge]\nS3Profile: p"),
            "line 9: [Purge] gives no credentials for destination default: give SshUsername, SshKeyFile, SshKeyPassphrase, \
             or leave the section out",
        ),
        (
            with_backup("[Purge]\nSshHost: p\nSshUsername: p"),
            "line 10: [Purge] has no key \"SshHost\"; it belongs in [Backup]",
        ),
        (with_backup("sshhost = y"), "line 9: [Backup] sshhost is there already, at line 6; keep one"),
        (with_backup("[DATABASE]\nHost: y"), "line 9: [DATABASE] is there already, at line 1; join the two"),
        (
            with_backup("[backup default]\nStorageType: ssh"),
            "line 9: [backup default] is there already, at line 4; join the two",
        ),
        // Lines.
        (format!("Jobs: 1\n{}", with_backup("")), "line 1: a key before the first [section]"),
        (
            with_backup("   and so on"),
            "line 9: neither a [section], nor 'Key: value', nor a comment (a value ends with its line)",
        ),
        (
            with_backup(": x"),
            "line 9: neither a [section], nor 'Key: value', nor a comment (a value ends with its line)",
        ),
        (
            with_backup("[Notifications"),
            "line 9: neither a [section], nor 'Key: value', nor a comment (a value ends with its line)",
        ),
        (
            with_backup("[Notifications] Email: x"),
            "line 9: text behind the ']' of a section; put it on a line of its own",
        ),
        // Missing.
        (DATABASE.to_owned(), "there is no [Backup] section: it says where the copies go"),
        (BACKUP.to_owned(), "there is no [Database] section: it says how to read Dataverse's PostgreSQL"),
        (
            format!("[Database]\nUsername: u\n{BACKUP}"),
            "line 1: [Database] Database is missing: the name of Dataverse's database",
        ),
        (
            format!("{DATABASE}[Backup]\nSshHost: x"),
            "line 4: [Backup] StorageType is missing: what kind of storage the copies go to; accepted: ssh, swift, s3, directory",
        ),
        (
            with_backup("[Backup t]\nStorageType: directory"),
            "line 9: [Backup t] BackupDirectory is missing: the folder there that holds the copies",
        ),
        (
            with_backup("[Store x]\nType: file\nDirectory:"),
            "line 9: [Store x] Directory is missing: the folder of a store of type file",
        ),
        (
            with_backup("[Store x]\nType: s3\nSecretKey: k"),
            "line 11: [Store x] SecretKey: AccessKey is missing; give both or neither",
        ),
        (
            with_backup("[Store x]\nType: swift\nAuthUrl.e: https://h\nAuthType.e: basic\nUsername.e: u"),
            "line 9: [Store x] Password.e is missing: the password of the Swift endpoint's user",
        ),
        (
            with_backup("[Store x]\nType: remote\nPolicy: copy"),
            "line 9: [Store x] BaseUrl is missing: the address below which a remote store's files lie; accepted: an address that begins with https:// or http://",
        ),
        (
            with_backup("[Notifications]\nSmtpHost: m\nSmtpUsername: u"),
            "line 9: [Notifications] SmtpPassword is missing: the password of that user",
        ),
        (
            with_database("BackupHost: h"),
            "line 4: [Database] BackupHost: it needs BackupDatabase, the name of the ledger's database there",
        ),
        (
            with_backup("[Repository]\nFileSystemDirectory: /x\n[Store file]\nType: file\nDirectory: /y"),
            "line 11: [Store file]: FileSystemDirectory in [Repository] describes this store already; keep one",
        ),
        (
            with_backup("[Repository]\nExtraRoots: /mnt/disk2"),
            "line 10: [Repository] ExtraRoots: FileSystemDirectory is missing here; for another store, put it in its [Store ID]",
        ),
        // Values.
        (
            with_database("Port: 70000"),
            "line 4: [Database] Port: cannot use \"70000\"; accepted: a port from 1 to 65535",
        ),
        (
            with_database("Port: 5432 ; the usual"),
            "line 4: [Database] Port: cannot use \"5432 ; the usual\"; accepted: a port from 1 to 65535 (a comment needs a line of its own)",
        ),
        (
            with_database("SslMode: yes"),
            "line 4: [Database] SslMode: cannot use \"yes\"; accepted: disable, prefer, require, verify-ca, verify-full",
        ),
        (
            with_database("BackupDatabase: /var/ledger.db"),
            "line 4: [Database] BackupDatabase: cannot use \"/var/ledger.db\"; accepted: the name of a PostgreSQL database, or sqlite:PATH",
        ),
        (
            with_database("BackupDatabase: sqlite:"),
            "line 4: [Database] BackupDatabase: cannot use \"sqlite:\"; accepted: the name of a PostgreSQL database, or sqlite:PATH",
        ),
        (with_database("Catalogue: /x"), "line 4: [Database] Catalogue: cannot use \"/x\"; accepted: file:PATH"),
        (with_backup("Jobs: 0"), "line 9: [Backup] Jobs: cannot use \"0\"; accepted: a whole number from 1 to 256"),
        (
            with_backup("Verify: md5"),
            "line 9: [Backup] Verify: cannot use \"md5\"; accepted: auto, remote-hash, read-back",
        ),
        (
            with_backup("[Backup t]\nStorageType: ftp"),
            "line 10: [Backup t] StorageType: cannot use \"ftp\"; accepted: ssh, swift, s3, directory",
        ),
        (
            with_backup("[Backup t]\nStorageType: s3\nS3Bucket: b\nS3PartSize: 1MiB"),
            "line 12: [Backup t] S3PartSize: cannot use \"1MiB\"; accepted: a size from 5MiB to 5GiB",
        ),
        (with_backup("[Store x.y]"), "line 9: [Store x.y]: the id of a store holds no blank, '.', ':' or '/'"),
        (
            with_backup("[Store x]\nType: nfs"),
            "line 10: [Store x] Type: cannot use \"nfs\"; accepted: file, s3, swift, remote, globus",
        ),
        (
            with_backup("[Repository]\nMaxDisappearance: 5"),
            "line 10: [Repository] MaxDisappearance: cannot use \"5\"; accepted: a share from 0% to 100%, such as 5%",
        ),
        (
            with_backup("[Repository]\nCachedExports: maybe"),
            "line 10: [Repository] CachedExports: cannot use \"maybe\"; accepted: yes or no (also true, false, on, off, 1, 0)",
        ),
        (
            with_backup("[Notifications]\nEmail: a@b.org, @c"),
            "line 10: [Notifications] Email: cannot use \"@c\"; accepted: an e-mail address such as somebody@example.edu (several: with commas between), or a local user's name",
        ),
        (
            with_backup("[Notifications]\nPingUrl: hc.example.org/s3cr3t"),
            "line 10: [Notifications] PingUrl: cannot use \"…\"; accepted: an address that begins with https:// or http://",
        ),
    ] {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_lines() {
    let text = "[Database]\nPort: x\nUsername: u\n[Backup]\nStorageType: ssh\nJbos: 2\nSshHost: h\nSshUsername: u\nJobs: many\n[Nope]\n";
    let lines: Vec<_> = problems(text).iter().map(|it| it.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["line 1", "line 2", "line 4", "line 6", "line 9", "line 10"]);
    let folder = Folder::new();
    let error = folder.load(text).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{} cannot be used:\n  line 1: ", folder.path("config.ini").display())),
        "{error}"
    );
    assert_eq!(error.lines().count(), 7);
}

#[test]
fn unused_keys_of_another_type_are_accepted_whatever_their_value() {
    load(&with_backup("SwiftAuthVersion: 9\nS3PartSize: tiny\nSwiftKeyFile: /not/there"));
}

#[test]
fn a_secret_comes_from_a_file_or_the_environment() {
    let folder = Folder::new();
    folder.write("plain", "pass word \n", 0o600);
    folder.write("windows", "pw\r\n", 0o400);
    folder.write("bare", "pw", 0o600);
    folder.write("empty", "\n", 0o600);
    let password = |line: &str| {
        let text = with_database(line);
        let config = folder.load(text).map_err(|error| error.to_string())?;
        let CatalogueSource::Postgres(target) = config.database.catalogue else { panic!() };
        Ok::<_, String>(target.password)
    };
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(password("PasswordFile: plain"), some("pass word "));
    assert_eq!(password(&format!("passwordfile: {}", folder.path("windows").display())), some("pw"));
    assert_eq!(password("PasswordFile: bare"), some("pw"));
    assert_eq!(password("PasswordEnv: SECRET"), some("from env"));
    assert_eq!(password("Password:"), Ok(None));
    for (lines, expected) in [
        ("PasswordEnv: UNSET", "PasswordEnv: the environment variable UNSET is not set"),
        ("PasswordEnv: EMPTY", "PasswordEnv: the environment variable EMPTY is not set"),
        ("PasswordFile: empty", "/empty is empty"),
        ("PasswordFile: none", "/none: No such file"),
        ("Password: x\nPasswordEnv: SECRET", "line 5: [Database] PasswordEnv: Password is given too; keep one of them"),
        (
            "PasswordFile: bare\nPasswordEnv: SECRET",
            "line 5: [Database] PasswordEnv: PasswordFile is given too; keep one of them",
        ),
    ] {
        let error = password(lines).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = Folder::new();
    let with_secret = with_database("Password: x");
    for (text, mode, refused) in [
        (&with_secret, 0o644, true),
        (&with_secret, 0o640, true),
        (&with_secret, 0o604, true),
        (&with_secret, 0o620, true),
        (&with_secret, 0o600, false),
        (&with_secret, 0o400, false),
        (&with_backup(""), 0o644, false),
        (&with_backup("SwiftKey: unused, and yet a secret"), 0o644, true),
        (&with_database("PasswordEnv: SECRET"), 0o644, false),
    ] {
        let path = folder.write("config.ini", text, mode);
        match config::load(&path, &process()) {
            Ok(_) => assert!(!refused, "{mode:o} {text}"),
            Err(error @ ConfigError::Exposed { .. }) => {
                assert!(refused, "{mode:o} {text}");
                let end = format!("fix it with: chmod 600 {}", path.display());
                assert!(error.to_string().ends_with(&end), "{error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    folder.write("secret", "x", 0o644);
    let error = folder.load(with_database("PasswordFile: secret\nPort: x")).unwrap_err();
    let ConfigError::Exposed { files, problems, .. } = &error else { panic!("{error}") };
    assert_eq!((files.len(), files[0].path.clone(), files[0].mode), (1, folder.path("secret"), 0o644));
    assert_eq!(problems.len(), 1);
    assert!(error.to_string().contains("chmod 600") && error.to_string().contains("Port"), "{error}");
}

#[test]
fn a_credential_of_the_service_manager_may_have_bits_for_its_group() {
    let folder = Folder::new();
    let path = folder.write("database", "handed over", 0o440);
    let file = folder.write("config.ini", with_database(&format!("PasswordFile: {}", path.display())), 0o600);
    let handed = |place: &Path| {
        let variables = [("CREDENTIALS_DIRECTORY".to_owned(), place.display().to_string())];
        config::load(&file, &ProcessContext { variables: variables.into(), ..process() })
    };
    assert!(handed(path.parent().unwrap()).is_ok());
    for elsewhere in [Path::new("/run/credentials/x"), Path::new("/"), Path::new("")] {
        assert!(matches!(handed(elsewhere), Err(ConfigError::Exposed { .. })), "{}", elsewhere.display());
    }
}

#[test]
fn a_secret_is_never_printed() {
    let text = format!(
        "{DATABASE}Password: hush1\n{BACKUP}SshKeyPassphrase: hush2\n[Notifications]\nSmtpHost: m\nSmtpUsername: u\nSmtpPassword: hush3\n"
    );
    let config = load(&text);
    assert!(!format!("{config:?} {config:#?}").contains("hush"));
    let secret = ssh(&config).key_passphrase.as_ref().unwrap();
    assert_eq!(format!("{secret} {secret:?}"), "*** Secret(***)");
    let bad = format!("{text}hush4\n Password: hush5\n");
    assert!(!problems(&bad).join("\n").contains("hush"));
}

#[test]
fn a_file_that_is_no_text_or_not_there_is_said_so() {
    let folder = Folder::new();
    let error = folder.load(b"[Database]\nHost: x\nPassword: \xe4\n").unwrap_err();
    assert!(matches!(error, ConfigError::NotText { line: 3, .. }), "{error}");
    let error = config::load(&folder.path("none.ini"), &process()).unwrap_err();
    assert!(
        matches!(&error, ConfigError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound),
        "{error}"
    );
    assert_eq!(config::find(Some(Path::new("x.ini")), &process()).unwrap(), Path::new("x.ini"));
}

#[test]
fn nothing_is_taken_from_this_process_but_what_the_caller_handed_in() {
    let folder = Folder::new();
    folder.write("config.ini", with_backup("SshKeyFile: ~/key"), 0o600);
    let here = ProcessContext { current_folder: Some(folder.path("")), ..process() };
    let config = config::load(Path::new("./config.ini"), &here).unwrap();
    assert_eq!(config.path, folder.path("config.ini"));
    assert_eq!(ssh(&config).key_file.as_deref(), Some(Path::new("/home/dv/key")));
    let homeless = ProcessContext { home: None, ..here };
    let config = config::load(Path::new("config.ini"), &homeless).unwrap();
    assert_eq!(ssh(&config).key_file, Some(folder.path("~/key")));
    // A file of this name lies in the folder that this test runs in.
    let error = config::load(Path::new("Cargo.toml"), &ProcessContext::default()).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("current folder is not known"), "{error}");
    assert!(!format!("{:?}", process()).contains("from env"));
}

#[test]
fn values_as_people_write_them() {
    let seconds = |text| config::duration(text).map(|it| it.as_secs()).ok();
    for (text, expected) in [
        ("5h", Some(18_000)),
        ("90m", Some(5_400)),
        ("30d", Some(2_592_000)),
        ("45 s", Some(45)),
        ("2W", Some(1_209_600)),
        ("1h30m", Some(5_400)),
        ("1h 30m", Some(5_400)),
        ("", None),
        ("0h", None),
        ("90", None),
        ("h", None),
        ("-5h", None),
        ("1.5h", None),
        ("5 years", None),
        ("99999999999999999999h", None),
        ("18446744073709551615w", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
    for (text, expected) in [
        ("1", Some(1)),
        ("4096 B", Some(4096)),
        ("1KiB", Some(1024)),
        ("1 kB", Some(1000)),
        ("64MiB", Some(64 << 20)),
        ("1 GiB", Some(1 << 30)),
        ("1.5GiB", Some(3 << 29)),
        ("0.5 k", Some(512)),
        ("100 MB", Some(100_000_000)),
        ("2T", Some(2 << 40)),
        ("", None),
        ("0", None),
        ("0.1 B", None),
        ("-1", None),
        ("1.2.3", None),
        (".", None),
        ("1e3", None),
        ("1 Mbit", None),
        ("99999999999 TiB", None),
    ] {
        assert_eq!(config::size(text).ok(), expected, "{text}");
    }
    for (text, expected) in [
        ("40MiB/s", Some(40 << 20)),
        ("500 kB /s", Some(500_000)),
        ("40MiB", Some(40 << 20)),
        ("/s", None),
        ("40MiB/h", None),
    ] {
        assert_eq!(config::rate(text).ok(), expected, "{text}");
    }
    for (text, expected) in [
        ("5%", Some(0.05)),
        ("0.5 %", Some(0.005)),
        ("0%", Some(0.0)),
        ("100%", Some(1.0)),
        ("101%", None),
        ("5", None),
        ("-1%", None),
        ("inf%", None),
        ("%", None),
    ] {
        assert_eq!(config::percent(text).ok(), expected, "{text}");
    }
    for (text, expected) in [
        ("yes", Some(true)),
        ("True", Some(true)),
        ("ON", Some(true)),
        ("1", Some(true)),
        ("no", Some(false)),
        ("false", Some(false)),
        ("Off", Some(false)),
        ("0", Some(false)),
        ("", None),
        ("2", None),
    ] {
        assert_eq!(config::boolean(text).ok(), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_one_line_is_kept(
        value in "[^\n]{0,40}",
        separator in prop::sample::select(vec![": ", ":", "=", " = ", "\t:\t"]),
        indent in "[ \t]{0,4}",
    ) {
        let value = value.trim();
        let text = with_backup("").replace("SshUsername: u\n", &format!("{indent}SshUsername{separator}{value}\n"));
        let folder = Folder::new();
        match folder.load(text) {
            Ok(config) => prop_assert_eq!(ssh(&config).username.as_str(), value),
            Err(error) => prop_assert!(value.is_empty(), "{}", error),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\[?[A-Za-z]{0,9}[\\]:= .\u{e4}\u{feff}]?[^\n]{0,9}\n){0,12}") {
        let _ = Folder::new().load(text);
    }
}

#[test]
fn a_swift_store_without_an_endpoint_says_what_one_is_made_of() {
    let seen = problems(&with_backup("[Store x]\nType: swift\nDefaultEndpoint: e\nAuthUrl: https://h"));
    assert_eq!(
        seen,
        [
            "line 9: [Store x] AuthUrl.EP is missing: the address where the Swift endpoint is logged in to; \
             accepted: AuthType.EP, AuthUrl.EP, Username.EP, Password.EP for each endpoint EP",
            "line 12: [Store x] has no key \"AuthUrl\"; the nearest known key is AuthUrl.EP",
        ]
    );
}

/// What the page quotes is what the program says.
#[test]
fn the_documentations_messages_are_the_programs() {
    let page = include_str!("../../../docs/configuration.md");
    let quoted: Vec<_> =
        page.split("\n```\n").filter(|it| it.starts_with("/etc/dataverse-backup/config.ini ")).collect();
    let [quoted] = quoted.as_slice() else { panic!("{quoted:?}") };
    let folder = Folder::new();
    let path = folder.write("config.ini", with_database("Password: x"), 0o644);
    let said = config::load(&path, &process()).unwrap_err().to_string();
    assert_eq!(said.replace(&path.display().to_string(), "/etc/dataverse-backup/config.ini"), *quoted);
}

#[test]
fn the_documentations_examples_are_read() {
    let page = include_str!("../../../docs/configuration.md");
    let examples: Vec<_> = page.split("```ini\n").skip(1).map(|it| it.split("```").next().unwrap()).collect();
    let [whole, store, purge] = examples.as_slice() else { panic!("{examples:?}") };
    // Only the files with secrets are not here.
    let absent =
        |text: &str| problems(text).iter().filter(|it| !it.contains("No such file")).cloned().collect::<Vec<_>>();
    assert_eq!(absent(whole), [""; 0]);
    assert_eq!(absent(&with_backup(store)), [""; 0]);
    let purge = purge.replace("[Purge]", "[Backup b]\nStorageType: s3\nS3Bucket: b\n[Purge b]");
    // Its secret need not be here.
    assert!(matches!(load(&with_backup(&purge)).destinations[1].purge, PurgeLogin::Unreadable(_)));
}

#[test]
fn who_deletes_has_credentials_of_his_own() {
    let cloud = "[Backup cloud]\nStorageType: s3\nS3Bucket: b\nS3AccessKey: nightly\nS3SecretKey: n\n";
    let given = |it: &PurgeLogin| match it {
        PurgeLogin::Given(kind) => (**kind).clone(),
        other => panic!("{other:?}"),
    };
    let purge_of = |lines: &str| load(&with_backup(&format!("{cloud}{lines}"))).destinations[1].purge.clone();
    assert_eq!(purge_of(""), PurgeLogin::Own);
    let login = purge_of("[Purge cloud]\nS3AccessKey: p\nS3SecretKey: s");
    let DestinationKind::S3(s3) = given(&login) else { panic!() };
    let keys = s3.keys.unwrap();
    assert_eq!((s3.bucket.as_str(), keys.access_key.as_str(), keys.secret_key.expose()), ("b", "p", "s"));
    let DestinationKind::S3(s3) = given(&purge_of("[Purge cloud]\nS3Profile: p")) else { panic!() };
    assert_eq!((s3.profile.as_deref(), s3.keys), (Some("p"), None));

    // The account that copies cannot read them, and needs not.
    let PurgeLogin::Unreadable(why) = purge_of("[Purge cloud]\nS3AccessKey: p\nS3SecretKeyFile: /none/such") else {
        panic!()
    };
    assert_eq!(
        why,
        ["line 16: [Purge cloud] S3SecretKeyFile: cannot read /none/such: No such file or directory (os error 2)"]
    );

    let config = load(&with_backup("[Purge]\nSshUsername: purge\nSshKeyFile: /root/key"));
    let DestinationKind::Ssh(account) = given(&config.destinations[0].purge) else { panic!() };
    assert_eq!((account.username.as_str(), account.key_file.as_deref()), ("purge", Some(Path::new("/root/key"))));
    assert_eq!((&account.host, &account.directory), (&ssh(&config).host, &ssh(&config).directory));
}

#[test]
fn a_purge_takes_two_people_and_a_week_unless_the_file_says_otherwise() {
    let rules = |lines: &str| {
        let repository = load(&with_backup(&format!("[Repository]\n{lines}"))).repository;
        (repository.purge_approval, repository.purge_grace.as_secs())
    };
    assert_eq!(rules(""), (PurgeApproval::TwoPerson, 7 * 86_400));
    assert_eq!(rules("PurgeApproval: none\nPurgeGrace: 0"), (PurgeApproval::None, 0));
    assert_eq!(rules("PurgeApproval: two-person\nPurgeGrace: 2w"), (PurgeApproval::TwoPerson, 14 * 86_400));
}
