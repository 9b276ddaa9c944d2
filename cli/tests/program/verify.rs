//! `verify` from outside: what it prints, for whom, and how it ends.

use std::fs;
use std::path::PathBuf;

use crate::site::Site;

fn copy(site: &Site, n: usize) -> PathBuf {
    site.path("copies").join(&site.world.files[n].copies[0].0)
}

#[test]
fn good_copies_are_no_news_under_cron() {
    let site = Site::copied();
    site.call(&["verify"]).expect(0).silent();
    site.call(&["verify", "--all", "-v"]).expect(0).says(&["verified:    3 copies: 3 good", "oldest proof now"]);
    let json = site.call(&["verify", "--json"]).expect(0).json();
    assert_eq!(
        (&json["copies"]["checked"], &json["copies"]["good"], &json["copies"]["left"]),
        (&3.into(), &3.into(), &0.into())
    );
    for field in ["run_id", "destination", "started", "finished", "bytes", "damaged", "oldest_unverified", "exit_code"]
    {
        assert!(!json[field].is_null(), "{field}: {json:#}");
    }
    site.call(&["verify", "--older-than", "1d", "--json"]).expect(0);
    let json = site.call(&["verify", "--sample", "30%", "--json"]).expect(0).json();
    assert_eq!(json["copies"]["checked"], 1);
    site.call(&["verify", "--all", "--sample", "5%"]).expect(2);
    site.call(&["verify", "--sample", "many"]).expect(2);
    site.call(&["verify", "--dataset", "doi:10.5072/NO"]).expect(2).says(&["there is no dataset or data file"]);
    site.call(&["verify", "--time-budget", "1h", "--jobs", "1"]).expect(0).silent();
}

#[test]
fn damage_is_named_until_a_run_has_mended_it() {
    let site = Site::copied();
    let mut bytes = fs::read(copy(&site, 0)).unwrap();
    bytes[0] ^= 1;
    fs::write(copy(&site, 0), bytes).unwrap();
    fs::remove_file(copy(&site, 1)).unwrap();
    let key = &site.world.files[0].copies[0].0;
    let said = site.call(&["verify"]).expect(4).says(&["OTHER DIGEST", "MISSING", "doi:10.5072/FK2/ABC", key]);
    assert!(said.out.is_empty(), "{said}");
    site.call(&["status"]).expect(4).says(&["FAIL_VERIFY            2"]);
    site.call(&["status", "--failed"]).expect(4).says(&["is missing", "it was good on"]);
    let run = site.call(&["run", "--json"]).expect(0).json();
    assert_eq!(run["files"]["copied"], 2);
    site.call(&["verify"]).expect(0).silent();
    site.call(&["status"]).expect(0).says(&["  verify 20", "  run 20", "oldest proof: "]);
    let status = site.call(&["status", "--json"]).expect(0).json();
    assert_eq!(status["destinations"][0]["last_run"]["command"], "verify");
}

#[test]
fn several_destinations_are_verified_in_one_call_without_dataverse() {
    let mut site = Site::new();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("b").display()));
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site.set("Repository", "FileSystemDirectory: /nowhere/at/all");
    fs::remove_file(site.path("b").join(&site.world.files[2].copies[0].0)).unwrap();
    let json = site.call(&["verify", "--json"]).expect(4).json();
    assert_eq!((&json["runs"][0]["exit_code"], &json["runs"][1]["exit_code"]), (&0.into(), &4.into()));
    let damaged = &json["runs"][1]["damaged"][0];
    assert_eq!((&damaged["what"], &damaged["data_file_id"]), (&"missing".into(), &site.world.files[2].id.into()));
    site.call(&["verify", "--destination", "default"]).expect(0).silent();
}
