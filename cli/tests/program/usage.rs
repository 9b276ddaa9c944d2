//! What is said of the command line and of the configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::site::{Site, done, program, write};

#[test]
fn help_and_version_go_to_stdout() {
    for command in [
        "init",
        "run",
        "check",
        "status",
        "verify",
        "audit",
        "restore",
        "orphans",
        "rebuild",
        "catalogue",
        "completions",
        "man",
    ] {
        done(program().arg("--help")).expect(0).says(&[&format!("  {command}"), "Exit codes:"]);
        let help = done(program().args([command, "--help"])).expect(0);
        assert!(help.err.is_empty() && help.out.contains("Usage: dataverse-backup"), "{help}");
    }
    let name = concat!("dataverse-backup ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(done(program().arg("-V")).expect(0).out, name);
    let full = done(program().arg("--version")).expect(0).out;
    assert!(full.starts_with(name) && full.contains("\ncommit ") && full.contains("\nbuild "), "{full}");
}

#[test]
fn what_makes_no_sense_ends_with_2() {
    for words in [
        &["frobnicate"][..],
        &[],
        &["run", "--frobnicate"],
        &["run", "--join"],
        &["verify"],
        &["run", "--jobs", "0"],
        &["run", "--time-budget", "5"],
        &["run", "--limit", "0"],
        &["status", "--file", "x"],
        &["-q", "-v", "status"],
        &["restore", "--all"],
        &["restore", "--to", "x"],
        &["restore", "--all", "--missing", "--to", "x"],
        &["restore", "--all", "--to", "x", "--in-place"],
        &["restore", "--all", "--in-place", "--names"],
        &["restore", "--all", "--to", "x", "--version", "2.0"],
    ] {
        let done = done(program().args(words)).expect(2);
        assert!(done.out.is_empty() && !done.err.is_empty(), "{words:?}: {done}");
    }
    let done = done(program().args(["--json", "frobnicate"])).expect(2);
    assert_eq!(done.json()["exit_code"], 2);
    assert!(done.json()["error"].as_str().unwrap().contains("frobnicate"));
}

#[test]
fn what_would_be_ignored_is_refused() {
    for words in [
        &["restore", "--all", "--in-place", "--names"][..],
        &["restore", "--all", "--in-place", "--names", "--version", "2.0"],
        &["verify", "--all", "--file", "1"],
        &["verify", "--all", "--store", "file"],
        &["audit", "--all", "--dataset", "doi:10.5072/FK2/ABC"],
        &["audit", "--all", "--storage-identifier", "file://x"],
        &["repair", "--all", "--file", "1"],
    ] {
        done(program().args(words)).expect(2).says(&["cannot be used with"]);
    }
}

#[test]
fn a_bad_configuration_names_line_and_nearest_key() {
    let mut site = Site::new();
    site.add("Repository", "FileSystemDirectry: /x");
    let command = site.call(&["status"]).expect(2);
    command.says(&["line 9", "FileSystemDirectry", "the nearest known key is FileSystemDirectory"]);
    let json = site.call(&["status", "--json"]).expect(2).json();
    assert!(json["error"].as_str().unwrap().contains("line 9") && json["exit_code"] == 2, "{json}");

    let nowhere = tempfile::tempdir().unwrap();
    done(program().arg("status").current_dir(&nowhere)).expect(2).says(&["./config.ini", "--config"]);
    done(program().args(["--config", "/nowhere/x.ini", "run"])).expect(2).says(&["/nowhere/x.ini", "No such file"]);
}

#[test]
fn secrets_that_others_can_read_are_refused_with_7() {
    let mut site = Site::new();
    site.add("Database", "Password: hush");
    let path = site.config();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    for command in ["run", "check", "status", "init"] {
        let done = done(program().arg("--config").arg(&path).arg(command)).expect(7);
        assert!(!done.err.contains("hush"), "{done}");
        done.says(&[&format!("chmod 600 {}", path.display())]);
    }
}

#[test]
fn the_variable_names_the_configuration() {
    let site = Site::new();
    let named = done(program().arg("init").env("DATAVERSE_BACKUP_CONFIG", site.config())).expect(0);
    named.says(&["made, version"]);
}

#[test]
fn a_configuration_without_stores_says_what_to_add() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    site.set("Repository", "AuxiliaryObjects: yes");
    let parts = ["FileSystemDirectory", "[Store ID]"];
    site.call(&["run"]).expect(2).says(&parts);
    site.call(&["check"]).expect(2).says(&parts);
}

#[test]
fn a_profile_that_nobody_has_is_a_mistake_in_the_configuration() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    site.set("Backup", "StorageType: s3\nS3Bucket: b\nS3Profile: nobody");
    site.call(&["run"]).expect(2).says(&["destination default", "there is no profile \"nobody\""]);
    site.call(&["check"]).expect(2).says(&["FAIL", "there is no profile \"nobody\""]);
}

#[test]
fn keys_that_lie_in_a_file_that_cannot_be_read_are_not_keys_that_nobody_gave() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let unreadable = site.path("keys");
    std::fs::create_dir(&unreadable).unwrap();
    site.set("Backup", "StorageType: s3\nS3Bucket: b\nS3EndpointUrl: http://127.0.0.1:9");
    let mut command = site.command(&["check"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_SHARED_CREDENTIALS_FILE", &unreadable);
    let said = format!(
        "no S3 keys were found in the configuration, the environment and ~/.aws (cannot read {}: ",
        unreadable.display()
    );
    done(&mut command).says(&[&said]);
    // Keys that the configuration gives need no file.
    site.add("Backup", "S3AccessKey: a\nS3SecretKey: b");
    let mut command = site.command(&["check"]);
    command.env("AWS_SHARED_CREDENTIALS_FILE", &unreadable);
    assert!(!done(&mut command).out.contains("cannot read"));
    // A profile that is named is in the file.
    site.set("Backup", "StorageType: s3\nS3Bucket: b\nS3Profile: x");
    let mut command = site.command(&["run"]);
    command.env("AWS_SHARED_CREDENTIALS_FILE", &unreadable);
    done(&mut command).expect(2).says(&[&format!("cannot read {}", unreadable.display())]);
}

#[test]
fn a_destination_that_nobody_configured_is_named() {
    let mut site = Site::new();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("b").display()));
    for command in ["run", "status"] {
        let done = site.call(&[command, "--destination", "third"]).expect(2);
        done.says(&["\"third\"", "default, second"]);
    }
}

#[test]
fn the_originals_configuration_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.ini");
    let text = "[Database]\nHost: localhost\nPort: 1\nDatabase: dvndb\nUsername: dvnapp\nPassword: xxxxxx\nBackupDatabase: backupdb\n\
                [Repository]\n; configuration for files stored on the filesystem\n\nFileSystemDirectory: /nowhere/files\n\
                [Backup]\nStorageType: ssh\nSshHost: localhost\nSshPort: 1\nSshUsername: backup\nBackupDirectory: /dataverse_backup\n\
                ;StorageType: swift\nSwiftAuthUrl: https://something.dataverse.edu/swift/v2.0/tokens\nSwiftAuthVersion: 2\n\
                SwiftUser: xxx\nSwiftKey: yyy\nSwiftTenant: zzz\nSwiftEndPoint: https://something.dataverse.edu/swift/v1\n";
    write(&path, text);
    let checked = done(program().arg("--config").arg(&path).arg("check")).expect(5);
    checked.says(&["FAIL  catalogue", "FAIL  ledger", "FAIL  store file", "FAIL  destination default", "localhost:1"]);
}

#[test]
fn shells_and_man_get_what_they_need() {
    for shell in ["bash", "zsh", "fish"] {
        let script = done(program().args(["completions", shell])).expect(0);
        assert!(script.out.contains("accept-disappearance"), "{shell}");
    }
    let page = done(program().arg("man")).expect(0).out;
    for part in [
        ".TH dataverse-backup 1",
        "DATAVERSE-BACKUP RUN",
        "DATAVERSE-BACKUP CATALOGUE EXPORT",
        ".SH EXIT STATUS\n.TP\n\\fB0\\fR\neverything in scope is safe\n",
        ".SH FILES",
        ".SH ENVIRONMENT",
        ".SH EXAMPLES",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
