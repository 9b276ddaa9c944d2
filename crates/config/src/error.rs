//! Why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// One thing that is wrong with the file. Never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its line, counted from 1; `None` where something is missing from the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A file that holds a secret, and that group or others may read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Path of the file that is open to others.
    pub path: PathBuf,
    /// Its permission bits, such as `0o644`.
    pub mode: u32,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let Self { mode, .. } = self;
        write!(
            f,
            "{path} holds a secret but is open to group or others (mode {mode:04o}); fix it with: chmod 600 {}",
            shell_word(&path.to_string())
        )
    }
}

/// The configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no file where one is looked for.
    #[error("no configuration file: looked for {}; write one there", list(tried))]
    NotFound {
        /// Where it was looked for, in order.
        tried: Vec<PathBuf>,
    },
    /// The file is there or was named, and cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// Path of the configuration file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not UTF-8 text.
    #[error("{}, line {line}: not UTF-8 text; save the file in UTF-8", path.display())]
    NotText {
        /// Path of the configuration file.
        path: PathBuf,
        /// The first line that is not.
        line: usize,
    },
    /// Refused for safety: secrets could be read by others (exit code 7, not 2).
    #[error("{}{}", lines(files), also(path, problems))]
    Exposed {
        /// Path of the configuration file.
        path: PathBuf,
        /// Every file that is open to others; never empty.
        files: Vec<Exposed>,
        /// What else is wrong with the configuration file.
        problems: Vec<Problem>,
    },
    /// The file says things that make no sense; all of them.
    #[error("{} cannot be used:\n  {}", path.display(), lines(problems))]
    Invalid {
        /// Path of the configuration file.
        path: PathBuf,
        /// What is wrong, in the order of the lines; never empty.
        problems: Vec<Problem>,
    },
    /// `domain.xml` cannot be read.
    #[error("cannot read {}, which DomainXml names", path.display())]
    DomainXmlUnreadable {
        /// Path of the `domain.xml`.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not XML, or not that of a domain.
    #[error("{}, line {line}: {what}; DomainXml needs the domain.xml of Payara", path.display())]
    DomainXmlBroken {
        /// Path of the `domain.xml`.
        path: PathBuf,
        /// Number of the line in the file.
        line: usize,
        /// What is wrong there, in a few words.
        what: String,
    },
    /// It describes no store.
    #[error(
        "{}: its JVM options describe no store of Dataverse; is it the domain that Dataverse runs in?",
        path.display()
    )]
    DomainXmlNoStore {
        /// Path of the `domain.xml`.
        path: PathBuf,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("\n  ")
}

fn also(path: &std::path::Path, problems: &[Problem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    format!("\nand {} cannot be used:\n  {}", path.display(), lines(problems))
}

/// Quotes a path for the command that the administrator is told to type.
fn shell_word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/._-+,=@:".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_mends_can_be_pasted() {
        let of = |path: &str| Exposed { path: PathBuf::from(path), mode: 0o640 }.to_string();
        assert_eq!(
            of("/etc/a/config.ini"),
            "/etc/a/config.ini holds a secret but is open to group or others (mode 0640); \
             fix it with: chmod 600 /etc/a/config.ini"
        );
        assert!(of("/a b/it's").ends_with(r"chmod 600 '/a b/it'\''s'"));
    }
}
