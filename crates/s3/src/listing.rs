//! What lies below a prefix.

use std::borrow::Cow;
use std::ops::ControlFlow;

use percent_encoding::percent_decode_str;

use crate::client::{Call, Client};
use crate::error::Fault;
use crate::sink::Shared;
use crate::xml::{ListedObject, ListedPage, parse};

/// An object of a listing; or the name of one, as it came, that is no text.
pub(crate) type Listed = Result<ListedObject, String>;

/// Shows every key that begins with `prefix`, page by page; `here`: without those that have a `/` behind it.
pub(crate) fn list(
    shared: &Shared,
    prefix: &str,
    here: bool,
    visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
) -> Result<(), Fault> {
    list_bucket(&shared.client, &shared.call("GET", ""), prefix, here, visit)
}

/// The same, of the bucket that `bucket` asks for.
pub(crate) fn list_bucket(
    client: &Client,
    bucket: &Call<'_>,
    prefix: &str,
    here: bool,
    visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
) -> Result<(), Fault> {
    let mut encoded = true;
    let mut token = String::new();
    loop {
        let mut call = bucket.clone();
        call.query = vec![("list-type", "2".into()), ("prefix", prefix.to_owned())];
        if here {
            call.query.push(("delimiter", "/".into()));
        }
        if !token.is_empty() {
            call.query.push(("continuation-token", token.clone()));
        }
        let page: ListedPage = ask(client, call, &mut encoded)?;
        let told = page.encoding_type.as_deref();
        let row = |row: ListedObject| decode(told, row.key).map(|key| ListedObject { key, ..row });
        if page.contents.into_iter().map(row).try_for_each(&mut *visit).is_break() {
            return Ok(());
        }
        if !page.is_truncated {
            return Ok(());
        }
        // To end here would be to say that there is nothing more.
        if page.next_continuation_token.is_empty() {
            return Err(Fault::Lacking("NextContinuationToken, though there is more"));
        }
        if page.next_continuation_token == token {
            return Err(Fault::Lacking("NextContinuationToken that leads on"));
        }
        token = page.next_continuation_token;
    }
}

/// Asks for a page with its names encoded: XML has no way to write control characters, and services that try fail as a whole.
/// One that does not know how is asked without.
pub(crate) fn ask<T: serde::de::DeserializeOwned>(
    client: &Client,
    call: Call<'_>,
    encoded: &mut bool,
) -> Result<T, Fault> {
    if *encoded {
        let mut asked = call.clone();
        asked.query.push(("encoding-type", "url".into()));
        match client.ask(&asked) {
            Err(fault) if fault.is_status(&[400, 501]) => *encoded = false,
            answer => return parse(&answer?.text),
        }
    }
    parse(&client.ask(&call)?.text)
}

/// A name of a page, whose `EncodingType` is `told`: `%XX`, and `+` for a blank, as S3 has it.
///
/// # Errors
/// The name as it came, when it is no text.
pub(crate) fn decode(told: Option<&str>, name: String) -> Result<String, String> {
    if told != Some("url") {
        return Ok(name);
    }
    let blanks = name.replace('+', " ");
    let text = percent_decode_str(&blanks).decode_utf8().map(Cow::into_owned);
    text.map_err(|_| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_each_service_writes_them() {
        for (told, name, read) in [
            (Some("url"), "a+b%20c", Ok("a b c")),
            (Some("url"), "c%2Bd%C3%A9%01", Ok("c+d\u{e9}\u{1}")),
            (Some("url"), "%E9", Err("%E9")),
            (None, "a%20b+c", Ok("a%20b+c")),
        ] {
            assert_eq!(decode(told, name.to_owned()), read.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
