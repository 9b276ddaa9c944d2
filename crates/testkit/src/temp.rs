//! The one temporary folder of this process, removed when the process has ended, even by SIGKILL.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::{Builder, TempDir};

struct Root {
    path: PathBuf,
    /// The janitor removes the folder when this end of its pipe closes, which the kernel does for a dead process.
    _janitor: Child,
}

static ROOT: OnceLock<Root> = OnceLock::new();

/// Servers have died by then; one that still writes is given 10 s.
const JANITOR: &str = r#"cat >/dev/null; n=0
until rm -rf -- "$1" 2>/dev/null; do n=$((n + 1)); [ "$n" -lt 100 ] || exit 1; sleep 0.1; done"#;

fn root() -> &'static Path {
    let root = ROOT.get_or_init(|| {
        let path = Builder::new().prefix("dvb-").tempdir_in(base()).expect("make a temporary folder").keep();
        passable(&path);
        let janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at a terminal reaches the test's process group, and must not reach this one.
            .process_group(0)
            .spawn()
            .expect("start /bin/sh");
        Root { path, _janitor: janitor }
    });
    &root.path
}

/// The system's temporary folder, or `/tmp` where other users could not reach anything below it.
fn base() -> PathBuf {
    let wanted = std::env::temp_dir();
    let open = |it: &Path| it.metadata().is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    // Sockets have to fit into 107 bytes.
    if wanted.as_os_str().len() < 40 && wanted.ancestors().all(open) { wanted } else { PathBuf::from("/tmp") }
}

fn passable(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod a temporary folder");
}

/// A new folder that other users may pass (servers do not run as root), removed on drop, or with the process.
#[must_use]
pub fn folder(name: &str) -> TempDir {
    let dir = Builder::new().prefix(&format!("{name}-")).rand_bytes(4).tempdir_in(root()).expect("make a folder");
    passable(dir.path());
    dir
}
