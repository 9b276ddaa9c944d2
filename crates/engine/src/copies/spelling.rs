//! Names at destinations that keep them in another form than they were given: decomposed (HFS+), or in small letters. What
//! such a destination lists is spelled otherwise than the ledger has it, and both spellings lead to the same object.

use dvb_model::RunId;
use unicode_normalization::UnicodeNormalization as _;

/// One text for all spellings that some destination takes for the same. Of two names with the same one, only the destination
/// knows whether they are the same.
pub(crate) fn folded(name: &str) -> String {
    // Both ways, for letters that have more than one small or capital form.
    name.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// A run's name, or what begins with it, as this program spells it: `20260102T030405Z-…`.
pub(crate) fn of_run(name: &str) -> String {
    const TIME: usize = "20260102T030405Z".len();
    match name.split_at_checked(TIME) {
        Some((time, rest)) => time.to_ascii_uppercase() + rest,
        None => name.to_owned(),
    }
}

/// Whether two names are of one run.
pub(crate) fn is_run(one: &RunId, other: &RunId) -> bool {
    one.0.eq_ignore_ascii_case(&other.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (one, other) in [
            ("10.5072/FK2/ABC/x", "10.5072/fk2/abc/x"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("\u{1e9b}\u{323}", "\u{1e61}\u{323}"),
            ("\u{3c2}", "\u{3c3}"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("a"), folded("b"));
        assert_eq!(of_run("20260102t030405z-0badcafe.jsonl.zst"), "20260102T030405Z-0badcafe.jsonl.zst");
        assert_eq!(of_run("short"), "short");
    }
}
