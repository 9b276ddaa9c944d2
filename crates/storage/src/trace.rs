//! Two places that are one, found out by something random that was stored at one of them.

use std::time::Instant;

use dvb_model::ObjectKey;

use crate::Location;

/// An object with a name like no other that was just stored at a destination, to be looked for below a store: where it
/// shows, a copy there would be no second one.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// Its key at the destination.
    pub key: &'a ObjectKey,
    /// The destination's root in its server's own words ([`SinkSession::root`](crate::SinkSession::root)).
    pub root: Option<&'a str>,
    /// Some objects of the store, in different folders and containers.
    pub near: &'a [Location],
    /// When a search that goes from folder to folder is to be given up.
    pub until: Instant,
}

/// Whether it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The destination lies in the store, or the store in the destination: where, in a few words.
    Seen(String),
    /// It was looked for everywhere, and is nowhere.
    Unseen,
    /// It was not seen where it could be looked for; for some of the store there was no time, or no permission.
    Unfinished(String),
}

impl Trace<'_> {
    /// Where it is below a store that the destination lies in, by what is known of the names: some end of the
    /// destination's root is its way from the store's root. From one root of `n` folders there are `n + 1`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let parts: Vec<&str> = self.root.unwrap_or_default().split('/').filter(|it| !it.is_empty()).collect();
        let ends = (0..=parts.len()).rev().map(|n| parts[n..].join("/"));
        ends.map(|end| if end.is_empty() { self.key.to_string() } else { format!("{end}/{}", self.key) }).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_end_of_the_root_is_tried() {
        let key = ObjectKey::own("token-1").unwrap();
        let names = |root| Trace { key: &key, root, near: &[], until: Instant::now() }.names();
        let own = ".dataverse-backup/token-1";
        assert_eq!(names(None), [own]);
        assert_eq!(names(Some("/")), [own]);
        assert_eq!(names(Some("/a//b/")), [own.to_owned(), format!("b/{own}"), format!("a/b/{own}")]);
    }
}
