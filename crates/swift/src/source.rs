//! A store of type `swift` (`SwiftAccessIO`, dataverse.md 2.6): everything that is needed stands in the identifier.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use dvb_http::Interrupt;
use dvb_model::ObjectName;
use dvb_storage::{Cause, Location, ObjectAddress, Setting, Shelf, Sighting, Source, SourceError, StoredObject, Trace};
use ureq::http::Method;

use crate::client::{Client, Request};
use crate::config::{SwiftAccount, SwiftStoreConfig};
use crate::container;
use crate::download;
use crate::error::{SwiftFailure, status};
use crate::path::Path;

/// A store, with all its endpoints.
pub struct SwiftStore {
    default: Option<String>,
    endpoints: BTreeMap<String, Endpoint>,
}

struct Endpoint {
    account: SwiftAccount,
    client: Mutex<Option<Arc<Client>>>,
    interrupt: Interrupt,
}

impl Endpoint {
    fn client(&self) -> Result<Arc<Client>, SwiftFailure> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::new(self.account.clone(), self.interrupt.clone())?);
        *kept = Some(Arc::clone(&client));
        Ok(client)
    }
}

/// Where an object is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) endpoint: String,
    pub(crate) container: String,
    pub(crate) object: String,
}

/// Reads an identifier without its prefix. Of a data file: `endpoint:container:object`, where Dataverse 4.10 and later
/// have the dataset's identifier in front of the object's name; of a dataset: `endpoint:container`, since 4.10 with a
/// folder behind the container.
pub(crate) fn address(at: &Location) -> Result<Address, SourceError> {
    let missing = |why: &str| SourceError::new(Cause::Missing, why.to_owned());
    let Some(identifier) = &at.identifier else { return Err(missing("no storage identifier names the container")) };
    let unreadable = || missing(&format!("{:?} does not name endpoint, container and object", identifier.rest));
    let mut parts = identifier.rest.splitn(3, ':');
    let (endpoint, container, name) = (parts.next(), parts.next(), parts.next());
    let (endpoint, container) = endpoint.zip(container).ok_or_else(unreadable)?;
    let (container, object) = match (&at.object, name) {
        (ObjectAddress::DatasetLevel(tag), None) => match container.split_once('/') {
            Some((container, folder)) => (container, format!("{folder}/{tag}")),
            None => (container, tag.as_str().to_owned()),
        },
        (ObjectAddress::Main(_), Some(name)) => (container, name.to_owned()),
        (ObjectAddress::Tagged(_, tag), Some(name)) => (container, format!("{name}.{tag}")),
        (ObjectAddress::Member(_, path), Some(name)) => (container, format!("{name}/{path}")),
        (ObjectAddress::DatasetLevel(_), Some(_)) | (_, None) => return Err(unreadable()),
    };
    check(container, &object)?;
    Ok(Address { endpoint: endpoint.to_owned(), container: container.to_owned(), object })
}

/// Names from a database are data: none may lead into another container or account, whatever stands between.
fn check(container: &str, object: &str) -> Result<(), SourceError> {
    let refused = |why: &str| SourceError::new(Cause::Refused, format!("the storage identifier {why}"));
    if container.contains('/') {
        return Err(refused(&format!("has a container {container:?} that is a path")));
    }
    for name in [container, object] {
        ObjectName::new(name).map_err(|it| refused(&format!("cannot be used: {it}")))?;
    }
    Ok(())
}

/// The endpoint that an identifier names, in either case; the default one where it names none.
pub(crate) fn endpoint_of<'a, T>(
    all: &'a BTreeMap<String, T>,
    default: Option<&str>,
    name: &str,
) -> Result<&'a T, SourceError> {
    let asked = if name.is_empty() { default.unwrap_or_default() } else { name };
    all.iter().find(|(it, _)| it.eq_ignore_ascii_case(asked)).map(|(_, it)| it).ok_or_else(|| {
        let attempt = format!(
            "no Swift endpoint {name:?} is configured; set {}, and what else belongs to it",
            Setting::StoreEndpoint(name.to_owned())
        );
        SourceError::new(Cause::Io, attempt)
    })
}

impl SwiftStore {
    /// A store; nothing is contacted yet.
    #[must_use]
    pub fn new(config: SwiftStoreConfig) -> Self {
        let endpoint = |account| Endpoint { account, client: Mutex::new(None), interrupt: Interrupt::default() };
        Self {
            default: config.default_endpoint,
            endpoints: config.endpoints.into_iter().map(|(name, it)| (name, endpoint(it))).collect(),
        }
    }

    fn find(&self, at: &Location) -> Result<(Arc<Client>, Path, String), SourceError> {
        let Address { endpoint, container, object } = address(at)?;
        let client = endpoint_of(&self.endpoints, self.default.as_deref(), &endpoint)?.client();
        let what = format!("{object} in container {container} of {endpoint}");
        let client = client.map_err(|it| it.into_source(&what))?;
        Ok((client, Path::object(&container, &object), what))
    }
}

impl Source for SwiftStore {
    fn describe(&self) -> String {
        let urls: Vec<&str> = self.endpoints.values().map(|it| it.account.auth_url.as_str()).collect();
        format!("Swift at {}", urls.join(", "))
    }

    fn interrupt(&self) {
        for Endpoint { client, interrupt, .. } in self.endpoints.values() {
            interrupt.interrupt(None);
            if let Some(client) = &*client.lock().unwrap_or_else(PoisonError::into_inner) {
                client.service().interrupt();
            }
        }
    }

    fn place(&self, at: &Location) -> String {
        match address(at) {
            Ok(Address { endpoint, container, object }) => format!("{object} in container {container} of {endpoint}"),
            Err(_) => format!("{} in {}", at.object, self.describe()),
        }
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        let (client, path, what) = self.find(at)?;
        let body = download::open(&client, path).map_err(|it| it.into_source(&what))?.body;
        Ok(StoredObject { size: body.size(), body: Box::new(body) })
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        let (client, path, what) = match self.find(at) {
            Err(error) if error.cause == Cause::Missing => return Ok(None),
            found => found?,
        };
        match client.send(Request::new(Method::HEAD, &path)) {
            Ok(answer) => crate::http::length(&answer).map(Some).map_err(|it| it.into_source(&what)),
            Err(failure) if status(&failure) == Some(404) => Ok(None),
            Err(failure) => Err(failure.into_source(&what)),
        }
    }

    fn shelf(&self, at: &Location) -> Option<Shelf> {
        let ObjectAddress::Main(_) = &at.object else { return None };
        let Address { endpoint, container, object } = address(at).ok()?;
        // Since 4.10 the dataset's identifier stands before the name; before, it has a container of its own.
        let (prefix, name) = object.rsplit_once('/').map_or(("", object.as_str()), |(it, name)| (it, name));
        let slash = if prefix.is_empty() { "" } else { "/" };
        Some(Shelf { folder: format!("{endpoint}\0{container}\0{prefix}{slash}"), name: name.to_owned() })
    }

    fn sizes(&self, folder: &str, wanted: &mut HashMap<String, Option<u64>>) -> Result<(), SourceError> {
        let mut parts = folder.splitn(3, '\0');
        let (endpoint, container, prefix) = (parts.next(), parts.next(), parts.next());
        let (endpoint, container, prefix) =
            (endpoint.unwrap_or_default(), container.unwrap_or_default(), prefix.unwrap_or_default());
        let what = format!("the listing of {prefix} in container {container} of {endpoint}");
        let failed = |it: SwiftFailure| it.into_source(&what);
        let client = endpoint_of(&self.endpoints, self.default.as_deref(), endpoint)?.client().map_err(failed)?;
        let mut found = |name: &str, size: Option<u64>| {
            let name = name.strip_prefix(prefix).unwrap_or_default();
            if let (Some(known), Some(size)) = (wanted.get_mut(name), size) {
                *known = Some(size);
            }
            ControlFlow::Continue(())
        };
        match container::walk(&client, container, prefix, false, &mut found) {
            Err(failure) if status(&failure) == Some(404) => Ok(()),
            done => done.map_err(failed),
        }
    }

    /// A package in Swift is an object like any other: there are no folders.
    fn members(&self, _: &Location) -> Result<Option<Vec<String>>, SourceError> {
        Ok(None)
    }

    /// Asks for it by every name that it can have in the containers of the objects that are known.
    fn look_for(&self, trace: &Trace<'_>) -> Result<Sighting, SourceError> {
        let containers: BTreeSet<(String, String)> =
            trace.near.iter().filter_map(|it| address(it).ok()).map(|it| (it.endpoint, it.container)).collect();
        for (endpoint, container) in containers {
            let client = endpoint_of(&self.endpoints, self.default.as_deref(), &endpoint)?.client();
            let client = client.map_err(|it| it.into_source(&format!("container {container} of {endpoint}")))?;
            for name in trace.names() {
                match client.send(Request::new(Method::HEAD, &Path::object(&container, &name))) {
                    Ok(_) => {
                        let seen =
                            format!("what was just stored at the destination is {name} in container {container}");
                        return Ok(Sighting::Seen(seen));
                    }
                    Err(failure) if matches!(failure.cause(), Cause::Missing | Cause::Forbidden) => {}
                    Err(failure) => return Err(failure.into_source(&format!("{name} in container {container}"))),
                }
            }
        }
        Ok(Sighting::Unseen)
    }

    fn check(&self) -> Result<(), SourceError> {
        for (name, endpoint) in &self.endpoints {
            let failed = |failure: SwiftFailure| {
                let attempt = format!("cannot use the Swift endpoint {name} at {}", endpoint.account.auth_url);
                let lasting = matches!(failure.cause(), Cause::Misconfigured | Cause::Missing | Cause::Forbidden);
                let cause = if lasting { Cause::Misconfigured } else { Cause::Unavailable };
                SourceError::because(cause, attempt, failure)
            };
            let client = endpoint.client().map_err(failed)?;
            match client.send(Request::new(Method::HEAD, &Path::account())) {
                // A user who may read some containers need not be allowed to see the account.
                Err(failure) if status(&failure) != Some(403) => return Err(failed(failure)),
                _ => {}
            }
        }
        Ok(())
    }
}
