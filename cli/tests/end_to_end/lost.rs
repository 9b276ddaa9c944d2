//! Everything is lost but the destination: both databases are gone, the ledger and the configuration with them.

use std::fs;

use dvb_testkit::dataverse::Schema;
use dvb_testkit::files;
use dvb_testkit::postgres;
use dvb_testkit::sshd::Account;

use crate::installation::{Installation, Ledger, section, sshd};

fn drop_database(name: &str) {
    postgres::shared().create_database("drop").execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// Takes away all that the program had but the destination.
fn lose(it: &Installation, account: &Account, more: &str) {
    drop_database(&it.database.name);
    if let Some(ledger) = &it.ledger {
        drop_database(&ledger.name);
    }
    let _ = fs::remove_file(it.folder.path().join("ledger.db"));
    it.write("config.ini", &format!("{}{more}", section(account, "")));
}

fn the_destination_gives_everything_back(account: &Account, ledger: Ledger) {
    let account = account.fresh("lost");
    let it = Installation::of_every_kind(Schema::V6_9, ledger, &account);
    it.init();
    it.call(&["run"]);
    let all = it.world.expected_copies();
    let root = it.world.stores[0].directory.clone();
    let before = files::tree(&root);
    lose(&it, &account, "");

    // One dataset by its DOI, and all, into folders.
    let (summary, code) = it.json(&["restore", "--from-snapshot", "--dataset", "doi:10.5072/FK2/NAMES", "--to", "one"]);
    assert_eq!(code, 0, "{summary:#}");
    let mut expected = all.clone();
    expected.retain(|key, _| key.contains("/NAMES/"));
    files::assert_same(&expected, &files::tree(&it.folder.path().join("one")));
    let (summary, code) = it.json(&["restore", "--from-snapshot", "--all", "--to", "all"]);
    // What never had a copy is named: there is nothing to bring back.
    assert_eq!(code, 1, "{summary:#}");
    assert_eq!(
        (summary["objects"]["failed"].as_u64(), summary["objects"]["damaged_copies"].as_u64()),
        (Some(0), Some(0))
    );
    files::assert_same(&all, &files::tree(&it.folder.path().join("all")));

    // Where Dataverse expects them.
    let stores: String = it
        .world
        .stores
        .iter()
        .map(|it| format!("[Store {}]\nType: file\nDirectory: {}\n\n", it.id, it.directory.display()))
        .collect();
    it.write("config.ini", &format!("{}{stores}", section(&account, "")));
    for kind in ["md5", "tabular", "package"] {
        for (key, _) in &it.world.of_kind(kind).copies {
            fs::remove_file(root.join(key)).unwrap();
        }
    }
    let (summary, _) = it.json(&["restore", "--from-snapshot", "--missing", "--in-place"]);
    assert_eq!(summary["objects"]["failed"].as_u64(), Some(0), "{summary:#}");
    files::assert_same(&before, &files::tree(&root));

    // All copies are looked at, and a bad one is named though nothing keeps it.
    it.write("config.ini", &section(&account, ""));
    let (summary, code) = it.json(&["verify", "--from-snapshot"]);
    assert_eq!((code, summary["copies"]["good"].as_u64()), (0, Some(all.len() as u64)), "{summary:#}");
    let key = &it.world.of_kind("md5").copies[0].0;
    fs::write(it.local.join(key), "rotten").unwrap();
    let (summary, code) = it.json(&["verify", "--from-snapshot"]);
    assert_eq!((code, summary["damaged"][0]["key"].as_str()), (4, Some(key.as_str())), "{summary:#}");
    assert!(!it.folder.path().join("ledger.db").exists());
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn an_account_with_a_shell_gives_everything_back() {
    the_destination_gives_everything_back(&sshd().shell(), Ledger::Postgres);
}

#[test]
fn an_account_with_sftp_only_gives_everything_back() {
    the_destination_gives_everything_back(&sshd().sftp_only(), Ledger::Sqlite);
}

fn a_lost_ledger_is_made_again(account: &Account, ledger: Ledger) {
    let account = account.fresh("rebuild");
    let mut it = Installation::of_every_kind(Schema::V6_9, ledger, &account);
    it.init();
    let (before, _) = it.json(&["run"]);
    let copies = it.copies();
    // The ledger is gone, and Dataverse's database away.
    let (database, config) = (it.database.clone(), it.folder.path().join("config.ini"));
    match ledger {
        Ledger::Sqlite => fs::remove_file(it.folder.path().join("ledger.db")).unwrap(),
        Ledger::Postgres => {
            drop_database(&it.ledger.as_ref().unwrap().name);
            it.ledger = Some(postgres::shared().create_database("backup"));
        }
    }
    it.database.name = "away".into();
    it.write_config();
    let (made, code) = it.json(&["rebuild"]);
    assert_eq!((code, made["claimed"]["copies"].as_u64()), (0, Some(copies.len() as u64)), "{made:#}");
    assert_eq!(made["snapshot"], before["snapshot"]);
    let (status, code) = it.json(&["status"]);
    let state = &status["destinations"][0];
    assert_eq!((code, state["counts"]["OK"].as_u64()), (1, Some(0)), "{status:#}");
    assert_eq!(state["claimed_copies"].as_u64(), Some(copies.len() as u64));
    assert_eq!(it.json(&["rebuild"]).1, 0, "as long as nothing is proved it may be done again");
    // Dataverse is back.
    it.database = database;
    it.write_config();
    assert!(config.is_file());
    let (after, code) = it.json(&["run"]);
    assert_eq!(code, before["exit_code"], "{after:#}");
    assert_eq!((after["bytes_copied"].as_u64(), after["files"]["copied"].as_u64()), (Some(0), Some(0)), "{after:#}");
    assert_eq!(after["files"]["failed"], before["files"]["failed"]);
    let good = |it: &serde_json::Value| {
        ["unchanged", "copied", "adopted"].iter().map(|key| it["files"][key].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(good(&after), good(&before));
    files::assert_same(&copies, &it.copies());
    assert_eq!(it.json(&["rebuild"]).1, 7, "now the ledger knows it");
}

#[test]
fn a_lost_sqlite_ledger_is_made_again_over_a_shell() {
    a_lost_ledger_is_made_again(&sshd().shell(), Ledger::Sqlite);
}

#[test]
fn a_lost_postgres_ledger_is_made_again_over_sftp_only() {
    a_lost_ledger_is_made_again(&sshd().sftp_only(), Ledger::Postgres);
}
