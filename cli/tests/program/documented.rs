//! The commands that the documentation shows are given to the program for real, each to a copy of the sample as it is after
//! its first run.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::site::{done, program};

#[path = "../../src/documented/pages.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod pages;

/// The sample has no such data file, purge or hold: a number that stands for the reader's own.
const NOT_IN_THE_SAMPLE: [&str; 4] =
    ["acknowledge --file 4711", "purge request --file 4711", "purge approve 3", "purge release 1"];

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sample")
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} to {}", from.display(), to.display());
}

/// The sample in a folder, after `init` and `run`.
fn backed_up() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.ini", "catalogue.jsonl", "files"] {
        copy(&sample().join(name), dir.path());
    }
    fs::set_permissions(dir.path().join("config.ini"), Permissions::from_mode(0o600)).unwrap();
    for command in ["init", "run"] {
        done(program().current_dir(dir.path()).arg(command)).expect(0);
    }
    dir
}

#[test]
fn every_command_in_a_code_block_does_what_it_says_on_the_sample() {
    let first = backed_up();
    let mut tried = BTreeSet::new();
    let mut wrong = String::new();
    for page in pages::pages() {
        for (_, line) in page.code().into_iter().filter(|(language, _)| *language != "rust") {
            for words in pages::commands(line) {
                let told = words[1..].join(" ");
                // `configure` looks around on this machine.
                if told.starts_with("configure") || !tried.insert(told.clone()) {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                copy(&first.path().join("."), dir.path());
                if told.starts_with("rebuild") {
                    fs::remove_file(dir.path().join("ledger.db")).unwrap();
                }
                // No file outside of the copy is written.
                let here = |word: &String| match word.strip_prefix('/') {
                    Some(path) => dir.path().join(path).to_string_lossy().into_owned(),
                    None => word.clone(),
                };
                let ended = done(program().current_dir(dir.path()).args(words[1..].iter().map(here)));
                let expected = if NOT_IN_THE_SAMPLE.iter().any(|it| told.starts_with(it)) { 2 } else { 0 };
                if ended.code != expected {
                    wrong += &format!("{}: {line}\n{ended}\n", page.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(tried.len() > 30, "only these were found: {tried:?}");
}
