//! Who is let in, and who learns why not.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dvb_sftp::{KeyFile, SftpConfig, SshLibrary};
use dvb_storage::{Cause, Demand};
use dvb_testkit::sshd::{PASSPHRASE, Server};

use super::{config, connect_with, library, put, refused, server};

fn with_keys(keys: Vec<KeyFile>, agent: bool) -> SftpConfig {
    let agent = agent.then(|| server().agent_socket());
    SftpConfig { keys, agent, ..config(&server().shell().fresh("login"), Demand::ReadBack) }
}

fn locked(passphrase: Option<&str>) -> KeyFile {
    KeyFile { path: server().key_with_passphrase(), passphrase: passphrase.map(str::to_owned) }
}

fn stranger() -> KeyFile {
    KeyFile { path: server().stranger_key(), passphrase: None }
}

#[test]
fn keys_and_agents_open() {
    let open = KeyFile { path: server().shell().key, passphrase: None };
    for (keys, agent) in [
        (vec![open.clone()], false),
        (vec![locked(Some(PASSPHRASE))], false),
        (vec![], true),
        (vec![stranger()], true),
        (vec![stranger(), locked(None), open], false),
    ] {
        connect_with(with_keys(keys.clone(), agent)).unwrap_or_else(|it| panic!("{keys:?} {agent}: {}", it.chain()));
    }
}

#[test]
fn whoever_is_not_let_in_learns_what_was_tried() {
    let missing = KeyFile { path: "/does/not/exist".into(), passphrase: None };
    let nobody = SftpConfig { username: "no-such-user".into(), ..with_keys(vec![stranger()], true) };
    let deaf = SftpConfig { agent: Some("/does/not/exist.sock".into()), ..with_keys(vec![], false) };
    for (config, words) in [
        (with_keys(vec![stranger()], false), vec!["stranger"]),
        (with_keys(vec![locked(Some("wrong"))], false), vec!["key_pw"]),
        (with_keys(vec![locked(None)], false), vec!["key_pw", "no passphrase"]),
        (with_keys(vec![missing.clone(), stranger()], false), vec!["/does/not/exist", "stranger"]),
        (with_keys(vec![], false), vec!["neither key file nor agent"]),
        (nobody, vec!["stranger", "the 1 keys of the agent"]),
        (deaf, vec!["agent at /does/not/exist.sock"]),
    ] {
        let error = connect_with(config).map(drop).expect_err(&format!("let in: {words:?}"));
        assert_eq!(error.cause, Cause::Forbidden, "{}", error.chain());
        for word in words {
            assert!(error.attempt.contains(word), "{error}");
        }
        assert!(!error.chain().contains("\"wrong\""), "{error}");
    }
}

#[test]
fn whoever_is_not_there_is_unavailable_within_the_limit() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [&silent, &rude].map(|it| it.local_addr().unwrap().port());
    std::thread::spawn(move || rude.incoming().for_each(drop));
    for port in [free, ports[0], ports[1]] {
        let limit = Duration::from_secs(1);
        let config = SftpConfig { port, connect_timeout: limit, ..with_keys(vec![stranger()], false) };
        let began = Instant::now();
        let error = refused(config);
        assert_eq!(error.cause, Cause::Unavailable, "{}", error.chain());
        assert!(error.chain().contains(&port.to_string()), "{}", error.chain());
        assert!(began.elapsed() < 3 * limit, "{:?}", began.elapsed());
    }
    let folder = dvb_testkit::temp_folder("agent");
    let agent = folder.path().join("agent.sock");
    let _hung = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let limit = Duration::from_secs(1);
    let config = SftpConfig { agent: Some(agent), connect_timeout: limit, ..with_keys(vec![stranger()], false) };
    let began = Instant::now();
    let error = refused(config);
    assert_eq!(error.cause, Cause::Unavailable, "{}", error.chain());
    assert!(error.attempt.contains("agent"), "{error}");
    assert!(began.elapsed() < 5 * limit, "{:?}", began.elapsed());
    let unknown = SftpConfig { host: "no-such-host.invalid".into(), ..with_keys(vec![], false) };
    assert_eq!(refused(unknown).cause, Cause::Unavailable);
}

#[test]
fn ciphers_are_the_user_s_to_choose() {
    for (ciphers, known) in [("aes256-gcm@openssh.com", true), ("aes128-ctr,aes256-ctr", true), ("rot13", false)] {
        let config = SftpConfig {
            ciphers: Some(ciphers.into()),
            ..with_keys(vec![KeyFile { path: server().shell().key, passphrase: None }], false)
        };
        match connect_with(config) {
            Ok(_) => assert!(known, "{ciphers}"),
            Err(error) => assert!(!known && error.attempt.contains("Ciphers"), "{ciphers}: {}", error.chain()),
        }
    }
}

#[test]
fn servers_that_know_little_are_understood() {
    for lines in [
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms ecdh-sha2-nistp384",
        "KexAlgorithms ecdh-sha2-nistp521",
        "KexAlgorithms diffie-hellman-group14-sha256",
        "KexAlgorithms diffie-hellman-group16-sha512",
        "KexAlgorithms diffie-hellman-group-exchange-sha256",
        "HostKeyAlgorithms rsa-sha2-256",
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes256-gcm@openssh.com",
        "Ciphers aes192-ctr\nMACs hmac-sha2-512",
        "Ciphers aes256-ctr\nMACs hmac-sha2-256-etm@openssh.com",
    ] {
        let server =
            Server::start_with(dvb_testkit::sshd::Options { lines: format!("{lines}\n"), ..Default::default() });
        let account = server.shell().fresh("little");
        let mut session =
            connect_with(config(&account, Demand::Auto)).unwrap_or_else(|it| panic!("{lines}: {}", it.chain()));
        put(session.as_mut(), "a", b"bytes").unwrap_or_else(|it| panic!("{lines}: {it}"));
    }
}

/// What is offered only on demand, by what the server alone has, and the key of the configuration that allows it.
type OnDemand = (&'static str, &'static str, fn(&mut SftpConfig));

#[test]
fn old_servers_are_agreed_with_only_on_demand() {
    let cases: [OnDemand; 5] = [
        ("Ciphers aes256-cbc", "Ciphers", |it| it.ciphers = Some("+aes256-cbc".into())),
        ("KexAlgorithms diffie-hellman-group14-sha1", "KexAlgorithms", |it| {
            it.exchanges = Some("+diffie-hellman-group14-sha1".into());
        }),
        ("KexAlgorithms diffie-hellman-group1-sha1", "KexAlgorithms", |it| {
            it.exchanges = Some("+diffie-hellman-group1-sha1".into());
        }),
        ("Ciphers aes128-ctr\nMACs hmac-sha1", "MACs", |it| it.macs = Some("+hmac-sha1".into())),
        ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms", |it| it.host_key_types = Some("+ssh-rsa".into())),
    ];
    for (lines, key, allow) in cases {
        let server =
            Server::start_with(dvb_testkit::sshd::Options { lines: format!("{lines}\n"), ..Default::default() });
        let mut config = config(&server.shell().fresh("old"), Demand::ReadBack);
        let error = refused(config.clone());
        assert_eq!(error.cause, Cause::Misconfigured, "{lines}: {}", error.chain());
        let offered = lines.rsplit(' ').next().unwrap();
        assert!(error.attempt.contains(key) && error.attempt.contains(offered), "{lines}: {error}");
        allow(&mut config);
        if let Err(error) = config.check() {
            // libssh2 is built without SHA-1, unless it is told to.
            let needs_sha1 = offered.contains("sha1") || offered == "ssh-rsa";
            assert!(library() == SshLibrary::Libssh2 && needs_sha1, "{lines}: {error}");
            assert!(error.attempt.contains("not known to libssh2"), "{lines}: {error}");
            assert_eq!(refused(config).cause, Cause::Misconfigured);
            continue;
        }
        connect_with(config).unwrap_or_else(|it| panic!("{lines}: {}", it.chain()));
    }
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let folder = dvb_testkit::temp_folder("open");
    let copy = |from: &Path, name: &str| {
        let to = folder.path().join(name);
        std::fs::copy(from, &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o640)).unwrap();
        to
    };
    let open = KeyFile { path: copy(&server().shell().key, "open"), passphrase: None };
    let error = open.check().unwrap_err();
    assert_eq!(error.cause, Cause::Untrusted);
    assert!(error.attempt.contains("chmod 600") && error.attempt.contains("0640"), "{error}");
    let error = refused(with_keys(vec![open.clone()], false));
    assert!(error.cause == Cause::Untrusted && error.attempt.contains("chmod 600"), "{error}");
    let encrypted = copy(&server().key_with_passphrase(), "encrypted");
    KeyFile { path: encrypted, passphrase: Some(PASSPHRASE.into()) }.check().unwrap();
    std::fs::set_permissions(&open.path, std::fs::Permissions::from_mode(0o600)).unwrap();
    open.check().unwrap();
}

#[test]
fn a_key_is_tried_without_a_server() {
    let good = KeyFile { path: server().shell().key, passphrase: None };
    good.check().unwrap();
    KeyFile { passphrase: Some("not needed".into()), ..good }.check().unwrap();
    locked(Some(PASSPHRASE)).check().unwrap();
    for (key, cause, says) in [
        (
            KeyFile { path: "/does/not/exist".into(), passphrase: None },
            Cause::Missing,
            "/does/not/exist cannot be read",
        ),
        (locked(None), Cause::Forbidden, "needs a passphrase"),
        (locked(Some("wrong")), Cause::Forbidden, "passphrase is wrong"),
        (KeyFile { path: "/etc/passwd".into(), passphrase: None }, Cause::Forbidden, "not a private key"),
    ] {
        let error = key.check().unwrap_err();
        assert!(error.cause == cause && error.chain().contains(says), "{}", error.chain());
    }
}

#[test]
fn a_certificate_that_an_agent_holds_opens() {
    let folder = dvb_testkit::temp_folder("certificate");
    let run = |program: &str, args: &[&str], socket: &Path| {
        let mut command = Command::new(program);
        let output = command.args(args).current_dir(folder.path()).env("SSH_AUTH_SOCK", socket).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
    };
    let none = Path::new("/dev/null");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "authority"], none);
    let lines = format!("TrustedUserCAKeys {}\n", folder.path().join("authority.pub").display());
    let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
    let account = server.shell().fresh("certificate");
    let agent = server.agent_socket();
    run("ssh-add", &["-q", "-D"], &agent);
    let config = |agent| SftpConfig { keys: vec![], agent: Some(agent), ..config(&account, Demand::ReadBack) };
    // libssh2 asks an agent for a signature by SHA-1 where the RSA key is in a certificate.
    let kinds = if library() == SshLibrary::Russh { &["ed25519", "ecdsa", "rsa"][..] } else { &["ed25519", "ecdsa"] };
    for kind in kinds {
        run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", kind], none);
        run("ssh-add", &["-q", kind], &agent);
        assert_eq!(refused(config(agent.clone())).cause, Cause::Forbidden, "{kind}: without a certificate");
        run("ssh-keygen", &["-q", "-s", "authority", "-I", "us", "-n", &account.user, &format!("{kind}.pub")], none);
        run("ssh-add", &["-q", kind], &agent);
        connect_with(config(agent.clone())).unwrap_or_else(|it| panic!("{kind}: {}", it.chain()));
        run("ssh-add", &["-q", "-D"], &agent);
    }
}

/// Makes keys by command lines in which `FILE` stands for the key's file; each with its passphrase.
fn make_keys(folder: &Path) -> Vec<KeyFile> {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for words in ["", PASSPHRASE] {
        lines.push((format!("ssh-keygen -q -t ed25519 -N '{words}' -f FILE"), words));
        for kind in ["rsa -b 2048", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521"] {
            for format in ["RFC4716", "PEM", "PKCS8"] {
                lines.push((format!("ssh-keygen -q -t {kind} -m {format} -N '{words}' -f FILE"), words));
            }
        }
    }
    for line in ["openssl genrsa -traditional -out FILE 2048", "openssl ecparam -name prime256v1 -genkey -out FILE"] {
        lines.push((line.to_owned(), ""));
    }
    for line in [
        "openssl genrsa -aes128 -traditional -passout pass:secret -out FILE 2048",
        "openssl genrsa -aes256 -traditional -passout pass:secret -out FILE 2048",
        "openssl genpkey -algorithm rsa -aes256 -pass pass:secret -out FILE",
    ] {
        lines.push((line.to_owned(), PASSPHRASE));
    }
    let made = lines.into_iter().enumerate().map(|(n, (line, words))| {
        let path = folder.join(format!("{n}"));
        let line = line.replace("FILE", &path.display().to_string());
        let output = Command::new("sh").args(["-c", &format!("umask 077; {line}")]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        KeyFile { path, passphrase: Some(words.to_owned()).filter(|it| !it.is_empty()) }
    });
    made.collect()
}

/// Keys with a number that begins with a zero byte, as one in 256 has it: another one each time would hide it.
fn short_keys(folder: &Path) -> Vec<KeyFile> {
    let all = [("p256_short", None), ("p256_short_locked", Some(PASSPHRASE))];
    let copy = |(name, words): (&str, Option<&str>)| {
        let path = folder.join(name);
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name), &path).unwrap();
        // ssh-keygen reads no key that others may read.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        KeyFile { path, passphrase: words.map(str::to_owned) }
    };
    all.map(copy).into()
}

#[test]
fn keys_of_every_type_and_format_open() {
    let server = Server::start();
    let account = server.shell().fresh("formats");
    let folder = dvb_testkit::temp_folder("keys");
    let allowed = account.key.with_file_name("authorized_keys");
    for key in make_keys(folder.path()).into_iter().chain(short_keys(folder.path())) {
        let words = key.passphrase.clone().unwrap_or_default();
        let public = Command::new("ssh-keygen").args(["-y", "-P", &words, "-f"]).arg(&key.path).output().unwrap();
        assert!(public.status.success(), "{public:?}");
        std::fs::write(&allowed, public.stdout).unwrap();
        key.check().unwrap_or_else(|it| panic!("{}\n{}", it.chain(), std::fs::read_to_string(&key.path).unwrap()));
        let text = std::fs::read_to_string(&key.path).unwrap();
        let config = SftpConfig { keys: vec![key], agent: None, ..config(&account, Demand::ReadBack) };
        connect_with(config).unwrap_or_else(|it| panic!("{}\n{text}", it.chain()));
    }
}
