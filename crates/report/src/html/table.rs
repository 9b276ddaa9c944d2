//! Tables, which are lists of cards where the page is narrow.

use std::fmt::Write as _;

use super::escape::Escaped;
use crate::words::number;

/// A cell; its text is escaped when it is made.
pub(super) struct Cell {
    html: String,
    class: &'static str,
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self { html: Escaped(text).to_string(), class: "" }
    }

    pub(super) fn maybe(text: Option<&str>) -> Self {
        Self::text(text.unwrap_or(""))
    }

    pub(super) fn code(text: &str) -> Self {
        Self { html: format!("<code>{}</code>", Escaped(text)), class: "" }
    }

    pub(super) fn number(count: u64) -> Self {
        Self { html: number(count), class: "num" }
    }

    pub(super) fn figure(text: &str) -> Self {
        Self { class: "num", ..Self::text(text) }
    }

    pub(super) fn state(class: &'static str, text: &str) -> Self {
        Self { class, ..Self::text(text) }
    }

    /// Paragraphs; those that are empty are left out.
    pub(super) fn lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut html = String::new();
        for line in lines.into_iter().filter(|line| !line.is_empty()) {
            let _ = write!(html, "<p>{}</p>", Escaped(line));
        }
        Self { html, class: "lines" }
    }

    /// Lines that are not broken: times.
    pub(super) fn when<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self { class: "when", ..Self::lines(lines) }
    }
}

/// A heading with the class of its column.
pub(super) type Heading = (&'static str, &'static str);

/// A table with a heading for each cell of a row.
pub(super) fn table(page: &mut String, headings: &[Heading], rows: impl IntoIterator<Item = Vec<Cell>>) {
    page.push_str("<table class=\"cards\"><thead><tr>");
    for (heading, class) in headings {
        let _ = write!(page, "<th scope=\"col\"{}>{}</th>", attribute(class), Escaped(heading));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (cell, (heading, _)) in row.iter().zip(headings) {
            let _ = write!(page, "<td{} data-label=\"{}\">{}</td>", attribute(cell.class), Escaped(heading), cell.html);
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

/// Facts, a line each: what, and what is said of it.
pub(super) fn facts(page: &mut String, rows: impl IntoIterator<Item = (String, Cell)>) {
    page.push_str("<table class=\"facts\"><tbody>\n");
    for (what, said) in rows {
        let _ = writeln!(page, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", Escaped(&what), said.html);
    }
    page.push_str("</tbody></table>\n");
}

fn attribute(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") }
}
