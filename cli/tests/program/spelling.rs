//! A server that keeps names in small letters: what a run puts there is found again.

use dvb_testkit::asyncssh;
use dvb_testkit::files::tree;

use crate::site::Site;

#[test]
fn a_server_that_keeps_small_letters_is_a_destination_as_any_other() {
    let server = asyncssh::start(&["names=lower"]);
    let account = server.account();
    let mut site = Site::new();
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
