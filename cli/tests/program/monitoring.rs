//! What others than the caller hear of a command: mail and metrics of every command that learns something.

use std::fs;
use std::path::PathBuf;

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
    for part in ["verify found 1 damaged copy at default\n", "Host: ", "Configuration: ", name, "exit code 4", "DAMAGED"] {
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
    site.database
        .execute("UPDATE filemetadata SET label = 'x' || chr(8238) || E'\\r\\nSubject: forged' WHERE label IS NOT NULL");
    fs::remove_file(site.object(1)).unwrap();
    site.call(&["audit"]).expect(3);
    let mail_text = mail.next();
    let (subject, body) = read(&mail_text);
    assert!(
        subject.starts_with("Dataverse backup: audit found 1 missing file in Dataverse's stores on "),
        "{subject}"
    );
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
        let code = site.call(&[command]).code;
        let (subject, body) = read(&mail.next());
        assert!(subject.starts_with(&format!("Dataverse backup: {command} ")), "{subject}");
        assert!(subject.contains(&format!("exit code {code}")) && body.contains("/nowhere/at/all"), "{subject} {body}");
    }
    fs::rename(site.path("state"), site.path("state-away")).unwrap();
    let code = site.call(&["audit"]).code;
    let (subject, body) = read(&mail.next());
    assert!(subject.starts_with("Dataverse backup: audit could not begin (exit code "), "{subject}");
    assert!(code != 0 && body.contains("ledger.db"), "{body}");
}
