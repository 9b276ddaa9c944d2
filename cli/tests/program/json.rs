//! `--json`: what each command prints is what `docs/json.md` says of it, with one destination and with several.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, iter};

use serde_json::{Value, json};

use crate::site::{Done, Site, done, program};

/// The list that has the keys of its own table in each of its objects.
const LIST_OF_THIS: &str = "list of this";

/// The table of one command: the type of each path.
type Table = BTreeMap<String, String>;

/// The page, with the tables that were compared.
struct Page {
    tables: BTreeMap<String, Table>,
    compared: Vec<String>,
}

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
        let (mut tables, mut command) = (BTreeMap::<String, Table>::new(), String::new());
        for line in fs::read_to_string(path).unwrap().lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                command = heading.trim_matches('`').to_owned();
            } else if let Some(row) = line.strip_prefix("| `") {
                let (path, rest) = row.split_once("` | ").unwrap();
                let (kind, _) = rest.split_once(" | ").unwrap();
                let before = tables.entry(command.clone()).or_default().insert(path.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{command}: {path} is there twice");
            }
        }
        Self { tables, compared: Vec::new() }
    }

    /// Fails where an object is not what the page says of this command.
    #[track_caller]
    fn describes(&mut self, command: &str, value: &Value) {
        let table = self.tables.get(command).unwrap_or_else(|| panic!("docs/json.md has no section {command}"));
        let differences = differences(table, value);
        assert!(differences.is_empty(), "docs/json.md, {command}:\n{}\n{value:#}", differences.join("\n"));
        self.compared.push(command.to_owned());
    }

    /// The same of a call's one object, which comes back.
    #[track_caller]
    fn describes_result(&mut self, command: &str, call: &Done) -> Value {
        let value = call.json();
        assert_eq!(value["exit_code"], call.code, "{call}");
        assert!(value["error"].is_null(), "{call}");
        self.describes(command, &value);
        value
    }

    /// The same of JSON Lines, of which there must be some.
    #[track_caller]
    fn describes_lines(&mut self, command: &str, call: &Done) {
        assert!(!call.out.is_empty(), "{call}");
        call.out.lines().for_each(|line| self.describes(command, &serde_json::from_str(line).unwrap()));
    }

    /// Fails where the page describes what no call has shown.
    #[track_caller]
    fn expect_all_compared(&self) {
        for command in self.tables.keys() {
            assert!(self.compared.contains(command), "{command} was not compared");
        }
    }
}

fn differences(table: &Table, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(table, "", "object", value, &mut found);
    found
}

fn compare(table: &Table, path: &str, kinds: &str, value: &Value, found: &mut Vec<String>) {
    let kinds = kinds.trim_end_matches(", optional");
    let Some(kind) = kinds.split(" or ").find(|it| is(it, value)) else {
        return found.push(format!("{path} should be {kinds}, and is {value}"));
    };
    match value {
        Value::Object(object) => {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in object {
                let row = [below(key), below("*")].into_iter().find_map(|it| table.get_key_value(&it));
                match row {
                    Some((path, kinds)) => compare(table, path, kinds, value, found),
                    None => found.push(format!("{} is not on the page", below(key))),
                }
            }
            let is_short = object.get("error").is_some_and(Value::is_string) || is_of_several(table, path, value);
            for key in table.keys().filter_map(|it| key_below(path, it)).filter(|_| !is_short) {
                let is_optional = table[&below(key)].ends_with(", optional");
                let is_list_in_itself = table[&below(key)] == LIST_OF_THIS;
                if key != "*" && !is_optional && !is_list_in_itself && !object.contains_key(key) {
                    found.push(format!("{} is on the page alone", below(key)));
                }
            }
        }
        Value::Array(items) if kind == LIST_OF_THIS => {
            items.iter().for_each(|it| compare(table, "", "object", it, found));
        }
        Value::Array(items) => {
            let of = kind.trim_start_matches("list of ").trim_end_matches('s');
            items.iter().for_each(|it| compare(table, &format!("{path}[]"), of, it, found));
        }
        _ => {}
    }
}

/// The key that a row tells of in the objects at `path`, if it is one of theirs.
fn key_below<'a>(path: &str, row: &'a str) -> Option<&'a str> {
    let key = if path.is_empty() { row } else { row.strip_prefix(path)?.strip_prefix('.')? };
    (!key.contains(['.', '['])).then_some(key)
}

/// The list and the exit code are all that is at the top for several destinations.
fn is_of_several(table: &Table, path: &str, value: &Value) -> bool {
    let mut lists = table.iter().filter(|(_, kind)| *kind == LIST_OF_THIS);
    path.is_empty() && lists.any(|(key, _)| value[key].as_array().is_some_and(|it| it.len() != 1))
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        "list" => value.is_array(),
        _ => kind.starts_with("list of ") && value.is_array(),
    }
}

#[test]
fn json_differs_from_the_page_by_a_key_too_many_too_few_or_of_another_type() {
    let rows = [("a", "integer or null"), ("b", "list of objects"), ("b[].c", "string"), ("d", "boolean, optional")];
    let table: Table = rows.map(|(path, kind)| (path.to_owned(), kind.to_owned())).into();
    let found = |value: Value| differences(&table, &value);
    assert_eq!(found(json!({ "a": null, "b": [{ "c": "x" }] })), [""; 0]);
    assert_eq!(found(json!({ "a": 1, "b": [], "d": true })), [""; 0]);
    assert_eq!(found(json!({ "a": 1, "b": [], "e": 1 })), ["e is not on the page"]);
    assert_eq!(found(json!({ "a": 1 })), ["b is on the page alone"]);
    assert_eq!(found(json!({ "a": 1, "b": [{}] })), ["b[].c is on the page alone"]);
    assert_eq!(found(json!({ "a": "1", "b": [] })), ["a should be integer or null, and is \"1\""]);
    assert_eq!(found(json!({ "a": 1, "b": [{ "c": 2 }] })), ["b[].c should be string, and is 2"]);
}

#[test]
fn json_of_each_command_is_what_its_page_says() {
    let mut page = Page::read();
    let mut site = Site::new();
    site.add("Repository", "AuditEvery: 1d\nPurgeApproval: none\nPurgeGrace: 0");
    site.add("Backup", "VerifyEvery: 1d");
    let path = |name: &str| site.path(name).display().to_string();
    let ids: Vec<_> = site.world.files.iter().map(|it| it.id.to_string()).collect();
    let key = |file: usize| &site.world.files[file].copies[0].0;
    let call = |words: &[&str]| site.call(&[&["--json"], words].concat());

    let logo = "10.5072/FK2/ABC/dataset_logo_original";
    fs::write(site.path("files").join(logo), "logo").unwrap();

    page.describes_result("check", &call(&["check"]));
    page.describes_result("init", &call(&["init"]));
    page.describes_result("run", &call(&["run", "--dry-run"]));
    page.describes_result("run", &call(&["run"]));
    page.describes_result("verify", &call(&["verify"]));
    page.describes_result("audit", &call(&["audit"]));
    page.describes_result("check", &call(&["check"]));
    page.describes_result("snapshots", &call(&["snapshots"]));
    page.describes_result("status", &call(&["status"]));
    page.describes_result("catalogue export", &call(&["catalogue", "export", "-o", &path("export.jsonl")]));

    // Of the first file the object is gone, of the second the copy is elsewhere, the third's copy and the logo's rot.
    fs::remove_file(site.object(0)).unwrap();
    fs::rename(site.path("copies").join(key(1)), site.path("copies/else")).unwrap();
    fs::write(site.path("copies").join(key(2)), "rotten").unwrap();
    fs::write(site.path("copies").join(logo), "rotten").unwrap();
    page.describes_result("restore", &call(&["restore", "--all", "--to", &path("back")]));
    let drilled = page.describes_result("drill", &call(&["drill"]));
    assert!(!drilled["failures"].as_array().unwrap().is_empty());
    page.describes_result("orphans", &call(&["orphans"]));
    let verified = page.describes_result("verify", &call(&["verify"]));
    assert!(!verified["damaged"].as_array().unwrap().is_empty());
    let found = page.describes_result("orphans", &call(&["orphans"]));
    assert!(!found["destinations"][0]["orphans"][0]["is"].as_array().unwrap().is_empty());
    let audited = page.describes_result("audit", &call(&["audit"]));
    assert!(!audited["findings"].as_array().unwrap().is_empty());
    page.describes_result("repair", &call(&["repair"]));
    page.describes_result("status", &call(&["status"]));
    page.describes_lines("status --failed", &call(&["status", "--failed"]));
    let repaired = page.describes_result("repair", &call(&["repair", "--apply"]));
    assert!(!repaired["items"].as_array().unwrap().is_empty());
    // It was mended, and goes again.
    fs::remove_file(site.object(0)).unwrap();
    let run = page.describes_result("run", &call(&["run"]));
    assert!(!run["failures"].as_array().unwrap().is_empty());
    let acknowledged = ["acknowledge", "--file", &ids[0], "--reason", "deleted by the depositor"];
    page.describes_result("acknowledge", &call(&acknowledged));
    page.describes_result("incident note", &call(&["incident", "note", "1", "a disk died"]));
    let incidents = page.describes_result("incident list", &call(&["incident", "list"]));
    assert!(!incidents["incidents"].as_array().unwrap().is_empty());
    page.describes_result("status", &call(&["status", "--file", &ids[2], "--require", "copies=2"]));
    page.describes_result("status", &call(&["status", "--dataset", "doi:10.5072/FK2/ABC"]));
    page.describes_lines("status --failed", &call(&["status", "--failed", "--file", &ids[0]]));
    for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
        site.database.execute(&format!("DELETE FROM {table} = {}", ids[2]));
    }
    page.describes_result("run", &call(&["run", "--accept-disappearance"]));
    page.describes_lines("status --gone", &call(&["status", "--gone"]));
    page.describes_result("purge hold", &call(&["purge", "hold", "--file", &ids[2], "--reference", "court 3"]));
    page.describes_result("purge list", &call(&["purge", "list"]));
    page.describes_result("purge hold", &call(&["purge", "release", "1", "--reference", "lifted"]));
    let request = ["purge", "request", "--file", &ids[2], "--basis", "gdpr-17", "--reference", "case 7"];
    let asked = page.describes_result("purge request", &call(&request));
    let (number, digest) = (asked["purge"]["number"].to_string(), asked["purge"]["digest"].as_str().unwrap());
    page.describes_result("purge approve", &call(&["purge", "approve", &number, digest]));
    page.describes_result("purge list", &call(&["purge", "list"]));
    page.describes_result("purge execute", &call(&["purge", "execute"]));
    page.describes_result("purge list", &call(&["purge", "list"]));
    page.describes_result("run", &call(&["run"]));
    page.describes_result("status", &call(&["status", "--file", &ids[2]]));
    page.describes("report", &call(&["report"]).json());
    page.describes("report", &call(&["report", "--public"]).json());
    fs::remove_dir_all(site.path("state")).unwrap();
    page.describes_result("rebuild", &call(&["rebuild"]));
    page.describes_result("status", &call(&["status"]));
    let configured = done(program().args(["--json", "configure", "--output", &path("new.ini")]));
    page.describes_result("configure", &configured);
    page.expect_all_compared();

    let help = done(program().arg("--help")).out;
    let commands = help.lines().skip_while(|it| *it != "Commands:").skip(1).take_while(|it| !it.is_empty());
    let names = commands.filter(|it| !it.starts_with("   ")).filter_map(|it| it.split_whitespace().next());
    for name in names.filter(|it| !["completions", "man", "help"].contains(it)) {
        let is_it = |it: &String| it.split(' ').next() == Some(name);
        assert!(page.tables.keys().any(is_it), "docs/json.md has nothing of {name}");
    }
}

#[test]
fn json_has_the_same_list_for_one_destination_and_for_several() {
    let mut page = Page::read();
    let mut site = Site::new();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("b").display()));
    page.describes_result("init", &site.call(&["init", "--json"]));
    let calls = [("run", "runs"), ("verify", "runs"), ("drill", "destinations"), ("rebuild", "runs")];
    for (command, list) in calls {
        if command == "rebuild" {
            fs::remove_dir_all(site.path("state")).unwrap();
        }
        let both = page.describes_result(command, &site.call(&[command, "--json"]));
        let names: Vec<_> = both[list].as_array().unwrap().iter().map(|it| &it["destination"]).collect();
        assert_eq!(names, ["default", "second"], "{both:#}");
        assert_eq!(both.as_object().unwrap().len(), 2, "{both:#}");
        if command == "rebuild" {
            fs::remove_dir_all(site.path("state")).unwrap();
        }
        let one = page.describes_result(command, &site.call(&[command, "--json", "--destination", "second"]));
        let mut top = one.as_object().unwrap().clone();
        let runs = top.remove(list).unwrap();
        assert_eq!(iter::once(Value::from(top)).collect::<Value>(), runs, "{one:#}");
    }
    page.describes_result("orphans", &site.call(&["orphans", "--json"]));
    page.describes_result("snapshots", &site.call(&["snapshots", "--json"]));
    page.describes_result("status", &site.call(&["status", "--json"]));
}

#[test]
fn json_of_a_destination_that_cannot_be_had_is_on_the_page_too() {
    let mut page = Page::read();
    let mut site = Site::copied();
    site.add("Backup second", "StorageType: s3\nS3Bucket: b\nS3Profile: nobody");
    for command in ["run", "verify", "drill", "orphans", "snapshots", "init", "rebuild"] {
        let both = site.call(&[command, "--json"]);
        assert_ne!(both.code, 0, "{both}");
        page.describes_result(command, &both);
    }
    let one = site.call(&["verify", "--json", "--destination", "second"]);
    let value = one.json();
    page.describes("verify", &value);
    assert_eq!((&value["runs"][0]["error"], &value["exit_code"]), (&value["error"], &one.code.into()), "{one}");
    assert!(value["error"].is_string(), "{one}");
    let never_began = site.call(&["run", "--json", "--destination", "third"]).json();
    assert_eq!(never_began.as_object().unwrap().keys().collect::<Vec<_>>(), ["error", "exit_code"]);
}
