//! Logging in: a storage address and a token for it.

use dvb_http::{Attempt, Service, is_lasting, is_transient, retry_after};
use dvb_storage::Setting;
use ureq::SendBody;
use ureq::http::Request;

use crate::config::{SwiftAccount, SwiftAuth};
use crate::error::SwiftFailure;
use crate::keystone;
use dvb_http::Answer;

/// Who we are, until the token expires.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The account's address, without a slash at its end.
    pub(crate) storage: String,
    pub(crate) token: String,
}

/// What a login answered, or why there was no answer.
pub(crate) type AuthAttempt = Attempt<Login, SwiftFailure>;

pub(crate) fn login(service: &Service, account: &SwiftAccount, attempt: u32) -> AuthAttempt {
    let tried = match &account.auth {
        SwiftAuth::V1 { user, key, tenant } => v1(service, account, &v1_user(user, tenant.as_deref()), key, attempt),
        SwiftAuth::V2 { .. } | SwiftAuth::V3 { .. } | SwiftAuth::ApplicationCredential { .. } => {
            keystone::login(service, account, attempt)
        }
    };
    match tried {
        Attempt::Ended(Err(failure)) => Attempt::Ended(Err(named(failure, &account.auth_url))),
        other => other,
    }
}

/// Users of TempAuth are `account:user`.
fn v1_user(user: &str, tenant: Option<&str>) -> String {
    match tenant {
        Some(tenant) if !user.contains(':') => format!("{tenant}:{user}"),
        _ => user.to_owned(),
    }
}

fn v1(service: &Service, account: &SwiftAccount, user: &str, key: &str, attempt: u32) -> AuthAttempt {
    let url = v1_url(&account.auth_url);
    let request = Request::get(&url).header("X-Auth-User", user).header("X-Auth-Key", key);
    let mut answer = match ask(service, request.body(SendBody::none()), &url, attempt) {
        Ok(it) => it,
        Err(it) => return it,
    };
    let (storage, token) = (answer.header("x-storage-url"), answer.header("x-auth-token"));
    let (Some(storage), Some(token)) = (storage.map(str::to_owned), token.map(str::to_owned)) else {
        let why =
            format!("{url} gave no storage address and token; check {} and {}", Setting::AuthUrl, Setting::AuthVersion);
        return Attempt::Ended(Err(SwiftFailure::Login(why)));
    };
    let _ = answer.why();
    Attempt::Ended(Ok(Login { storage: storage_address(&storage, account.endpoint.as_deref()), token }))
}

/// Sends a login; a good answer, or what to make of a bad one.
pub(crate) fn ask<T>(
    service: &Service,
    request: Result<Request<SendBody<'_>>, ureq::http::Error>,
    url: &str,
    attempt: u32,
) -> Result<Answer, Attempt<T, SwiftFailure>> {
    let ended = |failure| Attempt::Ended(Err(failure));
    let request = request.map_err(|error| {
        ended(SwiftFailure::Setting(format!("{url:?} and the user do not make a request"), error.into()))
    })?;
    let mut answer: Answer = match service.send(request, attempt, None) {
        Ok(response) => response.into(),
        Err(error) if is_lasting(&error) => {
            return Err(ended(SwiftFailure::Setting(format!("cannot talk to {url}"), error.into())));
        }
        Err(error) => {
            let failure = SwiftFailure::Unreachable { host: url.to_owned(), tries: attempt, source: Box::new(error) };
            return Err(Attempt::Transient(failure, None));
        }
    };
    match answer.status {
        200..=299 => Ok(answer),
        401 | 403 => Err(ended(SwiftFailure::LoginRefused { url: url.to_owned(), status: answer.status })),
        status => {
            let (wait, text) = (retry_after(&answer.headers), answer.why());
            let failure = SwiftFailure::Refused { status, text, in_doubt: false };
            let passing = is_transient(status) || wait.is_some();
            Err(if passing { Attempt::Transient(failure, wait) } else { ended(failure) })
        }
    }
}

/// The address belongs into the message: it is what is wrong as a rule.
fn named(failure: SwiftFailure, url: &str) -> SwiftFailure {
    match failure {
        SwiftFailure::Refused { status, text, .. } => SwiftFailure::Login(format!(
            "the login at {url} was answered by {status} {text}; check {}",
            Setting::AuthUrl
        )),
        other => other,
    }
}

fn v1_url(url: &str) -> String {
    let trimmed = url.trim_end_matches('/');
    if path_of(trimmed).is_empty() { format!("{trimmed}/auth/v1.0") } else { trimmed.to_owned() }
}

/// Everything behind the host, with its slash.
pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// The configured address instead of the one that the login gave. Swift's addresses end with an account
/// (`…/v1/AUTH_x`), those of Ceph's gateway as a rule do not (`…/swift/v1`): where only a version is configured, what
/// the login says of the account is kept.
pub(crate) fn storage_address(given: &str, configured: Option<&str>) -> String {
    let given = given.trim_end_matches('/');
    let Some(configured) = configured.map(|it| it.trim_end_matches('/')) else { return given.to_owned() };
    let account = given.split_once("/v1/").map(|(_, account)| account);
    match account {
        Some(account) if configured.ends_with("/v1") => format!("{configured}/{account}"),
        _ => configured.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_address_may_be_whole_or_a_host_alone() {
        for (url, expected) in [
            ("http://h:8080", "http://h:8080/auth/v1.0"),
            ("http://h:8080/", "http://h:8080/auth/v1.0"),
            ("http://h/auth/v1.0", "http://h/auth/v1.0"),
            ("http://h/auth/v1.0/", "http://h/auth/v1.0"),
            ("http://h/auth", "http://h/auth"),
        ] {
            assert_eq!(v1_url(url), expected);
        }
    }

    #[test]
    fn a_configured_storage_address_keeps_the_account() {
        let given = "http://in/v1/AUTH_x/";
        for (configured, expected) in [
            (None, "http://in/v1/AUTH_x"),
            (Some("https://out/v1"), "https://out/v1/AUTH_x"),
            (Some("https://out/v1/"), "https://out/v1/AUTH_x"),
            (Some("https://out/v1/AUTH_y"), "https://out/v1/AUTH_y"),
        ] {
            assert_eq!(storage_address(given, configured), expected);
        }
        assert_eq!(storage_address("http://in/swift/v1", Some("https://out/swift/v1")), "https://out/swift/v1");
    }

    #[test]
    fn a_tenant_stands_before_a_user_that_has_none() {
        assert_eq!(v1_user("tester", Some("test")), "test:tester");
        assert_eq!(v1_user("test:tester", Some("other")), "test:tester");
        assert_eq!(v1_user("tester", None), "tester");
    }
}
