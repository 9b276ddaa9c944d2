//! `report` from outside: where it goes, what it says, and who may read it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::site::Site;

fn with_facts() -> Site {
    let mut site = Site::new();
    site.add("Backup", "Place: Room 12\nMedium: disks\nRegion: north\nAdministrator: Alex Doe\nVerifyEvery: 30d");
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site
}

#[test]
fn a_page_is_printed() {
    let site = with_facts();
    let said = site.call(&["report"]).expect(0).says(&[
        "met      every covered data file is safe at default: all 3 data files are safe",
        "met      each copy at default is verified every 30 d",
        "none     Dataverse's own files are read again regularly: no interval is set",
        "holdings: 3 data files",
        "place Room 12, region north, medium disks, by Alex Doe",
        "newest snapshot at default",
        "incidents: 0 open",
    ]);
    assert!(said.err.is_empty(), "{said}");
    site.call(&["report", "--since", "2999-01-01"]).expect(2).says(&["--since is a day in the future"]);
    site.call(&["report", "--since", "yesterday"]).expect(2);
}

#[test]
fn damage_that_was_repaired_stays_in_the_report() {
    let site = with_facts();
    let copy = site.path("copies").join(&site.world.files[0].copies[0].0);
    fs::write(&copy, "rotten").unwrap();
    site.call(&["verify"]).expect(4);
    let report = site.call(&["report", "--json"]).expect(0).json();
    assert_eq!((&report["incidents"]["open"], &report["promises"][0]["state"]), (&1.into(), &"not-met".into()));
    site.call(&["report"]).expect(0).says(&["NOT MET", "1 open since", "damaged in destination default"]);
    site.call(&["run"]).expect(0);
    let report = site.call(&["report", "--json"]).expect(0).json();
    let incident = &report["incidents"]["all"][0];
    assert_eq!((&incident["open"], &incident["found_by"]), (&false.into(), &"verify".into()));
    assert!(incident["expected"]["digest"].is_string() && incident["repair"]["evidence"].is_string(), "{incident:#}");
    assert_eq!(report["fixity"][0]["checks"]["bad"], 1);
}

#[test]
fn json_goes_to_stdout_or_to_a_file() {
    let site = with_facts();
    let printed = site.call(&["report", "--json"]).expect(0).json();
    assert_eq!(site.call(&["--json", "report"]).expect(0).json()["format"], printed["format"]);
    let path = site.path("report.json");
    site.call(&["report", "--json", path.to_str().unwrap()]).expect(0).silent();
    let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["head"]["installation"], printed["head"]["installation"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let public = site.path("public.json");
    site.call(&["report", "--public", "--json", public.to_str().unwrap()]).expect(0).silent();
    assert_eq!(fs::metadata(&public).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(!fs::read_to_string(&public).unwrap().contains("Alex Doe"));
    // Everywhere else it takes none.
    site.call(&["status", "--json"]).expect(0).json();
    site.call(&["status", "--json", path.to_str().unwrap()]).expect(2);
    let nowhere = site.path("no/report.json");
    site.call(&["report", "--json", nowhere.to_str().unwrap()]).expect(2).says(&["cannot write the report"]);
}
