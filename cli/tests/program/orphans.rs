//! `orphans` and `status --gone` from outside: what they print, and how they end.

use std::fs;

use dvb_testkit::files;
use serde_json::Value;

use crate::site::Site;

#[test]
fn orphans_are_listed_with_their_owners_and_nothing_changes() {
    let site = Site::copied();
    let none = site.call(&["orphans"]).expect(0);
    assert_eq!(none.out, "destination default: 3 objects, 0 of them unknown to the ledger (0 B)\n");
    let json = site.call(&["orphans", "--json"]).expect(0).json();
    assert_eq!((&json["destinations"][0]["orphans"], &json["exit_code"]), (&serde_json::json!([]), &0.into()));
    let (file, key) = (&site.world.files[1], &site.world.files[1].copies[0].0);
    fs::rename(site.path("copies").join(key), site.path("copies").join("river\x1b.csv")).unwrap();
    fs::write(site.path("copies").join("else"), "else").unwrap();
    site.call(&["verify"]).expect(4);
    let before = files::tree(&site.path("copies"));
    let said = site.call(&["orphans"]).expect(0).says(&[
        "river\\u{1b}.csv  9 B",
        &format!("this object is data file {}'s ", file.id),
        "(doi:10.5072/FK2/ABC, main), by the ledger's SHA256",
        &format!("its copy belongs at {key}"),
        "else  4 B",
        "4 objects, 2 of them unknown to the ledger (13 B); 1 recognised; 1 data file without a good copy here",
    ]);
    assert!(said.err.is_empty(), "{said}");
    let json = site.call(&["orphans", "--json"]).expect(0).json();
    let of = &json["destinations"][0];
    for field in [
        "command",
        "run_id",
        "destination",
        "started",
        "finished",
        "listed",
        "bytes",
        "orphans_total",
        "evidence",
        "exit_code",
    ] {
        assert!(!of[field].is_null(), "{field}: {json:#}");
    }
    let orphans = of["orphans"].as_array().unwrap();
    let river = orphans.iter().find(|it| it["key"] == "river\x1b.csv").unwrap();
    let owner = &river["is"][0];
    assert_eq!(
        (&owner["data_file_id"], &owner["object"], &owner["key"]),
        (&file.id.into(), &"main".into(), &key.as_str().into())
    );
    assert!(files::tree(&site.path("copies")) == before);
    site.call(&["orphans", "--destination", "none"]).expect(2);
}

#[test]
fn a_destination_that_cannot_be_had_does_not_hide_the_other() {
    let mut site = Site::copied();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("b").display()));
    site.add("Backup third", "StorageType: directory\nBackupDirectory: /nowhere/at/all");
    fs::create_dir(site.path("b")).unwrap();
    let name = &site.world.files[0].copies[0];
    fs::write(site.path("b").join("found"), &name.1).unwrap();
    let json = site.call(&["orphans", "--json"]).expect(2).json();
    let of = json["destinations"].as_array().unwrap();
    assert_eq!(of.len(), 3, "{json:#}");
    assert_eq!(of[0]["orphans"], serde_json::json!([]));
    assert_eq!(of[1]["orphans"][0]["is"][0]["data_file_id"], site.world.files[0].id);
    assert_eq!((&of[1]["matched"], &of[1]["missing_files"]), (&1.into(), &3.into()));
    assert_eq!((&of[2]["destination"], &of[2]["exit_code"]), (&"third".into(), &2.into()));
}

#[test]
fn what_left_dataverse_is_listed_with_its_copies() {
    let site = Site::copied();
    site.call(&["status", "--gone"]).expect(0).says(&["OK                     3"]);
    let (file, other) = (&site.world.files[1], &site.world.files[0]);
    for id in [file.id, other.id] {
        site.database.execute(&format!("DELETE FROM filemetadata WHERE datafile_id = {id}"));
        site.database.execute(&format!("DELETE FROM datafile WHERE id = {id}"));
        site.database.execute(&format!("DELETE FROM dvobject WHERE id = {id}"));
    }
    site.call(&["run", "--accept-disappearance"]).expect(0);
    let key = &file.copies[0].0;
    let said = site.call(&["status", "--gone"]).expect(0).says(&[
        &format!("file {}, doi:10.5072/FK2/ABC, ", file.id),
        ": left Dataverse 20",
        &format!("{key}  main, 9 B, proved 20"),
    ]);
    assert!(!said.out.contains(&format!("file {},", site.world.files[2].id)), "{said}");
    fs::remove_file(site.path("copies").join(key)).unwrap();
    site.call(&["verify"]).expect(4);
    site.call(&["status", "--gone"]).expect(0).says(&["9 B, DAMAGED, was last good on 20"]);
    let lines = site.call(&["status", "--gone", "--json"]).expect(0).out;
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let gone = lines.iter().find(|it| it["data_file_id"] == file.id).unwrap();
    assert_eq!((&gone["dataset"], &gone["destination"]), (&"doi:10.5072/FK2/ABC".into(), &"default".into()));
    assert!(gone["gone_since"].is_string() && gone["name"].is_string(), "{gone:#}");
    let copy = &gone["copies"][0];
    assert_eq!((&copy["key"], &copy["state"], &copy["size"]), (&key.as_str().into(), &"damaged".into(), &9.into()));
    // As everywhere else in JSON: the digits alone.
    let is_hex = |it: &str| it.len() == 64 && it.bytes().all(|it| it.is_ascii_hexdigit());
    assert!(copy["sha256"].as_str().is_some_and(is_hex) && copy["proved_at"].is_string(), "{copy:#}");
    let one = site.call(&["status", "--gone", "--json", "--file", &other.id.to_string()]).expect(0).out;
    assert_eq!(one.lines().count(), 1, "{one}");
    site.call(&["status", "--gone", "--failed"]).expect(2);
}
