//! Signature version 4, by `rust-s3`'s own functions (AWS, "Authenticating requests: using the Authorization header").

use dvb_fixity::hex;
use s3::error::S3Error;
use s3::{Region, signing};
use time::OffsetDateTime;
use time::macros::format_description;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::Keys;
use crate::error::Fault;

/// Adds the date, the token and the signature. `headers` holds `host`, `x-amz-content-sha256` and whatever else is sent
/// and must not be changed on the way.
pub(crate) fn sign(
    method: &str,
    url: &Url,
    headers: &mut HeaderMap,
    payload: &str,
    region: &str,
    keys: &Keys,
) -> Result<(), Fault> {
    let now = OffsetDateTime::now_utc();
    let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z"));
    insert(headers, "x-amz-date", &stamp.map_err(|it| Fault::Unsendable(it.to_string()))?)?;
    insert(headers, "x-amz-content-sha256", payload)?;
    if let Some(token) = &keys.token {
        insert(headers, "x-amz-security-token", token)?;
    }
    let signature = authorization(method, url, headers, payload, region, keys, &now);
    let signature = signature.map_err(|it| Fault::Unsendable(it.to_string()))?;
    insert(headers, "authorization", &signature)
}

fn authorization(
    method: &str,
    url: &Url,
    headers: &HeaderMap,
    payload: &str,
    region: &str,
    keys: &Keys,
    now: &OffsetDateTime,
) -> Result<String, S3Error> {
    // Only the region's name goes into a signature.
    let region = Region::Custom { region: region.to_owned(), endpoint: String::new() };
    let (path, query) = (signing::canonical_uri_string(url), signing::canonical_query_string(url));
    let signed = signing::signed_header_string(headers);
    let request = format!("{method}\n{path}\n{query}\n{}\n{signed}\n{payload}", canonical_headers(headers)?);
    let text = signing::string_to_sign(now, &region, &request)?;
    let key = signing::signing_key(now, &keys.secret, &region, "s3")?;
    let signature = hex(&hmac(&key, text.as_bytes()));
    signing::authorization_header(&keys.access, now, &region, &signed, &signature)
}

/// The headers, in the order of their names. `rust-s3` 0.38 orders whole lines, so that `x-amz-copy-source:` would come
/// after `x-amz-copy-source-if-match:`, and no service would take the signature.
fn canonical_headers(headers: &HeaderMap) -> Result<String, S3Error> {
    let mut lines = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        lines.push((name.as_str(), value.to_str()?.trim()));
    }
    lines.sort_unstable();
    Ok(lines.into_iter().map(|(name, value)| format!("{name}:{value}\n")).collect())
}

/// HMAC-SHA-256 (RFC 2104) with a key that is no longer than a block: what `signing_key` gives has 32 bytes.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(it, key)| *it ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

pub(crate) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Fault> {
    let value = HeaderValue::from_str(value).map_err(|_| Fault::Unsendable(format!("{name} cannot be {value:?}")))?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_rfc_4231() {
        let code = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
