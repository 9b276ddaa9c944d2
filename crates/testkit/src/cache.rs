//! What is costly to make and the same every time (an empty database cluster, keys), kept in the build folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::spawn::run;
use crate::temp;

/// Copies the folder `name` to `to`, which must not exist; `make` fills it in a new folder when there is none yet.
pub(crate) fn copy_of(name: &str, to: &Path, make: impl FnOnce(&Path)) {
    let Some((kept, lock)) = place(name) else {
        fs::create_dir(to).expect("make a folder");
        return make(to);
    };
    lock.lock().expect("wait for another test that makes the same");
    if !kept.exists() {
        let made = temp::folder("make");
        let inner = made.path().join("it");
        fs::create_dir(&inner).expect("make a folder");
        make(&inner);
        let staged = kept.with_extension("new");
        // A process that was killed may have left a half copy.
        let _ = fs::remove_dir_all(&staged);
        copy(&inner, &staged);
        fs::rename(&staged, &kept).expect("rename a folder");
    }
    drop(lock);
    copy(&kept, to);
}

fn copy(from: &Path, to: &Path) {
    run("cp", &["-a", "--reflink=auto", "-T", path(from), path(to)], "coreutils");
}

fn path(it: &Path) -> &str {
    it.to_str().expect("a path in UTF-8")
}

/// A folder in `<target>/tmp/testkit` of the running test, and the lock for it; `None` where that is not ours to write.
fn place(name: &str) -> Option<(PathBuf, File)> {
    let binary = std::env::current_exe().ok()?;
    let shelf = binary.ancestors().find(|it| it.join("CACHEDIR.TAG").exists())?.join("tmp/testkit");
    fs::create_dir_all(&shelf).ok()?;
    let kept = shelf.join(format!("{name}-uid{}", rustix::process::geteuid().as_raw()));
    let lock = File::create(kept.with_extension("lock")).ok()?;
    Some((kept, lock))
}
