//! Removing what dead runs left behind.

use dvb_model::RunId;
use ureq::http::Method;

use crate::client::Request;
use crate::container;
use crate::context::{Context, MARKS, folder};
use crate::error::{SwiftFailure, status};
use crate::path::Path;
use crate::upload;

/// Removes the segments that have a mark of a dead run, and the marks; not what somebody may go on with.
pub(crate) fn sweep(context: &Context, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SwiftFailure> {
    let mut removed = 0;
    let runs = match container::list(&context.client, &context.segments(), MARKS, true) {
        // There never was a large object.
        Err(failure) if status(&failure) == Some(404) => return Ok(0),
        listed => listed?,
    };
    for run in runs {
        let Some(run) = run.strip_prefix(MARKS).and_then(|it| it.strip_suffix('/')) else { continue };
        let run = RunId(run.to_owned());
        if !is_dead(&run) {
            continue;
        }
        let below = format!("{MARKS}{run}/");
        for mark in container::list(&context.client, &context.segments(), &below, false)? {
            let Some(name) = mark.strip_prefix(&below) else { continue };
            if !is_there(context, &mark)? || context.left.spares(context, &run, name) {
                continue;
            }
            let segments = container::list(&context.client, &context.segments(), &folder(&run.0, name), false)?;
            upload::remove(context, &run, name, segments)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Listings lag behind: a mark may be gone, and a manifest stored, while it is still listed. All servers that hold it are asked.
fn is_there(context: &Context, mark: &str) -> Result<bool, SwiftFailure> {
    let path = Path::object(&context.segments(), mark);
    match context.client.send(Request::new(Method::HEAD, &path).header("X-Newest", "true")) {
        Ok(_) => Ok(true),
        Err(failure) if status(&failure) == Some(404) => Ok(false),
        Err(failure) => Err(failure),
    }
}
