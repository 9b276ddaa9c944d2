//! Names as they stand in addresses.

/// A container or an object below an account: `/container/object`, quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn account() -> Self {
        Self(String::new())
    }

    pub(crate) fn container(container: &str) -> Self {
        Self(format!("/{}", quote(container)))
    }

    pub(crate) fn object(container: &str, object: &str) -> Self {
        Self(format!("/{}/{}", quote(container), quote(object)))
    }

    /// Of `/container/object`, as a manifest has it.
    pub(crate) fn absolute(name: &str) -> Self {
        Self(quote(name))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Everything but letters, digits, `-._~` and the slash, which Swift takes as it is, becomes `%XX`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

/// What stands in a header as in an address; `None` where it is no text.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_an_address_gives_a_meaning_to_is_quoted() {
        for (name, quoted) in [
            ("10.5072/FK2/A_b-c~d", "10.5072/FK2/A_b-c~d"),
            ("a b?c#d%e&f=g", "a%20b%3Fc%23d%25e%26f%3Dg"),
            ("ü\\\"';", "%C3%BC%5C%22%27%3B"),
        ] {
            assert_eq!(quote(name), quoted);
        }
    }
}
