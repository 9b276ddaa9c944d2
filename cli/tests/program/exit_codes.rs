//! Which exit code says that trying again later can help (5), and which that something is to be corrected (2).

use std::fs;
use std::net::TcpListener;

use dvb_testkit::postgres;

use crate::site::Site;

/// The [Database] section of a site, with another value for one key, or one more.
fn with_database(site: &mut Site, key: &str, value: &str) {
    let postgres::Database { host, port, name, user, .. } = &site.database;
    let ledger = format!("sqlite:{}", site.path("state/ledger.db").display());
    let port = port.to_string();
    let given = [("Host", host), ("Port", &port), ("Database", name), ("Username", user), ("BackupDatabase", &ledger)];
    let mut lines: Vec<_> = given.iter().filter(|it| it.0 != key).map(|(key, it)| format!("{key}: {it}")).collect();
    lines.push(format!("{key}: {value}"));
    site.set("Database", &lines.join("\n"));
}

fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn what_does_not_pass_by_itself_is_2_and_names_what_to_correct() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let empty = postgres::shared().create_database("empty");
    let unusable = site.path("files/10.5072").display().to_string();
    for (key, value, says) in [
        ("Username", "nobody_of_this_name", "[Database] Database, Username, Password"),
        ("Database", "no_such_database", "[Database] Database, Username, Password"),
        ("Database", empty.name.as_str(), "Dataverse 4.8 or later"),
        ("BackupDatabase", "no_such_database", "[Database] BackupDatabase, BackupUsername"),
        ("BackupDatabase", &format!("sqlite:{unusable}"), "[Database] BackupDatabase, its folder"),
        ("BackupDatabase", "sqlite:/dev/null/ledger.db", "[Database] BackupDatabase, its folder"),
        ("SslMode", "verify-full", "SslMode"),
    ] {
        with_database(&mut site, key, value);
        site.call(&["run"]).expect(2).says(&[says]);
        site.call(&["check"]).expect(2).says(&[says]);
    }
    let closed = closed_port();
    with_database(&mut site, "Port", &closed);
    site.call(&["run"]).expect(5).says(&["cannot", &closed]);
}

#[test]
fn a_folder_of_the_configuration_that_does_not_exist_is_2() {
    let mut site = Site::copied();
    let files = site.path("files");
    fs::rename(&files, site.path("elsewhere")).unwrap();
    // One more file, so that the store is looked at.
    site.database
        .execute("UPDATE datafile SET checksumvalue = repeat('0', 32) WHERE id = (SELECT min(id) FROM datafile)");
    for command in ["run", "audit", "check"] {
        site.call(&[command]).expect(2).says(&[&files.display().to_string()]);
    }
    site.call(&["repair", "--all"]).expect(2).says(&[&files.display().to_string()]);
    fs::rename(site.path("elsewhere"), &files).unwrap();
    // Copies were there before: the folder is missing, not wrong.
    let nowhere = format!("StorageType: directory\nBackupDirectory: {}/a/b", site.path("nowhere").display());
    site.set("Backup", &nowhere);
    let commands = [
        &["run"][..],
        &["run", "--dry-run"],
        &["verify"],
        &["orphans"],
        &["restore", "--all", "--to", "/tmp/never-made"],
    ];
    for words in commands {
        site.call(words).expect(5).says(&["nowhere/a/b"]);
    }
    site.call(&["status"]).expect(5).says(&["could not work (exit code 5)", "nowhere/a/b"]);
    // Nothing ever was.
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    site.set("Backup", &nowhere);
    for words in [&["init"][..], &["run"], &["verify"], &["orphans"]] {
        site.call(words).expect(2).says(&["nowhere/a/b"]);
    }
}
