//! What a real shell completes with the script that the program prints.

use std::fs;
use std::process::Command;

use tempfile::tempdir;

use crate::site::{done, program};

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let folder = tempdir().unwrap();
    let script = folder.path().join("completions");
    fs::write(&script, done(program().args(["completions", "bash"])).expect(0).out).unwrap();
    let driver = r#"
        source "$1" || exit 1
        shift
        COMP_WORDS=(dataverse-backup "$@")
        COMP_CWORD=$#
        complete -p dataverse-backup >/dev/null || exit 1
        function=$(complete -p dataverse-backup | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" dataverse-backup "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let bash = Command::new("bash").args(["-c", driver, "bash"]).arg(&script).args(words).output().unwrap();
    assert!(bash.status.success() && bash.stderr.is_empty(), "{}", String::from_utf8_lossy(&bash.stderr));
    String::from_utf8(bash.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(offered(&["ver"]), ["verify"]);
    assert_eq!(offered(&["run", "--accept-d"]), ["--accept-disappearance"]);
    assert_eq!(offered(&["--config", "x", "restore", "--in-p"]), ["--in-place"]);
    assert_eq!(offered(&["incident", "no"]), ["note"]);
    assert_eq!(offered(&["incident", "list", "--op"]), ["--open"]);
    assert_eq!(offered(&["--color", "al"]), ["always"]);
}

#[test]
fn each_command_completes_its_own_options() {
    let commands = offered(&[""]);
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands.iter().filter(|it| !it.starts_with('-') && *it != "help") {
        let options = offered(&[command, "--"]);
        assert!(options.iter().any(|it| it == "--help"), "{command}: {options:?}");
    }
}

#[test]
fn there_are_scripts_for_the_other_shells() {
    for (shell, word) in [("zsh", "#compdef dataverse-backup"), ("fish", "complete -c dataverse-backup")] {
        let script = done(program().args(["completions", shell])).expect(0).out;
        assert!(script.contains(word) && script.contains("accept-disappearance"), "{shell}");
    }
}
