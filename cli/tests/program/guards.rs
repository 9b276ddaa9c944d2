//! What is proved of places: by `check`, `init` and `run`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dvb_testkit::files::tree;
use dvb_testkit::sshd::{Account, Server};

use crate::site::Site;

/// The account of the server may be another one.
fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            open_to_all(&entry.path());
        }
    }
}

fn ssh_to(site: &mut Site, account: &Account, folder: &Path) {
    let Account { host, port, user, key, known_hosts, .. } = account;
    site.set(
        "Backup",
        &format!(
            "StorageType: ssh\nSshHost: {host}\nSshPort: {port}\nSshUsername: {user}\nSshKeyFile: {}\n\
             SshKnownHosts: {}\nBackupDirectory: {}",
            key.display(),
            known_hosts.display(),
            folder.display()
        ),
    );
}

#[test]
fn the_store_as_its_own_destination_by_ssh_is_refused_wherever_it_lies() {
    let server = Server::start();
    let account = server.shell();
    let mut site = Site::new();
    fs::create_dir_all(site.path("files/10.5072/FK2/ABC/deep/deeper")).unwrap();
    fs::create_dir_all(site.path("state")).unwrap();
    fs::create_dir(site.path("beside")).unwrap();
    open_to_all(&site.path("files"));
    open_to_all(&site.path("beside"));
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let before = tree(&site.path("files"));
    for place in ["files", "files/10.5072", "files/10.5072/FK2/ABC", "files/10.5072/FK2/ABC/deep/deeper", "."] {
        let folder = site.folder.path().join(place);
        ssh_to(&mut site, &account, &folder);
        for command in ["init", "check", "run"] {
            let done = site.call(&[command]).expect(7);
            done.says(&["store file are one place"]);
        }
        assert_eq!(tree(&site.path("files")), before, "{place}");
    }
    let beside = site.path("beside");
    ssh_to(&mut site, &account, &beside);
    site.call(&["init"]).expect(0).says(&["carries this installation's id from now on"]);
    site.call(&["check"]).expect(0).says(&["it carries this installation's id since", " free, ", "3 data files"]);
    site.call(&["run", "--dry-run"]).expect(0).says(&["free at the destination"]);
    site.call(&["run"]).expect(0);
    assert!(tree(&beside).keys().all(|it| !it.contains("token-")), "{:?}", tree(&beside).keys());
}

#[test]
fn two_installations_in_one_folder_are_told_apart() {
    let (one, mut two) = (Site::copied(), Site::new());
    let shared = one.path("copies").display().to_string();
    two.set("Backup", &format!("StorageType: directory\nBackupDirectory: {shared}"));
    let before = tree(&one.path("copies"));
    for command in ["init", "check", "run"] {
        two.call(&[command]).expect(7).says(&["belongs to another installation", &one.database.name]);
    }
    assert_eq!(tree(&one.path("copies")), before);
    two.call(&["run", "--take-over"]).expect(0);
    one.call(&["run"]).expect(7).says(&["belongs to another installation", &two.database.name]);
    one.call(&["check"]).expect(7);
}

#[test]
fn nobody_but_init_and_run_makes_a_destination() {
    let site = Site::new();
    fs::create_dir(site.path("state")).unwrap();
    // The ledger is there, and the destination is not.
    dvb_ledger::Ledger::migrate(&site.ledger()).unwrap();
    site.call(&["check"]).expect(0).says(&["does not exist; it would be new: init, or the first run, makes it"]);
    site.call(&["verify"]);
    assert!(!site.path("copies").exists());
    let made = site.call(&["run"]).expect(0);
    assert!(made.err.contains("destination default is new: made") && made.out.is_empty(), "{made}");
    fs::rename(site.path("copies"), site.path("unmounted")).unwrap();
    for command in ["check", "run", "init"] {
        site.call(&[command]).expect(2).says(&["does not exist", "it is not made anew"]);
    }
    assert!(!site.path("copies").exists());
    fs::create_dir(site.path("copies")).unwrap();
    for words in [["check"].as_slice(), &["run"], &["run", "--rerun"]] {
        site.call(words).expect(7);
    }
    let left: Vec<_> = tree(&site.path("copies")).into_keys().collect();
    assert_eq!(left, Vec::<String>::new());
    site.call(&["run", "--copies-lost"]).expect(4).says(&["is missing"]);
    site.call(&["run"]).expect(0);
}

#[test]
fn a_store_path_one_level_too_high_is_seen_by_check_and_run() {
    let mut site = Site::new();
    let root = site.folder.path().display().to_string();
    site.set("Repository", &format!("FileSystemDirectory: {root}/files"));
    site.call(&["init"]).expect(0);
    site.set("Repository", &format!("FileSystemDirectory: {root}"));
    let other = dvb_testkit::temp_folder("elsewhere");
    site.set("Backup", &format!("StorageType: directory\nBackupDirectory: {}/copies", other.path().display()));
    site.call(&["check"]).expect(7).says(&["of 3 objects that were looked for, 0 are there, and none could be opened"]);
    let run = site.call(&["run"]).expect(7).says(&["of 3 objects that were looked for first, 0 are there"]);
    assert!(!run.err.contains("FAIL_READ"), "{run}");
    site.set("Repository", &format!("FileSystemDirectory: {root}/files"));
    site.call(&["check"]).expect(0).says(&["of 3 objects that were looked for, 3 are there, and one was opened"]);
    site.call(&["run"]).expect(0);
}
