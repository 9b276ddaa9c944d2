//! What lies below a prefix.

use crate::answers::{Listing, parse};
use crate::error::Fault;
use crate::sink::Shared;

/// Every key that begins with `prefix`, page by page; `here`: without those that have a `/` behind it.
pub(crate) fn list(shared: &Shared, prefix: &str, here: bool) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let mut call = shared.call("GET", "");
        call.query = vec![("list-type", "2".into()), ("prefix", prefix.to_owned())];
        if here {
            call.query.push(("delimiter", "/".into()));
        }
        if !token.is_empty() {
            call.query.push(("continuation-token", token));
        }
        let listing: Listing = parse(&shared.client.ask(&call)?.text)?;
        found.extend(listing.contents.into_iter().map(|it| it.key));
        token = listing.next_continuation_token;
        if !listing.is_truncated || token.is_empty() {
            return Ok(found);
        }
    }
}
