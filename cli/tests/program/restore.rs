//! What `restore` prints, and with which code it ends.

use std::fs;

use crate::site::Site;

fn backed_up() -> Site {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site
}

#[test]
fn a_dry_run_counts_and_makes_nothing() {
    let site = backed_up();
    let out = site.path("out");
    let words = ["restore", "--all", "--to", out.to_str().unwrap(), "--dry-run"];
    site.call(&words).expect(0).says(&["would restore 3 objects of 3 data files", "27 B"]);
    assert!(!out.exists());
    let json = site.call(&[&["--json"], &words[..]].concat()).expect(0).json();
    assert_eq!((json["objects"]["restored"].as_u64(), json["dry_run"].as_bool()), (Some(3), Some(true)), "{json:#}");
    assert_eq!(json["to"], out.to_str().unwrap());
    site.call(&words[..4]).expect(0).says(&["restored 3 objects"]);
    site.call(&[&["-q"], &words[..4]].concat()).expect(0).silent();
    site.call(&words[..4]).expect(0).says(&["restored 0 objects", "3 already present, read and found good"]);
}

#[test]
fn what_selects_nothing_ends_with_2() {
    let site = backed_up();
    let out = site.path("out");
    let to = ["--to", out.to_str().unwrap()];
    site.call(&[&["restore", "--file", "987654"], &to[..]].concat())
        .expect(2)
        .says(&["there is no data file \"987654\""]);
    let version = ["restore", "--dataset", "doi:10.5072/FK2/ABC", "--names", "--version", "9.0"];
    site.call(&[&version[..], &to[..]].concat()).expect(2).says(&["9.0"]);
    site.call(&[&["restore", "--all", "--destination", "nobody"], &to[..]].concat()).expect(2).says(&["nobody"]);
    assert!(!out.exists());
}

#[test]
fn damage_on_both_sides_is_told_apart() {
    let site = backed_up();
    fs::write(site.object(0), "CONTENT 0").unwrap();
    fs::remove_file(site.object(1)).unwrap();
    let copy = site.path("copies").join(&site.world.objects[1].path);
    fs::write(&copy, "rotten").unwrap();
    let done = site.call(&["--json", "restore", "--all", "--in-place"]).expect(4);
    let json = done.json();
    assert_eq!(json["objects"]["replaced"], 1, "{json:#}");
    assert_eq!(json["damaged_copies"][0]["data_file_id"], site.world.files[1].id, "{json:#}");
    assert_eq!(json["failures"][0]["dataset"], "doi:10.5072/FK2/ABC", "{json:#}");
    assert!(done.err.contains("copies at a destination are missing or damaged"), "{done}");
    assert_eq!(fs::read(site.object(0)).unwrap(), b"content 0");
    assert!(!site.object(1).exists());
    let kept = json["kept"][0].as_str().unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"CONTENT 0");
}

#[test]
fn a_store_that_only_domain_xml_describes_gets_its_files_back() {
    let mut site = backed_up();
    let options = format!(
        "<jvm-options>-Ddataverse.files.file.type=file</jvm-options>\n\
         <jvm-options>-Ddataverse.files.file.directory={}</jvm-options>",
        site.path("files").display()
    );
    let domain = site.path("domain.xml");
    let config = format!("<config name=\"server-config\"><java-config>{options}</java-config></config>");
    fs::write(&domain, format!("<domain><configs>{config}</configs></domain>")).unwrap();
    site.set("Repository", &format!("DomainXml: {}", domain.display()));
    fs::remove_file(site.object(1)).unwrap();
    site.call(&["restore", "--missing", "--in-place"]).expect(0).says(&["restored 1 object"]);
    assert_eq!(fs::read(site.object(1)).unwrap(), b"content 1");
}

#[test]
fn a_version_comes_with_the_names_that_people_know() {
    let site = backed_up();
    let out = site.path("out");
    let words = ["restore", "--dataset", "https://doi.org/10.5072/FK2/ABC", "--names", "--to", out.to_str().unwrap()];
    site.call(&words).expect(0);
    let label = &site.world.files[2].labels[0].label;
    assert_eq!(fs::read(out.join(label)).unwrap(), b"content 2");
}

#[test]
fn what_left_dataverse_comes_back_by_a_snapshot_from_before() {
    let site = backed_up();
    // As if it were of yesterday: of one day, only the newest is kept.
    let own = site.path("copies/.dataverse-backup");
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let snapshot = format!("catalogue-{}-0badcafe.jsonl.zst", yesterday.strftime("%Y%m%dT%H%M%SZ"));
    for it in fs::read_dir(&own).unwrap().map(|it| it.unwrap().path()) {
        match it.extension().and_then(|it| it.to_str()) {
            Some("zst") => fs::rename(it, own.join(&snapshot)).unwrap(),
            Some("sha256") => fs::remove_file(it).unwrap(),
            _ => {}
        }
    }
    let [gone, there] = [0, 1].map(|it| site.world.files[it].id);
    for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
        site.database.execute(&format!("DELETE FROM {table} = {gone}"));
    }
    let out = site.path("out");
    let to = ["--to", out.to_str().unwrap()];
    let (gone, there) = (gone.to_string(), there.to_string());
    let hint = ["file ".to_owned() + &gone + " has left Dataverse", "status --gone".to_owned()];
    let hint: Vec<&str> = hint.iter().map(String::as_str).chain(["--from-snapshot=NAME"]).collect();
    // Also before a run has noticed.
    site.call(&[&["restore", "--file", &gone], &to[..]].concat()).expect(2).says(&hint);
    site.call(&["run", "--accept-disappearance"]).expect(0);
    site.call(&[&["restore", "--file", &gone], &to[..]].concat()).expect(2).says(&hint).says(&["(since 20"]);
    site.call(&[&["restore", "--file", &gone, "--in-place"][..]].concat()).expect(2).says(&hint);
    let both = ["restore", "--file", &gone, "--file", &there, "--dry-run"];
    site.call(&[&both[..], &to[..]].concat()).expect(0).says(&["1 data files of the selection have left Dataverse"]);
    let words = ["restore", "--file", &gone, &format!("--from-snapshot={snapshot}")];
    site.call(&[&words[..], &to[..]].concat()).expect(0).says(&["restored 1 object of 1 data file"]);
    assert_eq!(fs::read(out.join(&site.world.files[0].copies[0].0)).unwrap(), b"content 0");
}

#[test]
fn what_a_killed_restore_left_of_a_snapshot_is_removed() {
    let site = backed_up();
    let tmp = site.path("tmp");
    fs::create_dir(&tmp).unwrap();
    let left = |name: &str| {
        let folder = tmp.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ledger.db"), "names of drafts").unwrap();
        fs::File::create(folder.join("lock")).unwrap()
    };
    let (dead, alive) = (left("dataverse-backup-dead"), left("dataverse-backup-alive"));
    drop(dead);
    alive.lock().unwrap();
    let out = site.path("out");
    let words = ["restore", "--from-snapshot", "--all", "--to", out.to_str().unwrap()];
    crate::site::done(site.command(&words).env("TMPDIR", &tmp)).expect(0);
    let names: Vec<_> = fs::read_dir(&tmp).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["dataverse-backup-alive"]);
    drop(alive);
}
