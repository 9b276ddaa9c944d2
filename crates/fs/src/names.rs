//! Which names a medium can have: found out by trying, since each kind says no in its own way (exFAT by FUSE says that
//! nothing is there), and some say yes and make another name.

use std::io;

use cap_std::fs::{Dir, OpenOptions};
use dvb_storage::Cause;

use crate::error::cause;

/// Every character that some medium refuses, and an end that some drop.
const ODD: &str = r#"äß€😀 :*?"<>|\ ."#;
/// A name that every medium can have.
const PLAIN: &str = "plain";
/// Parts of up to this many bytes fit everywhere.
const SHORT: usize = 100;

/// Tries names in a folder of its own.
pub(crate) struct Names {
    /// Where that folder is made when there is something to try, and its name.
    parent: Dir,
    name: String,
    folder: Option<Dir>,
    /// Whether names of any characters can be had; `None` while nobody asked.
    any: Option<bool>,
}

impl Names {
    pub(crate) fn new(parent: Dir, name: String) -> Self {
        Self { parent, name, folder: None, any: None }
    }

    /// The first part of a path that the medium cannot have.
    pub(crate) fn impossible<'a>(&mut self, path: &'a str) -> io::Result<Option<&'a str>> {
        for part in path.split('/') {
            if !self.can_have(part)? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    fn can_have(&mut self, part: &str) -> io::Result<bool> {
        let is_short = part.len() <= SHORT;
        if is_short && (is_plain(part) || self.can_have_any()?) {
            return Ok(true);
        }
        self.try_name(part)
    }

    fn can_have_any(&mut self) -> io::Result<bool> {
        let any = match self.any {
            Some(it) => it,
            None => self.try_name(ODD)?,
        };
        self.any = Some(any);
        Ok(any)
    }

    fn try_name(&mut self, name: &str) -> io::Result<bool> {
        let folder = match self.folder.take() {
            Some(it) => it,
            None => match self.parent.create_dir(&self.name) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => self.parent.open_dir(&self.name)?,
            },
        };
        try_in(self.folder.insert(folder), name)
    }
}

fn try_in(folder: &Dir, name: &str) -> io::Result<bool> {
    match make(folder, name) {
        Ok(()) => {
            let shown = folder.entries()?.map(|it| Ok(it?.file_name())).collect::<io::Result<Vec<_>>>()?;
            // "a." that became "a" would be the name of another object as well.
            let shortened = name.trim_end_matches(['.', ' ']);
            let is_other = shown.iter().any(|it| it != name && it == shortened);
            folder.remove_file(name)?;
            Ok(!is_other)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) if matches!(cause(&error), Cause::Full | Cause::Transient) => Err(error),
        Err(error) => match make(folder, PLAIN) {
            Ok(()) => folder.remove_file(PLAIN).map(|()| false),
            // It is not the name.
            Err(_) => Err(error),
        },
    }
}

fn make(folder: &Dir, name: &str) -> io::Result<()> {
    folder.open_with(name, OpenOptions::new().write(true).create_new(true)).map(drop)
}

fn is_plain(part: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_');
    part.bytes().all(is_plain) && !part.ends_with('.')
}
