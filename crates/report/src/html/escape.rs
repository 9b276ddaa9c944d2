//! Text as a page may have it.

use std::fmt;

use dvb_model::plain;

/// Shows text: markup is text, and what is hidden or turns the line is visible.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = plain(self.0);
        let mut rest = text.as_ref();
        while let Some(index) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..index])?;
            f.write_str(match rest.as_bytes()[index] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[index + 1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let shown = Escaped("<script>\"a\" & 'b'</script> ü\u{202e}fdp").to_string();
        assert_eq!(shown, "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt; ü\\u{202e}fdp");
    }
}
