//! Poolers before PostgreSQL, and databases of other encodings.

use dvb_testkit::pgbouncer::{PoolMode, Pooler};
use dvb_testkit::postgres::{self, Database};

use crate::site::Site;

fn catalogue_through(site: &mut Site, pooler: &Pooler) {
    let Database { host, port, name, user, .. } = pooler.before(&site.database);
    let ledger = site.path("state/ledger.db");
    site.set(
        "Database",
        &format!(
            "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: {user}\nBackupDatabase: sqlite:{}",
            ledger.display()
        ),
    );
}

fn ledger_in(site: &mut Site, ledger: &Database) {
    let Database { host, port, name, user, .. } = &site.database;
    let Database { port: backup_port, name: backup, .. } = ledger;
    let lines = format!(
        "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: {user}\nBackupDatabase: {backup}\nBackupPort: {backup_port}"
    );
    site.set("Database", &lines);
}

#[test]
fn a_ledger_behind_a_pooler_that_shares_sessions_is_refused() {
    let mut site = Site::new();
    let ledger = postgres::shared().create_database("ledger");
    for connections in [1, 4] {
        let pooler = Pooler::start(postgres::shared(), PoolMode::Transaction, connections);
        ledger_in(&mut site, &pooler.before(&ledger));
        let shared = ["run", "verify", "audit"].map(|it| vec![it, "--join"]);
        for command in ["init", "check", "run", "status"].map(|it| vec![it]).into_iter().chain(shared) {
            site.call(&command).expect(2).says(&["connection pooler", "BackupHost", "pool_mode = session"]);
        }
    }
    assert!(!site.path("copies").exists());
    ledger_in(&mut site, &ledger);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    let pooler = Pooler::start(postgres::shared(), PoolMode::Session, 20);
    ledger_in(&mut site, &pooler.before(&ledger));
    site.call(&["check"]).expect(0);
    site.call(&["run"]).expect(0);
}

#[test]
fn a_catalogue_is_read_through_any_pooler() {
    let mut site = Site::new();
    let pooler = Pooler::start(postgres::shared(), PoolMode::Transaction, 1);
    catalogue_through(&mut site, &pooler);
    site.call(&["init"]).expect(0);
    site.call(&["check"]).expect(0);
    assert_eq!(site.call(&["run", "--json"]).expect(0).json()["files"]["copied"], 3);
    site.call(&["run", "--rerun"]).expect(0);
}

#[test]
fn a_ledger_that_cannot_hold_every_name_is_refused() {
    let mut site = Site::new();
    let ledger = postgres::shared().create_encoded("ledger", "LATIN1");
    ledger_in(&mut site, &ledger);
    for command in ["init", "check"] {
        site.call(&[command]).expect(2).says(&["LATIN1", "createdb -E UTF8 -T template0"]);
    }
}

#[test]
fn one_odd_byte_in_the_catalogue_concerns_one_file() {
    let site = Site::within(postgres::shared().create_encoded("site", "SQL_ASCII"));
    let [labelled, lost] = [site.world.files[0].id, site.world.files[1].id];
    site.database.execute(&format!(
        r"UPDATE filemetadata SET label = E'caf\xe9' WHERE datafile_id = {labelled};
          UPDATE dvobject SET storageidentifier = E'file://\xe9' WHERE id = {lost}"
    ));
    site.call(&["init"]).expect(0);
    let named = format!("data file {lost}: ");
    site.call(&["check"]).expect(1).says(&["rows of the catalogue", &named, "not UTF-8", "storageidentifier"]);
    let json = site.call(&["run", "--json"]).expect(1).json();
    assert_eq!(json["files"]["copied"], 2, "{json}");
    let failure = &json["failures"][0];
    assert_eq!(
        (failure["data_file_id"].as_i64(), failure["status"].as_str()),
        (Some(lost), Some("FAIL_READ")),
        "{json}"
    );
    assert!(failure["reason"].as_str().unwrap().contains("not UTF-8"), "{json}");
    site.call(&["audit", "--all"]).expect(1).says(&["not UTF-8"]);
    site.call(&["status", "--failed"]).says(&["not UTF-8"]);
    let out = site.path("snapshot.jsonl").display().to_string();
    site.call(&["catalogue", "export", "-o", &out]).expect(0);
    assert!(std::fs::read_to_string(&out).unwrap().contains(r"caf\\xe9"));
}
