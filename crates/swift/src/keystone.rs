//! Logging in with Keystone: versions 2.0 and 3, and where its catalogue says that Swift is.

use dvb_http::{Attempt, Service};
use dvb_storage::Setting;
use serde_json::{Value, json};
use ureq::SendBody;
use ureq::http::Request;

use crate::auth::{AuthAttempt, Login, ask, storage_address};
use crate::config::{SwiftAccount, SwiftAuth};
use crate::error::{SwiftFailure, status};

const DOMAIN: &str = "Default";

/// An object store in a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    region: String,
    url: String,
}

pub(crate) fn login(service: &Service, account: &SwiftAccount, attempt: u32) -> AuthAttempt {
    let is_v2 = matches!(account.auth, SwiftAuth::V2 { .. });
    let url = if is_v2 { v2_url(&account.auth_url) } else { v3_url(&account.auth_url) };
    let body = body(&account.auth).to_string();
    let request = Request::post(&url).header("Content-Type", "application/json").header("Accept", "application/json");
    let mut reader = body.as_bytes();
    // With its length: not every Keystone takes a body in chunks.
    let request = request.header("Content-Length", body.len()).body(SendBody::from_reader(&mut reader));
    let answer = match ask(service, request, &url, attempt) {
        Ok(it) => it,
        Err(tried) if is_v2 => return without_v2(tried, &url),
        Err(tried) => return tried,
    };
    let read = if is_v2 { read_v2(answer) } else { read_v3(answer) };
    let storage =
        |(token, endpoints): TokenAndEndpoints| Ok(Login { storage: choose(account, &url, &endpoints)?, token });
    Attempt::Ended(read.and_then(storage))
}

/// Version 2.0 went with the release Queens (2018); what is there now answers 404.
fn without_v2(tried: AuthAttempt, url: &str) -> AuthAttempt {
    match tried {
        Attempt::Ended(Err(failure)) if matches!(status(&failure), Some(300 | 404 | 410)) => {
            let why =
                format!("this Keystone has no v2.0 any more: set {}: 3 ({url} is not there)", Setting::AuthVersion);
            Attempt::Ended(Err(SwiftFailure::Login(why)))
        }
        other => other,
    }
}

/// The body of a request for a token:
/// <https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>
fn body(auth: &SwiftAuth) -> Value {
    match auth {
        SwiftAuth::V1 { .. } => Value::Null,
        SwiftAuth::V2 { user, key, tenant } => {
            json!({"auth": {"passwordCredentials": {"username": user, "password": key}, "tenantName": tenant}})
        }
        SwiftAuth::V3 { user, key, project, user_domain, project_domain } => {
            let domain = |it: &Option<String>| json!({"name": it.as_deref().unwrap_or(DOMAIN)});
            let user = json!({"name": user, "domain": domain(user_domain), "password": key});
            let identity = json!({"methods": ["password"], "password": {"user": user}});
            match project {
                Some(project) => {
                    let scope = json!({"project": {"name": project, "domain": domain(project_domain)}});
                    json!({"auth": {"identity": identity, "scope": scope}})
                }
                None => json!({"auth": {"identity": identity}}),
            }
        }
        SwiftAuth::ApplicationCredential { id, secret } => {
            let credential = json!({"id": id, "secret": secret});
            let identity = json!({"methods": ["application_credential"], "application_credential": credential});
            json!({"auth": {"identity": identity}})
        }
    }
}

fn document(mut answer: dvb_http::Answer) -> Result<Value, SwiftFailure> {
    let body = answer.small_body().map_err(|it| SwiftFailure::Unread("cannot read the login's answer", it.into()))?;
    serde_json::from_slice(&body).map_err(|it| SwiftFailure::Unread("the login's answer is not JSON", it.into()))
}

type TokenAndEndpoints = (String, Vec<Endpoint>);

fn no_token() -> SwiftFailure {
    SwiftFailure::Login(format!(
        "the login's answer holds no token; check {} and {}",
        Setting::AuthUrl,
        Setting::AuthVersion
    ))
}

fn read_v3(answer: dvb_http::Answer) -> Result<TokenAndEndpoints, SwiftFailure> {
    let token = answer.header("x-subject-token").map(str::to_owned).ok_or_else(no_token)?;
    let document = document(answer)?;
    let mut found = Vec::new();
    for endpoint in endpoints(&document["token"]["catalog"]) {
        if endpoint["interface"] == "public" {
            let region = endpoint["region_id"].as_str().or_else(|| endpoint["region"].as_str());
            found.extend(known(region, &endpoint["url"]));
        }
    }
    Ok((token, found))
}

fn read_v2(answer: dvb_http::Answer) -> Result<TokenAndEndpoints, SwiftFailure> {
    let document = document(answer)?;
    let token = document["access"]["token"]["id"].as_str().ok_or_else(no_token)?;
    let found = endpoints(&document["access"]["serviceCatalog"]);
    let found = found.filter_map(|endpoint| known(endpoint["region"].as_str(), &endpoint["publicURL"])).collect();
    Ok((token.to_owned(), found))
}

fn endpoints(catalogue: &Value) -> impl Iterator<Item = &Value> {
    let services = catalogue.as_array().into_iter().flatten().filter(|it| it["type"] == "object-store");
    services.flat_map(|service| service["endpoints"].as_array().into_iter().flatten())
}

fn known(region: Option<&str>, url: &Value) -> Option<Endpoint> {
    Some(Endpoint { region: region.unwrap_or_default().to_owned(), url: url.as_str()?.to_owned() })
}

/// The one of the region; several without a region are a question that only the administrator can answer.
fn choose(account: &SwiftAccount, url: &str, endpoints: &[Endpoint]) -> Result<String, SwiftFailure> {
    let wanted = |endpoint: &&Endpoint| {
        account.region.as_ref().is_none_or(|region| endpoint.region.eq_ignore_ascii_case(region))
    };
    let found: Vec<&Endpoint> = endpoints.iter().filter(wanted).collect();
    let configured = account.endpoint.as_deref();
    let first = match (found.first(), configured) {
        (Some(it), _) => *it,
        (None, Some(configured)) => return Ok(configured.trim_end_matches('/').to_owned()),
        (None, None) => return Err(SwiftFailure::Login(nothing_found(account, url, endpoints))),
    };
    if configured.is_none() && found.iter().any(|it| it.url != first.url) {
        let regions: Vec<&str> = found.iter().map(|it| it.region.as_str()).collect();
        let (regions, region) = (regions.join(", "), Setting::Region);
        let why = format!("{url} names object stores in several regions ({regions}); set {region}");
        return Err(SwiftFailure::Login(why));
    }
    Ok(storage_address(&first.url, configured))
}

fn nothing_found(account: &SwiftAccount, url: &str, endpoints: &[Endpoint]) -> String {
    let regions: Vec<&str> = endpoints.iter().map(|it| it.region.as_str()).collect();
    match &account.region {
        Some(region) if !regions.is_empty() => {
            format!("{url} names no object store in region {region}; it has {}", regions.join(", "))
        }
        _ => format!(
            "{url} names no public object store for this login; check {}, or set {}",
            Setting::Tenant,
            Setting::Endpoint
        ),
    }
}

/// `…/v2.0/tokens`, whatever of it is given.
fn v2_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/tokens") {
        url.to_owned()
    } else if url.ends_with("/v2.0") {
        format!("{url}/tokens")
    } else {
        format!("{url}/v2.0/tokens")
    }
}

/// `…/v3/auth/tokens`, whatever of it is given; an address of version 2.0 that stayed in the file is turned into it.
fn v3_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.ends_with("/auth/tokens") {
        return url.to_owned();
    }
    let base = url.strip_suffix("/tokens").unwrap_or(url);
    let base = base.strip_suffix("/v2.0").or_else(|| base.strip_suffix("/v3")).unwrap_or(base);
    format!("{base}/v3/auth/tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_keystone_is_understood() {
        for (url, v2, v3) in [
            ("https://k/v2.0/tokens", "https://k/v2.0/tokens", "https://k/v3/auth/tokens"),
            ("https://k/swift/v2.0/tokens/", "https://k/swift/v2.0/tokens", "https://k/swift/v3/auth/tokens"),
            ("https://k:5000/v2.0", "https://k:5000/v2.0/tokens", "https://k:5000/v3/auth/tokens"),
            ("https://k:5000", "https://k:5000/v2.0/tokens", "https://k:5000/v3/auth/tokens"),
            ("https://k/identity/", "https://k/identity/v2.0/tokens", "https://k/identity/v3/auth/tokens"),
        ] {
            assert_eq!((v2_url(url), v3_url(url)), (v2.to_owned(), v3.to_owned()));
        }
        for url in ["https://k/v3/auth/tokens", "https://k/v3", "https://k/v3/"] {
            assert_eq!(v3_url(url), "https://k/v3/auth/tokens");
        }
    }

    fn account(region: Option<&str>, endpoint: Option<&str>) -> SwiftAccount {
        SwiftAccount {
            auth_url: String::new(),
            auth: SwiftAuth::ApplicationCredential { id: String::new(), secret: String::new() },
            endpoint: endpoint.map(str::to_owned),
            region: region.map(str::to_owned),
            ca: None,
            limits: SwiftAccount::LIMITS,
        }
    }

    #[test]
    fn a_region_is_chosen_or_asked_for() {
        let two: Vec<Endpoint> = ["A", "B"]
            .map(|region| Endpoint { region: region.into(), url: format!("http://{region}/v1/AUTH_x") })
            .into();
        let choose = |region, endpoint, of: &[Endpoint]| choose(&account(region, endpoint), "http://k", of);
        assert_eq!(choose(Some("b"), None, &two).ok().as_deref(), Some("http://B/v1/AUTH_x"));
        assert_eq!(choose(None, None, &two[..1]).ok().as_deref(), Some("http://A/v1/AUTH_x"));
        assert_eq!(choose(None, Some("http://E/v1"), &two).ok().as_deref(), Some("http://E/v1/AUTH_x"));
        assert_eq!(choose(None, Some("http://E/v1/"), &[]).ok().as_deref(), Some("http://E/v1"));
        let several = choose(None, None, &two).map_err(|it| it.to_string());
        assert!(several.is_err_and(|it| it.contains("(A, B); set the region")));
        let none = choose(Some("C"), None, &two).map_err(|it| it.to_string());
        assert!(none.is_err_and(|it| it.contains("no object store in region C; it has A, B")));
        assert!(choose(None, None, &[]).is_err());
    }
}
