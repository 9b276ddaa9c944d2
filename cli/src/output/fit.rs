//! Lines that are broken where the terminal ends, between words.

use std::borrow::Cow;
use std::os::fd::AsFd;

use terminal_size::{Width, terminal_size_of};
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter};

/// What follows the first line of a paragraph stands this much further to the right.
const HANGING: usize = 2;
/// A label is no wider than this part of the line; else it is text like any other.
const LABEL_SHARE: usize = 3;

/// Columns of the terminal behind a stream. `None`: it is none, or does not tell, and nothing is broken.
pub(crate) fn columns(stream: impl AsFd) -> Option<usize> {
    terminal_size_of(stream).map(|(Width(columns), _)| usize::from(columns)).filter(|it| *it > 0)
}

/// Each line that is longer than `columns` in several. A word that is longer (a path, a key) stays whole: it is copied
/// from the screen.
pub(crate) fn fit(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns.filter(|columns| text.lines().any(|line| display_width(line) > *columns)) else {
        return Cow::Borrowed(text);
    };
    let lines = text.split('\n').map(|line| match display_width(line) > columns {
        true => broken(line, columns),
        false => line.to_owned(),
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

fn broken(line: &str, columns: usize) -> String {
    let body = line.trim_start();
    let indent = &line[..line.len() - body.len()];
    let hanging = " ".repeat(label(line, columns).unwrap_or(indent.len() + HANGING).min(columns / 2));
    let options = Options::new(columns)
        .initial_indent(indent)
        .subsequent_indent(&hanging)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(body, options)
}

/// Where the text of a line begins that has a label in front (`  sent:        12 MiB`), in columns.
fn label(line: &str, columns: usize) -> Option<usize> {
    let begin = line.len() - line.trim_start().len();
    let gap = begin + line[begin..].find("  ")?;
    let text = gap + (line[gap..].len() - line[gap..].trim_start().len());
    let width = display_width(&line[..text]);
    (width <= columns / LABEL_SHARE).then_some(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_and_what_no_terminal_sees_stays_as_it_is() {
        assert!(matches!(fit("one two", Some(7)), Cow::Borrowed("one two")));
        assert!(matches!(fit("one two", None), Cow::Borrowed("one two")));
    }

    #[test]
    fn a_line_goes_on_below_its_text() {
        assert_eq!(fit("one two three\nfour", Some(8)), "one two\n  three\nfour");
        assert_eq!(
            fit("  sent:   one two three four five six seven", Some(30)),
            "  sent:   one two three four\n          five six seven"
        );
        assert_eq!(fit("    one two three", Some(12)), "    one two\n      three");
    }

    #[test]
    fn a_path_stays_whole_and_a_colour_has_no_width() {
        assert_eq!(fit("see /srv/copies-of/all here", Some(10)), "see\n  /srv/copies-of/all\n  here");
        assert_eq!(fit("\u{1b}[31mred\u{1b}[0m ink", Some(7)), "\u{1b}[31mred\u{1b}[0m ink");
    }
}
