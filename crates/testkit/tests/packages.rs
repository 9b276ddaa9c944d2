//! What `cargo package` wants of each crate: that it builds from its own folder alone, and says what it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A published crate has nothing of the folders around it. Tests are not built there, so they may include what they like.
#[test]
fn no_crate_includes_a_file_outside_of_its_folder() {
    let mut seen = 0;
    for member in members() {
        let root = fs::canonicalize(member.join("src")).unwrap();
        for file in sources(&root) {
            let text = fs::read_to_string(&file).unwrap();
            let program = text.split("#[cfg(test)]").next().unwrap();
            for included in program.split("include_str!(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                seen += 1;
                // Not through symbolic links: they are followed when the package is made.
                let above = included.split('/').filter(|it| *it == "..").count();
                let depth = file.strip_prefix(&root).unwrap().components().count();
                assert!(above <= depth, "{} includes {included}, which is outside of its crate", file.display());
            }
        }
    }
    assert!(seen > 20, "only {seen} files are included: is this test blind?");
}

#[test]
fn each_crate_says_what_it_is() {
    for member in members() {
        let manifest = fs::read_to_string(member.join("Cargo.toml")).unwrap();
        let has = |key: &str| assert!(manifest.contains(key), "{}/Cargo.toml has no {key}", member.display());
        has("description = ");
        has("license.workspace = true");
        if !manifest.contains("publish = false") {
            has("readme.workspace = true");
            has("keywords.workspace = true");
            has("documentation = ");
        }
    }
}

fn members() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = fs::read_dir(root.join("crates")).unwrap().map(|it| it.unwrap().path());
    crates.chain([root.join("cli")]).collect()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let (dirs, files): (Vec<_>, Vec<_>) =
        fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).partition(|it| it.is_dir());
    let here = files.into_iter().filter(|it| it.extension().is_some_and(|it| it == "rs"));
    here.chain(dirs.iter().flat_map(|it| sources(it))).collect()
}

/// A list of parts that forgets one, or that names what only tests need, is worse than none.
#[test]
fn the_list_of_parts_is_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let told = Command::new(root.join("cli/packaging/sbom.sh")).env("SOURCE_DATE_EPOCH", "0").output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let list: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(list["metadata"]["component"]["name"], "dataverse-backup");
    assert_eq!(list["metadata"]["timestamp"], "1970-01-01T00:00:00Z");

    let components = list["components"].as_array().unwrap();
    let component = |name: &str| components.iter().find(|it| it["name"] == name);
    for name in ["dvb-fixity", "rust-s3", "libsqlite3-sys", "cc"] {
        assert!(component(name).is_some(), "{name} is not listed");
    }
    for name in ["proptest", "dvb-testkit"] {
        assert!(component(name).is_none(), "{name} is for tests alone");
    }
    for it in components {
        assert!(!it["licenses"].as_array().unwrap().is_empty(), "no licence: {it}");
        let is_ours = it["name"].as_str().unwrap().starts_with("dvb-");
        assert!(is_ours || it["hashes"][0]["content"].as_str().unwrap().len() == 64, "no digest: {it}");
    }
    let refs: BTreeSet<_> = components.iter().map(|it| it["bom-ref"].as_str().unwrap()).collect();
    let needed = list["dependencies"].as_array().unwrap().iter();
    for part in needed.flat_map(|it| it["dependsOn"].as_array().unwrap()) {
        assert!(refs.contains(part.as_str().unwrap()), "{part} is needed, and not listed");
    }
}
