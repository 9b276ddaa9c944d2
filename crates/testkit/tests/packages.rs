//! What `cargo package` wants of each crate: that it builds from its own folder alone, and says what it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

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
