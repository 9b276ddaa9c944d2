//! One suite for every catalogue, and what each has of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod encodings;
mod expected;
mod grants;
mod held;
mod postgres;
mod reach;
mod schemas;
mod snapshot;
mod suite;

use std::ops::ControlFlow;

use dvb_catalog::{Catalog, CatalogError, Detail, Entry};

/// Everything that it gives.
fn entries(catalog: &dyn Catalog, detail: Detail) -> Result<Vec<Entry>, CatalogError> {
    let mut entries = Vec::new();
    catalog.read(detail, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// The chain of messages, as the command line prints it.
fn told(error: &CatalogError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        text = format!("{text}: {it}");
        source = it.source();
    }
    text
}
