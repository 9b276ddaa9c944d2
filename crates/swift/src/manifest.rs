//! Static large objects: a manifest at the key names segments elsewhere.
//! <https://docs.openstack.org/swift/latest/overview_large_objects.html>

use dvb_fixity::{Digest, Mismatch};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::{Body, Client, Request};
use crate::error::{SwiftFailure, status};
use crate::path::Path;
use dvb_http::Answer;

/// A segment as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// `/container/object`, in plain text without percent-encoding.
    pub(crate) name: String,
    /// MD5 of its bytes.
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// The body of a manifest; the server looks at every segment and compares both.
pub(crate) fn document(segments: &[Segment]) -> Vec<u8> {
    let rows = segments.iter().map(|it| json!({"path": it.name, "etag": it.digest.hex(), "size_bytes": it.bytes}));
    Value::from_iter(rows).to_string().into_bytes()
}

pub(crate) fn put(client: &Client, path: &Path, segments: &[Segment], replace: bool) -> Result<(), SwiftFailure> {
    let body = document(segments);
    let mut request = Request::new(Method::PUT, path).query("?multipart-manifest=put");
    if !replace {
        request = request.header("If-None-Match", "*");
    }
    // The server asks for every segment before it answers.
    let idle = std::time::Duration::from_secs(600);
    let request = Request { idle: Some(idle), ..request.body(Body::Bytes(&body)) };
    client.send(request)?.why();
    Ok(())
}

/// Whether an answer is about a static large object.
pub(crate) fn is_large(answer: &Answer) -> bool {
    answer.header("x-static-large-object").is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

/// The manifest at a key, as it was stored last; `None` where there is no static large object.
pub(crate) fn get(client: &Client, path: &Path) -> Result<Option<Vec<Segment>>, SwiftFailure> {
    let head = Request::new(Method::HEAD, path).header("X-Newest", "true");
    match client.send(head) {
        Ok(answer) if is_large(&answer) => {}
        Ok(_) => return Ok(None),
        Err(failure) if status(&failure) == Some(404) => return Ok(None),
        Err(failure) => return Err(failure),
    }
    read(client, path).map(Some)
}

/// What is wrong with the segments of a static large object; `None` where nothing is, and for any other object.
///
/// A server that has lost one answers 409, or sends what lies before it and ends.
pub(crate) fn lost_segment(client: &Client, path: &Path) -> Result<Option<String>, SwiftFailure> {
    for segment in get(client, path)?.unwrap_or_default() {
        let at = Path::absolute(&segment.name);
        match client.send(Request::new(Method::HEAD, &at).header("X-Newest", "true")) {
            Ok(answer) => {
                if answer.etag() != Some(&segment.digest.hex()) || crate::http::length(&answer)? != segment.bytes {
                    return Ok(Some(format!("its segment {} is not what it was", segment.name)));
                }
            }
            Err(failure) if status(&failure) == Some(404) => {
                return Ok(Some(format!("its segment {} is lost", segment.name)));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// The manifest of what is known to be a static large object.
pub(crate) fn read(client: &Client, path: &Path) -> Result<Vec<Segment>, SwiftFailure> {
    read_version(client, path, "")
}

/// The manifest of a version (`&version-id=…`) of what is known to be a static large object.
pub(crate) fn read_version(client: &Client, path: &Path, version: &str) -> Result<Vec<Segment>, SwiftFailure> {
    let query = format!("?multipart-manifest=get{version}");
    let request = Request::new(Method::GET, path).query(query).header("X-Newest", "true");
    let mut answer = client.send(request)?;
    let is_large = is_large(&answer);
    let body = answer.small_body().map_err(|it| SwiftFailure::Setting("cannot read a manifest".into(), it.into()))?;
    let broken = || SwiftFailure::Protocol(format!("{} has a manifest that cannot be read", path.as_str()));
    if !is_large {
        return Err(broken());
    }
    let rows: Value = serde_json::from_slice(&body).map_err(|_| broken())?;
    let rows = rows.as_array().ok_or_else(broken)?;
    rows.iter().map(|it| segment(it).ok_or_else(broken)).collect()
}

/// A segment of which only a range counts (`range`), or that is a manifest itself (`sub_slo`), is none of ours.
fn segment(row: &Value) -> Option<Segment> {
    if !row["range"].is_null() || row["sub_slo"] == true {
        return None;
    }
    Some(Segment {
        name: row["name"].as_str()?.to_owned(),
        digest: row["hash"].as_str()?.parse().ok()?,
        bytes: row["bytes"].as_u64()?,
    })
}

/// Compares what the server says of each segment with what was sent.
pub(crate) fn compare(sent: &[Segment], held: &[Segment]) -> Result<(), Mismatch> {
    let total = |of: &[Segment]| of.iter().map(|it| it.bytes).sum();
    for (sent, held) in sent.iter().zip(held) {
        if sent.digest != held.digest {
            return Err(Mismatch::Digest { expected: sent.digest.clone(), found: held.digest.clone() });
        }
        if sent.bytes != held.bytes {
            return Err(Mismatch::Size { expected: sent.bytes, found: held.bytes });
        }
    }
    if sent.len() != held.len() {
        return Err(Mismatch::Size { expected: total(sent), found: total(held) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dvb_fixity::{Algorithm, Measured};

    use super::*;

    fn some(n: u8, bytes: u64) -> Segment {
        let digest = Measured::of(&[n], &[Algorithm::Md5]).digest(Algorithm::Md5).unwrap().clone();
        Segment { name: format!("/c/{n}"), digest, bytes }
    }

    #[test]
    fn every_segment_is_compared() {
        let sent = [some(1, 10), some(2, 5)];
        assert_eq!(compare(&sent, &sent), Ok(()));
        for held in [vec![some(1, 10), some(3, 5)], vec![some(1, 10), some(2, 6)], vec![some(1, 10)], vec![]] {
            assert!(compare(&sent, &held).is_err(), "{held:?}");
        }
    }

    #[test]
    fn rows_that_are_not_whole_segments_are_not_taken() {
        let whole = json!({"name": "/c/1", "hash": "d41d8cd98f00b204e9800998ecf8427e", "bytes": 0});
        assert!(segment(&whole).is_some());
        for (name, value) in
            [("range", json!("1-2")), ("sub_slo", json!(true)), ("hash", json!("x")), ("bytes", json!("0"))]
        {
            let mut row = whole.clone();
            row[name] = value;
            assert!(segment(&row).is_none(), "{name}");
        }
    }
}
