//! Text as the database has it. A database of encoding `SQL_ASCII` checks nothing, so a byte may be no UTF-8: it is shown
//! escaped, and what rests on it is said to be unknown.

use std::error::Error;
use std::fmt::Write as _;

use postgres::types::{FromSql, Type, accepts};

/// The bytes of a text.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// With `\xe9` in the place of each byte that is none of UTF-8.
    pub(super) fn shown(self) -> String {
        let mut shown = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            shown.push_str(chunk.valid());
            for byte in chunk.invalid() {
                let _ = write!(shown, "\\x{byte:02x}"); // a String takes everything
            }
        }
        shown
    }

    pub(super) fn is_utf8(self) -> bool {
        std::str::from_utf8(self.0).is_ok()
    }
}

impl<'a> FromSql<'a> for Text<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    accepts!(TEXT, VARCHAR);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf8_is_escaped_and_all_else_stays() {
        for (bytes, shown, is_utf8) in [
            (&b"caf\xe9.csv"[..], "caf\\xe9.csv", false),
            (b"\xff\xfe", "\\xff\\xfe", false),
            ("naïve ☃ \\xe9".as_bytes(), "naïve ☃ \\xe9", true),
            (b"cut \xe2\x98", "cut \\xe2\\x98", false),
            (b"", "", true),
        ] {
            assert_eq!((Text(bytes).shown().as_str(), Text(bytes).is_utf8()), (shown, is_utf8));
        }
    }
}
