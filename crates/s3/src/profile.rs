//! The files that the AWS tools keep credentials in, from their text.
//!
//! The format is that of the "Shared config and credentials files" of the AWS SDKs and Tools Reference Guide.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::Keys;

/// What a profile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// `aws_access_key_id` and its companions.
    pub keys: Option<Keys>,
    /// A command that prints keys, for [`Keys::from_json`]. To be used where there are no keys.
    pub credential_process: Option<String>,
    /// The region that the profile names.
    pub region: Option<String>,
    /// `endpoint_url`: address of a service that is not Amazon's.
    pub endpoint_url: Option<String>,
    /// `ca_bundle`: file of the certificates (PEM) that are trusted instead of the system's.
    pub ca_bundle: Option<String>,
}

/// A profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// No file has it.
    #[error("there is no profile {0:?} in the AWS credentials and config files")]
    Unknown(String),
    /// An access key without its secret, or the reverse.
    #[error("profile {profile:?} has {has} but no {lacks}")]
    Half {
        /// Name of the profile that has one of the two keys.
        profile: String,
        /// The key that is there.
        has: &'static str,
        /// The key that is missing.
        lacks: &'static str,
    },
    /// It gets its keys in a way that needs a login or another service.
    #[error("profile {profile:?} uses {key}, which is not supported; use keys or a credential_process")]
    Unsupported {
        /// Name of the profile.
        profile: String,
        /// The key of the profile that asks for it.
        key: &'static str,
    },
}

/// Ways to keys that need a service of their own (STS, SSO).
const UNSUPPORTED: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "web_identity_token_file"];

impl Profile {
    /// Reads the profile `name` of the texts of `~/.aws/credentials` and `~/.aws/config`; the former wins, key by key.
    ///
    /// # Errors
    /// [`ProfileError`], when neither has it or it cannot be used.
    pub fn read(credentials: Option<&str>, config: Option<&str>, name: &str) -> Result<Self, ProfileError> {
        // In `config` every profile but the default one is written `[profile NAME]`.
        let titles = if name == "default" {
            vec!["default".into(), "profile default".into()]
        } else {
            vec![format!("profile {name}")]
        };
        let mut values = section(config.unwrap_or(""), &titles);
        match (&mut values, section(credentials.unwrap_or(""), &[name.to_owned()])) {
            (Some(all), Some(stronger)) => all.extend(stronger),
            (none, Some(it)) => *none = Some(it),
            (_, None) => {}
        }
        let values = values.ok_or_else(|| ProfileError::Unknown(name.to_owned()))?;
        Self::of(name, &values)
    }

    fn of(name: &str, values: &BTreeMap<String, String>) -> Result<Self, ProfileError> {
        let get = |key: &str| values.get(key).cloned();
        let (id, secret) = ("aws_access_key_id", "aws_secret_access_key");
        let half = |has, lacks| Err(ProfileError::Half { profile: name.to_owned(), has, lacks });
        let keys = match (get(id), get(secret)) {
            (Some(access), Some(secret)) => {
                Some(Keys { access, secret, token: get("aws_session_token"), expires: None })
            }
            (Some(_), None) => return half(id, secret),
            (None, Some(_)) => return half(secret, id),
            (None, None) => None,
        };
        let credential_process = get("credential_process");
        if keys.is_none()
            && credential_process.is_none()
            && let Some(key) = UNSUPPORTED.into_iter().find(|it| values.contains_key(*it))
        {
            return Err(ProfileError::Unsupported { profile: name.to_owned(), key });
        }
        Ok(Self {
            keys,
            credential_process,
            region: get("region"),
            endpoint_url: get("endpoint_url"),
            ca_bundle: get("ca_bundle"),
        })
    }
}

/// The values of the sections with one of these titles. Nested values (indented lines) are left out.
fn section(text: &str, titles: &[String]) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_ours = false;
    for line in text.lines() {
        if let Some(title) = line.trim().strip_prefix('[').and_then(|it| it.split(']').next()) {
            let title = title.split_whitespace().collect::<Vec<_>>().join(" ").replace(['"', '\''], "");
            is_ours = titles.contains(&title);
            if is_ours {
                found.get_or_insert_default();
            }
        } else if is_ours
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(values) = &mut found
        {
            // A comment may follow a value, after a blank.
            let value = [" #", " ;", "\t#", "\t;"].iter().fold(value, |it, mark| it.split(mark).next().unwrap_or(it));
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key=S+/= # mine\n\n[prod]\naws_access_key_id=P\naws_secret_access_key=Q\naws_session_token=T\n[half]\naws_access_key_id=H\n";
    const CONFIG: &str = "[default]\nregion = eu-central-1\n[profile prod]\nregion=us-west-2\ns3 =\n  addressing_style = path\nendpoint_url = https://s3.example.org\naws_access_key_id=weaker\n[profile \"with blank\"]\ncredential_process = /bin/get keys\n[profile sso]\nsso_session = x\n[prod2]\nregion=x\n";

    #[test]
    fn a_profile_is_put_together_from_both_files() {
        let read = |name| Profile::read(Some(CREDENTIALS), Some(CONFIG), name);
        let default = read("default").unwrap();
        assert_eq!(default.keys, Some(Keys::lasting("A", "S+/=")));
        assert_eq!(default.region.as_deref(), Some("eu-central-1"));
        let prod = read("prod").unwrap();
        assert_eq!(prod.keys, Some(Keys { token: Some("T".into()), ..Keys::lasting("P", "Q") }));
        assert_eq!(prod.endpoint_url.as_deref(), Some("https://s3.example.org"));
        assert_eq!(read("with blank").unwrap().credential_process.as_deref(), Some("/bin/get keys"));
        assert_eq!(read("none"), Err(ProfileError::Unknown("none".into())));
        assert_eq!(read("prod2"), Err(ProfileError::Unknown("prod2".into())));
        assert!(matches!(read("half"), Err(ProfileError::Half { .. })));
        assert!(matches!(read("sso"), Err(ProfileError::Unsupported { key: "sso_session", .. })));
    }
}
