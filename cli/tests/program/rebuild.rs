//! What `rebuild` and `--from-snapshot` say, and with which code they end.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::site::Site;

fn backed_up() -> Site {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site
}

/// The snapshots at the destination.
fn snapshots(site: &Site) -> Vec<std::path::PathBuf> {
    let own = fs::read_dir(site.path("copies/.dataverse-backup")).unwrap().map(|it| it.unwrap().path());
    own.filter(|it| it.extension().is_some_and(|it| it == "zst")).collect()
}

#[test]
fn a_rebuild_says_what_it_found_and_what_comes_next() {
    let site = backed_up();
    site.call(&["rebuild"]).expect(7).says(&["the ledger knows destination default already"]);
    fs::remove_dir_all(site.path("state")).unwrap();
    site.call(&["rebuild"]).expect(0).says(&[
        "the ledger was made again from catalogue-",
        "3 data files; 3 copies are there, none of them proved yet",
        "next: dataverse-backup run",
    ]);
    site.call(&["status"]).expect(1).says(&["PENDING", "claimed", "3  copies by a snapshot, not proved yet"]);
    let listed = site.call(&["status", "--failed"]).expect(1);
    assert_eq!(listed.out.matches("no copy of it is proved yet").count(), 3, "{listed}");
    site.call(&["run"]).expect(0);
    let status = site.call(&["--json", "status"]).expect(0).json();
    assert_eq!(status["destinations"][0]["claimed_copies"], 0);
}

#[test]
fn what_is_missing_is_named() {
    let site = backed_up();
    fs::remove_dir_all(site.path("state")).unwrap();
    let key = &site.world.files[1].copies[0].0;
    fs::remove_file(site.path("copies").join(key)).unwrap();
    site.call(&["rebuild"]).expect(4).says(&[
        &format!("{key}: nothing is there"),
        "doi:10.5072/FK2/ABC",
        "1 copies are missing",
    ]);
}

#[test]
fn without_a_snapshot_nothing_can_be_done() {
    let site = backed_up();
    fs::remove_dir_all(site.path("state")).unwrap();
    let found = snapshots(&site);
    let here = site.path("fetched.jsonl.zst");
    fs::rename(&found[0], &here).unwrap();
    site.call(&["rebuild"]).expect(4).says(&["destination default has no snapshot that could be used"]);
    site.call(&["verify", "--from-snapshot"]).expect(4).says(&["no snapshot that could be used"]);
    // One that was fetched before does as well.
    let file = here.to_str().unwrap();
    site.call(&["-v", "verify", &format!("--from-snapshot={file}")]).expect(0).says(&["3 good"]);
    site.call(&["rebuild", "--snapshot", file]).expect(0).says(&["3 copies are there"]);
}

#[test]
fn a_configuration_without_a_database_is_enough_from_a_snapshot_alone() {
    let site = backed_up();
    let config = site.path("small.ini");
    fs::write(
        &config,
        format!("[Backup]\nStorageType: directory\nBackupDirectory: {}\n", site.path("copies").display()),
    )
    .unwrap();
    let out = site.path("out");
    let call = |words: &[&str]| {
        let mut command = crate::site::program();
        command.arg("--config").arg(&config).args(words).env("HOME", site.folder.path());
        crate::site::done(&mut command)
    };
    call(&["verify"]).expect(2).says(&["there is no [Database] section"]);
    call(&["-v", "verify", "--from-snapshot"]).expect(0).says(&["3 good", "by catalogue-"]);
    let to = out.to_str().unwrap();
    call(&["restore", "--all", "--to", to]).expect(2).says(&["there is no [Database] section"]);
    call(&["restore", "--from-snapshot", "--all", "--to", to]).expect(0).says(&["restored 3 objects"]);
    call(&["restore", "--from-snapshot", "--all", "--in-place"]).expect(2).says(&["it names no store"]);
    let names = site.path("names");
    call(&["restore", "--from-snapshot", "--all", "--to", names.to_str().unwrap(), "--names"]).expect(0);
    assert_eq!(dvb_testkit::files::tree(&names).len(), 3);
}

#[test]
fn a_destination_without_a_snapshot_is_not_passed_over_in_silence() {
    let mut site = backed_up();
    site.add("Backup other", &format!("StorageType: directory\nBackupDirectory: {}", site.path("other").display()));
    site.call(&["verify", "--from-snapshot"]).expect(2).says(&["other does not exist"]);
    std::fs::create_dir(site.path("other")).unwrap();
    let done = site.call(&["verify", "--from-snapshot"]).expect(4);
    assert!(done.err.contains("destination other has no snapshot"), "{done}");
    assert!(!done.err.contains("destination other: destination other"), "{done}");
    let done = site.call(&["verify", "--from-snapshot=catalogue-x"]).expect(2);
    assert!(done.err.contains("say which one with --destination"), "{done}");
    let to = site.path("out");
    let to = to.to_str().unwrap();
    site.call(&["restore", "--from-snapshot", "--all", "--to", to])
        .expect(0)
        .says(&["restored 3", "destination other"]);
}

/// Another Dataverse: its data files have the same ids, and objects of other names.
fn another() -> Site {
    let site = Site::new();
    for number in 0..site.world.objects.len() {
        let object = site.object(number);
        let other = format!("{}f", object.display());
        fs::rename(object, other).unwrap();
    }
    site.database.execute("UPDATE dvobject SET storageidentifier = storageidentifier || 'f' WHERE dtype = 'DataFile'");
    site
}

/// Names of snapshots tell the seconds apart, no less.
fn next_second() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let begin = now();
    while now() == begin {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_dataverses_in_one_destination_are_told_apart() {
    let (one, mut two) = (Site::copied(), another());
    let copies = one.path("copies");
    two.set("Backup", &format!("StorageType: directory\nBackupDirectory: {}", copies.display()));
    two.call(&["init", "--take-over"]).expect(0);
    next_second();
    two.call(&["run"]).expect(0);
    let names: Vec<String> = {
        let mut found = snapshots(&one);
        found.sort();
        found.iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let [older, newer] = names.as_slice() else { panic!("{names:?}") };
    let mark = copies.join(".dataverse-backup/installation.json");
    let owner: serde_json::Value = serde_json::from_str(&fs::read_to_string(&mark).unwrap()).unwrap();
    let (first, second) = (owner["before"][0].as_str().unwrap(), owner["id"].as_str().unwrap());

    // The destination is the second one's: its own are read, and those of the first where they are named.
    let config = one.path("small.ini");
    crate::site::write(&config, &format!("[Backup]\nStorageType: directory\nBackupDirectory: {}\n", copies.display()));
    let call = |words: &[&str]| crate::site::done(crate::site::program().arg("--config").arg(&config).args(words));
    call(&["-v", "verify", "--from-snapshot"]).expect(0).says(&[newer]);
    call(&["snapshots"]).expect(0).says(&[&format!("{newer} (newest)"), first, second]);
    one.call(&["verify", "--from-snapshot"]).expect(7).says(&[
        "holds the copies of another Dataverse",
        "only 0 are the same",
        "--accept-other-dataverse",
    ]);
    one.call(&["-v", "verify", "--from-snapshot", "--accept-other-dataverse"]).expect(0).says(&[newer]);
    one.call(&["-v", "verify", &format!("--from-snapshot={older}")]).expect(0).says(&[older]);
    fs::remove_dir_all(one.path("state")).unwrap();
    one.call(&["rebuild"]).expect(7).says(&["holds the copies of another Dataverse"]);
    one.call(&["rebuild", "--accept-other-dataverse"]).expect(0).says(&[newer, "3 copies are there"]);

    // It does not tell whose it is any more, and no catalogue does.
    fs::remove_file(&mark).unwrap();
    for command in [&["verify", "--from-snapshot"][..], &["restore", "--from-snapshot", "--all", "--to", "/nowhere"]] {
        let done = call(command).expect(7);
        done.says(&["the snapshots of 2 installations", first, second, older, newer, "--accept-other-dataverse"]);
    }
    assert!(!call(&["snapshots"]).expect(0).out.contains("(newest)"));
    call(&["-v", "verify", "--from-snapshot", "--accept-other-dataverse"]).expect(0).says(&[newer]);
    call(&["-v", "verify", &format!("--from-snapshot={older}")]).expect(0).says(&[older]);
    // A catalogue that cannot be read tells as little as none.
    let mut away = one;
    fs::remove_dir_all(away.path("state")).unwrap();
    away.change("Database", "Database", "nowhere");
    away.call(&["rebuild"]).expect(7).says(&["the snapshots of 2 installations"]);
}
