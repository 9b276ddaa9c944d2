//! Files come back from a real SSH server, with and without a shell.

use std::fs;
use std::thread;
use std::time::Duration;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::{Account, Server};
use dvb_testkit::{files, temp_folder};

use crate::installation::{Installation, Ledger, section, sshd};

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

#[test]
fn an_outage_of_the_server_costs_a_restore_and_a_repair_nothing() {
    const FILES: u64 = 30;
    let mut server = Server::start();
    let account = server.shell().fresh("outage");
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..FILES {
        let identifier = format!("file://{}", World::object_name(i64::try_from(n).unwrap()));
        world.add_file(dataset, &identifier, &files::bytes(n, 100_000));
    }
    let mut it = Installation::new(world, Ledger::Sqlite, &account, folder);
    it.init();
    assert_eq!(it.json(&["run"]).1, 0);
    // Slow enough that the server goes away in the middle of it.
    it.backup = section(&account, "BandwidthLimit: 600KB/s\n");
    it.write_config();
    let root = it.world.stores[0].directory.clone();
    let before = files::tree(&root);
    for words in [&["restore", "--all", "--to", "out"][..], &["repair", "--dataset", "doi:10.5072/FK2/ONE", "--apply"]]
    {
        let into_store = words[0] == "repair";
        for file in it.world.files.iter().filter(|_| into_store) {
            fs::remove_file(root.join(&file.copies[0].0)).unwrap();
        }
        let (summary, code) = thread::scope(|scope| {
            let called = scope.spawn(|| it.json(words));
            thread::sleep(Duration::from_millis(2500));
            server.stop();
            thread::sleep(Duration::from_secs(3));
            server.start_again();
            called.join().unwrap()
        });
        assert_eq!(code, 0, "{summary:#}");
        let done = summary["objects"]["restored"].as_u64().or(summary["objects"]["mended"].as_u64());
        assert_eq!(done, Some(FILES), "{summary:#}");
        let to = if into_store { root.clone() } else { it.folder.path().join("out") };
        files::assert_same(&before, &files::tree(&to));
    }
}
