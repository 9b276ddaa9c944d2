//! The pages of the documentation, and what they show to be typed. The program's integration tests read them by this file
//! too.

use std::fs;
use std::path::{Path, PathBuf};

pub(super) const PROGRAM: &str = "dataverse-backup";

/// A page, and where it lies in the repository.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
}

impl Page {
    /// What is typed or kept in files: the lines of its code blocks, each with the block's language.
    pub(super) fn code(&self) -> Vec<(&str, &str)> {
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
    pub(super) fn blocks(&self, language: &str) -> Vec<String> {
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
    pub(super) fn spans(&self) -> Vec<&str> {
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
pub(super) fn pages() -> Vec<Page> {
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
pub(super) fn words(line: &str) -> Vec<String> {
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
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
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
