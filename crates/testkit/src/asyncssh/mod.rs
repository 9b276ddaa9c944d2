//! An SFTP server of its own for tests that is not OpenSSH: asyncssh, with quirks to choose from.
//!
//! It comes with `pip install asyncssh`, in the environment that `$WEED` lies in, or one that `$PATH` leads to.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::sftp_server::{Server, caller};
use crate::spawn::{clean, mortal};

const PROGRAM: &str = include_str!("server.py");

/// Starts one with these quirks, which `server.py` explains: `handles=1`, `no-remove`, `idle-rename`, …. It is chrooted,
/// speaks SFTP version 3, has no shell, and works on all requests side by side.
///
/// # Panics
/// When asyncssh is not installed, or does not start.
#[must_use]
pub fn start(quirks: &[&str]) -> Server {
    Server::start("asyncssh", caller(), Signal::KILL, |dir, port| {
        fs::write(dir.join("server.py"), PROGRAM).expect("write the server's program");
        let mut command = mortal("KILL", None, python());
        command.arg("-B").arg(dir.join("server.py")).arg(port.to_string());
        command.arg(dir.join("root")).arg(dir.join("keys")).args(quirks);
        command
    })
}

/// A Python that knows asyncssh.
fn python() -> PathBuf {
    let beside_weed = std::env::var_os("WEED").map(PathBuf::from).and_then(|it| Some(it.parent()?.join("python3")));
    let tools = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-tools/bin/python3"));
    let knows = |it: &PathBuf| clean(it).args(["-c", "import asyncssh"]).output().is_ok_and(|it| it.status.success());
    let mut all = beside_weed.into_iter().chain([tools, "/usr/bin/python3".into()]);
    all.find(knows).unwrap_or_else(|| panic!("asyncssh is not installed: ./.ci/packages test"))
}
