//! What can be wrong with an SSH destination, seen from the command line.

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::{Account, Kind, Options, Server};
use dvb_testkit::temp_folder;

use crate::installation::{Installation, Ledger, section, sshd};

fn with_files(account: &Account, count: i64, size: usize) -> Installation {
    let it = not_begun(account, count, size);
    it.init();
    it
}

/// One whose ledger and destination are not set up.
fn not_begun(account: &Account, count: i64, size: usize) -> Installation {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..count {
        let content = dvb_testkit::files::bytes(u64::try_from(n).unwrap(), size);
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    Installation::new(world, Ledger::Sqlite, account, folder)
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

#[test]
fn libssh2_copies_and_verifies_what_russh_does() {
    let account = sshd().shell().fresh("libssh2");
    let mut it = with_files(&account, 30, 200_000);
    it.backup = section(&account, "SshLibrary: libssh2");
    it.write_config();
    let (summary, code) = it.json(&["run"]);
    assert_eq!((code, summary["files"]["copied"].as_u64()), (0, Some(30)), "{summary:#}");
    assert_eq!(it.copies(), it.world.expected_copies());
    // What one library stored, the other finds.
    for library in ["russh", "libssh2"] {
        it.backup = section(&account, &format!("SshLibrary: {library}"));
        it.write_config();
        let (verified, code) = it.json(&["verify"]);
        assert_eq!(code, 0, "{library}: {verified:#}");
        let (summary, code) = it.json(&["run"]);
        assert_eq!((code, summary["files"]["copied"].as_u64()), (0, Some(0)), "{library}: {summary:#}");
    }
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn an_old_server_is_talked_to_only_with_leave_and_by_a_library_that_knows_its_algorithms() {
    let lines =
        "KexAlgorithms diffie-hellman-group1-sha1\nHostKeyAlgorithms ssh-rsa\nCiphers aes128-cbc\nMACs hmac-sha1\n";
    let server = Server::start_with(Options { lines: lines.to_owned(), ..Options::default() });
    let account = server.shell().fresh("old");
    let mut it = not_begun(&account, 10, 100_000);
    let allow = "SshKexAlgorithms: +diffie-hellman-group1-sha1\nSshHostKeyAlgorithms: +ssh-rsa\n\
                 SshCiphers: +aes128-cbc\nSshMacs: +hmac-sha1\n";
    let not_shared = "no key exchange is shared: the server offers diffie-hellman-group1-sha1.";
    for (lines, says) in [
        ("", not_shared),
        ("SshLibrary: libssh2", not_shared),
        ("SshLibrary: libssh2\nSshMacs: +hmac-md9", "\"hmac-md9\" is not known to libssh2 (SshLibrary)"),
        ("SshLibrary: libssh3", "SshLibrary"),
    ] {
        it.backup = section(&account, lines);
        it.write_config();
        let output = it.call(&["init"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{lines}: {text}");
        assert!(text.contains(says), "{lines}: {text}");
    }
    it.backup = section(&account, allow);
    it.write_config();
    it.init();
    let (summary, code) = it.json(&["run"]);
    assert_eq!((code, summary["files"]["copied"].as_u64()), (0, Some(10)), "{summary:#}");
    assert_eq!(it.copies(), it.world.expected_copies());
}
