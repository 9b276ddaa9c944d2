//! `check`: every part of the configuration against the real thing.

use std::fs;
use std::net::TcpListener;

use dvb_ledger::{Holder, RunLog as _};
use dvb_model::{DestinationName, RunId};
use dvb_testkit::sshd::{Account, Server};
use serde_json::Value;

use crate::listeners::Listener;
use crate::site::Site;

fn ssh(site: &mut Site, account: &Account, known_hosts: &std::path::Path) {
    let Account { host, port, user, root, key, .. } = account;
    site.set(
        "Backup",
        &format!(
            "StorageType: ssh\nSshHost: {host}\nSshPort: {port}\nSshUsername: {user}\nBackupDirectory: {root}\n\
             SshKeyFile: {}\nSshKnownHosts: {}",
            key.display(),
            known_hosts.display()
        ),
    );
}

fn check<'a>(json: &'a Value, what: &str) -> &'a Value {
    json["checks"].as_array().unwrap().iter().find(|it| it["what"] == what).unwrap_or_else(|| panic!("{what}: {json}"))
}

#[test]
fn all_is_well() {
    let server = Server::start();
    let mut site = Site::new();
    let mail = Listener::mail();
    site.add("Backup folder", &format!("StorageType: directory\nBackupDirectory: {}", site.path("copies").display()));
    site.add(
        "Notifications",
        &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}", mail.port),
    );
    site.add("Notifications", &format!("MetricsFile: {}", site.path("d.prom").display()));
    for (account, evidence) in [(server.shell(), "remote-hash"), (server.sftp_only(), "read-back")] {
        let account = account.fresh("check");
        ssh(&mut site, &account, &account.known_hosts);
        dvb_ledger::Ledger::migrate(&site.ledger()).unwrap();
        site.call(&["check"]).expect(0).says(&[
            "OK    catalogue: 127.0.0.1:",
            "3 data files in 1 datasets",
            "OK    ledger: ",
            "OK    store file: ",
            "3 data files name it",
            "OK    destination default: ",
            evidence,
            "OK    destination folder: ",
            "OK    mail: 127.0.0.1",
            "OK    metrics: ",
        ]);
        let left: Vec<_> = dvb_testkit::files::tree(&account.local).into_keys().collect();
        assert_eq!(left, Vec::<String>::new(), "a check leaves no file");
    }
    assert!(!site.path("copies").exists(), "a check makes no folder");
    assert!(mail.rest().is_empty() && !site.path("d.prom").exists());
    site.call(&["check", "-q"]).expect(0).silent();
    let json = site.call(&["check", "--json"]).expect(0).json();
    assert!(json["checks"].as_array().unwrap().iter().all(|it| it["ok"] == true) && json["exit_code"] == 0, "{json}");
}

#[test]
fn a_host_that_is_not_known_is_refused_with_the_line_to_add() {
    let server = Server::start();
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let account = server.shell();
    ssh(&mut site, &account, &server.known_hosts_of_another());
    site.call(&["check"]).expect(7).says(&["FAIL  destination default", "HAS CHANGED"]);
    site.call(&["run"]).expect(7).says(&["HAS CHANGED"]);

    ssh(&mut site, &account, &server.known_hosts_empty());
    let name = format!("[127.0.0.1]:{}", account.port);
    let unknown = site.call(&["check"]).expect(7).says(&["is unknown", "add this line to"]);
    // The line that it shows is the one that helps.
    let start = unknown.out.rfind(&format!("{name} ")).unwrap();
    let line: Vec<_> = unknown.out[start..].split_whitespace().take(3).collect();
    let known = site.path("known_hosts");
    fs::write(&known, format!("{}\n", line.join(" "))).unwrap();
    ssh(&mut site, &account, &known);
    site.call(&["check"]).expect(0);
}

#[test]
fn an_account_that_may_remove_nothing_is_said_to_be_that() {
    let server = dvb_testkit::asyncssh::start(&["no-remove"]);
    let account = server.account().fresh("append-only");
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    ssh(&mut site, &account, &account.known_hosts);
    let mut left = Vec::new();
    for _ in 0..3 {
        site.call(&["check"]).expect(0).says(&["append-only", "can remove nothing", "read-back"]);
        let files = dvb_testkit::files::tree(&account.local).into_keys();
        left.push(files.filter(|it| it.contains("/check-")).count());
    }
    assert_eq!(left, [1, 1, 1], "probes are left");
    site.call(&["run"]).expect(0);
}

#[test]
fn a_login_shell_that_is_slow_is_named() {
    let command = "ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in \"exec sh\") sleep 30; exec sh;; \
                   *) /usr/lib/openssh/sftp-server;; esac\n";
    let server = Server::start_with(dvb_testkit::sshd::Options { lines: command.into(), ..Default::default() });
    let account = server.shell().fresh("slow");
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    ssh(&mut site, &account, &account.known_hosts);
    site.add("Backup", "ConnectTimeout: 3s");
    site.call(&["check"]).expect(0).says(&["login shell", "did not answer for 3 s", ".bashrc"]);
    let run = site.call(&["--json", "run"]).expect(0).json();
    assert!(run["notes"].to_string().contains("did not answer for 3 s"), "{run}");
}

#[test]
fn what_an_old_server_offers_and_a_key_that_others_can_read_are_named() {
    let lines = "Ciphers aes128-ctr\nMACs hmac-sha1\n".to_owned();
    let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
    let account = server.shell().fresh("old");
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    ssh(&mut site, &account, &account.known_hosts);
    for command in ["check", "run"] {
        site.call(&[command]).expect(2).says(&["the server offers hmac-sha1", "SshMacs: +NAME"]);
    }
    site.add("Backup", "SshMacs: +hmac-md9");
    site.call(&["check"]).expect(2).says(&["SshMacs", "hmac-md9"]);
    ssh(&mut site, &account, &account.known_hosts);
    site.add("Backup", "SshMacs: +hmac-sha1");
    site.call(&["check"]).expect(0);

    let open = site.path("open_key");
    fs::copy(&account.key, &open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    ssh(&mut site, &Account { key: open.clone(), ..account.clone() }, &account.known_hosts);
    for command in ["check", "run"] {
        site.call(&[command]).expect(7).says(&[&format!("chmod 600 {}", open.display()), "0644"]);
    }
}

#[test]
fn what_ssh_would_look_up_is_looked_up() {
    let server = Server::start();
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let account = server.shell().fresh("usual");
    let Account { host, port, user, root, key, known_hosts, .. } = &account;
    site.set(
        "Backup",
        &format!("StorageType: ssh\nSshHost: {host}\nSshPort: {port}\nSshUsername: {user}\nBackupDirectory: {root}"),
    );
    site.call(&["check"]).expect(7).says(&["is unknown", ".ssh/known_hosts"]);
    fs::create_dir(site.path(".ssh")).unwrap();
    fs::copy(known_hosts, site.path(".ssh/known_hosts")).unwrap();
    site.call(&["check"]).expect(2).says(&["does not let", "neither key file nor agent"]);
    let agent = site.command(&["check"]).env("SSH_AUTH_SOCK", server.agent_socket()).output().unwrap();
    assert!(agent.status.success(), "{agent:?}");
    fs::copy(key, site.path(".ssh/id_ed25519")).unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(site.path(".ssh/id_ed25519"), open_to_all).unwrap();
    for command in ["check", "run", "init"] {
        site.call(&[command])
            .expect(7)
            .says(&["mode 0644", &format!("chmod 600 {}", site.path(".ssh/id_ed25519").display())]);
    }
    let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(site.path(".ssh/id_ed25519"), only_owner).unwrap();
    site.call(&["check"]).expect(0);
}

#[test]
fn each_failure_stands_for_itself() {
    let mut site = Site::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.set("Repository", "FileSystemDirectory: /nowhere/files");
    site.add("Store s3x", "Type: s3\nBucketName: b\nProfile: nobody");
    site.add("Notifications", &format!("Email: a@example.edu\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {free}"));
    site.add("Notifications", "MetricsFile: /nowhere/d.prom");
    let dataset = site.world.datasets[0].id;
    site.database.execute(&format!(
        "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier) VALUES
                 (900, 'DataFile', {dataset}, now(), now(), 'tape://1'),
                 (901, 'DataFile', {dataset}, now(), now(), 's3x://bucket:1');
             INSERT INTO datafile (id, checksumtype, checksumvalue, contenttype, filesize, restricted, rootdatafileid)
                 SELECT id, 'MD5', 'x', 'text/plain', 1, false, -1 FROM dvobject WHERE id >= 900"
    ));
    let json = site.call(&["check", "--json"]).expect(5).json();
    assert_eq!(check(&json, "catalogue")["ok"], true);
    for (what, text) in [
        ("ledger", "dataverse-backup init"),
        ("store file", "/nowhere/files"),
        ("store s3x", "there is no profile \"nobody\""),
        ("store tape", "nobody configured it"),
        ("mail", "cannot mail the report by 127.0.0.1"),
        ("metrics", "/nowhere/d.prom"),
    ] {
        let it = check(&json, what);
        assert!(it["ok"] == false && it["text"].as_str().unwrap().contains(text), "{what}: {it}");
    }
    assert!(check(&json, "store tape")["remedy"].as_str().unwrap().contains("[Store tape]"));
    let destination = check(&json, "destination default");
    assert_eq!(destination["ok"], true, "{destination}");
}

fn domain_xml(site: &Site, options: &[&str]) {
    let options: String =
        options.iter().map(|it| format!("<jvm-options>-Ddataverse.files.{it}</jvm-options>\n")).collect();
    let text = format!("<domain><configs><config name='server-config'>\n{options}</config></configs></domain>");
    fs::write(site.path("domain.xml"), text).unwrap();
}

#[test]
fn the_table_of_stores_says_what_each_is_and_who_names_it() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let files = site.path("files");
    let of_file = format!("file.directory={}", files.display());
    domain_xml(
        &site,
        &[
            "storage-driver-id=file",
            "file.type=file",
            &of_file,
            "s3.type=s3",
            "s3.access-key=AK",
            "s3.secret-key=${ALIAS=key}",
            "old.type=file",
            "over.type=file",
        ],
    );
    site.set("Repository", "DomainXml: domain.xml");
    site.add("Store over", "Type: remote\nBaseUrl: https://user:secret@data.example.org/d?token=secret");
    let done = site.call(&["check"]).expect(0).says(&[
        "described in",
        "file (default)  file    domain.xml             3  ",
        "s3              s3      domain.xml             0  ?",
        "over            remote  [Store over]           0  https://data.example.org/d (only recorded)",
        "OK    store file: ",
        "OK    store s3: not needed; 0 data files name it",
        "the password alias key",
    ]);
    assert!(!done.out.contains("secret@") && !done.out.contains("token"), "{done}");

    let dataset = site.world.datasets[0].id;
    site.database.execute(&format!(
        "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier) VALUES
                 (900, 'DataFile', {dataset}, now(), now(), 'tape://1'),
                 (901, 'DataFile', {dataset}, now(), now(), 's3://bucket:1');
             INSERT INTO datafile (id, checksumtype, checksumvalue, contenttype, filesize, restricted, rootdatafileid)
                 SELECT id, 'MD5', 'x', 'text/plain', 1, false, -1 FROM dvobject WHERE id >= 900"
    ));
    let json = site.call(&["check", "--json"]).expect(2).json();
    assert!(check(&json, "store s3")["text"].as_str().unwrap().contains("password alias key"), "{json}");
    let stores = json["stores"].as_array().unwrap();
    let of = |id: &str| stores.iter().find(|it| it["id"] == id).unwrap();
    assert_eq!((&of("file")["data_files"], &of("file")["default"]), (&3.into(), &true.into()));
    assert_eq!((&of("s3")["from"], &of("s3")["data_files"]), (&"domain.xml".into(), &1.into()));
    assert_eq!(
        (&of("tape")["from"], &of("tape")["type"], &of("tape")["data_files"]),
        (&Value::Null, &Value::Null, &1.into())
    );
    // Its files are not safe, and the rest is copied.
    site.call(&["run"]).says(&["password alias key"]);
    assert!(site.path("copies/10.5072/FK2/ABC").is_dir());

    fs::write(site.path("domain.xml"), "<domain>\n<config>").unwrap();
    for command in ["check", "run"] {
        site.call(&[command]).expect(2).says(&["domain.xml, line 2: it ends within <config>"]);
    }
    site.set("Repository", "DomainXml: none.xml");
    site.call(&["run"]).expect(2).says(&["cannot read", "none.xml"]);
}

#[test]
fn a_role_without_grants_is_told_what_to_run() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    let role = format!("reader_{}", site.database.name);
    site.database.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'"));
    let (host, port, name) = (&site.database.host, site.database.port, &site.database.name);
    let lines = format!(
        "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: {role}\nPassword: secret\nBackupDatabase: sqlite:{}",
        site.path("state/ledger.db").display()
    );
    site.set("Database", &lines);
    site.call(&["check"]).expect(2).says(&["FAIL  catalogue", "grants.sql"]);
}

#[test]
fn a_run_under_way_is_named() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    let ledger = site.ledger();
    let (run, since) = (RunId("20260102T030405Z-one".to_owned()), "2026-01-02T03:04:05Z".to_owned());
    let holder = Holder { host: "elsewhere.example.org".to_owned(), pid: 4711, run, since };
    let lock = ledger.lock(&DestinationName("default".to_owned()), &holder).unwrap();
    site.call(&["check"])
        .expect(0)
        .says(&["OK    ledger", "a run to default is under way: process 4711 on elsewhere.example.org"]);
    drop(lock);
    site.call(&["check"]).expect(0).says(&["no run is under way"]);
}

#[test]
fn a_store_that_no_data_file_names_is_not_needed_whatever_its_type() {
    let mut site = Site::new();
    // Nobody listens there.
    site.add("Store old", "Type: s3\nBucketName: b\nCustomEndpointUrl: http://127.0.0.1:1\nAccessKey: a\nSecretKey: s");
    site.add("Store any", "Type: s3\nCustomEndpointUrl: http://127.0.0.1:1\nAccessKey: a\nSecretKey: s");
    site.add(
        "Store swift",
        "Type: swift\nAuthType.ep: basic\nAuthUrl.ep: http://127.0.0.1:1/auth/v1.0\nUsername.ep: u\nPassword.ep: p",
    );
    site.call(&["init"]).expect(0);
    let json = site.call(&["check", "--json"]).expect(0).json();
    for store in ["old", "swift"] {
        let text = check(&json, &format!("store {store}"))["text"].as_str().unwrap();
        assert!(text.starts_with("not needed; 0 data files name it (else: "), "{text}");
    }
    let text = check(&json, "store any")["text"].as_str().unwrap();
    assert!(text.contains("BucketName is not set") && !text.contains("bucket  at"), "{text}");
    // As soon as a data file names it, it must be there.
    let dataset = site.world.datasets[0].id;
    site.database.execute(&format!(
        "INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)
             VALUES (901, 'DataFile', {dataset}, now(), now(), 'old://b:1');
         INSERT INTO datafile (id, contenttype, filesize, checksumtype, checksumvalue, restricted, rootdatafileid)
             VALUES (901, 'text/plain', 1, 'MD5', '', false, -1)"
    ));
    site.call(&["check"]).expect(5).says(&["FAIL  store old", "OK    store swift"]);
}
