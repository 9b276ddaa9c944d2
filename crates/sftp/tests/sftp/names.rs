//! Names are data, whatever they hold.

use dvb_fixity::{Algorithm, Evidence, Measured};
use dvb_storage::{CommitRequest, Demand};
use dvb_testkit::sshd::Kind;

use super::{config, connect_to_new, connect_with, get, key, server, shown, stage};

fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "quo'te",
        "dou\"ble",
        "new\nline",
        "tab\tand\rreturn",
        "back\\slash",
        "\\n",
        "-rf",
        "--",
        "$(touch x)",
        "`y`;&|",
        "~root",
        " leading",
        "trailing ",
        "a  b",
        "*",
        "[a]",
        "#",
        "!",
        "%41",
        "ünï",
        "e\u{301}",
        "漢字",
        "\u{7f}",
        "…/x",
        "-/-",
        "\u{1b}[31m",
        "a:b",
        "nul",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(255));
    names.push(format!("{}/{}", "é".repeat(127), "y".repeat(255)));
    names
}

#[test]
fn odd_names_are_stored_proved_and_read_back() {
    for (kind, demand) in
        [(Kind::Shell, Demand::RemoteHash), (Kind::Shell, Demand::ReadBack), (Kind::SftpOnly, Demand::Auto)]
    {
        let account = server().account(kind).fresh("names");
        let mut session = connect_with(config(&account, demand)).unwrap();
        let keys: Vec<String> = odd_names().iter().map(|it| format!("10.5072/FK2/{it}")).collect();
        let bytes: Vec<Vec<u8>> = keys.iter().map(|it| it.clone().into_bytes()).collect();
        let batch: Vec<(&str, &[u8])> = keys.iter().zip(&bytes).map(|(at, it)| (at.as_str(), it.as_slice())).collect();
        let staged = stage(session.as_mut(), &batch).into_iter().map(Result::unwrap);
        let commits = staged.map(|staged| CommitRequest { staged, replace: false }).collect();
        for (at, proved) in keys.iter().zip(session.commit(commits).unwrap()) {
            proved.unwrap_or_else(|it| panic!("{at:?}: {it}"));
        }
        let wanted = Algorithm::ALL;
        let objects: Vec<_> = keys.iter().map(|it| key(it)).collect();
        for ((at, bytes), measured) in keys.iter().zip(&bytes).zip(session.measure(&objects, &wanted).unwrap()) {
            let truth = Measured::of(bytes, &wanted);
            let measured = measured.unwrap();
            assert!(truth.digests.iter().all(|it| measured.matches(it) == Some(true)), "{at:?}: {measured:?}");
            assert_eq!(&get(session.as_mut(), at), bytes, "{at:?}");
        }
        let mut expected = keys;
        expected.sort();
        assert_eq!(shown(&account), expected);
        let hashed = session.evidence() == Evidence::RemoteHash;
        assert_eq!(hashed, demand == Demand::RemoteHash);
    }
}

#[test]
fn a_root_with_an_odd_name_serves_as_well() {
    for root in ["it's $(a) \"root\"", "new\nline", "-n"] {
        let account = server().shell().fresh("root");
        let mut config = config(&account, Demand::RemoteHash);
        config.root = format!("{}/{root}", account.root);
        let mut session = connect_to_new(config).unwrap_or_else(|it| panic!("{root:?}: {}", it.chain()));
        super::put(session.as_mut(), "a", b"bytes").unwrap();
        assert_eq!(std::fs::read(account.local.join(root).join("a")).unwrap(), b"bytes");
        assert_eq!(session.measure(&[key("a")], &[]).unwrap().remove(0).unwrap().size, 5);
    }
}
