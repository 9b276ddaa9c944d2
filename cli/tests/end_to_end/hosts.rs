//! Several hosts share one run: as many processes, one ledger, one destination.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::{files, postgres, temp_folder};
use serde_json::Value;

use crate::installation::{Installation, Ledger, sshd};

const FILES: i64 = 600;

fn installation(name: &str, ledger: Ledger) -> Installation {
    let it = without_tables(name, ledger);
    it.init();
    it
}

fn without_tables(name: &str, ledger: Ledger) -> Installation {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/HOSTS").id;
    for n in 0..FILES {
        let size = if n % 20 == 7 { 1 << 20 } else { 5000 };
        let content = files::bytes(u64::try_from(n).unwrap(), size);
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    Installation::new(world, ledger, &sshd().shell().fresh(name), folder)
}

impl Installation {
    /// One host's process, with a lease that is short enough for a test.
    fn host(&self, command: &str) -> Child {
        let args = ["--json", command, "--join", "--lease", "4s", "--jobs", "2"];
        self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A host that gets at the ledger and the destination by a line of its own, each.
    fn host_behind(&self, ledger: &Proxy, destination: &Proxy) -> Child {
        let config = std::fs::read_to_string(self.folder.path().join("config.ini")).unwrap();
        let (known, port) = (value(&config, "SshKnownHosts"), value(&config, "SshPort"));
        let ports = (format!("]:{port} "), format!("]:{} ", destination.port));
        let keys = std::fs::read_to_string(&known).unwrap().replace(&ports.0, &ports.1);
        self.write("known_hosts_behind", &keys);
        let config = config
            .replace(&format!("SshKnownHosts: {known}"), "SshKnownHosts: known_hosts_behind")
            .replace(&format!("SshPort: {port}"), &format!("SshPort: {}", destination.port))
            .replace(
                "BackupDatabase:",
                &format!("BackupHost: 127.0.0.1\nBackupPort: {}\nBackupDatabase:", ledger.port),
            );
        self.write("behind.ini", &config);
        let args = ["--config", "behind.ini", "--json", "run", "--join", "--lease", "4s", "--jobs", "2"];
        self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Every file is there and proved once, and nothing is left of the run.
    fn expect_whole(&self) {
        files::assert_same(&self.world.expected_copies(), &self.copies());
        assert_eq!(self.number("SELECT count(*) FROM backup_copy WHERE state = 'proved' AND version = 1"), FILES);
        assert_eq!(self.number("SELECT count(*) FROM backup_copy"), FILES);
        assert_eq!(self.number("SELECT count(*) FROM backup_state WHERE kind = 'file' AND status = 'OK'"), FILES);
        assert_eq!(self.number("SELECT count(*) FROM backup_range WHERE phase = 1"), 0, "nothing is left of the plan");
    }

    fn number(&self, sql: &str) -> i64 {
        self.ledger.as_ref().unwrap().client().query_one(sql, &[]).unwrap().get(0)
    }

    /// Ranges of work that a host is at now.
    fn claimed(&self, host: &Child) -> i64 {
        self.number(&format!(
            "SELECT count(*) FROM backup_range r JOIN backup_worker w ON w.id = r.worker
             WHERE r.phase = 1 AND r.state = 'claimed' AND w.pid = {}",
            host.id()
        ))
    }
}

/// The value of a key of a configuration.
fn value(config: &str, key: &str) -> String {
    config.lines().find_map(|it| it.strip_prefix(&format!("{key}: "))).unwrap().to_owned()
}

/// Data files of a summary that are safe now.
fn safe(summary: &Value) -> i64 {
    let files = &summary["files"];
    ["copied", "adopted", "unchanged"].iter().map(|name| files[name].as_i64().unwrap()).sum()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain until {what}");
}

fn signal(host: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &host.id().to_string()]).status().unwrap().success());
}

fn ended(host: Child) -> (Value, Option<i32>) {
    let output = host.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let value = serde_json::from_str(&out).unwrap_or_else(|it| panic!("{it}: {out} {err}"));
    (value, output.status.code())
}

fn sum(of: &[Value], pointer: &str) -> i64 {
    of.iter().map(|it| it.pointer(pointer).and_then(Value::as_i64).unwrap()).sum()
}

#[test]
fn one_that_dies_and_one_that_stops_are_made_good_by_the_others() {
    let mut it = installation("hosts", Ledger::Postgres);
    // So no machine is done before its hosts are killed and stopped.
    it.backup += "BandwidthLimit: 1MiB/s\n";
    it.write_config();
    let hosts: [Child; 4] = std::array::from_fn(|_| it.host("run"));
    let [mut dies, stops, third, fourth] = hosts;
    wait_until("one works", || it.claimed(&dies) > 0);
    dies.kill().unwrap();
    dies.wait().unwrap();
    wait_until("another one works", || it.claimed(&stops) > 0);
    signal(&stops, "-STOP");
    let (status, _) = it.json(&["status"]);
    let shared = &status["destinations"][0]["shared_runs"][0];
    assert_eq!(
        (shared["phase"].as_str(), shared["hosts"].as_array().map(Vec::len)),
        (Some("working"), Some(4)),
        "{shared:#}"
    );
    let text = String::from_utf8(it.call(&["status"]).stdout).unwrap();
    assert!(text.contains("ranges of work done\n") && text.contains("(at work)\n"), "{text}");
    wait_until("its work is given to others", || it.claimed(&stops) == 0);
    signal(&stops, "-CONT");
    let (summaries, codes): (Vec<_>, Vec<_>) = [stops, third, fourth].map(ended).into_iter().unzip();
    assert_eq!(codes, [Some(0); 3], "{summaries:#?}");
    let run = &summaries[0]["run_id"];
    for it in &summaries {
        assert_eq!((&it["run_id"], it["files"]["catalogued"].as_i64()), (run, Some(FILES)), "{it:#}");
        assert_eq!(safe(it), FILES, "{it:#}");
        assert!(it["snapshot"].is_object(), "{it:#}");
    }
    assert_eq!(summaries.iter().filter(|it| it["share"]["closed"] == true).count(), 1, "{summaries:#?}");
    // Nothing that two hosts have done counts twice.
    let by_the_dead = it.number("SELECT files FROM backup_worker ORDER BY left_at NULLS FIRST LIMIT 1");
    assert_eq!(sum(&summaries, "/share/files") + by_the_dead, FILES, "{summaries:#?}");
    it.expect_whole();
    assert_eq!(it.number("SELECT count(*) FROM backup_run WHERE finished IS NOT NULL"), 1);
    assert_eq!(it.temporaries(), [""; 0], "what dead hosts have staged goes when the run is closed");
    let (again, code) = it.json(&["run", "--rerun"]);
    assert_eq!((again["files"]["unchanged"].as_i64(), code), (Some(FILES), 0), "{again:#}");
}

#[test]
fn a_host_alone_does_all_and_the_next_one_finds_nothing_to_do() {
    let it = installation("alone", Ledger::Postgres);
    let (first, code) = ended(it.host("run"));
    assert_eq!((first["files"]["copied"].as_i64(), code), (Some(FILES), Some(0)), "{first:#}");
    assert_eq!(first["share"]["files"].as_i64(), Some(FILES), "{first:#}");
    let (second, code) = ended(it.host("run"));
    assert_eq!((second["files"]["unchanged"].as_i64(), code), (Some(FILES), Some(0)), "{second:#}");
    assert_eq!(second["snapshot"], first["snapshot"], "{second:#}");
}

/// Three hosts share a command, and one of them is killed while it is at something: `table` is what they record it in.
fn shared_by_three(it: &Installation, command: &str, table: &str) -> Vec<(Value, Option<i32>)> {
    let mut holds_up = it.ledger.as_ref().unwrap().client();
    holds_up.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).unwrap();
    let [mut dies, second, third]: [Child; 3] = std::array::from_fn(|_| it.host(command));
    wait_until("all work", || [&dies, &second, &third].iter().all(|host| it.claimed(host) > 0));
    let (status, _) = it.json(&["status"]);
    assert_eq!(status["destinations"][0]["shared_runs"][0]["command"], command, "{status:#}");
    dies.kill().unwrap();
    dies.wait().unwrap();
    holds_up.batch_execute("COMMIT").unwrap();
    let ended: Vec<_> = [second, third].map(ended).into_iter().collect();
    let summaries: Vec<Value> = ended.iter().map(|it| it.0.clone()).collect();
    assert_eq!(summaries[0]["run_id"], summaries[1]["run_id"], "{summaries:#?}");
    assert_eq!(summaries.iter().filter(|it| it["share"]["closed"] == true).count(), 1, "{summaries:#?}");
    assert_eq!(sum(&summaries, "/share/files"), FILES, "{summaries:#?}");
    assert_eq!(it.number("SELECT count(*) FROM backup_range WHERE phase = 1"), 0, "nothing is left of the plan");
    // Each host's command is an event; the counts of all are in one.
    let of_all = format!(
        "SELECT count(*) FROM backup_event WHERE command = '{command}' AND (counts::jsonb)->'bytes' IS NOT NULL"
    );
    assert_eq!(it.number(&of_all), 1);
    assert_eq!(it.number(&format!("SELECT count(*) FROM backup_event WHERE command = '{command}'")), 3);
    ended
}

#[test]
fn copies_are_verified_by_several_hosts() {
    let it = installation("verified", Ledger::Postgres);
    assert_eq!(it.json(&["run"]).1, 0);
    let copies: Vec<_> = it.copies().into_keys().collect();
    std::fs::write(it.local.join(&copies[3]), "other bytes").unwrap();
    std::fs::remove_file(it.local.join(&copies[595])).unwrap();
    for (summary, code) in shared_by_three(&it, "verify", "backup_copy") {
        let copies = &summary["copies"];
        let counts = ["checked", "good", "damaged", "missing", "left"].map(|name| copies[name].as_i64().unwrap());
        assert_eq!((counts, code), ([FILES, FILES - 2, 1, 1, 0], Some(4)), "{summary:#}");
        assert_eq!(summary["damaged"].as_array().map(Vec::len), Some(2), "{summary:#}");
    }
    let again = "SELECT count(*) FROM backup_copy WHERE state = 'proved'
                 AND proved_at >= (SELECT max(began) FROM backup_shared)";
    assert_eq!(it.number(again), FILES - 2);
    assert_eq!(it.number("SELECT count(*) FROM backup_incident"), 2);
    assert_eq!(it.number("SELECT count(*) FROM backup_run WHERE finished IS NOT NULL"), 2);
    assert_eq!(it.json(&["run"]).1, 0);
    assert_eq!(it.json(&["verify"]).1, 0);
    assert_eq!(it.temporaries(), [""; 0]);
}

#[test]
fn stores_are_audited_by_several_hosts() {
    let it = installation("audited", Ledger::Postgres);
    assert_eq!(it.json(&["run"]).1, 0);
    let folder = it.folder.path().join("files/10.5072/FK2/HOSTS");
    std::fs::write(folder.join(World::object_name(8)), "other bytes").unwrap();
    std::fs::remove_file(folder.join(World::object_name(FILES - 5))).unwrap();
    for (summary, code) in shared_by_three(&it, "audit", "backup_state") {
        let files = &summary["files"];
        let counts = ["catalogued", "good", "damaged", "missing", "left"].map(|name| files[name].as_i64().unwrap());
        assert_eq!((counts, code), ([FILES, FILES - 2, 1, 1, 0], Some(3)), "{summary:#}");
        assert_eq!(summary["findings_total"], 2, "{summary:#}");
    }
    assert_eq!(it.number("SELECT count(*) FROM backup_incident"), 2);
    let looked_at = "SELECT count(*) FROM backup_state WHERE kind = 'file'
                     AND audited_at >= (SELECT max(began) FROM backup_shared)";
    assert_eq!(it.number(looked_at), FILES);
}

#[test]
fn a_host_that_is_cut_off_from_the_ledger_is_done_without() {
    let mut it = installation("no_ledger", Ledger::Postgres);
    it.backup += "BandwidthLimit: 1MiB/s\n";
    it.write_config();
    let ledger = Proxy::start(it.database.port, Options::default());
    let port = value(&it.backup, "SshPort").parse().unwrap();
    let destination = Proxy::start(port, Options::default());
    let cut = it.host_behind(&ledger, &destination);
    wait_until("it works", || it.claimed(&cut) > 0);
    let other = it.host("run");
    wait_until("the other one works", || it.claimed(&other) > 0);
    // Nothing comes through any more, and nobody is told so; what it has at the destination goes on.
    ledger.set(Options { hang: true, ..Options::default() });
    let (summary, code) = ended(other);
    assert_eq!((code, safe(&summary)), (Some(0), FILES), "{summary:#}");
    it.expect_whole();
    // It is back, when all is over: what it was at, it does not record.
    ledger.set(Options::default());
    let (late, code) = ended(cut);
    assert_eq!(late["run_id"], summary["run_id"], "{late:#}");
    assert!(matches!(code, Some(0 | 5)), "{code:?} {late:#}");
    it.expect_whole();
}

#[test]
fn a_host_that_is_cut_off_from_the_destination_leaves_its_work_to_the_others() {
    let mut it = installation("no_destination", Ledger::Postgres);
    it.backup += "BandwidthLimit: 1MiB/s\n";
    it.write_config();
    let ledger = Proxy::start(it.database.port, Options::default());
    let port = value(&it.backup, "SshPort").parse().unwrap();
    let destination = Proxy::start(port, Options::default());
    let cut = it.host_behind(&ledger, &destination);
    wait_until("it works", || it.claimed(&cut) > 0);
    let other = it.host("run");
    wait_until("the other one works", || it.claimed(&other) > 0);
    destination.set(Options { refuse: true, ..Options::default() });
    destination.reset();
    let (summary, code) = ended(other);
    assert_eq!((code, safe(&summary)), (Some(0), FILES), "{summary:#}");
    let (left, code) = ended(cut);
    // It waits for the destination as long as for any; then it leaves, unless all is done meanwhile.
    match left["error"].as_str() {
        // It was cut off before it had carried anything.
        Some(why) => assert!(code == Some(5) && why.starts_with("destination default: "), "{code:?} {left:#}"),
        None => {
            assert!(matches!(code, Some(0 | 5)), "{code:?} {left:#}");
            let share = (&left["run_id"], left["share"]["closed"].as_bool());
            assert_eq!(share, (&summary["run_id"], Some(false)), "{left:#}");
        }
    }
    it.expect_whole();
}

#[test]
fn a_postgresql_that_restarts_in_the_middle_loses_nothing() {
    let mut server = postgres::Server::start();
    let mut it = without_tables("restart", Ledger::Postgres);
    it.database = server.create_database("dvn");
    it.world.install(&it.database);
    it.ledger = Some(server.create_database("backup"));
    it.backup += "BandwidthLimit: 1MiB/s\n";
    it.write_config();
    it.init();
    let hosts = [it.host("run"), it.host("run")];
    wait_until("both work", || hosts.iter().all(|host| it.claimed(host) > 0));
    server.stop();
    server.start_again();
    for host in hosts {
        let (summary, code) = ended(host);
        // It goes on, or says what it was and leaves the rest to the next one.
        let why = summary["aborted"].as_str().or(summary["error"].as_str()).unwrap_or_default();
        assert!(code == Some(0) || (code == Some(5) && why.contains("PostgreSQL")), "{code:?} {summary:#}");
    }
    let (summary, code) = ended(it.host("run"));
    assert_eq!((code, safe(&summary)), (Some(0), FILES), "{summary:#}");
    it.expect_whole();
}

#[test]
fn an_embedded_ledger_is_of_one_host() {
    let it = installation("embedded", Ledger::Sqlite);
    let (refused, code) = ended(it.host("run"));
    assert_eq!(code, Some(2), "{refused:#}");
    assert!(refused["error"].as_str().unwrap().contains("only by a ledger in PostgreSQL"), "{refused:#}");
}
