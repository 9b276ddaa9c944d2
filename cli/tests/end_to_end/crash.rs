//! `kill -9` at random moments: no half object under a final name, and the next run finishes the job.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::Account;
use dvb_testkit::{files, temp_folder};

use crate::installation::{Installation, Ledger, section, sshd};

const FILES: i64 = 600;

fn killed_again_and_again(account: &Account, ledger: Ledger) {
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/CRASH").id;
    for n in 0..FILES {
        let size = if n % 100 == 7 { 3 << 20 } else { 5000 };
        let content = files::bytes(u64::try_from(n).unwrap(), size);
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    let mut it = Installation::new(world, ledger, account, folder);
    // 20 MB take three seconds at least, so no machine is fast enough to be done before the first kill.
    it.backup += "BandwidthLimit: 6MiB/s\n";
    it.write_config();
    it.init();
    let expected = it.world.expected_copies();
    let mut killed = 0;
    let mut seed = u64::from(std::process::id());
    for _ in 0..12 {
        let mut child = it.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_millis(150 + (seed >> 33) % 900));
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(!has_ended);
        // The server may still be about to do what it was asked.
        thread::sleep(Duration::from_millis(100));
        for (key, bytes) in it.copies() {
            assert!(expected.get(&key) == Some(&bytes), "{key} is half after {killed} kills");
        }
        if has_ended {
            break;
        }
    }
    assert!(killed > 0, "the run was over before it could be killed");
    it.backup = section(account, "");
    it.write_config();
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{summary:#}");
    files::assert_same(&expected, &it.copies());
    assert_eq!(it.temporaries(), [""; 0], "the leavings of dead runs are gone");
    let (again, _) = it.json(&["run", "--rerun"]);
    assert_eq!(again["files"]["unchanged"], FILES, "{again:#}");
}

#[test]
fn over_ssh_with_an_embedded_ledger() {
    killed_again_and_again(&sshd().shell().fresh("crash"), Ledger::Sqlite);
}

#[test]
fn over_sftp_alone_with_a_ledger_in_postgresql() {
    killed_again_and_again(&sshd().sftp_only().fresh("crash"), Ledger::Postgres);
}
