//! What a terminal shows.

use std::process::{Command, Stdio};

use crate::site::{Done, Site, done};

/// The program at a terminal with so many columns.
fn at_terminal(site: &Site, columns: usize, words: &str) -> Done {
    let program = env!("CARGO_BIN_EXE_dataverse-backup");
    let typed = format!("stty rows 25 cols {columns}; exec {program} --config {} {words}", site.config().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &typed, "/dev/null"]);
    script.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm").stdin(Stdio::null());
    let shown = done(&mut script);
    assert!(!shown.out.contains("stty:"), "{shown}");
    shown
}

/// Fails where a line is longer than the terminal is wide, but for one word that cannot be broken.
#[track_caller]
fn fits(shown: &Done, columns: usize) {
    for line in shown.out.lines().map(|it| it.trim_end_matches('\r')) {
        // What the terminal is told (colours, the bar) has no width.
        if line.contains('\u{1b}') {
            continue;
        }
        assert!(line.chars().count() <= columns || !line.trim().contains(' '), "{line:?}: {shown}");
    }
}

#[test]
fn lines_end_where_the_terminal_ends() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    for columns in [40, 80] {
        for (words, code) in [
            ("--no-progress --color never run --dry-run", 0),
            ("--no-progress --color never check", 0),
            ("status", 1),
            ("status --dataset doi:10.5072/FK2/NOTHING", 2),
            ("run --help", 0),
            ("--color never --no-progress verify", 1),
        ] {
            let shown = at_terminal(&site, columns, words).expect(code);
            assert!(shown.out.lines().count() > 1, "{words}: {shown}");
            fits(&shown, columns);
        }
    }
}

#[test]
fn a_run_ends_with_what_it_took() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let shown = at_terminal(&site, 80, "--color never run").expect(0);
    shown.says(&["3 copied", " a second", " B in ", "free at the destination"]);
}

#[test]
fn the_bar_fits_a_narrow_terminal() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let shown = at_terminal(&site, 40, "run").expect(0);
    // A line of the bar that is too long goes on in the next one, which the next frame does not clear.
    let frames = shown.out.split(['\r', '\n']).filter(|it| it.contains("of 3 files") && it.contains('%'));
    let frames: Vec<_> = frames.collect();
    assert!(!frames.is_empty(), "{shown}");
    for frame in frames {
        let plain = String::from_utf8(strip(frame.as_bytes())).unwrap();
        assert!(plain.chars().count() <= 40, "{plain:?}");
    }
}

/// Without what a terminal is told.
fn strip(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = line.iter();
    while let Some(&byte) = rest.next() {
        if byte == 0x1b {
            rest.by_ref().skip(1).find(|it| it.is_ascii_alphabetic());
        } else {
            plain.push(byte);
        }
    }
    plain
}
