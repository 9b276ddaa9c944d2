//! `-vv`: what is done with servers is shown, and none of their secrets.

use dvb_testkit::postgres::{self, Database, PASSWORD};
use dvb_testkit::sshd::{self, PASSPHRASE};
use dvb_testkit::swift::Options;
use dvb_testkit::{keystone, seaweed, swift};

use crate::listeners::Listener;
use crate::site::{Done, Site};

const SIGNING_KEY: &str = "key-of-the-signatures";
const MAIL_PASSWORD: &str = "password-of-the-mail";
const PING: &str = "as-good-as-a-password";

/// A site with everything that has a secret, and the secrets.
struct Everywhere {
    site: Site,
    mail: Listener,
    _web: Listener,
    _ping: Listener,
    secrets: Vec<String>,
}

fn everywhere(ssh: &sshd::Server, identity: &swift::Server) -> Everywhere {
    let (mail, web, ping) = (Listener::mail(), Listener::web(), Listener::web());
    let (s3, tempauth, keystone) = (seaweed::shared(), swift::shared(), identity.keystone());
    let mut site = Site::new();
    let ids = [site.world.files[0].id, site.world.files[1].id];
    let bucket = swift::container("traced");
    s3.make_bucket(&bucket);
    s3.put(&bucket, "10.5072/FK2/ABC/18b4", b"OK");
    site.database.execute(&format!(
        "UPDATE dvobject SET storageidentifier = 'trsa://18b3//a/c.csv' WHERE id = {};
         UPDATE dvobject SET storageidentifier = 's3://{bucket}:18b4' WHERE id = {};
         UPDATE datafile SET checksumtype = 'MD5', checksumvalue = 'e0aa021e21dddbd6d8cecec71e9cf564', filesize = 2
             WHERE id IN ({}, {})",
        ids[0], ids[1], ids[0], ids[1]
    ));
    site.add("Store trsa", &format!("Type: remote\nBaseUrl: http://127.0.0.1:{}/d\nPolicy: copy", web.port));
    site.add("Store trsa", &format!("SecretKey: {SIGNING_KEY}"));
    let at = format!("CustomEndpointUrl: {}\nPathStyleAccess: true", s3.url);
    let login = format!("AccessKey: {}\nSecretKey: {}", s3.access, s3.secret);
    site.add("Store s3", &format!("Type: s3\nBucketName: {bucket}\n{at}\n{login}"));

    let Database { host, port, name, .. } = &site.database;
    let ledger = postgres::shared().create_database("traced");
    let lines = format!(
        "Host: {host}\nPort: {port}\nDatabase: {name}\nUsername: scram\nPassword: {PASSWORD}\nBackupDatabase: {}",
        ledger.name
    );
    site.set("Database", &lines);

    let account = ssh.shell().fresh("traced");
    let lines = format!(
        "StorageType: ssh\nSshHost: {}\nSshPort: {}\nSshUsername: {}\nBackupDirectory: {}\nSshKeyFile: {}\n\
         SshKeyPassphrase: {PASSPHRASE}\nSshKnownHosts: {}",
        account.host,
        account.port,
        account.user,
        account.root,
        ssh.key_with_passphrase().display(),
        account.known_hosts.display()
    );
    site.add("Backup shell", &lines);
    let copies = swift::container("traced");
    s3.make_bucket(&copies);
    let lines = format!(
        "StorageType: s3\nS3Bucket: {copies}\nS3EndpointUrl: {}\nS3PathStyle: yes\nS3AccessKey: {}\nS3SecretKey: {}",
        s3.url, s3.access, s3.secret
    );
    site.add("Backup bucket", &lines);
    let container = swift::container("traced");
    let lines = format!(
        "StorageType: swift\nSwiftAuthUrl: {}\nSwiftAuthVersion: 1\nSwiftUser: {}\nSwiftKey: {}\nSwiftContainer: {container}",
        tempauth.auth_url, tempauth.user, tempauth.key
    );
    site.add("Backup tempauth", &lines);
    let at = format!("SwiftAuthUrl: {}\nSwiftAuthVersion: 3\nSwiftContainer: {container}", keystone.url);
    let login = format!(
        "SwiftUser: {}\nSwiftKey: {}\nSwiftTenant: {}\nSwiftRegion: {}",
        keystone.user, keystone.password, keystone.project, keystone.region
    );
    site.add("Backup keystone", &format!("StorageType: swift\n{at}\n{login}"));
    let (id, secret) = keystone.application_credential.clone();
    let login = format!("SwiftApplicationCredentialId: {id}\nSwiftApplicationCredentialSecret: {secret}");
    let at = at.replace(&container, &format!("{container}-2"));
    site.add("Backup credential", &format!("StorageType: swift\n{at}\n{login}\nSwiftRegion: {}", keystone.region));
    let lines = format!(
        "Email: a@example.edu\nEmailWhen: always\nSmtpHost: 127.0.0.1\nSmtpTls: none\nSmtpPort: {}\nSmtpUsername: user\n\
         SmtpPassword: {MAIL_PASSWORD}\nPingUrl: http://127.0.0.1:{}/{PING}",
        mail.port, ping.port
    );
    site.add("Notifications", &lines);

    let known = [PASSWORD, PASSPHRASE, SIGNING_KEY, MAIL_PASSWORD, PING, s3.secret, &tempauth.key, &keystone.password];
    // Of what is made of them: tokens of TempAuth and Keystone, signatures, headers.
    let made = ["AUTH_tk", "gAAAA", "Signature=", "AWS4-HMAC", "token=", "X-Auth", "x-auth", "uthorization"];
    let secrets = known.iter().chain(&made).map(|it| (*it).to_owned()).chain([secret]).collect();
    Everywhere { site, mail, _web: web, _ping: ping, secrets }
}

impl Everywhere {
    /// Calls the program, and fails where any secret is in what it says.
    #[track_caller]
    fn call(&self, words: &[&str]) -> Done {
        let done = self.site.call(words);
        for secret in &self.secrets {
            let shown = done.err.lines().chain(done.out.lines()).find(|line| line.contains(secret.as_str()));
            assert!(shown.is_none(), "{secret:?} is shown by {words:?}: {shown:?}");
        }
        done
    }
}

#[test]
fn the_trace_names_each_request_and_session_and_no_secret() {
    let ssh = sshd::Server::start();
    let options = Options { keystone: Some(keystone::Server::start()), ..Options::default() };
    let identity = swift::Server::start_with(options);
    let mut all = everywhere(&ssh, &identity);
    all.call(&["-vv", "init"]).expect(0);
    all.call(&["-vv", "check"]).expect(0);
    let done = all.call(&["-vv", "--json", "run"]).expect(0);
    for run in done.json()["runs"].as_array().unwrap() {
        assert_eq!(run["files"]["copied"], 3, "{done}");
    }
    assert!(all.mail.next().contains("Subject:"), "a mail with a login");
    for line in [
        &["dvb_http::", "request method=PUT", "/10.5072/FK2/ABC/", "status=201", "attempt=1", "ms=", "sent="][..],
        &["dvb_http::", "request method=GET", "/10.5072/FK2/ABC/18b4", "status=200", "received=2"],
        &["dvb_http::", "request method=GET", "/d/a/c.csv?until&method&token", "status=200"],
        &["dvb_http::", "request method=POST", "/v3/auth/tokens", "status=201"],
        &["dvb_http::", "request method=GET", "/auth/v1.0", "status=200"],
        &["dvb_s3::", "open a session", "bucket="],
        &["dvb_swift::", "login", "storage=http"],
        &["dvb_fs::", "open a session", "root="],
        &["dvb_fs::", "open a file", "name=10.5072/FK2/ABC/", "bytes="],
        &["dvb_pg::", "connect to PostgreSQL", "role=scram"],
        &["dvb_catalog::", "transaction in the catalogue", "ok=true"],
        &["dvb_ledger::", "transaction in the ledger", "what=record verdicts"],
        &["dvb_engine::", "connect to the destination", "destination=shell", "ms="],
        &["dvb_engine::", "batch", "destination=bucket", "files=", "objects=", "ok=true"],
    ] {
        let is_there = done.err.lines().any(|it| line.iter().all(|part| it.contains(part)));
        assert!(is_there, "no line with {line:?}: {done}");
    }
    // Of a library below, nothing.
    let is_ours = |line: &&str| line.contains("Z dvb_") || line.starts_with("dataverse-backup: ");
    let strange: Vec<_> = done.err.lines().filter(|it| it.contains("Z ") && !is_ours(it)).collect();
    assert!(strange.is_empty(), "{strange:?}");

    // What is refused says so, without what was tried. (The kit's own passwords are words that a message may have.)
    all.secrets.retain(|it| it != PASSWORD && it != s3_secret());
    for (section, key, destination) in [
        ("Backup tempauth", "SwiftKey", "tempauth"),
        ("Backup bucket", "S3SecretKey", "bucket"),
        ("Backup shell", "SshKeyPassphrase", "shell"),
        ("Database", "Password", "default"),
    ] {
        let wrong = format!("wrong-{destination}-word");
        all.site.change(section, key, &wrong);
        all.secrets.push(wrong);
        let done = all.call(&["-vv", "run", "--destination", destination]);
        assert_ne!(done.code, 0, "{section} {key}: {done}");
    }
}

fn s3_secret() -> &'static str {
    seaweed::shared().secret
}

#[test]
fn the_trace_is_shown_by_vv_alone() {
    let site = Site::copied();
    let traced = |done: &Done| done.err.lines().filter(|it| it.contains(" dvb_")).count();
    assert_eq!(traced(&site.call(&["-v", "run", "--rerun"]).expect(0)), 0);
    assert_eq!(traced(&site.call(&["run", "--rerun"]).expect(0)), 0);
    let done = site.call(&["-vv", "run", "--rerun", "--json"]).expect(0);
    assert!(traced(&done) > 3, "{done}");
    assert_eq!(done.json()["exit_code"], 0);
}
