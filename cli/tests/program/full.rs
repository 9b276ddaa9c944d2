//! Full disks, each on a small file system of its own: the headline and the advice name the disk that is full.

use std::path::Path;
use std::process::Command;

use dvb_testkit::dataverse::World;

use crate::site::{Done, Site, done};

/// Runs a script of the shell with a file system of so many KiB at a folder, in a namespace of its own; `$dvb` is the
/// program with its configuration.
fn on_small_disk(site: &Site, folder: &Path, kib: u32, environment: &[(&str, &str)], script: &str) -> Done {
    std::fs::create_dir_all(folder).unwrap();
    let (program, config) = (env!("CARGO_BIN_EXE_dataverse-backup"), site.config());
    let script = format!(
        "set -e; mount -t tmpfs -o size={kib}k,mode=700 none '{}'; dvb='{program} --config {}'\n\
         fill() {{ dd if=/dev/zero of=\"$1/filler\" bs=1k 2>/dev/null || true; }}\n{script}",
        folder.display(),
        config.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", site.folder.path()).envs(environment.iter().copied());
    let done = done(&mut command);
    assert!(!done.err.contains("unshare:"), "this test needs root, and the right to mount in a namespace: {done}");
    done
}

/// Files of some size, so that room runs out by them.
fn site_of(files: u64, size: usize) -> Site {
    Site::with(|world, dataset| {
        for n in 0..files {
            let name = World::object_name(100 + i64::try_from(n).unwrap());
            world.add_file(dataset, &format!("file://{name}"), &dvb_testkit::files::bytes(n, size));
        }
    })
}

#[test]
fn a_full_destination_is_one_line_with_its_number() {
    let site = site_of(30, 64 << 10);
    site.call(&["init"]).expect(0);
    let done = on_small_disk(&site, &site.path("copies"), 512, &[], "$dvb run");
    let done = done.expect(1).says(&["no space left at the destination: ", "data files were not written", "make room"]);
    assert_eq!(done.err.matches("FAIL_WRITE").count(), 1, "{done}");
    // Damage at the source does not hide it.
    let site = site_of(30, 64 << 10);
    std::fs::remove_file(site.object(0)).unwrap();
    site.call(&["init"]).expect(0);
    let done = on_small_disk(&site, &site.path("copies"), 512, &[], "$dvb run").expect(3);
    done.says(&["no space left at the destination: ", "damage was found at the source"]);
}

#[test]
fn a_full_disk_of_the_ledger_is_called_so() {
    let site = site_of(40, 10);
    let state = site.path("state");
    let script = format!("$dvb init; fill '{}'; $dvb run", state.display());
    let done = on_small_disk(&site, &state, 1024, &[], &script).expect(5);
    assert!(!done.err.contains("cannot connect to the backup database"), "{done}");
    done.says(&["no space left"]);
}

#[test]
fn a_full_folder_for_temporary_files_is_called_so() {
    let mut site = site_of(0, 0);
    let ledger = dvb_testkit::postgres::shared().create_database("ledger");
    let (database, port) = (site.database.clone(), site.database.port);
    site.set(
        "Database",
        &format!(
            "Host: {}\nPort: {port}\nDatabase: {}\nUsername: {}\nBackupDatabase: {}",
            database.host, database.name, database.user, ledger.name
        ),
    );
    site.call(&["init"]).expect(0);
    let temporary = site.path("tmp");
    let at = temporary.display().to_string();
    for words in ["run", "audit", "restore --all --to /tmp/never-made", "catalogue export -o \"$TMPDIR/c\""] {
        let script = format!("fill '{at}'; $dvb {words}");
        let done = on_small_disk(&site, &temporary, 64, &[("TMPDIR", &at)], &script).expect(5);
        done.says(&["no space left", &at]);
    }
}

#[test]
fn a_full_folder_for_what_a_snapshot_says_is_no_backup_database() {
    let site = site_of(600, 10);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    let temporary = site.path("tmp");
    let at = temporary.display().to_string();
    // Full from the start; full while the tables are made; full while they are filled.
    for (kib, script) in [(64, format!("fill '{at}'; ")), (160, String::new()), (520, String::new())] {
        for words in ["restore --from-snapshot --all --to /tmp/never-made", "verify --from-snapshot"] {
            let script = format!("{script}$dvb {words}");
            let done = on_small_disk(&site, &temporary, kib, &[("TMPDIR", &at)], &script).expect(5);
            assert!(!done.err.contains("backup database"), "{kib}: {done}");
            done.says(&["no space left", &at, "TMPDIR"]);
        }
    }
}

#[test]
fn a_full_disk_that_files_are_given_back_to_is_called_so() {
    let site = site_of(10, 64 << 10);
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    let out = site.path("out");
    let script = format!("$dvb restore --all --to '{}'", out.display());
    on_small_disk(&site, &out, 256, &[], &script).expect(5).says(&["no space left"]);
}
