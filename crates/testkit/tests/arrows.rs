//! Which crate may depend on which, and which room of the engine. `docs/architecture.md` draws these arrows; this test holds them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Each package of the workspace with those it may depend on. `dvb-testkit` is nobody's: a test may, a program may not.
const ARROWS: &[(&str, &[&str])] = &[
    ("dvb-fixity", &[]),
    ("dvb-model", &["dvb-fixity"]),
    ("dvb-pg", &[]),
    ("dvb-http", &[]),
    ("dvb-storage", &["dvb-model", "dvb-fixity"]),
    ("dvb-catalog", &["dvb-pg", "dvb-model", "dvb-fixity"]),
    ("dvb-ledger", &["dvb-pg", "dvb-model", "dvb-fixity"]),
    ("dvb-fs", &["dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-sftp", &["dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-remote", &["dvb-http", "dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-s3", &["dvb-http", "dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-swift", &["dvb-http", "dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-engine", &["dvb-catalog", "dvb-ledger", "dvb-storage", "dvb-model", "dvb-fixity"]),
    ("dvb-config", &["dvb-pg", "dvb-model", "dvb-fixity"]),
    (
        "dvb-build",
        &[
            "dvb-config",
            "dvb-engine",
            "dvb-catalog",
            "dvb-ledger",
            "dvb-storage",
            "dvb-fs",
            "dvb-sftp",
            "dvb-remote",
            "dvb-s3",
            "dvb-swift",
            "dvb-pg",
            "dvb-model",
        ],
    ),
    ("dvb-notify", &["dvb-config", "dvb-engine", "dvb-ledger", "dvb-fs", "dvb-model"]),
    ("dvb-report", &["dvb-ledger", "dvb-model", "dvb-fixity"]),
    ("dvb-testkit", &["dvb-model", "dvb-fixity"]),
    ("dvb-examples", EVERYTHING),
    // No protocol: what stands behind a store or a destination is known to `dvb-build` alone.
    (
        "dataverse-backup",
        &[
            "dvb-build",
            "dvb-notify",
            "dvb-config",
            "dvb-engine",
            "dvb-report",
            "dvb-catalog",
            "dvb-ledger",
            "dvb-storage",
            "dvb-model",
            "dvb-fixity",
        ],
    ),
];

const EVERYTHING: &[&str] = &[
    "dvb-build",
    "dvb-notify",
    "dvb-config",
    "dvb-engine",
    "dvb-report",
    "dvb-catalog",
    "dvb-ledger",
    "dvb-storage",
    "dvb-fs",
    "dvb-sftp",
    "dvb-remote",
    "dvb-s3",
    "dvb-swift",
    "dvb-pg",
    "dvb-http",
    "dvb-model",
    "dvb-fixity",
];

/// What has to do with a terminal, or a command line is the program's, never a library's.
const ONLY_IN_THE_PROGRAM: &[&str] = &["clap", "clap_complete", "clap_mangen", "indicatif"];

/// What reads a configuration, and the grammar of a mail address in it, which the mailer shares.
const ONLY_AROUND_THE_CONFIGURATION: &[&str] = &["ini", "lettre"];

const PROGRAM: &str = "dataverse-backup";
const MAILER: &str = "dvb-notify";
const CONFIGURATION: &str = "dvb-config";

/// What is wrong with the dependencies that `cargo metadata` lists, a sentence each.
fn violations(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("packages");
    let members: Vec<&str> = packages.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(it, _)| *it == name) else {
            found.push(format!("{name} is new: give it a line in ARROWS and a place in docs/architecture.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().unwrap();
            if ONLY_IN_THE_PROGRAM.contains(&on) && name != PROGRAM {
                found.push(format!("{name} uses {on}, which only {PROGRAM} may"));
            }
            if ONLY_AROUND_THE_CONFIGURATION.contains(&on) && ![MAILER, CONFIGURATION].contains(&name) {
                found.push(format!("{name} uses {on}, which only {MAILER} and {CONFIGURATION} may"));
            }
            // `kind` is null for an ordinary dependency; one of a build script counts as one.
            if members.contains(&on) && dependency["kind"] != "dev" && !allowed.contains(&on) {
                found.push(format!("{name} may not depend on {on}"));
            }
        }
    }
    found
}

#[test]
fn the_arrows_between_the_crates_are_the_allowed_ones() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .output()
        .expect("start cargo");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON from cargo metadata");
    let found = violations(&metadata);
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (name, _) in ARROWS {
        let there = metadata["packages"].as_array().unwrap().iter().any(|it| it["name"] == *name);
        assert!(there, "ARROWS has a line for {name}, which is no package of the workspace");
    }
}

#[test]
fn an_arrow_that_is_not_allowed_is_named() {
    let package = |name: &str, dependencies: Value| json!({"name": name, "dependencies": dependencies});
    let on = |name: &str, kind: Value| json!({"name": name, "kind": kind});
    let metadata = json!({"packages": [
        package("dvb-fixity", json!([on("dvb-model", Value::Null)])),
        package("dvb-model", json!([on("dvb-fixity", Value::Null), on("dvb-testkit", json!("dev"))])),
        package("dvb-engine", json!([on("dvb-testkit", Value::Null), on("clap", json!("dev")), on("ini", Value::Null)])),
        package("dvb-config", json!([on("ini", Value::Null), on("dvb-engine", Value::Null)])),
        package("dvb-testkit", json!([on("dvb-engine", json!("build"))])),
        package("dataverse-backup", json!([on("clap", Value::Null), on("dvb-engine", Value::Null)])),
        package("dvb-tape", json!([])),
    ]});
    assert_eq!(
        violations(&metadata),
        [
            "dvb-fixity may not depend on dvb-model",
            "dvb-engine may not depend on dvb-testkit",
            "dvb-engine uses clap, which only dataverse-backup may",
            "dvb-engine uses ini, which only dvb-notify and dvb-config may",
            "dvb-config may not depend on dvb-engine",
            "dvb-testkit may not depend on dvb-engine",
            "dvb-tape is new: give it a line in ARROWS and a place in docs/architecture.md",
        ]
    );
}

/// Where copies can be deleted: the room of a lawful purge, and what makes its purgers from the configuration.
const MAY_NAME_PURGERS: [&str; 4] =
    ["engine/src/purge/", "build/src/purge.rs", "cli/src/commands/purge.rs", "cli/src/commands/purge/"];

/// The lines of a file that name a purger, comments aside, where it may not.
fn purgers_named<'a>(file: &str, text: &'a str) -> Vec<&'a str> {
    if MAY_NAME_PURGERS.iter().any(|it| file.contains(it)) {
        return Vec::new();
    }
    let names = |it: &&str| it.contains("Purger") || it.contains("purger(");
    text.lines().filter(|it| !it.trim_start().starts_with("//")).filter(names).collect()
}

#[test]
fn nothing_but_the_lawful_purge_has_a_way_to_delete_copies() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![here.join("../engine/src"), here.join("../../cli/src"), here.join("../build/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("read the sources") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            found.extend(purgers_named(&file, &text).iter().map(|line| format!("{file}: {}", line.trim())));
        }
    }
    assert!(found.is_empty(), "only a lawful purge deletes copies: {}", found.join("\n"));
}

#[test]
fn a_command_that_names_a_purger_is_told() {
    let text = "/// Not a `Purger`.\nuse dvb_storage::{Purger, Sink};\nlet it = S3Purger::new(config)?;\ndvb_build::purger(it)\n";
    assert_eq!(purgers_named("crates/engine/src/run/a.rs", text).len(), 3);
    assert_eq!(purgers_named("crates/build/src/cloud.rs", text).len(), 3);
    assert!(purgers_named("crates/engine/src/purge/execute.rs", text).is_empty());
}

/// The rooms of the engine, the lowest first, each with those that it may use. A command may use another one that is more
/// than it: `repair` gives files back as `restore` does, and copies them as `run` does.
const ROOMS: &[(&str, &[&str])] = &[
    ("command", &[]),
    ("catalogue", &["command"]),
    ("source", &["catalogue", "command"]),
    ("copies", &["source", "catalogue", "command"]),
    ("guard", &["copies", "source", "catalogue", "command"]),
    ("acknowledge", &["command"]),
    ("hosts", &["command"]),
    ("audit", &["hosts", "guard", "copies", "source", "catalogue", "command"]),
    ("purge", &["guard", "copies", "source", "catalogue", "command"]),
    ("orphans", &["guard", "copies", "catalogue", "command"]),
    ("rebuild", &["guard", "copies", "source", "catalogue", "command"]),
    ("restore", &["guard", "copies", "source", "catalogue", "command"]),
    ("run", &["hosts", "guard", "copies", "source", "catalogue", "command"]),
    ("status", &["acknowledge", "command"]),
    ("verify", &["hosts", "guard", "copies", "source", "catalogue", "command"]),
    ("check", &["run", "guard", "copies", "source", "catalogue", "command"]),
    ("drill", &["restore", "guard", "copies", "source", "catalogue", "command"]),
    ("repair", &["run", "restore", "guard", "copies", "source", "catalogue", "command"]),
];

/// The rooms that a file's text names after `crate::`, comments aside.
fn rooms_named(text: &str) -> Vec<&str> {
    let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
    let named = code.flat_map(|line| line.match_indices("crate::").map(|(at, it)| &line[at + it.len()..]));
    named.filter_map(|it| it.split(|it: char| it != '_' && !it.is_alphanumeric()).next()).collect()
}

/// What is wrong with the arrows of one file of the engine in `room`, a sentence each.
fn room_violations(file: &str, room: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = ROOMS.iter().find(|it| it.0 == room) else {
        return vec![format!(
            "{file}: the room {room} is new: give it a line in ROOMS and a place in docs/architecture.md"
        )];
    };
    let wrong = rooms_named(text).into_iter().filter(|it| *it != room && !allowed.contains(it));
    wrong.map(|it| format!("{file}: {room} may not use crate::{it}")).collect()
}

#[test]
fn the_arrows_between_the_rooms_of_the_engine_are_the_allowed_ones() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/src");
    let mut found = Vec::new();
    let mut rooms = Vec::new();
    for entry in fs::read_dir(&engine).expect("read engine/src") {
        let path = entry.unwrap().path();
        let room = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !path.is_dir() {
            assert_eq!(room, "lib.rs", "a file of the engine belongs into a room");
            continue;
        }
        let mut folders = vec![path];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = fs::read_to_string(&path).unwrap();
                    found.extend(room_violations(&path.display().to_string(), &room, &text));
                }
            }
        }
        rooms.push(room);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (room, _) in ROOMS {
        assert!(rooms.iter().any(|it| it == room), "ROOMS has a line for {room}, which is no room of the engine");
    }
}

#[test]
fn a_room_that_uses_one_above_it_is_named() {
    let text = "use crate::command::pool;\n/// As [`crate::run::run`].\nuse crate::run::Setup;\nlet it = crate::verify::verify;\n";
    assert_eq!(
        room_violations("a.rs", "source", text),
        ["a.rs: source may not use crate::run", "a.rs: source may not use crate::verify"]
    );
    assert_eq!(
        room_violations("a.rs", "tape", ""),
        ["a.rs: the room tape is new: give it a line in ROOMS and a place in docs/architecture.md"]
    );
    let below: Vec<&str> = ROOMS.iter().map(|it| it.0).collect();
    for (n, (room, allowed)) in ROOMS.iter().enumerate() {
        assert!(allowed.iter().all(|it| below[..n].contains(it)), "{room} is drawn above a room that it uses");
    }
}
