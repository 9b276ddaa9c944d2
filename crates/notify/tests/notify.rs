//! The report by mail, through a real mail server and through the system's sendmail, and the file of metrics.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dvb_config::{Notifications, Secret, Smtp, SmtpTls};
use dvb_notify::{
    Change, Family, FileCounts, MailError, Message, Metrics, Scope, Work, report_subject, send, try_out, write_metrics,
};
use serde_json::Value;
use tempfile::TempDir;

fn report() -> Message {
    Message {
        subject: report_subject(jiff::civil::date(2026, 3, 4)),
        body: "12 data files, 1 failed: Übersicht.tab\n.\n.a line with a point\n".to_owned(),
    }
}

fn to(recipients: &[&str]) -> Notifications {
    Notifications { email: recipients.iter().map(|it| (*it).to_owned()).collect(), ..Notifications::default() }
}

fn by(recipients: &[&str], port: u16, tls: SmtpTls, login: Option<(&str, &str)>) -> Notifications {
    let login = login.map(|(user, password)| (user.to_owned(), Secret::new(password)));
    Notifications { smtp: Some(Smtp { host: "localhost".to_owned(), port, login, tls }), ..to(recipients) }
}

#[test]
fn the_subject_is_the_originals() {
    assert_eq!(report().subject, "Dataverse datafile backup report [2026-03-04]");
}

/// A mail server on 127.0.0.1 (aiosmtpd): one port with STARTTLS, one with TLS, login `user` / `secret` once encrypted.
/// Its certificate, for `localhost`, is its own. `nobody@example.edu` does not exist there.
struct Server {
    child: Child,
    lines: Receiver<String>,
    starttls: u16,
    tls: u16,
    folder: TempDir,
}

const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

def say(it):
    print(json.dumps(it), flush=True)

class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "nobody@example.edu":
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        tls = server.transport.get_extra_info("sslcontext") is not None
        say({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": tls, "login": bool(session.authenticated),
             "data": envelope.content.decode("utf-8")})
        return "250 OK"

def login(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"user", b"secret"), handled=False)

async def main():
    loop, tls = asyncio.get_running_loop(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[1], sys.argv[2])
    offered = await loop.create_server(lambda: SMTP(Keep(), authenticator=login, tls_context=tls, loop=loop), "127.0.0.1", 0)
    wrapped = await loop.create_server(lambda: SMTP(Keep(), authenticator=login, auth_require_tls=False, loop=loop), "127.0.0.1", 0, ssl=tls)
    say([it.sockets[0].getsockname()[1] for it in (offered, wrapped)])
    await asyncio.Event().wait()

asyncio.run(main())
"#;

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status();
        assert!(made.is_ok_and(|it| it.success()), "openssl is needed: apt-get install openssl");
        let mut child = Command::new("/usr/bin/python3")
            .args(["-W", "ignore", "-c", SERVER])
            .arg(&certificate)
            .arg(&key)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("python3 is needed: apt-get install python3-aiosmtpd");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Self { child, lines, starttls: 0, tls: 0, folder };
        let Ok(ports) = server.lines.recv_timeout(Duration::from_secs(30)) else {
            let log = fs::read_to_string(server.folder.path().join("log")).unwrap();
            panic!("the mail server did not start; apt-get install python3-aiosmtpd? It said: {log}");
        };
        let ports: Value = serde_json::from_str(&ports).unwrap();
        let port = |at: usize| u16::try_from(ports[at].as_u64().unwrap()).unwrap();
        (server.starttls, server.tls) = (port(0), port(1));
        server
    }

    fn mail(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("no mail came");
        serde_json::from_str(&line).unwrap()
    }

    /// The server says everything in order: what came before this mail would have been said before it.
    fn assert_silent(&self) {
        send(
            &Message { subject: "marker".to_owned(), ..report() },
            &by(&["m@example.edu"], self.starttls, SmtpTls::None, None),
        )
        .unwrap();
        let next = self.mail();
        assert!(next["data"].as_str().unwrap().contains("Subject: marker"), "{next}");
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole text of an error and its causes.
fn chain(error: &MailError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[test]
fn several_recipients_get_one_mail() {
    let server = Server::start();
    let mut how = by(&["a@example.edu", "B <b@example.org>"], server.starttls, SmtpTls::None, None);
    send(&report(), &how).unwrap();
    let mail = server.mail();
    let data = mail["data"].as_str().unwrap();
    assert_eq!(mail["to"], serde_json::json!(["a@example.edu", "b@example.org"]));
    assert!(mail["from"].as_str().unwrap().starts_with("dataverse-backup@"), "{mail}");
    assert!(data.contains("Subject: Dataverse datafile backup report [2026-03-04]\r\n"), "{data}");
    assert!(data.contains("To: a@example.edu, B <b@example.org>\r\n"), "{data}");
    for header in
        ["Date: ", "Message-ID: ", "Auto-Submitted: auto-generated\r\n", "Content-Type: text/plain; charset=utf-8\r\n"]
    {
        assert!(data.contains(header), "{header} in {data}");
    }
    server.assert_silent();

    how.from = Some("Backup <ops@example.edu>".to_owned());
    send(&Message { subject: "Prüfung".to_owned(), body: "a\n.\n.b\n\n.".to_owned() }, &how).unwrap();
    let mail = server.mail();
    let data = mail["data"].as_str().unwrap();
    assert_eq!(mail["from"], "ops@example.edu");
    assert!(data.ends_with("\r\n\r\na\r\n.\r\n.b\r\n\r\n.\r\n"), "{data:?}");
    assert!(data.contains("Subject: =?utf-8?b?"), "{data:?}");
}

#[test]
fn a_local_user_is_one_of_this_host() {
    let server = Server::start();
    send(&report(), &by(&["root"], server.starttls, SmtpTls::None, None)).unwrap();
    let mail = server.mail();
    let (from, to) = (mail["from"].as_str().unwrap(), mail["to"][0].as_str().unwrap());
    assert!(to.starts_with("root@"), "{mail}");
    assert_eq!(to.split_once('@').unwrap().1, from.split_once('@').unwrap().1);
}

#[test]
fn without_recipients_nothing_happens() {
    send(&report(), &by(&[], 1, SmtpTls::None, None)).unwrap();
}

#[test]
fn a_refusal_says_server_and_reason() {
    let server = Server::start();
    let refused = |how: &Notifications| chain(&send(&report(), how).unwrap_err());
    let unknown = refused(&by(&["nobody@example.edu"], server.starttls, SmtpTls::None, None));
    let start = format!("cannot mail the report by localhost, port {};", server.starttls);
    assert!(unknown.starts_with(&start) && unknown.matches("no such user here").count() == 1, "{unknown}");
    // A login is never sent in the clear to a server that does not ask for it so.
    refused(&by(&["a@example.edu"], server.starttls, SmtpTls::None, Some(("user", "secret"))));
    // A certificate that nobody vouches for.
    for (tls, port) in [(SmtpTls::StartTls, server.starttls), (SmtpTls::Tls, server.tls)] {
        let error = refused(&by(&["a@example.edu"], port, tls, None));
        assert!(error.to_lowercase().contains("certificate"), "{error}");
    }
    // No encryption where it is demanded from the first byte, and nobody there at all.
    refused(&by(&["a@example.edu"], server.starttls, SmtpTls::Tls, None));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(refused(&by(&["a@example.edu"], free, SmtpTls::None, None)).contains("refused"));
    server.assert_silent();
}

#[test]
fn an_address_that_is_refused_does_not_keep_the_others_from_the_report() {
    let server = Server::start();
    let three = ["a@example.edu", "nobody@example.edu", "b@example.edu"];
    let error = send(&report(), &by(&three, server.starttls, SmtpTls::None, None)).unwrap_err();
    assert!(matches!(&error, MailError::Recipients { refused, .. } if refused == &["nobody@example.edu"]), "{error}");
    let text = chain(&error);
    assert!(text.starts_with("localhost refused the report for nobody@example.edu; the other") && text.contains("550"));
    for address in ["a@example.edu", "b@example.edu"] {
        let mail = server.mail();
        assert_eq!(mail["to"], serde_json::json!([address]));
        assert!(mail["data"].as_str().unwrap().contains("1 failed"), "{mail}");
    }
    let nobody = ["nobody@example.edu", "nobody@example.edu"];
    let error = send(&report(), &by(&nobody, server.starttls, SmtpTls::None, None)).unwrap_err();
    assert!(matches!(error, MailError::Smtp { .. }), "{error}");
    server.assert_silent();
}

#[test]
fn an_encrypted_server_takes_the_login() {
    if let Ok(how) = std::env::var("DVB_TEST_MAIL") {
        return send_as_a_child(&how);
    }
    let server = Server::start();
    for (tls, port) in [("starttls", server.starttls), ("tls", server.tls)] {
        for (password, accepted) in [("secret", true), ("wrong", false)] {
            // Another process, since the certificates to trust are taken from the environment.
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "an_encrypted_server_takes_the_login"])
                .env("SSL_CERT_FILE", server.certificate())
                .env("DVB_TEST_MAIL", format!("{tls} {port} {password}"))
                .output()
                .unwrap();
            assert_eq!(child.status.success(), accepted, "{tls} {password} {child:?}");
        }
        let mail = server.mail();
        assert_eq!((&mail["tls"], &mail["login"]), (&Value::Bool(true), &Value::Bool(true)), "{tls}");
    }
    server.assert_silent();
}

/// What the child process does, which trusts the server.
fn send_as_a_child(how: &str) {
    let [tls, port, password] = how.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let tls = if tls == "tls" { SmtpTls::Tls } else { SmtpTls::StartTls };
    send(&report(), &by(&["a@example.edu"], port.parse().unwrap(), tls, Some(("user", password)))).unwrap();
}

/// A sendmail that keeps its arguments and its input, and ends with the given status.
fn fake_sendmail(folder: &Path, status: u8) -> PathBuf {
    let path = folder.join("sendmail");
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.args\"\ncat >\"$0.mail\"\necho 'queue is full' >&2\nexit ";
    fs::write(&path, format!("{script}{status}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn without_a_mail_server_the_systems_sendmail_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut how = to(&["a@example.edu", "b@example.org"]);
    how.sendmail = fake_sendmail(folder.path(), 0);
    send(&report(), &how).unwrap();
    let arguments = fs::read_to_string(folder.path().join("sendmail.args")).unwrap();
    let arguments: Vec<_> = arguments.lines().collect();
    assert!(
        arguments.contains(&"-i") && arguments.ends_with(&["--", "a@example.edu", "b@example.org"]),
        "{arguments:?}"
    );
    let mail = fs::read_to_string(folder.path().join("sendmail.mail")).unwrap();
    assert!(mail.contains("Subject: Dataverse datafile backup report [2026-03-04]\r\n"), "{mail}");

    how.sendmail = fake_sendmail(folder.path(), 75);
    let error = send(&report(), &how).unwrap_err();
    assert!(matches!(error, MailError::Sendmail { .. }) && chain(&error).contains("queue is full"), "{error:?}");

    how.sendmail = folder.path().join("none");
    let error = chain(&send(&report(), &how).unwrap_err());
    assert!(error.contains("install a mail system or set SmtpHost") && error.contains("No such file"), "{error}");
}

fn metrics(destination: &str, finished: i64, exit_code: u8) -> Metrics {
    let files = FileCounts {
        catalogued: 21,
        unchanged: 1,
        copied: 2,
        adopted: 3,
        not_covered: 4,
        purged: 8,
        failed: 5,
        acknowledged: 7,
        pending: 6,
    };
    let started = finished - 7;
    Metrics {
        destination: destination.to_owned(),
        started,
        finished,
        exit_code,
        work: Some(Work { files, bytes_copied: 1 << 40 }),
    }
}

#[test]
fn metrics_are_in_the_text_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.prom");
    write_metrics(&path, &metrics("de\"fault", 1_700_000_000, 0).changes()).unwrap();
    let expected = r#"# HELP dataverse_backup_last_run_timestamp_seconds When the last run ended.
# TYPE dataverse_backup_last_run_timestamp_seconds gauge
dataverse_backup_last_run_timestamp_seconds{destination="de\"fault"} 1700000000
# HELP dataverse_backup_last_run_exit_code Exit code of the last run; 0: all is safe.
# TYPE dataverse_backup_last_run_exit_code gauge
dataverse_backup_last_run_exit_code{destination="de\"fault"} 0
# HELP dataverse_backup_last_run_duration_seconds How long the last run took.
# TYPE dataverse_backup_last_run_duration_seconds gauge
dataverse_backup_last_run_duration_seconds{destination="de\"fault"} 7
# HELP dataverse_backup_last_run_bytes_copied Bytes that the last run copied.
# TYPE dataverse_backup_last_run_bytes_copied gauge
dataverse_backup_last_run_bytes_copied{destination="de\"fault"} 1099511627776
# HELP dataverse_backup_last_success_timestamp_seconds When a run last ended with all safe.
# TYPE dataverse_backup_last_success_timestamp_seconds gauge
dataverse_backup_last_success_timestamp_seconds{destination="de\"fault"} 1700000000
# HELP dataverse_backup_catalogued_files Data files in Dataverse's catalogue.
# TYPE dataverse_backup_catalogued_files gauge
dataverse_backup_catalogued_files{destination="de\"fault"} 21
# HELP dataverse_backup_files Data files by what the last run made of them.
# TYPE dataverse_backup_files gauge
dataverse_backup_files{destination="de\"fault",state="unchanged"} 1
dataverse_backup_files{destination="de\"fault",state="copied"} 2
dataverse_backup_files{destination="de\"fault",state="adopted"} 3
dataverse_backup_files{destination="de\"fault",state="not_covered"} 4
dataverse_backup_files{destination="de\"fault",state="purged"} 8
dataverse_backup_files{destination="de\"fault",state="failed"} 5
dataverse_backup_files{destination="de\"fault",state="acknowledged"} 7
dataverse_backup_files{destination="de\"fault",state="pending"} 6
"#;
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["d.prom"], "nothing else is left");
}

#[test]
fn other_destinations_and_the_last_success_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.prom");
    let value = |name: &str, destination: &str| {
        let start = format!("dataverse_backup_{name}{{destination=\"{destination}\"}} ");
        let text = fs::read_to_string(&path).unwrap();
        let found: Vec<i64> =
            text.lines().filter_map(|it| it.strip_prefix(&start)).map(|it| it.parse().unwrap()).collect();
        found
    };
    write_metrics(&path, &metrics("a", 100, 0).changes()).unwrap();
    write_metrics(&path, &metrics("ab", 200, 1).changes()).unwrap();
    write_metrics(&path, &metrics("a", 300, 3).changes()).unwrap();
    assert_eq!(value("last_run_timestamp_seconds", "a"), [300]);
    assert_eq!(value("last_run_exit_code", "a"), [3]);
    assert_eq!(value("last_success_timestamp_seconds", "a"), [100]);
    assert_eq!(value("last_run_timestamp_seconds", "ab"), [200]);
    assert_eq!(value("last_success_timestamp_seconds", "ab"), [0_i64; 0]);
    write_metrics(&path, &metrics("a", 400, 0).changes()).unwrap();
    assert_eq!(value("last_success_timestamp_seconds", "a"), [400]);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("# TYPE dataverse_backup_files gauge").count(), 1);
    assert_eq!(text.matches("state=\"failed\"").count(), 2);
}

#[test]
fn a_run_that_did_not_begin_leaves_what_the_one_before_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.prom");
    write_metrics(&path, &metrics("a", 100, 0).changes()).unwrap();
    let not_begun = Metrics { work: None, ..metrics("a", 200, 5) };
    write_metrics(&path, &not_begun.changes()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    for line in [
        "last_run_timestamp_seconds{destination=\"a\"} 200",
        "last_run_exit_code{destination=\"a\"} 5",
        "last_success_timestamp_seconds{destination=\"a\"} 100",
        "catalogued_files{destination=\"a\"} 21",
        "files{destination=\"a\",state=\"failed\"} 5",
    ] {
        assert!(text.contains(&format!("\ndataverse_backup_{line}\n")), "{line} in {text}");
    }
}

#[test]
fn several_that_write_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.prom");
    std::thread::scope(|scope| {
        for number in 0..24 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..10 {
                    write_metrics(path, &metrics(&format!("d{number}"), round, 0).changes()).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    for number in 0..24 {
        let line = format!("dataverse_backup_last_run_timestamp_seconds{{destination=\"d{number}\"}} 9\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn changes_are_of_one_destination_or_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.prom");
    let change = |family, scope, samples: &[(&str, i128)]| Change {
        family,
        scope,
        samples: samples.iter().map(|(side, value)| (vec![("side", (*side).to_owned())], *value)).collect(),
    };
    let at = |name: &str| Scope::Destination(name.to_owned());
    let lines = || {
        let text = fs::read_to_string(&path).unwrap();
        text.lines().filter(|it| !it.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let overdue = Family::ProofOverdueCopies;
    write_metrics(&path, &[change(overdue, at("a"), &[("x", 1), ("y", 2)]), change(overdue, at("b"), &[("x", 3)])])
        .unwrap();
    // One that is not told any more goes, with its destination's other one.
    write_metrics(&path, &[change(overdue, at("a"), &[("y", 4)])]).unwrap();
    let name = overdue.name();
    let (b, a) =
        (format!("{name}{{destination=\"b\",side=\"x\"}} 3"), format!("{name}{{destination=\"a\",side=\"y\"}} 4"));
    assert_eq!(lines(), [b.clone(), a.clone()]);
    let missing = |name: &str| Scope::Missing(name.to_owned());
    write_metrics(&path, &[change(overdue, missing("a"), &[("x", 5)]), change(overdue, missing("c"), &[("x", 6)])])
        .unwrap();
    assert_eq!(lines(), [b, a, format!("{name}{{destination=\"c\",side=\"x\"}} 6")]);
    write_metrics(&path, &[change(overdue, Scope::Everything, &[("x", 7)])]).unwrap();
    assert_eq!(lines(), [format!("{name}{{side=\"x\"}} 7")]);
    write_metrics(&path, &[change(overdue, Scope::Everything, &[])]).unwrap();
    assert_eq!(lines(), [""; 0]);
}

#[test]
fn mail_can_be_tried_without_a_mail() {
    let server = Server::start();
    try_out(&by(&["a@example.edu"], server.starttls, SmtpTls::None, None)).unwrap();
    server.assert_silent();
    // A certificate that nobody vouches for.
    let error = chain(&try_out(&by(&["a@example.edu"], server.tls, SmtpTls::Tls, None)).unwrap_err());
    assert!(error.to_lowercase().contains("certificate"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let mut how = to(&["a@example.edu"]);
    how.sendmail = fake_sendmail(folder.path(), 75);
    assert_eq!(try_out(&how).unwrap(), how.sendmail.display().to_string());
    assert!(!folder.path().join("sendmail.mail").exists());
    how.sendmail = folder.path().join("none");
    assert!(chain(&try_out(&how).unwrap_err()).contains("set SmtpHost"));
}

#[test]
fn metrics_that_cannot_be_written_leave_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-there").join("d.prom");
    let error = write_metrics(&path, &metrics("a", 1, 0).changes()).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    write_metrics(&occupied, &metrics("a", 1, 0).changes()).unwrap_err();
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["occupied"], "no temporary file is left");
}
