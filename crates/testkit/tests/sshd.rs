//! Each account of the sshd does what its kind promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dvb_testkit::sshd::{Account, Kind, Server};

fn client(program: &str, account: &Account, known_hosts: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("SSH_AUTH_SOCK").args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
    command.arg("-o").arg(format!("Port={}", account.port));
    command
}

fn ssh(account: &Account, remote: &str) -> Output {
    let mut ssh = client("ssh", account, &account.known_hosts);
    ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(&account.key);
    ssh.arg(format!("{}@{}", account.user, account.host)).arg(remote).stdin(Stdio::null()).output().unwrap()
}

fn sftp(account: &Account, batch: &str) -> Output {
    let mut sftp = client("sftp", account, &account.known_hosts);
    sftp.args(["-vv", "-o", "IdentitiesOnly=yes", "-i"]).arg(&account.key).args(["-b", "-"]);
    sftp.arg(format!("{}@{}", account.user, account.host));
    let mut child = sftp.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn accounts_keep_to_their_kind() {
    let server = Server::start();
    let source = dvb_testkit::temp_folder("source");
    dvb_testkit::files::write(source.path(), "a", b"hello");
    let put =
        |account: &Account| sftp(account, &format!("put {} {}/a\n", source.path().join("a").display(), account.root));
    let arrived = |account: &Account| std::fs::read(account.local.join("a")).ok();

    for kind in [Kind::Shell, Kind::SftpOnly, Kind::External, Kind::Bare] {
        let account = server.account(kind).fresh("put");
        let output = put(&account);
        assert!(output.status.success(), "{kind:?}: {}", text(&output.stderr));
        assert_eq!(arrived(&account).as_deref(), Some(&b"hello"[..]), "{kind:?}");
        let fsync = text(&output.stderr).contains("extension \"fsync@openssh.com\"");
        assert_eq!(fsync, kind != Kind::Bare, "{kind:?}: {}", text(&output.stderr));
    }
    let account = server.account(Kind::ReadOnly).fresh("put");
    assert!(!put(&account).status.success() && arrived(&account).is_none());
}

#[test]
fn commands_are_answered_as_each_kind_does() {
    let server = Server::start();
    for (kind, code, out) in [
        (Kind::Shell, 0, "one\n"),
        (Kind::SftpOnly, 1, "This service allows sftp connections only.\n"),
        (Kind::External, 0, ""),
        (Kind::ReadOnly, 1, "This service allows sftp connections only.\n"),
    ] {
        let output = ssh(&server.account(kind), "echo one");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), out), "{kind:?} {output:?}");
    }
}

#[test]
fn a_small_disk_fills_up() {
    let server = Server::start();
    if !server.has_full_disk() {
        eprintln!("NOT TESTED: a disk that fills up needs root and the right to mount");
        return;
    }
    let account = server.account(Kind::FullDisk);
    let source = dvb_testkit::temp_folder("source");
    dvb_testkit::files::write(source.path(), "a", &dvb_testkit::files::bytes(1, 2 << 20));
    let output = sftp(&account, &format!("put {} {}/a\n", source.path().join("a").display(), account.root));
    assert!(!output.status.success(), "2 MiB went onto 1 MiB");
    let held = std::fs::metadata(account.local.join("a")).unwrap().len();
    assert!((1..2 << 20).contains(&held), "{held}");
}

#[test]
fn the_agent_and_the_host_keys_work() {
    let mut server = Server::start();
    let account = server.shell();
    let mut by_agent = client("ssh", &account, &account.known_hosts);
    by_agent.args(["-o", "IdentityFile=none"]).env("SSH_AUTH_SOCK", server.agent_socket());
    let output = by_agent.arg(format!("{}@{}", account.user, account.host)).arg("true").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));

    let with = |it: &Path| Account { known_hosts: it.to_owned(), ..account.clone() };
    assert!(ssh(&account, "true").status.success());
    assert!(!ssh(&with(&server.known_hosts_of_another()), "true").status.success());
    assert!(!ssh(&with(&server.known_hosts_empty()), "true").status.success());
    assert!(!ssh(&Account { key: server.stranger_key(), ..account.clone() }, "true").status.success());

    server.restart_with_other_host_keys();
    let refused = ssh(&account, "true");
    assert!(text(&refused.stderr).contains("HOST IDENTIFICATION HAS CHANGED"), "{}", text(&refused.stderr));
    assert!(ssh(&with(&server.known_hosts_of_another()), "true").status.success());
}

#[test]
fn killed_sessions_end_and_new_ones_are_accepted() {
    let server = Server::start();
    let account = server.shell();
    let mut ssh_cat = client("ssh", &account, &account.known_hosts);
    ssh_cat.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(&account.key);
    ssh_cat.arg(format!("{}@{}", account.user, account.host)).arg("echo ready; cat");
    let mut child = ssh_cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"ready\n");
    server.kill_sessions();
    assert_eq!(child.wait().unwrap().code(), Some(255));
    assert!(ssh(&account, "true").status.success());
}

/// The test plays both parts: it starts itself as the process that ends without ending its agent.
#[test]
fn an_agent_ends_with_its_process() {
    const CHILD: &str = "DVB_TEST_LEAVES_AN_AGENT";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start();
        writeln!(std::io::stdout(), "\nSOCKET {}", server.agent_socket().display()).unwrap();
        std::mem::forget(server);
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "an_agent_ends_with_its_process", "--nocapture"]).env(CHILD, "1").stdin(Stdio::null());
    let output = child.output().unwrap();
    let printed = text(&output.stdout);
    let socket = printed.lines().find_map(|it| it.strip_prefix("SOCKET "));
    let socket = socket.unwrap_or_else(|| panic!("{printed}{}", text(&output.stderr)));
    // Its folder, and the socket with it, is removed in either case.
    let runs = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut commands = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
        commands.any(|it| text(&it).contains(socket))
    };
    let end = Instant::now() + Duration::from_secs(10);
    while runs() {
        assert!(Instant::now() < end, "the agent at {socket} outlived the process that started it");
        std::thread::sleep(Duration::from_millis(10));
    }
}
