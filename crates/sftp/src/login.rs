//! Who lets us in: key files, then an agent's keys.

use std::io;

use dvb_storage::{Cause, Setting, SinkError};
use tracing::debug;

use crate::config::{KeyFile, SftpConfig};
use crate::transport::{No, Transport};

/// What to do where only SHA-1 is left.
pub(crate) fn only_sha1() -> String {
    format!(
        "the server takes signatures of RSA keys by SHA-1 only; use an Ed25519 key, or, if it must be, {}: +ssh-rsa",
        Setting::HostKeyAlgorithms
    )
}

/// Tries each key file, then each key of the agent.
///
/// # Errors
/// [`Cause::Forbidden`] with what was tried, [`Cause::Untrusted`] where a key that others can read was passed over;
/// [`Cause::Unavailable`] when the connection failed meanwhile.
pub(crate) fn log_in(transport: &mut dyn Transport, config: &SftpConfig, sha1: bool) -> Result<(), SinkError> {
    let (mut tried, mut is_exposed) = (Vec::new(), false);
    for key in &config.keys {
        let answer = by_key(transport, config, key, sha1);
        debug!(user = config.username, key = %key.path.display(), answer = words(&answer), "login");
        match answer {
            Ok(()) => return Ok(()),
            Err(No::Lost(error)) => return Err(lost(config, &tried, error)),
            Err(No::Key(words)) => {
                is_exposed |= key.open_to_others().is_some();
                let locked = if key.passphrase.is_none() { ", no passphrase given" } else { "" };
                tried.push(format!("key {} ({words}{locked})", key.path.display()));
            }
        }
    }
    if let Some(socket) = &config.agent {
        let answer = transport.log_in_with_agent(&config.username, socket, sha1);
        debug!(user = config.username, agent = %socket.display(), answer = words(&answer), "login");
        match answer {
            Ok(()) => return Ok(()),
            Err(No::Lost(error)) => return Err(lost(config, &tried, error)),
            Err(No::Key(words)) => tried.push(words),
        }
    }
    let tried = if tried.is_empty() { "nothing: neither key file nor agent is given".into() } else { tried.join("; ") };
    Err(SinkError::new(
        // A secret that others can read is refused, as every other one is.
        if is_exposed { Cause::Untrusted } else { Cause::Forbidden },
        format!(
            "{} does not let {:?} log in. Tried: {tried}. Is the public key in the account's authorized_keys?",
            config.host, config.username
        ),
    ))
}

fn words(answer: &Result<(), No>) -> &str {
    match answer {
        Ok(()) => "accepted",
        Err(No::Key(words)) => words,
        Err(No::Lost(_)) => "the connection failed",
    }
}

fn by_key(transport: &mut dyn Transport, config: &SftpConfig, file: &KeyFile, sha1: bool) -> Result<(), No> {
    if let Some(mode) = file.open_to_others() {
        let path = file.path.display();
        return Err(No::Key(format!(
            "not used: it is open to group or others, mode {mode:04o}; fix it with: chmod 600 {path}"
        )));
    }
    let key = file.load().map_err(|error| No::Key(error.to_string()))?;
    transport.log_in_with_key(&config.username, &key, sha1)
}

fn lost(config: &SftpConfig, tried: &[String], error: io::Error) -> SinkError {
    let after = if tried.is_empty() {
        String::new()
    } else {
        format!(", after: {}; many servers hang up after some keys that they do not know", tried.join("; "))
    };
    let text = format!("cannot log in to {}: the connection failed{after}", config.place());
    SinkError::because(Cause::Unavailable, text, error)
}
