//! `--log FILE`, and what journald is told.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::site::{Site, done};

#[test]
fn the_log_has_what_cron_does_not_mail() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let log = site.path("log");
    let name = log.to_str().unwrap();
    site.call(&["run", "--log", name]).expect(0).silent();
    let text = fs::read_to_string(&log).unwrap();
    for part in ["INFO    began, version ", " run --log ", "INFO    OK ", "3 copied", "ended with exit code 0"] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert!(text.lines().all(|line| line.starts_with("20") && line.contains('Z')), "{text}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);

    let object = fs::read_dir(site.path("files/10.5072/FK2/ABC")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(object).unwrap();
    site.call(&["--color", "always", "run", "--rerun", "--log", name]).expect(3);
    let both = fs::read_to_string(&log).unwrap();
    let second = both.strip_prefix(&text).expect("the log is continued");
    assert!(second.contains("ERROR   ") && second.contains("FAIL_READ"), "{second}");
    assert!(second.contains("ended with exit code 3") && !second.contains('\u{1b}'), "{second}");
}

#[test]
fn the_log_has_the_trace_where_it_is_asked_for() {
    let site = Site::copied();
    let log = site.path("log");
    site.call(&["run", "-vv", "--log", log.to_str().unwrap()]).expect(0);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().any(|line| line.contains("DEBUG   ") && line.contains("dvb_")), "{text}");
}

#[test]
fn a_log_that_cannot_be_written_ends_the_command_at_once() {
    let site = Site::copied();
    let log = site.path("no-folder/log");
    site.call(&["run", "--log", log.to_str().unwrap()]).expect(2).says(&["cannot write the log", "no-folder"]);
}

#[test]
fn journald_is_told_the_level_of_each_line() {
    let site = Site::copied();
    let object = fs::read_dir(site.path("files/10.5072/FK2/ABC")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(object).unwrap();
    let journal = site.path("journal");
    let stderr = File::create(&journal).unwrap();
    let meta = stderr.metadata().unwrap();
    let mut command = site.command(&["run", "--rerun"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino())).stderr(stderr);
    done(&mut command).expect(3);
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.lines().count() > 1 && text.lines().all(|line| line.starts_with("<3>")), "{text}");

    // Another stream is not the journal, whatever the variable says.
    let mut command = site.command(&["run", "--rerun"]);
    let done = done(command.env("JOURNAL_STREAM", "1:1")).expect(3);
    assert!(!done.err.contains("<3>"), "{done}");
}
