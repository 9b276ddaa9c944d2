//! What the documentation shows to be typed: the real command line and the real reader of `config.ini` take it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod pages;

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Arguments;
use pages::{PROGRAM, commands, pages, words};

#[test]
fn every_command_in_a_code_block_is_one_that_the_program_takes() {
    let mut seen = 0;
    let mut wrong = String::new();
    for page in pages() {
        for (_, line) in page.code().into_iter().filter(|(language, _)| *language != "rust") {
            for words in commands(line) {
                seen += 1;
                if let Err(error) = Arguments::command().try_get_matches_from(&words) {
                    wrong += &format!("{}: {line}\n  {error}\n", page.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen > 60, "only {seen} commands were found: is this test blind?");
}

/// A sentence names a command by its first word, and an option with a value or without one.
#[test]
fn every_option_in_a_sentence_is_one_of_its_command() {
    let mut program = Arguments::command();
    program.build();
    let mut seen = 0;
    let mut wrong = String::new();
    for page in pages() {
        for span in page.spans() {
            let text = span.strip_prefix(PROGRAM).unwrap_or(span).trim_start();
            let mut words = words(text).into_iter().peekable();
            let mut command = &program;
            let mut is_ours = span.starts_with(&format!("{PROGRAM} "));
            while let Some(next) = words.peek().and_then(|it| command.find_subcommand(it)) {
                command = next;
                words.next();
                is_ours = true;
            }
            for word in words.filter(|it| is_ours && it.starts_with("--") && it.len() > 2) {
                seen += 1;
                let option = word.trim_start_matches('-').split(['=', ',']).next().unwrap().to_owned();
                let has = command.get_arguments().any(|it| it.get_long() == Some(&option));
                if !has && option != "help" && option != "version" {
                    wrong += &format!("{}: `{span}`: {} has no --{option}\n", page.name, command.get_name());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen > 40, "only {seen} options were found: is this test blind?");
}

/// A part of a `config.ini` is read with what it leaves out taken from here, by the first that fits.
const REST: [(&str, &str); 4] = [
    ("[Database]", "[Database]\nDatabase: dvndb\nUsername: dvnapp\nPassword: x\n"),
    ("[Repository]", "[Repository]\nFileSystemDirectory: /srv/files\n"),
    ("[Backup", "[Backup]\nStorageType: directory\nBackupDirectory: /srv/copies\n"),
    ("[Backup", "[Backup]\nStorageType: s3\nS3Bucket: copies\nS3AccessKey: A\nS3SecretKey: x\n"),
];

#[test]
fn every_configuration_that_is_shown_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.ini");
    let mut seen = 0;
    for page in pages() {
        for block in page.blocks("ini") {
            seen += 1;
            let own = with_secrets_in(dir.path(), &block);
            let read = |destination: &str| {
                let lacks = |(section, rest): &(&str, &str)| {
                    !own.contains(section) && (!section.starts_with("[Backup") || rest.contains(destination))
                };
                let rest: String = REST.iter().filter(|it| lacks(it)).map(|(_, rest)| *rest).collect();
                write_private(&file, &format!("{own}{rest}"));
                dvb_config::load(&file, &dvb_config::ProcessContext::default())
            };
            if let Err(error) = read("directory").or_else(|_| read("s3")) {
                panic!("{}: {error}\n{own}", page.name);
            }
        }
    }
    assert!(seen >= 4, "only {seen} were found: is this test blind?");
}

/// Files with secrets lie where the test can write them.
fn with_secrets_in(dir: &Path, block: &str) -> String {
    let here = |line: &str| match line.split_once("File: ") {
        Some((key, path)) => {
            let path = dir.join(Path::new(path).file_name().unwrap());
            write_private(&path, "secret\n");
            format!("{key}File: {}\n", path.display())
        }
        None => format!("{line}\n"),
    };
    block.lines().map(here).collect()
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_command_is_found_wherever_it_stands() {
    let found = |line| commands(line).into_iter().map(|it| it.join(" ")).collect::<Vec<_>>();
    assert_eq!(found("15 1 * * *  /usr/local/bin/dataverse-backup run"), ["dataverse-backup run"]);
    assert_eq!(found("sudo -u dataverse-backup dataverse-backup check   # then"), ["dataverse-backup check"]);
    assert_eq!(found("$ dataverse-backup -vv run 2> trace.txt"), ["dataverse-backup -vv run"]);
    assert_eq!(found("dataverse-backup status --file 'a b' | jq ."), ["dataverse-backup status --file a b"]);
    assert_eq!(found("cp config.ini /etc/dataverse-backup/ && ls"), [""; 0]);
}
