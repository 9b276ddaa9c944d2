//! Is it the host that was agreed on?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dvb_sftp::SftpConfig;
use dvb_storage::{Cause, Demand, SinkError};
use dvb_testkit::sshd::{Account, Server};

use super::{config, connect_with, refused, server};

fn knowing(account: &Account, known_hosts: &Path) -> SftpConfig {
    SftpConfig { known_hosts: vec![known_hosts.to_owned()], ..config(account, Demand::ReadBack) }
}

fn untrusted(config: SftpConfig) -> SinkError {
    let error = refused(config);
    assert_eq!(error.cause, Cause::Untrusted, "{}", error.chain());
    error
}

/// The lines for an account's port, in a file of their own.
fn lines_for(account: &Account, folder: &Path, change: impl Fn(&str) -> String) -> PathBuf {
    let place = format!("[{}]:{} ", account.host, account.port);
    let all = fs::read_to_string(&account.known_hosts).unwrap();
    let lines: String = all.lines().filter(|it| it.starts_with(&place)).map(|it| change(it) + "\n").collect();
    let file = folder.join("known_hosts");
    fs::write(&file, lines).unwrap();
    file
}

fn ssh_keygen(args: &[&str], file: &Path) -> String {
    let output = Command::new("ssh-keygen").args(args).arg("-f").arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_unknown_key_is_shown_with_the_line_that_would_trust_it() {
    let account = server().shell().fresh("unknown");
    let folder = dvb_testkit::temp_folder("known");
    let file = folder.path().join("known_hosts");
    // Neither an empty file nor one that is missing knows anybody.
    for known in [server().known_hosts_empty(), file.clone()] {
        let error = untrusted(knowing(&account, &known));
        assert!(error.attempt.contains("is unknown"), "{error}");
    }
    let text = untrusted(knowing(&account, &file)).attempt;
    let fingerprints = ssh_keygen(&["-l"], &account.known_hosts);
    let shown = text.split_whitespace().find(|it| it.starts_with("SHA256:")).unwrap();
    assert!(fingerprints.contains(shown), "{text}\n{fingerprints}");
    assert!(text.contains(&file.display().to_string()), "{text}");
    let (_, line) = text.split_once(&format!("to {}: ", file.display())).unwrap();
    fs::write(&file, format!("{line}\n")).unwrap();
    connect_with(knowing(&account, &file)).unwrap();
}

#[test]
fn a_changed_key_is_called_so_and_not_trusted() {
    let mut server = Server::start();
    let account = server.shell();
    connect_with(knowing(&account, &account.known_hosts)).unwrap();
    server.restart_with_other_host_keys();
    let text = untrusted(knowing(&account, &account.known_hosts)).attempt;
    assert!(text.contains("HAS CHANGED"), "{text}");
    let old = ssh_keygen(&["-l"], &account.known_hosts);
    let new = ssh_keygen(&["-l"], &server.known_hosts_of_another());
    let shown: Vec<&str> = text.split_whitespace().filter(|it| it.starts_with("SHA256:")).collect();
    assert!(old.contains(shown[0]) && new.contains(shown[1]), "{text}");
    connect_with(knowing(&account, &server.known_hosts_of_another())).unwrap();
}

#[test]
fn lines_are_read_as_ssh_reads_them() {
    let account = server().shell().fresh("lines");
    let folder = dvb_testkit::temp_folder("known");
    let place = format!("[{}]:{}", account.host, account.port);

    let file = lines_for(&account, folder.path(), str::to_owned);
    ssh_keygen(&["-H"], &file);
    assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
    connect_with(knowing(&account, &file)).unwrap();

    // Only the second of the server's keys is known: that one is asked for.
    for kind in ["ssh-rsa", "ssh-ed25519"] {
        let only = |it: &str| if it.contains(kind) { it.to_owned() } else { format!("# {it}") };
        connect_with(knowing(&account, &lines_for(&account, folder.path(), only))).unwrap();
    }
    let patterns = |it: &str| it.replacen(&place, &format!("other,[127.0.0.?]:{}", account.port), 1);
    connect_with(knowing(&account, &lines_for(&account, folder.path(), patterns))).unwrap();
    let commented = |it: &str| format!("{it} a comment of several words");
    connect_with(knowing(&account, &lines_for(&account, folder.path(), commented))).unwrap();

    // The name alone is port 22, another port is another host, and an exception is one.
    for other in ["127.0.0.1".to_owned(), format!("[127.0.0.1]:{}", account.port + 1), format!("!{place},*")] {
        let named = |it: &str| it.replacen(&place, &other, 1);
        untrusted(knowing(&account, &lines_for(&account, folder.path(), named)));
    }
    let revoked = |it: &str| format!("{it}\n@revoked {it}");
    let error = untrusted(knowing(&account, &lines_for(&account, folder.path(), revoked)));
    assert!(error.attempt.contains("revoked"), "{error}");
}

/// An sshd that shows this certificate of its Ed25519 key, made by `ssh-keygen -s authority ARGS`.
fn certified(folder: &Path, args: &[&str]) -> Server {
    let run = |args: &[&str]| {
        let output = Command::new("ssh-keygen").args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    for name in ["authority", "certified"] {
        if !folder.join(name).exists() {
            run(&["-q", "-t", "ed25519", "-N", "", "-f", name]);
        }
    }
    run(&[&["-q", "-s", "authority", "-I", "test"], args, &["certified.pub"]].concat());
    let at = folder.display();
    let lines = format!("HostKey {at}/certified\nHostCertificate {at}/certified-cert.pub\n");
    Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() })
}

fn public(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn certificates_of_a_trusted_authority_are_accepted_for_their_host() {
    let folder = dvb_testkit::temp_folder("authority");
    let file = folder.path().join("known");
    let known = |lines: &str| fs::write(&file, lines).unwrap();
    let server = certified(folder.path(), &["-h", "-n", "other.example.org,127.0.0.1"]);
    let account = server.shell().fresh("certified");
    let (authority, key) = (public(folder.path(), "authority.pub"), public(folder.path(), "certified.pub"));
    for names in ["127.0.0.1".to_owned(), "127.*".into(), "*".into(), format!("[127.0.0.1]:{}", account.port)] {
        known(&format!("@cert-authority {names} {authority}\n"));
        connect_with(knowing(&account, &file)).unwrap_or_else(|it| panic!("{names}: {}", it.chain()));
    }
    for (lines, says) in [
        (format!("@cert-authority other {authority}\n"), "is unknown"),
        (format!("@cert-authority * {key}\n"), "is unknown"),
        (format!("@cert-authority * {authority}\n@revoked * {authority}\n"), "revoked"),
        (format!("@cert-authority * {authority}\n@revoked * {key}\n"), "revoked"),
    ] {
        known(&lines);
        let error = untrusted(knowing(&account, &file));
        assert!(error.attempt.contains(says), "{lines}: {error}");
    }
    // The bare key may be known too; then the authority does not matter.
    known(&format!(
        "@cert-authority * {}\n[127.0.0.1]:{} {key}\n",
        public(folder.path(), "certified.pub"),
        account.port
    ));
    connect_with(knowing(&account, &file)).unwrap();
    drop(server);

    known(&format!("@cert-authority * {authority}\n"));
    let critical = ["-h", "-n", "127.0.0.1", "-O", "critical:strange@example.org=1"];
    for (args, says) in [
        (&["-h", "-n", "other.example.org"][..], "it is for other.example.org"),
        (&["-h", "-n", "127.0.0.1", "-V", "20200101:20210101"], "has expired"),
        (&["-h", "-n", "127.0.0.1", "-V", "20990101:20991231"], "not valid yet"),
        (&critical, "critical option"),
    ] {
        let server = certified(folder.path(), args);
        let error = untrusted(knowing(&server.shell(), &file));
        assert!(error.attempt.contains(says), "{args:?}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let account = server().shell().fresh("unreadable");
    let folder = dvb_testkit::temp_folder("known");
    let error = untrusted(knowing(&account, folder.path()));
    assert!(error.chain().contains(&format!("known hosts in {}: ", folder.path().display())), "{}", error.chain());
}

#[test]
fn the_second_file_counts_too() {
    let account = server().shell().fresh("second");
    let config = SftpConfig {
        known_hosts: vec!["/does/not/exist".into(), account.known_hosts.clone()],
        ..config(&account, Demand::ReadBack)
    };
    connect_with(config).unwrap();
}
