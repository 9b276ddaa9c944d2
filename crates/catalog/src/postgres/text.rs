//! Text as the database has it. A database of encoding `SQL_ASCII` checks nothing, and one of a single-byte encoding lets bytes
//! in that are no character: such a byte is shown escaped, and what rests on it is said to be unknown.

use std::error::Error;

use postgres::types::{FromSql, Type, accepts};

/// What the bytes of a text mean.
#[derive(Debug, Clone, Default)]
pub(super) enum Encoding {
    /// UTF-8, or the server makes it that.
    #[default]
    Utf8,
    /// One byte a character, as PostgreSQL has them: those from 0x80 on. `None`: the byte is no character, and the server
    /// would refuse its row, and with it all others (SQLSTATE 22P05).
    SingleByte(Vec<Option<char>>),
}

/// The bytes of a text.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// With `\xe9` in the place of each byte that is no character, or part of one.
    pub(super) fn shown(self, encoding: &Encoding) -> String {
        if let (Encoding::Utf8, Ok(text)) = (encoding, std::str::from_utf8(self.0)) {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(self.0.len());
        let escape = |shown: &mut String, byte: &u8| shown.push_str(&format!("\\x{byte:02x}"));
        match encoding {
            Encoding::Utf8 => {
                for chunk in self.0.utf8_chunks() {
                    shown.push_str(chunk.valid());
                    chunk.invalid().iter().for_each(|byte| escape(&mut shown, byte));
                }
            }
            Encoding::SingleByte(upper) => {
                for byte in self.0 {
                    match character(*byte, upper) {
                        Some(it) => shown.push(it),
                        None => escape(&mut shown, byte),
                    }
                }
            }
        }
        shown
    }

    /// Whether each byte is a character, or part of one.
    pub(super) fn is_known(self, encoding: &Encoding) -> bool {
        match encoding {
            Encoding::Utf8 => std::str::from_utf8(self.0).is_ok(),
            Encoding::SingleByte(upper) => self.0.iter().all(|byte| character(*byte, upper).is_some()),
        }
    }
}

fn character(byte: u8, upper: &[Option<char>]) -> Option<char> {
    if byte.is_ascii() { Some(char::from(byte)) } else { upper.get(usize::from(byte - 0x80)).copied().flatten() }
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
            let text = Text(bytes);
            assert_eq!((text.shown(&Encoding::Utf8).as_str(), text.is_known(&Encoding::Utf8)), (shown, is_utf8));
        }
    }
}
