//! Which names the server's medium can have (exFAT, shares of Windows): found out by trying, for no answer of a server says
//! that it was the name. OpenSSH, ProFTPD and asyncssh say "failure", or that there is no such file.

use std::collections::HashMap;

use dvb_model::ObjectKey;

use crate::error::Fault;
use crate::folders::FILE_MODE;
use crate::handshake::PROBE;
use crate::session::SftpSession;
use crate::wire::{self, Reply, Request};

/// Every character that some medium refuses, and an end that some drop.
const ODD: &str = r#"äß€😀 :*?"<>|\ ."#;
/// A name that every medium can have.
const PLAIN: &str = "plain";
/// Parts of up to this many bytes fit everywhere.
const SHORT: usize = 100;

/// What was found out in this session, by name.
pub(crate) type Tried = HashMap<String, bool>;

impl SftpSession {
    /// The part of each key that the medium cannot have.
    pub(crate) fn impossible(&mut self, keys: &[&ObjectKey]) -> Result<Vec<Option<String>>, Fault> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let mut part_of_it = None;
            for part in key.as_str().split('/') {
                if !self.can_have(part)? {
                    part_of_it = Some(part.to_owned());
                    break;
                }
            }
            found.push(part_of_it);
        }
        Ok(found)
    }

    fn can_have(&mut self, part: &str) -> Result<bool, Fault> {
        let is_short = part.len() <= SHORT;
        if is_short && (is_plain(part) || self.try_once(ODD)?) {
            return Ok(true);
        }
        self.try_once(part)
    }

    fn try_once(&mut self, name: &str) -> Result<bool, Fault> {
        if let Some(known) = self.tried.get(name) {
            return Ok(*known);
        }
        // A refusal may have another reason: then a plain name is refused as well, and the upload will say why.
        let can = self.make(name)? || !self.make(PLAIN)? || self.make(name)?;
        self.tried.insert(name.to_owned(), can);
        Ok(can)
    }

    /// Whether a file of this name can be made in the folder for temporaries, and shows under this name.
    fn make(&mut self, name: &str) -> Result<bool, Fault> {
        // Where it cannot be removed for a moment, whoever sweeps it later takes it for what it is.
        let mark = if name == ODD || name == PLAIN { PROBE } else { "" };
        let path = format!("{}/{mark}{name}", self.temp);
        let open = Request::Open { path: &path, flags: wire::OPEN_EMPTY, mode: Some(FILE_MODE) };
        let Reply::Handle(handle) = self.client.ask(&[open])?.remove(0) else { return Ok(false) };
        // Not even closing it tells more: what matters is whether it shows.
        self.client.order(&[Request::Close { handle: &handle }])?;
        // "a." that became "a" would be the name of another object as well.
        let shortened = format!("{}/{mark}{}", self.temp, name.trim_end_matches(['.', ' ']));
        let is_other = shortened != path
            && matches!(self.client.ask(&[Request::Stat { path: &shortened }])?.remove(0), Reply::Attributes(_));
        self.drop_files(&[&path])?;
        Ok(!is_other)
    }
}

fn is_plain(part: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_');
    part.bytes().all(is_plain) && !part.ends_with('.')
}
