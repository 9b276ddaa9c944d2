//! Writing a snapshot again without what was purged: no name and no key of it stays.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use dvb_model::DvObjectId;
use serde::Deserialize;
use serde_json::Value;

use super::{SnapshotHeader, SnapshotRewriting, write};

/// What stands in the place of a text that named what was purged.
const REMOVED: &str = "(purged)";
/// A name of fewer bytes is not searched for in the texts of others.
const SHORTEST: usize = 12;

/// What a snapshot is to say no more.
#[derive(Debug, Clone)]
pub struct Without<'a> {
    /// Data files and datasets by their ids.
    pub ids: &'a BTreeSet<DvObjectId>,
    /// Names and keys of theirs that are known from elsewhere: they are searched for in the texts of the history.
    pub names: &'a [String],
}

/// As much of a line as tells whether it is to be changed.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    id: Value,
}

/// The first line of a snapshot, compressed as it lies at a destination.
///
/// # Errors
/// Those of reading and of the format.
pub fn read_header(snapshot: impl Read) -> io::Result<SnapshotHeader> {
    let mut text = String::new();
    BufReader::new(zstd::Decoder::new(snapshot)?).read_line(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

impl Without<'_> {
    /// Whether a snapshot, compressed as it lies at the destination, says anything of it.
    ///
    /// # Errors
    /// Those of reading and of the format.
    pub fn is_named(&self, snapshot: impl Read) -> io::Result<bool> {
        let mut changed = false;
        self.each_line(snapshot, &mut |_, change| {
            changed |= change.is_some();
            Ok(())
        })?;
        Ok(changed)
    }

    /// Writes the snapshot again. Its header tells that, with the digest that it had before; its last line counts what it has
    /// now. Every line that says nothing of what was purged stays as it is, to the byte.
    ///
    /// # Errors
    /// Those of reading, of writing and of the format.
    pub fn rewrite<W: Write>(&self, snapshot: impl Read, out: W, rewriting: &SnapshotRewriting) -> io::Result<W> {
        let mut out = BufWriter::new(write::compressor(out)?);
        let mut dropped = [("datasets", 0_u64), ("files", 0), ("gone", 0)];
        self.each_line(snapshot, &mut |line, change| {
            match change {
                None if line.first => {
                    let mut header: Value = serde_json::from_str(line.text)?;
                    let told = serde_json::to_value(rewriting)?;
                    match header.get_mut("rewritten").and_then(Value::as_array_mut) {
                        Some(all) => all.push(told),
                        None => header["rewritten"] = Value::Array(vec![told]),
                    }
                    return write_line(&mut out, &header.to_string());
                }
                None if line.kind == "end" => {
                    let mut end: Value = serde_json::from_str(line.text)?;
                    for (name, count) in &dropped {
                        if let Some(had) = end.get(*name).and_then(Value::as_u64) {
                            end[*name] = had.saturating_sub(*count).into();
                        }
                    }
                    return write_line(&mut out, &end.to_string());
                }
                None => return write_line(&mut out, line.text),
                Some(Change::Instead(text)) => return write_line(&mut out, &text),
                Some(Change::Drop) => {}
            }
            let of = match line.kind {
                "dataset" => 0,
                "file" => 1,
                _ => 2,
            };
            dropped[of].1 += 1;
            Ok(())
        })?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }

    /// Hands on each line, with what it is to become.
    fn each_line(
        &self,
        snapshot: impl Read,
        visit: &mut dyn FnMut(Line<'_>, Option<Change>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut lines = BufReader::new(zstd::Decoder::new(snapshot)?);
        let mut names: BTreeSet<String> = self.names.iter().filter(|it| it.len() >= SHORTEST).cloned().collect();
        let (mut text, mut first, mut ended) = (String::new(), true, false);
        loop {
            text.clear();
            if lines.read_line(&mut text)? == 0 {
                break;
            }
            let line = text.trim_end_matches('\n');
            let glance: Glance<'_> = serde_json::from_str(line)?;
            let kind = glance.kind.into_owned();
            let is_meant = glance.id.as_i64().is_some_and(|id| self.ids.contains(&DvObjectId(id)));
            let change = match kind.as_str() {
                "dataset" | "file" | "gone" if is_meant => {
                    names_in(&serde_json::from_str(line)?, &mut names);
                    Some(Change::Drop)
                }
                "incident" if is_meant => incident(line)?.map(Change::Instead),
                "acknowledgement" if is_meant => acknowledgement(line)?.map(Change::Instead),
                "event" => event(line, &names).map(Change::Instead),
                _ => None,
            };
            ended = kind == "end";
            visit(Line { text: line, kind: &kind, first }, change)?;
            first = false;
        }
        if ended { Ok(()) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot is cut off")) }
    }
}

struct Line<'a> {
    text: &'a str,
    kind: &'a str,
    first: bool,
}

/// What becomes of a line.
enum Change {
    Drop,
    Instead(String),
}

fn write_line(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// The names and keys in the line of a data file: those that could stand in somebody's words as well.
fn names_in(line: &Value, names: &mut BTreeSet<String>) {
    let mut add = |name: Option<&str>| names.extend(name.filter(|it| it.len() >= SHORTEST).map(str::to_owned));
    add(line["storage_identifier"].as_str());
    add(line["storage_identifier"].as_str().and_then(|it| it.rsplit(['/', ':']).next()));
    add(line["label"].as_str());
    add(line["original_name"].as_str());
    let versions = line["versions"].as_array().into_iter().flatten();
    versions.for_each(|it| add(it["label"].as_str()));
    for list in ["objects", "damaged", "claimed"] {
        line[list].as_array().into_iter().flatten().for_each(|it| add(it["key"].as_str()));
    }
}

/// As the ledger keeps it after a purge; nothing where it is so already.
fn incident(line: &str) -> io::Result<Option<String>> {
    let mut incident: Value = serde_json::from_str(line)?;
    if incident["key"] == "" {
        return Ok(None);
    }
    incident["key"] = "".into();
    incident["detail"] = REMOVED.into();
    if let Some(fields) = incident.as_object_mut() {
        fields.remove("note");
        if let Some(Value::Object(mended)) = fields.get_mut("mended") {
            mended.remove("kept");
        }
    }
    Ok(Some(incident.to_string()))
}

fn acknowledgement(line: &str) -> io::Result<Option<String>> {
    let mut acknowledgement: Value = serde_json::from_str(line)?;
    if acknowledgement["reason"] == REMOVED {
        return Ok(None);
    }
    acknowledgement["reason"] = REMOVED.into();
    Ok(Some(acknowledgement.to_string()))
}

/// A command whose words name it.
fn event(line: &str, names: &BTreeSet<String>) -> Option<String> {
    let mut changed = line.to_owned();
    // The longest first: a key holds the storage identifier.
    let mut names: Vec<String> =
        names.iter().map(|it| Value::from(it.as_str()).to_string().trim_matches('"').to_owned()).collect();
    names.sort_by_key(|it| std::cmp::Reverse(it.len()));
    for name in names {
        if changed.contains(&name) {
            changed = changed.replace(&name, REMOVED);
        }
    }
    (changed != line).then_some(changed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compressed(lines: &[Value]) -> Vec<u8> {
        let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    fn lines_of(bytes: &[u8]) -> Vec<Value> {
        let text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap();
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    #[test]
    fn what_is_purged_goes_with_all_that_names_it() {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let snapshot = [
            json(r#"{"type":"header","format":"f","version":2,"previous":{"name":"n","sha256":"s"}}"#),
            json(r#"{"type":"dataset","id":1,"pid":"doi:1"}"#),
            json(
                r#"{"type":"file","id":7,"storage_identifier":"file://18f3aabbccddee","versions":[{"label":"a secret name.csv"}],
                     "objects":[{"key":"10.5072/FK2/A/18f3aabbccddee"}]}"#,
            ),
            json(r#"{"type":"file","id":8,"storage_identifier":"file://18f3000000000"}"#),
            json(r#"{"type":"gone","kind":"file","id":9,"label":"another secret.csv","objects":[]}"#),
            json(r#"{"type":"event","id":"r","scope":"storage identifier file://18f3aabbccddee","counts":{}}"#),
            json(r#"{"type":"event","id":"r2","scope":"everything","counts":{"id":7}}"#),
            json(
                r#"{"type":"incident","number":1,"id":7,"key":"10.5072/FK2/A/18f3aabbccddee","detail":"a secret name.csv",
                     "note":{"text":"x"},"mended":{"at":"t","kept":"18f3aabbccddee.bad"}}"#,
            ),
            json(r#"{"type":"incident","number":2,"id":8,"key":"k","detail":"d"}"#),
            json(r#"{"type":"acknowledgement","id":9,"reason":"another secret.csv is lost"}"#),
            json(r#"{"type":"end","datasets":1,"files":2,"gone":1,"history":5}"#),
        ];
        let (ids, bytes) = ([DvObjectId(7), DvObjectId(9)].into(), compressed(&snapshot));
        let without = Without { ids: &ids, names: &[] };
        assert!(without.is_named(bytes.as_slice()).unwrap());
        assert!(read_header(bytes.as_slice()).is_err(), "it says less than a header does");
        let was = SnapshotRewriting { purge: dvb_model::RunId("p".into()), at: "t".into(), was: "d".into() };
        let rewritten = without.rewrite(bytes.as_slice(), Vec::new(), &was).unwrap();
        let lines = lines_of(&rewritten);
        assert_eq!(lines[0]["rewritten"], serde_json::json!([{"purge": "p", "at": "t", "was": "d"}]));
        assert_eq!(lines[0]["previous"], snapshot[0]["previous"]);
        assert_eq!((&lines[1], &lines[2]), (&snapshot[1], &snapshot[3]));
        assert_eq!(lines[3]["scope"], "storage identifier (purged)");
        assert_eq!((&lines[4], &lines[6]), (&snapshot[6], &snapshot[8]));
        assert_eq!(lines.last().unwrap(), &json(r#"{"type":"end","datasets":1,"files":1,"gone":0,"history":5}"#));
        let text = format!("{lines:?}");
        assert!(!text.contains("secret") && !text.contains("18f3aabbccddee"), "{text}");
        assert!(!without.is_named(rewritten.as_slice()).unwrap(), "once is enough");
        // Twice is on record twice, and one that is cut off is refused.
        let twice = lines_of(&without.rewrite(rewritten.as_slice(), Vec::new(), &was).unwrap());
        assert_eq!(twice[0]["rewritten"].as_array().unwrap().len(), 2);
        let cut = compressed(&snapshot[..5]);
        assert!(without.is_named(cut.as_slice()).is_err());
    }
}
