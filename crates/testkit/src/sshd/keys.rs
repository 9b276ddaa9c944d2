//! Host keys, and keys of users: made once, since RSA takes its time.

use std::fs;
use std::path::Path;

use crate::cache;
use crate::spawn::run;

/// What the encrypted key is encrypted with.
pub const PASSPHRASE: &str = "secret";

pub(crate) fn lay_out(dir: &Path) {
    cache::copy_of("ssh-keys-1", dir, make);
}

fn make(dir: &Path) {
    for name in ["host_ed25519", "other_host_ed25519", "key", "key_pw_open", "stranger"] {
        generate(dir, name, &["-t", "ed25519"]);
    }
    for name in ["host_rsa", "other_host_rsa"] {
        generate(dir, name, &["-t", "rsa", "-b", "2048"]);
    }
    // The same key twice: open for the agent, encrypted for everybody else.
    for (from, to) in [("key_pw_open", "key_pw"), ("key_pw_open.pub", "key_pw.pub")] {
        fs::copy(dir.join(from), dir.join(to)).expect("copy a key");
    }
    let encrypted = dir.join("key_pw");
    let encrypted = encrypted.to_str().expect("a path in UTF-8");
    run("ssh-keygen", &["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", encrypted], "openssh-client");
    let allowed = ["key.pub", "key_pw.pub"].map(|it| fs::read_to_string(dir.join(it)).expect("read a public key"));
    fs::write(dir.join("authorized_keys"), allowed.concat()).expect("write authorized_keys");
}

fn generate(dir: &Path, name: &str, kind: &[&str]) {
    let path = dir.join(name);
    let path = path.to_str().expect("a path in UTF-8");
    run("ssh-keygen", &[&["-q", "-N", "", "-C", name, "-f", path], kind].concat(), "openssh-client");
}

/// Lines for a `known_hosts` file: the host keys, for these ports of 127.0.0.1.
pub(crate) fn known(dir: &Path, ports: &[u16]) -> String {
    let public = |name: &str| fs::read_to_string(dir.join(name)).expect("read a public key");
    let key = |it: String| it.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let keys = ["host_ed25519.pub", "host_rsa.pub"].map(|it| key(public(it)));
    let lines = ports.iter().flat_map(|port| keys.iter().map(move |key| format!("[127.0.0.1]:{port} {key}\n")));
    lines.collect()
}

/// A public key as RFC 4716 has it.
pub(crate) fn rfc4716(public: &Path) -> String {
    run("ssh-keygen", &["-e", "-f", public.to_str().expect("a path in UTF-8")], "openssh-client")
}
