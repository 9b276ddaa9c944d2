//! The PREMIS form, against the part of the schema that it uses.

use std::fs;
use std::path::Path;
use std::process::Command;

use dvb_report::{gather, premis};

use crate::made::{facts, with_history};

/// What is wrong with a document, as xmllint says.
fn check(folder: &Path, document: &str) -> Result<(), String> {
    let path = folder.join("premis.xml");
    fs::write(&path, document).unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/premis-3-used.xsd");
    let output = Command::new("xmllint").args(["--noout", "--nonet", "--schema", schema]).arg(&path).output();
    let output = output.unwrap_or_else(|error| panic!("start xmllint (Debian: apt install libxml2-utils): {error}"));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn made(public: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    premis(&gather(&with_history(&folder), &facts(public)).unwrap())
}

#[test]
fn the_document_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &made(false)).unwrap();
    check(folder.path(), &made(true)).unwrap();
    crate::content::names_nothing(&made(true));
    // The schema would tell: an element in the wrong place, one too few, an identifier that is nobody's.
    let document = made(false);
    for (from, to) in [
        ("<eventDateTime>", "<eventTime>"),
        ("<formatName>application/octet-stream</formatName>", ""),
        ("xsi:type=\"file\"", "xsi:type=\"folder\""),
        ("</premis>", "<object xsi:type=\"file\"/></premis>"),
    ] {
        let broken = document
            .replace(from, to)
            .replace("</eventDateTime>", if from.contains("Date") { "</eventTime>" } else { "</eventDateTime>" });
        assert!(check(folder.path(), &broken).is_err(), "{from} -> {to}");
    }
}

#[test]
fn events_have_their_type_outcome_agent_and_objects() {
    let document = made(false);
    let count = |what: &str| document.matches(what).count();
    // Two runs of the period and two repairs; two shares of copies and files, two verifies, a drill, four findings.
    assert_eq!(count(">replication</eventType>"), 4);
    assert_eq!(count(">fixity check</eventType>"), 11);
    assert_eq!(count("eventOutcome/fai\">fail<"), 8, "{document}");
    assert!(document.contains("<eventOutcome>unknown</eventOutcome>"), "what was cut off");
    for part in [
        "<agentName>keeper on vault.example.org</agentName>",
        "<agentType>software</agentType>",
        "8c4e3f02-installation/destination/default",
        "<messageDigestAlgorithm>SHA256</messageDigestAlgorithm>",
        "overrides: accept-disappearance",
        "&lt;script&gt;",
        "\\u{1b}[2J",
    ] {
        assert!(document.contains(part), "{part:?} is missing");
    }
}
