//! What lies below a prefix.

use std::ops::ControlFlow;

use crate::answers::{Page, Row, parse};
use crate::error::Fault;
use crate::sink::Shared;

/// Shows every key that begins with `prefix`, page by page; `here`: without those that have a `/` behind it.
pub(crate) fn list(
    shared: &Shared,
    prefix: &str,
    here: bool,
    visit: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<(), Fault> {
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
        let page: Page = parse(&shared.client.ask(&call)?.text)?;
        if page.contents.into_iter().try_for_each(&mut *visit).is_break() {
            return Ok(());
        }
        token = page.next_continuation_token;
        if !page.is_truncated || token.is_empty() {
            return Ok(());
        }
    }
}
