//! Host keys, and keys of users: made once, since RSA takes its time.

use std::fs;
use std::path::Path;

use crate::cache;
use crate::spawn::run;

/// What the encrypted key is encrypted with.
pub const PASSPHRASE: &str = "secret";

pub(super) fn lay_out(dir: &Path) {
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
