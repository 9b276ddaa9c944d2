//! A server that keeps names in small letters: what a run puts there is found again.

use dvb_testkit::asyncssh;
use dvb_testkit::files::tree;
use dvb_testkit::sshd::Account;

use crate::site::Site;

/// Makes the server the destination.
fn onto(site: &mut Site, account: &Account) {
    site.set(
        "Backup",
        &format!(
            "StorageType: ssh\nSshHost: {}\nSshPort: {}\nSshUsername: {}\nBackupDirectory: /copies\nSshKeyFile: {}\nSshKnownHosts: {}",
            account.host,
            account.port,
            account.user,
            account.key.display(),
            account.known_hosts.display()
        ),
    );
}

#[test]
fn a_server_that_keeps_small_letters_is_a_destination_as_any_other() {
    let server = asyncssh::start(&["names=lower"]);
    let account = server.account();
    let mut site = Site::new();
    onto(&mut site, &account);
    site.call(&["init"]).expect(0);
    assert_eq!(site.call(&["run", "--json"]).expect(0).json()["files"]["copied"], 3);
    let kept = tree(&account.local.join("copies"));
    assert!(kept.keys().any(|it| it.contains("fk2/abc")) && kept.keys().all(|it| *it == it.to_lowercase()), "{kept:?}");

    let listed = site.call(&["orphans", "--json"]).expect(0).json();
    assert_eq!(
        (&listed["destinations"][0]["listed"], &listed["destinations"][0]["orphans_total"]),
        (&3.into(), &0.into()),
        "{listed}"
    );
    site.call(&["verify", "--all"]).expect(0);
    site.call(&["run", "--rerun"]).expect(0);
    let to = site.path("back").display().to_string();
    site.call(&["restore", "--all", "--from-snapshot", "--to", &to]).expect(0);
    assert_eq!(tree(&site.path("back")).len(), 3);
    // A real orphan is one there too.
    std::fs::write(account.local.join("copies/10.5072/fk2/abc/stray"), "x").unwrap();
    site.call(&["orphans"]).expect(0).says(&["10.5072/fk2/abc/stray"]);
}

#[test]
fn a_server_that_lists_decomposed_names_has_no_orphans() {
    let server = asyncssh::start(&["names=nfd"]);
    let account = server.account();
    let mut site = Site::with(|world, dataset| {
        world.add_file(dataset, "file://caf\u{e9}.csv", b"composed");
    });
    onto(&mut site, &account);
    site.call(&["init"]).expect(0);
    assert_eq!(site.call(&["run", "--json"]).expect(0).json()["files"]["copied"], 4);
    let kept = tree(&account.local.join("copies"));
    assert!(kept.keys().any(|it| it.contains("cafe\u{301}.csv")), "{kept:?}");
    let listed = site.call(&["orphans", "--json"]).expect(0).json();
    assert_eq!(
        (&listed["destinations"][0]["listed"], &listed["destinations"][0]["orphans_total"]),
        (&4.into(), &0.into()),
        "{listed}"
    );
    std::fs::write(account.local.join("copies/10.5072/FK2/ABC/cafe\u{301}.txt"), "x").unwrap();
    site.call(&["orphans"]).expect(0).says(&["cafe\u{301}.txt"]);
}

#[test]
fn a_server_on_a_medium_that_cannot_have_a_name_gets_another_one() {
    for answer in ["medium=missing", "medium=failure"] {
        let server = asyncssh::start(&[answer]);
        let account = server.account();
        let long = "\u{e4}".repeat(127);
        let mut site = Site::with(|world, dataset| {
            world.add_file(dataset, "file://a:b?", b"colon");
            // 255 bytes go, and with what belongs to it no more.
            let file = world.add_file(dataset, &format!("file://{long}"), b"long");
            file.size = Some(4);
        });
        onto(&mut site, &account);
        site.call(&["init"]).expect(0);
        let done = site.call(&["run", "--json"]).expect(0).json();
        assert_eq!((&done["files"]["copied"], &done["files"]["failed"]), (&5.into(), &0.into()), "{done:#}");
        let note = done["notes"][0]["reason"].as_str().unwrap();
        assert!(note.contains("cannot have the name \"a:b?\"") && note.contains("a%3Ab%3F"), "{note}");
        let kept = tree(&account.local.join("copies"));
        assert_eq!(kept["10.5072/FK2/ABC/a%3Ab%3F"], b"colon");
        assert_eq!(kept[&format!("10.5072/FK2/ABC/{long}")], b"long");
        assert!(!kept.keys().any(|it| it.contains("plain")), "what was tried is gone: {kept:?}");
        assert_eq!(site.call(&["run", "--json"]).expect(0).json()["files"]["unchanged"], 5);
        site.call(&["verify", "--all"]).expect(0);
        let to = site.path("back").display().to_string();
        site.call(&["restore", "--all", "--from-snapshot", "--to", &to]).expect(0);
        assert_eq!(tree(&site.path("back"))["10.5072/FK2/ABC/a:b?"], b"colon");
    }
}
