//! Damage at an SSH server is found, with a shell there and without.

use std::fs;

use dvb_testkit::dataverse::Schema;
use dvb_testkit::files;
use dvb_testkit::sshd::Account;

use crate::installation::{Installation, Ledger, section, sshd};

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
fn with_a_shell_and_a_ledger_in_postgresql() {
    damage_is_found_and_mended(&sshd().shell(), Ledger::Postgres, "remote-hash");
}

#[test]
fn with_sftp_only_and_an_embedded_ledger() {
    damage_is_found_and_mended(&sshd().sftp_only(), Ledger::Sqlite, "read-back");
}
