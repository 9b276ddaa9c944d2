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
    for words in [["check"].as_slice(), &["run"], &["init"], &["verify"], &["repair"], &["run", "--dry-run"]] {
        site.call(words).expect(5).says(&["does not exist", "it is not made anew"]);
    }
    let to = site.path("back").display().to_string();
    site.call(&["restore", "--all", "--to", &to]).expect(5).says(&["does not exist"]);
    assert!(!site.path("copies").exists() && !site.path("back").join("10.5072").exists());
    fs::create_dir(site.path("copies")).unwrap();
    for words in [
        ["check"].as_slice(),
        &["init"],
        &["run"],
        &["run", "--rerun"],
        &["run", "--dry-run"],
        &["verify"],
        &["repair"],
        &["repair", "--apply"],
        &["orphans"],
        &["restore", "--all", "--to", &to],
        &["restore", "--all", "--to", &to, "--dry-run"],
    ] {
        let done = site.call(words).expect(7);
        let is_said =
            ["does not carry this installation's id", "none of 3 copies"].iter().any(|it| done.err.contains(it));
        assert!(is_said || done.out.contains("none of 3 copies"), "{words:?}: {done}");
        let left: Vec<_> = fs::read_dir(site.path("copies")).unwrap().flatten().map(|it| it.file_name()).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new(), "{words:?}");
    }
    site.call(&["status"]).expect(7).says(&[
        "the last run, which ended",
        "was refused (exit code 7)",
        "none of 3 copies",
    ]);
    let dry = site.call(&["run", "--dry-run", "--copies-lost"]).expect(0);
    dry.says(&["it does not carry this installation's id, which was left there on"]);
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

#[test]
fn a_place_is_proved_without_a_ledger() {
    let server = Server::start();
    let account = server.shell();
    let mut site = Site::new();
    let (files, new) = (site.path("files"), site.path("files/new"));
    open_to_all(&files);
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let before = everything(&files);
    ssh_to(&mut site, &account, &files);
    site.call(&["check"]).expect(7).says(&["store file are one place", "has no tables of this version yet"]);
    assert!(!site.path("state").exists());
    // What was made on the way goes again.
    ssh_to(&mut site, &account, &new);
    site.call(&["init"]).expect(7).says(&["store file are one place"]);
    site.call(&["run"]).expect(7).says(&["store file are one place"]);
    site.set("Backup", &format!("StorageType: directory\nBackupDirectory: {}", new.display()));
    site.call(&["init"]).expect(7).says(&["store file are one place"]);
    site.call(&["run"]).expect(7).says(&["store file are one place"]);
    assert_eq!(everything(&files), before);
    // Another's is refused before there is a ledger, as init would; where the ledger cannot be used, nobody can tell.
    let other = Site::copied();
    let copies = other.path("copies");
    site.set("Backup", &format!("StorageType: directory\nBackupDirectory: {}", copies.display()));
    fs::remove_dir_all(site.path("state")).unwrap();
    site.call(&["check"]).expect(7).says(&["belongs to another installation"]);
    fs::create_dir_all(site.path("state/ledger.db")).unwrap();
    let unusable = site.call(&["check"]).expect(2);
    unusable.says(&["it carries an id (installation", "could not be compared without the ledger"]);
}

/// All files and folders below a folder, in the order of their paths.
fn everything(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_account_that_may_not_read_a_store_is_refused_and_judges_nothing() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    // By another account than root, who may read everything.
    let files = site.path("files");
    let state = site.path("state");
    for path in [site.folder.path().to_owned(), state.clone(), site.path("copies"), files.clone()] {
        open_to_all(&path);
    }
    let nobody = |site: &Site, words: &[&str]| {
        let config = site.config();
        std::os::unix::fs::chown(&config, Some(65_534), Some(65_534)).unwrap();
        let mut command = site.command(words);
        // It writes the configuration anew, as root.
        std::os::unix::fs::chown(&config, Some(65_534), Some(65_534)).unwrap();
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        crate::site::done(&mut command)
    };
    for entry in fs::read_dir(&state).unwrap().flatten() {
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o666)).unwrap();
    }
    for (path, mode) in [(files.clone(), 0o000), (files.clone(), 0o711), (files.join("10.5072"), 0o000)] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let says = ["store file: ", &path.display().to_string(), "(uid 65534)", "rx"];
        let run = nobody(&site, &["run"]).expect(7).says(&says);
        assert!(!run.err.contains("FAIL_READ") && !run.err.contains("invalid command line"), "{run}");
        nobody(&site, &["status"]).expect(7).says(&["was refused (exit code 7)"]);
        let check = nobody(&site, &["check"]);
        assert!(check.code == 7 && check.out.contains("(uid 65534)"), "{mode:o} {check}");
        fs::set_permissions(&path, before).unwrap();
    }
    nobody(&site, &["run"]).expect(0);
}

#[test]
fn init_says_what_it_could_not_look_at() {
    let mut site = Site::new();
    assert!(!site.call(&["init"]).expect(0).err.contains("could not be read"));
    site.change("Database", "Database", "nowhere");
    site.call(&["init"]).expect(0).says(&["the catalogue could not be read", "nowhere", "the first run does that"]);
}
