//! The names by which people call a dataset or a data file: a PID in any spelling, or an address on the web.

use std::fmt;

use thiserror::Error;

use crate::DvObjectId;

/// Resolvers of persistent identifiers, and the protocol of what they resolve.
const RESOLVERS: [(&str, &str); 4] =
    [("doi.org/", "doi:"), ("dx.doi.org/", "doi:"), ("www.doi.org/", "doi:"), ("hdl.handle.net/", "hdl:")];

/// What somebody called a dataset or a data file, understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenName {
    /// A PID: of a dataset, of a data file, or one that it had before.
    Pid(Pid),
    /// The id of a data file in Dataverse's database, as its page's address has it (`fileId=11`).
    DataFile(DvObjectId),
    /// The id of a dataset in Dataverse's database (`dataset.xhtml?id=7`).
    Dataset(DvObjectId),
}

/// A text that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither a PID such as doi:10.5072/FK2/ABC nor the address of a dataset or a file")]
pub struct NoName(pub String);

impl GivenName {
    /// Reads what people write, type or paste: with or without `doi:`, in any case, with blanks around, with `%2F`, with a
    /// slash at its end, as the address of a resolver or of a page of Dataverse.
    ///
    /// # Errors
    /// [`NoName`], where nothing is named.
    pub fn parse(text: &str) -> Result<Self, NoName> {
        let nothing = || NoName(text.to_owned());
        let given = text.trim().trim_matches(['<', '>', '"', '\'']).trim();
        let (is_address, place) = match ["https://", "http://"].iter().find_map(|it| strip(given, it)) {
            Some(rest) => (true, rest),
            None => (false, given),
        };
        if let Some((page, query)) = place.split_once('?')
            && let Some(found) = of_query(page, query)
        {
            return found.ok_or_else(nothing);
        }
        if let Some((host, protocol)) = RESOLVERS.iter().find_map(|(host, it)| Some((strip(place, host)?, it))) {
            let path = host.split(['?', '#']).next().unwrap_or(host);
            return Pid::parse(&format!("{protocol}{}", decoded(path))).map(Self::Pid).ok_or_else(nothing);
        }
        if is_address {
            return of_path(place).ok_or_else(nothing);
        }
        Pid::parse(&decoded(place)).map(Self::Pid).ok_or_else(nothing)
    }
}

/// `…/dataset.xhtml?persistentId=…`, `…/file.xhtml?fileId=11`, also of the API. Outer `None`: another query.
fn of_query(page: &str, query: &str) -> Option<Option<GivenName>> {
    let query = query.split('#').next().unwrap_or(query);
    let value = |name: &str| {
        query.split('&').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    if let Some(pid) = value("persistentId") {
        return Some(Pid::parse(&decoded(pid)).map(GivenName::Pid));
    }
    let id = |text: &str| text.trim().parse().ok().map(DvObjectId);
    if let Some(file) = value("fileId") {
        return Some(id(file).map(GivenName::DataFile));
    }
    let is_of = |name: &str| page.to_ascii_lowercase().ends_with(name);
    match value("id").or(value("datasetId")) {
        Some(it) if is_of("dataset.xhtml") => Some(id(it).map(GivenName::Dataset)),
        Some(it) if is_of("file.xhtml") => Some(id(it).map(GivenName::DataFile)),
        _ => None,
    }
}

/// `…/api/access/datafile/11`, `…/api/files/11`, `…/api/datasets/7`, `…/citation/doi:…`.
fn of_path(place: &str) -> Option<GivenName> {
    let path = place.split(['?', '#']).next().unwrap_or(place);
    let parts: Vec<&str> = path.split('/').collect();
    let id = parts.windows(2).find_map(|pair| match (pair[0].to_ascii_lowercase().as_str(), pair[1].parse()) {
        ("datafile" | "files", Ok(id)) => Some(GivenName::DataFile(DvObjectId(id))),
        ("datasets", Ok(id)) => Some(GivenName::Dataset(DvObjectId(id))),
        _ => None,
    });
    let path = decoded(path);
    let protocol = ["doi:", "hdl:", "perma:"].iter().find_map(|it| path.to_ascii_lowercase().find(it));
    id.or_else(|| Pid::parse(&path[protocol?..]).map(GivenName::Pid))
}

impl fmt::Display for GivenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(it) => it.fmt(f),
            Self::DataFile(it) => write!(f, "file {it}"),
            Self::Dataset(it) => write!(f, "dataset {it}"),
        }
    }
}

/// A PID as somebody wrote it: its protocol may be missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid {
    /// In lower case, for example `doi`.
    protocol: Option<String>,
    /// What stands behind the colon; never empty.
    rest: String,
}

impl Pid {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_protocol = |it: &str| !it.is_empty() && it.chars().all(|it| it.is_ascii_alphanumeric());
        let (protocol, rest) = match text.split_once(':') {
            Some((protocol, rest)) if is_protocol(protocol.trim()) => {
                (Some(protocol.trim().to_ascii_lowercase()), rest)
            }
            _ => (None, text),
        };
        let mut rest = rest.trim().trim_start_matches('/').trim_end_matches('/');
        // `https://doi.org/doi:10.5072/…` says it twice.
        while let Some(again) = protocol.as_ref().and_then(|it| strip(rest, it)?.strip_prefix(':')) {
            rest = again.trim().trim_start_matches('/');
        }
        (!rest.is_empty()).then(|| Self { protocol, rest: rest.to_owned() })
    }

    /// Whether it is this PID of the catalogue. DOIs are compared whatever their case, and so are all others: nobody gives
    /// two datasets names that differ in nothing else.
    #[must_use]
    pub fn is(&self, pid: &str) -> bool {
        let Some(known) = Self::parse(pid) else { return false };
        let same_protocol = match (&self.protocol, &known.protocol) {
            (Some(given), Some(known)) => given == known,
            (None, _) | (_, None) => true,
        };
        same_protocol && self.rest.to_lowercase() == known.rest.to_lowercase()
    }

    /// Without its protocol, in lower case: for a look at what is near.
    #[must_use]
    pub fn rest(&self) -> String {
        self.rest.to_lowercase()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.protocol {
            Some(protocol) => write!(f, "{protocol}:{}", self.rest),
            None => f.write_str(&self.rest),
        }
    }
}

/// The rest behind a beginning, whatever its case.
fn strip<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let head = text.get(..beginning.len())?;
    head.eq_ignore_ascii_case(beginning).then(|| &text[beginning.len()..])
}

/// With `%2F` and the like written out; text that is no such code stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        match code.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PID: &str = "doi:10.5072/FK2/ABC";

    #[test]
    fn a_pid_is_known_in_any_spelling() {
        for given in [
            "doi:10.5072/FK2/ABC",
            "DOI:10.5072/FK2/ABC",
            "doi: 10.5072/fk2/abc",
            "  10.5072/FK2/ABC\n",
            "10.5072/FK2/ABC/",
            "doi:10.5072%2FFK2%2fABC",
            "<doi:10.5072/FK2/ABC>",
            "https://doi.org/10.5072/FK2/ABC",
            "http://dx.doi.org/10.5072/fk2/abc",
            "https://doi.org/doi:10.5072/FK2/ABC",
            "https://doi.org/DOI%3A10.5072/FK2/ABC",
            "doi:doi:10.5072/FK2/ABC",
            "HTTPS://DOI.ORG/10.5072/FK2/ABC/",
            "doi.org/10.5072/FK2/ABC?urlappend=x",
            "https://dv.example.edu/dataset.xhtml?persistentId=doi:10.5072/FK2/ABC",
            "https://dv.example.edu/dataset.xhtml?persistentId=doi%3A10.5072%2FFK2%2FABC&version=DRAFT#x",
            "dv.example.edu/file.xhtml?persistentId=doi:10.5072/FK2/ABC&version=1.0",
            "https://dv.example.edu/api/datasets/:persistentId/?persistentId=doi:10.5072/FK2/ABC",
            "https://dv.example.edu/citation/doi:10.5072/FK2/ABC",
        ] {
            match GivenName::parse(given).unwrap() {
                GivenName::Pid(it) => assert!(it.is(PID), "{given}: {it}"),
                other => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn another_pid_is_another() {
        for given in ["hdl:10.5072/FK2/ABC", "doi:10.5072/FK2/ABD", "10.5072", "FK2/ABC", "doi:10.5072/FK2/ABC.v1"] {
            let Ok(GivenName::Pid(it)) = GivenName::parse(given) else { panic!("{given}") };
            assert!(!it.is(PID), "{given}");
        }
        let Ok(GivenName::Pid(handle)) = GivenName::parse("https://hdl.handle.net/1902.1/00012") else { panic!() };
        assert!(handle.is("hdl:1902.1/00012") && !handle.is("doi:1902.1/00012"));
    }

    #[test]
    fn an_address_may_name_an_id() {
        for (given, expected) in [
            ("https://dv.example.edu/file.xhtml?fileId=11&version=2.0", GivenName::DataFile(DvObjectId(11))),
            ("https://dv.example.edu/api/access/datafile/11", GivenName::DataFile(DvObjectId(11))),
            ("https://dv.example.edu/dataset.xhtml?id=7", GivenName::Dataset(DvObjectId(7))),
        ] {
            assert_eq!(GivenName::parse(given), Ok(expected), "{given}");
        }
    }

    #[test]
    fn nothing_names_nothing() {
        for given in ["", "  ", "/", "doi:", "https://dv.example.edu/", "https://dv.example.edu/file.xhtml?fileId=x"] {
            assert!(GivenName::parse(given).is_err(), "{given}");
        }
    }
}
