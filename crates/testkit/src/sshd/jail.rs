//! The namespace in which an sshd of root has a user, chroots and a small disk that the machine knows nothing of.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::spawn::{clean, is_root, mortal};

/// Mount and process namespaces for one sshd.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jail;

/// A file that is mounted upon `/etc/passwd` is gone as soon as anybody on the machine adds a user, for then the one
/// below is replaced: so the whole folder is covered, where there is overlayfs.
///
/// sshd wants every part of a path that it chroots to in root's hands alone, which `/tmp` is not: so below `/srv`.
const SETUP: &str = r#"set -eu
mount -t tmpfs -o mode=755 none /srv
mkdir /srv/etc /srv/work
cp "$1/passwd" /srv/etc/passwd
chmod 644 /srv/etc/passwd
mount -t overlay -o lowerdir=/etc,upperdir=/srv/etc,workdir=/srv/work none /etc 2>/dev/null ||
    mount --bind "$1/passwd" /etc/passwd
mkdir /srv/chroot /srv/small
mount --bind "$1/chroot" /srv/chroot
mount -t tmpfs -o "mode=755,size=$4" none /srv/small
mkdir /srv/small/up
chown "$5:$5" /srv/small/up
[ -d /run/sshd ] || { mount -t tmpfs -o mode=755 none /run; mkdir /run/sshd; }
exec "$2" -D -e -f "$3""#;

impl Jail {
    pub(super) const CHROOT: &str = "/srv/chroot";
    pub(super) const SMALL_DISK: &str = "/srv/small";
    /// Its user and its group, beyond those that distributions give out.
    pub(super) const UID: u32 = 60_991;

    /// `Some` where we may make namespaces.
    pub(super) fn possible() -> Option<Self> {
        let tried = || clean("unshare").args(Self::NAMESPACES).args(["mount", "-t", "tmpfs", "none", "/srv"]).output();
        (is_root() && tried().is_ok_and(|it| it.status.success())).then_some(Self)
    }

    const NAMESPACES: [&str; 6] =
        ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

    pub(super) fn user(self) -> &'static str {
        "keeper"
    }

    /// The command that becomes sshd.
    pub(super) fn command(self, dir: &Path, sshd: &Path, config: &Path, small_disk: &str) -> Command {
        let users = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
        let (uid, user) = (Self::UID, self.user());
        let home = dir.join("home");
        let ours = format!("{users}{user}:x:{uid}:{uid}::{}:/bin/bash\n", home.display());
        fs::write(dir.join("passwd"), ours).expect("write a passwd file");
        let mut command = mortal("KILL", None, "unshare");
        command.args(Self::NAMESPACES).args(["/bin/bash", "-c", SETUP, "sshd"]);
        command.arg(dir).arg(sshd).arg(config).args([small_disk, &uid.to_string()]);
        command
    }
}
