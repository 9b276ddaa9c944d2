//! `snapshots`: what each destination has of them, without any database.

use std::fs;

use crate::site::{Site, done, program, write};

#[test]
fn the_snapshots_at_a_destination_are_listed_newest_first() {
    let site = Site::copied();
    site.database.execute("UPDATE filemetadata SET label = label || 'x'");
    site.call(&["run"]).expect(0);
    let config = site.path("backup-only.ini");
    write(&config, &format!("[Backup]\nStorageType: directory\nBackupDirectory: {}\n", site.path("copies").display()));
    let call = |words: &[&str]| done(program().arg("--config").arg(&config).args(words));
    let json = call(&["snapshots", "--json"]).expect(0).json();
    let rows = json["destinations"][0]["snapshots"].as_array().unwrap();
    assert!(!rows.is_empty(), "{json:#}");
    let newest: Vec<_> = rows.iter().map(|it| it["newest"].as_bool().unwrap()).collect();
    assert!(newest[0] && newest.iter().filter(|it| **it).count() == 1, "{json:#}");
    assert_eq!((&rows[0]["data_files"], &rows[0]["problem"]), (&3.into(), &serde_json::Value::Null));
    let name = rows[0]["name"].as_str().unwrap().to_owned();
    call(&["snapshots"]).expect(0).says(&[&name, "(newest)", "3 data files"]);
    fs::write(site.path("copies/.dataverse-backup").join(&name), "other").unwrap();
    call(&["snapshots"]).expect(4).says(&[&name, "cannot be used"]);
}
