//! Addresses below a base address, and how to stay there.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::{Position, Url};

use crate::sign;

/// The address below which everything lies; its path ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(Url);

impl Base {
    /// Fails with what is wrong with it. The text is not repeated: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|it| format!("the base address cannot be used: {it}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the base address must begin with https:// or http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the base address holds a user or password, which such a store cannot have".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the base address holds a '?' or '#', and nothing could lie below it".to_owned());
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The address of a path, whose `%` and `?` mean what they mean in an address, as in Dataverse.
    pub(crate) fn below(&self, path: &str) -> Result<Url, String> {
        if path.is_empty() || path.contains(char::is_control) || climbs(path.split('?').next().unwrap_or(path)) {
            return Err(format!("the path {path:?} leads out of the store"));
        }
        let path = path.replace(' ', "%20").replace('#', "%23");
        let url =
            Url::parse(&format!("{}{path}", self.0)).map_err(|it| format!("{path:?} makes no valid address: {it}"))?;
        if self.holds(&url) { Ok(url) } else { Err(format!("the path {path:?} leads out of the store")) }
    }

    /// Where a redirect leads to, if it stays in the store. A signature on it would be that of another address.
    pub(crate) fn redirected(&self, from: &Url, location: &str) -> Result<Url, String> {
        let mut url = from.join(location).map_err(|it| format!("it redirects to an invalid address: {it}"))?;
        url.set_fragment(None);
        if !self.holds(&url) || climbs(url.path()) {
            return Err(format!("it redirects out of the store, to {}", shown(&url)));
        }
        if let Some(query) = url.query().map(sign::unsigned) {
            url.set_query(Some(query.as_str()).filter(|it| !it.is_empty()));
        }
        Ok(url)
    }

    /// Same server, and below the same path; encryption may be added, not taken away.
    fn holds(&self, url: &Url) -> bool {
        let same = url.scheme() == self.0.scheme() && url.port_or_known_default() == self.0.port_or_known_default();
        let upgraded = (self.0.scheme(), self.0.port(), url.scheme(), url.port()) == ("http", None, "https", None);
        (same || upgraded)
            && url.host() == self.0.host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path().starts_with(self.0.path())
    }
}

/// An address as a message shows it: without the query, which may hold a signature.
pub(crate) fn shown(url: &Url) -> String {
    let from = if url.username().is_empty() && url.password().is_none() { "" } else { "…@" };
    format!("{}://{from}{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPath])
}

/// Whether some server could take a part of the path for `..`, however often it decodes it.
fn climbs(path: &str) -> bool {
    let mut path = Cow::Borrowed(path);
    loop {
        // `..;x` is `..` to servers of Java.
        if path.split(['/', '\\']).any(|it| it.split(';').next().unwrap_or(it).trim() == "..") {
            return true;
        }
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == *path {
            return false;
        }
        path = Cow::Owned(decoded);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn base() -> Base {
        Base::parse("https://data.example.org/pub/d").unwrap()
    }

    #[test]
    fn a_path_becomes_an_address_below_the_base() {
        for (path, address) in [
            ("a/b.csv", "a/b.csv"),
            ("a b#c.csv", "a%20b%23c.csv"),
            ("a%20b.csv", "a%20b.csv"),
            ("ü.csv", "%C3%BC.csv"),
            ("get?id=1&x=../y", "get?id=1&x=../y"),
            ("a..b/...", "a..b/..."),
            ("@evil.example.org/x", "@evil.example.org/x"),
        ] {
            let url = base().below(path).unwrap();
            assert_eq!(url.as_str(), format!("https://data.example.org/pub/d/{address}"));
        }
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        for path in [
            "..",
            "../x",
            "a/../../x",
            "a/../x",
            "%2e%2e/x",
            "%2E./x",
            "a/%252e%252e/x",
            "..%2fx",
            r"..\x",
            "%2e%2e%5cx",
            "..;a/x",
            ".\t./x",
            "",
            "a\nb",
            "a/.. /x",
        ] {
            assert!(base().below(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_redirect_stays_in_the_store() {
        let from = base().below("a/b").unwrap();
        let to = |location: &str| base().redirected(&from, location).map(String::from);
        assert_eq!(to("c").unwrap(), "https://data.example.org/pub/d/a/c");
        assert_eq!(to("/pub/d/x?y=1#z").unwrap(), "https://data.example.org/pub/d/x?y=1");
        assert_eq!(to("x?until=1&method=GET&token=2").unwrap(), "https://data.example.org/pub/d/a/x");
        for out in [
            "https://evil.example.org/pub/d/x",
            "//evil.example.org/pub/d/x",
            "/pub/other",
            "/pub/dx",
            "../../x",
            "http://data.example.org/pub/d/x",
            "https://data.example.org:8443/pub/d/x",
            "ftp://data.example.org/pub/d/x",
            "https://u:p@data.example.org/pub/d/x",
            "%252e%252e/x",
            "https://",
            "file:///etc/passwd",
        ] {
            assert!(to(out).is_err(), "{out}");
        }
        let error = to("https://u:secret@evil.example.org/x?token=secret").unwrap_err();
        assert!(error.contains("evil.example.org/x") && !error.contains("secret"), "{error}");
        let plain = Base::parse("http://data.example.org/d/").unwrap();
        let from = plain.below("x").unwrap();
        assert!(plain.redirected(&from, "https://data.example.org/d/x").is_ok());
        assert!(plain.redirected(&from, "https://data.example.org:8443/d/x").is_err());
    }

    #[test]
    fn a_base_is_a_plain_address() {
        for text in ["ftp://h/", "file:///x", "h/x", "https://u:secret@h/", "https://h/?a", "https://h/#a", "https://"]
        {
            let error = Base::parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
