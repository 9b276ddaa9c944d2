//! Drills: something is lost at random, and all of it comes back, or is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dvb_testkit::dataverse::{Schema, World};
use dvb_testkit::sshd::Account;
use dvb_testkit::{files, temp_folder};
use serde_json::Value;

use crate::installation::{Installation, Ledger, sshd};

const FILES: i64 = 120;

/// A seed of this process, told by every failure.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = u64::from(std::process::id());
        eprintln!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    /// One of each ten, at least one.
    fn tenth(&mut self, keys: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
        let all: Vec<&String> = keys.keys().collect();
        let mut chosen = BTreeSet::new();
        while chosen.len() < all.len().div_ceil(10) {
            chosen.insert(all[self.below(all.len())].clone());
        }
        chosen
    }
}

fn installation(ledger: Ledger, account: &Account) -> Installation {
    let folder = temp_folder("drill");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let datasets = ["FK2/ONE", "FK2/TWO", "FK2/THREE"].map(|it| world.add_dataset("10.5072", it).id);
    for n in 0..FILES {
        let dataset = datasets[usize::try_from(n).unwrap() % datasets.len()];
        let content = files::bytes(u64::try_from(n).unwrap(), 1000 + 977 * usize::try_from(n).unwrap());
        world.add_file(dataset, &format!("file://{}", World::object_name(n)), &content);
    }
    let it = Installation::new(world, ledger, account, folder);
    it.init();
    let (summary, code) = it.json(&["run"]);
    assert_eq!(code, 0, "{summary:#}");
    it
}

fn store(it: &Installation) -> &Path {
    &it.world.stores[0].directory
}

/// What tells a file that was touched: its inode and time.
fn stamps(root: &Path, keys: impl IntoIterator<Item = String>) -> Vec<(String, u64, i64)> {
    let stamp = |key: String| {
        let found = fs::metadata(root.join(&key)).unwrap();
        (key, found.ino(), found.mtime_nsec())
    };
    keys.into_iter().map(stamp).collect()
}

/// Turns one bit of a file over.
fn flip(path: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
    fs::write(path, bytes).unwrap();
}

fn is_aside(key: &str) -> bool {
    key.contains(".damaged-")
}

#[test]
fn a_tenth_of_the_store_is_lost_and_a_tenth_is_damaged() {
    let account = sshd().shell().fresh("drill");
    let it = installation(Ledger::Postgres, &account);
    let (root, mut dice) = (store(&it), Dice::new());
    let before = files::tree(root);
    let (lost, damaged) = (dice.tenth(&before), dice.tenth(&before));
    for key in &damaged {
        flip(&root.join(key), &mut dice);
    }
    for key in &lost {
        fs::remove_file(root.join(key)).unwrap();
    }
    let touched: BTreeSet<&String> = lost.union(&damaged).collect();
    let others: Vec<String> = before.keys().filter(|it| !touched.contains(it)).cloned().collect();
    let stamped = stamps(root, others.clone());
    let (audit, code) = it.json(&["audit", "--all"]);
    assert_eq!(code, 3, "{audit:#}");
    let text = audit.to_string();
    for key in &touched {
        let name = key.rsplit('/').next().unwrap();
        assert!(text.contains(name), "{key} is not named: {audit:#}");
    }
    let (summary, code) = it.json(&["restore", "--missing", "--in-place"]);
    assert_eq!(code, 0, "{summary:#}");
    let mut after = files::tree(root);
    after.retain(|key, _| !is_aside(key));
    files::assert_same(&before, &after);
    assert_eq!(stamps(root, others), stamped, "good files were touched");
    let (audit, code) = it.json(&["audit", "--all"]);
    assert_eq!(code, 0, "{audit:#}");
    assert_eq!(it.json(&["run"]).1, 0);
}

#[test]
fn all_databases_are_lost() {
    let account = sshd().sftp_only().fresh("drill");
    let it = installation(Ledger::Sqlite, &account);
    let expected = it.world.expected_copies();
    fs::remove_file(it.folder.path().join("ledger.db")).unwrap();
    it.write("config.ini", &it.backup);
    let (summary, code) = it.json(&["restore", "--all", "--to", "everything", "--from-snapshot"]);
    assert_eq!(code, 0, "{summary:#}");
    files::assert_same(&expected, &files::tree(&it.folder.path().join("everything")));
    let words = ["restore", "--dataset", "doi:10.5072/FK2/TWO", "--to", "two", "--from-snapshot"];
    assert_eq!(it.json(&words).1, 0);
    let mut two = expected;
    two.retain(|key, _| key.contains("/TWO/"));
    files::assert_same(&two, &files::tree(&it.folder.path().join("two")));
    let (summary, code) = it.json(&["verify", "--all", "--from-snapshot"]);
    assert_eq!(code, 0, "{summary:#}");
    // The ledger is made again, Dataverse's database comes back from its dump: nothing is sent again.
    it.write_config();
    let (summary, code) = it.json(&["rebuild"]);
    assert_eq!(code, 0, "{summary:#}");
    let (summary, code) = it.json(&["run"]);
    assert_eq!((code, summary["bytes_copied"].as_u64()), (0, Some(0)), "{summary:#}");
    assert_eq!(it.json(&["status"]).0["destinations"][0]["counts"]["OK"], FILES);
}

#[test]
fn bits_turn_over_on_both_sides() {
    let account = sshd().shell().fresh("drill");
    let it = installation(Ledger::Sqlite, &account);
    let (root, mut dice) = (store(&it), Dice::new());
    let before = files::tree(root);
    let (there, here) = (dice.tenth(&before), dice.tenth(&before));
    here.iter().for_each(|key| flip(&root.join(key), &mut dice));
    there.iter().for_each(|key| flip(&it.local.join(key), &mut dice));
    let on_both: BTreeSet<&String> = there.intersection(&here).collect();
    let (verify, code) = it.json(&["verify", "--all"]);
    assert_eq!(code, 4, "{verify:#}");
    assert!(there.iter().all(|key| verify.to_string().contains(key.as_str())), "{there:?} {verify:#}");
    let (audit, code) = it.json(&["audit", "--all"]);
    assert_eq!(code, 3, "{audit:#}");
    let (repaired, code) = it.json(&["repair", "--apply"]);
    assert_eq!(code == 0, on_both.is_empty(), "{on_both:?} {repaired:#}");
    // What is damaged on both sides cannot come back, and is named; everything else has its bytes again, on both sides.
    for (side, mut found) in [("the store", files::tree(root)), ("the destination", it.copies())] {
        found.retain(|key, _| !is_aside(key) && !is_version(key));
        for (key, bytes) in &before {
            let is_good = found.get(key) == Some(bytes);
            assert!(is_good || on_both.contains(key), "{key} at {side} has not come back: {repaired:#}");
        }
    }
    assert!(on_both.iter().all(|key| named(&repaired, key)), "{on_both:?} {repaired:#}");
}

/// Bytes that were kept beside a copy (`.v2`, …).
fn is_version(key: &str) -> bool {
    key.rsplit_once(".v").is_some_and(|(_, n)| n.parse::<u32>().is_ok())
}

fn named(summary: &Value, key: &str) -> bool {
    summary.to_string().contains(key)
}
