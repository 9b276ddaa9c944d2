//! `run` from outside: what it prints, for whom, and how it ends.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dvb_ledger::{Holder, RunLog as _};
use dvb_model::{DestinationName, RunId};
use dvb_testkit::files;
use serde_json::Value;

use crate::listeners::Listener;
use crate::site::{Done, Site, done, program};

fn ready() -> Site {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    site
}

#[test]
fn a_good_run_is_silent_under_cron() {
    let site = ready();
    site.call(&["run"]).expect(0).silent();
    let copies = files::tree(&site.path("copies"));
    for (key, bytes) in site.world.expected_copies() {
        assert_eq!(copies.get(&key), Some(&bytes), "{key}");
    }
    site.call(&["run"]).expect(0).silent();
    site.call(&["run", "--rerun"]).expect(0).silent();
    site.call(&["status"]).expect(0).says(&["OK                     3"]);
}

#[test]
fn json_is_exactly_one_object() {
    let mut site = ready();
    let json = site.call(&["run", "--json"]).expect(0).json();
    assert_eq!(
        (&json["files"]["copied"], &json["destination"], &json["exit_code"]),
        (&3.into(), &"default".into(), &0.into())
    );
    site.call(&["run", "--json", "-v"]).expect(0).json();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("b").display()));
    let json = site.call(&["run", "--json"]).expect(0).json();
    let runs = json["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &json["exit_code"]), (2, &0.into()));
    assert_eq!((&runs[0]["files"]["unchanged"], &runs[1]["files"]["copied"]), (&3.into(), &3.into()));
    let json = site.call(&["run", "--json", "--destination", "second"]).expect(0).json();
    assert_eq!(json["destination"], "second");
}

#[test]
fn the_worst_of_several_destinations_counts() {
    let mut site = ready();
    site.add("Backup second", "StorageType: directory\nBackupDirectory: /nowhere/at/all");
    site.add("Backup third", "StorageType: s3\nS3Bucket: b\nS3Profile: nobody");
    let json = site.call(&["run", "--json"]).expect(2).json();
    let codes: Vec<_> = json["runs"].as_array().unwrap().iter().map(|it| it["exit_code"].as_u64().unwrap()).collect();
    assert_eq!((codes, &json["exit_code"]), (vec![0, 2, 2], &2.into()));
    assert!(json["runs"][2]["error"].as_str().unwrap().contains("nobody"), "{json}");
}

#[test]
fn what_is_not_safe_is_named_on_stderr() {
    let site = ready();
    fs::remove_file(site.object(1)).unwrap();
    let done = site.call(&["run"]).expect(3);
    assert!(done.out.is_empty(), "{done}");
    let id = site.world.files[1].id;
    done.says(&["damage was found at the source", &format!("FAIL_READ     file {id}, doi:10.5072/FK2/ABC, ")]);
    let json = site.call(&["run", "--json"]).expect(3).json();
    assert_eq!((&json["failures_total"], &json["failures"][0]["data_file_id"]), (&1.into(), &id.into()));
}

#[test]
fn a_long_list_is_cut() {
    let mut site = ready();
    site.database.execute(
        "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)
             SELECT n, 'DataFile', (SELECT min(id) FROM dataset), now(), now(), 'file://none' || n
             FROM generate_series(1000, 1029) n;
         INSERT INTO datafile (id, checksumtype, checksumvalue, contenttype, filesize, restricted, rootdatafileid)
             SELECT id, 'MD5', repeat('0', 32), 'text/plain', 1, false, -1 FROM dvobject WHERE id >= 1000",
    );
    let done = site.call(&["run"]).expect(3);
    assert_eq!(done.err.matches("FAIL_READ").count(), 20, "{done}");
    done.says(&["and 10 more; see dataverse-backup status --failed"]);

    let mail = Listener::mail();
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.call(&["run"]).expect(3);
    assert_eq!(body(&mail.next()).matches("FAIL_READ").count(), 30);
}

#[test]
fn verbose_says_each_data_file() {
    let site = ready();
    let done = site.call(&["run", "-v"]).expect(0);
    assert_eq!(done.out.matches("OK            file ").count(), 3, "{done}");
    assert!(done.err.is_empty(), "{done}");
    done.says(&["everything in scope is safe", "3 copied"]);
}

#[test]
fn a_dry_run_only_counts() {
    let site = ready();
    let before = dvb_testkit::files::tree(&site.path("copies"));
    let json = site.call(&["run", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&json["due"]["files"], &json["dry_run"]), (&3.into(), &true.into()));
    assert!(json["free_bytes"].as_u64().is_some_and(|it| it > 0), "{json}");
    assert_eq!(dvb_testkit::files::tree(&site.path("copies")), before);
    site.call(&["run", "--dry-run", "-v"]).expect(0).says(&["to check:    3 data files"]);
    // Its counts are what it is called for.
    let done = site.call(&["run", "--dry-run"]).expect(0);
    assert!(done.out.contains("to check:    3 data files") && done.err.is_empty(), "{done}");
    site.call(&["run", "--dry-run", "-q"]).expect(0).silent();
}

#[test]
fn a_selection_and_a_limit_are_kept_to() {
    let mut site = ready();
    site.add("Notifications", &format!("MetricsFile: {}", site.path("d.prom").display()));
    let id = site.world.files[0].id.to_string();
    let json = site.call(&["run", "--json", "--file", &id, "--dataset", "doi:10.5072/FK2/ABC"]).expect(0).json();
    assert_eq!(json["files"]["copied"], 1);
    let text = fs::read_to_string(site.path("d.prom")).unwrap();
    assert!(!text.contains("last_run") && !text.contains("catalogued"), "a part says nothing of the whole: {text}");
    assert!(text.contains("copies{destination=\"default\",state=\"proved\"} 1"), "but the ledger knows more: {text}");
    site.call(&["run", "--file", "12345"]).expect(2).says(&["there is no data file"]);
    let json = site.call(&["run", "--json", "--limit", "1"]).expect(8).json();
    assert_eq!(json["files"]["pending"], 1, "{json}");
    site.call(&["run", "--time-budget", "1h"]).expect(0);
}

#[test]
fn a_driver_that_nobody_configured_is_always_warned_of() {
    let mut site = ready();
    let mail = Listener::mail();
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.database
        .execute("UPDATE dvobject SET storageidentifier = 'tape://1' WHERE id = (SELECT min(id) FROM datafile)");
    let done = site.call(&["run"]).expect(0);
    assert!(done.out.is_empty() && done.err.matches("[Store tape]").count() == 1, "{done}");
    assert!(body(&mail.next()).contains("[Store tape]"));
    assert_eq!(site.call(&["run", "-v"]).expect(0).err.matches("[Store tape]").count(), 1);
}

#[test]
fn a_lock_that_is_held_says_by_whom() {
    let mut site = ready();
    let (mail, metrics) = (Listener::mail(), site.path("d.prom"));
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.add("Notifications", &format!("MetricsFile: {}", metrics.display()));
    let (run, since) = (RunId("20260102T030405Z-one".to_owned()), "2026-01-02T03:04:05Z".to_owned());
    let holder = Holder { host: "elsewhere.example.org".to_owned(), pid: 4711, run, since };
    let ledger = site.ledger();
    let _lock = ledger.lock(&DestinationName("default".to_owned()), &holder).unwrap();
    let who = "process 4711 on elsewhere.example.org, since 2026-01-02T03:04:05Z";
    let done = site.call(&["run"]).expect(6);
    assert!(done.out.is_empty(), "{done}");
    done.says(&[who]);
    assert!(body(&mail.next()).contains(who));
    let text = fs::read_to_string(&metrics).unwrap();
    assert!(
        text.contains("last_run_exit_code{destination=\"default\"} 6") && !text.contains("catalogued_files{"),
        "{text}"
    );
    let json = site.call(&["run", "--json"]).expect(6).json();
    assert!(json["error"].as_str().unwrap().contains(who) && json["exit_code"] == 6, "{json}");
}

/// Its text, where long lines are put together again.
fn body(mail: &str) -> String {
    mail.split_once("\n\n").unwrap().1.replace("=\n", "")
}

#[test]
fn mail_ping_and_metrics_follow_a_run() {
    let mut site = ready();
    let (mail, web, metrics) = (Listener::mail(), Listener::web(), site.path("d.prom"));
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.add(
        "Notifications",
        &format!("PingUrl: http://127.0.0.1:{}/token\nMetricsFile: {}", web.port, metrics.display()),
    );
    site.call(&["run"]).expect(0).silent();
    assert_eq!(web.next(), "GET /token HTTP/1.1");
    assert!(mail.rest().is_empty(), "problems only");
    let value = |name: &str| {
        let text = fs::read_to_string(&metrics).unwrap();
        text.lines().find_map(|it| it.strip_prefix(&format!("dataverse_backup_{name} ")).map(str::to_owned)).unwrap()
    };
    assert_eq!(value("last_run_exit_code{destination=\"default\"}"), "0");
    assert_eq!(value("files{destination=\"default\",state=\"copied\"}"), "3");

    fs::write(site.object(0), "changed").unwrap();
    site.database.execute("UPDATE datafile SET contenttype = 'text/x' WHERE id = (SELECT min(id) FROM datafile)");
    site.database
        .execute("UPDATE datafile SET checksumvalue = repeat('0', 32) WHERE id = (SELECT max(id) FROM datafile)");
    site.call(&["run"]).expect(3);
    let report = mail.next();
    assert!(report.contains("Subject: Dataverse datafile backup report ["), "{report}");
    let first = body(&report).lines().next().unwrap().to_owned();
    assert!(first.starts_with("3 files processed, ") && first.contains(" success, "), "{report}");
    assert!(report.contains("FAIL_CHECKSUM") && report.contains("doi:10.5072/FK2/ABC"), "{report}");
    assert_eq!(value("last_run_exit_code{destination=\"default\"}"), "3");
    assert!(web.rest().is_empty(), "only a good run pings");

    site.add("Notifications", "EmailWhen: always");
    site.call(&["run", "--dry-run"]).expect(0);
    assert!(mail.rest().is_empty(), "a dry run is nobody's business");
}

#[test]
fn a_run_that_cannot_begin_is_mailed_too() {
    let mut site = Site::new();
    let mail = Listener::mail();
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.call(&["run"]).expect(2).says(&["dataverse-backup init"]);
    let report = body(&mail.next());
    assert!(report.starts_with("0 files processed, 0 skipped, 0 success, 0 failed\n"), "{report}");
    assert!(report.contains("There was no run") && report.contains("exit code 2"), "{report}");
}

#[test]
fn who_cannot_be_told_is_a_warning() {
    let mut site = ready();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nEmailWhen: always\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {free}"),
    );
    site.add("Notifications", &format!("PingUrl: http://127.0.0.1:{free}/token\nMetricsFile: /nowhere/d.prom"));
    let done = site.call(&["run"]).expect(0);
    assert!(!done.err.contains("token"), "{done}");
    done.says(&[
        "warning: cannot mail the report",
        "warning: cannot call PingUrl at 127.0.0.1",
        "warning: cannot write the metrics",
    ]);
}

/// A run that takes long, by its limit on bandwidth.
fn slow() -> Site {
    let mut site = Site::new();
    let dataset = site.world.datasets[0].id;
    let bytes = files::bytes(1, 3 << 20);
    let id = site.world.add_file(dataset, "file://big", &bytes).id;
    let md5 = files::md5(&bytes);
    site.world.write_stores();
    site.database.execute(&format!(
        "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)
             VALUES ({id}, 'DataFile', {dataset}, now(), now(), 'file://big');
         INSERT INTO datafile (id, checksumtype, checksumvalue, contenttype, filesize, restricted, rootdatafileid)
             VALUES ({id}, 'MD5', '{md5}', 'text/plain', {}, false, -1)",
        bytes.len()
    ));
    site.add("Backup", "BandwidthLimit: 50KiB/s");
    site.call(&["init"]).expect(0);
    site
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn status_during_the_first_run_claims_no_more_than_it_knows() {
    let site = slow();
    let mut child = start(&mut site.command(&["run"]));
    let until = Instant::now() + Duration::from_secs(60);
    while site.call(&["status", "--json"]).json()["destinations"][0]["last_run"].is_null() {
        if Instant::now() > until || child.try_wait().unwrap().is_some() {
            child.kill().unwrap();
            panic!("the run is not on record: {:?}", child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let under_way = site.call(&["status"]).expect(1).says(&["one is under way", "is not counted here"]);
    assert!(!under_way.err.contains("begin with"), "{under_way}");
    let json = site.call(&["status", "--json"]).expect(1).json();
    assert_eq!(json["destinations"][0]["complete"], false, "{json}");
    kill(&child, "-KILL");
    child.wait_with_output().unwrap();
    site.call(&["status"]).expect(1).says(&["no run has ended yet", "is not counted here; continue with"]);
}

#[test]
fn a_run_of_a_part_says_nothing_of_the_rest() {
    let site = ready();
    let id = site.world.files[0].id.to_string();
    site.call(&["run", "--file", &id]).expect(0);
    site.call(&["status"])
        .expect(1)
        .says(&["OK                     1", "no run that checked everything has ended yet"]);
    site.call(&["status", "--file", &id]).expect(0);
    site.call(&["run", "--limit", "1"]).expect(8);
    let json = site.call(&["status", "--json"]).expect(1).json();
    assert_eq!(
        (&json["destinations"][0]["complete"], &json["destinations"][0]["counts"]["PENDING"]),
        (&true.into(), &1.into())
    );
    site.call(&["run"]).expect(0);
    site.call(&["status"]).expect(0);
}

#[test]
fn an_error_does_not_turn_the_direction_of_the_screen() {
    let error = done(program().args(["--config", "/nowhere/a\u{202e}b\x1b[2J.ini", "status"])).expect(2);
    assert!(!error.err.contains(['\u{202e}', '\x1b']), "{error}");
    assert!(error.err.contains("\\u{202e}"), "{error}");
}

#[test]
fn what_a_rerun_does_not_come_to_stays_safe() {
    let site = Site::copied();
    let done = site.call(&["-v", "run", "--rerun", "--limit", "1"]).expect(8);
    let done = done.says(&[
        "3 unchanged",
        "0 failed, 0 pending",
        "not checked again: 2 data files",
        "no data file is pending",
    ]);
    assert!(!done.err.contains("the rest is pending"), "{done}");
    let json = site.call(&["run", "--rerun", "--time-budget", "0s", "--json"]);
    if json.code == 8 {
        assert_eq!((&json.json()["files"]["unchanged"], &json.json()["not_rechecked"]), (&3.into(), &3.into()));
    }
    let json = site.call(&["run", "--rerun", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&json["files"]["pending"], &json["due"]["files"]), (&0.into(), &3.into()), "{json}");
    let json = site.call(&["run", "--copies-lost", "--limit", "1", "--json"]).expect(8).json();
    assert_eq!(json["files"]["pending"], 2, "the copies are said to be lost: {json}");
    site.call(&["run", "--rerun"]).expect(0);
    site.call(&["status"]).expect(0);
}

#[test]
fn a_signal_ends_a_run_in_order() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let site = slow();
        let child = start(&mut site.command(&["run", "--json"]));
        wait_for("the copying begins", || site.path("copies/.dataverse-backup/tmp").exists());
        std::thread::sleep(Duration::from_millis(500));
        let told = Instant::now();
        kill(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(told.elapsed() < Duration::from_secs(9), "{:?}", told.elapsed());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["exit_code"], code, "{json}");
        assert_ne!(json["files"]["pending"], 0, "{json}");
        assert!(!String::from_utf8(output.stderr).unwrap().contains("panicked"));
    }
}

#[test]
fn a_terminal_gets_a_bar_and_a_summary() {
    let site = ready();
    // script(1) gives the program a terminal.
    let words = site.command(&["run", "--color", "never"]);
    let line = std::iter::once(words.get_program()).chain(words.get_args());
    let line: Vec<_> = line.map(|it| format!("'{}'", it.to_str().unwrap())).collect();
    let mut child = start(Command::new("script").args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm"));
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    let code = child.wait().unwrap().code().unwrap();
    let done = Done { code, out: shown, err: String::new() }.expect(0);
    done.says(&["reading the catalogue", "destination default: everything in scope is safe", "3 copied"]);
}

/// A site whose destination accepts connections and then says nothing, and the socket that does so.
fn mute() -> (Site, std::net::TcpListener) {
    let mut site = ready();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    site.set(
        "Backup",
        &format!("StorageType: ssh\nSshHost: 127.0.0.1\nSshPort: {port}\nSshUsername: u\nBackupDirectory: /b"),
    );
    (site, socket)
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (site, socket) = mute();
    let child = start(&mut site.command(&["run"]));
    let _connection = socket.accept().unwrap();
    kill(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    let told = Instant::now();
    kill(&child, "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130), "the first signal's code");
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
}

#[test]
fn ten_seconds_after_a_signal_it_ends_as_it_stands() {
    let (site, socket) = mute();
    let child = start(&mut site.command(&["run"]));
    let _connection = socket.accept().unwrap();
    let told = Instant::now();
    kill(&child, "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    assert!(told.elapsed() < Duration::from_secs(12), "{:?}", told.elapsed());
}

#[test]
fn what_is_no_second_place_is_refused() {
    let mut site = ready();
    let link = site.path("link");
    std::os::unix::fs::symlink(site.path("files"), &link).unwrap();
    for (other, section) in [
        ("store file", format!("StorageType: directory\nBackupDirectory: {}", link.display())),
        ("destination default", format!("StorageType: directory\nBackupDirectory: {}/", site.path("copies").display())),
    ] {
        site.set("Backup second", &section);
        for command in ["run", "check", "init"] {
            site.call(&[command]).expect(7).says(&[&format!("destination second and {other} are one place")]);
        }
    }
}
