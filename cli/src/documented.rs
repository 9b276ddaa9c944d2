//! What the documentation shows to be typed: the real command line and the real reader of `config.ini` take it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::args::Arguments;

const PROGRAM: &str = "dataverse-backup";

/// A page, and where it lies in the repository.
struct Page {
    name: String,
    text: String,
}

impl Page {
    /// What is typed or kept in files: the lines of its code blocks, each with the block's language.
    fn code(&self) -> Vec<(&str, &str)> {
        let mut language = None;
        let mut code = Vec::new();
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), language) {
                (Some(_), Some(_)) => language = None,
                (Some(name), None) => language = Some(name),
                (None, Some(language)) => code.push((language, line)),
                (None, None) => {}
            }
        }
        code
    }

    /// Its blocks of one language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let fence = format!("```{language}");
        let mut blocks: Vec<String> = Vec::new();
        let mut is_inside = false;
        for line in self.text.lines().map(str::trim_start) {
            match is_inside {
                false if line == fence => blocks.push(String::new()),
                false => continue,
                true if line.starts_with("```") => {}
                true => {
                    let block = blocks.last_mut().unwrap();
                    block.push_str(line);
                    block.push('\n');
                    continue;
                }
            }
            is_inside = !is_inside;
        }
        blocks
    }

    /// What stands between backticks in its sentences.
    fn spans(&self) -> Vec<&str> {
        let mut is_code = false;
        let lines = self.text.lines().filter(|line| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_fence && !is_code
        });
        lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page for those who run the program.
fn pages() -> Vec<Page> {
    let mut found = vec!["README.md".into(), "CONTRIBUTING.md".into(), "cli/packaging/debian/README.Debian".into()];
    let mut dirs = vec![PathBuf::from("docs"), PathBuf::from("examples")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root().join(&dir)).unwrap() {
            let path = dir.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                found.push(path);
            }
        }
    }
    let read = |path: PathBuf| Page {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        name: path.to_string_lossy().into_owned(),
    };
    found.into_iter().map(read).collect()
}

/// The words of a line as a shell takes them apart, up to where the command ends. `…` and `...` stand for more words.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        let word = words.last_mut().unwrap();
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '|' | '>' | ';' | '&' | ')') => break,
            (None, '#') if word.is_empty() => break,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(String::new()),
            _ => word.push(letter),
        }
    }
    // `2` of `2> trace.txt`
    if line.contains("2>") && words.last().is_some_and(|it| it == "2") {
        words.pop();
    }
    words.retain(|it| !it.is_empty() && it != "…" && it != "...");
    words
}

/// The commands of this program in a line of code.
fn commands(line: &str) -> Vec<Vec<String>> {
    let starts = line.match_indices(PROGRAM).map(|(at, _)| at).filter(|&at| {
        let before = &line[..at];
        let is_word = before.is_empty() || before.ends_with([' ', '/', '(']) || before.ends_with("bin/");
        // The name of an account, a package or a folder.
        let is_name =
            ["-u ", "etc/", "lib/", "share/", "doc/", "install ", "release/"].iter().any(|it| before.ends_with(it));
        is_word && !is_name && line[at + PROGRAM.len()..].starts_with(' ')
    });
    starts.map(|at| words(&line[at..])).filter(|it| it.len() > 1).collect()
}

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
