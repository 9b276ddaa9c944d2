//! Damage at an SSH server is found, with a shell there and without.

use std::fs;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::Account;
use dvb_testkit::{files, seaweed, swift, temp_folder};
use serde_json::Value;

use crate::installation::{Installation, Ledger, in_the_cloud, section, sshd};

fn damage_is_found_and_mended(account: &Account, ledger: Ledger, evidence: &str) {
    let account = account.fresh("verify");
    let mut it = Installation::of_every_kind(Schema::V6_9, ledger, &account);
    it.backup = section(&account, "");
    it.write_config();
    it.init();
    it.json(&["run"]);
    let (good, code) = it.json(&["verify"]);
    assert_eq!((code, good["copies"]["good"].as_u64()), (0, Some(it.copies().len() as u64)), "{good:#}");
    let (check, _) = it.json(&["check"]);
    assert!(check.to_string().contains(evidence), "{check:#}");
    let keys: Vec<String> = it.copies().into_iter().filter(|it| it.1.len() > 4).map(|it| it.0).collect();
    let (flipped, cut, gone) = (&keys[1], &keys[3], &keys[5]);
    let mut bytes = fs::read(it.local.join(flipped)).unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    fs::write(it.local.join(flipped), bytes).unwrap();
    fs::write(it.local.join(cut), "cut").unwrap();
    fs::remove_file(it.local.join(gone)).unwrap();
    let (found, code) = it.json(&["verify"]);
    assert_eq!(code, 4, "{found:#}");
    let damaged = found["damaged"].as_array().unwrap();
    let mut seen: Vec<_> =
        damaged.iter().map(|it| (it["what"].as_str().unwrap(), it["key"].as_str().unwrap())).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("missing", gone.as_str()), ("other-digest", flipped), ("other-size", cut)]);
    let (_, code) = it.json(&["run"]);
    assert_eq!(code, 3, "as before: some of the sources are bad");
    files::assert_same(&it.world.expected_copies(), &it.copies());
    let (again, code) = it.json(&["verify"]);
    assert_eq!((code, &again["copies"]["good"]), (0, &good["copies"]["good"]), "{again:#}");
}

#[test]
fn in_a_bucket_a_container_and_a_folder() {
    let (s3, swift) = (seaweed::shared(), swift::shared());
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ALL").id;
    for n in 0..5_u8 {
        world.add_file(dataset, &format!("file://{}", World::object_name(n.into())), &[n; 100]);
    }
    // In segments and parts.
    let large = files::bytes(7, 6 << 20);
    world.add_file(dataset, &format!("file://{}", World::object_name(9)), &large);
    let (bucket, container) = (swift::container("verify"), swift::container("verify"));
    s3.make_bucket(&bucket);
    let mut it = Installation::new(world, Ledger::Sqlite, &sshd().shell().fresh("verify-all"), folder);
    it.local = it.folder.path().join("copies");
    let directory = format!("[Backup]\nStorageType: directory\nBackupDirectory: {}\n\n", it.local.display());
    it.backup = directory + &in_the_cloud(&bucket, &container);
    it.write_config();
    it.init();
    let (copied, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{copied:#}");
    let (good, code) = it.json(&["verify"]);
    let counts = |it: &Value, what: &str| -> Vec<_> {
        it["runs"].as_array().unwrap().iter().map(|it| it["copies"][what].as_u64().unwrap()).collect()
    };
    assert_eq!((code, counts(&good, "good")), (0, vec![6, 6, 6]), "{good:#}");

    let keys: Vec<String> = it.world.files.iter().map(|it| it.copies[0].0.clone()).collect();
    let (flipped, gone, large_key) = (&keys[1], &keys[2], &keys[5]);
    let rot = |bytes: &[u8]| bytes.iter().map(|it| it ^ 1).collect::<Vec<u8>>();
    for (key, bytes) in [(flipped, vec![1; 100]), (large_key, large)] {
        fs::write(it.local.join(key), rot(&bytes)).unwrap();
        s3.put(&bucket, &format!("backup/{key}"), &rot(&bytes));
        swift.put(&container, key, &rot(&bytes));
    }
    fs::remove_file(it.local.join(gone)).unwrap();
    s3.delete(&bucket, &format!("backup/{gone}"));
    swift.delete(&container, gone);
    let (found, code) = it.json(&["verify"]);
    assert_eq!((code, counts(&found, "good")), (4, vec![3, 3, 3]), "{found:#}");
    for run in found["runs"].as_array().unwrap() {
        let damaged = run["damaged"].as_array().unwrap().iter();
        let mut seen: Vec<_> = damaged.map(|it| (it["what"].as_str(), it["key"].as_str().unwrap())).collect();
        seen.sort_unstable();
        let expected = [(Some("missing"), gone), (Some("other-digest"), flipped), (Some("other-digest"), large_key)];
        assert_eq!(seen, expected.map(|(what, key)| (what, key.as_str())), "{run:#}");
    }
    let (mended, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{mended:#}");
    let run_id = |n: usize| mended["runs"][n]["run_id"].as_str().unwrap();
    let aside = |n: usize| format!(".dataverse-backup/damaged/{}/{flipped}", run_id(n));
    assert_eq!(fs::read(it.local.join(aside(0))).unwrap(), [0; 100]);
    assert_eq!(s3.get(&bucket, &format!("backup/{}", aside(1))).as_deref(), Some(&[0; 100][..]));
    assert_eq!(swift.get(&container, &aside(2)).as_deref(), Some(&[0; 100][..]));
    let (again, code) = it.json(&["verify"]);
    assert_eq!((code, counts(&again, "good")), (0, vec![6, 6, 6]), "{again:#}");
    for (key, bytes) in it.world.expected_copies() {
        assert_eq!(it.copies().get(&key), Some(&bytes));
        assert_eq!(s3.get(&bucket, &format!("backup/{key}")).as_ref(), Some(&bytes));
        assert_eq!(swift.get(&container, &key).as_ref(), Some(&bytes));
    }
}

#[test]
fn with_a_shell_and_a_ledger_in_postgresql() {
    damage_is_found_and_mended(&sshd().shell(), Ledger::Postgres, "remote-hash");
}

#[test]
fn with_sftp_only_and_an_embedded_ledger() {
    damage_is_found_and_mended(&sshd().sftp_only(), Ledger::Sqlite, "read-back");
}
