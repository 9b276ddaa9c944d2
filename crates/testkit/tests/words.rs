//! A library does not know what a program calls its settings, options and commands: an error of it says what is wrong,
//! and the program adds the words for what can be done (`cli/src/hint.rs`). This test reads every text of the libraries.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// Which may: three work with `config.ini`, one is for tests.
const MAY: &[&str] = &["config", "build", "notify", "testkit"];
const SECTIONS: &[&str] = &["[Database]", "[Backup", "[Repository]", "[Store ", "[Notifications]", "[Report]"];
const FILES: &[&str] = &["config.ini", "domain.xml"];
/// Commands after the program's name; `catalogue`, `report` and others are in the names of formats too.
const COMMANDS: &[&str] = &[
    "init", "check", "run", "status", "verify", "audit", "restore", "repair", "rebuild", "orphans", "drill", "history",
];
/// Options of other programs.
const OF_OTHERS: &[&str] = &["sync --version", "build --release", "--no-default-features", "-T template0 --locale=C"];

/// The keys of `config.ini` that are no words of English.
fn keys(crates: &Path) -> Vec<String> {
    let text = fs::read_to_string(crates.join("config/src/keys.rs")).unwrap();
    let is_key = |name: &&String| {
        name.starts_with(char::is_uppercase)
            && name.chars().all(char::is_alphanumeric)
            && name.chars().skip(1).any(char::is_uppercase)
            && name.chars().any(char::is_lowercase)
    };
    let keys: Vec<String> = literals(&text).iter().map(|it| it.1.clone()).filter(|name| is_key(&name)).collect();
    assert!(keys.len() > 50 && keys.contains(&"BackupDatabase".to_owned()), "{keys:?}");
    keys
}

/// The literals of a Rust source with the line that each begins in; what is in comments and tests is left out.
fn literals(source: &str) -> Vec<(usize, String)> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let (mut found, mut rest, mut line) = (Vec::new(), source, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") {
            3
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let end = raw.find("\"#").expect("the end of a raw literal");
            found.push((line, raw[..end].to_owned()));
            end + 5
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|it| {
                let ends = it == '"' && !escaped;
                escaped = it == '\\' && !escaped;
                ends
            });
            let end = end.expect("the end of a literal");
            found.push((line, rest[1..=end].split_whitespace().collect::<Vec<_>>().join(" ").replace("\\ ", "")));
            end + 2
        } else {
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The first word in it that is not a library's.
fn foreign(text: &str, keys: &[String]) -> Option<String> {
    let text = OF_OTHERS.iter().fold(text.to_owned(), |text, of_other| text.replace(of_other, ""));
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    let words: Vec<&str> = text.split(|it: char| !is_part(it) && it != '-').filter(|it| !it.is_empty()).collect();
    let of_keys = words.iter().find(|word| keys.iter().any(|key| key == *word)).map(|it| (*it).to_owned());
    let option =
        |word: &&&str| word.strip_prefix("--").is_some_and(|it| it.starts_with(|it: char| it.is_ascii_lowercase()));
    let of_options = words.iter().find(option).map(|it| (*it).to_owned());
    let of_commands = words.windows(2).find(|it| it[0] == "dataverse-backup" && COMMANDS.contains(&it[1]));
    let fixed = SECTIONS.iter().chain(FILES).chain(&["Verify:"]).find(|it| text.contains(**it));
    let fixed = fixed.map(|it| (*it).to_owned());
    of_keys.or(of_options).or(of_commands.map(|it| it.join(" "))).or(fixed)
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn libraries_know_no_key_no_option_and_no_command() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let keys = keys(crates);
    let mut found = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let entry = entry.unwrap();
        if MAY.iter().any(|it| entry.file_name() == **it) {
            continue;
        }
        let mut files = Vec::new();
        sources(&entry.path().join("src"), &mut files);
        assert!(!files.is_empty());
        for file in files {
            for (line, text) in literals(&fs::read_to_string(&file).unwrap()) {
                if let Some(word) = foreign(&text, &keys) {
                    found.push(format!("{}:{line}: {word}: {text:?}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "a library speaks of what only the program knows:\n{}", found.join("\n"));
}

#[test]
fn what_only_the_program_knows_is_seen() {
    let keys = ["BackupDatabase".to_owned()];
    for (text, word) in [
        ("check BackupDatabase, and more", Some("BackupDatabase")),
        ("NoBackupDatabase", None),
        ("see [Database] there", Some("[Database]")),
        ("name one with --snapshot", Some("--snapshot")),
        ("$(sync --version </dev/null)", None),
        ("`dataverse-backup run` makes it", Some("dataverse-backup run")),
        ("dataverse-backup installation", None),
        ("set Verify: read-back", Some("Verify:")),
    ] {
        assert_eq!(foreign(text, &keys).as_deref(), word, "{text}");
    }
    let source = "// \"no\"\nlet a = '\"'; f(\"one \\\n   two\", r#\"th\"ree\"#);";
    assert_eq!(literals(source), [(2, "one two".to_owned()), (3, "th\"ree".to_owned())]);
}
