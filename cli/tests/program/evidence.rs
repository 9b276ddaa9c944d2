//! What a repository shows of its copies: acknowledged losses, incidents with their causes, a gate for monitoring.

use std::fs;

use crate::site::{Site, done};

#[test]
fn an_acknowledged_loss_raises_no_alarm_and_is_counted_apart() {
    let site = Site::copied();
    let id = site.world.files[1].id.to_string();
    site.call(&["acknowledge", "--file", &id, "--reason", "lost"]).expect(1).says(&["not acknowledged: it is safe"]);
    site.call(&["acknowledge", "--file", "99999", "--reason", "lost"]).expect(2);
    site.call(&["acknowledge", "--file", &id]).expect(2).says(&["--reason"]);
    site.call(&["acknowledge", "--file", &id, "--reason", " "]).expect(2).says(&["--reason is empty"]);
    fs::remove_file(site.object(1)).unwrap();
    site.call(&["audit"]).expect(3);
    site.call(&["run"]).expect(3);
    site.call(&["acknowledge", "--file", &id, "--reason", "deleted by the depositor"])
        .expect(0)
        .says(&["acknowledged"]);
    site.call(&["run"]).expect(0).silent();
    site.call(&["audit"]).expect(0).silent();
    let run = site.call(&["run", "--json"]).expect(0).json();
    assert_eq!((&run["files"]["acknowledged"], &run["files"]["failed"]), (&1.into(), &0.into()), "{run:#}");
    site.call(&["status"]).expect(0).says(&["acknowledged           1", "FAIL_READ              1"]);
    assert_eq!(site.call(&["status", "--json"]).expect(0).json()["destinations"][0]["acknowledged"], 1);
    // The incident stays open: it is known, and not made good.
    site.call(&["incident", "list", "--open"]).expect(1).says(&["OPEN incident", "1 of all open"]);
    site.call(&["acknowledge", "--file", &id, "--withdraw"]).expect(0);
    site.call(&["status"]).expect(1);
    site.call(&["run"]).expect(3);
}

#[test]
fn a_copy_that_rots_is_one_incident_with_a_cause() {
    let site = Site::copied();
    let key = "10.5072/FK2/ABC";
    let copy = fs::read_dir(site.path("copies").join(key)).unwrap().next().unwrap().unwrap().path();
    fs::write(&copy, "rotten").unwrap();
    site.call(&["verify"]).expect(4);
    site.call(&["verify"]).expect(4);
    let open = site.call(&["incident", "list", "--json", "--open"]).expect(1).json();
    let number = open["incidents"][0]["number"].to_string();
    assert_eq!(open["incidents"].as_array().unwrap().len(), 1, "{open:#}");
    site.call(&["incident", "note", &number, "a disk\u{202e} died"]).expect(0);
    site.call(&["incident", "note", "4711", "nothing"]).expect(2).says(&["there is no incident 4711"]);
    site.call(&["incident", "note", &number, ""]).expect(2);
    site.call(&["run"]).expect(0);
    let all = site.call(&["incident", "list", "--json"]).expect(0).json();
    let incident = &all["incidents"][0];
    assert_eq!((&incident["open"], &incident["note"]["text"]), (&false.into(), &"a disk\u{202e} died".into()));
    for side in ["expected", "actual"] {
        assert!(!incident[side]["digest"].is_null(), "{incident:#}");
    }
    site.call(&["incident", "list"]).expect(0).says(&["a disk\\u{202e} died", "repaired", "0 of all open"]);
}

#[test]
fn a_gate_names_what_falls_short() {
    let site = Site::copied();
    site.call(&["status", "--require", "copies=1,verified=1d,audited=1d"]).expect(0);
    site.call(&["status", "--require", "copies=2"])
        .expect(1)
        .says(&["not met: 3 data files with fewer than 2 proved copies", "1 copies: OK"]);
    let json = site.call(&["status", "--json", "--require", "copies=2"]).expect(1).json();
    assert_eq!((&json["require"]["met"], &json["exit_code"]), (&false.into(), &1.into()), "{json:#}");
    assert_eq!(json["require"]["files_with_too_few_copies"].as_array().unwrap().len(), 3);
    // So old are the proofs now at least.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    site.call(&["status", "--require", "verified=1s"]).expect(1).says(&["copies were not verified"]);
    site.call(&["status", "--require", "copies=none"]).expect(2).says(&["copies=none"]);
}

#[test]
fn a_drill_brings_a_sample_back_and_says_what_does_not_come() {
    let site = Site::copied();
    let json = site.call(&["drill", "--json"]).expect(0).json();
    assert_eq!((&json["sample"], &json["good"], &json["by_dataverse"]), (&3.into(), &3.into(), &3.into()), "{json:#}");
    assert_eq!((&json["population"], &json["bytes"]), (&3.into(), &27.into()));
    site.call(&["drill", "--sample", "2", "-v"]).expect(0).says(&["2 of 2 data files came back as they were"]);
    site.call(&["drill"]).expect(0).silent();
    // Without the stores, and without any database.
    fs::rename(site.path("files"), site.path("files-away")).unwrap();
    site.call(&["drill"]).expect(0);
    let json = site.call(&["drill", "--json", "--from-snapshot"]).expect(0).json();
    assert_eq!((&json["good"], &json["by_dataverse"]), (&3.into(), &3.into()), "{json:#}");
    let copy = fs::read_dir(site.path("copies").join("10.5072/FK2/ABC")).unwrap().next().unwrap().unwrap().path();
    fs::write(&copy, "rotten 99").unwrap();
    let json = site.call(&["drill", "--json"]).expect(4).json();
    assert_eq!((&json["good"], &json["objects"]["damaged_copies"]), (&2.into(), &1.into()), "{json:#}");
    assert!(json["failures"][0]["reason"].is_string(), "{json:#}");
    site.call(&["incident", "list", "--open"]).expect(1);
}

#[test]
fn a_drill_names_what_keeps_everything_from_coming_back() {
    let site = Site::copied();
    fs::rename(site.path("copies"), site.path("copies-away")).unwrap();
    let drill = site.call(&["drill"]);
    assert!(!drill.err.contains("cannot keep the list"), "{drill}");
    assert!(drill.err.contains("copies"), "{drill}");
    assert_ne!(drill.code, 0, "{drill}");
    fs::create_dir(site.path("copies")).unwrap();
    let drill = site.call(&["drill"]);
    assert!(!drill.err.contains("cannot keep the list") && drill.code != 0, "{drill}");
}

#[test]
fn a_drill_that_is_killed_leaves_nothing_that_stays() {
    let mut site = Site::copied();
    // So slow that it is under way for minutes.
    site.add("Backup", "BandwidthLimit: 1");
    let temporary = site.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut killed = site.command(&["drill"]).env("TMPDIR", &temporary).spawn().unwrap();
    let is_begun = || fs::read_dir(&temporary).unwrap().flatten().any(|it| it.path().join("drill").exists());
    while !is_begun() {
        assert!(killed.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 1);
    site.change("Backup", "BandwidthLimit", "100MiB/s");
    let again = done(site.command(&["drill", "--json"]).env("TMPDIR", &temporary)).expect(0).json();
    assert_eq!(again["good"], 3, "{again:#}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "what was left is swept");
    let report = site.call(&["report", "--json"]).json();
    let drills = report["drills"].to_string();
    assert!(drills.contains("null"), "the one that was killed has no end: {report:#}");
}

#[test]
fn a_drill_compares_with_dataverses_own_checksum() {
    let site = Site::copied();
    let id = site.world.files[1].id;
    let other = "UPDATE datafile SET checksumvalue = 'ffffffffffffffffffffffffffffffff' WHERE id =";
    site.database.execute(&format!("{other} {id}"));
    let json = site.call(&["drill", "--json"]).expect(1).json();
    assert_eq!((&json["good"], &json["by_dataverse"]), (&2.into(), &2.into()), "{json:#}");
    let failure = &json["failures"][0];
    assert_eq!(failure["data_file_id"], id, "{json:#}");
    assert!(failure["reason"].as_str().unwrap().contains("that Dataverse recorded, ffff"), "{json:#}");
}
