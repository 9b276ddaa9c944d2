//! Text that people read: names are data.

use std::borrow::Cow;

/// Text from a database as a terminal, a mail or a page may have it: names are data, and neither move the cursor nor turn the
/// direction in which the rest of the line reads.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_hidden) {
        let shown = |character: char| {
            if is_hidden(character) { character.escape_default().to_string() } else { character.to_string() }
        };
        return text.chars().map(shown).collect::<String>().into();
    }
    text.into()
}

/// The same for a text of several lines, as messages are.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    if text.chars().any(|it| it != '\n' && is_hidden(it)) {
        return text.split('\n').map(plain).collect::<Vec<_>>().join("\n").into();
    }
    text.into()
}

/// Controls, those of bidirectional text among them (Unicode, UAX 9), and the separators of lines and paragraphs.
fn is_hidden(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_move_the_cursor() {
        assert_eq!(plain("Übersicht 1.tab"), "Übersicht 1.tab");
        assert_eq!(plain("a\x1b[2J\nb\u{9b}"), "a\\u{1b}[2J\\nb\\u{9b}");
    }

    #[test]
    fn names_do_not_turn_the_direction_of_a_line() {
        assert_eq!(plain("report\u{202e}fdp.exe"), "report\\u{202e}fdp.exe");
        for control in "\u{202a}\u{202b}\u{202c}\u{202d}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}".chars()
        {
            assert_eq!(plain(&control.to_string()), control.escape_default().to_string());
        }
        assert_eq!(plain("\u{645}\u{644}\u{641}.csv"), "\u{645}\u{644}\u{641}.csv", "letters of such a script stay");
    }

    #[test]
    fn messages_keep_their_lines_and_nothing_else() {
        assert_eq!(plain_lines("one\n  two"), "one\n  two");
        assert_eq!(plain_lines("a\u{202e}b\n\x1b[2Jc\n"), "a\\u{202e}b\n\\u{1b}[2Jc\n");
    }

    #[test]
    fn names_of_other_scripts_stay() {
        assert_eq!(plain("\u{30c7}\u{30fc}\u{30bf}"), "\u{30c7}\u{30fc}\u{30bf}");
    }
}
