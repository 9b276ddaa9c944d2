//! Who lets us in: key files, then an agent's keys.

use std::path::Path;
use std::sync::Arc;

use dvb_storage::{Cause, SinkError};
use russh::AgentAuthError;
use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};

use crate::config::{KeyFile, SftpConfig};
use crate::connect::{Guard, within};

/// Tries each key file, then each key of the agent.
///
/// # Errors
/// [`Cause::Forbidden`] with what was tried; [`Cause::Unavailable`] when the connection failed meanwhile.
pub(crate) async fn log_in(session: &mut Handle<Guard>, config: &SftpConfig, sha1: bool) -> Result<(), SinkError> {
    let mut tried = Vec::new();
    for key in &config.keys {
        match by_key(session, config, key, sha1).await {
            Ok(()) => return Ok(()),
            Err(No::Lost(error)) => return Err(lost(config, &tried, error)),
            Err(No::Key(words)) => {
                let locked = if key.passphrase.is_none() { ", no passphrase given" } else { "" };
                tried.push(format!("key {} ({words}{locked})", key.path.display()));
            }
        }
    }
    if let Some(socket) = &config.agent {
        match by_agent(session, config, socket, sha1).await {
            Ok(()) => return Ok(()),
            Err(No::Lost(error)) => return Err(lost(config, &tried, error)),
            Err(No::Key(words)) => tried.push(words),
        }
    }
    let tried = if tried.is_empty() { "nothing: neither key file nor agent is given".into() } else { tried.join("; ") };
    Err(SinkError::new(
        Cause::Forbidden,
        format!(
            "{} does not let {:?} log in. Tried: {tried}. Is the public key in the account's authorized_keys?",
            config.host, config.username
        ),
    ))
}

/// Why a key opened nothing.
enum No {
    /// It was refused, or is none.
    Key(String),
    /// The connection failed.
    Lost(russh::Error),
}

async fn by_key(session: &mut Handle<Guard>, config: &SftpConfig, file: &KeyFile, sha1: bool) -> Result<(), No> {
    if let Some(mode) = file.open_to_others() {
        return Err(No::Key(format!("it is open to group or others, mode {mode:04o}: chmod 600")));
    }
    let key = Arc::new(file.load().map_err(|it| No::Key(it.to_string()))?);
    for hash in hashes(session, config, key.algorithm(), sha1).await? {
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
        let answer = within(config, session.authenticate_publickey(&config.username, key)).await.map_err(No::Lost)?;
        if answer.success() {
            return Ok(());
        }
        still_there(session)?;
    }
    Err(No::Key("the server refused it".into()))
}

async fn by_agent(session: &mut Handle<Guard>, config: &SftpConfig, socket: &Path, sha1: bool) -> Result<(), No> {
    let deaf = |it: russh::keys::Error| No::Key(format!("agent at {} ({it})", socket.display()));
    let mut agent = AgentClient::connect_uds(socket).await.map_err(deaf)?;
    let identities = agent.request_identities().await.map_err(deaf)?;
    let count = identities.len();
    for identity in identities {
        for hash in hashes(session, config, identity.public_key().algorithm(), sha1).await? {
            let user = &config.username;
            let answer = match &identity {
                AgentIdentity::PublicKey { key, .. } => {
                    session.authenticate_publickey_with(user, key.clone(), hash, &mut agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    session.authenticate_certificate_with(user, certificate.clone(), hash, &mut agent).await
                }
            };
            match answer {
                Ok(answer) if answer.success() => return Ok(()),
                // An agent may hold a key that it does not sign with; the next may do.
                Ok(_) | Err(AgentAuthError::Key(_)) => still_there(session)?,
                Err(AgentAuthError::Send(_)) => return Err(No::Lost(russh::Error::SendError)),
            }
        }
    }
    Err(No::Key(format!("the {count} keys of the agent at {}", socket.display())))
}

/// The hashes to sign with, best first: of an RSA key, what the server says that it takes (RFC 8332).
async fn hashes(
    session: &Handle<Guard>,
    config: &SftpConfig,
    algorithm: Algorithm,
    sha1: bool,
) -> Result<Vec<Option<HashAlg>>, No> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(vec![None]);
    }
    match within(config, session.best_supported_rsa_hash()).await.map_err(No::Lost)? {
        Some(None) if !sha1 => {
            let words = "the server takes signatures of RSA keys by SHA-1 only; use an Ed25519 key, or, if it must be, \
                         SshHostKeyAlgorithms: +ssh-rsa";
            Err(No::Key(words.into()))
        }
        Some(best) => Ok(vec![best]),
        // A server from before 2016, or one that does not tell.
        None if sha1 => Ok(vec![Some(HashAlg::Sha256), None]),
        None => Ok(vec![Some(HashAlg::Sha256)]),
    }
}

/// A refusal is also what is told of a connection that is gone.
fn still_there(session: &Handle<Guard>) -> Result<(), No> {
    if session.is_closed() { Err(No::Lost(russh::Error::Disconnect)) } else { Ok(()) }
}

fn lost(config: &SftpConfig, tried: &[String], error: russh::Error) -> SinkError {
    let after = if tried.is_empty() {
        String::new()
    } else {
        format!(", after: {}; many servers hang up after some keys that they do not know", tried.join("; "))
    };
    let text = format!("cannot log in to {}:{}: the connection failed{after}", config.host, config.port);
    SinkError::because(Cause::Unavailable, text, error)
}
