//! The text of a configuration file as sections and entries that know their lines.

use ini::configparser::ini::Ini;

use super::Problem;

/// `Key: value` or `key = value`, both trimmed; the value may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// A `[header]` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) line: usize,
    pub(super) header: String,
    pub(super) entries: Vec<Entry>,
}

/// Cuts a text into sections. Lines that are neither a section, an entry, a comment nor blank are problems.
pub(super) fn read(text: &str) -> (Vec<Section>, Vec<Problem>) {
    let mut parser = parser();
    let (mut sections, mut problems) = (Vec::<Section>::new(), Vec::new());
    for (number, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let mut problem = |message: &str| problems.push(Problem { line: Some(number), message: message.to_owned() });
        match (parse(&mut parser, text), sections.last_mut()) {
            (ParsedLine::Nothing, _) => {}
            (ParsedLine::Header(header), _) => {
                if has_text_behind_header(text) {
                    problem("text behind the ']' of a section; put it on a line of its own");
                }
                sections.push(Section { line: number, header, entries: Vec::new() });
            }
            (ParsedLine::Entry(key, value), Some(section)) => section.entries.push(Entry { line: number, key, value }),
            (ParsedLine::Entry(..), None) => problem("a key before the first [section]"),
            (ParsedLine::Unclear, _) => {
                // The line is not quoted: it may be the rest of a secret.
                problem("neither a [section], nor 'Key: value', nor a comment (a value ends with its line)");
            }
        }
    }
    (sections, problems)
}

enum ParsedLine {
    Nothing,
    Header(String),
    Entry(String, String),
    Unclear,
}

/// The grammar of a line. Without inline comments a value keeps its `;` and `#`.
fn parser() -> Ini {
    let mut parser = Ini::new_cs();
    parser.set_comment_symbols(&[';', '#']);
    parser.set_inline_comment_symbols(Some(&[]));
    parser.set_default_section("");
    parser
}

/// Reads one line by itself: the parser keeps neither line numbers, nor order, nor the first of two equal keys. So no
/// line continues another, and an indented one means what it would mean at the margin.
fn parse(parser: &mut Ini, line: &str) -> ParsedLine {
    let Ok(sections) = parser.read(line.to_owned()) else { return ParsedLine::Unclear };
    let Some((header, entries)) = sections.into_iter().next() else { return ParsedLine::Nothing };
    match entries.into_iter().next() {
        None => ParsedLine::Header(header),
        Some((key, Some(value))) => ParsedLine::Entry(key, value),
        Some((_, None)) => ParsedLine::Unclear,
    }
}

fn has_text_behind_header(line: &str) -> bool {
    let rest = line.rsplit_once(']').map_or("", |(_, rest)| rest.trim());
    !rest.is_empty() && !rest.starts_with([';', '#'])
}
