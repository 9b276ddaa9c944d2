//! What others than the caller hear of a command: mail and metrics of every command that learns something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dvb_ledger::{Proofs as _, Retentions as _};
use dvb_model::DestinationName;
use serde_json::Value;

use crate::listeners::Listener;
use crate::site::Site;

/// A site after its first run that mails to a server which listens.
fn mailing() -> (Site, Listener) {
    let mut site = Site::copied();
    let mail = Listener::mail();
    let lines = format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port);
    site.add("Notifications", &lines);
    (site, mail)
}

/// Subject and text of a mail, where long lines are put together again.
fn read(mail: &str) -> (String, String) {
    let (head, body) = mail.split_once("\n\n").unwrap();
    let head = head.replace("\n ", " ");
    let subject = head.lines().find_map(|it| it.strip_prefix("Subject: ")).unwrap().to_owned();
    (subject, body.replace("=\n", "").replace("=3D", "="))
}

fn copy(site: &Site) -> PathBuf {
    let folder = site.path("copies").join("10.5072/FK2/ABC");
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    all.sort();
    all.remove(0)
}

#[test]
fn a_verify_that_finds_a_damaged_copy_is_mailed() {
    let (mut site, mail) = mailing();
    site.call(&["verify"]).expect(0).silent();
    assert!(mail.rest().is_empty(), "problems only");
    let copy = copy(&site);
    fs::write(&copy, "rotten").unwrap();
    site.call(&["verify"]).expect(4);
    let (subject, body) = read(&mail.next());
    assert!(subject.starts_with("Dataverse backup: verify found 1 damaged copy at default on "), "{subject}");
    let name = copy.file_name().unwrap().to_str().unwrap();
    for part in
        ["verify found 1 damaged copy at default\n", "Host: ", "Configuration: ", name, "exit code 4", "OTHER SIZE"]
    {
        assert!(body.contains(part), "{part} in {body}");
    }
    site.call(&["run"]).expect(0);
    assert!(mail.rest().is_empty());
    site.add("Notifications", "EmailWhen: always");
    site.call(&["verify"]).expect(0);
    let (subject, _) = read(&mail.next());
    assert!(subject.starts_with("Dataverse backup: verify found everything good at default on "), "{subject}");
}

#[test]
fn an_audit_that_finds_a_lost_file_is_mailed() {
    let (site, mail) = mailing();
    site.database.execute(
        "UPDATE filemetadata SET label = 'x' || chr(8238) || E'\\r\\nSubject: forged' WHERE label IS NOT NULL",
    );
    fs::remove_file(site.object(1)).unwrap();
    site.call(&["audit"]).expect(3);
    let mail_text = mail.next();
    let (subject, body) = read(&mail_text);
    assert!(subject.starts_with("Dataverse backup: audit found 1 missing file in Dataverse's stores on "), "{subject}");
    let id = site.world.files[1].id.to_string();
    assert!(body.contains(&format!("file {id}")) && body.contains("doi:10.5072/FK2/ABC"), "{body}");
    // A label is data: it is neither a line of its own nor turns the direction of what follows.
    assert!(!body.lines().any(|it| it.starts_with("Subject: forged")) && !body.contains('\u{202e}'), "{body}");
    assert!(!mail_text.contains("=E2=80=AE"), "{mail_text}");
}

#[test]
fn a_drill_that_does_not_bring_everything_back_is_mailed() {
    let (site, mail) = mailing();
    site.call(&["drill"]).expect(0).silent();
    assert!(mail.rest().is_empty());
    fs::write(copy(&site), "rotten 99").unwrap();
    site.call(&["drill"]).expect(4);
    let (subject, body) = read(&mail.next());
    let expected = "Dataverse backup: drill found 1 data file that does not come back at default on ";
    assert!(subject.starts_with(expected), "{subject}");
    assert!(body.contains("2 of 3 data files came back") && body.contains("doi:10.5072/FK2/ABC"), "{body}");
}

#[test]
fn a_repair_is_mailed_where_it_cannot_repair_and_a_look_is_not() {
    let (mut site, mail) = mailing();
    fs::write(copy(&site), "rotten").unwrap();
    site.call(&["verify"]).expect(4);
    mail.next();
    site.call(&["repair"]).expect(4);
    assert!(mail.rest().is_empty(), "it is for who asked");
    site.add("Notifications", "EmailWhen: always");
    site.call(&["repair", "--apply"]).expect(0);
    let (subject, body) = read(&mail.next());
    assert!(subject.starts_with("Dataverse backup: repair found 1 object that it repaired on "), "{subject}");
    assert!(body.contains("1 repaired") && body.contains("10.5072"), "{body}");
}

#[test]
fn the_subject_of_a_runs_mail_says_its_outcome() {
    let (site, mail) = mailing();
    fs::remove_file(site.object(1)).unwrap();
    site.call(&["run"]).expect(3);
    let (subject, _) = read(&mail.next());
    let start = format!("Dataverse datafile backup report [{}]: ", jiff::ZonedDateTime::now().date());
    assert!(subject.starts_with(&start) && subject.contains("1 data file is not safe at default on "), "{subject}");
}

#[test]
fn a_command_that_cannot_begin_is_mailed() {
    let (mut site, mail) = mailing();
    site.change("Backup", "BackupDirectory", "/nowhere/at/all");
    for command in ["verify", "drill"] {
        let done = site.call(&[command]);
        let (subject, body) = read(&mail.next());
        let expected = format!("Dataverse backup: {command} ended with exit code {} at default on ", done.code);
        assert!(subject.starts_with(&expected), "{subject}");
        let said = done.err.find("destination default").map(|at| done.err[at..].trim_end());
        assert!(done.code != 0 && said.is_some_and(|it| body.contains(it)), "{done} {body}");
    }
    fs::rename(site.path("state"), site.path("state-away")).unwrap();
    let code = site.call(&["audit"]).code;
    let (subject, body) = read(&mail.next());
    assert!(subject.starts_with("Dataverse backup: audit could not begin (exit code "), "{subject}");
    assert!(code != 0 && body.contains("ledger.db"), "{body}");
}

/// A site with a file of metrics after its first run, and that file.
fn measured() -> (Site, PathBuf) {
    let mut site = Site::new();
    let path = site.path("d.prom");
    site.add("Notifications", &format!("MetricsFile: {}", path.display()));
    site.add("Backup", "VerifyEvery: 30d");
    site.add("Repository", "AuditEvery: 90d");
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0).silent();
    (site, path)
}

/// The values of a metric with these labels, as text.
#[track_caller]
fn value(path: &Path, metric: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    let start = format!("dataverse_backup_{metric} ");
    let found: Vec<_> = text.lines().filter_map(|it| it.strip_prefix(&start)).collect();
    assert_eq!(found.len(), 1, "{metric} in {text}");
    found[0].to_owned()
}

fn has(path: &Path, metric: &str) -> bool {
    fs::read_to_string(path).unwrap().contains(&format!("dataverse_backup_{metric}"))
}

/// Prometheus' own checker, in the folder of what we give to administrators; fails where it finds something.
fn promtool(words: &[&str], input: Stdio) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring");
    let done = Command::new("promtool").args(words).current_dir(folder).stdin(input).output();
    let done = done.expect("promtool is needed: apt-get install prometheus");
    assert!(done.status.success(), "promtool {words:?}: {done:?}");
}

#[test]
fn every_command_that_learns_something_writes_what_it_learned() {
    let (mut site, metrics) = measured();
    let at = "destination=\"default\"";
    for (metric, expected) in [
        ("copies{destination=\"default\",state=\"proved\"}", "3"),
        ("copies{destination=\"default\",state=\"damaged\"}", "0"),
        ("copies{destination=\"default\",state=\"claimed\"}", "0"),
        ("files_by_copies{n=\"0\"}", "0"),
        ("files_by_copies{n=\"1\"}", "3"),
        ("incidents_open{acknowledged=\"no\"}", "0"),
        ("acknowledged_files{destination=\"default\"}", "0"),
        ("proof_overdue_copies{destination=\"default\",side=\"destination\"}", "0"),
        ("proof_overdue_copies{destination=\"default\",side=\"store\"}", "0"),
        ("last_run_exit_code{destination=\"default\"}", "0"),
    ] {
        assert_eq!(value(&metrics, metric), expected, "{metric}");
    }
    assert_eq!(value(&metrics, &format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), "1");
    assert!(!has(&metrics, "last_verify") && !has(&metrics, "last_audit") && !has(&metrics, "last_drill"));
    let now = jiff::Timestamp::now().as_second();
    for side in ["destination", "store"] {
        let oldest = value(&metrics, &format!("oldest_proof_timestamp_seconds{{{at},side=\"{side}\"}}"));
        let age = value(&metrics, &format!("oldest_proof_age_seconds{{{at},side=\"{side}\"}}"));
        let (oldest, age): (i64, i64) = (oldest.parse().unwrap(), age.parse().unwrap());
        assert!(now - oldest < 600 && age < 600, "{side}: {oldest} {age}");
    }

    let copy = copy(&site);
    fs::write(&copy, "rotten").unwrap();
    site.call(&["verify"]).expect(4);
    assert_eq!(value(&metrics, &format!("last_verify_exit_code{{{at}}}")), "4");
    assert_eq!(value(&metrics, "copies{destination=\"default\",state=\"damaged\"}"), "1");
    assert_eq!(value(&metrics, "copies{destination=\"default\",state=\"proved\"}"), "2");
    assert_eq!(value(&metrics, "files_by_copies{n=\"0\"}"), "1");
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"no\"}"), "1");
    site.call(&["repair"]).expect(4);
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"no\"}"), "1");
    site.call(&["repair", "--apply"]).expect(0);
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"no\"}"), "0");
    assert_eq!(value(&metrics, &format!("last_verify_exit_code{{{at}}}")), "4", "what others wrote stays");
    site.call(&["drill"]).expect(0);
    assert_eq!(value(&metrics, &format!("last_drill_exit_code{{{at}}}")), "0");

    fs::remove_file(site.object(1)).unwrap();
    site.call(&["audit"]).expect(3);
    assert_eq!(value(&metrics, &format!("last_audit_exit_code{{{at}}}")), "3");
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"no\"}"), "1");
    site.call(&["run"]).expect(3);
    let id = site.world.files[1].id.to_string();
    site.call(&["acknowledge", "--file", &id, "--reason", "lost"]).expect(0);
    assert_eq!(value(&metrics, &format!("acknowledged_files{{{at}}}")), "1");
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"no\"}"), "0");
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"yes\"}"), "1");
    site.call(&["restore", "--missing", "--in-place"]).expect(0);
    assert_eq!(value(&metrics, "incidents_open{acknowledged=\"yes\"}"), "0");

    // Proofs that are older than was promised, whatever the promise: these are of long ago by now.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    site.change("Backup", "VerifyEvery", "1s");
    site.change("Repository", "AuditEvery", "1s");
    site.call(&["drill"]).expect(0);
    assert_eq!(value(&metrics, "proof_overdue_copies{destination=\"default\",side=\"destination\"}"), "3");
    assert_ne!(value(&metrics, "proof_overdue_copies{destination=\"default\",side=\"store\"}"), "0");

    promtool(&["check", "metrics"], Stdio::from(fs::File::open(&metrics).unwrap()));

    // A file that was removed gets from the ledger what that knows.
    fs::remove_file(&metrics).unwrap();
    site.call(&["verify", "--file", &id]).expect(0);
    assert_eq!(value(&metrics, &format!("last_verify_exit_code{{{at}}}")), "4", "a part says nothing of the whole");
    assert_eq!(value(&metrics, &format!("last_audit_exit_code{{{at}}}")), "3");
    assert_eq!(value(&metrics, &format!("last_drill_exit_code{{{at}}}")), "0");
    assert!(!has(&metrics, "last_run_"));
}

#[test]
fn a_command_that_cannot_begin_says_so_to_monitoring_and_leaves_the_rest() {
    let (site, metrics) = measured();
    let ledger = site.path("state/ledger.db");
    fs::rename(&ledger, site.path("away")).unwrap();
    let done = site.call(&["verify"]);
    assert_ne!(done.code, 0);
    let code = value(&metrics, "last_verify_exit_code{destination=\"default\"}");
    assert_eq!(code, done.code.to_string());
    assert_eq!(value(&metrics, "copies{destination=\"default\",state=\"proved\"}"), "3");
    done.says(&["warning: the metrics of what the ledger knows stay as they were: "]);
    // What the ledger does not know is not taken from it.
    fs::rename(site.path("away"), &ledger).unwrap();
    site.call(&["drill"]).expect(0);
    assert_eq!(value(&metrics, "last_verify_exit_code{destination=\"default\"}"), code);
}

#[test]
fn the_alert_rules_and_the_dashboard_are_what_prometheus_takes() {
    promtool(&["check", "rules", "alerts.yml"], Stdio::null());
    promtool(&["test", "rules", "alerts_test.yml"], Stdio::null());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring");
    let board: Value = serde_json::from_str(&fs::read_to_string(folder.join("dashboard.json")).unwrap()).unwrap();
    let targets = board["panels"].as_array().unwrap().iter().flat_map(|it| it["targets"].as_array().unwrap());
    let queries: Vec<_> = targets.map(|it| it["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 10, "{queries:?}");
    let rules: Vec<_> = queries.iter().map(|it| serde_json::json!({ "record": "a", "expr": it })).collect();
    // YAML takes JSON.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rules.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none", file.path().to_str().unwrap()], Stdio::null());

    // Every metric that they name is one that is written.
    let (site, metrics) = measured();
    let (ledger, here) = (site.ledger(), DestinationName("default".into()));
    let copy = ledger.oldest_copies(&here, None, None, 1).unwrap().remove(0).copy;
    ledger.record_locks(&here, &[(copy.key, "2100-01-01T00:00:00Z".into())]).unwrap();
    for command in ["verify", "audit", "drill"] {
        site.call(&[command]).expect(0);
    }
    let alerts = fs::read_to_string(folder.join("alerts.yml")).unwrap();
    let named = |text: &str| -> Vec<String> {
        let is_name = |it: char| it.is_ascii_lowercase() || it == '_';
        let words = text.split(|it| !is_name(it)).filter(|it| it.starts_with("dataverse_backup_"));
        words.map(str::to_owned).collect()
    };
    let written = named(&fs::read_to_string(&metrics).unwrap());
    for name in named(&alerts).into_iter().chain(queries.iter().flat_map(|it| named(it))) {
        assert!(written.contains(&name), "{name} is in no file of metrics");
    }
}
