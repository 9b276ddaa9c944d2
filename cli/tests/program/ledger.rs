//! `init` and `status`: the ledger from outside.

use std::fs;
use std::path::Path;

use dvb_fixity::{Algorithm, Evidence, Measured, Observed, Proved};
use dvb_ledger::{
    Basis, EntryKind, Ledger, ObjectProof, Record, Reservation, Run, RunLog as _, RunSummary, Signed, Tombstone,
    Verdict, Verdicts as _,
};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};
use dvb_testkit::postgres::{Database, Server};
use dvb_testkit::{files, postgres};
use serde_json::Value;

use crate::site::{Site, done, program};

fn here() -> DestinationName {
    DestinationName("default".to_owned())
}

fn record(id: i64, verdict: Verdict) -> Record {
    Record {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        dataset: Some("doi:10.5072/FK2/ABC".to_owned()),
        dataset_identifier: Some("10.5072/FK2/ABC".to_owned()),
        storage_identifier: Some(format!("file://{id}")),
        label: Some(format!("data/{id}\x1b.csv")),
        fingerprint: "f".repeat(32),
        method: "ssh",
        verdict,
        found: vec![],
        read_from: None,
    }
}

fn failed(id: i64, status: Status) -> Record {
    record(id, Verdict::Failed { status, reason: "because".to_owned(), objects: vec![], damaged: vec![] })
}

fn safe(ledger: &dyn Ledger, id: i64) -> Record {
    let key = ObjectKey::new(&format!("10.5072/FK2/ABC/{id}")).unwrap();
    let wish = Reservation { id: DvObjectId(id), role: ObjectRole::Main, version: 1, key: key.clone() };
    ledger.reserve(&here(), &[wish]).unwrap();
    let measured = Measured::of(b"bytes", &[Algorithm::Md5]);
    let digest = measured.digest(Algorithm::Md5).unwrap().clone();
    let observed = Observed { digest, size: Some(5), evidence: Evidence::RemoteHash };
    let proof = Proved::by(measured, &observed).unwrap();
    let objects = vec![ObjectProof::Now { role: ObjectRole::Main, version: 1, key, proof, adopted: false }];
    record(id, Verdict::Safe { basis: Basis::Dataverse, objects, provisional: false, note: None })
}

/// A ledger that a run left behind, with one data file of each.
fn tombstone(id: i64) -> Tombstone {
    let signed =
        Signed { at: "2026-01-02T03:04:05.000Z".to_owned(), user: "a".to_owned(), uid: 1, host: "h".to_owned() };
    Tombstone {
        id: DvObjectId(id),
        kind: EntryKind::DataFile,
        purge: RunId("20260102T030405Z-purge".to_owned()),
        destination: here(),
        basis: "takedown".to_owned(),
        reference: "case 7".to_owned(),
        list: String::new(),
        requested: signed.clone(),
        approved: None,
        executed: signed,
        objects: Vec::new(),
        proved_at: None,
    }
}

fn fill(ledger: &dyn Ledger, of: &[Status]) {
    let run = RunId("20260102T030405Z-one".to_owned());
    let started = "2026-01-02T03:04:05.000Z".to_owned();
    ledger
        .begin_run(&Run { id: run.clone(), destination: here(), started, host: "h.example.org".to_owned(), pid: 7 })
        .unwrap();
    let records: Vec<_> = (100..)
        .zip(of)
        .filter(|(_, status)| **status != Status::Purged)
        .map(|(id, status)| match status {
            Status::Ok => safe(ledger, id),
            Status::Pending => record(id, Verdict::Pending),
            Status::NotCovered => record(id, Verdict::NotCovered { reason: "elsewhere".to_owned() }),
            it => failed(id, *it),
        })
        .collect();
    ledger.record(&here(), &run, &records).unwrap();
    let purged = (100..).zip(of).filter(|(_, status)| **status == Status::Purged).map(|(id, _)| tombstone(id));
    ledger.bury(&here(), &run, &purged.collect::<Vec<_>>()).unwrap();
    let finished = "2026-01-02T04:04:05.000Z".to_owned();
    let end = RunSummary { finished, catalogued: 7, exit_code: 1, json: "{}".to_owned() };
    ledger.finish_run(&run, &end).unwrap();
}

#[test]
fn init_twice_is_init_once() {
    let site = Site::new();
    site.call(&["status"]).expect(2).says(&["run `dataverse-backup init`"]);
    site.call(&["init"]).expect(0).says(&["made, version"]);
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/ledger/sqlite");
    let is_migration = |name: &str| name.starts_with(|it: char| it.is_ascii_digit());
    let names = fs::read_dir(migrations).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let newest = names.filter(|it| is_migration(it)).count();
    site.call(&["init"]).expect(0).says(&[&format!("up to date already, version {newest}")]);
    site.call(&["init", "-q"]).expect(0).silent();
    let json = site.call(&["init", "--json"]).expect(0).json();
    assert_eq!((&json["from"], &json["to"], &json["adopted"]), (&newest.into(), &newest.into(), &Value::Null));
    assert!(json["ledger"].as_str().unwrap().ends_with("ledger.db"), "{json}");
}

#[test]
fn only_the_last_folder_of_the_ledger_is_made() {
    let mut site = Site::new();
    let lines = |path: &str| {
        let (host, port, name) = (&site.database.host, site.database.port, &site.database.name);
        format!("Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: postgres\nBackupDatabase: sqlite:{path}")
    };
    let deep = lines("not/there/ledger.db");
    site.set("Database", &deep);
    site.call(&["init"]).expect(2).says(&["not/there", "BackupDatabase"]);
    assert!(!site.path("not").exists());
}

#[test]
fn a_ledger_in_postgresql_adopts_the_originals_table() {
    let mut site = Site::new();
    let ledger = postgres::shared().create_database("ledger");
    ledger.execute(
        "CREATE TABLE datafilestatus (id integer PRIMARY KEY, datasetidentifier varchar(255), storageidentifier
             varchar(255) UNIQUE, status varchar(255), createdate timestamp, lastbackuptime timestamp,
             lastbackupmethod varchar(16));
         INSERT INTO datafilestatus VALUES (1, '10.5072/FK2/ABC', 'file://1', 'OK', now(), now(), 'ssh'),
             (2, '10.5072/FK2/ABC', 'file://2', 'FAIL_READ', now(), now(), 'ssh')",
    );
    let (host, port, name) = (&site.database.host, site.database.port, &site.database.name);
    let lines =
        format!("Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: postgres\nBackupDatabase: {}", ledger.name);
    site.set("Database", &lines);
    site.call(&["init"]).expect(0).says(&["made, version", "adopted 1 rows"]);
    let again = site.call(&["init"]).expect(0).says(&["up to date already"]);
    assert!(!again.out.contains("adopted"), "{again}");
    site.call(&["status"]).expect(1).says(&["no run has ended yet"]);
}

#[test]
fn status_of_an_empty_ledger() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    site.call(&["status"]).expect(1).says(&["destination default", "no run has ended yet"]);
    let json = site.call(&["status", "--json"]).expect(1).json();
    assert_eq!(json["exit_code"], 1);
    let default = &json["destinations"][0];
    assert_eq!(default["counts"]["OK"], 0);
    assert_eq!((&default["last_run"], &default["oldest_proof"]), (&Value::Null, &Value::Null));
    let failed = site.call(&["status", "--failed", "--json"]).expect(1).says(&["no run has ended yet"]);
    assert!(failed.out.is_empty(), "{failed}");
}

#[test]
fn before_a_run_has_ended_nothing_is_called_safe() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let ledger = site.ledger();
    let begin = |id: &str, started: &str| {
        let run = RunId(id.to_owned());
        let started = started.to_owned();
        ledger.begin_run(&Run { id: run.clone(), destination: here(), started, host: "h".to_owned(), pid: 7 }).unwrap();
        run
    };
    let end = |run: &RunId, json: &str| {
        let finished = "2026-01-03T00:00:00.000Z".to_owned();
        ledger.finish_run(run, &RunSummary { finished, catalogued: 1, exit_code: 0, json: json.to_owned() }).unwrap();
    };
    // It was killed when one data file was safe.
    let killed = begin("20260101T000000Z-killed", "2026-01-01T00:00:00.000Z");
    ledger.record(&here(), &killed, &[safe(&ledger, 100)]).unwrap();
    site.call(&["status"]).expect(1).says(&["OK                     1", "no run has ended yet"]);
    site.call(&["status", "--file", "100"]).expect(0);
    // Neither a look at the copies nor a run without a catalogue tells what Dataverse has.
    end(&begin("20260101T000001Z-verify", "2026-01-01T00:00:01.000Z"), r#"{"command":"verify"}"#);
    end(&begin("20260101T000002Z-refused", "2026-01-01T00:00:02.000Z"), r#"{"error":"no database"}"#);
    site.call(&["status"]).expect(1).says(&["no run that checked everything has ended yet"]);
    end(&begin("20260101T000003Z-run", "2026-01-01T00:00:03.000Z"), "{}");
    for second in 4..9 {
        begin(&format!("2026010{second}T000000Z-killed"), &format!("2026-01-0{second}T00:00:00.000Z"));
    }
    let status = site.call(&["status"]).expect(0);
    assert!(!status.err.contains("no run has ended"), "{status}");
}

#[test]
fn status_counts_and_lists() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    fill(&site.ledger(), &Status::ALL);
    let text = site.call(&["status"]).expect(4);
    for status in Status::ALL {
        assert!(text.out.contains(status.name()), "{status} {text}");
    }
    text.says(&[
        "oldest proof: 2",
        "run 2026-01-02T03:04:05.000Z to 2026-01-02T04:04:05.000Z on h.example.org: exit code 1",
    ]);

    let failed = site.call(&["status", "--failed"]).expect(4);
    assert_eq!(failed.out.matches("file 10").count(), 5, "{failed}");
    assert!(
        failed.out.contains("data/102\\u{1b}.csv: because"),
        "names do not reach the terminal as they are: {failed}"
    );
    let lines = site.call(&["status", "--failed", "--json"]).expect(4).out;
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let statuses: Vec<_> = lines.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["PENDING", "FAIL_READ", "FAIL_CHECKSUM", "FAIL_WRITE", "FAIL_VERIFY"]);
    assert_eq!((&lines[1]["data_file_id"], &lines[1]["destination"]), (&102.into(), &"default".into()));

    let json = site.call(&["status", "--json"]).expect(4).json();
    let default = &json["destinations"][0];
    assert_eq!(
        (&default["counts"]["OK"], &default["counts"]["FAIL_WRITE"], &default["gone"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!((&default["last_run"]["exit_code"], &json["exit_code"]), (&1.into(), &4.into()));
    assert!(default.get("data_files").is_none());
}

#[test]
fn status_of_a_selection_is_about_it_alone() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    fill(&site.ledger(), &Status::ALL);
    let json = site.call(&["status", "--file", "100", "--json"]).expect(0).json();
    let files = json["destinations"][0]["data_files"].as_array().unwrap();
    assert_eq!((files.len(), &files[0]["status"], &files[0]["copies"]), (1, &"OK".into(), &1.into()));
    assert_eq!(files[0]["checksum_basis"], "dataverse");
    site.call(&["status", "--file", "103"]).expect(3).says(&["FAIL_CHECKSUM file 103"]);
    site.call(&["status", "--file", "100", "--file", "999"]).expect(2).says(&["there is no data file \"999\""]);
    let dataset = site.call(&["status", "--dataset", "https://doi.org/10.5072/FK2/ABC"]).expect(4);
    assert_eq!(dataset.out.matches(" file 10").count(), 7, "{dataset}");
    let other = site.call(&["status", "--dataset", "doi:10.5072/fk2/abc"]).expect(4);
    assert_eq!(other.out.matches(" file 10").count(), 7, "{other}");
    site.call(&["status", "--dataset", "doi:10.5072/FK2/NONE"]).expect(2).says(&["there is no dataset or data file"]);
}

#[test]
fn the_exit_code_of_status_is_of_the_worst() {
    for (statuses, code) in [
        (&[Status::Ok, Status::NotCovered][..], 0),
        (&[Status::Ok, Status::Pending], 1),
        (&[Status::FailRead], 1),
        (&[Status::FailWrite], 1),
        (&[Status::FailRead, Status::FailChecksum], 3),
        (&[Status::FailVerify, Status::FailChecksum], 4),
    ] {
        let site = Site::new();
        site.call(&["init"]).expect(0);
        fill(&site.ledger(), statuses);
        site.call(&["status"]).expect(code);
    }
}

#[test]
fn the_catalogue_is_exported_whole_or_not_at_all() {
    let site = Site::new();
    let text = site.call(&["catalogue", "export"]).expect(0).out;
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[lines.len() - 1]["files"]), (&"header".into(), &3.into()));

    let target = site.path("export/c.jsonl.zst");
    let words = ["catalogue", "export", "-o", target.to_str().unwrap()];
    site.call(&words).expect(2).says(&["export/c.jsonl.zst", "No such file"]);
    fs::create_dir(site.path("export")).unwrap();
    site.call(&words).expect(0).silent();
    assert_eq!(fs::read_dir(site.path("export")).unwrap().count(), 1, "no temporary file is left");
    assert!(fs::read(&target).unwrap().starts_with(&[0x28, 0xB5, 0x2F, 0xFD]), "zstd's magic number");
    let json = site.call(&[&words[..], &["--json"]].concat()).expect(0).json();
    assert_eq!((&json["datasets"], &json["data_files"]), (&1.into(), &3.into()));
    site.call(&["catalogue", "export", "--json"]).expect(2);
}

#[test]
fn a_snapshot_takes_the_databases_place() {
    let mut site = Site::new();
    let target = site.path("c.jsonl");
    site.call(&["catalogue", "export", "-o", target.to_str().unwrap()]).expect(0);
    let ledger = site.path("state/ledger.db");
    site.set("Database", &format!("Catalogue: file:{}\nBackupDatabase: sqlite:{}", target.display(), ledger.display()));
    site.call(&["init"]).expect(0);
    site.call(&["check"]).expect(0).says(&["OK    catalogue", "3 data files"]);
    site.call(&["run", "--json"]).expect(0).says(&["\"copied\":3"]);
}

#[test]
fn status_says_how_many_copies_a_data_file_has() {
    let mut site = Site::new();
    site.add("Backup second", &format!("StorageType: directory\nBackupDirectory: {}", site.path("second").display()));
    let [two, one] = [0, 1].map(|it| site.world.files[it].id);
    site.call(&["init"]).expect(0);
    site.call(&["run", "--destination", "default"]).expect(0);
    site.call(&["run", "--destination", "second", "--file", &two.to_string()]).expect(0);
    let text = site
        .call(&["status", "--file", &one.to_string(), "--file", &two.to_string(), "--destination", "default"])
        .expect(0);
    text.says(&["(1 copy proved)", "(2 copies proved)", "data files by their proved copies"]);
    let json = site.call(&["status", "--dataset", "doi:10.5072/FK2/ABC", "--json"]).expect(0).json();
    let copies = |id: i64| {
        let files = json["destinations"][0]["data_files"].as_array().unwrap();
        files.iter().find(|it| it["data_file_id"] == id).unwrap()["copies"].as_u64().unwrap()
    };
    assert_eq!((copies(one), copies(two)), (1, 2), "{json:#}");
    assert_eq!((&json["copies"]["1"], &json["copies"]["2"]), (&2.into(), &1.into()), "{json:#}");
}

#[test]
fn a_ledger_that_is_damaged_says_which_and_what_to_do() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let ledger = site.path("state/ledger.db");
    let bytes = fs::read(&ledger).unwrap();
    let says = [ledger.to_str().unwrap(), "is damaged", "dataverse-backup rebuild", "The ledger is lost"];
    // No database at all, and one whose pages are gone.
    let mut torn = bytes.clone();
    torn[100..].fill(0xa5);
    for broken in [b"not a database, but long enough for a header".repeat(100), torn] {
        fs::write(&ledger, broken).unwrap();
        for command in ["status", "run", "init", "verify"] {
            let done = site.call(&[command]).expect(2).says(&says);
            assert!(!done.err.contains("try again later"), "{done}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_is_a_mistake_in_the_configuration() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let key = site.path("no key");
    let lines = "StorageType: ssh\nSshHost: 127.0.0.1\nSshPort: 9\nSshUsername: nobody\nBackupDirectory: /x";
    site.set("Backup", &format!("{lines}\nSshKeyFile: {}", key.display()));
    for command in ["run", "verify", "check"] {
        site.call(&[command]).expect(2).says(&[key.to_str().unwrap(), "cannot be read", "SshKeyFile"]);
    }
    fs::write(&key, "no key").unwrap();
    site.call(&["run"]).expect(2).says(&[key.to_str().unwrap(), "cannot be opened", "SshKeyPassphrase"]);
}

#[test]
fn a_logo_that_is_not_safe_is_told_by_status() {
    let site = Site::copied();
    let dataset = site.object(0).parent().unwrap().to_owned();
    fs::write(dataset.join("dataset_logo_original"), "logo").unwrap();
    site.call(&["run"]).expect(0);
    assert_eq!(site.call(&["status", "--json"]).expect(0).json()["destinations"][0]["datasets"], serde_json::json!([]));
    let copies = files::tree(&site.path("copies"));
    let (key, _) = copies.iter().find(|(_, bytes)| bytes.as_slice() == b"logo").unwrap();
    fs::remove_file(site.path("copies").join(key)).unwrap();
    site.call(&["verify"]).expect(4);
    site.call(&["status"]).expect(4).says(&["datasets               1  with objects of their own"]);
    let words = ["FAIL_VERIFY   doi:10.5072/FK2/ABC, its own objects: ", "is missing"];
    site.call(&["status", "--failed"]).expect(4).says(&words);
    site.call(&["status", "--dataset", "doi:10.5072/FK2/ABC"]).expect(4).says(&words);
    let id = site.world.files[0].id.to_string();
    site.call(&["status", "--file", &id]).expect(0);
    let line = site.call(&["status", "--failed", "--json"]).expect(4).json();
    assert_eq!((&line["dataset"], &line["status"]), (&"doi:10.5072/FK2/ABC".into(), &"FAIL_VERIFY".into()));
    site.call(&["run"]).expect(0);
    site.call(&["status"]).expect(0);
}

#[test]
fn a_postgresql_that_is_stopped_from_the_start_is_named_and_cut_off() {
    let server = Server::start();
    let (dataverse, ledger) = (server.create_database("dataverse"), server.create_database("ledger"));
    let mut site = Site::within(dataverse.clone());
    let sections = |database: &Database, ledger: &str| {
        let Database { host, port, name, user, password } = database;
        format!(
            "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: {user}\nPassword: {password}\nBackupDatabase: {ledger}"
        )
    };
    let sqlite = format!("sqlite:{}", site.path("state/ledger.db").display());
    site.set("Database", &sections(&dataverse, &sqlite));
    site.call(&["init"]).expect(0);
    site.set("Database", &sections(&dataverse, &ledger.name));
    site.call(&["init", "--take-over"]).expect(0);
    let frozen = server.freeze();
    // Who is waited for: the ledger, as the first thing of all; Dataverse's database, for names or for the catalogue.
    let words: [(&str, &[&str]); 3] = [
        (&ledger.name, &["run", "--time-budget", "1s", "--json"]),
        (&sqlite, &["run", "--time-budget", "1s", "--json", "--dataset", "doi:10.5072/FK2/ABC"]),
        (&sqlite, &["audit", "--time-budget", "1s", "--json"]),
    ];
    let mut calls = Vec::new();
    for database in [dataverse.clone(), server.by_socket(&dataverse)] {
        for (ledger, words) in words {
            site.set("Database", &sections(&database, ledger));
            let config = site.path(&format!("config-{}.ini", calls.len()));
            fs::copy(site.config(), &config).unwrap();
            let mut command = program();
            command.arg("--config").arg(config).args(words).env("HOME", site.folder.path());
            let name = if ledger == sqlite { &dataverse.name } else { ledger };
            let where_it_is = format!("{}:{}/{name}", database.host, database.port);
            calls.push((std::thread::spawn(move || done(&mut command)), where_it_is));
        }
    }
    for (call, where_it_is) in calls {
        let done = call.join().unwrap().expect(5);
        assert!(!done.err.contains("nobody knows") && !done.err.contains("ended as it stood"), "{done}");
        done.says(&[&where_it_is, "it gives no answer, and the time for it was over"]);
    }
    drop(frozen);
}
