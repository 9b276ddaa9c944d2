//! A store whose files lie on a web server.

use std::sync::Arc;

use dvb_http::Answer;
use dvb_storage::{Cause, Location, ObjectAddress, Source, SourceError, StoredObject};
use ureq::http::Method;
use url::Url;

use crate::address::shown;
use crate::client::Client;
use crate::config::{Layout, RemoteConfig};
use crate::download;
use crate::error::RemoteFailure;

/// Reads the files of a store of type `remote` or `globus`. What Dataverse keeps beside them (`<name>.<tag>`, logos)
/// lies in the store's base store: here it is missing.
pub struct RemoteStore {
    client: Arc<Client>,
    layout: Layout,
}

impl RemoteStore {
    /// Nothing is contacted yet.
    ///
    /// # Errors
    /// [`Cause::Unavailable`], when the base address cannot be used.
    pub fn new(config: &RemoteConfig) -> Result<Self, SourceError> {
        let client = Client::new(config).map_err(|it| SourceError::new(Cause::Misconfigured, it))?;
        Ok(Self { client: Arc::new(client), layout: config.layout })
    }

    /// The file's address; `None` for what does not lie here.
    fn url(&self, at: &Location) -> Result<Option<Url>, SourceError> {
        let ObjectAddress::Main(name) = &at.object else { return Ok(None) };
        let Some(identifier) = &at.identifier else { return Ok(None) };
        let path = match (identifier.rest.rsplit_once("//"), self.layout) {
            (Some((_, path)), _) => path.to_owned(),
            (None, Layout::Remote) => identifier.rest.clone(),
            (None, Layout::Globus) => format!("{}/{name}", at.storage_pid.directory()),
        };
        let refused =
            |why| SourceError::new(Cause::Refused, format!("{why}; nothing is read outside of {}", self.describe()));
        self.client.base.below(&path).map(Some).map_err(refused)
    }

    /// A HEAD that tells the size. A server may not have it, so that any other answer says nothing.
    fn size_by_head(&self, url: &Url) -> Option<u64> {
        if self.client.signs() {
            return None;
        }
        let answer = self.client.send(&Method::HEAD, url, &[]).ok()?;
        download::ensure_plain(&answer).ok()?;
        answer.length().filter(|_| answer.status == 200)
    }

    /// By asking for one byte.
    fn size_by_range(&self, url: &Url) -> Result<u64, RemoteFailure> {
        let answer = self.client.send(&Method::GET, url, &[("range", "bytes=0-0".to_owned())])?;
        download::ensure_plain(&answer)?;
        match (answer.status, total(&answer), answer.length()) {
            (206 | 416, Some(total), _) => Ok(total),
            // A server without ranges; the body is left alone.
            (200, _, Some(length)) => Ok(length),
            (200, _, None) => download::count(&self.client, answer),
            (status, ..) => Err(RemoteFailure::Protocol(format!("the server answered {status} without a size"))),
        }
    }
}

/// `Content-Range: bytes 0-0/100`, or `bytes */0` of an empty file.
fn total(answer: &Answer) -> Option<u64> {
    answer.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?.1.parse().ok()
}

impl Source for RemoteStore {
    fn describe(&self) -> String {
        shown(self.client.base.url())
    }

    fn interrupt(&self) {
        self.client.service().interrupt();
    }

    fn place(&self, at: &Location) -> String {
        match self.url(at) {
            Ok(Some(url)) => shown(&url),
            Ok(None) | Err(_) => format!("{} in {}", at.object, self.describe()),
        }
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        let Some(url) = self.url(at)? else {
            let attempt =
                format!("{} holds no such object: it lies in the store's base store, if anywhere", self.describe());
            return Err(SourceError::new(Cause::Missing, attempt));
        };
        let what = shown(&url);
        let download = download::open(&self.client, url).map_err(|it| it.into_source(&what))?;
        Ok(StoredObject { size: download.size(), body: Box::new(download) })
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        let Some(url) = self.url(at)? else { return Ok(None) };
        if let Some(size) = self.size_by_head(&url) {
            return Ok(Some(size));
        }
        match self.size_by_range(&url) {
            Ok(size) => Ok(Some(size)),
            Err(failure) if failure.cause() == Cause::Missing => Ok(None),
            Err(failure) => Err(failure.into_source(&shown(&url))),
        }
    }

    fn members(&self, _: &Location) -> Result<Option<Vec<String>>, SourceError> {
        Ok(None)
    }

    fn check(&self) -> Result<(), SourceError> {
        // What lies at the base itself is nobody's business: an answer shows that somebody is there.
        match self.client.send(&Method::GET, self.client.base.url(), &[("range", "bytes=0-0".to_owned())]) {
            Err(failure @ (RemoteFailure::Unreached { .. } | RemoteFailure::Unusable(_))) => {
                Err(unavailable(self, failure))
            }
            Err(failure) if failure.cause() == Cause::Transient => Err(unavailable(self, failure)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn unavailable(store: &RemoteStore, failure: RemoteFailure) -> SourceError {
    let attempt = format!(
        "cannot connect to {}; check the address, and that the firewall lets this host connect",
        store.describe()
    );
    let cause = match failure.cause() {
        lasting @ Cause::Misconfigured => lasting,
        _ => Cause::Unavailable,
    };
    SourceError::because(cause, attempt, failure)
}
