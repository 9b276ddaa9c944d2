//! Every recipe of docs/snapshot.md, tried on snapshots that runs left.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use dvb_engine::{Options, Summary};
use dvb_model::RunId;
use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind};

/// The recipes by the bold words, or the sentence, before them.
fn recipes() -> BTreeMap<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/snapshot.md");
    let page = fs::read_to_string(page).unwrap();
    let mut recipes = BTreeMap::new();
    let mut title = String::new();
    let mut code: Option<String> = None;
    for line in page.lines() {
        match (&mut code, line) {
            (None, "```sh") => code = Some(String::new()),
            (None, line) if line.starts_with("**") || line.starts_with("Fetch") => {
                title = line.trim_start_matches('*').split(['*', ' ']).take(2).collect::<Vec<_>>().join(" ");
            }
            (Some(text), "```") => {
                recipes.insert(title.clone(), std::mem::take(text));
                code = None;
            }
            (Some(text), line) => text.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    recipes
}

struct Kitchen {
    bench: Bench,
    recipes: BTreeMap<String, String>,
}

impl Kitchen {
    fn new(bench: Bench) -> Self {
        for (program, package) in [("jq", "jq"), ("zstdcat", "zstd"), ("rsync", "rsync")] {
            let found = Command::new(program).arg("--version").output();
            assert!(found.is_ok(), "{program} cannot be started: apt-get install {package}");
        }
        Self { bench, recipes: recipes() }
    }

    /// What a recipe prints, and whether it went well.
    fn try_cook(&self, title: &str, variables: &[(&str, &str)]) -> (String, bool) {
        let own = self.bench.backup.join(".dataverse-backup");
        let code = self.recipes.get(title).unwrap_or_else(|| panic!("no {title:?} in {:?}", self.recipes.keys()));
        let script = format!("S=$(ls catalogue-*.jsonl.zst | tail -n 1)\n{code}");
        let mut bash = Command::new("bash");
        bash.args(["-uc", &script]).current_dir(own).env("LC_ALL", "C");
        let done = bash.envs(variables.iter().copied()).output().unwrap();
        let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (told, done.status.success())
    }

    fn cook(&self, title: &str, variables: &[(&str, &str)]) -> String {
        let (told, well) = self.try_cook(title, variables);
        assert!(well, "{title}: {told}");
        told
    }

    fn run(&self, id: &str) -> Summary {
        self.bench.try_run(&Options { run: RunId(id.into()), rerun: true, ..self.bench.options() }).unwrap()
    }
}

const ONE: &str = "doi:10.5072/FK2/ONE";

/// A dataset of three files, one of which is missing at the source, and one gone after the first of two runs.
fn small() -> Kitchen {
    let folder = temp_folder("cookbook");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    for n in 0..40 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), format!("content {n}").as_bytes());
    }
    let kitchen = Kitchen::new(Bench::new(world, LedgerKind::Sqlite, folder));
    let bench = &kitchen.bench;
    fs::remove_file(bench.source_of(&bench.world.files[1].copies[0].0)).unwrap();
    bench.database.execute(&format!(
        "UPDATE datafile SET restricted = true WHERE id = {id}; UPDATE filemetadata SET restricted = true WHERE datafile_id = {id}",
        id = bench.world.files[2].id
    ));
    kitchen.run("20250101T010203Z-0badcafe");
    bench.database.execute(&format!(
        "DELETE FROM filemetadata WHERE datafile_id = {id}; DELETE FROM datafile WHERE id = {id};
         DELETE FROM dvobject WHERE id = {id}",
        id = bench.world.files[0].id
    ));
    kitchen.run("20250203T010203Z-0badcafe");
    kitchen
}

fn label(bench: &Bench, n: usize) -> String {
    bench.details()[&bench.world.files[n].id].label.clone().unwrap()
}

#[test]
fn the_cookbook_answers() {
    let kitchen = small();
    let bench = &kitchen.bench;
    let overview = kitchen.cook("Fetch `.dataverse-backup`", &[]);
    assert!(overview.contains("20250203T010203Z-0badcafe") && overview.contains(r#""files": 39"#), "{overview}");
    let key = |n: usize| bench.world.files[n].copies[0].0.clone();
    let id = |n: usize| bench.world.files[n].id;
    for n in [0, 2] {
        let whose = kitchen.cook("Whose object", &[("KEY", &key(n))]);
        assert_eq!(whose, format!("{ONE}\t{}\t{}\n", id(n), label(bench, n)));
    }
    assert_eq!(kitchen.cook("Whose object", &[("KEY", "10.5072/FK2/ONE/none")]), "");
    let version = bench
        .database
        .client()
        .query_one("SELECT versionnumber || '.' || minorversionnumber FROM datasetversion LIMIT 1", &[])
        .unwrap()
        .get::<_, Option<String>>(0);
    let held = kitchen.cook("What did", &[("PID", ONE), ("V", version.as_deref().unwrap())]);
    assert_eq!(held.lines().count(), 39);
    assert!(held.contains(&format!("\t{}\t{}\n", label(bench, 2), key(2))), "{held}");
    assert!(held.contains(&format!("\t{}\tNO COPY\n", label(bench, 1))), "{held}");
    assert_eq!(kitchen.cook("What did", &[("PID", ONE), ("V", "99.0")]), "");
    let without = kitchen.cook("Which files", &[]);
    assert_eq!(without.lines().count(), 1, "{without}");
    assert!(without.starts_with(&format!("{}\tFAIL_READ\t{ONE}\t", id(1))), "{without}");
    let left = kitchen.cook("What has", &[]);
    assert!(left.starts_with("20") && left.contains(&key(0)) && left.lines().count() == 1, "{left}");
    let counts: serde_json::Value = serde_json::from_str(&kitchen.cook("How many", &[])).unwrap();
    assert_eq!(counts, serde_json::json!({ "OK": 38, "FAIL_READ": 1 }));
    let restricted = kitchen.cook("Which ones", &[]);
    assert_eq!(restricted, format!("{ONE}\t{}\t{}\trestricted\t\t\n", id(2), label(bench, 2)));
}

#[test]
fn copies_are_checked_and_fetched() {
    let kitchen = small();
    let bench = &kitchen.bench;
    let root = bench.backup.display().to_string();
    let key = bench.world.files[2].copies[0].0.clone();
    let variables = [("PID", ONE), ("ROOT", root.as_str())];
    assert_eq!(kitchen.cook("Are all", &variables), "");
    fs::write(bench.backup.join(&key), "rotten").unwrap();
    let (told, well) = kitchen.try_cook("Are all", &variables);
    assert!(!well && told.contains(&format!("{key}: FAILED")), "{told}");
    let to = bench.folder.path().join("fetched");
    let to_text = to.display().to_string();
    kitchen.cook("Fetch the", &[("PID", ONE), ("FROM", &format!("{root}/")), ("TO", &to_text)]);
    let mut expected = bench.copies();
    expected.remove(&bench.world.files[0].copies[0].0);
    files::assert_same(&expected, &files::tree(&to));
}

#[test]
fn the_chain_is_checked() {
    let kitchen = small();
    let own = kitchen.bench.backup.join(".dataverse-backup");
    let first = "catalogue-20250101T010203Z-0badcafe.jsonl.zst";
    assert_eq!(kitchen.cook("Is the", &[]), format!("{first}: OK\n"));
    let second = "catalogue-20250203T010203Z-0badcafe.jsonl.zst";
    assert_eq!(kitchen.cook("Has each", &[]), format!("{first}: OK\n{second}: OK\n"));
    let mut bytes = fs::read(own.join(first)).unwrap();
    // Not in its first line, which is read too: in the checksum behind the last.
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(own.join(first), bytes).unwrap();
    let (told, well) = kitchen.try_cook("Is the", &[]);
    assert!(!well && told.contains(&format!("{first}: FAILED")), "{told}");
    let (told, well) = kitchen.try_cook("Has each", &[]);
    assert!(!well && told.contains(&format!("{first}: FAILED")), "{told}");
}

#[test]
fn the_cookbook_copes_with_every_kind() {
    let kitchen = Kitchen::new(Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite));
    let summary = kitchen.bench.run();
    let counts: serde_json::Value = serde_json::from_str(&kitchen.cook("How many", &[])).unwrap();
    let total: u64 = counts.as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(total, summary.files.catalogued);
    for key in kitchen.bench.copies().keys() {
        let whose = kitchen.cook("Whose object", &[("KEY", key)]);
        assert_eq!(whose.lines().count(), 1, "{key}: {whose}");
    }
    kitchen.cook("Which ones", &[]);
    kitchen.cook("Which files", &[]);
}
