//! Every kind of data file, on both schemas, with both ledgers, to accounts with and without a shell.

use dvb_testkit::dataverse::{Expect, Schema};
use dvb_testkit::files;
use dvb_testkit::sshd::Account;

use crate::installation::{Installation, Ledger, section, sshd};

fn status(expect: Expect) -> Option<&'static str> {
    match expect {
        Expect::Ok | Expect::OkNote => Some("OK"),
        Expect::NotCovered => Some("NOT_COVERED"),
        Expect::FailRead | Expect::Orphaned => Some("FAIL_READ"),
        Expect::FailChecksum => Some("FAIL_CHECKSUM"),
        Expect::Absent => None,
    }
}

fn every_kind_comes_to_its_verdict(schema: Schema, ledger: Ledger, account: &Account, more: &str, evidence: &str) {
    let account = account.fresh("kinds");
    let mut it = Installation::of_every_kind(schema, ledger, &account);
    it.backup = section(&account, more);
    it.write_config();
    it.init();
    let (first, code) = it.json(&["run"]);
    assert_eq!(code, 3, "{first:#}");
    files::assert_same(&it.world.expected_copies(), &it.copies());
    assert_eq!(it.temporaries(), [""; 0]);
    let ok = it.count(&[Expect::Ok, Expect::OkNote]);
    assert_eq!(first["files"]["copied"], ok, "{first:#}");
    assert_eq!(first["exit_code"], 3);
    for file in &it.world.files {
        let id = file.id.to_string();
        let (state, _) = it.json(&["status", "--file", &id]);
        // One that was never in the catalogue (harvested) has no row.
        let found = state["destinations"][0]["data_files"][0]["status"].as_str();
        assert_eq!(found, status(file.expect), "{}: {state:#}", file.kind);
    }
    let (second, code) = it.json(&["run"]);
    assert_eq!((code, second["files"]["copied"].as_u64(), second["bytes_copied"].as_u64()), (3, Some(0), Some(0)));
    files::assert_same(&it.world.expected_copies(), &it.copies());
    let (check, _) = it.json(&["check"]);
    assert!(check.to_string().contains(evidence), "{check:#}");
}

#[test]
fn dataverse_6_9_to_a_shell_account_with_a_ledger_in_postgresql() {
    every_kind_comes_to_its_verdict(Schema::V6_9, Ledger::Postgres, &sshd().shell(), "", "remote-hash");
}

#[test]
fn dataverse_4_8_to_an_sftp_only_account_with_an_embedded_ledger() {
    every_kind_comes_to_its_verdict(Schema::V4_8, Ledger::Sqlite, &sshd().sftp_only(), "", "read-back");
}

#[test]
fn dataverse_6_9_read_back_by_demand_with_an_embedded_ledger() {
    every_kind_comes_to_its_verdict(Schema::V6_9, Ledger::Sqlite, &sshd().shell(), "Verify: read-back", "read-back");
}

#[test]
fn dataverse_4_8_to_a_shell_account_with_a_ledger_in_postgresql() {
    every_kind_comes_to_its_verdict(Schema::V4_8, Ledger::Postgres, &sshd().shell(), "Jobs: 1", "remote-hash");
}

#[test]
fn cron_hears_nothing_when_all_is_well() {
    let account = sshd().shell().fresh("cron");
    let folder = dvb_testkit::temp_folder("e2e");
    let mut world = dvb_testkit::dataverse::World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    world.add_file(dataset, "file://18f3a000000-000000000001", b"content");
    let it = Installation::new(world, Ledger::Sqlite, &account, folder);
    it.init();
    for _ in 0..2 {
        let output = it.call(&["run"]);
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(0), vec![], vec![]));
    }
    let rows = it.call(&["status"]);
    assert_eq!(rows.status.code(), Some(0), "{}", String::from_utf8_lossy(&rows.stderr));
}

#[test]
fn a_catalogue_that_was_exported_serves_where_the_database_cannot_be_reached() {
    let account = sshd().shell().fresh("export");
    let it = Installation::of_every_kind(Schema::V6_9, Ledger::Sqlite, &account);
    let exported = it.call(&["catalogue", "export", "-o", "catalogue.jsonl.zst"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let text = std::fs::read_to_string(it.folder.path().join("config.ini")).unwrap();
    let database = text.find("[Repository]").unwrap();
    let from_file = format!(
        "[Database]\nCatalogue: file:catalogue.jsonl.zst\nBackupDatabase: sqlite:ledger.db\n{}",
        &text[database..]
    );
    it.write("config.ini", &from_file);
    it.init();
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 3, "{summary:#}");
    files::assert_same(&it.world.expected_copies(), &it.copies());
}
