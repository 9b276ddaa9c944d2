//! `audit` from outside: what it prints, and how it ends.

use std::fs;

use dvb_testkit::files;

use crate::site::Site;

#[test]
fn good_stores_are_no_news_under_cron() {
    let site = Site::copied();
    site.call(&["audit"]).expect(0).silent();
    site.call(&["audit", "-v"]).expect(0).says(&["3 data files: 3 good, 0 damaged", "read:        27 B"]);
    let json = site.call(&["audit", "--json", "--all"]).expect(0).json();
    assert_eq!(
        (&json["files"]["good"], &json["bytes"], &json["findings"]),
        (&3.into(), &27.into(), &serde_json::json!([]))
    );
    let id = site.world.files[1].id.to_string();
    let json = site.call(&["audit", "--json", "--file", &id]).expect(0).json();
    assert_eq!((&json["files"]["catalogued"], &json["exit_code"]), (&1.into(), &0.into()));
    site.call(&["audit", "--file", "99999"]).expect(2);
    site.call(&["audit", "--sample", "100%"]).expect(0).silent();
}

#[test]
fn what_was_looked_at_a_short_while_ago_waits_and_what_is_bad_does_not() {
    let site = Site::copied();
    let ids = |args: &[&str]| {
        let mut call = vec!["audit", "--json"];
        call.extend(args);
        let json = site.call(&call).json();
        (json["files"]["catalogued"].as_u64().unwrap(), json["exit_code"].as_u64().unwrap())
    };
    assert_eq!(ids(&["--older-than", "30d"]), (0, 0), "they were read when they were copied");
    fs::write(site.object(1), "Content 1").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(ids(&["--older-than", "1s", "--sample", "34%"]), (2, 3));
    // It was looked at just now, and is bad.
    assert_eq!(ids(&["--older-than", "30d"]), (1, 3));
    site.call(&["audit", "--older-than", "30d", "--all"]).expect(2);
}

#[test]
fn damage_is_named_and_remembered_and_nothing_else_is_changed() {
    let site = Site::copied();
    fs::write(site.object(0), "Content 0").unwrap();
    fs::remove_file(site.object(1)).unwrap();
    let other = "UPDATE datafile SET checksumvalue = 'ffffffffffffffffffffffffffffffff' WHERE id =";
    site.database.execute(&format!("{other} {}", site.world.files[2].id));
    let before = (files::tree(&site.path("files")), files::tree(&site.path("copies")));
    let said = site.call(&["audit"]).expect(3);
    let said = said.says(&["DAMAGED ", "MISSING ", "CHECKSUM CHANGED ", "doi:10.5072/FK2/ABC", "2 damaged, 1 missing"]);
    assert!(said.out.is_empty(), "{said}");
    let json = site.call(&["audit", "--json"]).expect(3).json();
    let mut what: Vec<_> = json["findings"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    what.sort_unstable();
    assert_eq!(what, ["checksum-changed", "damaged", "missing"], "{json:#}");
    for field in ["data_file_id", "dataset", "storage_identifier", "reason"] {
        assert!(!json["findings"][0][field].is_null(), "{json:#}");
    }
    site.call(&["status"]).expect(3).says(&["FAIL_CHECKSUM          2", "FAIL_READ              1"]);
    assert!(before == (files::tree(&site.path("files")), files::tree(&site.path("copies"))));
    // What it has found, the next run looks at, and a repair.
    site.call(&["run"]).expect(3);
    let json = site.call(&["repair", "--json", "--apply"]).json();
    assert_eq!(json["objects"]["mended"], 2, "{json:#}");
    assert_eq!(fs::read(site.object(0)).unwrap(), b"content 0");
    assert_eq!(fs::read(site.object(1)).unwrap(), b"content 1");
    // Damage that nobody has looked for yet.
    fs::write(site.object(0), "Content 0").unwrap();
    assert_eq!(site.call(&["repair", "--json", "--apply"]).json()["objects"]["mended"], 0);
    assert_eq!(site.call(&["repair", "--json", "--apply", "--all"]).json()["objects"]["mended"], 1);
    assert_eq!(fs::read(site.object(0)).unwrap(), b"content 0");
}

#[test]
fn a_store_that_cannot_be_had_is_no_damage() {
    let mut site = Site::copied();
    site.set("Repository", "FileSystemDirectory: /nowhere/at/all");
    let json = site.call(&["audit", "--json"]).expect(2).json();
    assert_eq!((&json["files"]["unreadable"], &json["files"]["missing"]), (&3.into(), &0.into()));
}
