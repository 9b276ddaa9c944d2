//! `purge`, as two people and a crontab call it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use dvb_testkit::files;
use serde_json::Value;

use crate::site::{Done, Site, done};

/// Whether the kernel knows who logged in: then nobody can be another person by what sudo says.
fn is_logged_in() -> bool {
    fs::read_to_string("/proc/self/loginuid").is_ok_and(|it| it.trim() != u32::MAX.to_string())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// A site whose first data file has left Dataverse, with its copy.
fn site(repository: &str) -> (Site, String, String) {
    let mut site = Site::new();
    let alone = is_logged_in() || !is_root();
    site.add("Repository", &format!("{repository}\n{}", if alone { "PurgeApproval: none" } else { "" }));
    site.call(&["init"]).expect(0);
    let id = site.world.files[0].id.to_string();
    site.database.execute(&format!("UPDATE filemetadata SET label = 'Jane Doe.txt' WHERE datafile_id = {id}"));
    site.call(&["run"]).expect(0);
    delete(&site, &id);
    site.call(&["run", "--accept-disappearance"]).expect(0);
    let key = site.world.files[0].copies[0].0.clone();
    (site, id, key)
}

fn delete(site: &Site, id: &str) {
    for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
        site.database.execute(&format!("DELETE FROM {table} = {id}"));
    }
}

/// A call by somebody who became root.
fn command(site: &Site, uid: u32, words: &[&str]) -> Command {
    let mut command = site.command(words);
    command.env("SUDO_UID", uid.to_string());
    command
}

fn call(site: &Site, uid: u32, words: &[&str]) -> Done {
    done(&mut command(site, uid, words))
}

fn request(site: &Site, id: &str) -> (String, String) {
    let words = ["--json", "purge", "request", "--file", id, "--basis", "gdpr-17", "--reference", "case 7"];
    let asked = call(site, 7001, &words).expect(0).json();
    (asked["purge"]["number"].to_string(), asked["purge"]["digest"].as_str().unwrap().to_owned())
}

/// Everything at the destination, what is compressed opened.
fn all_that_is_said(site: &Site) -> String {
    let mut said = String::new();
    for (name, bytes) in files::tree(&site.path("copies")) {
        let bytes = if name.ends_with(".zst") { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes };
        said += &format!("{name}\n{}\n", String::from_utf8_lossy(&bytes));
    }
    said
}

#[test]
fn a_purge_takes_two_people_and_is_on_record() {
    let (site, id, key) = site("PurgeGrace: 0");
    let words = ["purge", "request", "--file", &id, "--basis", "gdpr-17", "--reference", "case 7"];
    let asked = call(&site, 7001, &words).expect(0).says(&["purge 1", &key, "digest", "purge approve 1"]);
    let digest = asked.out.split("digest ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(all_that_is_said(&site).contains("Jane Doe"));
    call(&site, 7002, &["purge", "approve", "1", "0123456789abcdef"]).expect(7).says(&["the digest does not match"]);
    if !is_logged_in() && is_root() {
        let same = call(&site, 7001, &["purge", "approve", "1", &digest]).expect(7);
        same.says(&["needs the approval of another person", "uid 7001"]);
    }
    call(&site, 7002, &["purge", "execute", "1"]).expect(7).says(&["purge 1 is requested"]);
    call(&site, 7002, &["purge", "list"]).expect(1).says(&["to be approved", "case 7"]);
    call(&site, 7002, &["purge", "approve", "1", &digest]).expect(0).says(&["approved"]);
    call(&site, 7003, &["purge", "execute"]).expect(0).says(&["done", "nothing is left"]);
    let said = all_that_is_said(&site);
    for word in ["Jane Doe", &key, key.rsplit('/').next().unwrap(), "content 0"] {
        assert!(!said.contains(word), "{word} is still there:\n{said}");
    }
    assert!(said.contains("content 1") && said.contains("tombstone-"));
    // Nor do the pages that rows of the ledger have left.
    for (name, bytes) in files::tree(&site.path("state")) {
        let text = String::from_utf8_lossy(&bytes);
        for word in ["Jane Doe", &key] {
            assert!(!text.contains(word), "{word} is still in {name}");
        }
    }
    assert!(site.path("state/ledger.db").exists());
    let listed = call(&site, 7003, &["purge", "list"]).expect(0);
    listed.says(&["requested by", "approved  by", "executed  by", "gdpr-17", "case 7", "0 left"]);
    let status = site.call(&["status", "--json"]).expect(0).json();
    assert_eq!(status["destinations"][0]["last_run"]["command"], "purge");
    site.call(&["status"]).expect(0).says(&["PURGED"]);
    assert_eq!(site.call(&["--json", "status", "--gone"]).expect(0).out, "", "its copies are not kept");
    site.call(&["status", "--file", &id]).expect(0).says(&["PURGED", "case 7"]);
    site.call(&["run"]).expect(0);
    site.call(&["restore", "--file", &id, "--to", &site.path("back").display().to_string()])
        .expect(2)
        .says(&["purged"]);
    site.call(&["verify"]).expect(0);
    site.call(&["repair"]).expect(0);
    site.call(&["drill"]).expect(0);
    let report = site.call(&["report", "--json"]).json();
    assert!(!report.to_string().contains("Jane Doe"), "{report}");
    let purges = &report["purges"];
    assert_eq!((&purges["commands"], &purges["by_basis"][0]["basis"]), (&1.into(), &"gdpr-17".into()), "{purges}");
    assert!(purges["by_basis"][0]["objects"].as_u64().is_some_and(|it| it > 0), "{purges}");
    let premis = site.path("premis.xml");
    site.call(&["report", "--premis", &premis.display().to_string()]);
    let premis = fs::read_to_string(premis).unwrap();
    assert!(premis.contains("deletion") && premis.contains("purge execute"), "{premis}");
}

#[test]
fn a_purge_waits_for_its_grace_and_may_be_given_up() {
    let (site, id, _) = site("");
    let (number, digest) = request(&site, &id);
    call(&site, 7002, &["purge", "approve", &number, &digest]).expect(7).says(&["the grace of purge 1 lasts until"]);
    call(&site, 7002, &["purge", "withdraw", &number]).expect(0);
    call(&site, 7002, &["purge", "approve", &number, &digest]).expect(7).says(&["withdrawn"]);
    call(&site, 7002, &["purge", "execute"]).expect(0).says(&["no purge is approved"]);
    // What Dataverse has is not purged by mistake.
    let there = site.world.files[1].id.to_string();
    let words = ["purge", "request", "--file", &there, "--basis", "x", "--reference", "y"];
    call(&site, 7001, &words).expect(7).says(&["still in Dataverse's catalogue", "--even-if-in-dataverse"]);
    let all = ["purge", "request", "--basis", "x", "--reference", "y"];
    call(&site, 7001, &all).expect(2).says(&["nothing was named"]);
    let hold = ["purge", "hold", "--dataset", "doi:10.5072/FK2/ABC", "--reference", "court 3"];
    call(&site, 7001, &hold).expect(0).says(&["hold 1"]);
    let words = ["purge", "request", "--file", &id, "--basis", "x", "--reference", "y"];
    call(&site, 7001, &words).expect(7).says(&["under hold 1 (court 3)", "purge release"]);
    call(&site, 7001, &["purge", "release", "1", "--reference", "lifted"]).expect(0);
    call(&site, 7001, &words).expect(0);
}

#[test]
fn a_purge_that_is_killed_at_any_moment_goes_on() {
    let mut killed = 0;
    for step in 0..40 {
        let (site, id, key) = site("PurgeGrace: 0");
        let (number, digest) = request(&site, &id);
        call(&site, 7002, &["purge", "approve", &number, &digest]).expect(0);
        let mut child =
            command(&site, 7003, &["purge", "execute"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Not to wait for something: this is when it dies.
        std::thread::sleep(Duration::from_millis(step * 12));
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(!has_ended);
        let listed: Value = call(&site, 7003, &["--json", "purge", "list"]).json();
        if listed["purges"][0]["state"] == "done" {
            assert!(!all_that_is_said(&site).contains("Jane Doe"), "done, and is not, at {step}");
        }
        site.call(&["run"]).expect(0);
        call(&site, 7003, &["purge", "execute"]).expect(0);
        let said = all_that_is_said(&site);
        assert!(!said.contains("Jane Doe") && !said.contains(&key), "after a kill at {step}:\n{said}");
        call(&site, 7003, &["purge", "list"]).expect(0);
        site.call(&["verify"]).expect(0);
        if has_ended {
            break;
        }
    }
    assert!(killed > 0, "it was over before it could be killed");
}
