//! Tells the program which commit it is built from, and how: `dataverse-backup --version` says both.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DATAVERSE_BACKUP_COMMIT");
    let profile = std::env::var("PROFILE").unwrap_or_default();
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=BUILD_KIND={profile}, {target}");
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit(&profile));
}

/// What a package's builder says, else what git says. A build for development is not tied to the commit: it would be
/// built again after each.
fn commit(profile: &str) -> String {
    if let Ok(given) = std::env::var("DATAVERSE_BACKUP_COMMIT") {
        return given;
    }
    if profile != "release" {
        return "not recorded".to_owned();
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["describe", "--always", "--abbrev=12", "--dirty"]).unwrap_or_else(|| "unknown".to_owned())
}

/// What git answers; nothing where there is no git, or no repository (a source archive).
fn git(words: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(words).output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}
