//! A container's environment in a file: an env file as compose reads it, the answer of `docker inspect`, or what the
//! system shows of a process (`/proc/PID/environ`).

use serde_json::Value;

/// A variable as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    /// `None` where the name stands alone: the value is that of whoever starts the container.
    pub(super) value: Option<String>,
    /// Whether a `${…}` in it means itself.
    pub(super) is_literal: bool,
}

/// What is wrong, and in which line. Lines are not quoted: they may hold a secret.
pub(super) type Wrong = (Option<usize>, String);

/// Every variable, in the file's order; of two with one name the last counts.
pub(super) fn read(text: &str) -> Result<Vec<Written>, Wrong> {
    let text = text.trim_start_matches('\u{feff}');
    if text.contains('\0') {
        return Ok(text.split('\0').filter_map(assigned).collect());
    }
    match text.trim_start().chars().next() {
        Some('[' | '{') => of_json(text),
        _ => Lines { rest: text, number: 0 }.read(),
    }
}

/// `NAME=value` as the system has it. The image and Payara may still find references in it.
fn assigned(text: &str) -> Option<Written> {
    let (name, value) = text.split_once('=')?;
    Some(Written { name: name.to_owned(), value: Some(value.to_owned()), is_literal: false })
}

/// `docker inspect CONTAINER`: a list of containers, each with `Config.Env`; or that list of variables alone.
fn of_json(text: &str) -> Result<Vec<Written>, Wrong> {
    let answer: Value = serde_json::from_str(text)
        .map_err(|it| (Some(it.line()), "it begins like JSON, but is not valid JSON".to_owned()))?;
    let none = || {
        let what =
            "there is no Config.Env in it; save what `docker inspect CONTAINER` prints, or write NAME=value lines";
        (None, what.to_owned())
    };
    let list = |variables: &Value| -> Option<Vec<Written>> {
        variables.as_array()?.iter().map(|it| assigned(it.as_str()?)).collect()
    };
    if let Some(variables) = list(&answer).filter(|it| !it.is_empty()) {
        return Ok(variables);
    }
    let of_container = |container: &Value| list(container.pointer("/Config/Env").or_else(|| container.get("Env"))?);
    let containers: Vec<Vec<Written>> = match &answer {
        Value::Array(all) => all.iter().filter_map(of_container).collect(),
        one => of_container(one).into_iter().collect(),
    };
    let is_ours =
        |variables: &&Vec<Written>| variables.iter().any(|it| it.name.to_ascii_lowercase().starts_with("dataverse_"));
    let mut ours = containers.iter().filter(is_ours);
    match (ours.next(), ours.next(), containers.as_slice()) {
        (Some(_), Some(_), _) => {
            Err((None, "several containers in it have variables of Dataverse; keep one".to_owned()))
        }
        (Some(one), None, _) | (None, None, [one]) => Ok(one.clone()),
        (None, ..) => Err(none()),
    }
}

/// An env file: `NAME=value`, `NAME: value`, `export NAME=value`, `#` comments, quotes.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn read(mut self) -> Result<Vec<Written>, Wrong> {
        let mut found = Vec::new();
        while let Some(line) = self.next() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            found.push(self.variable(line)?);
        }
        Ok(found)
    }

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    fn variable(&mut self, line: &str) -> Result<Written, Wrong> {
        let line = line.strip_prefix("export ").map_or(line, str::trim_start).to_owned();
        let end = line.find(['=', ':']).unwrap_or(line.len());
        let name = line[..end].trim_end().to_owned();
        let is_name = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
        if name.is_empty() || !name.chars().all(is_name) {
            let what = "neither NAME=value, nor a comment; a value of several lines needs quotes";
            return Err((Some(self.number), what.to_owned()));
        }
        let Some(value) = line.get(end + 1..) else { return Ok(Written { name, value: None, is_literal: false }) };
        let value = value.trim_start();
        match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let value = self.quoted(&value[1..], quote)?;
                Ok(Written { name, value: Some(value), is_literal: quote == '\'' })
            }
            _ => Ok(Written { name, value: Some(uncommented(value).to_owned()), is_literal: false }),
        }
    }

    /// Up to the quote that ends it, perhaps lines further.
    fn quoted(&mut self, start: &str, quote: char) -> Result<String, Wrong> {
        let (first, mut value, mut line) = (self.number, String::new(), start.to_owned());
        loop {
            let mut chars = line.chars();
            while let Some(it) = chars.next() {
                match it {
                    '\\' if quote == '"' => match chars.next() {
                        Some('n') => value.push('\n'),
                        Some('r') => value.push('\r'),
                        Some('t') => value.push('\t'),
                        Some(it @ ('"' | '\\' | '\'')) => value.push(it),
                        Some(it) => value.extend(['\\', it]),
                        None => value.push('\\'),
                    },
                    it if it == quote => {
                        let behind = chars.as_str().trim();
                        if behind.is_empty() || behind.starts_with('#') {
                            return Ok(value);
                        }
                        return Err((Some(self.number), "text behind the quote that ends a value".to_owned()));
                    }
                    it => value.push(it),
                }
            }
            value.push('\n');
            line = match self.next() {
                Some(next) => next.to_owned(),
                None => return Err((Some(first), format!("no {quote} ends this value"))),
            };
        }
    }
}

/// Without a comment behind it, which a blank sets apart.
fn uncommented(value: &str) -> &str {
    let comment = value.match_indices('#').find(|(at, _)| *at == 0 || value[..*at].ends_with([' ', '\t']));
    value[..comment.map_or(value.len(), |it| it.0)].trim_end()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(text: &str) -> Vec<(String, Option<String>, bool)> {
        read(text).unwrap().into_iter().map(|it| (it.name, it.value, it.is_literal)).collect()
    }

    fn one(name: &str, value: &str, is_literal: bool) -> (String, Option<String>, bool) {
        (name.to_owned(), Some(value.to_owned()), is_literal)
    }

    #[test]
    fn env_files_are_read_as_compose_reads_them() {
        let text = "\u{feff}# a comment\r\n\nexport A=1\nB = two words  # why\nC=\"a \\\"b\\\"\\tc\" # x\nD='${X} \\n'\n\
                    E=a#b\nF:g h\nG=\nH\nI=\"two\nlines\"\nJ=#x\n  dataverse.db.host=h\n";
        assert_eq!(
            written(text),
            [
                one("A", "1", false),
                one("B", "two words", false),
                one("C", "a \"b\"\tc", false),
                one("D", "${X} \\n", true),
                one("E", "a#b", false),
                one("F", "g h", false),
                one("G", "", false),
                ("H".to_owned(), None, false),
                one("I", "two\nlines", false),
                one("J", "", false),
                one("dataverse.db.host", "h", false),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_said_by_its_line_and_not_quoted() {
        for (text, line, what) in [
            ("A=1\nse cret", Some(2), "neither NAME=value"),
            ("A='x\ny", Some(1), "no ' ends"),
            ("A=\"x\" y", Some(1), "behind the quote"),
            ("{\n\"a\"", Some(2), "is not valid JSON"),
            ("[]", None, "Config.Env"),
        ] {
            let (at, why) = read(text).unwrap_err();
            assert!(at == line && why.contains(what) && !why.contains("cret"), "{text:?}: {at:?} {why}");
        }
    }

    #[test]
    fn containers_are_read_as_docker_shows_them() {
        let expected = [one("dataverse_files_x_type", "file", false), one("P", "a=b", false)];
        let env = r#"["dataverse_files_x_type=file", "P=a=b"]"#;
        let container = format!(r#"{{"Id": "1", "Config": {{"Env": {env}}}}}"#);
        for text in [env.to_owned(), container.clone(), format!("[{container}]")] {
            assert_eq!(written(&text), expected, "{text}");
        }
        let database = r#"{"Config": {"Env": ["POSTGRES_USER=x"]}}"#;
        assert_eq!(written(&format!("[{database},{container}]")), expected);
        assert!(read(&format!("[{container},{container}]")).unwrap_err().1.contains("several"));
        assert_eq!(written("A=1\0B=x\ny\0"), [one("A", "1", false), one("B", "x\ny", false)]);
    }
}
