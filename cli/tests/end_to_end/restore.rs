//! Files come back from a real SSH server, with and without a shell.

use std::fs;

use dvb_testkit::dataverse::Schema;
use dvb_testkit::files;
use dvb_testkit::sshd::Account;

use crate::installation::{Installation, Ledger, sshd};

fn files_come_back(account: &Account, ledger: Ledger) {
    let account = account.fresh("restore");
    let it = Installation::of_every_kind(Schema::V6_9, ledger, &account);
    it.init();
    it.call(&["run"]);
    // One dataset by its DOI, into a folder.
    let words = ["restore", "--dataset", "doi:10.5072/FK2/NAMES", "--to", "out"];
    let (summary, code) = it.json(&words);
    assert_eq!(code, 0, "{summary:#}");
    let mut expected = it.world.expected_copies();
    let all = expected.clone();
    expected.retain(|key, _| key.contains("/NAMES/"));
    files::assert_same(&expected, &files::tree(&it.folder.path().join("out")));
    let (summary, code) = it.json(&words);
    assert_eq!((code, summary["bytes"].as_u64()), (0, Some(0)), "{summary:#}");
    // Lost and cut short in the stores, and put back there.
    let root = &it.world.stores[0].directory;
    let before = files::tree(root);
    for kind in ["md5", "tabular", "package", "name with a command", "name with a newline"] {
        for (key, _) in &it.world.of_kind(kind).copies {
            fs::remove_file(root.join(key)).unwrap();
        }
    }
    let cut = &it.world.of_kind("sha1").copies[0].0;
    fs::write(root.join(cut), "cut").unwrap();
    let (summary, code) = it.json(&["restore", "--missing", "--in-place"]);
    // What never had a copy is named: there is nothing to bring back.
    assert_eq!(code, 1, "{summary:#}");
    let counts = |key: &str| summary["objects"][key].as_u64().unwrap();
    assert_eq!((counts("failed"), counts("damaged_copies"), counts("replaced")), (0, 0, 1), "{summary:#}");
    assert_eq!(counts("restored"), 1 + 2 + 4 + 1 + 1 + 1, "{summary:#}");
    let mut after = files::tree(root);
    after.retain(|key, _| !key.contains(".damaged-"));
    files::assert_same(&before, &after);
    // What lies at the destination is as it was.
    files::assert_same(&all, &it.copies());
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn files_come_back_from_an_account_with_a_shell() {
    files_come_back(&sshd().shell(), Ledger::Sqlite);
}

#[test]
fn files_come_back_from_an_account_with_sftp_only() {
    files_come_back(&sshd().sftp_only(), Ledger::Postgres);
}
