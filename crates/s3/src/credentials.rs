//! Who asks: keys handed in by the caller, or a way to get new ones.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Temporary keys are replaced this long before they end, so that no request is signed with keys that end on its way.
const MARGIN: Duration = Duration::from_secs(300);

/// An access key with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The access key, which is public.
    pub access: String,
    /// The secret access key.
    pub secret: String,
    /// The session token of temporary keys.
    pub token: Option<String>,
    /// When temporary keys end, where that is known.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Keys {
    /// Never shows a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.access)
    }
}

/// No keys was available.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The caller's provider failed.
    #[error("could not obtain credentials: {0}")]
    Provider(String),
    /// The answer of a `credential_process` or of a role's endpoint could not be read.
    #[error("the answer with the keys could not be read")]
    Answer(#[source] serde_json::Error),
    /// A role's endpoint did not answer, or refused.
    #[error("the endpoint of the role's keys at {0} gave none")]
    Role(String, #[source] ureq::Error),
    /// Its `Expiration` is no time.
    #[error("{0:?} is not an RFC 3339 time")]
    Expiration(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "Token")]
    session_token: Option<String>,
    expiration: Option<String>,
}

impl Keys {
    /// The access key's id, which is no secret.
    pub(crate) fn id(&self) -> &str {
        &self.access
    }

    /// Keys that do not end.
    #[must_use]
    pub fn lasting(access: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access: access.into(), secret: secret.into(), token: None, expires: None }
    }

    /// Reads what a `credential_process` prints, and what the endpoints of container and instance roles answer: a JSON
    /// object with `AccessKeyId`, `SecretAccessKey`, `SessionToken` or `Token`, and `Expiration`.
    ///
    /// # Errors
    /// [`CredentialsError`], when it is something else.
    pub fn from_json(text: &str) -> Result<Self, CredentialsError> {
        let document: Document = serde_json::from_str(text).map_err(CredentialsError::Answer)?;
        let time = |text: String| match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(time) => Ok(SystemTime::from(time)),
            Err(_) => Err(CredentialsError::Expiration(text)),
        };
        Ok(Self {
            access: document.access_key_id,
            secret: document.secret_access_key,
            token: document.session_token,
            expires: document.expiration.map(time).transpose()?,
        })
    }

    fn end_soon(&self) -> bool {
        self.expires.is_some_and(|it| it < SystemTime::now() + MARGIN)
    }
}

type Provider = dyn Fn() -> Result<Keys, CredentialsError> + Send + Sync;

/// Where keys come from.
#[derive(Clone)]
pub enum Credentials {
    /// Always the same ones.
    Keys(Keys),
    /// Asked when keys are first needed, when they are about to end, and when the service says that they have ended.
    Provider(Arc<Provider>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(it) => it.fmt(f),
            Self::Provider(_) => f.write_str("Provider"),
        }
    }
}

/// The keys in use, shared by all requests of a client.
pub(crate) struct CredentialCache {
    from: Credentials,
    current: Mutex<Option<Keys>>,
}

impl CredentialCache {
    pub(crate) fn new(from: Credentials) -> Self {
        Self { from, current: Mutex::new(None) }
    }

    pub(crate) fn keys(&self) -> Result<Keys, CredentialsError> {
        let provider = match &self.from {
            Credentials::Keys(keys) => return Ok(keys.clone()),
            Credentials::Provider(it) => it,
        };
        // Held while asking: one new set of keys serves all who wait.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(keys) if !keys.end_soon() => Ok(keys.clone()),
            _ => Ok(current.insert(provider()?).clone()),
        }
    }

    /// Forgets keys that the service refused as ended; whether others may be had.
    pub(crate) fn renew(&self, refused: &Keys) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() == Some(refused) {
            *current = None;
        }
        matches!(self.from, Credentials::Provider(_))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_spellings_of_a_token_are_read() {
        for name in ["SessionToken", "Token"] {
            let text = format!(
                r#"{{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","{name}":"T","Expiration":"2030-01-02T03:04:05Z"}}"#
            );
            let keys = Keys::from_json(&text).unwrap();
            assert_eq!((keys.access.as_str(), keys.token.as_deref()), ("A", Some("T")));
            assert!(keys.expires.is_some_and(|it| it > SystemTime::UNIX_EPOCH) && !format!("{keys:?}").contains('S'));
        }
        assert!(Keys::from_json("{}").is_err());
    }
}
