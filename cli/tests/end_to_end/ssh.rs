//! What can be wrong with an SSH destination, seen from the command line.

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::{Account, Kind};
use dvb_testkit::temp_folder;

use crate::installation::{Installation, Ledger, section, sshd};

fn with_files(account: &Account, count: i64, size: usize) -> Installation {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..count {
        let content = dvb_testkit::files::bytes(u64::try_from(n).unwrap(), size);
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    let it = Installation::new(world, Ledger::Sqlite, account, folder);
    it.init();
    it
}

#[test]
fn a_changed_host_key_is_refused() {
    let account = sshd().shell().fresh("changed");
    let mut it = with_files(&account, 1, 10);
    it.backup = section(&Account { known_hosts: sshd().known_hosts_of_another(), ..account }, "");
    it.write_config();
    let output = it.call(&["run"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("HAS CHANGED"), "{text}");
    assert!(it.copies().is_empty());
}

#[test]
fn an_unknown_host_is_refused_with_its_fingerprint_and_the_line_to_add() {
    let account = sshd().shell().fresh("unknown");
    let mut it = with_files(&account, 1, 10);
    it.backup = section(&Account { known_hosts: sshd().known_hosts_empty(), ..account.clone() }, "");
    it.write_config();
    let output = it.call(&["run"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("SHA256:"), "{text}");
    // The line that it shows lets it in.
    let (_, line) = text.split_once("known_hosts_empty: ").unwrap_or_else(|| panic!("no line in {text}"));
    it.write("known_hosts", line.lines().next().unwrap());
    let known_hosts = it.folder.path().join("known_hosts");
    it.backup = section(&Account { known_hosts, ..account }, "");
    it.write_config();
    assert_eq!(it.call(&["run"]).status.code(), Some(0));
}

#[test]
fn a_full_disk_leaves_no_half_object() {
    assert!(sshd().has_full_disk(), "this test needs root, and the right to mount in a namespace");
    let account = sshd().account(Kind::FullDisk);
    let it = with_files(&account, 40, 64 * 1024);
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 1, "{summary:#}");
    let failures = summary["failures"].as_array().unwrap();
    assert!(failures.iter().all(|it| it["status"] == "FAIL_WRITE"), "{summary:#}");
    assert!(failures[0]["reason"].as_str().unwrap().contains("no space left at"), "{summary:#}");
    let reasons = summary["reasons"].as_array().unwrap();
    assert_eq!(
        (reasons.len(), &reasons[0]["files"], &reasons[0]["no_space"]),
        (1, &failures.len().into(), &true.into())
    );
    let (copies, expected) = (it.copies(), it.world.expected_copies());
    assert_eq!(copies.len() as u64, summary["files"]["copied"].as_u64().unwrap());
    assert!(copies.iter().all(|(key, bytes)| expected[key] == *bytes));
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn a_login_that_is_refused_leaves_all_pending() {
    let account = sshd().shell().fresh("stranger");
    let mut it = with_files(&account, 2, 10);
    it.backup = section(&Account { key: sshd().stranger_key(), ..account }, "");
    it.write_config();
    let (summary, code) = it.json(&["run"]);
    assert_eq!((code, summary["files"]["pending"].as_u64()), (2, Some(2)), "{summary:#}");
    assert!(summary["aborted"].as_str().unwrap().contains("authorized_keys"), "{summary:#}");
}
